"""Worker greenlets: where turns run, so that one that waits can stay where it is.

In: the work, a function without arguments. Out: it runs in a greenlet until it ends or parks.
Invariants: all workers run on the thread of the loop, one at a time; control returns to the loop
whenever one parks; a parked worker goes on only when it is resumed. Work that never parks costs two
switches for each round of the loop. Not here: what turns wait for (waiting.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from greenlet import getcurrent, greenlet

from runtime.limits import workers_idle_max


class Cancelled(BaseException):
    """A parked turn is not to go on: it is given up, and nothing of it remains."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(str(reason))
        self.reason = reason


class Workers:
    """All greenlets of one engine that run turns."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._idle: list[greenlet] = []
        self._loop: greenlet = getcurrent()

    @property
    def current(self) -> greenlet:
        """The worker that runs now."""
        return getcurrent()

    def run(self) -> None:
        """Have a worker do the work; return when it has ended or parked."""
        self._loop = getcurrent()
        worker = self._idle.pop() if self._idle else greenlet(self._serve)
        worker.switch()

    def park(self) -> Any:
        """Leave the running worker where it is; return what it is resumed with.

        Raises: Cancelled when it is cancelled instead.
        """
        return self._loop.switch()

    def resume(self, worker: greenlet, value: Any) -> None:
        """Let a parked worker go on; return when it has ended or parked again."""
        self._loop = getcurrent()
        worker.switch(value)

    def cancel(self, worker: greenlet, reason: Exception) -> None:
        """Have a parked worker give up what it does; return when it has."""
        self._loop = getcurrent()
        worker.throw(Cancelled(reason))

    def _serve(self) -> None:
        while True:
            self._work()
            if len(self._idle) >= workers_idle_max:
                return
            self._idle.append(getcurrent())
            self._loop.switch()
