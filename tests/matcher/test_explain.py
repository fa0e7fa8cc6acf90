"""Explanations of tables: each step is retold as both twins take it, each way leads to the end."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from expressions import Event, select_of, within_ms
from test_automata import ROWS, load, steps_of

from ext.explain import (
    Outlook,
    Step,
    decide,
    outlook,
    position_of,
    symbol_of,
    target,
)
from krlc import automata, nodes

VECTORS = [row for row in ROWS if "events" in row]


def control_of(state: Any) -> int:
    return position_of(state.pack()).control


def table_of(text: str) -> Any:
    compiled, _ = automata.build(select_of(f"when {text}"))
    assert compiled is not None
    return compiled.table


@pytest.mark.parametrize("row", VECTORS, ids=lambda row: row["id"])
def test_a_step_is_retold_as_it_was_taken(automaton: ModuleType, row: dict[str, str]) -> None:
    select = select_of(row["select"])
    compiled, machine = load(automaton, select)
    table, limit, state = compiled.table, within_ms(select), machine.start
    _, matchers = load_matchers(select)
    for event, is_selected, _ in steps_of(row):
        before = position_of(state.pack())
        _, state = machine.step(state, None, event, event.time_ms, limit)
        symbol = symbol_of(table, event.domain, event.name)
        if symbol is None:
            assert control_of(state) == before.control
            continue
        control, registers = before.control, before.registers
        started = event.time_ms if before.started_ms is None else before.started_ms
        if limit is not None and event.time_ms - started > limit:
            control, registers = table[7], None
        saved = (None,) * table[2] if registers is None else tuple(registers)
        decision = decide(
            table,
            control,
            symbol,
            lambda at, event=event, saved=saved: matchers[at](None, event, saved) is not None,
        )
        assert target(table, control, decision.move) == control_of(state), event
        assert (decision.move == -3) == is_selected, event
        assert set(decision.failed) <= set(decision.tried)
        assert set(decision.decisive) <= set(decision.tried)


def load_matchers(select: nodes.SelectWhen | nodes.SelectWhere) -> tuple[Any, list[Any]]:
    """The automaton of a select and its matchers."""
    found: list[Any] = []

    class Keeper:
        @staticmethod
        def Machine(table: Any, matchers: list[Any], to_number: Any) -> None:  # noqa: N802
            found.extend(matchers)

    compiled, _ = load(Keeper, select)  # type: ignore[arg-type]
    return compiled, found


@pytest.mark.parametrize("row", VECTORS, ids=lambda row: row["id"])
def test_the_way_ahead_ends_in_a_selection(automaton: ModuleType, row: dict[str, str]) -> None:
    compiled, _ = load(automaton, select_of(row["select"]))
    table = compiled.table
    wanted: dict[int, bool] = {}
    matchers = [
        lambda cx, event, saved, at=at: (None,) * wide(table, at) if wanted[at] else None
        for at in range(len(table[4]))
    ]
    machine = automaton.Machine(table, matchers)
    symbols = table[3]
    for start in range(len(table[8])):
        ahead = outlook(table, start)
        if not ahead.path:
            continue
        assert ahead.path[0] in ahead.first
        state = machine.unpack(start)
        for at, step in enumerate(ahead.path):
            wanted.clear()
            wanted.update({number: number in step.held for number in range(len(matchers))})
            domain, name = ("e", "any") if symbols is None else symbols[step.symbol]
            event = Event(domain, name, {}, 0)
            settings, state = machine.step(state, None, event, 0, None)
            assert (settings is not None) == (at == len(ahead.path) - 1), (start, at)


def wide(table: Any, matcher: int) -> int:
    """How many values a matcher of a table gives."""
    settings, aggregates = table[4][matcher]
    return len(settings) + len(aggregates)


def step(symbol: int, held: tuple[int, ...] = (), failed: tuple[int, ...] = ()) -> Step:
    return Step(symbol, held, failed)


OUTLOOKS = [
    ("e p", 0, ((0,),), (0,)),
    ("e p before e q", 0, ((0,),), (0, 1)),
    ("e p and e q", 0, ((0,), (1,)), (0, 1)),
    ("e p or e q", 0, ((0,), (1,)), (0,)),
    ("any 2 (e p, e q, e r)", 0, ((0,), (1,), (2,)), (0, 1)),
    ("count 3 (e p)", 0, ((0,),), (0, 0, 0)),
]


@pytest.mark.parametrize(("text", "control", "first", "path"), OUTLOOKS)
def test_outlook_names_the_events_still_needed(
    text: str, control: int, first: tuple[tuple[int, ...], ...], path: tuple[int, ...]
) -> None:
    ahead = outlook(table_of(text), control)
    assert tuple((one.symbol,) for one in ahead.first) == first
    assert tuple(one.symbol for one in ahead.path) == path


def test_outlook_says_which_matchers_have_to_hold() -> None:
    table = table_of("e p x re#1# before e q y re#2# setting(y)")
    assert outlook(table, 0).path == (step(0, (0,)), step(1, (1,)))


def test_nothing_leads_out_of_an_expression_without_end() -> None:
    assert outlook(table_of("any 0 (e p, e q)"), 0) == Outlook((), ())


def test_decide_tells_which_matcher_failed() -> None:
    table = table_of("e p x re#1# or e p x re#2#")
    decision = decide(table, 0, 0, lambda at: at == 1)
    assert (decision.tried, decision.failed) == ((0, 1), (0,))
    assert decision.decisive in ((0, 1), (1,))
    nothing = decide(table, 0, 0, lambda at: False)
    assert nothing.failed == (0, 1)
    assert target(table, 0, nothing.move) == 0
