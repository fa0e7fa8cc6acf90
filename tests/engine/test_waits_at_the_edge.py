"""Turns that wait, where something else happens meanwhile: a stop, a new version, a late sync."""

from __future__ import annotations

from typing import Any

import pytest

from runtime import errands, waiting
from runtime.clock import VirtualClock
from runtime.errors import Fault
from runtime.memory import MemoryStore
from runtime.network import Envelope, Reply
from runtime.pico import Pico
from runtime.structure import upsert_channel
from runtime.web import Done, Request
from tests.engine.test_waiting import NODE, Family
from tests.harness.engine import TestEngine
from tests.harness.web import Reply as WebReply
from tests.harness.web import ScriptedWeb, reply

A = "http://a.example/now"
NEVER = "http://a.example/never"
EDGE = """ruleset edge {
  meta { shares n, fetch, inner, outer, after }
  global {
    n = function() { ent:n.defaultsTo(0) }
    fetch = function(url) { got = http:get(url){"content"}; [n(), got] }
    inner = function() { 5 }
    fib = function(n) { n < 2 => n | fib(n - 1) + fib(n - 2) }
    outer = function(eci) { [ctx:query(eci, "edge", "inner"), n(), random:integer(0)] }
    after = function(eci) { [n(), ctx:query(eci, "edge", "n"), n()] }
  }
  rule bump { select when e bump fired { ent:n := n() + 1 } }
  rule make { select when e make
    every { ctx:newPico([{"url": "source:edge"}]) setting(eci)
            send_directive("made", {"eci": eci,
                                    "got": ctx:query(eci, "edge", "outer", {"eci": eci})}) } }
  rule pass { select when e pass
    event:send({"eci": event:attrs{"eci"}, "domain": "e", "name": "call", "attrs": event:attrs}) }
  rule call { select when e call
    http:get(event:attrs{"url"})
    fired { ent:order := ent:order.defaultsTo([]).append("call"); ent:n := n() + 10 } }
  rule note { select when e note
    send_directive("order", {"order": ent:order})
    fired { ent:order := ent:order.defaultsTo([]).append("note") } }
  rule leave { select when e leave
    http:post(event:attrs{"url"}, autosend={"eci": meta:eci, "domain": "e", "name": "bump"}) }
  rule busy { select when e busy
    if fib(14) > 0 then noop()
    fired { ent:n := n() + 1 } }
  rule both { select when e both
    ctx:eventQuery(event:attrs{"eci"}, "e", "bump", {}, "edge", "n") }
  rule fail { select when e fail send_directive("never", {"x": 1 - "x"}) }
  rule try { select when e try
    ctx:eventQuery(event:attrs{"eci"}, "e", "fail", {}, "edge", "n")
    fired { ent:n := 1000 } }
  rule then { select when e try http:get(event:attrs{"url"}) fired { ent:n := n() + 1 } }
}"""


class Stage:
    """An engine with the ruleset on its root, and a web."""

    def __init__(self, before: Stage | None = None, never: WebReply = None) -> None:
        self.web: ScriptedWeb
        if before is None:
            self.clock = VirtualClock(1_000_000)
            store = MemoryStore(self.clock.call_soon)
        else:
            self.clock = VirtualClock(before.clock.now_ms())
            store = before.store.crash(self.clock.call_soon)
        self.store = store
        self.web = ScriptedWeb(self.clock, {A: reply("hello"), NEVER: never})
        self.engine = TestEngine(store, clock=self.clock, web=self.web, seed=before is not None)
        if before is None:
            self.engine.install(EDGE)

    def signal(self, *names: str, url: str = NEVER) -> None:
        for name in names:
            core = self.engine.core
            core.post_signal(core.root_eci, "e", name, {"url": url}, lambda _: None)

    def stopped(self) -> bool:
        """Whether the engine comes to its end, some time after it was asked to."""
        idle: list[bool] = []
        self.engine.core.close()
        self.clock.advance(20)
        self.engine.core.when_idle(lambda: idle.append(True))
        self.clock.run()
        return bool(idle)


@pytest.fixture
def stage() -> Stage:
    return Stage()


# --- What a crash finds ---------------------------------------------------------------------------


def test_an_event_is_not_kept_for_the_query_behind_it(stage: Stage) -> None:
    core = stage.engine.core
    args = (core.root_eci, "e", "bump", {}, "edge", "fetch", {"url": A})
    assert stage.engine.wait(lambda done: core.post_event_query(*args, done)) == [1, "hello"]
    stage.engine.run()
    assert Stage(stage).engine.query("edge", "n") == 1


@pytest.mark.parametrize("way", ["signal", "send"])
def test_a_request_leaves_when_the_event_behind_it_is_durable(stage: Stage, way: str) -> None:
    core = stage.engine.core
    child = stage.engine.event("e", "make")["directives"][0]["options"]["eci"]
    unwritten = []
    fetch = stage.web.fetch

    def look(request: Request, done: Done) -> Any:
        unwritten.append((stage.store.unsynced_batches, core.committer.is_idle))
        return fetch(request, done)

    stage.web.fetch = look  # type: ignore[method-assign]
    if way == "signal":
        stage.signal("call", url=A)
    else:
        core.post(core.root_eci, "e", "pass", {"eci": child, "url": A}, lambda _: None)
    stage.clock.run()
    assert unwritten == [(0, True)]


def test_an_event_query_is_the_same_call_whatever_it_says_when_it_runs_again() -> None:
    same = '"bump", {}, "node", "n") setting(got)\n      ctx:flush'
    other = '"bump", {"at": time:now(), "x": random:uuid()}, "node", "n") setting(got)\n'
    text = NODE.replace(same, other + "      ctx:flush")
    assert text != NODE
    family = Family()
    a, b, _ = family.ecis
    family.fetcher.texts["mem:node"] = text
    family.engine.event("n", "slow2", {"url": "mem:node"})
    family.start(a, "both_then_slow", {"eci": b})
    family.engine.clock.advance(1)
    again = Family(family)
    assert again.n(b) == 1
    again.fetcher.answer()
    again.engine.run()
    assert (again.n(a), again.n(b)) == (1000, 1)


def test_an_event_query_that_failed_fails_again_when_the_turn_runs_again(stage: Stage) -> None:
    core = stage.engine.core
    child = stage.engine.event("e", "make")["directives"][0]["options"]["eci"]
    attrs = {"eci": child, "url": NEVER}
    core.post_signal(core.root_eci, "e", "try", attrs, lambda _: None)
    stage.engine.run()
    assert [request.url for request in stage.web.asked] == [NEVER]
    again = Stage(stage, never=reply("at last"))
    assert again.engine.query("edge", "n") == 1


def test_event_ids_of_other_engines_do_not_name_our_calls(stage: Stage) -> None:
    engine = stage.engine
    child = engine.event("e", "make")["directives"][0]["options"]["eci"]
    replies: list[Reply] = []
    for number in (1, 2):
        asked = ("e", "both", {"eci": child}, "not-unique", 0)
        engine.core.receive(Envelope("pair", number, 1, engine.root, *asked), replies.append)
        engine.run()
    assert [each.kind for each in replies] == ["taken", "taken"]
    assert engine.query("edge", "outer", {"eci": child})[0] == 5
    got = engine.wait(
        lambda done: engine.core.post_task(
            engine.root,
            lambda turn: engine.core.ask(turn, child, "edge", "n", {}),
            done,
        )
    )
    assert got == 2


# --- What queries see -----------------------------------------------------------------------------


def test_a_pico_that_comes_to_be_may_ask_itself(stage: Stage) -> None:
    answer = stage.engine.event("e", "make")
    assert answer["directives"][0]["options"]["got"] == [5, 0, 0]


def test_a_late_query_that_waited_is_not_answered_before_what_it_read(stage: Stage) -> None:
    core, clock = stage.engine.core, stage.clock
    child = stage.engine.event("e", "make")["directives"][0]["options"]["eci"]
    stage.web.replies[A] = None
    core.post(core.root_eci, "e", "call", {"url": A}, lambda _: None)
    clock.run()
    answers: list[Any] = []
    syncs: list[Any] = []
    stage.store._deliver = syncs.append
    core.post_query(core.root_eci, "edge", "after", {"eci": child}, answers.append)
    # The turn ends while the query, which reads its last state, asks the child.
    suspended = core.shelf.picos[core.root_id].suspended
    assert suspended is not None
    clock.call_soon(lambda: core._resume(suspended, reply("hello")))
    clock.run()
    assert answers == []
    while syncs:
        syncs.pop()()
        clock.run()
    assert [(answer.value, answer.stale) for answer in answers] == [([0, 0, 10], True)]


# --- Stops and failures ---------------------------------------------------------------------------


def test_events_behind_one_that_is_given_up_run_behind_it_after_the_next_start(
    stage: Stage,
) -> None:
    stage.signal("call", "note")
    stage.clock.run()
    asked: list[Any] = []
    core = stage.engine.core
    core.post(core.root_eci, "e", "bump", {}, asked.append)
    core.post_task(core.root_eci, lambda _: None, asked.append)
    assert stage.stopped()
    assert [fault.code for fault in asked] == ["R3007", "R3007"]
    again = Stage(stage, never=reply("at last"))
    answer = again.engine.event("e", "note")
    assert answer["directives"][0]["options"]["order"] == ["call", "note"]
    assert again.engine.query("edge", "n") == 10


def test_turns_do_not_wait_one_after_the_other_when_the_engine_stops(stage: Stage) -> None:
    stage.signal(*["call"] * 5)
    stage.clock.run()
    assert stage.stopped()
    assert len(stage.web.asked) == 1
    assert Stage(stage, never=reply("at last")).engine.query("edge", "n") == 50


def test_what_begins_to_wait_after_the_others_were_given_up_is_given_up_too() -> None:
    family = Family()
    a = family.ecis[0]
    answers = [family.start(a, "slow2", {"url": "slow:x"}) for _ in range(3)]
    family.engine.core.close()
    family.engine.clock.advance(20)
    assert [[fault.code for fault in each] for each in answers] == [["R3007"]] * 3
    assert family.engine.core.is_idle


def test_what_fails_in_the_loop_itself_stops_the_engine(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = stage.engine.core

    def fail() -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(core.history, "tend", fail)
    with pytest.raises(Fault, match="a bug"):
        stage.engine.event("e", "bump")
    assert core.committer.failure is not None
    assert core.is_idle


def test_a_response_that_nobody_expects_does_not_hold_up_others(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def odd(request: Request, response: Any) -> Any:
        raise ValueError("odd")

    with monkeypatch.context() as patched:
        patched.setattr(errands, "response_map", odd)
        stage.engine.event("e", "leave", {"url": A})
        assert stage.engine.core.errands.is_idle
    stage.engine.event("e", "leave", {"url": A})
    assert stage.engine.query("edge", "n") == 1


def test_turns_that_let_others_run_are_bounded_like_those_that_wait(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "turns_suspended_max", 2)
    engine, core = stage.engine, stage.engine.core
    made = [engine.event("e", "make")["directives"][0]["options"]["eci"] for _ in range(5)]
    stage.clock.look_ns = 5_000_000
    held: list[int] = []
    park = core._park

    def noted(pico: Pico) -> Any:
        held.append(core.turns_suspended)
        return park(pico)

    monkeypatch.setattr(core, "_park", noted)
    answers: list[Any] = []
    for eci in made:
        core.post_task(eci, lambda turn: upsert_channel(turn, [], None, None).eci, answers.append)
    stage.clock.run()
    for eci in answers[:]:
        core.post(eci, "e", "busy", {}, answers.append)
    stage.clock.run()
    assert [answer.get("errors") for answer in answers[5:]] == [None] * 5
    assert max(held) == 2


# --- Rulesets -------------------------------------------------------------------------------------


def test_a_version_that_came_while_the_turn_waited_is_adopted_with_the_next_one() -> None:
    family = Family()
    engine, texts = family.engine, family.fetcher.texts
    a = family.ecis[0]
    texts["mem:other"] = "ruleset other { }"
    flush = 'every { ctx:flush(event:attrs{"url"})'
    text = NODE.replace(flush, f'{flush} ctx:install("mem:other")')
    assert text != NODE
    texts["mem:node"] = text
    engine.event("n", "slow2", {"url": "mem:node"})
    texts["mem:node"] = text.replace("ent:n.defaultsTo(0) }", "ent:n.defaultsTo(0) * 50 }")
    assert "errors" not in engine.event("n", "slow2", {"url": "mem:node"}, a)
    assert family.n(a) == 500
