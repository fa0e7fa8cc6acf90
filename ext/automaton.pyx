"""Event expression automata: one table per rule of a module, one small state per pico.

In: a table made by `krlc.automata` (layout: `DESIGN.md`), matchers, events. Out: whether the rule
is selected, the values to bind, and the next state. Invariants: a `Machine` is shared and never
changes; a `State` is a value; when a matcher raises, nothing has changed. Not here: event fields
other than domain and name, clocks, stores. `automaton_py.py` is the pure twin; what is not hot
(loading, checking, aggregating) is written there once for both.
"""

cimport cython
from cpython.dict cimport PyDict_GetItem
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM

from libc.math cimport fabs, floor, isfinite

from ext.automaton_py import (
    check_lists,
    check_registers,
    check_table,
    expand_row,
    index_symbols,
    is_number,
    number_lists,
    read_number,
)

cdef double INTEGER_MAX = 9007199254740992.0

cdef enum:
    STAY = -1
    RESET = -2
    SELECT = -3
    REFERENCES = -4
    CLOCK_RESTARTS = 1
    LISTS_RESTART = 2
    FILLS_NONE = 0
    FILLS_ALL = 1
    FILLS_SOME = 2


@cython.freelist(64)
cdef class State:
    """One pico's place in one automaton: a value, made by a `Machine` only."""

    def __eq__(self, other):
        if not isinstance(other, State):
            return NotImplemented
        cdef State that = <State>other
        if self is that:
            return True
        return (
            self.control == that.control
            and self.registers == that.registers
            and self.lists == that.lists
            and self.started_ms == that.started_ms
        )

    def __hash__(self):
        return hash((self.control, self.started_ms))

    def __repr__(self):
        return f"State({self.pack()!r})"

    def pack(self):
        """Return what `Machine.unpack` takes: an int, or a list of msgpack-able values."""
        if self.registers is None and self.lists is None and self.started_ms is None:
            return self.control
        return [
            self.control,
            None if self.registers is None else list(self.registers),
            None if self.lists is None else [list(window) for window in self.lists],
            self.started_ms,
        ]


cdef inline State make_state(int control, tuple registers, tuple lists, object started_ms):
    cdef State state = State.__new__(State)
    state.control = control
    state.registers = registers
    state.lists = lists
    state.started_ms = started_ms
    return state


cdef int* _copied(object numbers) except NULL:
    """Return a C array of a sequence of ints; an empty one has room for one."""
    cdef Py_ssize_t count = len(numbers)
    cdef int* copied = <int*>PyMem_Malloc(max(count, 1) * sizeof(int))
    if copied is NULL:
        raise MemoryError
    cdef Py_ssize_t at
    for at in range(count):
        copied[at] = numbers[at]
    return copied


cdef class Machine:
    """One rule's automaton: the table loaded, with its matchers.

    Caller's duties: 1. matchers stand in the order of the table; 2. a state belongs to this
    machine; 3. what a matcher returns is as long as its base event's setting and aggregator names
    together.
    Breaking 2 or 3 gives a ValueError or a wrong state, never a crash.
    """

    def __cinit__(self):
        self._moves = self._flags = NULL
        self._firsts = self._tried = self._roots = self._decisions = self._kinds = NULL

    def __dealloc__(self):
        PyMem_Free(self._moves)
        PyMem_Free(self._flags)
        PyMem_Free(self._firsts)
        PyMem_Free(self._tried)
        PyMem_Free(self._roots)
        PyMem_Free(self._decisions)
        PyMem_Free(self._kinds)

    def __init__(self, table, matchers=(), to_number=None):
        """Load a table.

        Raises: ValueError when it is not a table of this version, or the matchers are too few.
        """
        if self._moves is not NULL:
            raise TypeError("an automaton is loaded once")
        self._matchers = tuple(matchers)
        self._to_number = read_number if to_number is None else to_number
        check_table(table, len(self._matchers))
        _, timed, registers, symbols, captures, flags, end, timeout, rows, guards, decisions = table
        self._is_timed = bool(timed)
        self._register_count = registers
        self._blank = (None,) * registers
        self._end = end
        self._timeout = timeout
        self._symbols = index_symbols(symbols)
        self._width = 1 if symbols is None else len(symbols)
        self._states = len(rows)
        self._flags = _copied(flags)
        self._moves = _copied([move for row in rows for move in expand_row(row, self._width)])
        firsts, tried = [0], []
        for run, _ in guards:
            tried.extend(run)
            firsts.append(len(tried))
        self._firsts = _copied(firsts)
        self._tried = _copied(tried)
        self._roots = _copied([root for _, root in guards])
        self._decisions = _copied([number for node in decisions for number in node])
        self._captures, self._list_count = number_lists(captures)
        whole = tuple(range(registers))
        self._kinds = _copied([
            FILLS_NONE if not own and not aggregates
            else FILLS_ALL if own == whole and not aggregates
            else FILLS_SOME
            for own, aggregates in self._captures
        ])
        self._plain = tuple([make_state(at, None, None, None) for at in range(self._states)])
        self._moved = tuple([(None, state) for state in self._plain])
        self._selected = (self._blank, self._plain[self._end])
        self.start = self._plain[0]

    cpdef tuple step(self, State state, object cx, object event, object now_ms, object within_ms):
        """Advance a state by one event; settings that are not None mean the rule is selected.

        Units: `now_ms` is the event's own time; `within_ms` None is no limit.
        Raises: whatever a matcher raises; the state stays good.
        Cost: two look-ups, then O(matchers of live guards); allocates only when a state with
        registers, lists or a clock changes.
        """
        cdef PyObject* found
        cdef int symbol = 0
        if self._symbols is not None:
            found = PyDict_GetItem(self._symbols, event.domain)
            if found is not NULL:
                found = PyDict_GetItem(<dict>found, event.name)
            if found is NULL:
                return (None, state)
            symbol = <object>found
        cdef int control = state.control
        if control < 0 or control >= self._states:
            raise ValueError("an automaton state of another table")
        cdef int move
        if (
            state.registers is None
            and state.lists is None
            and state.started_ms is None
            and not (self._is_timed and within_ms is not None)
        ):
            move = self._moves[control * self._width + symbol]
            if move > REFERENCES:
                if move >= 0:
                    return <tuple>self._moved[move]
                return self._selected if move == SELECT else <tuple>self._moved[control]
        return self._step(state, symbol, cx, event, now_ms, within_ms)

    cdef tuple _step(
        self, State state, int symbol, object cx, object event, object now_ms, object within_ms
    ):
        """Advance a state that carries something, or that matchers or a clock decide about."""
        cdef int control = state.control
        cdef tuple registers = state.registers
        cdef object started = state.started_ms
        cdef tuple lists = state.lists
        cdef tuple settings = None
        cdef tuple saved, kept
        cdef int guard, kind, matcher
        cdef bint restarts
        cdef object values
        if registers is not None and len(registers) != self._register_count:
            raise ValueError("an automaton state of another table")
        if self._is_timed and within_ms is not None:
            if started is None:
                started = now_ms
            elif now_ms - started > within_ms:
                control = self._timeout
                registers = None
            if self._flags[control] & CLOCK_RESTARTS:
                started = now_ms
        cdef int move = self._moves[control * self._width + symbol]
        if move <= REFERENCES:
            guard = REFERENCES - move
            saved = self._blank if registers is None else registers
            restarts = self._flags[control] & LISTS_RESTART
            if self._firsts[guard + 1] - self._firsts[guard] == 1:
                matcher = self._tried[self._firsts[guard]]
                values = (<object>PyTuple_GET_ITEM(self._matchers, matcher))(cx, event, saved)
                move = self._roots[guard]
                if move <= REFERENCES:
                    move = self._decisions[3 * (REFERENCES - move) + (1 if values is None else 2)]
                if move == RESET:
                    return <tuple>self._moved[0]
                kind = FILLS_NONE if values is None else self._kinds[matcher]
                if kind == FILLS_ALL and _fits(values, self._register_count):
                    registers = _unless_empty(<tuple>values)
                elif kind != FILLS_NONE:
                    registers, lists = self._keep((matcher,), [values], saved, lists, restarts)
            else:
                kept = self._run(guard, cx, event, saved, lists, restarts)
                if kept is None:
                    return <tuple>self._moved[0]
                move, registers, lists = kept
        if move >= 0:
            control = move
        elif move == SELECT:
            settings = self._blank if registers is None else registers
            control = self._end
            registers = None
        if lists is not None and self._flags[control] & LISTS_RESTART:
            lists = None
        if registers is None and lists is None and started is None:
            if settings is None:
                return <tuple>self._moved[control]
            return (settings, self._plain[control])
        if (
            control == state.control
            and (registers is state.registers or registers == state.registers)
            and (lists is state.lists or lists == state.lists)
            and (started is state.started_ms or started == state.started_ms)
        ):
            return (settings, state)
        return (settings, make_state(control, registers, lists, started))

    cdef tuple _run(
        self, int guard, object cx, object event, tuple saved, tuple lists, bint restarts
    ):
        """Run several matchers; return (outcome, registers, lists), None for a reset."""
        cdef int first = self._firsts[guard]
        cdef int count = self._firsts[guard + 1] - first
        cdef int at, decision, matcher, tested
        cdef list results = []
        cdef list run = []
        for at in range(first, first + count):
            matcher = self._tried[at]
            run.append(matcher)
            results.append((<object>PyTuple_GET_ITEM(self._matchers, matcher))(cx, event, saved))
        decision = self._roots[guard]
        while decision <= REFERENCES:
            decision = 3 * (REFERENCES - decision)
            tested = self._decisions[decision]
            at = 0
            while at < count and self._tried[first + at] != tested:
                at += 1
            decision += 2 if at < count and results[at] is not None else 1
            decision = self._decisions[decision]
        if decision == RESET:
            return None
        return (decision, *self._keep(tuple(run), results, saved, lists, restarts))

    cdef tuple _keep(self, tuple run, list results, tuple saved, tuple lists, bint restarts):
        """Return (registers, lists) after what the matchers captured."""
        cdef list registers = None
        cdef list windows = None
        cdef tuple captures, settings, aggregates, values, window
        cdef Py_ssize_t own, at, which
        for which in range(len(run)):
            if results[which] is None:
                continue
            captures = <tuple>self._captures[run[which]]
            settings = <tuple>captures[0]
            aggregates = <tuple>captures[1]
            own = len(settings)
            if own + len(aggregates) == 0:
                continue
            values = tuple(results[which])
            if len(values) < own + len(aggregates):
                raise ValueError("a matcher returned too few values")
            if registers is None:
                registers = list(saved)
            for at in range(own):
                registers[<Py_ssize_t>settings[at]] = values[at]
            if not aggregates:
                continue
            if windows is None:
                windows = [()] * self._list_count if lists is None else list(lists)
                if len(windows) != self._list_count:
                    raise ValueError("an automaton state of another table")
            for at in range(len(aggregates)):
                register, operator, size, slot = <tuple>aggregates[at]
                window = (values[own + at],)
                if not restarts:
                    window = (<tuple>windows[<Py_ssize_t>slot] + window)[-size:]
                windows[<Py_ssize_t>slot] = window
                registers[<Py_ssize_t>register] = _aggregate(operator, window, self._to_number)
        if windows is not None:
            lists = tuple(windows)
        return (_unless_empty(saved if registers is None else tuple(registers)), lists)

    cpdef State unpack(self, object packed):
        """Return the state that `State.pack` made a value of.

        Raises: ValueError saying what is wrong, for anything that is not a state of this table.
        """
        if type(packed) is int:
            if 0 <= packed < self._states:
                return <State>self._plain[packed]
            raise ValueError(f"automaton state {packed} is not one of {self._states}")
        if not isinstance(packed, (list, tuple)) or len(packed) != 4:
            raise ValueError("an automaton state is an int or a list of four")
        control, registers, lists, started = packed
        if type(control) is not int or not 0 <= control < self._states:
            raise ValueError(f"automaton control state is not one of {self._states}")
        registers = check_registers(registers, self._register_count)
        lists = check_lists(lists, self._list_count, self._captures)
        if started is not None and not is_number(started):
            raise ValueError("an automaton's start time is a number of milliseconds")
        if registers is None and lists is None and started is None:
            return <State>self._plain[control]
        return make_state(control, registers, lists, started)


cdef object _aggregate(str operator, tuple window, object to_number):
    """Return what `automaton_py.aggregate` does."""
    if operator == "push":
        return list(window)
    cdef object number, chosen = None
    cdef double total = 0
    for capture in window:
        number = to_number(capture)
        if number is None:
            number = 0
        if operator == "max":
            if chosen is None or number > chosen:
                chosen = number
        elif operator == "min":
            if chosen is None or number < chosen:
                chosen = number
        else:
            total += <double>number
    if operator == "max" or operator == "min":
        return chosen
    if operator == "avg":
        total /= len(window)
    if not isfinite(total):
        return None
    if floor(total) == total and fabs(total) <= INTEGER_MAX:
        return int(total)
    return total


cdef inline bint _fits(object values, int count):
    return type(values) is tuple and len(<tuple>values) == count


cdef inline tuple _unless_empty(tuple registers):
    """Return None for registers that are all null: such a state need not carry them."""
    for value in registers:
        if value is not None:
            return registers
    return None
