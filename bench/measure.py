"""One measured stretch of operations: wall rate, CPU, latencies, memory.

In: a subject that can start one operation and says when it is done. Out: a `Sample`, or
`WrongAnswer` for the first operation whose answer was not right. Invariant: ours and the limit row
go through the same code, so what measuring costs is in both. Not here: what an operation is.
"""

from __future__ import annotations

import asyncio
import gc
import math
import resource
import sys
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter_ns, process_time_ns, time_ns
from typing import Any

import msgspec

from runtime.load.drive import Done, WrongAnswer

__all__ = ["Done", "Sample", "Subject", "WrongAnswer", "measure"]

# An operation that never ends stops the run with a message instead of hanging it.
STUCK_S = 60


class Subject:
    """Something that can do one operation after the other."""

    async def prepare(self, count: int) -> None:
        """Make ready for `count` operations, outside the measured stretch."""

    def start(self, done: Done) -> None:
        """Start the next operation; `done` is called when all of it is over, never within this."""
        raise NotImplementedError

    async def verify(self) -> str | None:
        """What is wrong with the state left behind, if anything is."""
        return None


class Sample(msgspec.Struct, frozen=True):
    """What one stretch took.

    Units: microseconds, for CPU of the whole process (all threads) per operation; `rss_mb` is its
    memory right after.
    """

    count: int
    per_second: float
    cpu_us: float
    p50_us: float
    p99_us: float
    rss_mb: float = 0.0


async def measure(subject: Subject, count: int, flight: int) -> Sample:
    """Do `count` operations with `flight` of them under way.

    Raises: WrongAnswer.
    """
    await subject.prepare(count)
    gc.collect()
    latencies = array("q")
    stretch = _one_by_one if flight == 1 else _in_flight
    ahead = time_ns() - perf_counter_ns()
    cpu = process_time_ns()
    begin = perf_counter_ns()
    try:
        async with asyncio.timeout(STUCK_S):
            await stretch(subject, count, flight, latencies)
    except WrongAnswer as error:
        # Rules with a time limit are right to answer differently on a machine that stood still.
        slowest = max(latencies, default=0) / 1e6
        moved = abs(time_ns() - perf_counter_ns() - ahead) / 1e6
        raise WrongAnswer(
            f"operation {len(latencies)}: {error} (until then the slowest operation took "
            f"{slowest:.0f} ms, and the wall clock was corrected by {moved:.0f} ms)"
        ) from None
    except TimeoutError:
        raise WrongAnswer(
            f"stuck: {len(latencies)} of {count} operations were done after {STUCK_S} s"
        ) from None
    wall = perf_counter_ns() - begin
    cpu = process_time_ns() - cpu
    ordered = sorted(latencies)
    return Sample(
        count,
        count / wall * 1e9,
        cpu / count / 1000,
        percentile(ordered, 0.5) / 1000,
        percentile(ordered, 0.99) / 1000,
        resident_mb(),
    )


async def _one_by_one(subject: Subject, count: int, _: int, latencies: array[int]) -> None:
    make = asyncio.get_running_loop().create_future
    for _ in range(count):
        begin = perf_counter_ns()
        over: asyncio.Future[str | None] = make()
        subject.start(over.set_result)
        problem = await over
        latencies.append(perf_counter_ns() - begin)
        if problem is not None:
            raise WrongAnswer(problem)


async def _in_flight(subject: Subject, count: int, flight: int, latencies: array[int]) -> None:
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    left = count
    start = subject.start

    def launch() -> None:
        nonlocal left
        left -= 1
        begin = perf_counter_ns()

        def done(problem: str | None) -> None:
            latencies.append(perf_counter_ns() - begin)
            if problem is not None and not over.done():
                over.set_exception(WrongAnswer(problem))
            elif left and not over.done():
                launch()
            elif len(latencies) == count and not over.done():
                over.set_result(None)

        start(done)

    for _ in range(min(flight, count)):
        launch()
    await over


def percentile(ordered: Sequence[float], part: float) -> float:
    """The value below which this part of an ordered list lies."""
    return float(ordered[min(len(ordered) - 1, math.floor(len(ordered) * part))])


def median(values: list[float]) -> float:
    """The middle value, or the mean of the two in the middle."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {"median": median(values), "min": min(values), "max": max(values)}


def resident_mb() -> float:
    """The memory this process has now; where the system does not tell, the most it ever had."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / (1 << 20)
    except (OSError, ValueError, IndexError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / (1 << 20 if sys.platform == "darwin" else 1 << 10)


async def ask(start: Callable[[Callable[[Any], object]], object]) -> Any:
    """Start something of the engine's core and wait for its answer.

    Raises: what was answered, when that is an exception.
    """
    answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    start(answer.set_result)
    value = await answer
    if isinstance(value, Exception):
        raise value
    return value
