"""Automaton tables explained: how a step was decided, and what still has to come.

In: a table made by `krlc.automata` (layout: `DESIGN.md`), a control state, which matchers hold.
Out: the decisions of one step, and the shortest ways to a selection. Pure and not hot: it runs when
somebody asks, so it has no compiled twin. Not here: registers, clocks, words for people.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ext.automaton_py import REFERENCES, RESET, SELECT, STAY, expand_row

Table = tuple[Any, ...]


class Position(NamedTuple):
    """What a packed state says: `registers` are None when all are null."""

    control: int
    registers: list[Any] | None
    started_ms: int | float | None


class Decision(NamedTuple):
    """One step as the machine takes it.

    `tried` are the matchers that ran; `failed` those of them that did not hold; `decisive` those
    whose outcome was looked at, in that order. `move` is a control state, STAY, RESET or SELECT.
    """

    tried: tuple[int, ...]
    failed: tuple[int, ...]
    decisive: tuple[int, ...]
    move: int


class Step(NamedTuple):
    """One event that leads on: its symbol, and which matchers have to hold and to fail for it."""

    symbol: int
    held: tuple[int, ...]
    failed: tuple[int, ...]


class Outlook(NamedTuple):
    """What a control state waits for.

    `first` are all steps that bring a selection nearer, `path` is one shortest way to it, which
    begins with one of them; both are empty when nothing leads to a selection.
    """

    first: tuple[Step, ...]
    path: tuple[Step, ...]


def position_of(packed: int | list[Any]) -> Position:
    """Return where an automaton stands; `packed` is what `State.pack` gives."""
    if type(packed) is int:
        return Position(packed, None, None)
    assert isinstance(packed, list)
    return Position(packed[0], packed[1], packed[3])


def symbol_of(table: Table, domain: str, name: str) -> int | None:
    """Return the symbol of an event; None when the expression does not listen for it."""
    symbols = table[3]
    if symbols is None:
        return 0
    return next((at for at, pair in enumerate(symbols) if pair == (domain, name)), None)


def decide(table: Table, control: int, symbol: int, holds: Callable[[int], bool]) -> Decision:
    """Take one step from a control state, asking `holds` for each matcher the machine would run.

    Raises: whatever `holds` raises.
    """
    symbols, rows, guards, decisions = table[3], table[8], table[9], table[10]
    move = expand_row(rows[control], 1 if symbols is None else len(symbols))[symbol]
    if move > REFERENCES:
        return Decision((), (), (), move)
    tried, node = guards[REFERENCES - move]
    held = {matcher for matcher in tried if holds(matcher)}
    decisive = []
    while node <= REFERENCES:
        matcher, if_failed, if_held = decisions[REFERENCES - node]
        decisive.append(matcher)
        node = if_held if matcher in held else if_failed
    failed = tuple(matcher for matcher in tried if matcher not in held)
    return Decision(tried, failed, tuple(dict.fromkeys(decisive)), node)


def target(table: Table, control: int, move: int) -> int:
    """Return the control state after a move."""
    if move == SELECT:
        end: int = table[6]
        return end
    if move == RESET:
        return 0
    return control if move == STAY else move


def outlook(table: Table, control: int) -> Outlook:
    """Return what a control state waits for.

    Cost: O(states × symbols × decisions behind a move).
    """
    edges = _edges(table)
    distances = _distances(edges)
    if control not in distances:
        return Outlook((), ())
    first = tuple(_nearer(edges, distances, control))
    path: list[Step] = []
    at = control
    while True:
        step, at = next(
            (step, goal)
            for step, goal in edges[at]
            if (0 if goal == SELECT else distances.get(goal, -1)) == distances[at] - 1
        )
        path.append(step)
        if at == SELECT:
            return Outlook(first, tuple(path))


Edges = list[list[tuple[Step, int]]]


def _nearer(edges: Edges, distances: dict[int, int], control: int) -> list[Step]:
    """The steps out of a control state that bring a selection nearer, one for each condition."""
    found: dict[Step, None] = {}
    for step, goal in edges[control]:
        distance = 0 if goal == SELECT else distances.get(goal)
        if distance is not None and distance < distances[control]:
            found.setdefault(step)
    return list(found)


def _edges(table: Table) -> Edges:
    """For each control state (step, control state or SELECT) of the moves that lead elsewhere."""
    symbols, rows, guards, decisions = table[3], table[8], table[9], table[10]
    width = 1 if symbols is None else len(symbols)
    leaves = _leaves(decisions)
    edges: Edges = []
    for control, row in enumerate(rows):
        own: list[tuple[Step, int]] = []
        for symbol, move in enumerate(expand_row(row, width)):
            ways = {move: ((), ())} if move > REFERENCES else None
            if ways is None:
                node = guards[REFERENCES - move][1]
                ways = leaves[REFERENCES - node] if node <= REFERENCES else {node: ((), ())}
            for leaf, (held, failed) in ways.items():
                goal = SELECT if leaf == SELECT else target(table, control, leaf)
                if goal != control:
                    own.append((Step(symbol, held, failed), goal))
        edges.append(own)
    return edges


Ways = dict[int, tuple[tuple[int, ...], tuple[int, ...]]]


def _leaves(decisions: tuple[tuple[int, int, int], ...]) -> list[Ways]:
    """For each decision its outcomes, each with the fewest matchers that hold and fail for it.

    A decision refers to earlier ones only, so one pass serves.
    """
    found: list[Ways] = []
    for matcher, if_failed, if_held in decisions:
        ways: Ways = {}
        for node, is_held in ((if_held, True), (if_failed, False)):
            below: Ways = found[REFERENCES - node] if node <= REFERENCES else {node: ((), ())}
            for leaf, (held, failed) in below.items():
                way = ((matcher, *held), failed) if is_held else (held, (matcher, *failed))
                known = ways.get(leaf)
                if known is None or len(way[0]) + len(way[1]) < len(known[0]) + len(known[1]):
                    ways[leaf] = way
        found.append(ways)
    return found


def _distances(edges: Edges) -> dict[int, int]:
    """How many events each control state is away from a selection; without those that never are."""
    back: dict[int, list[int]] = {}
    for control, own in enumerate(edges):
        for _, goal in own:
            back.setdefault(goal, []).append(control)
    distances: dict[int, int] = {}
    front, steps = [SELECT], 0
    while front:
        steps += 1
        front = [
            control for goal in front for control in back.get(goal, ()) if control not in distances
        ]
        distances.update(dict.fromkeys(front, steps))
        front = list(dict.fromkeys(front))
    return distances
