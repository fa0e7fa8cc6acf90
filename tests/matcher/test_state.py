"""States are values; nothing that is not a state becomes one; faults change nothing."""

from __future__ import annotations

import gc
import sys
from types import ModuleType
from typing import Any

import pytest
from expressions import Event, matcher_of, select_of, to_number
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from krlc import automata

SETTINGS = settings(
    derandomize=True,
    deadline=None,
    max_examples=200,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
TEXT = "repeat 2 (e p x re#(.)# setting(v)) push(m) and e q"


def machine_of(module: ModuleType, text: str = TEXT) -> Any:
    compiled, _ = automata.build(select_of(f"when {text}"))
    assert compiled is not None
    matchers = [matcher_of(one, compiled.settings) for one in compiled.bases]
    return module.Machine(compiled.table, matchers, to_number)


def event(name: str, **attrs: Any) -> Event:
    return Event("e", name, attrs, 0)


def test_state_is_a_value(automaton: ModuleType) -> None:
    machine = machine_of(automaton)
    one, other = (
        machine.step(machine.start, None, event("p", x="1"), 0, None)[1] for _ in range(2)
    )
    assert one is not other
    assert one == other
    assert hash(one) == hash(other)
    assert one != machine.start
    assert one != machine.step(machine.start, None, event("p", x="2"), 0, None)[1]
    assert one != 1
    assert repr(one.pack()) in repr(one)


def test_state_unchanged_is_the_same(automaton: ModuleType) -> None:
    machine = machine_of(automaton)
    _, state = machine.step(machine.start, None, event("p", x="1"), 0, None)
    assert machine.step(state, None, event("z"), 0, None)[1] is state
    assert machine.step(state, None, Event("f", "p", {}, 0), 0, None)[1] is state
    assert machine.step(state, None, event("q"), 0, None)[1] is state


def test_start_is_shared(automaton: ModuleType) -> None:
    machine = machine_of(automaton, "e p before e q x re#(.)# setting(v)")
    _, state = machine.step(machine.start, None, event("p"), 0, None)
    settings, state = machine.step(state, None, event("q", x="1"), 0, None)
    assert settings == ("1",)
    assert state is machine.start
    assert machine.start.pack() == 0


def test_fault_keeps_state(automaton: ModuleType) -> None:
    compiled, _ = automata.build(select_of("when count 2 (e p x re#(.)#) max(m)"))
    assert compiled is not None

    def match(cx: Any, event: Event, saved: tuple) -> tuple:
        if event.attrs["x"] == "boom":
            raise ZeroDivisionError
        return (event.attrs["x"],)

    machine = automaton.Machine(compiled.table, (match,), to_number)
    _, state = machine.step(machine.start, None, event("p", x="1"), 0, None)
    before = state.pack()
    with pytest.raises(ZeroDivisionError):
        machine.step(state, None, event("p", x="boom"), 0, None)
    assert state.pack() == before
    assert machine.step(state, None, event("p", x="4"), 0, None)[0] == (4,)


def test_matcher_with_too_few_values(automaton: ModuleType) -> None:
    compiled, _ = automata.build(select_of("when e p setting(v)"))
    assert compiled is not None
    machine = automaton.Machine(compiled.table, (lambda cx, event, saved: (),), to_number)
    with pytest.raises(ValueError, match="too few values"):
        machine.step(machine.start, None, event("p"), 0, None)


@pytest.mark.parametrize(
    ("captures", "operator", "expected"),
    [
        (("3", "8"), "max", 8),
        (("3", "8"), "avg", 5.5),
        (("1", "3"), "avg", 2),
        (("x", "-1"), "max", 0),
        ((None, "x"), "sum", 0),
        (("9007199254740992", "1"), "sum", 9007199254740992),
        (("9007199254740992", "2"), "sum", 9007199254740994.0),
        ((1.5, 1.5), "sum", 3),
        ((1e308, 1e308), "sum", None),
        ((-0.0, -0.0), "sum", 0),
        (("b", None), "push", ["b", None]),
    ],
)
def test_aggregate(automaton: ModuleType, captures: Any, operator: str, expected: Any) -> None:
    compiled, _ = automata.build(select_of(f"when count 2 (e p x re#(.)#) {operator}(m)"))
    assert compiled is not None

    def number(value: Any) -> Any:
        return value if isinstance(value, float) else to_number(value)

    machine = automaton.Machine(compiled.table, (lambda cx, e, saved: (e.attrs["x"],),), number)
    _, state = machine.step(machine.start, None, event("p", x=captures[0]), 0, None)
    seen, _ = machine.step(state, None, event("p", x=captures[1]), 0, None)
    assert seen == (expected,)
    assert type(seen[0]) is type(expected)


def test_time_limit_unset(automaton: ModuleType) -> None:
    machine = machine_of(automaton, "e p before e q within 1 second")
    _, state = machine.step(machine.start, None, event("p"), 0, None)
    assert machine.step(state, None, event("q"), 10_000_000, None)[0] == ()


DAMAGED = [
    -1,
    10_000,
    2**70,
    True,
    None,
    "start",
    b"\x00",
    1.0,
    [],
    {},
    [0],
    [0, None, None, None, None],
    [True, None, None, None],
    [99, None, None, None],
    [0, ["a"], None, None],
    [0, ["a", "b", "c"], None, None],
    [0, [b"a", "b"], None, None],
    [0, [{}, "b"], None, None],
    [0, [[[]], "b"], None, None],
    [0, [float("nan"), "b"], None, None],
    [0, None, [], None],
    [0, None, [["1", "2", "3"]], None],
    [0, None, [["1", []]], None],
    [0, None, [[], []], None],
    [0, None, ["12"], None],
    [0, None, None, "now"],
    [0, None, None, float("inf")],
    [0, None, None, True],
]


@pytest.mark.parametrize("packed", DAMAGED, ids=repr)
def test_unpack_refuses(automaton: ModuleType, packed: Any) -> None:
    with pytest.raises(ValueError, match=r"automaton|aggregation"):
        machine_of(automaton).unpack(packed)


def test_unpack_lists_of_none(automaton: ModuleType) -> None:
    machine = machine_of(automaton, "e p")
    with pytest.raises(ValueError, match="0 aggregation lists"):
        machine.unpack([0, None, [], None])


junk = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 12),
        st.integers(),
        st.floats(),
        st.text(max_size=3),
    ),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=1), inner, max_size=2)
    ),
    max_leaves=12,
)


@SETTINGS
@given(junk | st.lists(junk, min_size=4, max_size=4))
def test_unpack_junk(automaton: ModuleType, packed: Any) -> None:
    machine = machine_of(automaton)
    try:
        state = machine.unpack(packed)
    except ValueError:
        return
    for name in "pqz":
        _, state = machine.step(state, None, event(name, x="1"), 5, None)
    assert machine.unpack(state.pack()) == state


TABLE = automata.build(select_of(f"when {TEXT}"))[0].table  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "table",
    [
        (),
        None,
        7,
        (99, *TABLE[1:]),
        TABLE[:-1],
        (*TABLE[:2], 1, *TABLE[3:]),
        (*TABLE[:6], 99, *TABLE[7:]),
        (*TABLE[:7], -1, *TABLE[8:]),
        (*TABLE[:8], ((99, ()),) * len(TABLE[8]), *TABLE[9:]),
        (*TABLE[:8], ((-1, ((9, 0),)),) * len(TABLE[8]), *TABLE[9:]),
        (*TABLE[:9], (), TABLE[10]),
        (*TABLE[:10], ()),
        (*TABLE[:10], ((0, -4, -4),) * len(TABLE[10])),
        (*TABLE[:4], (((0,), ((1, "median", 2),)),), *TABLE[5:]),
    ],
    ids=lambda table: repr(table)[:60],
)
def test_table_refused(automaton: ModuleType, table: Any) -> None:
    with pytest.raises(ValueError, match="compile again"):
        automaton.Machine(table, (lambda *_: (),), to_number)


def test_matchers_missing(automaton: ModuleType) -> None:
    with pytest.raises(ValueError, match="needs 1 matchers, not 0"):
        automaton.Machine(TABLE)


def test_states_do_not_leak(automaton: ModuleType) -> None:
    machine = machine_of(automaton)
    kept = "kept" * 2

    def run() -> None:
        state = machine.start
        for at in range(300):
            _, state = machine.step(state, None, event("pq"[at % 5 == 0], x=kept), 0, None)
            state = machine.unpack(state.pack())

    run()
    gc.collect()
    before, blocks = sys.getrefcount(kept), sys.getallocatedblocks()
    for _ in range(5):
        run()
    gc.collect()
    assert sys.getrefcount(kept) == before
    assert sys.getallocatedblocks() - blocks < 200
