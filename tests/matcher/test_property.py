"""Random expressions and event streams: both twins against the oracle, states stored in between.

KRL_EXAMPLES=20000 runs that many examples with fresh seeds; a failing one is printed by hypothesis.
"""

from __future__ import annotations

import os
from typing import Any

import msgpack
from expressions import (
    NOWHERE,
    Event,
    base,
    group,
    matcher_of,
    name,
    operator,
    to_number,
    when,
    within_ms,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import Oracle

import ext.automaton
import ext.automaton_py
from krlc import automata, nodes

EXAMPLES = os.environ.get("KRL_EXAMPLES")
SETTINGS = settings(
    derandomize=EXAMPLES is None,
    deadline=None,
    max_examples=int(EXAMPLES or 200),
    suppress_health_check=list(HealthCheck) if EXAMPLES else [HealthCheck.too_slow],
    database=None,
    print_blob=True,
)

EVENTS = "pqr"
VALUES = ("a", "b1", "2", "3", None)

plain = st.sampled_from(EVENTS).map(base)


@st.composite
def matched(draw: st.DrawFn) -> nodes.BaseEvent:
    """A base event with attribute matches, settings and where in any mixture."""
    keys = tuple(draw(st.lists(st.sampled_from("xy"), max_size=2)))
    setting = tuple(draw(st.lists(st.sampled_from(["u", "v", "w"]), max_size=2, unique=True)))
    made = base(draw(st.sampled_from(EVENTS)), keys, setting)
    if draw(st.integers(0, 3)):
        return made
    attrs = nodes.DomainIdentifier(NOWHERE, "event", "attrs", NOWHERE, NOWHERE)
    text = nodes.String(NOWHERE, draw(st.sampled_from(["b1", "2"])))
    looked_at: nodes.Expression = nodes.Path(NOWHERE, attrs, nodes.String(NOWHERE, "y"))
    if draw(st.booleans()):
        looked_at = name(draw(st.sampled_from(["u", "v", "w"])))  # perhaps another base event's
    where = nodes.Infix(NOWHERE, "==", looked_at, text, NOWHERE)
    return nodes.BaseEvent(
        NOWHERE, made.domain, made.name, made.matches, made.setting, where, None, False
    )


@st.composite
def grouped(draw: st.DrawFn) -> nodes.EventGroup:
    """`count` or `repeat`, often with an aggregator."""
    word = draw(st.sampled_from(["count", "repeat"]))
    count = draw(st.integers(1 if word == "repeat" else 0, 3))
    keys = tuple(draw(st.lists(st.sampled_from("xy"), max_size=2)))
    aggregator = None
    if draw(st.booleans()):
        names = tuple(draw(st.lists(st.sampled_from(["v", "m", "n"]), min_size=1, max_size=2)))
        aggregator = (draw(st.sampled_from(["max", "min", "sum", "avg", "push"])), names)
    return group(word, count, base(draw(st.sampled_from(EVENTS)), keys, (), aggregator))


def combined(
    inner: st.SearchStrategy[nodes.EventExpression],
) -> st.SearchStrategy[nodes.EventExpression]:
    """Every operator over expressions."""
    several = st.lists(inner, min_size=1, max_size=4)
    return st.one_of(
        st.builds(
            lambda word, operands: operator(word, *operands),
            st.sampled_from(["or", "and", "before", "then", "after"]),
            several,
        ),
        several.filter(lambda operands: len(operands) > 1).flatmap(
            lambda operands: st.integers(0, len(operands) - 1).map(
                lambda count: operator("any", *operands, count=count)
            )
        ),
        st.builds(
            lambda word, operands: operator(word, *operands),
            st.sampled_from(["between", "not between"]),
            st.tuples(inner, inner, inner),
        ),
    )


expressions = st.recursive(st.one_of(plain, matched(), grouped()), combined, max_leaves=6)

events = st.lists(
    st.builds(
        lambda name, x, y, at: Event("e", name, {"x": x, "y": y}, at),
        st.sampled_from(EVENTS + "z"),
        st.sampled_from(VALUES),
        st.sampled_from(VALUES),
        st.integers(0, 6000),
    ),
    min_size=1,
    max_size=24,
)


small = st.one_of(
    plain,
    matched(),
    st.builds(
        lambda word, operands: operator(word, *operands),
        st.sampled_from(["before", "or", "between", "then"]),
        st.tuples(plain, plain, plain),
    ),
    st.builds(lambda count: group("count", count, base("p")), st.integers(1, 2)),
)


@st.composite
def in_any_order(draw: st.DrawFn) -> nodes.EventOperator:
    """`and` or `any` over up to four operands: kept as sets by the compiler, as orders here."""
    operands = draw(st.lists(small, min_size=3, max_size=4))
    if draw(st.booleans()):
        return operator("and", *operands)
    return operator("any", *operands, count=draw(st.integers(2, len(operands) - 1)))


def stored(machine: Any, state: Any) -> Any:
    """Return a state after a trip to the store."""
    return machine.unpack(msgpack.unpackb(msgpack.packb(state.pack())))


@SETTINGS
@given(expressions, st.sampled_from([None, None, 2]), st.booleans(), events)
def test_twins_equal_oracle(
    event: nodes.EventExpression, limit_s: int | None, is_ordered: bool, stream: list[Event]
) -> None:
    check(event, limit_s, is_ordered, stream)


@SETTINGS
@given(in_any_order(), events)
def test_sets_equal_orders(event: nodes.EventOperator, stream: list[Event]) -> None:
    check(event, None, False, stream)


def check(
    event: nodes.EventExpression, limit_s: int | None, is_ordered: bool, stream: list[Event]
) -> None:
    """Feed the twins and the oracle the same events; compare what they select and bind."""
    select = when(event, limit_s)
    compiled, _ = automata.build(select)
    if compiled is None:
        return  # too large: tested elsewhere
    if is_ordered:
        stream = [
            one._replace(time_ms=at)
            for one, at in zip(stream, sorted(e.time_ms for e in stream), strict=True)
        ]
    matchers = [matcher_of(one, compiled.settings) for one in compiled.bases]
    limit = within_ms(select)
    oracle = Oracle(event, matchers, compiled.settings, limit, to_number)
    runs = []
    for module in (ext.automaton_py, ext.automaton):
        machine = module.Machine(compiled.table, matchers, to_number)
        runs.append([machine, machine.start])
    for one in stream:
        expected = oracle.feed(one)
        packed = []
        for run in runs:
            machine, before = run
            settings, after = machine.step(before, None, one, one.time_ms, limit)
            seen = None
            if settings is not None:
                seen = dict(zip(compiled.settings, settings, strict=True))
            assert seen == expected, automata.dump(compiled)
            assert (after == before) == (after is before)
            assert stored(machine, after) == after
            run[1] = stored(machine, after)
            packed.append(after.pack())
        assert packed[0] == packed[1]
