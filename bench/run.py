"""A case measured: ours, the limit row and the peer in turn, over and over; medians and ratios.

In: a `Task`: a case, a storage, how many repeats, where peers are installed. Out: a `Row`. Each
case runs in a process of its own, so memory is its own too; within it samples of all sides
alternate, and the order is turned round each time, so that what else the machine does falls on all.
Ratios are taken between neighbours. `memory` keeps nothing; `fsync` and `os` are the durabilities
of the engine. Not here: cases whose engine is a server (served.py).
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import msgspec
import uvloop

from bench.cases import CASES, Case, Measured
from bench.limit import Limit
from bench.measure import Sample, Subject, WrongAnswer, measure, median, resident_mb, spread
from bench.peer import KEEPS, NodeEngine
from bench.workloads import CountingIds
from runtime import Engine
from runtime.errors import Fault
from runtime.memory import MemoryStore
from runtime.registry import Compiler
from runtime.rocks import RocksStore
from runtime.store import Store

# Enough to fill caches; a multiple of W4's cycle.
WARM_UP = 480
# Exit code of a measuring process that found work done wrong.
WRONG = 3
AnyCase = TypeVar("AnyCase", bound=Measured)


# What remains of the work that had been answered, by the storage that ours has.
OWN_KEEPS = {
    "fsync": "power loss: everything",
    "os": "kill of the process: everything",
    "memory": "nothing",
    "none": "nothing: it is not its task",
}


class Figures(msgspec.Struct, frozen=True):
    """What one side took, over all repeats.

    Units: microseconds per operation; `share_*` is another side's cost over ours: of the limit row
    1.0 is as fast as the limit, of a peer 2.0 is half its cost. `grown_kb` is by how much memory
    grew for each operation of a case that makes picos. Rates and latencies are left out where the
    sides are too unlike for them.
    """

    per_second: dict[str, float] | None
    cpu_us: dict[str, float]
    p50_us: float | None = None
    p99_us: float | None = None
    rss_mb: float | None = None
    share_cpu: dict[str, float] | None = None
    share_wall: dict[str, float] | None = None
    grown_kb: float | None = None


class Row(msgspec.Struct, frozen=True):
    """One line of the table; `absent` has the peers that could not be measured, with the reason.

    `keeps` says, for ours and for each peer, what a crash leaves of work that had been answered.
    """

    workload: str
    variant: str
    storage: str
    count: int
    repeats: int
    unit: str
    units: int
    ours: Figures
    limits: dict[str, Figures]
    peers: dict[str, Figures] = {}
    absent: dict[str, str] = {}
    keeps: dict[str, str] = {}


class Task(msgspec.Struct, frozen=True):
    """One case to be measured; `folder` is where its data goes, `peers` where peers are."""

    name: str
    storage: str
    count: int
    repeats: int
    folder: str
    peers: str | None = None
    is_quick: bool = False


class Here:
    """A side in this process: a subject that is measured in stretches of so many operations."""

    def __init__(self, subject: Subject, count: int, flight: int) -> None:
        self.subject = subject
        self._count = count
        self._flight = flight

    async def sample(self) -> Sample:
        return await measure(self.subject, self._count, self._flight)


class There:
    """A side in another process; its stretches may be shorter, since it may be slower."""

    def __init__(self, peer: NodeEngine, count: int, flight: int) -> None:
        self.peer = peer
        self._count = count
        self._flight = flight

    async def sample(self) -> Sample:
        # Nothing else is to happen in this process meanwhile, so it may well stand still.
        return self.peer.stretch(self._count, self._flight)


async def run_case(case: Case, task: Task, compiler: Compiler | None = None) -> Row:
    """Measure a case in this process.

    Raises: WrongAnswer, naming the case.
    """
    label = f"{case.name}/{task.storage}"
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(
            Engine.open(
                None if task.storage == "memory" else Path(task.folder, "ours"),
                durability="fsync" if task.storage == "memory" else task.storage,
                compiler=compiler,
                ids=CountingIds() if case.counts_ids else None,
            )
        )
        try:
            return await _measure_sides(case, task, engine, stack)
        except WrongAnswer as error:
            raise WrongAnswer(f"{label}: {error}") from None
        except Fault as fault:
            raise WrongAnswer(f"{label}: {fault}") from fault


async def _measure_sides(case: Case, task: Task, engine: Engine, stack: AsyncExitStack) -> Row:
    warm_up = min(case.quick, task.count, WARM_UP)
    subject = await case.ours(engine)
    await measure(subject, warm_up, case.flight)
    # Before the limit row's store takes its share.
    rss_mb = resident_mb()
    sides: dict[str, Here | There] = {"ours": Here(subject, task.count, case.flight)}
    for number, (name, plan) in enumerate(case.limits.items()):
        store = store_of(task.storage, Path(task.folder, f"limit{number}"))
        stack.callback(store.close)
        limit = Limit(store, asyncio.get_running_loop().call_soon, plan())
        await measure(limit, warm_up, case.flight)
        sides[name] = Here(limit, task.count, case.flight)
    absent = {}
    try:
        sides |= _peer_side(case, task, stack)
    except OSError as error:
        absent["pico-engine-core"] = str(error)
    samples: dict[str, list[Sample]] = {name: [] for name in sides}
    for repeat in range(task.repeats):
        names = list(sides)
        for name in names if repeat % 2 == 0 else reversed(names):
            try:
                samples[name].append(await sides[name].sample())
            except OSError as error:
                absent[name] = str(error)
                del sides[name], samples[name]
    problem = await subject.verify()
    if problem is not None:
        raise WrongAnswer(problem)
    for side in sides.values():
        if isinstance(side, There):
            side.peer.verify()
    return row_of(case, task, samples, absent, rss_mb)


def _peer_side(case: Case, task: Task, stack: AsyncExitStack) -> dict[str, Here | There]:
    """The Node engine, for a case that it can do.

    Raises: OSError when it is not installed, or does not start; WrongAnswer.
    """
    if case.peer is None or task.peers is None:
        return {}
    peer = NodeEngine(Path(task.peers))
    stack.callback(peer.close)
    data = Path(task.folder, "peer")
    data.mkdir()
    peer.open(case.peer(), peer_storage(task.storage), data)
    count = peer.warm_up(task.count, case.flight, task.is_quick)
    return {peer.name: There(peer, count, case.flight)}


def peer_storage(storage: str) -> str:
    """What a peer stores to when ours has this storage: it has one kind of disk only."""
    return {"memory": "memory", "none": "none"}.get(storage, "disk")


def row_of(
    case: Measured,
    task: Task,
    samples: dict[str, list[Sample]],
    absent: dict[str, str],
    rss_mb: float,
) -> Row:
    """The line of the table that all samples make."""
    ours = samples["ours"]
    others = {name: taken for name, taken in samples.items() if name != "ours"}
    own = msgspec.structs.replace(_figures(ours), rss_mb=rss_mb, grown_kb=_growth(case, task, ours))
    peers = {
        name: msgspec.structs.replace(
            _beside(ours, taken),
            rss_mb=taken[-1].rss_mb or None,
            grown_kb=_growth(case, task, taken),
        )
        for name, taken in others.items()
        if name not in case.limits
    }
    keeps = KEEPS[peer_storage(task.storage)]
    return Row(
        case.workload,
        case.variant,
        task.storage,
        task.count,
        task.repeats,
        case.unit,
        case.units,
        own,
        {name: _beside(ours, others[name]) for name in case.limits},
        peers,
        absent,
        {"ours": OWN_KEEPS[task.storage], **dict.fromkeys(peers, keeps)},
    )


def _growth(case: Measured, task: Task, samples: list[Sample]) -> float | None:
    """By how many kB memory grew for each operation between the first and the last sample.

    The short form makes too few for that: pages that a heap is ahead of its needs would count.
    """
    made = sum(sample.count for sample in samples[1:])
    if not case.grows or not made or task.is_quick:
        return None
    return (samples[-1].rss_mb - samples[0].rss_mb) * 1024 / made


def store_of(storage: str, folder: Path) -> Store:
    """The engine's store, with nothing in it yet."""
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


def run_apart(task: Task, parent: Path | None, module: str = "bench.run") -> Row:
    """Measure a case in a new process of a module, with its data in a new folder below `parent`.

    Raises: WrongAnswer.
    """
    with TemporaryDirectory(prefix="bench-", dir=parent) as folder:
        told = msgspec.json.encode(msgspec.structs.replace(task, folder=folder)).decode()
        command = [sys.executable, "-m", module, told]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        said = ended.stderr.strip().splitlines() or ["it said nothing"]
        label = f"{task.name}/{task.storage}"
        how = "" if ended.returncode == WRONG else f"{label} could not be measured: "
        raise WrongAnswer(how + said[-1])
    return msgspec.json.decode(ended.stdout.splitlines()[-1], type=Row)


def measure_here(
    cases: Sequence[AnyCase],
    run: Callable[[AnyCase, Task], Coroutine[Any, Any, Any]],
    argument: str,
) -> int:
    """Measure the case of a task, which is given as JSON, and print its row; the exit code."""
    task = msgspec.json.decode(argument, type=Task)
    case = next(case for case in cases if case.name == task.name)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            row = runner.run(run(case, task))
    except WrongAnswer as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return WRONG
    print(msgspec.json.encode(row).decode())
    return 0


if __name__ == "__main__":
    sys.exit(measure_here(CASES, run_case, sys.argv[1]))
