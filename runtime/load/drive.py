"""So many operations, so many of them under way: how long each took, and what the engine spent.

In: a function that starts one operation. Out: `Taken`, or `WrongAnswer` for the first operation
whose answer was not right. Not here: what an operation is (plays.py).
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

# Gets None when the operation did what it should, else what was wrong.
Done = Callable[[str | None], object]
Start = Callable[[Done], object]
_STUCK_S = 60.0
# Which clock of a process: the kernel's number for the time that all its threads have run.
_CPU_OF_ALL_THREADS = 2


class WrongAnswer(Exception):  # noqa: N818 - a finding about an engine
    """The engine did not do the work."""


class Taken(msgspec.Struct, frozen=True):
    """What a stretch took; `cpu_us` is the engine's for each operation, None when unknown."""

    count: int
    seconds: float
    p50_us: float
    p99_us: float
    cpu_us: float | None


def process_cpu_ns(pid: int) -> int | None:
    """The CPU time of a process of this user, all threads; None where that cannot be told."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return time.clock_gettime_ns((~pid << 3) | _CPU_OF_ALL_THREADS)
    except OSError:
        return None


def resident_mb(pid: int) -> float | None:
    """The memory that a process of this machine has; None where that cannot be told."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("VmRSS:")]
    return int(found[0]) / 1024 if found else None


async def drive(start: Start, count: int, flight: int, pid: int | None = None) -> Taken:
    """Do `count` operations with `flight` of them under way; `pid` is the engine's, if it is here.

    Raises: WrongAnswer.
    """
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waits: list[int] = []
    left = count

    def launch() -> None:
        nonlocal left
        left -= 1
        began = time.perf_counter_ns()

        def done(problem: str | None) -> None:
            waits.append(time.perf_counter_ns() - began)
            if over.done():
                return
            if problem is not None:
                over.set_exception(WrongAnswer(f"operation {len(waits)}: {problem}"))
            elif left:
                launch()
            elif len(waits) == count:
                over.set_result(None)

        start(done)

    cpu = None if pid is None else process_cpu_ns(pid)
    began = time.perf_counter_ns()
    for _ in range(min(flight, count)):
        launch()
    try:
        async with asyncio.timeout(_STUCK_S):
            await over
    except TimeoutError:
        message = f"stuck: {len(waits)} of {count} operations were done after {_STUCK_S:g} s"
        raise WrongAnswer(message) from None
    seconds = (time.perf_counter_ns() - began) / 1e9
    spent = None if pid is None or cpu is None else process_cpu_ns(pid)
    waits.sort()
    return Taken(
        count,
        seconds,
        waits[count // 2] / 1000,
        waits[min(count - 1, count * 99 // 100)] / 1000,
        None if spent is None or cpu is None else (spent - cpu) / 1000 / count,
    )
