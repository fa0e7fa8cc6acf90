"""From a machine with several live states to a table with one control state at a time.

In: a `Machine` with its `Guards` and `Occurrences`. Out: `Control`, the rows of the table that
`ext/DESIGN.md` describes. Invariants: a control state is the set of machine states that the
language reference would save, less those without a way out; number 0 is the fresh machine; for one
control state and event each matcher stands at most once, in source order. States are numbered in
the order a breadth-first walk meets them, so equal expressions give equal tables.
Not here: what an expression means as a machine (`machine.py`).
"""

from __future__ import annotations

import msgspec

from krlc.machine import AnyGuard, BaseGuard, Guards, Machine, NotGuard, Occurrences, TooLargeError

CONTROL_STATES_MAX = 4_096
"""Control states of one expression: `and` over twelve events reaches it exactly."""

CELLS_MAX = 262_144
"""Control states times distinct events: the engine keeps four bytes for each."""

DECISIONS_MAX = 16_384
"""Nodes of all decisions over matchers of one expression."""

MATCHERS_MAX = 200
"""Matchers that one event may make run in one control state."""

STAY, RESET, SELECT = -1, -2, -3
REFERENCES = -4
"""Codes below zero: nothing changes, everything is discarded, selected; from -4 down an index."""

Row = tuple[int, tuple[tuple[int, int], ...]]
"""(move for any other event, ((symbol, move), …))."""


class Holds(msgspec.Struct, frozen=True):
    """A matcher succeeds."""

    matcher: int


class Not(msgspec.Struct, frozen=True):
    """A formula is false."""

    formula: Formula


class AnyOf(msgspec.Struct, frozen=True):
    """At least one formula is true."""

    formulas: tuple[Formula, ...]


Formula = bool | Holds | Not | AnyOf
"""What a guard says once the event's domain and name are known."""


class Control(msgspec.Struct, frozen=True):
    """The determinised machine.

    `names` say which machine states each control state stands for. `flags`: bit 0 says that a
    `within` clock starts anew there, bit 1 that aggregators do. `end` follows a selection,
    `timeout` follows a passed time limit. A row's move is a control state, a code, or
    REFERENCES - an index into `guards`: (matchers to run, decision). A decision is a control state,
    a code, or REFERENCES - an index into `decisions`: (matcher, if it failed, if it held).
    """

    names: tuple[str, ...]
    flags: tuple[int, ...]
    end: int
    timeout: int
    rows: tuple[Row, ...]
    guards: tuple[tuple[tuple[int, ...], int], ...]
    decisions: tuple[tuple[int, int, int], ...]


Key = tuple[frozenset[int], bool]
"""(live machine states, whether the saved ones include the start)."""


def determinise(
    machine: Machine, occurrences: Occurrences, guards: Guards, is_timed: bool
) -> Control:
    """Make the control table of a machine.

    `is_timed` keeps apart what only a `within` clock can tell: having come back to the start, and
    being as good as there.
    Raises: TooLargeError when a bound of this module is passed.
    """
    return _Walk(machine, occurrences, guards, is_timed).run()


class _Walk:
    """One breadth-first walk over control states."""

    def __init__(
        self, machine: Machine, occurrences: Occurrences, guards: Guards, is_timed: bool
    ) -> None:
        self._machine = machine
        self._symbols = len(occurrences.symbols)
        self._guards = guards
        self._is_timed = is_timed
        self._leaving: dict[int, list[tuple[int, int]]] = {}
        for a, guard, b in machine.transitions:
            self._leaving.setdefault(a, []).append((guard, b))
        self._mentioned = [self._symbols_of(guard) for guard in range(len(guards.shapes))]
        self._formulas: dict[tuple[int, int], Formula] = {}
        self._keys: dict[Key, int] = {}
        self._order: list[Key] = []
        self._guarded: dict[tuple[tuple[int, ...], int], int] = {}
        self._decisions: dict[tuple[int, int, int], int] = {}

    def run(self) -> Control:
        """Walk from the fresh machine until no new control state turns up."""
        machine = self._machine
        self._control(frozenset())
        timeout = self._control(frozenset((machine.start,)))
        end = self._control(frozenset((machine.end,)))
        rows: list[Row] = []
        while len(rows) < len(self._order):
            rows.append(self._row(self._order[len(rows)][0]))
        named = self._state_names()
        names: list[str] = []
        flags: list[int] = []
        for live, has_start in self._order:
            text = " ".join(name for state, name in named.items() if state in live)
            names.append(text + ("*" if has_start else ""))
            flags.append(int(has_start) | 2 * (machine.start in live))
        return Control(
            names=tuple(names),
            flags=tuple(flags),
            end=end,
            timeout=timeout,
            rows=tuple(rows),
            guards=tuple(self._guarded),
            decisions=tuple(self._decisions),
        )

    def _control(self, saved: frozenset[int]) -> int:
        """Return the number of the control state in which these machine states are saved."""
        live = frozenset(state for state in saved if state in self._leaving)
        has_start = self._is_timed and self._machine.start in saved
        key = (live or frozenset((self._machine.start,)), has_start)
        number = self._keys.get(key)
        if number is None:
            number = self._keys[key] = len(self._order)
            self._order.append(key)
            if number >= CONTROL_STATES_MAX or number * self._symbols >= CELLS_MAX:
                raise TooLargeError
        return number

    # --- Guards -----------------------------------------------------------------------------------

    def _symbols_of(self, guard: int) -> frozenset[int]:
        found: set[int] = set()
        pending = [guard]
        while pending:
            shape = self._guards.shapes[pending.pop()]
            if isinstance(shape, BaseGuard):
                found.add(shape.symbol)
            elif isinstance(shape, AnyGuard):
                pending.extend(shape.guards)
            else:
                pending.append(shape.guard)
        return frozenset(found)

    def _formula(self, guard: int, symbol: int) -> Formula:
        """Return what a guard says about an event; symbol -1 is an event no guard here names."""
        known = self._formulas.get((guard, symbol))
        if known is not None:
            return known
        shape = self._guards.shapes[guard]
        formula: Formula
        if isinstance(shape, BaseGuard):
            formula = shape.symbol == symbol and (shape.matcher < 0 or Holds(shape.matcher))
        elif isinstance(shape, NotGuard):
            formula = _negated(self._formula(shape.guard, symbol))
        else:
            formula = _any_of(tuple(self._formula(one, symbol) for one in shape.guards))
        self._formulas[guard, symbol] = formula
        return formula

    # --- Moves ------------------------------------------------------------------------------------

    def _row(self, live: frozenset[int]) -> Row:
        transitions = [t for state in sorted(live) for t in self._leaving.get(state, ())]
        named = sorted({symbol for guard, _ in transitions for symbol in self._mentioned[guard]})
        other = self._move(transitions, -1)
        moves = ((symbol, self._move(transitions, symbol)) for symbol in named)
        return other, tuple(move for move in moves if move[1] != other)

    def _move(self, transitions: list[tuple[int, int]], symbol: int) -> int:
        collected: set[int] = set()
        open_ones: dict[tuple[Formula, int], None] = {}
        matchers: set[int] = set()
        for guard, target in transitions:
            formula = self._formula(guard, symbol)
            if formula is True:
                collected.add(target)
            elif formula is not False:
                open_ones.setdefault((formula, target))
                matchers |= _matchers_of(formula)
        if not matchers:
            return self._outcome(frozenset(collected), STAY)
        if len(matchers) > MATCHERS_MAX:
            raise TooLargeError
        tried = tuple(sorted(matchers))
        decision = self._decide(tried, frozenset(collected), tuple(open_ones), {})
        entry = (tried, decision)
        return REFERENCES - self._guarded.setdefault(entry, len(self._guarded))

    def _outcome(self, collected: frozenset[int], nothing: int) -> int:
        if self._machine.end in collected:
            return SELECT
        return self._control(collected) if collected else nothing

    def _decide(
        self,
        tried: tuple[int, ...],
        collected: frozenset[int],
        open_ones: tuple[tuple[Formula, int], ...],
        known: dict[object, int],
    ) -> int:
        """Return the decision over matchers that leads to the same targets as the formulas.

        Cost: one frame for each matcher tried; equal remainders are decided once.
        """
        if self._machine.end in collected:
            return SELECT
        if not open_ones:
            return self._outcome(collected, RESET)
        key = (len(tried), collected, open_ones)
        found = known.get(key)
        if found is not None:
            return found
        matcher, rest = tried[0], tried[1:]
        branches = []
        for holds in (False, True):
            reached = set(collected)
            still_open: dict[tuple[Formula, int], None] = {}
            for formula, target in open_ones:
                reduced = _assigned(formula, matcher, holds)
                if reduced is True:
                    reached.add(target)
                elif reduced is not False:
                    still_open.setdefault((reduced, target))
            left = tuple(one for one in still_open if one[1] not in reached)
            branches.append(self._decide(rest, frozenset(reached), left, known))
        failed, held = branches
        if failed == held:
            decision = held
        else:
            node = (matcher, failed, held)
            decision = REFERENCES - self._decisions.setdefault(node, len(self._decisions))
            if len(self._decisions) > DECISIONS_MAX:
                raise TooLargeError
        known[key] = decision
        return decision

    def _state_names(self) -> dict[int, str]:
        """Name machine states for people, in order of first use."""
        names = {self._machine.start: "start"}
        for a, _, b in self._machine.transitions:
            for state in (a, b):
                if state != self._machine.end:
                    names.setdefault(state, f"s{len(names) - 1}")
        names[self._machine.end] = "end"
        return names


def _negated(formula: Formula) -> Formula:
    return not formula if isinstance(formula, bool) else Not(formula)


def _any_of(formulas: tuple[Formula, ...]) -> Formula:
    if True in formulas:
        return True
    left = tuple(formula for formula in formulas if formula is not False)
    if len(left) < 2:
        return left[0] if left else False
    return AnyOf(left)


def _matchers_of(formula: Formula) -> set[int]:
    if isinstance(formula, Holds):
        return {formula.matcher}
    if isinstance(formula, Not):
        return _matchers_of(formula.formula)
    if isinstance(formula, AnyOf):
        return {matcher for one in formula.formulas for matcher in _matchers_of(one)}
    return set()


def _assigned(formula: Formula, matcher: int, holds: bool) -> Formula:
    """Return a formula with one matcher's result filled in."""
    if isinstance(formula, Holds):
        return holds if formula.matcher == matcher else formula
    if isinstance(formula, Not):
        return _negated(_assigned(formula.formula, matcher, holds))
    if isinstance(formula, AnyOf):
        return _any_of(tuple(_assigned(one, matcher, holds) for one in formula.formulas))
    return formula
