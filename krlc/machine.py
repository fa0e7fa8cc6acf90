"""The machine of an event expression: states and guarded transitions, not yet determinised.

In: an event expression (nodes). Out: a `Machine` whose guards are numbers that `Guards` explains.
Invariants: transitions are ordered; a machine's start and end are never the same state; a base
event with a matcher is one guard however often it is copied, and two such base events are two
guards even when their text is equal. The same expression gives the same numbers.
Not here: how a machine is fed events (`determinise.py` and the tables it makes).

Source: the language reference's construction and its `simplify`, kept to the letter, because
alternatives in KRL are not independent: after `p`, `(p and q) or r` no longer listens for `r`.
One thing is built differently: `and` and `any` use one state for each *set* of operands seen
instead of one for each order, which is the same to every observer (`tests/matcher` holds it against
the orders written out). Operands that loop (a `repeat` keeps listening at its end, a `then` falls
back to its start) keep the orders apart, because there they do differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, permutations
from math import comb, perm

import msgspec

from krlc import nodes

TRANSITIONS_MAX = 65_536
"""Transitions of one machine, counted before they are made."""

SIMPLIFY_STEPS_MAX = 500_000
"""Transitions visited by all `simplify` rounds of one expression: half a second."""

Transition = tuple[int, int, int]
"""(from state, guard, to state)."""


class BaseGuard(msgspec.Struct, frozen=True):
    """An event of this symbol for which the matcher holds; -1 is no matcher."""

    symbol: int
    matcher: int


class NotGuard(msgspec.Struct, frozen=True):
    """Any salient event that this guard does not accept."""

    guard: int


class AnyGuard(msgspec.Struct, frozen=True):
    """Any event that one of these guards accepts."""

    guards: tuple[int, ...]


Guard = BaseGuard | NotGuard | AnyGuard


class TooLargeError(Exception):
    """An expression passes a bound; the compiler reports it as K0508."""


class Guards:
    """The distinct guards of one expression, numbered in first-appearance order."""

    def __init__(self) -> None:
        self.shapes: list[Guard] = []
        self._numbers: dict[Guard, int] = {}

    def number(self, shape: Guard) -> int:
        """Return the number of a guard, the same for structurally equal ones."""
        found = self._numbers.get(shape)
        if found is None:
            found = self._numbers[shape] = len(self.shapes)
            self.shapes.append(shape)
        return found


class Machine(msgspec.Struct, frozen=True):
    """Ordered transitions with a start and an end."""

    start: int
    end: int
    transitions: tuple[Transition, ...]


class Occurrences(msgspec.Struct, frozen=True):
    """The base events of an expression in source order, and what they are numbered by.

    `symbols` are the distinct (domain, name) pairs, `bases` those base events that need a matcher;
    `repeats[i]` is the n of the `count n`/`repeat n` around bases[i], at least 1, else 1.
    """

    symbols: tuple[tuple[str, str], ...]
    bases: tuple[nodes.BaseEvent, ...]
    repeats: tuple[int, ...]


def needs_matcher(base: nodes.BaseEvent) -> bool:
    """Tell whether domain and name alone do not decide a base event."""
    return bool(base.matches or base.setting or base.where is not None or base.aggregator)


def inside(expression: nodes.EventExpression) -> tuple[nodes.EventExpression, ...]:
    """Return the event expressions directly inside one, in source order."""
    if isinstance(expression, nodes.EventOperator):
        return expression.operands
    if isinstance(expression, nodes.EventGroup):
        return (expression.event,)
    return ()


def each_inside(root: nodes.EventExpression) -> Iterator[nodes.EventExpression]:
    """Yield an event expression and all those inside it, in source order, without recursion."""
    pending = [root]
    while pending:
        expression = pending.pop()
        yield expression
        pending.extend(reversed(inside(expression)))


def find_occurrences(root: nodes.EventExpression) -> Occurrences:
    """Number the base events of an expression."""
    symbols: dict[tuple[str, str], None] = {}
    bases: list[nodes.BaseEvent] = []
    repeats: list[int] = []
    count = 1
    for expression in each_inside(root):
        if isinstance(expression, nodes.EventGroup):
            count = expression.count  # its base event is the next one met
        elif isinstance(expression, nodes.BaseEvent):
            symbols.setdefault((expression.domain.name, expression.name.name))
            if needs_matcher(expression):
                bases.append(expression)
                repeats.append(max(count, 1))
            count = 1
    return Occurrences(tuple(symbols), tuple(bases), tuple(repeats))


def build_machine(root: nodes.EventExpression, occurrences: Occurrences, guards: Guards) -> Machine:
    """Build the simplified machine of an event expression.

    Raises: TooLargeError when a bound of this module is passed.
    Cost: operators nest as deep as the parser allows; nothing here recurses.
    """
    return _Builder(occurrences, guards).build(root)


class _Builder:
    """One construction: fresh state numbers and the work done so far."""

    def __init__(self, occurrences: Occurrences, guards: Guards) -> None:
        self._guards = guards
        self._symbols = {pair: at for at, pair in enumerate(occurrences.symbols)}
        self._matcher = 0
        self._states = 0
        self._steps = 0

    def build(self, root: nodes.EventExpression) -> Machine:
        """Build operands before operators with an explicit stack."""
        pending: list[tuple[nodes.EventExpression, bool]] = [(root, False)]
        done: list[Machine] = []
        while pending:
            expression, has_operands = pending.pop()
            if isinstance(expression, nodes.BaseEvent):
                done.append(self._base(expression))
                continue
            operands = inside(expression)
            if not has_operands:
                pending.append((expression, True))
                pending.extend((operand, False) for operand in reversed(operands))
                continue
            machines = done[-len(operands) :]
            del done[-len(operands) :]
            combined = self._combine(expression, machines)
            done.append(self._simplify(combined))
        return done[0]

    # --- Pieces -----------------------------------------------------------------------------------

    def _fresh(self) -> int:
        self._states += 1
        return self._states - 1

    def _base(self, base: nodes.BaseEvent) -> Machine:
        matcher = -1
        if needs_matcher(base):
            matcher = self._matcher  # base events are built in source order
            self._matcher += 1
        symbol = self._symbols[base.domain.name, base.name.name]
        guard = self._guards.number(BaseGuard(symbol, matcher))
        start, end = self._fresh(), self._fresh()
        return Machine(start, end, ((start, guard, end),))

    def _combine(
        self, expression: nodes.EventOperator | nodes.EventGroup, machines: Sequence[Machine]
    ) -> Machine:
        if isinstance(expression, nodes.EventGroup):
            return self._group(expression, machines[0])
        operator = expression.operator
        if operator == "or":
            return self._spread(machines)
        if operator == "before":
            return self._chain(machines)
        if operator == "after":
            return self._chain(machines[::-1])
        if operator == "then":
            return self._then(machines)
        if operator == "and":
            return self._choose(machines, len(machines))
        if operator == "any":
            return self._choose(machines, expression.count or 0)
        what, opening, closing = machines
        if operator == "between":
            return self._chain((opening, what, closing))
        return self._not_between(what, opening, closing)

    def _placed(self, machine: Machine, start: int, end: int) -> list[Transition]:
        """Return the transitions with the machine's start and end identified with two states."""
        names = {machine.start: start, machine.end: end}
        return [(names.get(a, a), g, names.get(b, b)) for a, g, b in machine.transitions]

    def _copied(self, machine: Machine, start: int, end: int) -> list[Transition]:
        """Return a copy of the transitions between two states, inner states fresh."""
        names = {machine.start: start, machine.end: end}
        copied = []
        for a, g, b in machine.transitions:
            for state in (a, b):
                if state not in names:
                    names[state] = self._fresh()
            copied.append((names[a], g, names[b]))
        return copied

    def _chain(self, machines: Sequence[Machine]) -> Machine:
        start = at = self._fresh()
        transitions: list[Transition] = []
        for machine in machines:
            following = self._fresh()
            transitions += self._placed(machine, at, following)
            at = following
        return Machine(start, at, tuple(transitions))

    # --- Operators --------------------------------------------------------------------------------

    def _spread(self, machines: Sequence[Machine]) -> Machine:
        start, end = self._fresh(), self._fresh()
        transitions: list[Transition] = []
        for machine in machines:
            transitions += self._placed(machine, start, end)
        return Machine(start, end, tuple(transitions))

    def _then(self, machines: Sequence[Machine]) -> Machine:
        chain = self._chain(machines)
        # `_chain` numbers the states between its operands without gaps.
        junctions = range(chain.start + 1, chain.end)
        leaving: dict[int, dict[int, None]] = {}
        for a, guard, _ in chain.transitions:
            if a in junctions:
                leaving.setdefault(a, {}).setdefault(guard)
        added: list[Transition] = []
        for junction in junctions:
            negated = tuple(self._guards.number(NotGuard(g)) for g in leaving.get(junction, ()))
            if negated:
                shape = negated[0] if len(negated) == 1 else self._guards.number(AnyGuard(negated))
                added.append((junction, shape, chain.start))
        return Machine(chain.start, chain.end, chain.transitions + tuple(added))

    def _not_between(self, what: Machine, opening: Machine, closing: Machine) -> Machine:
        start, middle, end = self._fresh(), self._fresh(), self._fresh()
        transitions = self._placed(opening, start, middle)
        transitions += self._placed(closing, middle, end)
        transitions += self._placed(what, middle, start)
        return Machine(start, end, tuple(transitions))

    def _group(self, group: nodes.EventGroup, base: Machine) -> Machine:
        if group.count > TRANSITIONS_MAX:
            raise TooLargeError
        guard = base.transitions[0][1]
        states = [self._fresh() for _ in range(max(group.count, 1) + 1)]
        transitions = [(states[at], guard, states[at + 1]) for at in range(group.count)]
        if group.operator == "repeat":
            transitions.append((states[-1], guard, states[-1]))
        return Machine(states[0], states[-1], tuple(transitions))

    def _choose(self, machines: Sequence[Machine], count: int) -> Machine:
        """Build `count` operands in any order: all of them for `and`."""
        total = len(machines)
        size = sum(len(machine.transitions) for machine in machines)
        if not any(_loops(machine) for machine in machines):
            if size * sum(comb(total - 1, level) for level in range(count)) > TRANSITIONS_MAX:
                raise TooLargeError
            return self._choose_sets(machines, count)
        if perm(total, count) * count * size > TRANSITIONS_MAX * total:
            raise TooLargeError
        start, end = self._fresh(), self._fresh()
        transitions: list[Transition] = []
        for chosen in permutations(machines, count):
            at = start
            for place, machine in enumerate(chosen, 1):
                following = end if place == count else self._fresh()
                transitions += self._copied(machine, at, following)
                at = following
        return Machine(start, end, tuple(transitions))

    def _choose_sets(self, machines: Sequence[Machine], count: int) -> Machine:
        """Build one state for each set of operands seen, whatever their order."""
        total = len(machines)
        start, end = self._fresh(), self._fresh()
        places: dict[tuple[int, ...], int] = {(): start}
        transitions: list[Transition] = []
        for seen_count in range(count):
            for seen in combinations(range(total), seen_count):
                for index in range(total):
                    if index in seen:
                        continue
                    after = tuple(sorted((*seen, index)))
                    if len(after) == count:
                        target = end
                    elif after in places:
                        target = places[after]
                    else:
                        target = places[after] = self._fresh()
                    transitions += self._copied(machines[index], places[seen], target)
        return Machine(start, end, tuple(transitions))

    # --- Simplify ---------------------------------------------------------------------------------

    def _simplify(self, machine: Machine) -> Machine:
        """Identify states that are always reached together, then drop duplicate transitions."""
        transitions = machine.transitions
        if len(transitions) > TRANSITIONS_MAX:
            raise TooLargeError
        ends = {machine.start, machine.end}
        while True:
            self._steps += len(transitions)
            if self._steps > SIMPLIFY_STEPS_MAX:
                raise TooLargeError
            names = _identify(transitions, ends)
            if not names:
                break
            transitions = tuple(
                dict.fromkeys((names.get(a, a), g, names.get(b, b)) for a, g, b in transitions)
            )
        return Machine(machine.start, machine.end, _ordered(transitions))


def _loops(machine: Machine) -> bool:
    return any(b == machine.start or a == machine.end for a, _, b in machine.transitions)


def _identify(transitions: Iterable[Transition], ends: set[int]) -> dict[int, int]:
    """Run one round: return the final name of every state that was merged into another one."""
    first: dict[tuple[int, int], int] = {}
    noted: list[tuple[int, int]] = []
    incoming: dict[int, set[tuple[int, int]]] = {}
    leaving: dict[int, list[tuple[int, int]]] = {}
    for a, guard, b in transitions:
        known = first.setdefault((a, guard), b)
        if known != b:
            noted.append((b, known))
        incoming.setdefault(b, set()).add((a, guard))
        leaving.setdefault(a, []).append((guard, b))
    names: dict[int, int] = {}

    def final(state: int) -> int:
        while state in names:
            state = names[state]
        return state

    for former, latter in noted:
        gone, kept = final(former), final(latter)
        if gone == kept or ends == {gone, kept} or incoming[gone] != incoming[kept]:
            continue
        if gone in ends:
            gone, kept = kept, gone  # the same machine, but start and end keep their numbers
        names[gone] = kept
        for guard, target in leaving.pop(gone, ()):
            pairs = incoming[final(target)]
            pairs.discard((gone, guard))
            pairs.add((kept, guard))
            leaving.setdefault(kept, []).append((guard, target))
    return {state: final(state) for state in names}


def _ordered(transitions: Sequence[Transition]) -> tuple[Transition, ...]:
    """Drop duplicates; group by guard, from-state and to-state in first-appearance order."""
    guards: dict[int, int] = {}
    states: dict[int, int] = {}
    for a, guard, b in transitions:
        guards.setdefault(guard, len(guards))
        states.setdefault(a, len(states))
        states.setdefault(b, len(states))
    return tuple(sorted(set(transitions), key=lambda t: (guards[t[1]], states[t[0]], states[t[2]])))
