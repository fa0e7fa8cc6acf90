"""`pico serve` killed under load, again and again: every acknowledged event counts exactly once.

`PICOS_KILLS` and `PICOS_KILLS_PICOS` set how often and with how many picos, `PICOS_KILLS_SEED` the
moments.
"""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

from tests.harness.process import Served, wait_for
from tests.kills.load import Load, counts_of

KILLS = int(os.environ.get("PICOS_KILLS", "5"))
PICOS = int(os.environ.get("PICOS_KILLS_PICOS", "500"))
SEED = int(os.environ.get("PICOS_KILLS_SEED", "1"))
CONNECTIONS = 12
SOURCES = {path.stem: path.read_text() for path in Path(__file__).parent.glob("*.krl")}


def make_cells(served: Served, count: int) -> list[str]:
    """Make picos under the root, and wait until all have told their channels."""
    for name in ("cell", "nest"):
        served.install(f"kills:{name}", SOURCES[name])
    root = served.root_eci()
    for first in range(0, count, 100):
        numbers = [str(number) for number in range(first, min(first + 100, count))]
        served.event(root, "kills", "make", {"numbers": numbers})

    def all_ready() -> dict[str, str] | None:
        cells: dict[str, str] = served.query(root, "kills.nest", "cells")
        return cells if len(cells) == count else None

    cells = wait_for("all cells ready", all_ready)
    return [cells[str(number)] for number in range(count)]


async def load_and_kill(served: Served, load: Load, count: int) -> None:
    """Load the engine until some events were acknowledged, then kill it in the middle of things."""
    enough = asyncio.Event()
    clients = asyncio.create_task(load.run(served.target.url, CONNECTIONS, enough, count))
    waiting = asyncio.create_task(enough.wait())
    await asyncio.wait({clients, waiting}, return_when=asyncio.FIRST_COMPLETED)
    served.kill()
    await clients
    waiting.cancel()


def account(served: Served, load: Load) -> str:
    """What is wrong with what the engine holds, "" when nothing is."""
    return load.check(asyncio.run(counts_of(served.target.url, load.doors)))


def test_acknowledged_events_survive_kills(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    with Served(tmp_path / "home") as served:
        served.start()
        load = Load(chance, make_cells(served, PICOS))
        for _ in range(KILLS):
            asyncio.run(load_and_kill(served, load, chance.randint(1, 600)))
            served.start()
            asyncio.run(load.repeat(served.target.url))

            # What was accepted before the kill runs now; a number may be on its way to a neighbour.
            wait_for("all numbers passed on", lambda: "passed" not in account(served, load))
            wrong = account(served, load)
            assert not wrong, f"{wrong} (seed {SEED})"
        assert served.stop() == (0, "")
    assert load.acknowledged > KILLS


def test_engine_that_loses_events_is_noticed(tmp_path: Path) -> None:
    # Without a log a kill takes everything since the last write-out.
    with Served(tmp_path / "home") as served:
        served.start()
        load = Load(random.Random(SEED), make_cells(served, 5))
        assert served.stop() == (0, "")
        served.options = ("--durability", "none")
        served.start()
        asyncio.run(load_and_kill(served, load, 50))
        served.start()
        assert "lost" in account(served, load)
