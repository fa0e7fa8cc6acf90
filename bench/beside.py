"""What picos feel of others that wait or mean no good: latency of hello events beside them.

In: how many picos and seconds. Out: one row for each kind of neighbour: the latency of hello events
to a thousand other picos alone and beside it, and what became of it. Invariants: the rows that are
compared come from one engine, alone and beside in turn; a neighbour that does not end as it must is
a wrong answer. Not here: throughput (workloads.py).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from bench.measure import WrongAnswer, percentile, resident_mb
from bench.workloads import know, make_child
from runtime import Engine
from runtime.errors import Fault

RULESET = "bench.beside"
IN_FLIGHT = 16
WAITING = 50
WAIT_SECONDS = 2.0
# What each hostile event must end with.
HOSTILE = {
    "spin": "R4024",
    "range": "R4004",
    "double": "R4004",
    "recurse": "R4010",
    "storm": "R4011",
    "fan_out": "R4012",
}


class Neighbours:
    """Picos that only want to be left in peace, and how long they wait for their answers."""

    def __init__(self, engine: Engine, ecis: list[str]) -> None:
        self._engine = engine
        self._ecis = ecis
        self._next = 0

    async def run(self, seconds: float) -> dict[str, float]:
        """Send them events for some time, a few in flight.

        Units: microseconds; events a second.
        Raises: WrongAnswer.
        """
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        taken: list[float] = []
        wrong: list[Any] = []
        until = perf_counter() + seconds
        under_way = 0

        def send() -> None:
            nonlocal under_way
            under_way += 1
            eci = self._ecis[self._next % len(self._ecis)]
            self._next += 1
            at = perf_counter()
            self._engine.post(eci, "echo", "hello", {"name": "Bob"}, partial(done, at))

        def done(at: float, answer: Any) -> None:
            nonlocal under_way
            now = perf_counter()
            under_way -= 1
            taken.append((now - at) * 1e6)
            if isinstance(answer, Fault) or len(answer["directives"]) != 1:
                wrong.append(answer)
            if now < until and not wrong:
                # From the loop again, so that whoever waits there has its turn.
                loop.call_soon(send)
            elif not under_way and not ended.done():
                ended.set_result(None)

        begin = perf_counter()
        for _ in range(IN_FLIGHT):
            send()
        await ended
        if wrong:
            raise WrongAnswer(f"a neighbour was answered {wrong[0]!r}")
        taken.sort()
        return {
            "p50_us": percentile(taken, 0.5),
            "p99_us": percentile(taken, 0.99),
            "max_us": taken[-1],
            "per_second": len(taken) / (perf_counter() - begin),
        }


async def measure(picos: int, seconds: float, home: Path | None) -> list[dict[str, Any]]:
    """The rows of all neighbours.

    Shapes: {beside, alone, with, ended: {outcome: times}, rss_mb}.
    Raises: WrongAnswer.
    """
    async with Engine.open(home, allow_hosts=["127.0.0.1"], system=False) as engine:
        await know(engine, "bench.hello")
        await know(engine, RULESET)
        ecis = [await make_child(engine, "bench.hello") for _ in range(picos)]
        neighbours = Neighbours(engine, ecis)
        await neighbours.run(seconds / 4)
        rows = [await _beside_waiting(engine, neighbours, seconds)]
        for name, code in HOSTILE.items():
            rows.append(await _beside_hostile(engine, neighbours, seconds, name, code))
        return rows


async def _beside_waiting(engine: Engine, neighbours: Neighbours, seconds: float) -> dict[str, Any]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            await asyncio.sleep(WAIT_SECONDS)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    ecis = [await make_child(engine, RULESET) for _ in range(WAITING)]

    async def ask(eci: str) -> str:
        answer = await engine.event(eci, "beside", "ask", {"url": url})
        return str([d["options"]["status"] for d in answer["directives"]] or answer)

    # The first request of a process loads the client.
    await ask(ecis[0])
    row = await _beside(
        f"{WAITING} picos that wait {WAIT_SECONDS:g} s each",
        neighbours,
        seconds,
        ecis,
        ask,
        "[200]",
    )
    server.close()
    return row


async def _beside_hostile(
    engine: Engine, neighbours: Neighbours, seconds: float, name: str, code: str
) -> dict[str, Any]:
    eci = await make_child(engine, RULESET)

    async def harm(eci: str) -> str:
        answer = await engine.event(eci, "beside", name)
        return " ".join(sorted({error["code"] for error in answer.get("errors", ())})) or "fired"

    return await _beside(f"one rule: {name}", neighbours, seconds, [eci], harm, code)


async def _beside(
    what: str,
    neighbours: Neighbours,
    seconds: float,
    ecis: list[str],
    do: Callable[[str], Any],
    must: str,
) -> dict[str, Any]:
    alone = await neighbours.run(seconds / 2)
    ended: Counter[str] = Counter()
    is_over = False

    async def again(eci: str) -> None:
        while not is_over:
            ended[await do(eci)] += 1
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(again(eci)) for eci in ecis]
    together = await neighbours.run(seconds)
    is_over = True
    await asyncio.gather(*tasks)
    if set(ended) != {must}:
        raise WrongAnswer(f"{what}: it ended with {dict(ended)}, and should with {must}")
    return {
        "beside": what,
        "alone": alone,
        "with": together,
        "ended": dict(ended),
        "rss_mb": resident_mb(),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| beside | p50 µs alone | with | p99 µs alone | with | max ms with | events/s alone "
        "| with | it ended with | RSS MB |",
        "| --- " * 10 + "|",
    ]
    for row in rows:
        alone, together = row["alone"], row["with"]
        ended = ", ".join(f"{times} x {how}" for how, times in row["ended"].items())
        lines.append(
            f"| {row['beside']} | {alone['p50_us']:,.0f} | {together['p50_us']:,.0f} "
            f"| {alone['p99_us']:,.0f} | {together['p99_us']:,.0f} "
            f"| {together['max_us'] / 1000:,.1f} | {alone['per_second']:,.0f} "
            f"| {together['per_second']:,.0f} | {ended} | {row['rss_mb']:,.0f} |"
        )
    return "\n".join(lines)
