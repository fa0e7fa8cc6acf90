"""Due timers: exactly once, in order, over stops and crashes, in virtual time."""

from __future__ import annotations

import heapq
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.limits import (
    timer_catch_up_ms,
    timer_late_ms,
    timer_mark_every,
    timer_numbers_reserved,
    timer_retry_ms,
)
from runtime.memory import MemoryStore
from runtime.store import Batch, encode_record, timer_key
from runtime.timers import MARK
from tests.harness.engine import TestEngine
from tests.harness.scheduling import CLOCK, START, again, at, came, clock, numbers, rows, wait

# --- Exactly once ---------------------------------------------------------------------------------


def test_jobs_survive_a_restart_and_fire_once() -> None:
    engine = clock()
    at(engine, START + 100, 1)
    at(engine, START + 900, 2)
    jobs = engine.query("clock", "jobs")
    engine = again(engine)
    assert engine.query("clock", "jobs") == jobs
    wait(engine, 500)
    assert came(engine) == [[1, 100]]
    engine = again(engine)
    engine.clock.advance(2)
    assert came(again(engine)) == [[1, 100], [2, 900]]


def test_what_came_due_while_the_engine_was_away_comes_at_the_start_in_order() -> None:
    engine = clock()
    for n, ms in enumerate([300, 100, 200]):
        at(engine, START + ms, n)
    engine.core.is_closing = True
    wait(engine, 5000)
    engine = again(engine)
    assert came(engine) == [[1, 100], [2, 200], [0, 300]]


@pytest.mark.parametrize("is_lucky", [False, True])
@pytest.mark.parametrize("kind", ["at", "repeat"])
def test_a_crash_anywhere_between_due_and_done_fires_once(kind: str, is_lucky: bool) -> None:
    """Stop after each step of the loop; when lucky, the disk has all that it had not promised."""
    steps = 0
    while True:
        engine = clock()
        if kind == "at":
            at(engine, START + 20_000)
        else:
            engine.event("t", "repeat", {"spec": "0 17 * * * *"})
        engine.clock._now_ms = START + 20_000
        fire = heapq.heappop(engine.clock._timers).fn
        assert fire is not None
        fire()
        taken = 0
        while taken < steps and engine.clock._soon:
            engine.clock._soon.popleft()()
            taken += 1
        store = engine.store
        assert isinstance(store, MemoryStore)
        lucky = store.unsynced_batches if is_lucky else 0
        engine.clock._soon.clear()
        engine.clock._timers.clear()
        found = TestEngine(store.crash(surviving=lucky), clock=engine.clock, seed=7)
        assert came(found) == [[None, 20_000]], steps
        assert rows(found) == ({} if kind == "at" else {b"d": 1, b"o": 1})
        if taken < steps:
            break
        steps += 1
    assert steps >= 3


def test_the_row_of_a_fired_event_is_never_written_when_it_runs_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = clock()
    at(engine, START + 100)
    store = engine.store
    written: list[str] = []
    write = store.write

    def noting(batch: Batch) -> None:
        written.extend(family for family, _, _ in batch)
        write(batch)

    monkeypatch.setattr(store, "write", noting)
    wait(engine, 100)
    assert "timer" in written
    assert "inbox" not in written


def test_a_clock_put_back_fires_nothing_twice() -> None:
    engine = clock()
    at(engine, START + 5000, 1)
    engine.event("t", "repeat", {"spec": "* * * * * *"})
    wait(engine, 5000)
    times = [time for _, time in came(engine)]
    engine.clock._now_ms = START
    engine.run()
    at(engine, START + 1000, 2)
    wait(engine, 5999)
    assert numbers(engine)[len(times) :] == [2]
    wait(engine, 6000)
    assert came(engine)[-1] == [None, 6000]
    assert came(again(engine))[-1] == [None, 6000]


def test_a_row_that_a_job_left_behind_fires_nothing() -> None:
    engine = clock()
    timer_id = at(engine, START + 500, 1)
    for ms, number in ((100, 0), (500, 7)):
        key = timer_key(START + ms, number, engine.core.root_id, "clock", timer_id)
        engine.store.write([("timer", key, encode_record(None))])
    engine = again(engine)
    wait(engine, 499)
    assert came(engine) == []
    assert rows(engine) == {b"d": 2, b"o": 1}
    wait(engine, 500)
    assert came(engine) == [[1, 500]]
    assert rows(engine) == {}


def test_a_start_seeks_past_what_was_fired() -> None:
    engine = clock()
    for n in range(timer_mark_every // 500 + 1):
        engine.event("t", "many", {"time": START + n, "count": 500})
    wait(engine, 100)
    assert engine.store.get("meta", MARK) is not None
    at(engine, START + 200, "later")
    engine = again(engine)
    assert engine.core.timers._low > b"d"
    # A clock that was put back must not leave timers behind the mark.
    engine.clock._now_ms = START - 5000
    at(engine, START - 4000, "early")
    engine = again(engine)
    wait(engine, 200)
    assert numbers(engine)[-2:] == ["early", "later"]


def test_numbers_go_on_after_a_start() -> None:
    engine = clock()
    for n in range(3):
        at(engine, START + 100, n)
        engine = again(engine, seed=10 + n)
    engine.event("t", "many", {"time": START + 100, "count": timer_numbers_reserved})
    engine = again(engine, crash=True, seed=20)
    at(engine, START + 100, "last")
    wait(engine, 100)
    count = timer_numbers_reserved
    assert numbers(engine) == [0, 1, 2, *range(1, count + 1), "last"]


# --- repeat ---------------------------------------------------------------------------------------


def test_a_repeated_event_comes_until_it_is_removed() -> None:
    engine = TestEngine(start_ms=0)
    engine.install(CLOCK)
    engine.event("t", "repeat", {"spec": "*/20 * * * * *"})
    engine.clock.advance_to(60_000)
    engine = again(engine)
    engine.clock.advance_to(70_000)
    ((job),) = engine.query("clock", "jobs")
    engine.event("t", "remove", {"id": job["id"]})
    engine.clock.advance_to(200_000)
    engine.run()
    assert [time for _, time in engine.query("clock", "came")] == [20_000, 40_000, 60_000]
    assert rows(engine) == {}


HOUR = 3_600_000


@pytest.mark.parametrize(
    ("catch_up", "missed"),
    [
        ("", [60_000]),
        (" CATCHUP=once", [60_000]),
        (" CATCHUP=skip", []),
        (" CATCHUP=all", [60_000 * n for n in range(1, 61)]),
    ],
)
def test_missed_moments(catch_up: str, missed: list[int]) -> None:
    engine = TestEngine(start_ms=0)
    engine.install(CLOCK)
    engine.event("t", "repeat", {"spec": "* * * * *" + catch_up})
    engine.core.is_closing = True
    engine.clock.advance_to(HOUR)
    engine = again(engine)
    assert [time for _, time in engine.query("clock", "came")] == missed
    engine.clock.advance_to(HOUR + 60_000)
    times = [time for _, time in engine.query("clock", "came")]
    assert times == [*missed, HOUR + 60_000]


def test_skip_allows_a_minute() -> None:
    for late, expected in ((timer_late_ms, [HOUR]), (timer_late_ms + 1, [])):
        engine = TestEngine(start_ms=0)
        engine.install(CLOCK)
        engine.event("t", "repeat", {"spec": "@hourly CATCHUP=skip"})
        engine.core.is_closing = True
        engine.clock.advance_to(HOUR + late)
        engine = again(engine)
        assert [time for _, time in engine.query("clock", "came")] == expected


def test_all_reaches_back_a_week_only() -> None:
    engine = TestEngine(start_ms=0)
    engine.install(CLOCK)
    engine.event("t", "repeat", {"spec": "0 0 * * * CATCHUP=all"})
    engine.core.is_closing = True
    day = 86_400_000
    engine.clock.advance_to(100 * day + 5)
    engine = again(engine)
    times = [time for _, time in engine.query("clock", "came")]
    assert times == [day * n for n in range(101 - timer_catch_up_ms // day, 101)]


def test_what_catches_up_keeps_its_place_among_others(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = 16
    monkeypatch.setattr("runtime.timers.timer_batch_max", batch)
    engine = TestEngine(start_ms=0)
    engine.install(CLOCK)
    for n in range(batch + 10):
        at(engine, 10_000 * (n + 1) - 5, n)
    engine.event("t", "repeat", {"spec": "*/10 * * * * * CATCHUP=all"})
    engine.core.is_closing = True
    engine.clock.advance_to(10_000 * (batch + 10))
    engine = again(engine)
    times = [time for _, time in engine.query("clock", "came")]
    assert len(times) == 2 * (batch + 10)
    assert times == sorted(times)


# --- Many -----------------------------------------------------------------------------------------


def test_pending_timers_cost_disk_only() -> None:
    engine = clock()
    count = 20_000
    each = 5_000
    for n in range(count // each):
        engine.event("t", "many", {"time": START + 10**9 + n, "count": each})
    assert rows(engine) == {b"d": count, b"o": count}
    # What the store in memory holds stands for the disk; a start with it takes up nothing of it.
    engine.core.is_closing = True
    tracemalloc.start()
    try:
        engine = again(engine)
        held = sum(
            trace.size
            for trace in tracemalloc.take_snapshot().statistics("filename")
            if trace.traceback[0].filename.endswith(("timers.py", "clock.py", "store.py"))
        )
    finally:
        tracemalloc.stop()
    assert held < 20_000
    assert len(engine.clock._timers) <= 2


def test_a_full_inbox_delays_its_timers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    bound, extra = 60, 20
    monkeypatch.setattr("runtime.timers.inbox_events_max", bound)
    engine = clock()
    for n in range(2):
        count = bound // 2 + extra
        engine.event("t", "many", {"time": START + 100 + n, "count": count})
    pico = engine.core.shelf.pico(engine.core.root_id)
    assert pico is not None
    pico.is_ready = True  # as if it were busy: nothing of its inbox runs
    wait(engine, 100 + timer_retry_ms)
    assert len(pico.inbox) == bound
    assert rows(engine)[b"o"] == 2 * extra
    engine.core._ready.append(pico)
    engine.core.clock.call_soon(engine.core._drain)
    wait(engine, 100 + 3 * timer_retry_ms)
    assert rows(engine) == {}
    times = [time for _, time in came(engine)]
    assert len(times) == bound + 2 * extra
    assert times == sorted(times)


# --- Against a slow model -------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("at"), st.integers(-50, 200)),
        st.tuples(st.just("repeat"), st.sampled_from([1, 2, 3])),
        st.tuples(st.just("remove"), st.integers(0, 20)),
        st.tuples(st.just("clear"), st.just(0)),
        st.tuples(st.just("pass"), st.integers(0, 3000)),
        st.tuples(st.just("restart"), st.integers(0, 1)),
    ),
    max_size=20,
)


class Model:
    """What should happen, the slow way: a list of jobs, searched for every moment."""

    def __init__(self) -> None:
        self.jobs: list[list[Any]] = []  # due, number, period in seconds or 0, n
        self.fired: list[list[Any]] = []
        self.now = START
        self.count = 0

    def add(self, due: int, period: int) -> None:
        self.jobs.append([max(due, self.now), self.count, period, self.count])
        self.count += 1

    def advance(self, ms: int) -> None:
        self.now += ms
        while self.jobs:
            job = min(self.jobs, key=lambda job: job[:2])
            if job[0] > self.now:
                break
            self.fired.append([job[3], job[0]])
            if job[2]:
                step = job[2] * 1000
                job[0] = (job[0] // step + 1) * step
            else:
                self.jobs.remove(job)


MODELLED = CLOCK.replace(
    'repeat event:attrs{"spec"} setting(j); ent:set := [j]',
    'repeat event:attrs{"spec"} attributes {"n": event:attrs{"n"}} setting(j)',
)


# The engine raises the recursion limit once, and hypothesis looks at it around every example.
@pytest.mark.filterwarnings("ignore:The recursion limit will not be reset")
@settings(max_examples=60)
@given(STEPS)
def test_firing_order_is_the_models(steps: list[tuple[str, int]]) -> None:
    engine = TestEngine(start_ms=START)
    engine.install(MODELLED)
    model = Model()
    for step, number in steps:
        if step == "at":
            engine.event("t", "at", {"time": model.now + number, "n": model.count})
            model.add(model.now + number, 0)
        elif step == "repeat":
            spec = f"*/{number} * * * * *"
            engine.event("t", "repeat", {"spec": spec, "n": model.count})
            model.add((model.now // (number * 1000) + 1) * number * 1000, number)
        elif step == "remove":
            jobs = engine.query("clock", "jobs")
            if number < len(jobs):
                engine.event("t", "remove", {"id": jobs[number]["id"]})
                del model.jobs[number]
        elif step == "clear":
            engine.event("t", "clear")
            model.jobs.clear()
        elif step == "pass":
            engine.clock.advance_to(model.now + number)
            engine.run()
            model.advance(number)
        else:
            engine = again(engine, crash=bool(number), seed=model.count + 50)
        model.advance(0)
        listed = [job["event"]["data"]["attrs"]["n"] for job in engine.query("clock", "jobs")]
        assert listed == [job[3] for job in model.jobs]
        assert engine.query("clock", "came") == model.fired
    assert rows(engine)[b"d"] == rows(engine)[b"o"] == len(model.jobs)
