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

    def __init__(self, work: Callable[[], object], broke: Callable[[Exception], object]) -> None:
        """`broke` is told of what comes out of the work, which nobody else would hear of."""
        self._work = work
        self._broke = broke
        self._idle: list[greenlet] = []
        self._loop: greenlet = getcurrent()

    @property
    def current(self) -> greenlet:
        """The worker that runs now."""
        return getcurrent()

    def run(self) -> None:
        """Have a worker do the work; return when it has ended or parked."""
        self._loop = getcurrent()
        if self._idle:
            worker = self._idle.pop()
        else:
            worker = greenlet(_serve)
            # What a greenlet is started with it holds to its end, so that must be nothing.
            worker.switch()
        worker.switch(self._guarded, self._rest)

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

    def kill(self, worker: greenlet) -> None:
        """End a parked worker for good: what it was about is as if it had never begun.

        A parked worker holds all that its frames hold, and no collector sees into those.
        """
        worker.throw()

    def _guarded(self) -> None:
        try:
            self._work()
        except Exception as error:
            self._broke(error)

    def _rest(self) -> greenlet | None:
        """Where the running worker goes to wait for more work; None when there are enough."""
        if len(self._idle) >= workers_idle_max:
            return None
        self._idle.append(getcurrent())
        return self._loop


def _serve() -> None:
    """Work, and rest; while it rests nothing here holds the engine in memory."""
    loop: greenlet | None = getcurrent().parent
    while loop is not None:
        work, rest = loop.switch()
        work()
        loop = rest()
        del work, rest
