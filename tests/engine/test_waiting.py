"""Turns that wait for picos and rulesets: what others see meanwhile, and what a crash leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from runtime import waiting
from runtime.clock import VirtualClock
from runtime.errors import Fault
from runtime.memory import MemoryStore
from runtime.structure import upsert_channel
from tests.harness.engine import TestEngine, TextFetcher

NODE = """ruleset node {
  meta { shares n, big, via, twice, child_n }
  global {
    n = function() { ent:n.defaultsTo(0) }
    big = function() { [ent:big.length(), ent:big{"k7"}, ent:list.length()] }
    via = function(eci) { ctx:query(eci, "node", "n") }
    twice = function(a, b) { ctx:query(a, "node", "via", {"eci": b}) }
    child_n = function(eci) { ctx:query(eci, "node", "n") }
    many = function(v) { 1.range(100).reduce(function(m, i) { m.put("k" + i, v) }, {}) }
  }
  rule make { select when n make
    ctx:newPico(rulesets = [{"url": "mem:node", "config": {}}]) setting(eci)
    always { ent:seen := child_n(eci); raise n event "made" attributes {"eci": eci} } }
  rule made { select when n made send_directive("made", event:attrs.put("seen", ent:seen)) }
  rule unmake { select when n unmake ctx:delPico(event:attrs{"eci"}) }
  rule bump { select when n bump fired { ent:n := n() + event:attrs{"by"}.defaultsTo(1) } }
  rule fill { select when n fill
    fired { ent:big := many(event:attrs{"v"}); ent:list := 1.range(100) } }
  rule ask { select when n ask
    pre { got = ctx:query(event:attrs{"eci"}, "node", event:attrs{"fn"}, event:attrs{"args"}) }
    send_directive("got", {"got": got}) }
  rule ask_after { select when n ask_after
    fired { ent:n := 100; ent:got := ctx:query(event:attrs{"eci"}, "node", "n");
            raise n event "tell" } }
  rule tell { select when n tell send_directive("got", {"got": ent:got}) }
  rule slow { select when n slow
    if event:attrs{"first"} then noop()
    always {
      ent:big{"k7"} := "new"; ent:big{"extra"} := 1; ent:list := ent:list.append(0) if ent:big;
      ent:n := n() + 1; raise n event "slow2" attributes event:attrs } }
  rule slow2 { select when n slow2
    every { ctx:flush(event:attrs{"url"}) send_directive("done", {"n": n()}) }
    fired { ent:n := n() + 10 } }
  rule both { select when n both
    ctx:eventQuery(event:attrs{"eci"}, "n", event:attrs{"name"}.defaultsTo("bump"),
                   event:attrs{"attrs"}, "node", "n") setting(got)
    fired { ent:got := got; raise n event "tell"; ent:x := 1 - "x" if event:attrs{"fault"};
            ent:times := ent:times.defaultsTo(0) + 1 } }
  rule both_then_slow { select when n both_then_slow
    every {
      ctx:eventQuery(event:attrs{"eci"}, "n", "bump", {}, "node", "n") setting(got)
      ctx:flush("slow:x")
    }
    fired { ent:n := n() + 1000 } }
  rule relay { select when n relay
    ctx:eventQuery(event:attrs{"to"}, "n", "both", {"eci": event:attrs{"back"}}, "node", "n")
      setting(got)
    fired { ent:got := got; raise n event "tell" } }
  rule newer { select when n newer
    every { ctx:newPico([{"url": "mem:node"}]) setting(eci)
            ctx:eventQuery(eci, "n", "bump", {}, "node", "n") } }
}"""


class SlowFetcher(TextFetcher):
    """URLs that begin with `slow:` are answered when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.texts["mem:node"] = NODE
        self.held: list[Callable[[Any], object]] = []

    def fetch(self, url: str, done: Callable[[Any], object]) -> None:
        if url.startswith("slow:"):
            self.held.append(done)
        else:
            super().fetch(url, done)

    def answer(self, text: str | Fault = NODE) -> None:
        self.held.pop(0)(text)


class Family:
    """A root with three children, all of ruleset `node`."""

    def __init__(self, before: Family | None = None) -> None:
        self.fetcher = SlowFetcher()
        if before is None:
            self.engine = TestEngine(fetcher=self.fetcher)
            self.engine.install(NODE)
            self.ecis = [self.make() for _ in range(3)]
        else:
            store = before.engine.store
            assert isinstance(store, MemoryStore)
            clock = VirtualClock(before.engine.clock.now_ms())
            found = store.crash(clock.call_soon)
            self.engine = TestEngine(found, fetcher=self.fetcher, seed=2, clock=clock)
            self.ecis = before.ecis

    def children(self) -> list[str]:
        """The channels by which the root knows its children."""
        core = self.engine.core
        pico = core.shelf.pico(core.root_id)
        assert pico is not None
        return list(core.shelf.full(pico).children or ())

    def make(self) -> str:
        """A new child; an open channel on it."""
        answer = self.engine.event("n", "make")
        assert "errors" not in answer, answer
        return self.open(answer["directives"][0]["options"]["eci"])

    def open(self, family: str) -> str:
        """A channel for everybody on a child."""
        core = self.engine.core
        eci: str = self.engine.wait(
            lambda done: core.post_task(
                family, lambda turn: upsert_channel(turn, ["open"], None, None).eci, done
            )
        )
        return eci

    def got(self, eci: str, name: str, attrs: dict[str, Any]) -> Any:
        answer = self.engine.event("n", name, attrs, eci)
        assert "errors" not in answer, answer["errors"]
        return answer["directives"][-1]["options"]["got"]

    def n(self, eci: str) -> Any:
        return self.engine.query("node", "n", eci=eci)

    def start(self, eci: str, name: str, attrs: dict[str, Any], **more: Any) -> list[Any]:
        """Send an event; what it is answered with comes into the list."""
        answers: list[Any] = []
        self.engine.core.post(eci, "n", name, attrs, answers.append, **more)
        self.engine.run()
        return answers

    def start_query(self, eci: str, name: str, args: dict[str, Any] | None = None) -> list[Any]:
        answers: list[Any] = []
        self.engine.core.post_query(eci, "node", name, args, answers.append)
        self.engine.run()
        return answers


@pytest.fixture
def family() -> Family:
    return Family()


# --- Queries between picos ------------------------------------------------------------------------


def test_a_rule_asks_another_pico_after_the_events_before(family: Family) -> None:
    a, b, _ = family.ecis
    core = family.engine.core
    for _ in range(5):
        core.post(b, "n", "bump", {}, lambda _: None)
    assert family.got(a, "ask", {"eci": b, "fn": "n", "args": {}}) == 5


def test_a_function_asks_another_pico_which_asks_a_third(family: Family) -> None:
    a, b, c = family.ecis
    family.engine.event("n", "bump", {"by": 7}, c)
    assert family.engine.query("node", "twice", {"a": b, "b": c}, eci=a) == 7


def test_a_turn_sees_the_last_state_of_its_own_pico(family: Family) -> None:
    a = family.ecis[0]
    family.engine.event("n", "bump", {"by": 3}, a)
    assert family.got(a, "ask_after", {"eci": a}) == 3
    assert family.n(a) == 100


def test_picos_that_ask_each_other_do_not_hang(family: Family) -> None:
    a, b, _ = family.ecis
    family.engine.event("n", "bump", {"by": 3}, a)
    assert family.got(a, "ask", {"eci": b, "fn": "via", "args": {"eci": a}}) == 3
    assert family.engine.query("node", "twice", {"a": b, "b": a}, eci=a) == 3


def test_a_pico_made_in_this_turn_can_be_asked(family: Family) -> None:
    answer = family.engine.event("n", "make")
    assert answer["directives"][0]["options"]["seen"] == 0


@pytest.mark.parametrize(
    ("args", "code"),
    [
        ({"eci": "nowhere", "fn": "n"}, "R1001"),
        ({"eci": None, "fn": "n"}, "R1007"),
        ({"fn": "not_there"}, "R2006"),
        ({"fn": "n", "args": [1]}, "R1007"),
    ],
)
def test_a_query_that_cannot_be_asked_is_a_fault_of_the_rule(
    family: Family, args: dict[str, Any], code: str
) -> None:
    a, b, _ = family.ecis
    answer = family.engine.event("n", "ask", {"eci": b, **args}, a)
    assert [error["code"] for error in answer["errors"]] == [code]
    assert [error["rule"] for error in answer["errors"]] == ["ask"]


def test_a_fault_of_the_asked_function_is_a_fault_of_the_rule(family: Family) -> None:
    a, b, _ = family.ecis
    answer = family.engine.event("n", "ask", {"eci": b, "fn": "via", "args": {"eci": "no"}}, a)
    assert [error["code"] for error in answer["errors"]] == ["R1001"]


# --- What others see of a pico that waits ---------------------------------------------------------


def test_queries_to_a_pico_that_waits_are_answered_from_its_last_state(family: Family) -> None:
    a, b, _ = family.ecis
    family.engine.event("n", "fill", {"v": "old"}, a)
    slow = family.start(a, "slow", {"url": "slow:x"})
    later = family.start(a, "bump", {})
    assert (slow, later) == ([], [])
    (answer,) = family.start_query(a, "n")
    assert (answer.value, answer.stale) == (0, True)
    (answer,) = family.start_query(a, "big")
    assert answer.value == [100, "old", 100]
    assert family.got(b, "ask", {"eci": a, "fn": "n", "args": {}}) == 0
    assert family.n(b) == 0
    family.fetcher.answer()
    family.engine.run()
    assert len(slow) == len(later) == 1
    (answer,) = family.start_query(a, "big")
    assert (answer.value, answer.stale) == ([101, "new", 101], False)
    assert family.n(a) == 12


def test_queries_that_came_before_the_turn_waited_do_not_wait_with_it(family: Family) -> None:
    a = family.ecis[0]
    core = family.engine.core
    answers: list[Any] = []
    core.post(a, "n", "slow", {"url": "slow:x"}, lambda _: None)
    core.post(a, "n", "bump", {}, lambda _: None)
    core.post_query(a, "node", "n", {}, answers.append)
    family.engine.run()
    assert [(answer.value, answer.stale) for answer in answers] == [(0, True)]
    family.fetcher.answer()
    family.engine.run()
    assert family.n(a) == 12


def test_many_turns_wait_and_others_go_on(family: Family) -> None:
    ecis = [family.make() for _ in range(300)]
    slow = [family.start(eci, "slow", {"url": f"slow:{eci}"}) for eci in ecis]
    assert len(family.fetcher.held) == 300
    assert family.got(family.ecis[0], "ask", {"eci": family.ecis[1], "fn": "n", "args": {}}) == 0
    while family.fetcher.held:
        family.fetcher.answer()
    family.engine.run()
    assert [len(answers) for answers in slow] == [1] * 300
    assert {family.n(eci) for eci in ecis} == {11}


def test_one_waits_twice(family: Family) -> None:
    a = family.ecis[0]
    first = family.start(a, "slow", {"url": "slow:1"})
    second = family.start(a, "slow", {"url": "slow:2"})
    for _ in range(2):
        family.fetcher.answer()
        family.engine.run()
    assert [a["directives"][0]["options"]["n"] for a in (*first, *second)] == [1, 12]
    assert family.engine.core.is_idle


# --- Events with a query behind them --------------------------------------------------------------


def test_an_event_query_of_another_pico_stays_done(family: Family) -> None:
    a, b, _ = family.ecis
    assert family.got(a, "both", {"eci": b, "attrs": {"by": 4}}) == 4
    answer = family.engine.event("n", "both", {"eci": b, "fault": True}, a)
    assert [error["code"] for error in answer["errors"]] == ["R2001"]
    assert family.n(b) == 5


def test_a_fault_of_the_event_is_a_fault_of_the_rule(family: Family) -> None:
    a, b, _ = family.ecis
    answer = family.engine.event(
        "n", "both", {"eci": b, "name": "ask", "attrs": {"eci": "x", "fn": "n"}}, a
    )
    assert [error["code"] for error in answer["errors"]] == ["R1001"]


@pytest.mark.parametrize("hops", ["self", "two"])
def test_an_event_query_that_would_wait_for_itself_is_accepted(family: Family, hops: str) -> None:
    a, b, _ = family.ecis
    family.engine.event("n", "bump", {"by": 3}, a)
    if hops == "self":
        assert family.got(a, "both", {"eci": a}) == 3
    else:
        assert family.got(a, "relay", {"to": b, "back": a}) == 0
    family.engine.run()
    assert family.n(a) == 4


def test_no_event_can_run_before_its_pico_is_there(family: Family) -> None:
    answer = family.engine.event("n", "newer")
    assert [error["code"] for error in answer["errors"]] == ["R2019"]
    assert len(family.children()) == 3


# --- Ends -----------------------------------------------------------------------------------------


def test_a_wait_for_a_pico_has_a_deadline(family: Family) -> None:
    a, b, _ = family.ecis
    slow = family.start(b, "slow", {"url": "slow:x"})
    answers = family.start(a, "both", {"eci": b})
    family.engine.clock.advance(waiting.turn_wait_ms / 1000 - 1)
    assert answers == []
    family.engine.clock.advance(1)
    (answer,) = answers
    assert [error["code"] for error in answer["errors"]] == ["R4021"]
    family.fetcher.answer()
    family.engine.run()
    assert (len(slow), family.n(b)) == (1, 12)


def test_too_many_waits_are_refused(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "turns_suspended_max", 2)
    answers = [family.start(eci, "slow", {"url": f"slow:{eci}"}) for eci in family.ecis]
    assert [len(a) for a in answers] == [0, 0, 1]
    assert [error["code"] for error in answers[2][0]["errors"]] == ["R4022"]


def test_a_pico_that_dies_takes_its_turn_with_it(family: Family) -> None:
    a = family.ecis[0]
    answers = family.start(a, "slow", {"url": "slow:x"})
    behind = family.start(a, "bump", {})
    asked: list[Any] = []
    family.engine.core.post(family.ecis[1], "n", "both", {"eci": a}, asked.append)
    family.engine.run()
    family.engine.event("n", "unmake", {"eci": family.children()[0]})
    assert [fault.code for fault in (*answers, *behind)] == ["R1005", "R1005"]
    assert [error["code"] for error in asked[0]["errors"]] == ["R1005"]
    family.fetcher.answer()
    family.engine.run()
    assert family.engine.core.is_idle


def test_turns_that_wait_end_when_the_engine_stops(family: Family) -> None:
    a = family.ecis[0]
    answers = family.start(a, "slow", {"url": "slow:x"})
    family.engine.core.close()
    family.engine.clock.advance(3600)
    assert [fault.code for fault in answers] == ["R3007"]
    assert family.engine.core.is_idle


def test_nothing_waits_after_the_store_has_failed(family: Family) -> None:
    answers = family.start(family.ecis[0], "slow", {"url": "slow:x"})
    family.engine.core.committer.fail(OSError("disk full"))
    family.engine.run()
    assert [fault.code for fault in answers] == ["R3003"]


# --- Crashes --------------------------------------------------------------------------------------


def test_an_event_query_is_done_once_though_the_turn_runs_again(family: Family) -> None:
    a, b, _ = family.ecis
    family.start(a, "both_then_slow", {"eci": b})
    again = Family(family)
    assert again.n(b) == 1
    again.fetcher.answer()
    again.engine.run()
    assert (again.n(a), again.n(b)) == (1000, 1)


def test_a_keyed_event_that_had_begun_runs_once(family: Family) -> None:
    a, b, _ = family.ecis
    family.start(a, "both_then_slow", {"eci": b}, key="k")
    again = Family(family)
    answers = again.start(a, "both_then_slow", {"eci": b}, key="k")
    other = again.start(a, "bump", {}, key="k")
    assert (answers, [fault.code for fault in other]) == ([], ["R1008"])
    again.fetcher.answer()
    again.engine.run()
    assert len(answers) == 1
    assert (again.n(a), again.n(b)) == (1000, 1)
    assert again.start(a, "both_then_slow", {"eci": b}, key="k")[0] == answers[0]


def test_what_only_waited_for_a_ruleset_is_not_stored(family: Family) -> None:
    a = family.ecis[0]
    family.start(a, "slow", {"url": "slow:x"})
    again = Family(family)
    assert again.fetcher.held == []
    assert again.n(a) == 0


# --- Rulesets -------------------------------------------------------------------------------------


def test_flush_adopts_the_new_version(family: Family) -> None:
    engine = family.engine
    engine.event("n", "bump", {"by": 2}, family.ecis[0])
    family.fetcher.texts["mem:node"] = NODE.replace(
        "n = function() { ent:n.defaultsTo(0) }", "n = function() { ent:n.defaultsTo(0) * 50 }"
    )
    answer = engine.event("n", "slow2", {"url": "mem:node"})
    assert "errors" not in answer
    assert family.n(family.ecis[0]) == 100


def test_flush_of_what_does_not_compile_changes_nothing(family: Family) -> None:
    family.fetcher.texts["mem:node"] = "ruleset node { rule"
    answer = family.engine.event("n", "slow2", {"url": "mem:node"})
    assert [error["code"] for error in answer["errors"]] == ["R2007"]
    assert family.n(family.ecis[0]) == 0


@pytest.mark.parametrize("has_event", [False, True])
def test_only_what_overtakes_an_event_is_stale(family: Family, has_event: bool) -> None:
    a, b, _ = family.ecis
    family.engine.event("n", "bump", {"by": 3}, a)
    core = family.engine.core
    answers: list[Any] = []
    core.post_query(a, "node", "via", {"eci": b}, answers.append)
    if has_event:
        core.post(a, "n", "bump", {}, lambda _: None)
    core.post_query(a, "node", "n", {}, answers.append)
    family.engine.run()
    assert {(answer.value, answer.stale) for answer in answers} == {(0, False), (3, has_event)}
