"""History: what is kept of a turn, for how long, and how it is read."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from runtime import Engine, limits
from runtime.clock import SeededIds, VirtualClock
from runtime.errors import Fault
from runtime.history import History, encode_group, entry_of, shortened
from runtime.memory import MemoryStore
from runtime.store import decode_record
from tests.harness.engine import InlineCompiler, TestEngine, TextFetcher

DEMO = r"""ruleset demo {
  meta { shares limit }
  global { limit = function() { ent:limit } }
  rule greet {
    select when say hello name re#^B(.*)$# setting(rest) where rest.length() > ent:limit
    if rest != "ob" then send_directive("greet", {"rest": rest})
    fired { raise heard event "greeting"; raise no event "body" }
  }
  rule pair {
    select when a b before c d x re#(\d+)# setting(n) within 5 minutes
    send_directive("pair", {"n": n})
  }
  rule three {
    select when repeat 3 (temp reading level re#(\d+)#) max(m)
    foreach ["x", "y"] setting(each)
    if each == "x" then send_directive("three")
  }
  rule heard { select when heard greeting fired { last } }
  rule unheard { select when heard greeting }
  rule bad { select when go bad send_directive("bad") fired { ent:x := "a" - 1 } }
  rule worse { select when go worse where event:attrs{"n"} - 1 > 0 }
  rule stop { select when go stop fired { error error "stop" } }
  rule after { select when go stop }
  rule set { select when set limit fired { ent:limit := event:attrs{"to"} } }
  rule out { select when go out event:send({"eci": "cnowhere", "domain": "x", "type": "y"}) }
}"""


@pytest.fixture
def engine() -> TestEngine:
    made = TestEngine()
    made.install(DEMO)
    return made


def entries(engine: TestEngine, **given: Any) -> list[dict[str, Any]]:
    pico = engine.core.shelf.channel(engine.root)
    assert pico is not None
    return engine.core.history.entries(pico.pico_id, **{"limit": 100, **given})


# --- What is kept ---------------------------------------------------------------------------------


def test_an_entry_tells_what_a_turn_did(engine: TestEngine) -> None:
    engine.event("set", "limit", {"to": 1})
    answer = engine.event("say", "hello", {"name": "Bobby", "_headers": {"host": "x"}})
    entry = entries(engine)[0]
    assert (entry["eid"], entry["domain"], entry["name"]) == (answer["eid"], "say", "hello")
    assert entry["attrs"] == {"name": "Bobby"}
    assert entry["eci"] == engine.root
    assert entry["time_ms"] == engine.clock.now_ms()
    (greet,) = entry["rules"]
    assert (greet["rid"], greet["rule"], greet["outcome"]) == ("demo", "greet", "fired")
    assert (greet["before"], greet["after"]) == (0, 0)
    assert greet["directives"] == ["greet"]
    assert greet["unheard"] == ["no:body"]
    (raised,) = entry["raised"]
    assert (raised["domain"], raised["name"]) == ("heard", "greeting")
    assert [(row["rule"], row.get("ended")) for row in raised["rules"]] == [("heard", "last")]


OUTCOMES = [
    ("go:bad", {}, "fault", {"line": 20}),
    ("go:worse", {"n": "a"}, "fault", {"line": 21}),
    ("go:worse", {"n": 1}, "not selected", None),
    ("go:worse", {"n": 2}, "fired", None),
    ("say:hello", {"name": "Bob"}, "not fired", None),
]


@pytest.mark.parametrize(("event", "attrs", "outcome", "fault"), OUTCOMES)
def test_outcomes(
    engine: TestEngine,
    event: str,
    attrs: dict[str, Any],
    outcome: str,
    fault: dict[str, Any] | None,
) -> None:
    engine.event("set", "limit", {"to": 1})
    engine.event(*event.split(":"), attrs)
    row = entries(engine)[0]["rules"][0]
    assert row["outcome"] == outcome
    assert (row.get("fault") or {}).items() >= (fault or {}).items()
    assert ("fault" in row) == (fault is not None)
    if outcome == "fault":
        assert "directives" not in row


def test_loops_and_sends_are_told_apart(engine: TestEngine) -> None:
    for level in "123":
        engine.event("temp", "reading", {"level": level})
    row = entries(engine)[0]["rules"][0]
    assert (row["outcome"], row["rounds_not_fired"], row["directives"]) == ("fired", 1, ["three"])
    engine.event("go", "out")
    (entry,) = entries(engine, rule="out")
    assert entry["rules"][0]["sends"] == [{"eci": "cnowhere", "domain": "x", "name": "y"}]
    short = shortened(entry)
    assert short["eci"] == engine.root[:6] + "…"
    assert short["rules"][0]["sends"][0]["eci"] == "cnowhe…"
    assert entry["eci"] == engine.root


def test_entries_are_chosen_by_event_rule_and_number(engine: TestEngine) -> None:
    first = engine.event("go", "stop")["eid"]
    for _ in range(3):
        engine.event("a", "b")
    assert [entry["name"] for entry in entries(engine, limit=2)] == ["b", "b"]
    assert [entry["eid"] for entry in entries(engine, eid=first)] == [first]
    assert [entry["eid"] for entry in entries(engine, rule="stop", rid="demo")] == [first]
    assert entries(engine, rule="stop", rid="other") == []
    everywhere = engine.core.history.entries(limit=2)
    assert [entry["name"] for entry in everywhere] == ["b", "b"]
    assert len(engine.core.history.entries(limit=100)) == 4


def test_history_goes_with_the_group_or_alone_after_a_moment(engine: TestEngine) -> None:
    def rows() -> int:
        return sum(1 for _ in engine.store.scan("history", b""))

    engine.event("set", "limit", {"to": 1})
    before = rows()
    assert before > 0
    engine.event("a", "nobody")
    assert rows() == before
    engine.clock.advance(limits.history_wait_ms / 1000)
    assert rows() == before + 1


def test_a_turn_alone_causes_no_sync() -> None:
    synced: list[str] = []
    clock = VirtualClock(5_000)
    store = MemoryStore(clock.call_soon, synced.append)
    engine = TestEngine(store, clock=clock)
    engine.install(DEMO)
    engine.event("a", "nobody")
    engine.clock.advance(1)
    synced.clear()
    engine.event("a", "nobody")
    engine.clock.advance(1)
    assert synced == ["write.before", "write.after"]


def test_a_crash_loses_the_tail_and_nothing_else() -> None:
    engine = TestEngine()
    engine.install(DEMO)
    engine.event("set", "limit", {"to": 7})
    engine.event("a", "nobody")
    store = engine.store
    assert isinstance(store, MemoryStore)
    found = TestEngine(store.crash(engine.clock.call_soon), clock=engine.clock, seed=2)
    assert [entry["name"] for entry in entries(found)] == ["limit"]
    assert found.query("demo", "limit") == 7


def test_history_survives_a_restart_and_goes_on(engine: TestEngine) -> None:
    engine.event("a", "b")
    engine.core.history.close()
    again = TestEngine(engine.store, clock=engine.clock, seed=2)
    again.event("c", "d", {"x": "5"})
    assert [entry["name"] for entry in entries(again)] == ["d", "b"]
    assert entries(again)[0]["rules"][0]["outcome"] == "fired"


def test_switched_off_nothing_is_kept() -> None:
    engine = TestEngine()
    engine.core.history.is_on = False
    engine.install(DEMO)
    engine.event("a", "b")
    assert engine.core.history.entries(limit=10) == []
    clock = VirtualClock()
    store = MemoryStore(clock.call_soon)
    assert not History(store, engine.core.committer, clock, 0).is_on


def test_half_surrogates_are_kept(engine: TestEngine) -> None:
    engine.event("a", "b", {"half": "\ud800"})
    assert entries(engine)[0]["attrs"] == {"half": "\ud800"}


def test_large_attributes_leave_their_size_and_long_chains_their_beginning() -> None:
    bound = limits.history_turn_bytes_max
    engine = TestEngine()
    engine.install(
        'ruleset loop { rule r { select when e l fired { raise e event "l" attributes '
        '{"n": event:attrs{"n"} + 1, "t": event:attrs{"t"}} if event:attrs{"n"} < 300 } } }'
    )
    engine.event("e", "l", {"n": 0, "t": "x" * bound})
    engine.core.history.write_out()
    row = next(engine.store.scan("history", b"", reverse=True))[1]
    assert len(row) < 2 * bound
    entry = entries(engine)[0]
    assert entry["attrs"] > bound
    assert entry["raised"][0]["attrs"] > bound
    assert 40 < len(entry["raised"]) < limits.history_notes_max


def test_what_cannot_be_encoded_fails_no_turn(
    engine: TestEngine, caplog: pytest.LogCaptureFixture
) -> None:
    turns: list[Any] = []
    engine.core.history.add = turns.append  # type: ignore[method-assign]
    engine.event("set", "limit", {"to": 1})
    del engine.core.history.add
    turns[0].notes.append(object())
    engine.core.history.add(turns[0])
    assert engine.event("set", "limit", {"to": 2})["directives"] == []
    assert "internal failure" in caplog.text
    assert engine.query("demo", "limit") == 2


# --- Retention ------------------------------------------------------------------------------------


def history_of(store: MemoryStore, clock: VirtualClock, buckets: int) -> tuple[TestEngine, History]:
    engine = TestEngine(store, clock=clock)
    engine.core.history = History(store, engine.core.committer, clock, buckets)
    return engine, engine.core.history


def buckets_in(store: MemoryStore) -> list[int]:
    return sorted({int.from_bytes(key[:8], "big") for key, _ in store.scan("history", b"")})


def test_a_bucket_ends_with_its_time_and_old_ones_are_dropped_whole() -> None:
    clock = VirtualClock(1_000_000)
    store = MemoryStore(clock.call_soon)
    engine, history = history_of(store, clock, 3)
    for _ in range(5):
        for _ in range(2):
            engine.event("a", "b")
            history.write_out()
        clock.advance(limits.history_bucket_ms / 1000)
    found = buckets_in(store)
    assert len(found) == 3
    assert all(b - a >= limits.history_bucket_ms for a, b in pairwise(found))
    assert len(history.entries(limit=100)) == 6
    clock.advance(limits.history_kept_ms / 1000)
    clock.advance(limits.history_bucket_ms / 1000)
    engine.event("a", "b")
    history.write_out()
    engine.run()
    assert len(buckets_in(store)) == 1
    assert store.unsynced_batches == 0


def test_a_bucket_ends_with_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.history.history_bucket_bytes", 500)
    clock = VirtualClock(1_000_000)
    store = MemoryStore(clock.call_soon)
    engine, history = history_of(store, clock, 100)
    for _ in range(10):
        engine.event("a", "b", {"t": "x" * 100})
        history.write_out()
    assert 2 <= len(buckets_in(store)) <= 5
    assert len(history.entries(limit=100)) == 10


def test_a_clock_set_back_goes_on_in_the_last_bucket() -> None:
    clock = VirtualClock(50_000_000)
    store = MemoryStore(clock.call_soon)
    engine, history = history_of(store, clock, 3)
    engine.event("a", "b")
    history.write_out()
    early = VirtualClock(1_000)
    again, history = history_of(store, early, 3)
    again.event("a", "c")
    history.write_out()
    assert len(buckets_in(store)) == 1
    assert {entry["name"] for entry in history.entries(limit=9)} == {"b", "c"}


# --- The library ----------------------------------------------------------------------------------


def test_the_library_logs_and_explains() -> None:
    async def scenario() -> None:
        async with Engine.open(
            None,
            clock=VirtualClock(9_000, asyncio.get_running_loop().call_soon),
            ids=SeededIds(1),
            compiler=InlineCompiler(),
            fetcher=TextFetcher(),
        ) as engine:
            root = engine.root_eci
            await engine.install(root, source=DEMO)
            answer = await engine.event(root, "say", "hello", {"name": "Ann"})
            (entry,) = engine.log(root, limit=1)
            assert entry["eid"] == answer["eid"]
            assert entry["eci"].endswith("…")
            assert engine.log(whole=True, rule="demo:greet")[0]["eci"] == root
            assert (await engine.why(root, answer["eid"], "greet"))["text"]
            events = (await engine.salience(root))["events"]
            assert [row["rule"] for row in events["heard:greeting"]] == ["heard", "unheard"]
            for code, ask in {
                "R1018": engine.why(root, "cnone"),
                "R1001": engine.why("cnone", answer["eid"]),
            }.items():
                with pytest.raises(Fault) as raised:
                    await ask
                assert raised.value.code == code
            with pytest.raises(Fault, match="limit is a number from 1"):
                engine.log(limit=limits.history_shown_max + 1)
        with pytest.raises(ValueError, match='"full" or "off"'):
            async with Engine.open(None, history="some"):
                pass

    asyncio.run(scenario())


def test_a_group_reads_back_as_it_was_kept() -> None:
    records = [("cE", 5, "cC", "d", "n", {"a": [1]}, ["r\0one\0v\0x", ("d",), ("e", "f")])]
    (record,) = decode_record(encode_group(records))  # type: ignore[arg-type]
    entry = entry_of(record, "cP", 7)
    assert entry == {
        "pico": "cP",
        "eid": "cE",
        "eci": "cC",
        "time_ms": 5,
        "written_ms": 7,
        "domain": "d",
        "name": "n",
        "attrs": {"a": [1]},
        "rules": [
            {
                "rid": "r",
                "rule": "one",
                "version": "v",
                "expression": "x",
                "outcome": "fired",
                "directives": ["d"],
                "unheard": ["e:f"],
            }
        ],
        "raised": [],
    }
