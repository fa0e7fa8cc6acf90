"""Every workload of the benchmark runs, with few operations, and wrong work is noticed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import pytest

from bench import workloads
from bench.cases import CASES, Case
from bench.limit import Limit, Plan, Request
from bench.measure import Done, Subject, WrongAnswer, measure
from bench.run import Row, Task, run_case
from bench.workloads import Events
from runtime import Engine
from runtime.store import Batch
from tests.harness.engine import InlineCompiler

FEW = 32


def run(case: Case, storage: str, folder: Path, repeats: int = 1) -> Row:
    """A case with few operations."""
    count = min(case.quick, FEW) if case.units < 100 else 1
    task = Task(case.name, storage, count, repeats, str(folder))
    return asyncio.run(run_case(case, task, InlineCompiler()))


def case_of(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_workload_in_memory(case: Case, tmp_path: Path) -> None:
    row = run(case, "memory", tmp_path)
    assert row.ours.cpu_us["median"] > 0
    shares = [limit.share_cpu for limit in row.limits.values()]
    assert shares
    assert all(share is not None and share["median"] > 0 for share in shares)


def test_time_limits_never_pass_within_a_cycle(tmp_path: Path) -> None:
    case = case_of("W4/64-in-flight")
    task = Task(case.name, "memory", 3 * 5120, 1, str(tmp_path))
    asyncio.run(run_case(case, task, InlineCompiler()))


@pytest.mark.parametrize("name", ["W2/64-in-flight", "W2/100-picos/64-in-flight", "W9/create"])
@pytest.mark.parametrize("storage", ["fsync", "os"])
def test_workload_on_disk(name: str, storage: str, tmp_path: Path) -> None:
    row = run(case_of(name), storage, tmp_path, repeats=2)
    assert row.repeats == 2
    assert row.ours.per_second["min"] <= row.ours.per_second["median"]


# --- Wrong work -----------------------------------------------------------------------------------


def _forgetful(text: str) -> str:
    return text.replace("ent:n.defaultsTo(0) + 1", "7")


def _wrong_name(text: str) -> str:
    return text.replace('event:attrs{"name"}', '"Eve"')


def _one_child_less(text: str) -> str:
    return text.replace("foreach ctx:children", "foreach ctx:children.slice(0, 98)")


def _silent(text: str) -> str:
    return text.replace("count 5", "count 6")


WRONG = {
    "W1/64-in-flight": (_wrong_name, "'name': 'Eve'"),
    "W2/64-in-flight": (_forgetful, "the counters sum up to 7, and should"),
    "W4/64-in-flight": (_silent, "ex:tick was answered with"),
    "W5/one-broadcast": (_one_child_less, "100 events ran, and 101 should have"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_ruleset_is_noticed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, message = WRONG[name]
    right = workloads.source_of

    def source_of(ruleset: str) -> str:
        return change(right(ruleset))

    monkeypatch.setattr(workloads, "source_of", source_of)
    with pytest.raises(WrongAnswer, match=message) as caught:
        run(case_of(name), "memory", tmp_path)
    assert str(caught.value).startswith(f"{name}/memory: ")


class Refuser(Subject):
    """Refuses the third operation."""

    def __init__(self) -> None:
        self.count = 0

    def start(self, done: Done) -> None:
        self.count += 1
        problem = "no" if self.count == 3 else None
        asyncio.get_running_loop().call_soon(done, problem)


@pytest.mark.parametrize("flight", [1, 4])
def test_measure_stops_at_the_first_problem(flight: int) -> None:
    subject = Refuser()
    with pytest.raises(WrongAnswer, match=r"^operation \d: no \(until then"):
        asyncio.run(measure(subject, 100, flight))
    assert subject.count < 3 + flight


async def _refused(engine: Engine) -> Subject:
    return Events(engine, [Request("nowhere", "echo", "hello", {})])


def test_refused_event_is_noticed(tmp_path: Path) -> None:
    case = msgspec.structs.replace(case_of("W1/sequential"), ours=_refused)
    with pytest.raises(WrongAnswer, match="echo:hello was answered with"):
        run(case, "memory", tmp_path)


# --- The limit row --------------------------------------------------------------------------------


class Recorder:
    """A store that keeps what it was given and syncs when told."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.asked: list[Done] = []

    def write(self, batch: Batch) -> None:
        self.batches.append(batch)

    def sync(self, done: Done) -> None:
        self.asked.append(done)


@pytest.mark.parametrize(("merge", "rows"), [(False, [64, 36]), (True, [1, 1])])
def test_limit_answers_after_the_sync_of_its_batch(merge: bool, rows: list[int]) -> None:
    store = Recorder()
    soon: list[Callable[[], object]] = []
    told: list[tuple[int, str | None]] = []
    plan = Plan(
        [Request("eci", "counter", "inc", {})],
        lambda number, _: [("pico", b"key", b"%d" % number)],
        merge=merge,
    )
    limit = Limit(store, soon.append, plan)  # type: ignore[arg-type]
    for number in range(100):
        limit.start(partial(_told, told, number))
    while soon or store.asked:
        while soon:
            soon.pop(0)()
        before = len(told)
        assert len(store.asked) == 1, "one sync at a time"
        store.asked.pop()(None)
        assert len(told) > before
    assert [len(batch) for batch in store.batches] == rows
    assert store.batches[-1][-1] == ("pico", b"key", b"99")
    assert told == [(number, None) for number in range(100)]


def _told(told: list[tuple[int, str | None]], number: int, problem: str | None) -> None:
    told.append((number, problem))
