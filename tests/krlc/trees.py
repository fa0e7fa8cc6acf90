"""Strategies for syntax trees of KRL: every construct, with names and texts that are hard to print.

In: nothing. Out: hypothesis strategies for `Ruleset` and `Fragment` nodes as the parser could give
them (spans aside, which are all zero).
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from krlc import nodes as n
from krlc.lexer import words
from krlc.source import Span

AT = Span(0, 0)
# Trees are large: few of them say much, and shrinking one takes minutes.
FEW = settings(
    max_examples=40,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
PLAIN = words("a b c x1 _y $z greeting")
CONTEXTUAL = words(
    "ruleset meta global rule select when where within foreach pre if every choose sample"
    " fired notfired always else finally on final last raise event for attributes schedule"
    " at log error warn clear use module alias with configure provides shares keys to name"
    " version active second days max push"
)
OPERATORS = words("like cmp and or before then after between any count repeat")
NAMES = PLAIN + CONTEXTUAL
RESERVED_NAMES = words("function return not setting null true")

symbol = st.sampled_from(PLAIN)


def identifier(names: tuple[str, ...]) -> st.SearchStrategy[n.Identifier]:
    """An identifier with one of some names."""
    return st.sampled_from(names).map(lambda name: n.Identifier(AT, name))


plain = identifier(PLAIN)
declared = identifier(NAMES + OPERATORS)
texts = st.text(st.sampled_from('ab"\\>#{}<n \n/*é'), max_size=8)


def several(strategy: st.SearchStrategy[Any], low: int = 0, high: int = 3) -> Any:
    """A tuple of a few."""
    return st.lists(strategy, min_size=low, max_size=high).map(tuple)


@st.composite
def domain_identifiers(draw: st.DrawFn, domains: tuple[str, ...]) -> n.DomainIdentifier:
    domain, name = draw(st.sampled_from(domains)), draw(st.sampled_from(NAMES + OPERATORS))
    return n.DomainIdentifier(AT, domain, name, AT, AT)


def _number(value: float) -> n.Number:
    return n.Number(AT, int(value) if value.is_integer() and value <= 2**53 else value)


patterns = ("a", "(.*)", "a#b", "^[0-9]+$", "", "a\\\\", "\\d{2}", "//", "/* */", '"', ">>")
regexps = st.builds(
    lambda pattern, flags: n.Regexp(AT, pattern, flags),
    st.sampled_from(patterns),
    st.sampled_from(["", "g", "i", "gi", "mig"]),
)
leaves = st.one_of(
    st.just(n.Null(AT)),
    st.booleans().map(lambda value: n.Boolean(AT, value)),
    st.floats(min_value=0, allow_nan=False, allow_infinity=False).map(_number),
    st.integers(0, 2**53).map(lambda value: n.Number(AT, value)),
    texts.map(lambda text: n.String(AT, text)),
    regexps,
    identifier(NAMES),
    domain_identifiers(NAMES),
)


def _chevron(parts: list[Any]) -> n.Chevron:
    return n.Chevron(AT, tuple(n.String(AT, p) if isinstance(p, str) else p for p in parts))


def _declarations(values: Any, low: int = 0) -> Any:
    return several(st.builds(lambda name, v: n.Declaration(AT, name, v), declared, values), low)


def _parameters(values: Any) -> Any:
    names = identifier(NAMES)
    return several(st.builds(lambda p, d: n.Parameter(AT, p, d), names, st.none() | values))


def _arguments(values: Any) -> Any:
    name = st.none() | identifier(NAMES + OPERATORS)
    return several(st.builds(lambda p, v: n.Argument(AT, p, v), name, values))


def _actions(values: Any) -> Any:
    return st.builds(
        lambda label, name, arguments, names: n.Action(AT, label, name, arguments, names, AT),
        st.none() | plain,
        plain | domain_identifiers(PLAIN),
        _arguments(values),
        several(identifier(NAMES), 0, 2),
    )


def action_blocks(values: Any) -> Any:
    """Action blocks of every shape."""
    condition = st.none() | values
    single = st.builds(
        lambda c, action: n.ActionBlock(AT, c, "every", None, (action,), False),
        condition,
        _actions(values),
    )
    block = st.builds(
        lambda c, kind, actions: n.ActionBlock(AT, c, kind, None, actions, True),
        condition,
        st.sampled_from(["every", "sample"]),
        several(_actions(values)),
    )
    choose = st.builds(
        lambda c, value, actions: n.ActionBlock(AT, c, "choose", value, actions, True),
        condition,
        values,
        several(_actions(values)),
    )
    return single | block | choose


def _compound(values: Any) -> Any:
    member = identifier(NAMES + OPERATORS) | domain_identifiers(NAMES + OPERATORS)
    infix = [
        "+",
        "-",
        "*",
        "/",
        "%",
        "==",
        "!=",
        "<",
        "<=",
        ">",
        ">=",
        "><",
        "<=>",
        "like",
        "cmp",
        "&&",
        "||",
    ]
    body = _declarations(values)
    return st.one_of(
        st.lists(texts.filter(bool) | values, max_size=3).map(_chevron),
        several(values).map(lambda items: n.Array(AT, items)),
        several(
            st.builds(lambda k, v: n.MapEntry(AT, n.String(AT, k), v), texts, values), 0, 3
        ).map(lambda entries: n.Map(AT, entries)),
        st.builds(lambda o, v: n.Unary(AT, o, v, AT), st.sampled_from(["not", "-", "+"]), values),
        st.builds(lambda o, a, b: n.Infix(AT, o, a, b, AT), st.sampled_from(infix), values, values),
        st.builds(lambda a, b, c: n.Conditional(AT, a, b, c), values, values, values),
        st.builds(lambda a, b: n.Path(AT, a, b), values, values),
        st.builds(lambda a, b: n.Index(AT, a, b), values, values),
        st.builds(lambda a, b: n.Member(AT, a, b), values, member),
        st.builds(
            lambda a, m, b: n.Call(AT, n.Member(AT, a, m), b, AT),
            values,
            member,
            _arguments(values),
        ),
        st.builds(lambda a, b: n.Call(AT, a, b, AT), values, _arguments(values)),
        st.builds(lambda p, b, r: n.Function(AT, p, b, r), _parameters(values), body, values),
        st.builds(lambda p, b: n.DefAction(AT, p, b, None, None), _parameters(values), body),
        st.builds(
            lambda p, b, a, r: n.DefAction(AT, p, b, a, r),
            _parameters(values),
            body,
            action_blocks(values),
            st.none() | values,
        ),
    )


expressions = st.recursive(leaves, _compound, max_leaves=10)

# --- Event expressions ----------------------------------------------------------------------------

event_domains = identifier((*NAMES, "return", "setting"))
event_names = identifier(NAMES + OPERATORS + RESERVED_NAMES)


@st.composite
def matchers(draw: st.DrawFn) -> Any:
    """A regular expression, now and then with something called on it."""
    value: Any = draw(regexps)
    if draw(st.integers(0, 4)) == 0:
        name = n.Identifier(AT, "klog")
        value = n.Call(AT, n.Member(AT, value, name), draw(_arguments(leaves)), AT)
    return value


def _base(domain: Any, name: Any, matches: Any, setting: Any, where: Any, order: bool) -> Any:
    is_first = order and bool(setting) and where is not None
    return n.BaseEvent(AT, domain, name, matches, setting, where, None, is_first)


base_events = st.builds(
    _base,
    event_domains,
    event_names,
    several(
        st.builds(
            lambda k, v: n.AttributeMatch(AT, k, v), identifier(NAMES + OPERATORS), matchers()
        ),
        0,
        2,
    ),
    several(identifier(NAMES), 0, 2),
    st.none() | expressions,
    st.booleans(),
)


def _group(operator: str, count: int, event: n.BaseEvent, aggregator: Any) -> n.EventGroup:
    parts = [getattr(event, field) for field in event.__struct_fields__]
    parts[event.__struct_fields__.index("aggregator")] = aggregator
    return n.EventGroup(AT, operator, count, n.BaseEvent(*parts), AT)


groups = st.builds(
    _group,
    st.sampled_from(["count", "repeat"]),
    st.integers(0, 12),
    base_events,
    st.none()
    | st.builds(
        lambda o, names: n.Aggregator(AT, o, names),
        st.sampled_from(["max", "min", "sum", "avg", "push"]),
        several(identifier(NAMES), 1, 2),
    ),
)


def _operator(operator: str, operands: Any, count: int | None, prefix: bool) -> Any:
    return n.EventOperator(AT, operator, tuple(operands), count, prefix, AT)


def _event_compound(events: Any) -> Any:
    words = st.sampled_from(["and", "or", "before", "then", "after"])
    return st.one_of(
        st.builds(lambda o, a, b: _operator(o, (a, b), None, False), words, events, events),
        st.builds(lambda o, list_: _operator(o, list_, None, True), words, several(events, 1)),
        st.builds(
            lambda k, list_: _operator("any", list_, k, True), st.integers(0, 9), several(events, 1)
        ),
        st.builds(
            lambda o, a, b, c: _operator(o, (a, b, c), None, False),
            st.sampled_from(["between", "not between"]),
            events,
            events,
            events,
        ),
    )


event_expressions = st.recursive(base_events | groups, _event_compound, max_leaves=5)
selects = st.builds(
    lambda event, within: n.SelectWhen(AT, event, within),
    event_expressions,
    st.none()
    | st.builds(
        lambda limit, unit: n.Within(AT, limit, unit),
        expressions,
        st.sampled_from(["second", "minute", "hour", "day", "week", "month", "year"]),
    ),
) | expressions.map(lambda condition: n.SelectWhere(AT, condition))

# --- Rules and rulesets ---------------------------------------------------------------------------

targets = domain_identifiers(("ent", "app", "for", "on"))
paths = st.none() | expressions
event_specs = st.builds(
    lambda domain, value: n.EventSpec(AT, domain, value),
    st.none() | identifier(tuple(name for name in NAMES if name != "event")),
    expressions,
)
levels = st.sampled_from(["error", "warn", "info", "debug"])


@st.composite
def schedules(draw: st.DrawFn) -> n.Schedule:
    at, repeat = draw(expressions), None
    if draw(st.booleans()):
        at, repeat = None, at
    name = draw(st.none() | identifier(NAMES))
    return n.Schedule(AT, draw(event_specs), at, repeat, draw(paths), name)


STATEMENT_WORDS = {"clear", "raise", "schedule", "log", "error", "last"}
cores = st.one_of(
    st.builds(lambda t, p, v: n.Assign(AT, t, p, v), targets, paths, expressions),
    st.builds(lambda t, p: n.Clear(AT, t, p), targets, paths),
    st.builds(lambda e, r, a: n.Raise(AT, e, r, a), event_specs, paths, paths),
    schedules(),
    st.builds(lambda level, v: n.Log(AT, level, v), levels, expressions),
    st.builds(lambda level, v: n.Error(AT, level, v), levels, expressions),
    st.just(n.Last(AT)),
    st.builds(
        lambda name, v: n.Declaration(AT, name, v),
        identifier(tuple(name for name in NAMES if name not in STATEMENT_WORDS)),
        expressions,
    ),
)
statements = cores | st.builds(lambda s, c: n.Guarded(AT, s, c), cores, paths)
blocks = several(statements)


@st.composite
def postludes(draw: st.DrawFn) -> n.Postlude:
    form = draw(st.sampled_from(["always", "fired", "notfired"]))
    if form == "always":
        return n.Postlude(AT, form, None, None, draw(blocks))
    first, other, always = draw(blocks), draw(st.none() | blocks), draw(st.none() | blocks)
    fired, notfired = (first, other) if form == "fired" else (other, first)
    return n.Postlude(AT, form, fired, notfired, always)


@st.composite
def rules(draw: st.DrawFn) -> n.Rule:
    state = draw(st.sampled_from([None, "active", "inactive"]))
    loops = st.builds(
        lambda v, names: n.ForEach(AT, v, names), expressions, several(identifier(NAMES), 1, 2)
    )
    return n.Rule(
        AT,
        draw(identifier(NAMES)),
        state != "inactive",
        state,
        draw(st.none() | selects),
        draw(several(loops, 0, 2)),
        draw(_declarations(expressions)),
        draw(st.none() | action_blocks(expressions)),
        draw(st.none() | postludes()),
    )


rids = st.sampled_from(["a", "a.b", "io.x-y.z", "return.null"]).map(
    lambda rid: n.RulesetId(AT, rid)
)


def _key(name: str) -> n.Identifier:
    return n.Identifier(AT, name)


meta_properties = st.one_of(
    st.builds(
        lambda key, v: n.MetaText(AT, _key(key), v),
        st.sampled_from(["name", "description", "author", "version"]),
        expressions,
    ),
    st.booleans().map(lambda is_on: n.MetaLogging(AT, _key("logging"), is_on)),
    st.builds(
        lambda key, name, v: n.MetaKey(AT, _key(key), name, v),
        st.sampled_from(["key", "keys"]),
        plain,
        expressions,
    ),
    st.builds(
        lambda rid, alias, settings: n.MetaUse(AT, _key("use"), rid, alias, settings),
        rids,
        st.none() | identifier(NAMES),
        _declarations(expressions),
    ),
    rids.map(lambda rid: n.MetaErrors(AT, _key("errors"), rid)),
    _declarations(expressions).map(lambda d: n.MetaConfigure(AT, _key("configure"), d)),
    st.builds(
        lambda kind, names: n.MetaNames(AT, _key(kind), kind, names),
        st.sampled_from(["shares", "provides"]),
        several(plain, 1, 12),
    ),
    st.builds(
        lambda names, to: n.MetaProvidesKeys(AT, _key("provides"), names, to),
        several(plain, 1),
        several(rids, 1),
    ),
)


@st.composite
def rulesets(draw: st.DrawFn) -> n.Ruleset:
    """Whole rulesets."""
    has_global = draw(st.booleans())
    return n.Ruleset(
        AT,
        draw(rids),
        draw(st.none() | texts.map(lambda text: n.String(AT, text))),
        draw(st.none() | several(meta_properties).map(lambda p: n.Meta(AT, p))),
        draw(_declarations(expressions)) if has_global else (),
        draw(several(rules(), 0, 2)),
        has_global,
    )


def _starts_ruleset(fragment: n.Fragment) -> bool:
    """Say whether a fragment would begin with the word `ruleset`, which opens a ruleset."""
    item: Any = fragment.items[0] if fragment.items else None
    while True:
        if isinstance(item, n.Identifier):
            return item.name == "ruleset"
        if isinstance(item, n.DomainIdentifier):
            return item.domain == "ruleset"
        following = [getattr(item, f, None) for f in ("left", "test", "object", "callee")]
        item = next((node for node in following if node is not None), None)
        if item is None:
            return False


fragments = (
    several(
        expressions | st.builds(lambda name, v: n.Declaration(AT, name, v), declared, expressions),
        1,
        3,
    )
    .map(lambda items: n.Fragment(AT, items))
    .filter(lambda fragment: not _starts_ruleset(fragment))
)
