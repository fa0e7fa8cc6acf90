"""An engine over RocksDB, loaded without end, that tells what a power loss would leave.

In: `python -m tests.kills.powered FOLDER FIRST FLUSHES`: the first number to count, and after how
many flushes to be killed: right before the next one, when something is written and not flushed.
Out, on stdout, one JSON line each: {"logs": {name: bytes}} after each flush that ended, with the
log files and their sizes as they were before it; {"done": number} for each event that was answered.
A line is out before anything later can happen, since it is one unbuffered write.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from runtime import Engine
from runtime.rocks import RocksStore
from tests.harness.engine import InlineCompiler

IN_FLIGHT = 64
COUNTER = """
ruleset power.counter {
  meta { shares seen }
  global { seen = function() { ent:seen.defaultsTo({}) } }
  rule count {
    select when power count
    pre { n = event:attrs{"n"} }
    fired { ent:seen{n} := ent:seen{n}.defaultsTo(0) + 1 }
  }
}
"""


def tell(line: dict[str, Any]) -> None:
    """Write one line to stdout, at once and whole."""
    os.write(1, json.dumps(line).encode() + b"\n")


def log_sizes(folder: Path) -> dict[str, int]:
    """The write-ahead log files and their sizes."""
    sizes = {}
    for path in folder.glob("*.log"):
        try:
            sizes[path.name] = path.stat().st_size
        except FileNotFoundError:
            continue
    return sizes


def watch_flushes(folder: Path, flushes: int) -> None:
    """Have every flush of the store told, with the sizes before it, until the last one."""
    original = RocksStore._flush_wal
    left = flushes

    def flush(self: RocksStore) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        sizes = log_sizes(folder)
        original(self)
        tell({"logs": sizes})

    RocksStore._flush_wal = flush  # type: ignore[method-assign]


async def main(folder: Path, first: int, flushes: int) -> None:
    """Count up from `first` until killed."""
    watch_flushes(folder / "db", flushes)
    async with Engine.open(folder, compiler=InlineCompiler()) as engine:
        if first == 0:
            await engine.install(engine.root_eci, source=COUNTER)
        loop = asyncio.get_running_loop()
        number = first

        def post() -> None:
            nonlocal number
            n = number
            number += 1

            def done(answer: Any) -> None:
                assert type(answer) is dict, answer
                tell({"done": n})
                loop.call_soon(post)

            # Half of them are accepted before they are evaluated.
            if n % 2:
                signalled = lambda answer: done({"eid": answer})  # noqa: E731
                engine.post_signal(engine.root_eci, "power", "count", {"n": f"n{n}"}, signalled)
            else:
                engine.post(engine.root_eci, "power", "count", {"n": f"n{n}"}, done)

        for _ in range(IN_FLIGHT):
            post()
        await loop.create_future()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
