"""The syntax tree: one frozen class for each KRL construct.

In: `parser.py` makes these. Out: every later pass reads them; none changes them.
Invariants: each node has a `span`; sequences are tuples; parentheses leave no node; numbers are
never negative (a sign is a `Unary`); names are as written. Nothing here resolves a name.

Source: language reference 16; names follow the KRL manual.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from krlc.source import Span


class Node(msgspec.Struct, frozen=True, gc=True):
    """What all nodes share: the stretch of source text they were read from."""

    span: Span


# --- Expressions ----------------------------------------------------------------------------------


class Null(Node, frozen=True):
    """`null`."""


class Boolean(Node, frozen=True):
    """`true` or `false`."""

    value: bool


class Number(Node, frozen=True):
    """A number token: an `int` where the IEEE double is integral and exact, else a `float`."""

    value: int | float


class String(Node, frozen=True):
    """A `"…"` token; `value` has its two escapes resolved."""

    value: str


class Regexp(Node, frozen=True):
    """`re#…#flags`: `pattern` with `\\#` resolved, `flags` as written (letters of g, i, m)."""

    pattern: str
    flags: str


class Chevron(Node, frozen=True):
    """`<<…>>`: text pieces (String nodes, escapes resolved, not empty) and beesting expressions."""

    parts: tuple[Expression, ...]


class Identifier(Node, frozen=True):
    """A name in an expression."""

    name: str


class DomainIdentifier(Node, frozen=True):
    """`domain:name` in an expression, such as `ent:x` or `event:attrs`."""

    domain: str
    name: str
    domain_span: Span
    name_span: Span


class Array(Node, frozen=True):
    """`[…]`."""

    items: tuple[Expression, ...]


class MapEntry(Node, frozen=True):
    """`"key": value` in a map literal."""

    key: String
    value: Expression


class Map(Node, frozen=True):
    """`{…}` as an expression, entries in source order, duplicates kept."""

    entries: tuple[MapEntry, ...]


class Unary(Node, frozen=True):
    """`not x`, `- x`, `+ x`; `operator_span` is the operator's."""

    operator: str
    operand: Expression
    operator_span: Span


class Infix(Node, frozen=True):
    """`left operator right` for every infix operator, `&&` and `||` included."""

    operator: str
    left: Expression
    right: Expression
    operator_span: Span


class Conditional(Node, frozen=True):
    """`test => consequent | alternate`."""

    test: Expression
    consequent: Expression
    alternate: Expression


class Path(Node, frozen=True):
    """`object{path}`."""

    object: Expression
    path: Expression


class Index(Node, frozen=True):
    """`object[index]`."""

    object: Expression
    index: Expression


class Member(Node, frozen=True):
    """`object.name` or `object.domain:name` without a call (deprecated member access by dot)."""

    object: Expression
    member: Identifier | DomainIdentifier


class Argument(Node, frozen=True):
    """One argument of a call: positional (`name` is None) or named."""

    name: Identifier | None
    value: Expression


class Call(Node, frozen=True):
    """`callee(arguments)`; a method call `v.f(a)` has a `Member` as its callee."""

    callee: Expression
    arguments: tuple[Argument, ...]
    arguments_span: Span


class Parameter(Node, frozen=True):
    """One parameter with its default, if it has one."""

    name: Identifier
    default: Expression | None


class Declaration(Node, frozen=True):
    """`name = value`."""

    name: Identifier
    value: Expression


class Function(Node, frozen=True):
    """`function(parameters){ body; result }`."""

    parameters: tuple[Parameter, ...]
    body: tuple[Declaration, ...]
    result: Expression


class DefAction(Node, frozen=True):
    """`defaction(parameters){ body; actions; return result }`."""

    parameters: tuple[Parameter, ...]
    body: tuple[Declaration, ...]
    action_block: ActionBlock | None
    result: Expression | None


Expression = (
    Null
    | Boolean
    | Number
    | String
    | Regexp
    | Chevron
    | Identifier
    | DomainIdentifier
    | Array
    | Map
    | Unary
    | Infix
    | Conditional
    | Path
    | Index
    | Member
    | Call
    | Function
    | DefAction
)

# --- Event expressions ----------------------------------------------------------------------------


class AttributeMatch(Node, frozen=True):
    """`key re#…#` in an event expression; the value is a Regexp, possibly with postfixes."""

    key: Identifier
    value: Expression


class Aggregator(Node, frozen=True):
    """`max(names)` and friends after `count n (…)` or `repeat n (…)`."""

    operator: str
    names: tuple[Identifier, ...]


class BaseEvent(Node, frozen=True):
    """`domain name attribute-matches where setting`: one event of an event expression.

    `where_before_setting` marks the deprecated order, for the printer and a warning.
    """

    domain: Identifier
    name: Identifier
    matches: tuple[AttributeMatch, ...]
    setting: tuple[Identifier, ...]
    where: Expression | None
    aggregator: Aggregator | None
    where_before_setting: bool


class EventOperator(Node, frozen=True):
    """`or and before then after any` over two or more operands, and `between`, `not between`.

    `prefix` tells `and(a, b, c)` from `a and b`: they are different machines. For `between` and
    `not between` the operands are (what, from, to). `count` is the number of `any n (…)`.
    """

    operator: str
    operands: tuple[EventExpression, ...]
    count: int | None
    prefix: bool
    operator_span: Span


class EventGroup(Node, frozen=True):
    """`count n (base)` or `repeat n (base)`; the aggregator sits on the base event."""

    operator: str
    count: int
    event: BaseEvent
    operator_span: Span


EventExpression = BaseEvent | EventOperator | EventGroup


class Within(Node, frozen=True):
    """`within expression unit`; `unit` is singular (`second` … `year`)."""

    limit: Expression
    unit: str


class SelectWhen(Node, frozen=True):
    """`select when event-expression within …`."""

    event: EventExpression
    within: Within | None


class SelectWhere(Node, frozen=True):
    """`select where expression`."""

    condition: Expression


# --- Rules ----------------------------------------------------------------------------------------


class ForEach(Node, frozen=True):
    """`foreach expression setting(names)`."""

    expression: Expression
    names: tuple[Identifier, ...]


class Action(Node, frozen=True):
    """`label => name(arguments) setting(names)`."""

    label: Identifier | None
    name: Identifier | DomainIdentifier
    arguments: tuple[Argument, ...]
    setting: tuple[Identifier, ...]
    arguments_span: Span


class ActionBlock(Node, frozen=True):
    """`if condition then every|sample|choose {…}` or one action; `kind` is `every` by default."""

    condition: Expression | None
    kind: str
    discriminant: Expression | None
    actions: tuple[Action, ...]
    braces: bool


class Assign(Node, frozen=True):
    """`ent:name{path} := value`."""

    target: DomainIdentifier
    path: Expression | None
    value: Expression


class Clear(Node, frozen=True):
    """`clear ent:name{path}`."""

    target: DomainIdentifier
    path: Expression | None


class EventSpec(Node, frozen=True):
    """The event of `raise` and `schedule`: `domain event name`, or `event both` (domain None)."""

    domain: Identifier | None
    expression: Expression


class Raise(Node, frozen=True):
    """`raise event-spec for rid attributes map`."""

    event: EventSpec
    for_rid: Expression | None
    attributes: Expression | None


class Schedule(Node, frozen=True):
    """`schedule event-spec at time | repeat timespec attributes map setting(name)`."""

    event: EventSpec
    at: Expression | None
    repeat: Expression | None
    attributes: Expression | None
    setting: Identifier | None


class Log(Node, frozen=True):
    """`log level expression`."""

    level: str
    expression: Expression


class Error(Node, frozen=True):
    """`error level expression`."""

    level: str
    expression: Expression


class Last(Node, frozen=True):
    """`last`."""


class Guarded(Node, frozen=True):
    """`statement if condition`, or `statement on final` (condition None)."""

    statement: Assign | Clear | Raise | Schedule | Log | Error | Last | Declaration
    condition: Expression | None


Statement = Assign | Clear | Raise | Schedule | Log | Error | Last | Declaration | Guarded


class Postlude(Node, frozen=True):
    """The postlude: statements for fired, notfired and always (`finally` fills `always`).

    `form` is the opening keyword as written, for the printer: always, fired or notfired.
    """

    form: str
    fired: tuple[Statement, ...] | None
    notfired: tuple[Statement, ...] | None
    always: tuple[Statement, ...] | None


class Rule(Node, frozen=True):
    """`rule name is active|inactive { select foreach pre actions postlude }`."""

    name: Identifier
    is_active: bool
    state: str | None
    select: SelectWhen | SelectWhere | None
    foreach: tuple[ForEach, ...]
    pre: tuple[Declaration, ...]
    action_block: ActionBlock | None
    postlude: Postlude | None


# --- Rulesets -------------------------------------------------------------------------------------


class RulesetId(Node, frozen=True):
    """A ruleset id as written, dots and dashes included."""

    value: str


class MetaText(Node, frozen=True):
    """`name|description|author|version expression` in meta (and the deprecated ruleset version)."""

    key: Identifier
    value: Expression


class MetaLogging(Node, frozen=True):
    """`logging on|off`."""

    key: Identifier
    is_on: bool


class MetaKey(Node, frozen=True):
    """`key name expression` (parsed, not supported)."""

    key: Identifier
    name: Identifier
    value: Expression


class MetaUse(Node, frozen=True):
    """`use module rid alias name with declarations`."""

    key: Identifier
    rid: RulesetId
    alias: Identifier | None
    configuration: tuple[Declaration, ...]


class MetaErrors(Node, frozen=True):
    """`errors to rid`."""

    key: Identifier
    rid: RulesetId


class MetaConfigure(Node, frozen=True):
    """`configure using declarations`."""

    key: Identifier
    declarations: tuple[Declaration, ...]


class MetaNames(Node, frozen=True):
    """`shares names` or `provides names`; `key` is as written, `kind` is shares or provides."""

    key: Identifier
    kind: str
    names: tuple[Identifier, ...]


class MetaProvidesKeys(Node, frozen=True):
    """`provides keys names to rids` (parsed, not supported)."""

    key: Identifier
    names: tuple[Identifier, ...]
    rids: tuple[RulesetId, ...]


MetaProperty = (
    MetaText
    | MetaLogging
    | MetaKey
    | MetaUse
    | MetaErrors
    | MetaConfigure
    | MetaNames
    | MetaProvidesKeys
)


class Meta(Node, frozen=True):
    """The `meta` block."""

    properties: tuple[MetaProperty, ...]


class Ruleset(Node, frozen=True):
    """A whole ruleset; `version` is the deprecated string before `meta`."""

    rid: RulesetId
    version: String | None
    meta: Meta | None
    globals: tuple[Declaration, ...]
    rules: tuple[Rule, ...]
    has_global: bool


class Fragment(Node, frozen=True):
    """Top-level declarations and expressions without a ruleset; for tools and tests."""

    items: tuple[Declaration | Expression, ...]


# Every field holds a node, a tuple of nodes, None, or one of these.
_PLAIN = frozenset(("Span", "str", "bool", "int", "int | float", "int | None", "str | None"))
_inner_fields: dict[type[Node], tuple[str, ...]] = {}


def _note_fields(kind: type[Node]) -> tuple[str, ...]:
    """Remember which fields of a class hold nodes."""
    plain = {
        name
        for base in kind.__mro__
        for name, annotation in getattr(base, "__annotations__", {}).items()
        if annotation in _PLAIN
    }
    fields = tuple(name for name in kind.__struct_fields__ if name not in plain)
    _inner_fields[kind] = fields
    return fields


def children(node: Node) -> list[Node]:
    """The nodes directly inside a node, in field order."""
    kind = type(node)
    fields = _inner_fields.get(kind)
    if fields is None:
        fields = _note_fields(kind)
    found: list[Node] = []
    for name in fields:
        value = getattr(node, name)
        if type(value) is tuple:
            found += value
        elif value is not None:
            found.append(value)
    return found


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and all nodes inside it, parents first, without recursion."""
    pending = [node]
    while pending:
        current = pending.pop()
        yield current
        inner = children(current)
        if inner:
            inner.reverse()
            pending += inner
