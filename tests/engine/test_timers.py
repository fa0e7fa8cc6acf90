"""Scheduled events: the statement, the module, and what ends a job."""

from __future__ import annotations

from typing import Any

import pytest

import krlc
from runtime.errors import Fault
from runtime.limits import timers_per_turn_max
from tests.harness.engine import TestEngine
from tests.harness.scheduling import (
    CLOCK,
    OWNER,
    START,
    TOLD,
    again,
    at,
    came,
    clock,
    numbers,
    rows,
    wait,
)

# --- at -------------------------------------------------------------------------------------------


def test_jobs_look_as_the_reference_has_them() -> None:
    engine = clock()
    at(engine, START + 500, 1)
    engine.event("t", "repeat", {"spec": "*/5 * * * *"})
    event = {"eci": engine.root, "domain": "t", "name": "due", "time": 0}
    first, second = engine.query("clock", "jobs")
    assert first == {
        "id": first["id"],
        "type": "at",
        "time": START + 500,
        "event": {**event, "data": {"attrs": {"n": 1}}},
    }
    assert list(first) == ["id", "type", "time", "event"]
    assert second == {
        "id": second["id"],
        "type": "repeat",
        "timespec": "*/5 * * * *",
        "event": {**event, "data": {"attrs": {}}},
    }
    assert engine.query("clock", "set") == [second]
    assert engine.query("clock", "job", {"id": first["id"]}) == first
    for other in ("", "nowhere", None, 5, "a\0b", "\ud800"):
        assert engine.query("clock", "job", {"id": other}) is None


def test_a_turn_sees_what_it_scheduled() -> None:
    engine = clock()
    first = at(engine, START + 500, 1)
    second = at(engine, START + 100, 2)
    ((_, seen),) = engine.directives("t", "seen")
    assert [job["id"] for job in seen["jobs"]] == [first, second]
    assert seen["one"]["id"] == second


def test_equal_times_fire_in_the_order_of_scheduling() -> None:
    engine = clock()
    for n, ms in enumerate([100, 200, 100, 150, 100]):
        at(engine, START + ms, n)
    wait(engine, 99)
    assert came(engine) == []
    wait(engine, 100)
    assert came(engine) == [[0, 100], [2, 100], [4, 100]]
    wait(engine, 1000)
    assert came(engine)[3:] == [[3, 150], [1, 200]]
    assert engine.query("clock", "jobs") == []
    assert rows(engine) == {}


@pytest.mark.parametrize("past", [START - 1, 0, -5, -8_640_000_000_000_000, "1969", 1.5])
def test_the_past_comes_at_once(past: Any) -> None:
    engine = clock()
    at(engine, past, "past")
    assert came(engine) == [["past", 0]]


@pytest.mark.parametrize(
    ("time", "ms"),
    [
        (2_000_000.5, 2_000_001),
        ("1970-01-01T00:30:00Z", 1_800_000),
        ("1970-01-01T02:30:00+02:00", 1_800_000),
        ("1970-01-01 00:30", 1_800_000),
        ("00:30", 1_800_000),
        ("19700102", 86_400_000),
    ],
)
def test_times_are_numbers_or_dates_in_utc(time: Any, ms: int) -> None:
    engine = clock()
    at(engine, time, 1)
    assert engine.query("clock", "jobs")[0]["time"] == (time if time == 2_000_000.5 else ms)
    wait(engine, ms - START - 1)
    assert came(engine) == []
    wait(engine, ms - START)
    assert came(engine) == [[1, ms - START]]


@pytest.mark.parametrize(
    ("time", "kind"),
    [
        (None, "Null"),
        (True, "Boolean"),
        ("tomorrow", "String"),
        ("Thu, 01 Jan 1970 00:30:00 GMT", "String"),
        ([1], "Array"),
        ({}, "Map"),
    ],
)
def test_what_is_no_time_is_a_fault(time: Any, kind: str) -> None:
    engine = clock()
    (error,) = engine.event("t", "at", {"time": time})["errors"]
    assert error["code"] == "R2001"
    assert error["error"] == (f"TypeError: schedule .. at expected a timestamp but got {kind}")
    assert engine.query("clock", "jobs") == []


def test_a_time_beyond_the_calendar_is_a_fault() -> None:
    (error,) = clock().event("t", "at", {"time": 9e15})["errors"]
    assert error["code"] == "R2002"


def test_a_century_is_no_trouble() -> None:
    engine = clock()
    century = 100 * 365 * 86_400_000
    at(engine, START + century, 1)
    wait(engine, century - 1)
    assert came(engine) == []
    wait(engine, century)
    assert came(engine) == [[1, century]]


def test_the_dynamic_form_is_split_like_raise() -> None:
    engine = clock()
    engine.event("t", "dynamic", {"event": " t : due ", "time": START + 1})
    ((job),) = engine.query("clock", "jobs")
    assert (job["event"]["domain"], job["event"]["name"]) == ("t", "due")
    wait(engine, 1)
    assert came(engine) == [[None, 1]]
    for event in ("t", ":due", "", None):
        (error,) = engine.event("t", "dynamic", {"event": event, "time": 0})["errors"]
        assert error["code"] == "R1007"


def test_without_attributes_the_event_has_none() -> None:
    engine = clock()
    engine.event("t", "bare")
    assert came(engine) == [[None, 0]]


def test_attributes_are_copied_as_json_and_checked_at_once() -> None:
    engine = clock()
    engine.event("t", "with", {"attrs": {"n": {"deep": [1, None]}}})
    assert numbers(engine) == [{"deep": [1, None]}]
    for attrs in (5, "text", [1]):
        (error,) = engine.event("t", "with", {"attrs": attrs})["errors"]
        assert error["code"] == "R1007"
    assert rows(engine) == {}


def test_a_faulting_rule_schedules_and_removes_nothing() -> None:
    engine = clock()
    kept = at(engine, START + 100, "kept")
    assert "errors" in engine.event("t", "at", {"time": START + 50, "n": "not", "fault": True})
    assert "errors" in engine.event("t", "remove", {"id": kept, "fault": True})
    assert [job["id"] for job in engine.query("clock", "jobs")] == [kept]
    wait(engine, 200)
    assert numbers(engine) == ["kept"]


def test_too_many_jobs_in_one_turn_are_a_fault() -> None:
    engine = clock()
    spread = {"time": START + 5, "count": timers_per_turn_max}
    answer = engine.event("t", "many", {**spread, "count": timers_per_turn_max + 1})
    assert answer["errors"][0]["code"] == "R4017"
    assert rows(engine) == {}
    assert "errors" not in engine.event("t", "many", spread)


# --- The module -----------------------------------------------------------------------------------


def test_remove_ends_one_job_only() -> None:
    engine = clock()
    ids = [at(engine, START + 100, n) for n in range(3)]
    engine.event("t", "remove", {"id": ids[1]})
    engine.event("t", "remove", {"id": ids[1]})
    engine.event("t", "remove", {"id": "unknown"})
    engine.event("t", "remove", {"id": None})
    ((_, seen),) = engine.directives("t", "seen")
    assert [job["id"] for job in seen["jobs"]] == [ids[0], ids[2]]
    wait(engine, 100)
    assert numbers(engine) == [0, 2]
    assert rows(engine) == {}


def test_clear_ends_all_jobs_and_later_ones_stay() -> None:
    engine = clock()
    for n in range(3):
        at(engine, START + 100 + n, n)
    engine.event("t", "clear", {"time": START + 50})
    ((_, seen),) = engine.directives("t", "seen")
    assert [job["time"] for job in seen["jobs"]] == [START + 50]
    wait(engine, 500)
    assert numbers(engine) == ["kept"]
    assert rows(engine) == {}


def test_a_turn_sees_what_the_one_before_changed_and_nobody_wrote_yet() -> None:
    engine = clock()
    old = [at(engine, START + 100 + n, n) for n in range(2)]
    answers: list[Any] = []
    post, ask = engine.core.post, engine.core.post_query
    post(engine.root, "t", "at", {"time": START + 50, "n": 2}, answers.append)
    post(engine.root, "t", "remove", {"id": old[0]}, answers.append)
    ask(engine.root, "clock", "jobs", {}, answers.append)
    ask(engine.root, "clock", "job", {"id": old[0]}, answers.append)
    post(engine.root, "t", "clear", {}, answers.append)
    ask(engine.root, "clock", "jobs", {}, answers.append)
    written = engine.core.committer.gathering
    engine.core._drain()
    assert engine.core.committer.gathering == written + 1, "all of it is one group"
    engine.run()
    _, _, some, gone, _, none = answers
    assert [job["event"]["data"]["attrs"]["n"] for job in some.value] == [1, 2]
    assert gone.value is None
    assert none.value == []
    wait(engine, 200)
    assert came(engine) == []
    assert rows(engine) == {}


def test_a_ruleset_sees_only_its_own_jobs() -> None:
    engine = clock()
    engine.install(CLOCK.replace("ruleset clock", "ruleset other").replace("when t ", "when u "))
    mine = at(engine, START + 100)
    engine.event("u", "at", {"time": START + 100})
    (theirs,) = engine.query("other", "jobs")
    engine.event("t", "remove", {"id": theirs["id"]})
    assert [job["id"] for job in engine.query("clock", "jobs")] == [mine]
    engine.event("t", "clear")
    assert engine.query("clock", "jobs") == []
    assert engine.query("other", "jobs") == [theirs]
    assert engine.query("clock", "job", {"id": theirs["id"]}) is None


# --- Ends -----------------------------------------------------------------------------------------


def test_uninstalling_ends_the_jobs_of_the_ruleset() -> None:
    engine = TestEngine(start_ms=START)
    engine.install(OWNER)
    engine.fetcher.texts["mem:clock"] = CLOCK
    engine.event("o", "install", {"url": "mem:clock"})
    at(engine, START + 100, "gone")
    engine.event("t", "repeat", {"spec": "* * * * * *"})
    engine.event("o", "uninstall", {"rid": "clock"})
    assert rows(engine) == {}
    engine.event("o", "install", {"url": "mem:clock"})
    assert engine.query("clock", "jobs") == []
    at(engine, START + 200, "new")
    wait(engine, 60_000)
    assert numbers(engine) == ["new"]


def test_a_deleted_channel_ends_its_jobs() -> None:
    engine = clock()
    ((_, made),) = engine.directives("t", "channel")
    eci = made["id"]
    answer = engine.event("t", "at", {"time": START + 100, "n": "lost"}, eci=eci)
    assert "errors" not in answer
    at(engine, START + 100, "kept")
    assert len(engine.query("clock", "jobs")) == 2
    engine.event("t", "drop", {"eci": eci})
    assert len(engine.query("clock", "jobs")) == 1
    wait(engine, 100)
    assert numbers(engine) == ["kept"]
    assert rows(engine) == {}


def test_a_job_of_a_channel_that_was_deleted_meanwhile_ends_when_due() -> None:
    engine = clock()
    ((_, made),) = engine.directives("t", "channel")
    eci = made["id"]
    # Both are accepted while the channel is there; it is gone when the second one runs.
    engine.core.post(engine.root, "t", "drop", {"eci": eci}, lambda _: None)
    engine.core.post(eci, "t", "at", {"time": START + 100, "n": "lost"}, lambda _: None)
    engine.run()
    at(engine, START + 100, "kept")
    wait(engine, 100)
    assert numbers(engine) == ["kept"]
    assert rows(engine) == {}


def test_a_due_event_passes_no_policy() -> None:
    """The extra channel allows t:at and nothing else; the engine itself brings t:due."""
    engine = clock()
    ((_, made),) = engine.directives("t", "channel")
    engine.event("t", "at", {"time": START + 100, "n": 1}, eci=made["id"])
    with pytest.raises(Fault):
        engine.event("t", "due", eci=made["id"])
    wait(engine, 100)
    assert came(engine) == [[1, 100]]


def family() -> TestEngine:
    engine = TestEngine(start_ms=START)
    engine.fetcher.texts["mem:clock"] = CLOCK
    engine.fetcher.texts["mem:told"] = TOLD
    engine.install(OWNER)
    engine.install(CLOCK)
    engine.event("o", "make")
    return engine


def heard(engine: TestEngine) -> int:
    entities = engine.core.shelf.pico(engine.core.root_id).entities  # type: ignore[union-attr]
    return int(entities["owner"]["heard"] or 0)


def test_jobs_of_a_sleeping_pico_wake_it() -> None:
    engine = family()
    engine.event("o", "tell", {"time": START + 100, "n": 1})
    engine = again(engine)
    wait(engine, 100)
    assert heard(engine) == 1


@pytest.mark.parametrize("is_due", [False, True])
def test_deleting_a_pico_ends_its_jobs_and_no_others(is_due: bool) -> None:
    engine = family()
    for _ in range(3):
        engine.event("o", "tell", {"time": START + 100, "n": 1})
    at(engine, START + 200, "mine")
    assert rows(engine) == {b"d": 4, b"o": 4}
    if is_due:
        # The deletion is accepted before they are due, and runs after.
        engine.core.post(engine.root, "o", "unmake", {}, lambda _: None)
        engine.clock._now_ms = START + 100
    else:
        engine.event("o", "unmake")
        assert rows(engine) == {b"d": 1, b"o": 1}
    wait(engine, 300)
    assert heard(engine) == 0
    assert numbers(engine) == ["mine"]
    assert rows(engine) == {}
    assert engine.query("owner", "children") == []


# --- The compiler ---------------------------------------------------------------------------------


def compiled(body: str) -> krlc.Compiled:
    source = f"ruleset r {{ rule a {{ select when b c {body} }} }}"
    return krlc.compile_source(source, "r.krl")


def test_the_statement_becomes_one_call() -> None:
    made = compiled(
        'fired { schedule d event "e" at 5 attributes {"a": 1} setting(x); ent:y := x }'
    )
    assert made.ok
    assert 'x = krl.schedule_at(cx, "d", "e", 5, {"a": 1})' in made.module
    made = compiled('fired { schedule event "d:e" repeat "@daily" }')
    assert 'krl.schedule_repeat(cx, None, "d:e", "@daily")' in made.module


def test_a_setting_that_may_not_be_made_is_null() -> None:
    engine = TestEngine()
    engine.install(
        """ruleset r { rule a { select when b c
             fired { schedule d event "e" at 5 setting(x) if event:attrs{"is"};
                     raise b event "tell" attributes {"x": x} } }
           rule t { select when b tell send_directive("x", event:attrs) } }"""
    )
    assert engine.directives("b", "c") == [("x", {"x": None})]
    ((_, told),) = engine.directives("b", "c", {"is": True})
    assert told["x"]["type"] == "at"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('fired { schedule d event "e" at nowhere }', "K0301"),
        ('fired { schedule d event "e" repeat nowhere }', "K0301"),
        ('fired { schedule d event "e" at 5 attributes nowhere }', "K0301"),
        ('pre { x = 1 } fired { schedule d event "e" at 5 setting(x) }', "K0304"),
        ('fired { schedule d event "e" }', "K0216"),
        ('fired { schedule d event "e" at 5 setting(x); ent:x := x; x = 2 }', "K0302"),
        ('pre { x = schedule:remove("a") } fired { ent:x := x }', "K0606"),
        ("pre { x = schedule:at(5) } fired { ent:x := x }", "K0412"),
    ],
)
def test_mistakes_are_found_when_compiling(body: str, code: str) -> None:
    made = compiled(body)
    assert not made.ok
    assert code in {d.code for d in made.diagnostics}
