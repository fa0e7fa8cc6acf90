"""Event expression automata, pure twin of `automaton.pyx`: same names, same behaviour.

In: a table made by `krlc.automata` (layout: `DESIGN.md`), matchers, events. Out: whether the rule
is selected, the values to bind, and the next state. Invariants: a `Machine` is shared and never
changes; a `State` is a value; when a matcher raises, nothing has changed. Not here: event fields
other than domain and name, clocks, stores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any

Matcher = Callable[[Any, Any, tuple[Any, ...]], "tuple[Any, ...] | None"]
ToNumber = Callable[[Any], "int | float | None"]

TABLE_VERSION = 1
STAY, RESET, SELECT, REFERENCES = -1, -2, -3, -4
CLOCK_RESTARTS, LISTS_RESTART = 1, 2
INTEGER_MAX = 2.0**53
OPERATORS = ("max", "min", "sum", "avg", "push")


class State:
    """One pico's place in one automaton: a value, made by a `Machine` only."""

    __slots__ = ("control", "lists", "registers", "started_ms")

    control: int
    registers: tuple[Any, ...] | None
    lists: tuple[tuple[Any, ...], ...] | None
    started_ms: int | float | None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, State):
            return NotImplemented
        return (
            self.control == other.control
            and self.registers == other.registers
            and self.lists == other.lists
            and self.started_ms == other.started_ms
        )

    def __hash__(self) -> int:
        return hash((self.control, self.started_ms))

    def __repr__(self) -> str:
        return f"State({self.pack()!r})"

    def pack(self) -> int | list[Any]:
        """Return what `Machine.unpack` takes: an int, or a list of msgpack-able values."""
        if self.registers is None and self.lists is None and self.started_ms is None:
            return self.control
        return [
            self.control,
            None if self.registers is None else list(self.registers),
            None if self.lists is None else [list(window) for window in self.lists],
            self.started_ms,
        ]


def make_state(
    control: int,
    registers: tuple[Any, ...] | None,
    lists: tuple[tuple[Any, ...], ...] | None,
    started_ms: int | float | None,
) -> State:
    """Make a state without checks."""
    state = State()
    state.control = control
    state.registers = registers
    state.lists = lists
    state.started_ms = started_ms
    return state


def aggregate(operator: str, window: Sequence[Any], to_number: ToNumber) -> Any:
    """Return `operator` of captures: `push` gives them, the others a number.

    What is no number counts as 0; a result that is not finite is null.
    """
    if operator == "push":
        return list(window)
    numbers = [to_number(capture) or 0 for capture in window]
    if operator == "max":
        return max(numbers)
    if operator == "min":
        return min(numbers)
    total = 0.0
    for number in numbers:
        total += number
    if operator == "avg":
        total /= len(numbers)
    if not isfinite(total):
        return None
    if total.is_integer() and -INTEGER_MAX <= total <= INTEGER_MAX:
        return int(total)
    return total


class Machine:
    """One rule's automaton: the table loaded, with its matchers.

    Caller's duties: 1. matchers stand in the order of the table; 2. a state belongs to this
    machine; 3. what a matcher returns is as long as its base event's setting and aggregator names
    together.
    """

    __slots__ = (
        "_blank",
        "_captures",
        "_decisions",
        "_end",
        "_flags",
        "_guards",
        "_is_timed",
        "_list_count",
        "_matchers",
        "_moves",
        "_plain",
        "_register_count",
        "_symbols",
        "_timeout",
        "_to_number",
        "start",
    )

    start: State

    def __init__(
        self,
        table: tuple[Any, ...],
        matchers: Sequence[Matcher] = (),
        to_number: ToNumber | None = None,
    ) -> None:
        """Load a table.

        Raises: ValueError when it is not a table of this version, or the matchers are too few.
        """
        self._matchers = tuple(matchers)
        self._to_number: ToNumber = read_number if to_number is None else to_number
        check_table(table, len(self._matchers))
        _, timed, registers, symbols, captures, flags, end, timeout, rows, guards, decisions = table
        self._is_timed = bool(timed)
        self._register_count: int = registers
        self._blank: tuple[Any, ...] = (None,) * registers
        self._flags: tuple[int, ...] = flags
        self._end: int = end
        self._timeout: int = timeout
        self._guards: tuple[tuple[tuple[int, ...], int], ...] = guards
        self._decisions: tuple[tuple[int, int, int], ...] = decisions
        self._symbols = index_symbols(symbols)
        width = 1 if symbols is None else len(symbols)
        self._moves = [expand_row(row, width) for row in rows]
        self._captures, self._list_count = number_lists(captures)
        self._plain = tuple(make_state(at, None, None, None) for at in range(len(rows)))
        self.start = self._plain[0]

    def step(
        self, state: State, cx: Any, event: Any, now_ms: int | float, within_ms: int | float | None
    ) -> tuple[tuple[Any, ...] | None, State]:
        """Advance a state by one event; settings that are not None mean the rule is selected.

        Units: `now_ms` is the event's own time; `within_ms` None is no limit.
        Raises: whatever a matcher raises; the state stays good.
        Cost: two look-ups, then O(matchers of live guards); allocates only when the state changes.
        """
        symbol = 0
        if self._symbols is not None:
            names = self._symbols.get(event.domain)
            found = None if names is None else names.get(event.name)
            if found is None:
                return None, state
            symbol = found
        control, registers, started = state.control, state.registers, state.started_ms
        if self._is_timed and within_ms is not None:
            if started is None:
                started = now_ms
            elif now_ms - started > within_ms:
                control, registers = self._timeout, None
            if self._flags[control] & CLOCK_RESTARTS:
                started = now_ms
        lists = state.lists
        move = self._moves[control][symbol]
        if move <= REFERENCES:
            saved = self._blank if registers is None else registers
            restarts = bool(self._flags[control] & LISTS_RESTART)
            move, registers, lists = self._guarded(move, cx, event, saved, lists, restarts)
            if move == RESET:
                return None, self.start
        settings = None
        if move >= 0:
            control = move
        elif move == SELECT:
            settings = self._blank if registers is None else registers
            control, registers = self._end, None
        if lists is not None and self._flags[control] & LISTS_RESTART:
            lists = None
        if registers is None and lists is None and started is None:
            return settings, self._plain[control]
        if (
            control == state.control
            and registers == state.registers
            and lists == state.lists
            and started == state.started_ms
        ):
            return settings, state
        return settings, make_state(control, registers, lists, started)

    def unpack(self, packed: object) -> State:
        """Return the state that `State.pack` made a value of.

        Raises: ValueError saying what is wrong, for anything that is not a state of this table.
        """
        if type(packed) is int:
            if 0 <= packed < len(self._plain):
                return self._plain[packed]
            raise ValueError(f"automaton state {packed} is not one of {len(self._plain)}")
        if not isinstance(packed, list | tuple) or len(packed) != 4:
            raise ValueError("an automaton state is an int or a list of four")
        control, registers, lists, started = packed
        if type(control) is not int or not 0 <= control < len(self._plain):
            raise ValueError(f"automaton control state is not one of {len(self._plain)}")
        registers = check_registers(registers, self._register_count)
        lists = check_lists(lists, self._list_count, self._captures)
        if started is not None and not is_number(started):
            raise ValueError("an automaton's start time is a number of milliseconds")
        if registers is None and lists is None and started is None:
            return self._plain[control]
        return make_state(control, registers, lists, started)

    def _guarded(
        self,
        move: int,
        cx: Any,
        event: Any,
        saved: tuple[Any, ...],
        lists: tuple[tuple[Any, ...], ...] | None,
        restarts: bool,
    ) -> tuple[int, tuple[Any, ...] | None, tuple[tuple[Any, ...], ...] | None]:
        """Run the matchers of a move; return its outcome, the registers and the lists."""
        tried, decision = self._guards[REFERENCES - move]
        held = {}
        for matcher in tried:
            values = self._matchers[matcher](cx, event, saved)
            if values is not None:
                held[matcher] = values
        while decision <= REFERENCES:
            tested, failed, succeeded = self._decisions[REFERENCES - decision]
            decision = succeeded if tested in held else failed
        if decision == RESET:
            return RESET, None, None
        registers = list(saved)
        windows: list[tuple[Any, ...]] | None = None
        for matcher, values in held.items():
            settings, aggregates = self._captures[matcher]
            if len(values) < len(settings) + len(aggregates):
                raise ValueError("a matcher returned too few values")
            for at, register in enumerate(settings):
                registers[register] = values[at]
            for at, (register, operator, size, slot) in enumerate(aggregates, len(settings)):
                if windows is None:
                    windows = [()] * self._list_count if lists is None else list(lists)
                older: tuple[Any, ...] = () if restarts else windows[slot]
                window = windows[slot] = (*older, values[at])[-size:]
                registers[register] = aggregate(operator, window, self._to_number)
        kept = tuple(registers)
        return (
            decision,
            None if kept == self._blank else kept,
            lists if windows is None else tuple(windows),
        )


# --- Shared with the compiled twin: loading and checking, which is never hot ----------------------


def index_symbols(
    symbols: tuple[tuple[str, str], ...] | None,
) -> dict[str, dict[str, int]] | None:
    """Return domain -> name -> symbol; None listens to every event as symbol 0."""
    if symbols is None:
        return None
    index: dict[str, dict[str, int]] = {}
    for at, (domain, name) in enumerate(symbols):
        index.setdefault(domain, {})[name] = at
    return index


def expand_row(row: tuple[int, tuple[tuple[int, int], ...]], width: int) -> tuple[int, ...]:
    """Return a row with one move for every symbol."""
    other, moves = row
    expanded = [other] * width
    for symbol, move in moves:
        expanded[symbol] = move
    return tuple(expanded)


Captures = tuple[tuple[tuple[int, ...], tuple[tuple[int, str, int, int], ...]], ...]


def number_lists(captures: tuple[Any, ...]) -> tuple[Captures, int]:
    """Give every aggregated capture a list of its own: ((register, operator, size, slot), …)."""
    slots = 0
    numbered = []
    for settings, aggregates in captures:
        own = []
        for register, operator, size in aggregates:
            own.append((register, operator, size, slots))
            slots += 1
        numbered.append((settings, tuple(own)))
    return tuple(numbered), slots


def check_table(table: Any, matchers: int) -> None:
    """Refuse what is not a table: indexes are trusted afterwards.

    Raises: ValueError naming the part.
    """
    if not isinstance(table, tuple) or len(table) != 11 or table[0] != TABLE_VERSION:
        raise ValueError(f"not an automaton table of version {TABLE_VERSION}: compile again")
    _, _, registers, symbols, captures, flags, end, timeout, rows, guards, decisions = table
    if len(captures) != matchers:
        raise ValueError(f"the automaton needs {len(captures)} matchers, not {matchers}")
    width = 1 if symbols is None else len(symbols)
    states = len(rows)
    moves = [move for other, row in rows for move in (other, *(move for _, move in row))]
    leaves = [leaf for _, failed, held in decisions for leaf in (failed, held)]
    leaves += [root for _, root in guards]
    # A decision refers to earlier ones only, so following them ends.
    ordered = all(
        leaf > REFERENCES or REFERENCES - leaf < at
        for at, (_, failed, held) in enumerate(decisions)
        for leaf in (failed, held)
    )
    tried = [matcher for run, _ in guards for matcher in run]
    tried += [matcher for matcher, _, _ in decisions]
    used = [register for own, _ in captures for register in own]
    used += [aggregate[0] for _, own in captures for aggregate in own]
    good = (
        states > 0
        and len(flags) == states
        and all(0 <= control < states for control in (end, timeout))
        and all(0 <= symbol < width for _, row in rows for symbol, _ in row)
        and all(REFERENCES - len(guards) < move < states for move in moves)
        and all(REFERENCES - len(decisions) < leaf < states for leaf in leaves)
        and ordered
        and all(0 <= matcher < matchers for matcher in tried)
        and all(0 <= register < registers for register in used)
        and all(one[1] in OPERATORS and one[2] > 0 for _, own in captures for one in own)
    )
    if not good:
        raise ValueError("an automaton table refers to something it does not have: compile again")


def is_number(value: object) -> bool:
    """Tell whether a value is a finite number and not a boolean."""
    return type(value) is int or (type(value) is float and isfinite(value))


def is_capture(value: object) -> bool:
    """Tell whether a register or list may hold a value that is not an array."""
    return value is None or type(value) is str or type(value) is bool or is_number(value)


def check_registers(registers: object, count: int) -> tuple[Any, ...] | None:
    """Return unpacked registers, None when all are null.

    Raises: ValueError when they are not `count` KRL values.
    """
    if registers is None:
        return None
    if not isinstance(registers, list | tuple) or len(registers) != count:
        raise ValueError(f"an automaton state needs {count} registers")
    is_empty = True
    for value in registers:
        if value is None:
            continue
        is_empty = False
        if type(value) is str or is_capture(value):
            continue
        if type(value) is not list or not all(is_capture(one) for one in value):
            raise ValueError("an automaton register holds text, a number or an array of these")
    return None if is_empty else tuple(registers)


def check_lists(
    lists: object, count: int, captures: Captures
) -> tuple[tuple[Any, ...], ...] | None:
    """Return unpacked aggregation lists.

    Raises: ValueError when they are not `count` lists of captures within their sizes.
    """
    if lists is None:
        return None
    if not isinstance(lists, list | tuple) or len(lists) != count or not count:
        raise ValueError(f"an automaton state needs {count} aggregation lists")
    sizes = [one[2] for _, own in captures for one in own]
    for window, size in zip(lists, sizes, strict=True):
        if not isinstance(window, list | tuple) or len(window) > size:
            raise ValueError(f"an aggregation list holds at most {size} captures")
        for one in window:
            if type(one) is not str and not is_capture(one):
                raise ValueError("an aggregation list holds text, numbers or null")
    return tuple([tuple(window) for window in lists])


def read_number(value: Any) -> int | float | None:
    """Read a capture as a plain decimal; the runtime passes KRL's own conversion."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    if not isfinite(number):
        return None
    return int(number) if number.is_integer() and abs(number) <= INTEGER_MAX else number
