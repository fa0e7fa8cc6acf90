"""What is accepted, acknowledged, remembered and taken up again."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.answers import AnswerBook
from runtime.errors import Fault
from runtime.limits import answer_bucket_ms, answer_buckets_kept, attrs_bytes_max, inbox_events_max
from runtime.memory import MemoryStore
from tests.harness.engine import TestEngine

COUNTER = """ruleset counter {
  meta { shares n }
  global { n = function() { ent:n.defaultsTo(0) } }
  rule inc { select when c inc
    send_directive("n", {"n": n() + 1})
    fired { ent:n := n() + 1 } }
}"""


def counter(**options: Any) -> TestEngine:
    engine = TestEngine(**options)
    engine.install(COUNTER)
    return engine


def test_state_survives_a_restart() -> None:
    engine = counter()
    engine.event("c", "inc")
    engine.event("c", "inc")
    again = TestEngine(engine.store, clock=engine.clock, seed=2)
    assert again.root == engine.root
    assert again.query("counter", "n") == 2


def test_nothing_is_answered_before_it_is_durable() -> None:
    engine = counter()
    answers: list[Any] = []
    engine.core.post(engine.root, "c", "inc", {}, answers.append)
    engine.core.post_query(engine.root, "counter", "n", {}, answers.append)
    store = engine.store
    assert isinstance(store, MemoryStore)
    while not answers:
        before = store.unsynced_batches
        soon = engine.clock._soon
        soon.popleft()()
        if answers:
            assert before == 0 or store.unsynced_batches == 0


def test_a_signal_is_taken_up_again_after_a_crash() -> None:
    engine = counter()
    answers: list[Any] = []
    # The row becomes durable while the turn has not run: the clock is stopped in between.
    engine.core.post_signal(engine.root, "c", "inc", {}, answers.append)
    engine.core.committer.flush()
    store = engine.store
    assert isinstance(store, MemoryStore)
    synced: list[Any] = []
    store.sync(synced.append)
    while not synced:
        engine.clock._soon.rotate(-1)
        engine.clock._soon.pop()()
    survived = store.crash()
    again = TestEngine(survived, clock=engine.clock, seed=3)
    assert again.query("counter", "n") == 1
    assert list(survived.scan("inbox", b"")) == []


def test_the_same_key_has_one_effect_and_one_answer() -> None:
    engine = counter()
    first = engine.event("c", "inc", key="k1")
    assert engine.event("c", "inc", key="k1") == first
    assert engine.query("counter", "n") == 1
    with pytest.raises(Fault) as caught:
        engine.event("c", "inc", {"other": 1}, key="k1")
    assert caught.value.code == "R1008"
    again = TestEngine(engine.store, clock=engine.clock, seed=2)
    assert again.event("c", "inc", key="k1") == first
    assert again.query("counter", "n") == 1


def test_headers_do_not_make_another_event() -> None:
    engine = counter()
    first = engine.event("c", "inc", {"_headers": {"x-request-id": "1"}}, key="k")
    assert engine.event("c", "inc", {"_headers": {"x-request-id": "2"}}, key="k") == first


def test_a_keyed_event_that_still_runs_is_answered_once_for_all() -> None:
    engine = counter()
    answers: list[Any] = []
    for _ in range(3):
        engine.core.post(engine.root, "c", "inc", {}, answers.append, key="k")
    engine.run()
    assert len(answers) == 3
    assert all(answer == answers[0] for answer in answers)
    assert engine.query("counter", "n") == 1


def test_a_keyed_signal_is_accepted_once() -> None:
    engine = counter()
    eids = {
        engine.wait(
            lambda done: engine.core.post_signal(engine.root, "c", "inc", {}, done, key="s")
        )
        for _ in range(3)
    }
    assert len(eids) == 1
    assert engine.query("counter", "n") == 1


def test_keys_are_forgotten_after_their_retention() -> None:
    engine = counter()
    engine.event("c", "inc", key="k")
    engine.clock.advance(answer_bucket_ms * (answer_buckets_kept + 1) / 1000)
    book: AnswerBook = engine.core.answers
    book.expire()
    assert list(engine.store.scan("answer", b"")) == []
    engine.event("c", "inc", key="k")
    assert engine.query("counter", "n") == 2


@pytest.mark.parametrize("key", ["", "x" * 201])
def test_a_key_has_a_bounded_length(key: str) -> None:
    with pytest.raises(Fault) as caught:
        counter().event("c", "inc", key=key)
    assert caught.value.code == "R1007"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("", "c", "inc", {}), "missing event.eci"),
        (("  ", "c", "inc", {}), "missing event.eci"),
        ((0, "c", "inc", {}), "missing event.eci"),
        (("{root}", "", "inc", {}), "missing event.domain"),
        (("{root}", "c", " ", {}), "missing event.name"),
        (("{root}", "c", "inc", [1]), "Expected a JSON map for event.data.attrs"),
        (("{root}", "c", "inc", '{"a":1}'), "Expected a JSON map for event.data.attrs"),
        (("nowhere", "c", "inc", {}), "ECI not found nowhere"),
    ],
)
def test_malformed_events_are_refused(arguments: tuple[Any, ...], text: str) -> None:
    engine = counter()
    eci, domain, name, attrs = arguments
    eci = engine.root if eci == "{root}" else eci
    with pytest.raises(Fault) as caught:
        engine.wait(lambda done: engine.core.post(eci, domain, name, attrs, done))
    assert caught.value.message == text
    assert engine.query("counter", "n") == 0


def test_names_are_trimmed_and_attributes_are_the_engines_own() -> None:
    engine = TestEngine()
    engine.install(
        "ruleset keep { meta { shares v } global { v = function() { ent:v } }"
        " rule r { select when foo bar fired { ent:v := event:attrs } } }"
    )
    attrs = {"a": [1, {"b": 2}], " c ": " d "}
    engine.wait(lambda done: engine.core.post(f" {engine.root} ", " foo\n", "\tbar ", attrs, done))
    attrs["a"][1]["b"] = 3  # type: ignore[index]
    assert engine.query("keep", "v") == {"a": [1, {"b": 2}], " c ": " d "}


def test_attributes_over_the_limit_are_refused() -> None:
    engine = counter()
    with pytest.raises(Fault) as caught:
        engine.event("c", "inc", {"a": "x" * attrs_bytes_max})
    assert caught.value.code == "R4001"
    deep: Any = 1
    for _ in range(1000):
        deep = [deep]
    with pytest.raises(Fault) as caught:
        engine.event("c", "inc", {"a": deep})
    assert caught.value.code == "R4001"


def test_a_full_inbox_refuses_and_loses_nothing() -> None:
    engine = counter()
    answers: list[Any] = []
    for _ in range(inbox_events_max + 5):
        engine.core.post(engine.root, "c", "inc", {}, answers.append)
    engine.run()
    refused = [a for a in answers if isinstance(a, Fault)]
    assert [fault.code for fault in refused] == ["R4002"] * 5
    assert engine.query("counter", "n") == inbox_events_max


def test_event_then_query_sees_the_event() -> None:
    engine = counter()
    value = engine.wait(
        lambda done: engine.core.post_event_query(
            engine.root, "c", "inc", {}, "counter", "n", {}, done
        )
    )
    assert value == 1


def test_a_failed_write_stops_the_engine_and_tells_everybody() -> None:
    engine = counter()

    def refuse(batch: Any) -> None:
        raise Fault("R3004", "no space left")

    engine.store.write = refuse  # type: ignore[method-assign]
    answers: list[Any] = []
    for _ in range(3):
        engine.core.post(engine.root, "c", "inc", {}, answers.append)
    engine.run()
    assert [a.code for a in answers] == ["R3004"] * 3
    with pytest.raises(Fault) as caught:
        engine.event("c", "inc")
    assert caught.value.code == "R3004"


def test_picos_go_to_sleep_and_wake_with_their_state() -> None:
    engine = TestEngine()
    engine.core.shelf._awake_max = 5
    engine.fetcher.texts["mem:c"] = COUNTER
    engine.install(
        "ruleset p { meta { shares children } global { children = function() { ctx:children } }"
        ' rule make { select when p make ctx:newPico([{"url": "mem:c"}]) }'
        " rule all { select when p all foreach ctx:children setting(eci)"
        ' event:send({"eci": eci, "domain": "c", "type": "inc"}) } }'
    )
    for _ in range(40):
        engine.event("p", "make")
    for _ in range(3):
        engine.event("p", "all")
    assert len(engine.core.shelf.picos) <= 5 + 1
    assert len(engine.query("p", "children")) == 40
    for eci in engine.query("p", "children"):
        channel = engine.core.shelf.channel(eci)
        assert channel is not None
        pico = engine.core.shelf.pico(channel.pico_id)
        assert pico is not None
        engine.core.shelf.view_of(pico)
        assert engine.core.shelf.entities(pico, "counter")["n"] == 3
