"""The pure twin of `work.pyx`: counting work, with the same names and meaning.

In: counts. Out: calls of `spent` on whoever runs. One count and one runner for each thread. Slow
beside the compiled form, and made for places where that cannot be built.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

# Without a runner nobody is told: only the next `begin` matters.
_LEFT_IDLE = 1 << 62


class Runner(Protocol):
    """Whose work is counted."""

    def spent(self, times: int) -> object:
        """The allowance is used up, so many times over; what this raises ends the work."""


class _Local(threading.local):
    left = _LEFT_IDLE
    runner: Runner | None = None


_local = _Local()
_allowance = 1


def allow(work: int) -> None:
    """Say for all threads after how much work runners are told; at least 1."""
    global _allowance
    _allowance = max(work, 1)


def begin(runner: Runner | None) -> None:
    """Count for somebody else from now on, or for nobody."""
    _local.runner = runner
    _local.left = _LEFT_IDLE if runner is None else _allowance


def current() -> Any:
    """For whom this thread counts; None for nobody."""
    return _local.runner


def tick() -> None:
    """Count one call or round."""
    _local.left -= 1
    if _local.left < 0:
        _spent()


def spend(work: int) -> None:
    """Count work that amounts to so many calls."""
    _local.left -= work
    if _local.left < 0:
        _spent()


def counted(entries: Iterable[Any]) -> Iterator[Any]:
    """The same entries, each counted before it is given."""
    for entry in entries:
        tick()
        yield entry


def _spent() -> None:
    times = (_allowance - _local.left) // _allowance
    _local.left = _LEFT_IDLE
    if _local.runner is not None:
        _local.left = _allowance
        _local.runner.spent(times)
