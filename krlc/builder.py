"""From productions to nodes: one function for each name that `krl.lark` gives a production.

In: the values of a production's children with their starts and ends; an absent option is None and
has the start of what follows and the end of what comes before, so `starts[0]` and `ends[-1]` are
always the construct's. Out: a node, or a small value for the production around it.
Invariants: nothing here fails; a literal without meaning is reported into `faults` and gets a value
that keeps the tree whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from krlc import nodes
from krlc.diagnostics import Diagnostic
from krlc.regexps import CHARACTERS_MAX, malformed
from krlc.source import Span

_Values = list[Any]
_Places = list[int]
BuildFunction = Callable[[_Values, _Places, _Places], Any]


def _span(starts: _Places, ends: _Places) -> Span:
    return Span(starts[0], ends[-1])


def _identifier_at(values: _Values, starts: _Places, ends: _Places, i: int) -> nodes.Identifier:
    return nodes.Identifier(Span(starts[i], ends[i]), values[i])


class Builder:
    """Builds the nodes of one source; `faults` collects what is wrong with its literals."""

    def __init__(self) -> None:
        self.faults: list[Diagnostic] = []

    # --- Expressions ------------------------------------------------------------------------------

    def number(self, v: _Values, s: _Places, e: _Places) -> nodes.Number:
        value = float(v[0])
        if value == float("inf"):
            self.faults.append(
                Diagnostic(
                    "K0108",
                    "number is too large",
                    _span(s, e),
                    "more than a double can hold",
                    ("the largest number is about 1.8 with 308 zeros behind it",),
                )
            )
            value = 0.0
        if value.is_integer() and value <= 2**53:
            return nodes.Number(_span(s, e), int(value))
        return nodes.Number(_span(s, e), value)

    def string(self, v: _Values, s: _Places, e: _Places) -> nodes.String:
        return string_at(v[0], s[0], e[0])

    def regexp(self, v: _Values, s: _Places, e: _Places) -> nodes.Regexp:
        token: str = v[0]
        close = token.rindex("#")
        source, flags = token[3:close], token[close + 1 :]
        pattern = source.replace("\\#", "#") if "\\#" in source else source
        node = nodes.Regexp(_span(s, e), pattern, flags)
        if len(set(flags)) < len(flags):
            twice = next(flag for flag in flags if flags.count(flag) > 1)
            self.faults.append(
                Diagnostic(
                    "K0107",
                    f"flag `{twice}` is given twice",
                    Span(s[0] + close + 1, e[0]),
                    "each of g, i and m at most once",
                    (f"write `{token[: close + 1]}{''.join(dict.fromkeys(flags))}`",),
                )
            )
        if len(pattern) > CHARACTERS_MAX:
            self.faults.append(
                Diagnostic(
                    "K0109",
                    "regular expression is too long",
                    node.span,
                    f"more than {CHARACTERS_MAX:,} characters",
                    ("search in an array or map instead of a long list of alternatives",),
                )
            )
        elif (fault := malformed(node)) is not None:
            self.faults.append(fault)
        return node

    def boolean(self, v: _Values, s: _Places, e: _Places) -> nodes.Boolean:
        return nodes.Boolean(_span(s, e), v[0] == "true")

    def null(self, v: _Values, s: _Places, e: _Places) -> nodes.Null:
        return nodes.Null(_span(s, e))

    def id(self, v: _Values, s: _Places, e: _Places) -> nodes.Identifier:
        return nodes.Identifier(Span(s[0], e[0]), v[0])

    def domain_identifier(self, v: _Values, s: _Places, e: _Places) -> nodes.DomainIdentifier:
        return nodes.DomainIdentifier(
            _span(s, e), v[0].name, v[2].name, Span(s[0], e[0]), Span(s[2], e[2])
        )

    def parenthesis(self, v: _Values, s: _Places, e: _Places) -> Any:
        return v[1]

    def array(self, v: _Values, s: _Places, e: _Places) -> nodes.Array:
        return nodes.Array(_span(s, e), v[1] or ())

    def map(self, v: _Values, s: _Places, e: _Places) -> nodes.Map:
        return nodes.Map(_span(s, e), v[1] or ())

    def entry(self, v: _Values, s: _Places, e: _Places) -> nodes.MapEntry:
        return nodes.MapEntry(_span(s, e), string_at(v[0], s[0], e[0]), v[2])

    def chevron(self, v: _Values, s: _Places, e: _Places) -> nodes.Chevron:
        return nodes.Chevron(_span(s, e), v[1])

    def chevron_text(self, v: _Values, s: _Places, e: _Places) -> nodes.String:
        text: str = v[0]
        if "\\" in text:
            text = text.replace("\\>", ">").replace("\\#{", "#{").replace("\\\\", "\\")
        return nodes.String(_span(s, e), text)

    def infix(self, v: _Values, s: _Places, e: _Places) -> nodes.Infix:
        return nodes.Infix(_span(s, e), v[1], v[0], v[2], Span(s[1], e[1]))

    def unary(self, v: _Values, s: _Places, e: _Places) -> nodes.Unary:
        return nodes.Unary(_span(s, e), v[0], v[1], Span(s[0], e[0]))

    def conditional(self, v: _Values, s: _Places, e: _Places) -> nodes.Conditional:
        return nodes.Conditional(_span(s, e), v[0], v[2], v[4])

    def call(self, v: _Values, s: _Places, e: _Places) -> nodes.Call:
        return nodes.Call(_span(s, e), v[0], v[1], Span(s[1], e[1]))

    def member(self, v: _Values, s: _Places, e: _Places) -> nodes.Member:
        return nodes.Member(_span(s, e), v[0], v[2])

    def path_of(self, v: _Values, s: _Places, e: _Places) -> nodes.Path:
        return nodes.Path(_span(s, e), v[0], v[2])

    def index_of(self, v: _Values, s: _Places, e: _Places) -> nodes.Index:
        return nodes.Index(_span(s, e), v[0], v[2])

    def arguments(self, v: _Values, s: _Places, e: _Places) -> tuple[nodes.Argument, ...]:
        return v[1] or ()

    def positional(self, v: _Values, s: _Places, e: _Places) -> nodes.Argument:
        return nodes.Argument(_span(s, e), None, v[0])

    def named(self, v: _Values, s: _Places, e: _Places) -> nodes.Argument:
        return nodes.Argument(_span(s, e), _identifier_at(v, s, e, 0), v[2])

    def parameters(self, v: _Values, s: _Places, e: _Places) -> tuple[nodes.Parameter, ...]:
        return v[1] or ()

    def parameter(self, v: _Values, s: _Places, e: _Places) -> nodes.Parameter:
        return nodes.Parameter(_span(s, e), v[0], None)

    def parameter_default(self, v: _Values, s: _Places, e: _Places) -> nodes.Parameter:
        return nodes.Parameter(_span(s, e), _identifier_at(v, s, e, 0), v[2])

    def declaration(self, v: _Values, s: _Places, e: _Places) -> nodes.Declaration:
        return nodes.Declaration(_span(s, e), _identifier_at(v, s, e, 0), v[2])

    def function(self, v: _Values, s: _Places, e: _Places) -> nodes.Function:
        return nodes.Function(_span(s, e), v[1], v[3], v[5])

    def defaction(self, v: _Values, s: _Places, e: _Places) -> nodes.DefAction:
        return nodes.DefAction(_span(s, e), v[1], v[3], v[4], v[5])

    def result(self, v: _Values, s: _Places, e: _Places) -> Any:
        return v[1]

    # --- Event expressions ------------------------------------------------------------------------

    def event_infix(self, v: _Values, s: _Places, e: _Places) -> nodes.EventOperator:
        return nodes.EventOperator(_span(s, e), v[1], (v[0], v[2]), None, False, Span(s[1], e[1]))

    def between(self, v: _Values, s: _Places, e: _Places) -> nodes.EventOperator:
        operands = (v[0], v[3], v[5])
        return nodes.EventOperator(_span(s, e), "between", operands, None, False, Span(s[1], e[1]))

    def not_between(self, v: _Values, s: _Places, e: _Places) -> nodes.EventOperator:
        operands = (v[0], v[4], v[6])
        return nodes.EventOperator(
            _span(s, e), "not between", operands, None, False, Span(s[1], e[2])
        )

    def event_prefix(self, v: _Values, s: _Places, e: _Places) -> nodes.EventOperator:
        return nodes.EventOperator(_span(s, e), v[0], v[1], None, True, Span(s[0], e[0]))

    def event_any(self, v: _Values, s: _Places, e: _Places) -> nodes.EventOperator:
        return nodes.EventOperator(
            _span(s, e), "any", v[2], self._count(v, s, e), True, Span(s[0], e[0])
        )

    def event_group(self, v: _Values, s: _Places, e: _Places) -> nodes.EventGroup:
        event = v[3]
        if v[5] is not None:
            event = msgspec.structs.replace(event, aggregator=v[5])
        return nodes.EventGroup(_span(s, e), v[0], self._count(v, s, e), event, Span(s[0], e[0]))

    def _count(self, v: _Values, s: _Places, e: _Places) -> int:
        digits: str = v[1].lstrip("0") or "0"
        if len(digits) <= 9:
            return int(digits)
        self.faults.append(
            Diagnostic(
                "K0108",
                "number is too large",
                Span(s[1], e[1]),
                f"`{v[0]}` counts to 999,999,999 at most",
                ("use a smaller number",),
            )
        )
        return 1

    def event_arguments(self, v: _Values, s: _Places, e: _Places) -> Any:
        return v[1]

    def event_domain(self, v: _Values, s: _Places, e: _Places) -> nodes.Identifier:
        return _identifier_at(v, s, e, 0)

    def base_event(self, v: _Values, s: _Places, e: _Places) -> nodes.BaseEvent:
        setting, where, is_where_first = v[4] or ((), None, False)
        name = _identifier_at(v, s, e, 2)
        return nodes.BaseEvent(_span(s, e), v[0], name, v[3], setting, where, None, is_where_first)

    def match(self, v: _Values, s: _Places, e: _Places) -> nodes.AttributeMatch:
        return nodes.AttributeMatch(_span(s, e), _identifier_at(v, s, e, 0), v[1])

    def tail_setting(self, v: _Values, s: _Places, e: _Places) -> Any:
        return (v[0], None, False)

    def tail_where(self, v: _Values, s: _Places, e: _Places) -> Any:
        return ((), v[0], False)

    def tail_setting_where(self, v: _Values, s: _Places, e: _Places) -> Any:
        return (v[0], v[1], False)

    def tail_where_setting(self, v: _Values, s: _Places, e: _Places) -> Any:
        return (v[1], v[0], True)

    def where(self, v: _Values, s: _Places, e: _Places) -> Any:
        return v[1]

    def setting(self, v: _Values, s: _Places, e: _Places) -> Any:
        return v[2]

    def aggregator(self, v: _Values, s: _Places, e: _Places) -> nodes.Aggregator:
        return nodes.Aggregator(_span(s, e), v[0], v[2])

    def within(self, v: _Values, s: _Places, e: _Places) -> nodes.Within:
        return nodes.Within(_span(s, e), v[1], v[2].removesuffix("s"))

    def select_when(self, v: _Values, s: _Places, e: _Places) -> nodes.SelectWhen:
        return nodes.SelectWhen(_span(s, e), v[2], v[3])

    def select_where(self, v: _Values, s: _Places, e: _Places) -> nodes.SelectWhere:
        return nodes.SelectWhere(_span(s, e), v[2])

    # --- Rules ------------------------------------------------------------------------------------

    def foreach(self, v: _Values, s: _Places, e: _Places) -> nodes.ForEach:
        return nodes.ForEach(_span(s, e), v[1], v[2])

    def label(self, v: _Values, s: _Places, e: _Places) -> Any:
        return v[0]

    def action(self, v: _Values, s: _Places, e: _Places) -> nodes.Action:
        span = Span(s[0], e[3])  # without the `;`
        return nodes.Action(span, v[0], v[1], v[2], v[3] or (), Span(s[2], e[2]))

    def actions(self, v: _Values, s: _Places, e: _Places) -> Any:
        return v[1]

    def condition(self, v: _Values, s: _Places, e: _Places) -> Any:
        return v[1]

    def action_block(self, v: _Values, s: _Places, e: _Places) -> nodes.ActionBlock:
        return nodes.ActionBlock(_span(s, e), v[0], v[1], None, v[2], True)

    def choose_block(self, v: _Values, s: _Places, e: _Places) -> nodes.ActionBlock:
        return nodes.ActionBlock(_span(s, e), v[0], "choose", v[2], v[3], True)

    def single_action(self, v: _Values, s: _Places, e: _Places) -> nodes.ActionBlock:
        action = v[1]
        span = Span(s[0], action.span.end)
        return nodes.ActionBlock(span, v[0], "every", None, (action,), False)

    def path(self, v: _Values, s: _Places, e: _Places) -> Any:
        return v[1]

    def assign(self, v: _Values, s: _Places, e: _Places) -> nodes.Assign:
        target = nodes.DomainIdentifier(
            Span(s[0], e[2]), v[0], v[2].name, Span(s[0], e[0]), Span(s[2], e[2])
        )
        return nodes.Assign(_span(s, e), target, v[3], v[5])

    def clear(self, v: _Values, s: _Places, e: _Places) -> nodes.Clear:
        target = nodes.DomainIdentifier(
            Span(s[1], e[3]), v[1].name, v[3].name, Span(s[1], e[1]), Span(s[3], e[3])
        )
        return nodes.Clear(_span(s, e), target, v[4])

    def event_spec(self, v: _Values, s: _Places, e: _Places) -> nodes.EventSpec:
        return nodes.EventSpec(_span(s, e), v[0], v[2])

    def for_rid(self, v: _Values, s: _Places, e: _Places) -> Any:
        return v[1]

    def attributes(self, v: _Values, s: _Places, e: _Places) -> Any:
        return v[1]

    def setting_one(self, v: _Values, s: _Places, e: _Places) -> Any:
        return v[2]

    # `raise` is a word of Python too, so its builder cannot bear the name alone.
    def raise_(self, v: _Values, s: _Places, e: _Places) -> nodes.Raise:
        return nodes.Raise(_span(s, e), v[1], v[2], v[3])

    def schedule_at(self, v: _Values, s: _Places, e: _Places) -> nodes.Schedule:
        return nodes.Schedule(_span(s, e), v[1], v[3], None, v[4], v[5])

    def schedule_repeat(self, v: _Values, s: _Places, e: _Places) -> nodes.Schedule:
        return nodes.Schedule(_span(s, e), v[1], None, v[3], v[4], v[5])

    def level(self, v: _Values, s: _Places, e: _Places) -> Any:
        return v[0]

    def log(self, v: _Values, s: _Places, e: _Places) -> nodes.Log | nodes.Error:
        kind = nodes.Log if v[0] == "log" else nodes.Error
        return kind(_span(s, e), v[1], v[2])

    def last(self, v: _Values, s: _Places, e: _Places) -> nodes.Last:
        return nodes.Last(_span(s, e))

    def on_final(self, v: _Values, s: _Places, e: _Places) -> nodes.Guarded:
        return nodes.Guarded(_span(s, e), v[0], None)

    def guarded(self, v: _Values, s: _Places, e: _Places) -> nodes.Guarded:
        return nodes.Guarded(_span(s, e), v[0], v[2])

    def block(self, v: _Values, s: _Places, e: _Places) -> Any:
        return v[1]

    def else_(self, v: _Values, s: _Places, e: _Places) -> Any:
        return v[1]

    def finally_(self, v: _Values, s: _Places, e: _Places) -> Any:
        return v[1]

    def postlude_always(self, v: _Values, s: _Places, e: _Places) -> nodes.Postlude:
        return nodes.Postlude(_span(s, e), "always", None, None, v[1])

    def postlude(self, v: _Values, s: _Places, e: _Places) -> nodes.Postlude:
        form, first, other, always = v
        fired, notfired = (first, other) if form == "fired" else (other, first)
        return nodes.Postlude(_span(s, e), form, fired, notfired, always)

    def rule_state(self, v: _Values, s: _Places, e: _Places) -> Any:
        return v[1]

    def pre(self, v: _Values, s: _Places, e: _Places) -> Any:
        return v[2]

    def rule(self, v: _Values, s: _Places, e: _Places) -> nodes.Rule:
        _, name, state, _, select, foreach, pre, action_block, postlude, _ = v
        is_active = state != "inactive"
        return nodes.Rule(
            _span(s, e), name, is_active, state, select, foreach, pre or (), action_block, postlude
        )

    # --- Rulesets ---------------------------------------------------------------------------------

    def rid(self, v: _Values, s: _Places, e: _Places) -> nodes.RulesetId:
        return nodes.RulesetId(_span(s, e), v[0])

    def meta_text(self, v: _Values, s: _Places, e: _Places) -> nodes.MetaText:
        return nodes.MetaText(_span(s, e), _identifier_at(v, s, e, 0), v[1])

    def meta_logging(self, v: _Values, s: _Places, e: _Places) -> nodes.MetaLogging:
        return nodes.MetaLogging(_span(s, e), _identifier_at(v, s, e, 0), v[1] == "on")

    def meta_key(self, v: _Values, s: _Places, e: _Places) -> nodes.MetaKey:
        return nodes.MetaKey(_span(s, e), _identifier_at(v, s, e, 0), v[1], v[2])

    def alias(self, v: _Values, s: _Places, e: _Places) -> Any:
        return v[1]

    # `with` too is a word of Python.
    def with_(self, v: _Values, s: _Places, e: _Places) -> Any:
        return v[1]

    def meta_use(self, v: _Values, s: _Places, e: _Places) -> nodes.MetaUse:
        return nodes.MetaUse(_span(s, e), _identifier_at(v, s, e, 0), v[2], v[3], v[4] or ())

    def meta_errors(self, v: _Values, s: _Places, e: _Places) -> nodes.MetaErrors:
        return nodes.MetaErrors(_span(s, e), _identifier_at(v, s, e, 0), v[2])

    def meta_configure(self, v: _Values, s: _Places, e: _Places) -> nodes.MetaConfigure:
        return nodes.MetaConfigure(_span(s, e), _identifier_at(v, s, e, 0), v[2])

    def meta_provides_keys(self, v: _Values, s: _Places, e: _Places) -> nodes.MetaProvidesKeys:
        return nodes.MetaProvidesKeys(_span(s, e), _identifier_at(v, s, e, 0), v[2], v[4])

    def meta_names(self, v: _Values, s: _Places, e: _Places) -> nodes.MetaNames:
        kind = "shares" if v[0].startswith("share") else "provides"
        return nodes.MetaNames(_span(s, e), _identifier_at(v, s, e, 0), kind, v[1])

    def meta(self, v: _Values, s: _Places, e: _Places) -> nodes.Meta:
        return nodes.Meta(_span(s, e), v[2])

    def ruleset_version(self, v: _Values, s: _Places, e: _Places) -> nodes.String:
        return string_at(v[1], s[1], e[1])

    def global_(self, v: _Values, s: _Places, e: _Places) -> Any:
        return v[2]

    def ruleset(self, v: _Values, s: _Places, e: _Places) -> nodes.Ruleset:
        _, rid, _, version, meta, declarations, rules, _ = v
        return nodes.Ruleset(
            _span(s, e), rid, version, meta, declarations or (), rules, declarations is not None
        )

    def fragment(self, v: _Values, s: _Places, e: _Places) -> nodes.Fragment:
        return nodes.Fragment(_span(s, e), v[0])


def string_at(token: str, start: int, end: int) -> nodes.String:
    """Make the node of a string token: its two escapes are resolved in this order."""
    text = token[1:-1]
    if "\\" in text:
        text = text.replace('\\"', '"').replace("\\\\", "\\")
    return nodes.String(Span(start, end), text)
