"""What the engine counts while it works, to be read by a scrape (metrics.py).

In: increments from the core. Out: integers. Invariants: an event costs one increment of a slot;
nothing here is ever reset, looked at by the core, or needed for correctness; a histogram's note is
one search and two additions, and is taken per group or sync, never per event.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from runtime.errors import Fault


class Histogram:
    """How often a value fell into each of some ranges.

    Shapes: `counts` has one more than `bounds`: the last is for what is above all of them.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def note(self, value: float) -> None:
        """Count one value; a bound belongs to the range below it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


SYNC_SECONDS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0)
GROUP_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)


class Counts:
    """What one engine has done since it started.

    `events` and `queries` count turns that came to their end, `faults` rules that failed in them,
    by code; `refused` counts what was accepted and could not be run, by code.
    """

    __slots__ = ("events", "faults", "queries", "refused", "tasks")

    def __init__(self) -> None:
        self.events = 0
        self.queries = 0
        self.tasks = 0
        self.faults: dict[str, int] = {}
        self.refused: dict[str, int] = {}

    def faulted(self, faults: Iterable[Fault]) -> None:
        """Rules of a turn failed."""
        counts = self.faults
        for fault in faults:
            counts[fault.code] = counts.get(fault.code, 0) + 1

    def refuse(self, fault: Fault) -> None:
        """An item could not be run at all."""
        self.refused[fault.code] = self.refused.get(fault.code, 0) + 1
