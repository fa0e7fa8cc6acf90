"""Time, identifiers and chance: everything about a turn that its input does not say.

In: production passes the loop's `call_soon` and `call_later`; tests and simulation pass a seed or a
start time. Out: `Clock`, `Ids` and `Random` objects, real or virtual, of the same shape.

Invariants: core modules ask only these objects for time, ids and random numbers, so a run with
virtual ones repeats exactly. Real ids carry 129 random bits from the operating system, since an ECI
is a capability. Nothing here imports asyncio or sleeps.
"""

import heapq
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from ext import IdsBase

ID_RANDOM_CHARS = 25
ID_CHARS = 1 + 2 + ID_RANDOM_CHARS
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
# An alarm looks at the wall clock at least this often: a corrected clock is noticed in a day.
_HOP_MS_MAX = 86_400_000
# Under virtual time work takes as long as it is counted to: about half a microsecond a call.
LOOK_NS = 100_000
_STATM = Path("/proc/self/statm")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class Handle(Protocol):
    """A call that was asked for and can still be taken back."""

    def cancel(self) -> None:
        """Take the call back; after it ran this does nothing."""


class Clock(Protocol):
    """The engine's idea of now, and of later."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""

    def call_soon(self, fn: Callable[[], object]) -> None:
        """Run `fn` on the driving loop after what already waits there, never within this call."""

    def call_at(self, ms: int, fn: Callable[[], object]) -> Handle:
        """Run `fn` on the driving loop once `now_ms()` has reached `ms`, never within this call."""

    def call_after(self, ms: int, fn: Callable[[], object]) -> Handle:
        """Run `fn` on the driving loop in so many milliseconds, whatever becomes of `now_ms()`."""

    def running_ns(self, work: int) -> int:
        """Nanoseconds that this thread has run: not those it waited, nor those of other threads.

        Units:  work counts allowances of `work_between_looks`; only virtual clocks go by it.
        """

    def resident_bytes(self) -> int:
        """Memory that the process has taken; 0 where nobody can tell."""

    def run_aside(self, job: Callable[[], Any], done: Callable[[Any], object]) -> None:
        """Do a blocking job off the driving loop; `done` gets what it returns, or its Exception.

        `done` is called on the loop, never within this call.
        """


class Ids(Protocol):
    """Where new identifiers come from."""

    def pico(self) -> str:
        """A new pico id."""

    def eci(self) -> str:
        """A new event channel identifier."""

    def eid(self) -> str:
        """A new event identifier; also for schedule ids, query ids and random:uuid()."""


class Random(Protocol):
    """Where chance comes from in rules: random:*, sample, choose."""

    def number(self) -> float:
        """A number from 0 up to, not including, 1."""

    def below(self, bound: int) -> int:
        """A whole number from 0 up to, not including, `bound`, which is at least 1."""


class _Alarm:
    """One `call_at` of the real clock: wakes once a day, fires when the time is reached."""

    __slots__ = ("_clock", "_fn", "_handle", "_ms")

    def __init__(self, clock: "RealClock", ms: int, fn: Callable[[], object]) -> None:
        self._clock = clock
        self._ms = ms
        self._fn: Callable[[], object] | None = fn
        self._handle: Handle | None = None
        self.arm()

    def arm(self) -> None:
        """Ask the loop to wake this alarm when due, at the latest after the longest hop."""
        wait_ms = min(max(self._ms - self._clock.now_ms(), 0), _HOP_MS_MAX)
        self._handle = self._clock.call_later(wait_ms / 1000, self._wake)

    def _wake(self) -> None:
        # The loop counts monotonic time; people and NTP move the other one. So look again, and a
        # timer set for a date fires at that date even when the clock was corrected meanwhile.
        fn = self._fn
        if fn is None:
            return
        if self._clock.now_ms() < self._ms:
            self.arm()
            return
        self._fn = None
        fn()

    def cancel(self) -> None:
        self._fn = None
        if self._handle is not None:
            self._handle.cancel()


class RealClock:
    """The wall clock, driven by a loop that lends its `call_soon` and `call_later`.

    `call_later` takes seconds, as asyncio and uvloop have it.
    """

    def __init__(
        self,
        call_soon: Callable[[Callable[[], object]], object],
        call_later: Callable[[float, Callable[[], object]], Handle],
        deliver: Callable[[Callable[[], object]], object] | None = None,
    ) -> None:
        """`deliver` is `call_soon` for other threads; without it jobs are done on the loop."""
        self._call_soon = call_soon
        self.call_later = call_later
        self._deliver = deliver

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def call_soon(self, fn: Callable[[], object]) -> None:
        self._call_soon(fn)

    def call_at(self, ms: int, fn: Callable[[], object]) -> Handle:
        return _Alarm(self, ms, fn)

    def call_after(self, ms: int, fn: Callable[[], object]) -> Handle:
        return self.call_later(ms / 1000, fn)

    def running_ns(self, work: int) -> int:
        return time.thread_time_ns()

    def resident_bytes(self) -> int:
        try:
            with _STATM.open("rb") as file:
                return int(file.read().split()[1]) * _PAGE_BYTES
        except OSError:
            return 0

    def run_aside(self, job: Callable[[], Any], done: Callable[[Any], object]) -> None:
        deliver = self._deliver
        if deliver is None:
            _do(job, done, self._call_soon)
        else:
            threading.Thread(target=_do, args=(job, done, deliver), daemon=True).start()


def _do(
    job: Callable[[], Any],
    done: Callable[[Any], object],
    deliver: Callable[[Callable[[], object]], object],
) -> None:
    try:
        result = job()
    except Exception as error:
        result = error
    # A loop that has ended meanwhile wants no results.
    with suppress(RuntimeError):
        deliver(partial(done, result))


class _Entry:
    """One `call_at` of the virtual clock."""

    __slots__ = ("fn", "ms", "number")

    def __init__(self, ms: int, number: int, fn: Callable[[], object]) -> None:
        self.ms = ms
        self.number = number
        self.fn: Callable[[], object] | None = fn

    def __lt__(self, other: "_Entry") -> bool:
        return (self.ms, self.number) < (other.ms, other.number)

    def cancel(self) -> None:
        self.fn = None


class VirtualClock:
    """A clock that stands still until it is told to move.

    Timers fire in order of time, equal times in order of asking. Without `call_soon` the clock is
    its own loop: `run` works off what waits, and `advance` does so at every stop. With a loop's
    `call_soon` that loop runs them, and its owner steps with `next_due_ms` and `advance_to`.
    """

    def __init__(
        self,
        start_ms: int = 0,
        call_soon: Callable[[Callable[[], object]], object] | None = None,
    ) -> None:
        self._now_ms = start_ms
        self._lent = call_soon
        self._soon: deque[Callable[[], object]] = deque()
        self._timers: list[_Entry] = []
        self._asked = 0
        self._ran_ns = 0
        # How long an allowance of work takes, and the memory that the process shows.
        self.look_ns = LOOK_NS
        self.resident = 0

    def now_ms(self) -> int:
        return self._now_ms

    def running_ns(self, work: int) -> int:
        self._ran_ns += self.look_ns * work
        return self._ran_ns

    def resident_bytes(self) -> int:
        return self.resident

    def run_aside(self, job: Callable[[], Any], done: Callable[[Any], object]) -> None:
        _do(job, done, self.call_soon)

    def call_soon(self, fn: Callable[[], object]) -> None:
        if self._lent is not None:
            self._lent(fn)
        else:
            self._soon.append(fn)

    def call_at(self, ms: int, fn: Callable[[], object]) -> Handle:
        self._asked += 1
        entry = _Entry(ms, self._asked, fn)
        heapq.heappush(self._timers, entry)
        return entry

    def call_after(self, ms: int, fn: Callable[[], object]) -> Handle:
        return self.call_at(self._now_ms + ms, fn)

    def next_due_ms(self) -> int | None:
        """When the next timer is due, or None when there is none."""
        timers = self._timers
        while timers and timers[0].fn is None:
            heapq.heappop(timers)
        return timers[0].ms if timers else None

    def run(self) -> None:
        """Work off everything asked for with `call_soon`, and what that asks for in turn."""
        soon = self._soon
        while soon:
            soon.popleft()()

    def advance_to(self, ms: int) -> None:
        """Move to `ms`, stopping at every timer due on the way; never back."""
        self.run()
        while True:
            due_ms = self.next_due_ms()
            if due_ms is None or due_ms > ms:
                break
            self._now_ms = max(self._now_ms, due_ms)
            fn = heapq.heappop(self._timers).fn
            if fn is not None:
                fn()
            self.run()
        self._now_ms = max(self._now_ms, ms)

    def advance(self, seconds: float) -> None:
        """Move on by some seconds, stopping at every timer due on the way."""
        self.advance_to(self._now_ms + round(seconds * 1000))


def partition_chars(partition: int) -> str:
    """The two base-36 characters of a partition number.

    Raises: ValueError when it is not in 0…1295.
    """
    if not 0 <= partition < 36 * 36:
        raise ValueError(f"a partition is a number from 0 to 1295, not {partition}")
    return _BASE36[partition // 36] + _BASE36[partition % 36]


class RealIds(IdsBase):
    """Identifiers nobody can guess: `c`, two characters of partition, 25 of randomness."""

    __slots__ = ()

    def __init__(self, partition: int = 0) -> None:
        super().__init__("c" + partition_chars(partition))

    pico = IdsBase.eid
    eci = IdsBase.eid


class SeededIds:
    """Identifiers of the real form that repeat with the seed: for simulation only."""

    def __init__(self, seed: int, partition: int = 0) -> None:
        self._prefix = "c" + partition_chars(partition)
        self._choices = random.Random(seed).choices

    def eid(self) -> str:
        return self._prefix + "".join(self._choices(_BASE36, k=ID_RANDOM_CHARS))

    pico = eid
    eci = eid


class CounterIds:
    """Identifiers `id0`, `id1`, … from one counter: the order of asking shows in them."""

    def __init__(self, prefix: str = "id") -> None:
        self._prefix = prefix
        self._count = -1

    def eid(self) -> str:
        self._count += 1
        return f"{self._prefix}{self._count}"

    pico = eid
    eci = eid


class SeededRandom:
    """Chance that repeats with its seed; without one the operating system seeds it.

    Not for secrets: those are identifiers, and come from `Ids`.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.Random(seed)

    def number(self) -> float:
        return self._random.random()

    def below(self, bound: int) -> int:
        return self._random.randrange(bound)
