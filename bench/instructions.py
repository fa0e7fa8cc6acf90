"""Instructions of the core per event, which do not depend on what else the machine does.

    python -m bench instructions [--only W1,…] [--json FILE]

In: `valgrind` on the path. Out: for each workload how many instructions an event takes, in an
engine that stores in memory and runs by a clock of its own: no sockets, no disk, no loop. Each
workload runs twice in a new process, with few and with many events; the difference counts.
Hashes, ids and chance are seeded and the collector is off, so that runs agree to some parts in a
thousand. Answers are checked. Not here: time, of which instructions are only the cause.
"""

from __future__ import annotations

import gc
import marshal
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from bench.limit import Request
from bench.measure import WrongAnswer
from bench.requests import expression_requests, hello_requests, inc_requests, one_request

FEW, MANY = 640, 2560
FLIGHT = 64
WRONG = 3
_COLLECTED = re.compile(r"Collected : (\d+)")
# Runs a command, and gives the number of instructions it took.
Count = Callable[[list[str]], int]

# Workload: its ruleset, what is asked, and the event that comes before, if any.
Before = tuple[str, str] | None
WORKLOADS: dict[str, tuple[str, Callable[[str], list[Request]], Before]] = {
    "W1": ("bench.hello", hello_requests, None),
    "W2": ("bench.counter", inc_requests, None),
    "W4": ("bench.expr", expression_requests, None),
    "W8 one": ("bench.query", lambda eci: [one_request(eci)], ("q", "fill")),
}


class Missing(Exception):  # noqa: N818 - what it says is the point
    """Instructions cannot be counted here; the text says why."""


def under_valgrind(command: list[str]) -> int:
    """Run a command under callgrind.

    Raises: Missing when there is no valgrind; WrongAnswer when the command says so.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise Missing("valgrind is not on the path")
    tool = [valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    ended = subprocess.run(
        [*tool, *command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )
    said = ended.stderr.strip().splitlines() or ["it said nothing"]
    if ended.returncode == WRONG:
        raise WrongAnswer(next(line for line in said if line.startswith("wrong: "))[7:])
    found = _COLLECTED.search(ended.stderr)
    if ended.returncode or found is None:
        raise Missing(f"callgrind did not count: {said[-1]}")
    return int(found[1])


def per_event(workload: str, folder: Path, count: Count = under_valgrind) -> float:
    """Instructions that one event of a workload takes.

    Raises: Missing, WrongAnswer.
    """
    import krlc
    from bench.workloads import source_of

    ruleset, _, _ = WORKLOADS[workload]
    compiled = krlc.compile_source(source_of(ruleset), f"{ruleset}.krl")
    ready = {
        "rid": compiled.rid,
        "manifest": compiled.manifest,
        "module": compiled.module,
        "code": marshal.dumps(krlc.code_object(compiled)),
        "version": krlc.VERSION,
    }
    path = folder / f"{ruleset}.ready"
    path.write_bytes(msgspec.msgpack.encode(ready))
    command = [sys.executable, "-m", "bench.instructions", workload, str(path)]
    few, many = (count([*command, str(events)]) for events in (FEW, MANY))
    return (many - few) / (MANY - FEW)


def measure(only: list[str] | None, count: Count = under_valgrind) -> list[dict[str, Any]]:
    """One row for each workload: {"what", "instructions"}, or "missing" with the reason.

    Raises: WrongAnswer.
    """
    rows: list[dict[str, Any]] = []
    with TemporaryDirectory(prefix="bench-") as folder:
        for workload in WORKLOADS:
            if only is not None and workload.split()[0] not in only:
                continue
            try:
                found = per_event(workload, Path(folder), count)
                rows.append({"what": workload, "instructions": round(found)})
            except Missing as error:
                return [{"what": "all", "missing": str(error)}]
    return rows


# --- The process that is counted ------------------------------------------------------------------


class _Ready:
    """A compiler that has compiled already."""

    def __init__(self, ready: dict[str, Any]) -> None:
        self._ready = ready
        self.version: str = ready["version"]

    def compile(self, text: str, url: str, done: Callable[[Any], object]) -> None:
        done(self._ready)


class _NoFetcher:
    def fetch(self, url: str, done: Callable[[Any], object], guard: Any = None) -> None:
        raise AssertionError(url)


def drive(workload: str, ready: dict[str, Any], events: int) -> None:
    """Send so many events, 64 under way at a time.

    Raises: WrongAnswer.
    """
    from runtime.clock import SeededIds, SeededRandom, VirtualClock
    from runtime.engine import Core
    from runtime.inbox import Answer
    from runtime.memory import MemoryStore

    clock = VirtualClock(1_700_000_000_000)
    store = MemoryStore(clock.call_soon)
    core = Core(store, clock, SeededIds(1), SeededRandom(1), _Ready(ready), _NoFetcher())
    core.start()
    answers: list[Any] = []

    def work() -> Any:
        core.committer.flush()
        clock.run()
        return answers[-1] if answers else None

    work()
    core.registry.add_source("", "bench:ready", answers.append)
    module = work()
    core.install(core.root_eci, module, "bench:ready", {}, answers.append)
    work()
    _, requests, before = WORKLOADS[workload]
    if before is not None:
        core.post(core.root_eci, *before, {}, answers.append)
        work()
    asked = requests(core.root_eci)
    for first in range(0, events, FLIGHT):
        answers.clear()
        batch = [asked[number % len(asked)] for number in range(first, first + FLIGHT)]
        for request in batch:
            post = core.post if request.check is None else core.post_query
            post(request.eci, request.domain, request.name, request.attrs, answers.append)
        work()
        if len(answers) != len(batch):
            raise WrongAnswer(f"{len(answers)} of {len(batch)} requests were answered")
        for request, answer in zip(batch, answers, strict=True):
            value = answer.value if isinstance(answer, Answer) else answer
            problem = request.problem(value)
            if problem is not None:
                raise WrongAnswer(problem)


def main(arguments: list[str]) -> int:
    """What runs under callgrind."""
    workload, path, events = arguments
    gc.disable()
    try:
        drive(workload, msgspec.msgpack.decode(Path(path).read_bytes()), int(events))
    except WrongAnswer as error:
        print("wrong:", " ".join(str(error).split()), file=sys.stderr)
        return WRONG
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
