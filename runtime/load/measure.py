"""Workloads measured on a running engine, one after the other; medians over some stretches.

In: an engine, workloads, how much of each. Out: for each its `Figures`, told as soon as they are
there. Invariant: the stage of a workload is cleared, however that ends. Not here: words and tables
(commands/bench.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from statistics import median
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
import uvloop

from runtime.client_http import Target
from runtime.load.drive import Taken, WrongAnswer, drive
from runtime.load.links import ChannelLinks, HttpLinks, Links
from runtime.load.plays import Play
from runtime.load.stage import Stage

# Of each stretch so much is done before the first that counts.
_PARTS_WARM_UP = 5


class Way(NamedTuple):
    """How the engine is reached: a channel's address, or "" for HTTP.

    `pid` is its process, when that is on this machine.
    """

    target: Target
    channel: str
    pid: int | None


class Amount(msgspec.Struct, frozen=True):
    """How much of each workload: `count` of its units a stretch, or None for its own."""

    count: int | None
    flight: int
    repeats: int
    timeout_s: float


class Figures(msgspec.Struct, frozen=True):
    """What a workload took. Units: operations, microseconds; `engine_cpu_us` is for each unit."""

    workload: str
    says: str
    unit: str
    count: int
    in_flight: int
    per_second: dict[str, float]
    p50_us: float
    p99_us: float
    engine_cpu_us: float | None


def measure_all(
    plays: Sequence[Play], way: Way, amount: Amount, tell: Callable[[Figures], object]
) -> list[Figures]:
    """Measure workloads; `tell` hears of each as soon as it is over.

    Raises: WrongAnswer; Refused and Unreachable of the stage; Fault R5004.
    """
    found = []
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for play in plays:
            figures = runner.run(_measure(play, way, amount))
            tell(figures)
            found.append(figures)
    return found


async def _measure(play: Play, way: Way, amount: Amount) -> Figures:
    flight = min(play.flight, amount.flight)
    count = play.count if amount.count is None else max(1, amount.count // play.units)
    stage = Stage(way.target, amount.timeout_s)
    try:
        ecis = stage.build(play.picos, play.rid)
        async with _links(way, flight) as links:
            running = play.make(links, ecis)
            await running.prepare()
            await drive(running.start, max(1, count // _PARTS_WARM_UP), flight)
            taken = [
                await drive(running.start, count, flight, way.pid) for _ in range(amount.repeats)
            ]
            problem = await running.verify()
        if problem is not None:
            raise WrongAnswer(problem)
    except WrongAnswer as error:
        raise WrongAnswer(f"{play.name}: {error}") from None
    finally:
        stage.clear()
    return _figures(play, count, flight, taken)


def _links(way: Way, flight: int) -> AbstractAsyncContextManager[Links]:
    if way.channel:
        return ChannelLinks.connect(way.channel, token=way.target.token)
    place = urlsplit(way.target.url)
    return HttpLinks.connect(place.hostname or "", place.port or 80, flight)


def _figures(play: Play, count: int, flight: int, taken: list[Taken]) -> Figures:
    """Medians over the stretches, and the spread of the rate."""
    rates = [count * play.units / each.seconds for each in taken]
    spent: list[Any] = [each.cpu_us / play.units for each in taken if each.cpu_us is not None]
    return Figures(
        play.name,
        play.says,
        play.unit,
        count * play.units,
        flight,
        {"median": median(rates), "min": min(rates), "max": max(rates)},
        median(each.p50_us for each in taken),
        median(each.p99_us for each in taken),
        median(spent) if spent else None,
    )
