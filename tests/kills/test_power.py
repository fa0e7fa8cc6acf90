"""Power loss, approximated: after a kill the log is cut where the last ended flush had found it.

What the operating system had not been made to write is so taken away again. Whatever was
acknowledged must be there all the same, once.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runtime import Engine
from tests.harness.engine import InlineCompiler
from tests.kills.powered import log_sizes

LOSSES = int(os.environ.get("PICOS_POWER_LOSSES", "4"))
SEED = int(os.environ.get("PICOS_KILLS_SEED", "1"))


def run_until(folder: Path, first: int, flushes: int) -> tuple[set[int], dict[str, int]]:
    """Load an engine that is killed before some flush; the numbers answered, the sizes flushed."""
    script = [sys.executable, "-m", "tests.kills.powered"]
    told = subprocess.run(
        [*script, str(folder), str(first), str(flushes)],
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert told.returncode == -signal.SIGKILL, told.stderr.decode()
    done: set[int] = set()
    flushed: dict[str, int] = {}
    for line in told.stdout.splitlines():
        flushed = note(json.loads(line), done) or flushed
    return done, flushed


def note(told: dict[str, Any], done: set[int]) -> dict[str, int] | None:
    """Take in one line; the sizes if it tells of a flush."""
    if "done" in told:
        done.add(told["done"])
    logs: dict[str, int] | None = told.get("logs")
    return logs


def lose_power(folder: Path, flushed: dict[str, int]) -> int:
    """Cut the logs back to what was flushed; how many bytes that took away."""
    lost = 0
    for name, size in log_sizes(folder).items():
        path = folder / name
        if name in flushed:
            lost += size - flushed[name]
            os.truncate(path, flushed[name])
        else:
            lost += size
            path.unlink()
    return lost


async def read_counts(folder: Path) -> dict[str, int]:
    """What an engine over the folder has counted, once it has come to rest."""
    async with Engine.open(folder, compiler=InlineCompiler()) as engine:
        await engine.idle()
        found: dict[str, int] = await engine.query(engine.root_eci, "power.counter", "seen")
        return found


def check(done: set[int], found: dict[str, int]) -> str:
    """What is wrong, "" when nothing is."""
    lost = [n for n in sorted(done) if f"n{n}" not in found]
    twice = [name for name, times in found.items() if times != 1]
    return f"lost {lost}, counted otherwise than once {twice}" if lost or twice else ""


def test_acknowledged_events_survive_power_loss(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    everything: set[int] = set()
    first = 0
    for _ in range(LOSSES):
        done, flushed = run_until(tmp_path, first, chance.randint(5, 80))
        everything |= done
        first = max(everything) + 1000
        assert lose_power(tmp_path / "db", flushed) > 0, "nothing was on its way to the disk"
        wrong = check(everything, asyncio.run(read_counts(tmp_path)))
        assert not wrong, f"{wrong} (seed {SEED})"
    assert len(everything) > LOSSES


def test_cutting_more_than_that_is_noticed(tmp_path: Path) -> None:
    done, flushed = run_until(tmp_path, 0, 30)
    newest = max(flushed)
    flushed[newest] -= 4000
    lose_power(tmp_path / "db", flushed)
    assert "lost" in check(done, asyncio.run(read_counts(tmp_path)))


@pytest.mark.parametrize("times", [2, 0])
def test_account_notices_what_is_wrong(times: int) -> None:
    assert check({1}, {"n1": times} if times else {})
