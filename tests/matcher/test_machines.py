"""The machines that the language reference lists, built by the compiler and by the oracle."""

from __future__ import annotations

import re

import pytest
from expressions import select_of
from oracle import net_of

from krlc import nodes
from krlc.machine import (
    AnyGuard,
    BaseGuard,
    Guards,
    NotGuard,
    build_machine,
    find_occurrences,
)

Net = frozenset[tuple[str, str, str]]

# Expression, its machine: `from guard to` with several moves of one state after a semicolon.
MACHINES = [
    ("p or q", "start p end; q end"),
    ("p before q", "start p s0 | s0 q end"),
    ("p after q", "start q s0 | s0 p end"),
    ("p then q", "start p s0 | s0 q end; !q start"),
    ("then(p, q, r)", "start p s0 | s0 q s1; !q start | s1 r end; !r start"),
    ("p then q then r", "start p s0 | s0 q s1; !q start | s1 r end; !r start"),
    ("p then (q or r)", "start p s0 | s0 q end; r end; !q,!r start"),
    ("p and q", "start p s0; q s1 | s0 q end | s1 p end"),
    (
        "p and q and r",
        "start p s0; q s1; r s3 | s0 q s2 | s1 p s2 | s2 r end"
        " | s3 p s4; q s5 | s4 q end | s5 p end",
    ),
    ("p and p", "start p s0 | s0 p end"),
    ("p and (q or r)", "start p s0; q s1; r s1 | s0 q end; r end | s1 p end"),
    (
        "any 2 (p, q, r)",
        "start p s0; q s1; r s2 | s0 q end; r end | s1 p end; r end | s2 p end; q end",
    ),
    ("p between(q, r)", "start q s0 | s0 p s1 | s1 r end"),
    ("p not between(q, r)", "start q s0 | s0 p start; r end"),
    ("p not between(q, p)", "start q s0 | s0 p start; p end"),
    ("count 3 (p)", "start p s0 | s0 p s1 | s1 p end"),
    ("repeat 3 (p)", "start p s0 | s0 p s1 | s1 p end | end p end"),
    ("repeat 1 (p)", "start p end | end p end"),
    ("(p before p) or p", "start p s0; p end | s0 p end"),
    ("(p and q) or q", "start p s0; q s1; q end | s0 q end | s1 p end"),
    ("(p and q) or (r and p)", "start p s0; q s1; r s2 | s0 q end; r end | s1 p end | s2 p end"),
    ("repeat 2 (p) before q", "start p s0 | s0 p s1 | s1 p s1; q end"),
    ("q before repeat 2 (p)", "start q s0 | s0 p s1 | s1 p end | end p end"),
    ("repeat 2 (p) or q", "start p s0; q end | s0 p end | end p end"),
    (
        "repeat 2 (p) and q",
        "start p s0; q s2 | s0 p s1 | s1 p s1; q end | s2 p s3 | s3 p end | end p end",
    ),
]
ORDERS_KEPT = (
    "and(p, q, r)",
    "start p s0; q s1; r s4 | s0 q s7; r s8 | s1 p s2; r s3 | s2 r end | s3 p end"
    " | s4 p s5; q s6 | s5 q end | s6 p end | s7 r end | s8 q end",
)
SETS_KEPT = (
    "and(p, q, r)",
    "start p s0; q s1; r s2 | s0 q s3; r s4 | s1 p s3; r s5 | s2 p s4; q s5"
    " | s3 r end | s4 q end | s5 p end",
)


def listed(text: str) -> Net:
    found = set()
    for state in text.split(" | "):
        source, _, moves = state.partition(" ")
        for move in moves.split("; "):
            guard, target = move.split()
            found.add((source, guard, target))
    return frozenset(found)


def event_of(text: str) -> nodes.EventExpression:
    """Parse an expression whose base events p, q and r stand without their domain `e`."""
    return select_of("when " + re.sub(r"\b([pqr])\b", r"e \1", text)).event


def compiled_net(text: str) -> Net:
    event = event_of(text)
    occurrences, guards = find_occurrences(event), Guards()
    machine = build_machine(event, occurrences, guards)
    named = {machine.start: "start", machine.end: "end"}

    def guard_text(number: int) -> str:
        shape = guards.shapes[number]
        if isinstance(shape, BaseGuard):
            return occurrences.symbols[shape.symbol][1]
        if isinstance(shape, NotGuard):
            return "!" + guard_text(shape.guard)
        assert isinstance(shape, AnyGuard)
        return ",".join(guard_text(one) for one in shape.guards)

    return frozenset(
        (named.get(a, f"t{a}"), guard_text(guard), named.get(b, f"t{b}"))
        for a, guard, b in machine.transitions
    )


def oracle_net(text: str) -> Net:
    net = net_of(event_of(text), {})
    net = net.renamed({net.start: "start", net.end: "end"})

    def guard_text(guard: tuple) -> str:
        if guard[0] == "base":
            return guard[2]
        if guard[0] == "not":
            return "!" + guard_text(guard[1])
        return ",".join(guard_text(one) for one in guard[1:])

    return frozenset((a, guard_text(guard), b) for a, guard, b in net.transitions)


def are_alike(one: Net, other: Net) -> bool:
    """Tell whether two machines differ in the names of inner states only."""
    if len(one) != len(other):
        return False
    states = sorted({s for a, _, b in one for s in (a, b)} - {"start", "end"})
    others = {s for a, _, b in other for s in (a, b)} - {"start", "end"}

    def fits(names: dict[str, str]) -> bool:
        return all((names[a], g, names[b]) in other for a, g, b in one if a in names and b in names)

    def search(names: dict[str, str], left: list[str]) -> bool:
        if not left:
            return fits(names)
        for candidate in sorted(others - set(names.values())):
            chosen = names | {left[0]: candidate}
            if fits(chosen) and search(chosen, left[1:]):
                return True
        return False

    return search({"start": "start", "end": "end"}, states)


@pytest.mark.parametrize(("text", "machine"), [*MACHINES, SETS_KEPT], ids=lambda value: value[:30])
def test_compiled_machine(text: str, machine: str) -> None:
    assert are_alike(compiled_net(text), listed(machine)), sorted(compiled_net(text))


@pytest.mark.parametrize(
    ("text", "machine"), [*MACHINES, ORDERS_KEPT], ids=lambda value: value[:30]
)
def test_oracle_machine(text: str, machine: str) -> None:
    assert are_alike(oracle_net(text), listed(machine)), sorted(oracle_net(text))


def test_alike_sees_a_difference() -> None:
    assert not are_alike(listed("start p s0 | s0 q end"), listed("start p s0 | s0 p end"))
    assert not are_alike(listed("start p end"), listed("start p end; q end"))
