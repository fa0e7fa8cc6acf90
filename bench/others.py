"""W10 and W11: the compiler and the matcher alone, beside those from npm and PyPI, as rows.

    python -m bench.others TASK

In: a `Task`, as for run.py. Out: its `Row`, without limit rows. All sides take turns and do the
same work: W10 compiles one file over and over, W11 sends W4's stream. What fired is checked for
each stretch, that something was compiled for each file. Not here: the longer tables of
`bench.compile` and `bench.matcher`.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import perf_counter_ns, process_time_ns
from typing import Any

import msgspec

import krlc
from bench import matcher
from bench.cases import Measured
from bench.compile import SMALL, WHOLE_BYTES, NodeCompiler, grown
from bench.measure import Sample, WrongAnswer, median, resident_mb
from bench.peer import durable_python
from bench.run import WRONG, Row, Task, row_of
from runtime.load.drive import resident_mb as memory_of

# Cycles of W4's 16 events in a stretch, and files compiled in one.
CYCLES = {"ours": 2000, "select-when": 200, "durable_rules": 100}
_SMALL = "small-file"
NOWHERE = ("none",)
# A side does a stretch of the task's size.
Side = Callable[[], Sample]

CASES = (
    Measured("W10", _SMALL, 40, 10, 1, NOWHERE, {}, "files"),
    Measured("W10", "24-kB-file", 10, 3, 1, NOWHERE, {}, "files"),
    Measured("W11", "stream-of-W4", 1, 1, 1, NOWHERE, {}),
)


def _compiles(text: str, name: str, count: int) -> Sample:
    """Compile a text so many times."""
    waits = []
    begin_cpu, begin = process_time_ns(), perf_counter_ns()
    for _ in range(count):
        at = perf_counter_ns()
        compiled = krlc.compile_source(text, name)
        waits.append((perf_counter_ns() - at) / 1000)
        if not compiled.ok or "def rule_" not in compiled.module:
            raise WrongAnswer(f"krlc did not compile {name}")
    wall = perf_counter_ns() - begin
    spent = process_time_ns() - begin_cpu
    cpu_us = spent / 1000 / count
    return Sample(count, count / wall * 1e9, cpu_us, median(waits), max(waits), resident_mb())


def _peer_compiles(compiler: NodeCompiler, path: Path, count: int) -> Sample:
    taken = [compiler.compile(path) for _ in range(count)]
    waits = [wall * 1e6 for wall, _ in taken]
    cpu_us = sum(cpu for _, cpu in taken) * 1e6 / count
    return Sample(
        count, count / sum(waits) * 1e6, cpu_us, median(waits), max(waits), compiler.resident_mb()
    )


def _compilers(case: Measured, task: Task, stack: ExitStack) -> tuple[dict[str, Side], Any]:
    text = SMALL.read_text(encoding="utf-8") if case.variant == _SMALL else grown(WHOLE_BYTES)
    path = Path(task.folder, "whole.krl")
    path.write_text(text, encoding="utf-8")
    sides: dict[str, Side] = {"ours": partial(_compiles, text, path.name, task.count)}
    absent = {}
    if task.peers is not None:
        try:
            compiler = NodeCompiler(Path(task.peers))
            stack.callback(compiler.close)
            sides["krl-compiler"] = partial(_peer_compiles, compiler, path, task.count)
        except OSError as error:
            absent["krl-compiler"] = str(error)
    return sides, absent


def _stream(stretch: Callable[[int], float], cycles: int, pid: int) -> Sample:
    """CPU alone: the loops that drive the sides are too unlike for rates."""
    gc.collect()
    cpu_us = stretch(cycles)
    return Sample(cycles * len(matcher.CYCLE), 1.0, cpu_us, 0.0, 0.0, memory_of(pid) or 0.0)


def _matchers(task: Task, stack: ExitStack) -> tuple[dict[str, Side], Any]:
    core = matcher.Core()
    core.check()
    part = 0.25 if task.is_quick else 1.0
    streams: dict[str, tuple[Callable[[int], float], int]] = {"ours": (core.stretch, os.getpid())}
    absent = {}
    if task.peers is not None:
        folder = Path(task.peers)
        makers: dict[str, Callable[[], matcher.Stream]] = {
            "select-when": lambda: matcher.select_when(folder),
            "durable_rules": lambda: matcher.durable(durable_python(folder)),
        }
        for name, make in makers.items():
            try:
                stream = make()
                stack.callback(stream.close)
                streams[name] = stream.stretch, stream.peer.process.pid
            except OSError as error:
                absent[name] = str(error)
    sides: dict[str, Side] = {
        name: partial(_stream, stretch, max(1, int(CYCLES[name] * part)), pid)
        for name, (stretch, pid) in streams.items()
    }
    return sides, absent


def run_other(case: Measured, task: Task) -> Row:
    """Measure a case; its row.

    Raises: WrongAnswer, naming the case.
    """
    with ExitStack() as stack:
        try:
            sides, absent = (
                _matchers(task, stack) if case.workload == "W11" else _compilers(case, task, stack)
            )
            samples: dict[str, list[Sample]] = {name: [] for name in sides}
            # The first rounds fill caches, and let a peer compile itself.
            for repeat in range(-1 if task.is_quick else -3, task.repeats):
                for name in list(sides if repeat % 2 == 0 else reversed(sides)):
                    try:
                        sample = sides[name]()
                    except OSError as error:
                        absent[name] = str(error)
                        del sides[name], samples[name]
                        continue
                    if repeat >= 0:
                        samples[name].append(sample)
        except WrongAnswer as error:
            raise WrongAnswer(f"{case.name}: {error}") from None
    row = row_of(case, task, samples, absent, resident_mb())
    if case.workload == "W11":
        bare = partial(msgspec.structs.replace, per_second=None, p50_us=None, p99_us=None)
        peers = {name: bare(theirs, share_wall=None) for name, theirs in row.peers.items()}
        row = msgspec.structs.replace(row, ours=bare(row.ours), peers=peers)
    return row


def main(arguments: list[str]) -> int:
    """Measure one case, and print its row as JSON."""
    task = msgspec.json.decode(arguments[0], type=Task)
    case = next(case for case in CASES if case.name == task.name)
    try:
        row = run_other(case, task)
    except WrongAnswer as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return WRONG
    print(msgspec.json.encode(row).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
