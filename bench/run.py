"""A case measured: ours and the limit row in turn, over and over; medians, spread and ratios.

In: a case, a storage, how many repeats. Out: a `Row`. Each case runs in a process of its own, so
memory is its own too; within it samples of ours and of the limit row alternate, and the order is
turned round each time, so that what else the machine does falls on both. Ratios are taken between
neighbours. `memory` keeps nothing; `fsync` and `os` are the durabilities of the engine.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import uvloop

from bench.limit import Limit
from bench.measure import Sample, Subject, WrongAnswer, measure, median, resident_mb, spread
from bench.workloads import CASES, Case, CountingIds
from runtime.errors import Fault
from runtime.library import Engine
from runtime.memory import MemoryStore
from runtime.registry import Compiler
from runtime.rocks import RocksStore
from runtime.store import Store

# Enough to fill caches; a multiple of W4's cycle.
WARM_UP = 480
# Exit code of a measuring process that found work done wrong.
WRONG = 3


class Figures(msgspec.Struct, frozen=True):
    """What one side took, over all repeats.

    Units: microseconds per operation; `share_*` is the limit row's cost over ours, 1.0 being as
    fast as the limit.
    """

    per_second: dict[str, float]
    cpu_us: dict[str, float]
    p50_us: float
    p99_us: float
    rss_mb: float | None = None
    share_cpu: dict[str, float] | None = None
    share_wall: dict[str, float] | None = None


class Row(msgspec.Struct, frozen=True):
    """One line of the table."""

    workload: str
    variant: str
    storage: str
    count: int
    repeats: int
    unit: str
    units: int
    ours: Figures
    limits: dict[str, Figures]


async def run_case(
    case: Case,
    storage: str,
    count: int,
    repeats: int,
    folder: Path,
    compiler: Compiler | None = None,
) -> Row:
    """Measure a case in this process; `folder` is where its data goes.

    Raises: WrongAnswer, naming the case.
    """
    label = f"{case.name}/{storage}"
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(
            Engine.open(
                None if storage == "memory" else folder / "ours",
                durability="fsync" if storage == "memory" else storage,
                compiler=compiler,
                ids=CountingIds() if case.counts_ids else None,
            )
        )
        try:
            sides: dict[str, Subject] = {"ours": await case.ours(engine)}
            await measure(sides["ours"], min(case.quick, count, WARM_UP), case.flight)
            # Before the limit row's store takes its share.
            rss_mb = resident_mb()
            for number, (name, plan) in enumerate(case.limits.items()):
                store = _store(storage, folder / f"limit{number}")
                stack.callback(store.close)
                loop = asyncio.get_running_loop()
                sides[name] = Limit(store, loop.call_soon, plan())
                await measure(sides[name], min(case.quick, count, WARM_UP), case.flight)
            samples: dict[str, list[Sample]] = {name: [] for name in sides}
            for repeat in range(repeats):
                names = list(sides)
                for name in names if repeat % 2 == 0 else reversed(names):
                    samples[name].append(await measure(sides[name], count, case.flight))
            problem = await sides["ours"].verify()
        except WrongAnswer as error:
            raise WrongAnswer(f"{label}: {error}") from None
        except Fault as fault:
            raise WrongAnswer(f"{label}: {fault}") from fault
        if problem is not None:
            raise WrongAnswer(f"{label}: {problem}")
    ours = samples.pop("ours")
    return Row(
        case.workload,
        case.variant,
        storage,
        count,
        repeats,
        case.unit,
        case.units,
        msgspec.structs.replace(_figures(ours), rss_mb=rss_mb),
        {name: _beside(ours, theirs) for name, theirs in samples.items()},
    )


def _store(storage: str, folder: Path) -> Store:
    loop = asyncio.get_running_loop()
    if storage == "memory":
        return MemoryStore(loop.call_soon)
    return RocksStore(folder, loop.call_soon_threadsafe, durability=storage)


def _figures(samples: list[Sample]) -> Figures:
    return Figures(
        spread([sample.per_second for sample in samples]),
        spread([sample.cpu_us for sample in samples]),
        median([sample.p50_us for sample in samples]),
        median([sample.p99_us for sample in samples]),
    )


def _beside(ours: list[Sample], theirs: list[Sample]) -> Figures:
    pairs = list(zip(ours, theirs, strict=True))
    return msgspec.structs.replace(
        _figures(theirs),
        share_cpu=spread([limit.cpu_us / own.cpu_us for own, limit in pairs]),
        share_wall=spread([own.per_second / limit.per_second for own, limit in pairs]),
    )


# --- A process for each case ----------------------------------------------------------------------


def run_apart(case: Case, storage: str, count: int, repeats: int, parent: Path | None) -> Row:
    """Measure a case in a new process.

    Raises: WrongAnswer.
    """
    command = [sys.executable, "-m", "bench.run", case.name, storage, str(count), str(repeats)]
    with TemporaryDirectory(prefix="bench-", dir=parent) as folder:
        ended = subprocess.run([*command, folder], capture_output=True, text=True, check=False)
    if ended.returncode:
        said = ended.stderr.strip().splitlines() or ["it said nothing"]
        how = "" if ended.returncode == WRONG else f"{case.name}/{storage} could not be measured: "
        raise WrongAnswer(how + said[-1])
    return msgspec.json.decode(ended.stdout.splitlines()[-1], type=Row)


def main(arguments: list[str]) -> int:
    """Measure one case, and print its row as JSON."""
    name, storage, count, repeats, folder = arguments
    case = next(case for case in CASES if case.name == name)
    work = partial(run_case, case, storage, int(count), int(repeats), Path(folder))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            row = runner.run(work())
    except WrongAnswer as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return WRONG
    print(msgspec.json.encode(row).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
