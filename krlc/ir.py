"""The intermediate form: what a ruleset does, with every name and call decided.

In: made by `lower.py`. Out: `codegen.py` turns it into Python text. It knows neither KRL's surface
(no precedence, no method calls, no chevrons) nor Python's (no strings of code). Invariants: each
item carries the span of the KRL text it came from; names are the Python names that `names.py`
chose.
"""

from __future__ import annotations

import msgspec

from krlc.source import Span


class Item(msgspec.Struct, frozen=True):
    """What all IR items share."""

    span: Span


# --- Expressions ----------------------------------------------------------------------------------


class Const(Item, frozen=True):
    """null, a boolean, a number or a string."""

    value: bool | int | float | str | None


class PatternConst(Item, frozen=True):
    """A regular expression literal."""

    source: str
    flags: str


class ArrayOf(Item, frozen=True):
    """A new array."""

    items: tuple[Expr, ...]


class MapOf(Item, frozen=True):
    """A new map; keys are distinct, in order of first appearance."""

    keys: tuple[str, ...]
    values: tuple[Expr, ...]


class Concat(Item, frozen=True):
    """The string conversions of the parts, joined."""

    parts: tuple[Expr, ...]


class Local(Item, frozen=True):
    """A variable of the running function or one around it."""

    python: str


class GlobalConst(Item, frozen=True):
    """A global that is a literal: a constant of the module."""

    python: str


class GlobalValue(Item, frozen=True):
    """A global that is computed: read through the context."""

    name: str
    slot: int


class FunctionValue(Item, frozen=True):
    """A global function as a value."""

    python: str


class ActionValue(Item, frozen=True):
    """A global action as a value."""

    python: str


class LibraryValue(Item, frozen=True):
    """A library operator as a value."""

    name: str


class Operation(Item, frozen=True):
    """An operator of the value model, by its ABI name: add, sub, eq, lt, like, negate …"""

    name: str
    operands: tuple[Expr, ...]


class And(Item, frozen=True):
    """The first falsy operand, else the last."""

    operands: tuple[Expr, ...]


class Or(Item, frozen=True):
    """The first truthy operand, else the last."""

    operands: tuple[Expr, ...]


class Not(Item, frozen=True):
    """Boolean negation of truthiness."""

    operand: Expr


class Pick(Item, frozen=True):
    """`then` if `test` is truthy, else `otherwise`; only one is evaluated."""

    test: Expr
    then: Expr
    otherwise: Expr


class GetPath(Item, frozen=True):
    """`object{path}`."""

    object: Expr
    path: Expr


class GetIndex(Item, frozen=True):
    """`object[index]`."""

    object: Expr
    index: Expr


class GetMember(Item, frozen=True):
    """`object.name` without a call."""

    object: Expr
    key: Expr


class CallLibrary(Item, frozen=True):
    """A library operator with positional arguments."""

    name: str
    arguments: tuple[Expr, ...]


class CallGlobal(Item, frozen=True):
    """A function declared in `global`."""

    python: str
    arguments: tuple[Expr, ...]


class CallLocal(Item, frozen=True):
    """A local variable known to hold a function."""

    python: str
    arguments: tuple[Expr, ...]


class CallValue(Item, frozen=True):
    """Any value called as a function; checked when it runs."""

    function: Expr
    arguments: tuple[Expr, ...]
    names: tuple[str, ...]
    named: tuple[Expr, ...]


class Builtin(Item, frozen=True):
    """A property or function of a built-in module, such as event:attrs or ctx:children."""

    domain: str
    name: str
    arguments: tuple[Expr, ...]


class ModuleValue(Item, frozen=True):
    """What a used module provides under a name, as a value."""

    alias: str
    name: str


class ModuleCall(Item, frozen=True):
    """A function of a used module; what it takes is known only where the module is."""

    alias: str
    name: str
    arguments: tuple[Expr, ...]
    names: tuple[str, ...]
    named: tuple[Expr, ...]


class BuiltinValue(Item, frozen=True):
    """A function, action or actionfunction of a built-in module as a value."""

    domain: str
    name: str
    kind: str
    params: tuple[str, ...]


class EntityGet(Item, frozen=True):
    """`ent:name`."""

    name: str


class EntityAt(Item, frozen=True):
    """`ent:name{path}`."""

    name: str
    path: Expr


class Closure(Item, frozen=True):
    """A function literal. Parameters are (Python name, KRL name, default or None)."""

    parameters: tuple[tuple[str, str, Expr | None], ...]
    body: tuple[Let, ...]
    result: Expr


class ActionClosure(Item, frozen=True):
    """A defaction literal."""

    parameters: tuple[tuple[str, str, Expr | None], ...]
    body: tuple[Let, ...]
    actions: tuple[Stmt, ...]
    result: Expr | None


Expr = (
    Const
    | PatternConst
    | ArrayOf
    | MapOf
    | Concat
    | Local
    | GlobalConst
    | GlobalValue
    | FunctionValue
    | ActionValue
    | LibraryValue
    | Operation
    | And
    | Or
    | Not
    | Pick
    | GetPath
    | GetIndex
    | GetMember
    | CallLibrary
    | CallGlobal
    | CallLocal
    | CallValue
    | Builtin
    | BuiltinValue
    | ModuleValue
    | ModuleCall
    | EntityGet
    | EntityAt
    | Closure
    | ActionClosure
)

# --- Statements -----------------------------------------------------------------------------------


class Let(Item, frozen=True):
    """Bind a local variable."""

    python: str
    value: Expr


class Perform(Item, frozen=True):
    """Run an action. `how`: library, builtin, module, global, local or value; `bind` takes its
    result.
    """

    how: str
    target: str
    value: Expr | None
    arguments: tuple[Expr, ...]
    names: tuple[str, ...]
    named: tuple[Expr, ...]
    bind: str | None


class Branch(Item, frozen=True):
    """`then` if the test is truthy, else `otherwise`."""

    test: Expr
    then: tuple[Stmt, ...]
    otherwise: tuple[Stmt, ...]


class Choose(Item, frozen=True):
    """The first case whose label is the discriminant's value."""

    discriminant: Expr
    labels: tuple[str, ...]
    cases: tuple[Stmt, ...]


class Sample(Item, frozen=True):
    """One of the cases, by chance."""

    cases: tuple[Stmt, ...]


class Loop(Item, frozen=True):
    """One `foreach`; `final` names the flag that is true in the last round, where one is needed."""

    over: Expr
    names: tuple[str, ...]
    final: str | None
    body: tuple[Stmt, ...]


class SetEntity(Item, frozen=True):
    """`ent:name := value`."""

    name: str
    value: Expr


class SetEntityAt(Item, frozen=True):
    """`ent:name{path} := value`."""

    name: str
    path: Expr
    value: Expr


class ChangeEntity(Item, frozen=True):
    """`ent:name := ent:name.operator(arguments)` for append, put and delete: stored piecemeal.

    `default` stands for the variable where it is null: `ent:name.defaultsTo(default).operator(…)`.
    """

    name: str
    operator: str
    arguments: tuple[Expr, ...]
    default: Expr | None


class ClearEntity(Item, frozen=True):
    """`clear ent:name` or `clear ent:name{path}`."""

    name: str
    path: Expr | None


class RaiseEvent(Item, frozen=True):
    """`raise`; `domain` None means that `event` holds domain and name in one string."""

    domain: str | None
    event: Expr
    for_rid: Expr | None
    attributes: Expr | None


class ScheduleEvent(Item, frozen=True):
    """`schedule`; `how` is at or repeat, `domain` as for `raise`; `bind` takes the job."""

    how: str
    domain: str | None
    event: Expr
    when: Expr
    attributes: Expr | None
    bind: str | None


class LogValue(Item, frozen=True):
    """`log level value`."""

    level: str
    value: Expr


class RaiseError(Item, frozen=True):
    """`error level value`; level "error" ends the rule as `last` does."""

    level: str
    value: Expr


class Last(Item, frozen=True):
    """`last`."""


class Unfired(Item, frozen=True):
    """The rule's condition is false, in this round of its loops or (`is_round` false) at all."""

    is_round: bool


class OnFinal(Item, frozen=True):
    """Statements for the last round of all loops; `flags` name the loops' flags."""

    flags: tuple[str, ...]
    body: tuple[Stmt, ...]


Stmt = (
    Let
    | Perform
    | Branch
    | Choose
    | Sample
    | Loop
    | SetEntity
    | SetEntityAt
    | ChangeEntity
    | ClearEntity
    | RaiseEvent
    | ScheduleEvent
    | LogValue
    | RaiseError
    | Last
    | Unfired
    | OnFinal
)

# --- Units ----------------------------------------------------------------------------------------


class Matcher(Item, frozen=True):
    """What one base event demands beside domain and name.

    Shapes: `patterns` are (attribute, pattern); `setting` are Python names bound to the captures in
    order; `captures` is how many of them go to the aggregator; `saved` are the (register index,
    Python name) that `where` reads of other base events; `is_exact` asks for exactly true.
    """

    name: str
    patterns: tuple[tuple[str, Expr], ...]
    setting: tuple[str, ...]
    captures: int
    where: Expr | None
    saved: tuple[tuple[int, str], ...]
    is_exact: bool


class Rule(Item, frozen=True):
    """One rule: automaton table, matchers, registers and body."""

    name: str
    salience: tuple[tuple[str, str], ...] | None
    table: tuple[object, ...]
    is_trivial: bool
    hash: str
    matchers: tuple[Matcher, ...]
    settings: tuple[str, ...]
    within_ms: float | None
    within: Expr | None
    body: tuple[Stmt, ...]


class Function(Item, frozen=True):
    """A global function."""

    name: str
    python: str
    closure: Closure
    effect: str


class Action(Item, frozen=True):
    """A global action."""

    name: str
    python: str
    closure: ActionClosure
    effect: str


class Value(Item, frozen=True):
    """A global that is neither: a literal (`slot` None) or computed once (`slot` numbers it).

    A configured one takes the value given where the ruleset is used as a module, else this one.
    """

    name: str
    python: str
    value: Expr
    slot: int | None
    effect: str
    is_configured: bool


class Use(Item, frozen=True):
    """One used module: rid, alias, and (name, Python name, value) for each configured name."""

    rid: str
    alias: str
    configured: tuple[tuple[str, str, Expr], ...]


class Module(Item, frozen=True):
    """A whole ruleset."""

    rid: str
    globals: tuple[Function | Action | Value, ...]
    shares: tuple[str, ...]
    provides: tuple[str, ...]
    uses: tuple[Use, ...]
    errors_to: str | None
    rules: tuple[Rule, ...]
    effects: tuple[tuple[str, str], ...]


def show(item: object, depth: int = 0) -> str:
    """An item and all inside it as indented text, one line a leaf; for `krlc dump ir`."""
    pad = "  " * depth
    if isinstance(item, Item):
        fields = [f for f in item.__struct_fields__ if f != "span"]
        values = [(f, getattr(item, f)) for f in fields]
        name = type(item).__name__
        if all(not isinstance(v, (Item, tuple)) or v == () for _, v in values):
            inner = " ".join(f"{f}={v!r}" for f, v in values if v is not None and v != ())
            return f"{pad}{name} {inner}".rstrip() + "\n"
        text = f"{pad}{name}\n"
        for f, v in values:
            if v is None or v == ():
                continue
            if isinstance(v, Item) or (isinstance(v, tuple) and _has_items(v)):
                text += f"{pad}  {f}:\n{show(v, depth + 2)}"
            else:
                text += f"{pad}  {f}: {v!r}\n"
        return text
    if isinstance(item, tuple) and _has_items(item):
        return "".join(show(part, depth) for part in item)
    return f"{pad}{item!r}\n"


def _has_items(value: tuple[object, ...]) -> bool:
    return any(
        isinstance(part, Item) or (isinstance(part, tuple) and _has_items(part)) for part in value
    )
