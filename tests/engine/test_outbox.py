"""Sends to other engines, the sender's side: rows, tries, windows, bounds, starts."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from runtime import limits, outbox
from runtime.clock import VirtualClock
from runtime.limits import (
    outbox_answer_ms,
    outbox_kept_ms,
    outbox_retry_ms,
    outbox_retry_ms_max,
)
from runtime.network import Envelope, Reply, later, resend
from runtime.outbox import PAIR
from runtime.store import key_number
from runtime.turn import Send
from tests.harness.engine import TestEngine
from tests.harness.network import SimulatedNetwork, Site
from tests.harness.talk import (
    ONLY_HEARD,
    START_MS,
    TALK,
    channel,
    pass_time,
    sites,
    to,
)


def test_an_event_for_another_engine_arrives_and_leaves_no_row() -> None:
    a, b = sites()
    answer = a.event("t", "say", {"to": [to(b), to(b), to(b)]})
    assert "errors" not in answer
    pass_time(a)
    assert b.query("talk", "log") == {"x": [1, 2, 3]}
    assert a.rows("outbox") == b.rows("inbox") == 0
    (envelope,) = {e.eid for _, _, _, e in a.network.tries if e.number == 3}
    assert envelope.startswith("c")


def test_headers_do_not_leave_the_engine() -> None:
    a, b = sites()
    a.event("t", "say", {"to": [to(b)]})
    pass_time(a)
    assert all("_headers" not in e.attrs for _, _, _, e in a.network.tries)
    assert b.event("t", "heads")["directives"][0]["options"]["h"] is None
    # Within the engine they go on.
    a.event("t", "say", {"to": [to(a)]})
    assert a.event("t", "heads")["directives"][0]["options"]["h"] == {"x": 1}


@pytest.mark.parametrize("host", [None, "", "http://a", "http://a/"])
def test_its_own_address_is_no_other_engine(host: str | None) -> None:
    a, _ = sites()
    a.event("t", "say", {"to": [to(a) | {"host": host}]})
    assert a.query("talk", "log") == {"x": [1]}
    assert a.network.tries == []


def test_nothing_leaves_before_it_is_durable() -> None:
    a, b = sites()
    a.sync_ms = b.sync_ms = 50

    def look(host: str, envelope: Envelope) -> None:
        assert envelope.number in {key_number(key) for key in _durable_keys(a, "outbox")}

    a.network.watch = look
    for _ in range(40):
        a.living.post(a.root, "t", "say", {"to": [to(b)]}, lambda answer: None)
        pass_time(a, 0.013)
    pass_time(a)
    assert len(a.network.tries) == 40


def _durable_keys(site: Site, family: str) -> list[bytes]:
    """The keys that a crash now would leave."""
    keys = dict.fromkeys((key for key, _ in site.store.scan(family, b"")), True)
    for undo in reversed(site.store._undo):
        for name, key, before in reversed(undo):
            if name == family:
                keys[key] = before is not None
    return [key for key, is_there in keys.items() if is_there]


def test_a_rule_that_faults_sends_nothing() -> None:
    a, b = sites()
    answer = a.event("t", "say", {"to": [to(b)], "fail": True})
    assert len(answer["errors"]) == 1
    pass_time(a)
    assert len(a.network.tries) == 1
    assert b.query("talk", "log") == {"x": [1]}


def test_without_a_network_the_rule_faults_at_the_action() -> None:
    engine = TestEngine()
    engine.install(TALK)
    somewhere = {"eci": "cx", "host": "http://elsewhere", "tag": "x"}
    answer = engine.event("t", "say", {"to": [somewhere]})
    (error,) = answer["errors"]
    assert error["code"] == "R5001"
    assert "not connected" in error["error"]
    assert engine.query("talk", "sent") == {}


@pytest.mark.parametrize(
    ("host", "eci"),
    [
        ("elsewhere", "cx"),
        ("http://", "cx"),
        ("http://b c", "cx"),
        ("http://b\0", "cx"),
        ("http://b", "c x"),
        ("http://b", ""),
        ("http://b", "\ud800"),
        ("http://" + limits.address_characters_max * "b", "cx"),
        (["http://b"], "cx"),
    ],
)
def test_what_is_no_address_faults_at_the_action(host: Any, eci: str) -> None:
    (a,) = sites(1)
    answer = a.event("t", "say", {"to": [{"eci": eci, "host": host, "tag": "x"}]})
    assert [error["code"] for error in answer["errors"]] == ["R5001"]


# --- What the other side refuses ------------------------------------------------------------------


def test_a_refused_send_comes_back_and_holds_up_nothing() -> None:
    a, b = sites()
    eci = channel(b, ONLY_HEARD)
    kinds = ["heard", "denied", "heard", "denied", "heard"]
    a.event("t", "say", {"to": [to(b, eci=eci, type=kind) for kind in kinds]})
    pass_time(a)
    assert b.query("talk", "log") == {"x": [1, 3, 5]}
    lost = a.query("talk", "lost")
    assert [(each["code"], each["attrs"]["n"]) for each in lost] == [("R1002", 2), ("R1002", 4)]
    assert lost[0]["eci"] == eci
    letters = a.living.letters.recent()
    assert [letter["sender"] for letter in letters] == 2 * [a.living.root_id]
    assert a.rows("outbox") == 0


def test_an_unknown_channel_refuses_all_at_once() -> None:
    a, b = sites()
    a.event("t", "say", {"to": [to(b, eci="cnobody") for _ in range(20)]})
    pass_time(a)
    assert [each["attrs"]["n"] for each in a.query("talk", "lost")] == list(range(1, 21))
    assert len(a.network.tries) == 20
    assert b.rows("mark") == 0


def test_a_refused_undeliverable_is_not_told_of() -> None:
    a, b = sites()
    core = a.living
    send = Send("cnobody", "system", "undeliverable", {}, "e1", b.host)
    core.outbox.add(core.root_id, send)
    core.committer.flush()
    pass_time(a)
    assert len(core.letters) == 1
    assert a.query("talk", "lost") == []


# --- When nobody answers --------------------------------------------------------------------------


def test_tries_are_further_and_further_apart() -> None:
    a, b = sites()
    b.stop()
    # Silence, so that each try ends with its deadline.
    a.network.cut(a.host, b.host)
    a.event("t", "say", {"to": [to(b) for _ in range(5)]})
    pass_time(a, 3600)
    times = [at for at, _, _, _ in a.network.tries]
    # At first the whole window, then one to see whether the way is free.
    assert [e.number for _, _, _, e in a.network.tries] == [1, 2, 3, 4, 5] + (len(times) - 5) * [1]
    gaps = [b - a for a, b in itertools.pairwise(times[4:])]
    assert len(gaps) > 6
    for tries, gap in enumerate(gaps):
        wait = min(outbox_retry_ms << tries, outbox_retry_ms_max)
        assert outbox_answer_ms + wait <= gap <= outbox_answer_ms + 1.5 * wait + 1
    b.start()
    a.network.heal()
    pass_time(a, 1200)
    assert b.query("talk", "log") == {"x": [1, 2, 3, 4, 5]}


def test_the_receiver_may_say_how_long_to_wait() -> None:
    a, b = sites()
    b.living.arrivals.receive = lambda _, done: done(later("R4002", "full", 60_000))
    a.event("t", "say", {"to": [to(b)]})
    pass_time(a, 59)
    assert len(a.network.tries) == 1
    del b.living.arrivals.receive
    pass_time(a, 60)
    assert b.query("talk", "log") == {"x": [1]}


def test_a_full_inbox_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = sites(network=SimulatedNetwork(VirtualClock(START_MS), delay_ms=(9, 9)))
    a.event("t", "say", {"to": [to(b)]})
    monkeypatch.setattr("runtime.intake.inbox_events_max", 0)
    pass_time(a, 0.4)
    monkeypatch.undo()
    assert b.query("talk", "log") == {}
    assert b.rows("mark") == 0
    pass_time(a)
    assert b.query("talk", "log") == {"x": [1]}
    assert len(a.network.tries) == 2


def test_pairs_do_not_wait_for_each_other() -> None:
    a, b, c = sites(3)
    a.network.cut(a.host, b.host)
    a.event("t", "say", {"to": [to(b, "b"), to(c, "c"), to(b, "b"), to(c, "c")]})
    pass_time(a)
    assert c.query("talk", "log") == {"c": [1, 2]}
    assert a.rows("outbox") == 2


def test_after_a_week_a_send_comes_back() -> None:
    a, b = sites()
    a.network.cut(a.host, b.host)
    a.event("t", "say", {"to": [to(b), to(b)]})
    pass_time(a, outbox_kept_ms / 1000 / 2)
    a.event("t", "say", {"to": [to(b)]})
    pass_time(a, outbox_kept_ms / 1000 / 2 + 1000)
    assert [(e["code"], e["attrs"]["n"]) for e in a.query("talk", "lost")] == [
        ("R5003", 1),
        ("R5003", 2),
    ]
    assert a.rows("outbox") == 1
    # The way is free again: the receiver does not wait for what was given up.
    a.network.heal()
    pass_time(a, 1000)
    assert b.query("talk", "log") == {"x": [3]}


@pytest.mark.parametrize("is_refused", [False, True])
def test_the_receiver_may_forget_only_what_is_durably_given_back(is_refused: bool) -> None:
    a, b = sites()
    a.sync_ms = 50

    def look(host: str, envelope: Envelope) -> None:
        left = [key_number(key) for key in _durable_keys(a, "outbox")]
        assert envelope.low == 1 or 1 not in left

    eci = channel(b, ONLY_HEARD)
    a.network.cut(a.host, b.host)
    a.event("t", "say", {"to": [to(b, eci=eci, type="denied")]})
    pass_time(a, outbox_kept_ms / 1000 / 2)
    # The first one's answer has the window open when the others follow.
    a.event("t", "say", {"to": [to(b, eci=eci) for _ in range(40)]})
    a.network.watch = look
    if is_refused:
        a.network.heal()
    pass_time(a, outbox_kept_ms / 1000 / 2 + 1000)
    a.network.heal()
    pass_time(a, 1000)
    assert [e["code"] for e in a.query("talk", "lost")] == ["R1002" if is_refused else "R5003"]
    assert b.query("talk", "log") == {"x": list(range(2, 42))}


def test_what_expires_is_given_back_in_bounded_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "outbox_expired_max", 3)
    a, b = sites()
    a.network.cut(a.host, b.host)
    a.event("t", "say", {"to": [to(b) for _ in range(10)]})
    a.stop()
    pass_time(b, outbox_kept_ms / 1000 + 1)
    a.start()
    writes: list[int] = []
    write = a.store.write
    monkeypatch.setattr(
        a.store,
        "write",
        lambda batch: (
            writes.append(sum(family == "dead" for family, _, _ in batch)),
            write(batch),
        ),
    )
    pass_time(a)
    assert [e["attrs"]["n"] for e in a.query("talk", "lost")] == list(range(1, 11))
    assert max(writes) == 3


def test_the_outbox_of_a_pair_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "outbox_sends_max", 5)
    a, b, c = sites(3)
    a.network.cut(a.host, b.host)
    assert "errors" not in a.event("t", "say", {"to": [to(b) for _ in range(3)]})
    # Those that a rule sent before count as well, for their own channel only.
    mixed = [to(c, "c"), to(c, "c"), to(b), to(b), to(c, "c")]
    assert "errors" not in a.event("t", "say", {"to": mixed})
    answer = a.event("t", "say", {"to": [to(c, "c"), to(b)]})
    assert [error["code"] for error in answer["errors"]] == ["R5002"]
    pass_time(a)
    assert a.query("talk", "sent") == {"x": 5, "c": 3}
    a.network.heal()
    pass_time(a, 1000)
    assert "errors" not in a.event("t", "say", {"to": [to(b)]})
    pass_time(a)
    assert b.query("talk", "log") == {"x": [1, 2, 3, 4, 5, 6]}


@pytest.mark.parametrize(
    ("bound", "value"), [("outbox_host_flying_max", 4), ("outbox_host_bytes_max", 300)]
)
def test_a_host_that_does_not_answer_takes_a_bounded_part_of_memory(
    bound: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, bound, value)
    a, b, c = sites(3)
    a.network.cut(a.host, b.host)
    ecis = [channel(b) for _ in range(6)]
    a.event("t", "say", {"to": [to(b, eci, eci=eci) for eci in ecis] + [to(c)]})
    pass_time(a)
    assert len(a.network.tries) == 5
    assert c.query("talk", "log") == {"x": [1]}
    # When the first four rest, the others have their turn.
    pass_time(a, outbox_answer_ms / 1000)
    assert {e.eci for _, _, _, e in a.network.tries} == {*ecis, c.root}
    a.network.heal()
    pass_time(a, 1000)
    assert b.query("talk", "log") == {eci: [1] for eci in ecis}
    lane = a.living.outbox._lanes["http://b"]
    assert lane.flying == lane.bytes == 0


def test_an_engine_that_looks_at_no_numbers_gets_one_at_a_time() -> None:
    a, b = sites(network=SimulatedNetwork(VirtualClock(START_MS), window=1, delay_ms=(5, 5)))
    a.event("t", "say", {"to": [to(b) for _ in range(4)]})
    pass_time(a)
    times = [at for at, _, _, _ in a.network.tries]
    assert all(later - sooner >= 10 for sooner, later in itertools.pairwise(times))
    assert b.query("talk", "log") == {"x": [1, 2, 3, 4]}


def test_the_window_fills_a_round_trip() -> None:
    a, b = sites(network=SimulatedNetwork(VirtualClock(START_MS), window=99, delay_ms=(50, 50)))
    a.event("t", "say", {"to": [to(b) for _ in range(100)]})
    times = [at for at, _, _, _ in a.network.tries]
    assert len(times) == outbox.outbox_window_max
    assert len(set(times)) == 1
    pass_time(a)
    assert b.query("talk", "log") == {"x": list(range(1, 101))}


# --- Stops and starts -----------------------------------------------------------------------------


def test_a_start_takes_up_what_was_not_taken() -> None:
    a, b = sites()
    a.network.cut(a.host, b.host)
    a.event("t", "say", {"to": [to(b), to(b)]})
    a.stop()
    a.start()
    a.event("t", "say", {"to": [to(b)]})
    a.network.heal()
    pass_time(a, 100)
    assert b.query("talk", "log") == {"x": [1, 2, 3]}
    names = {e.pair for _, _, _, e in a.network.tries}
    assert len(names) == 1


def test_a_start_wakes_no_pico_and_reads_past_what_is_gone() -> None:
    a, b = sites()
    a.event("t", "say", {"to": [to(b) for _ in range(50)]})
    pass_time(a)
    a.network.cut(a.host, b.host)
    a.event("t", "say", {"to": [to(b)]})
    a.stop()
    starts: list[bytes] = []
    scan = a.store.scan

    def watched(family: str, prefix: bytes, start: bytes = b"", reverse: bool = False) -> Any:
        if family == "outbox" and not reverse:
            starts.append(start)
        return scan(family, prefix, start, reverse)

    a.store.scan = watched  # type: ignore[method-assign]
    a.start()
    assert [start[-8:] for start in starts] == [(51).to_bytes(8, "big")]
    assert a.living.shelf.picos == {}


def test_without_a_network_what_is_left_waits_and_expires() -> None:
    a, b = sites()
    a.network.cut(a.host, b.host)
    a.event("t", "say", {"to": [to(b)]})
    a.stop()
    a.is_connected = False
    a.start()
    tries = len(a.network.tries)
    pass_time(a, outbox_kept_ms / 1000 / 2)
    assert a.rows("outbox") == 1
    pass_time(a, outbox_kept_ms / 1000)
    assert [each["code"] for each in a.query("talk", "lost")] == ["R5003"]
    assert len(a.network.tries) == tries


def test_a_sender_that_sleeps_is_told() -> None:
    a, b = sites(awake_bytes_max=0)
    a.network.cut(a.host, b.host)
    a.event("t", "say", {"to": [to(b, eci="cnobody")]})
    a.stop()
    a.start()
    a.network.heal()
    pass_time(a)
    assert [each["code"] for each in a.query("talk", "lost")] == ["R1001"]


def test_numbers_go_on_when_all_rows_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "outbox_pairs_idle_max", 1)
    a, b = sites()
    ecis = [channel(b) for _ in range(3)]
    for _ in range(3):
        for eci in ecis:
            a.event("t", "say", {"to": [to(b, eci, eci=eci)]})
            pass_time(a)
        a.stop()
        a.start()
    assert len(a.living.outbox._pairs) == 1
    assert sum(key.startswith(PAIR) for key, _ in a.store.scan("meta", b"")) == 1
    assert b.query("talk", "log") == {eci: [1, 2, 3] for eci in ecis}
    assert {e.number for _, _, _, e in a.network.tries} == {1, 2, 3}


def test_sends_outlive_their_pico_and_marks_do_not() -> None:
    a, b = sites()
    kid = a.event("t", "bear")
    assert "errors" not in kid
    (child_eci,) = a.query("talk", "kids")
    child = a.living.shelf.channel(child_eci)
    assert child is not None
    a.network.cut(a.host, b.host)
    core = a.living
    attrs = {"from": "kid", "n": 1}
    for eci in (b.root, "cnobody"):
        core.outbox.add(child.pico_id, Send(eci, "t", "heard", attrs, "e1", b.host))
    core.committer.flush()
    a.event("t", "prune")
    pass_time(a)
    a.stop()
    a.start()
    a.network.heal()
    pass_time(a, 100)
    assert b.query("talk", "log") == {"kid": [1]}
    (letter,) = a.living.letters.recent()
    assert letter["sender"] == child.pico_id
    assert not list(a.store.scan("pico", child.pico_id.encode()))
    assert b.rows("mark") == 1


def test_an_engine_that_closes_lets_the_rest_for_the_next_start() -> None:
    a, b = sites()
    a.event("t", "say", {"to": [to(b) for _ in range(30)]})
    a.living.is_closing = True
    pass_time(a, 100)
    assert a.rows("outbox") > 0
    a.stop()
    a.start()
    pass_time(a, 100)
    assert a.rows("outbox") == 0
    assert b.query("talk", "log") == {"x": list(range(1, 31))}


def test_codes_of_other_engines_become_ours() -> None:
    assert Reply("refused", 0, "X99", "no").fault().code == "R5001"
    assert Reply("refused").fault().message
    assert Reply("refused", 0, "R1003", "no").fault().code == "R1003"


def test_answers_that_make_no_sense_do_not_loop() -> None:
    a, b = sites()
    b.living.arrivals.receive = lambda envelope, done: done(resend(99))
    a.event("t", "say", {"to": [to(b), to(b)]})
    pass_time(a, 600)
    assert 5 < len(a.network.tries) < 40
    del b.living.arrivals.receive
    pass_time(a, 600)
    assert b.query("talk", "log") == {"x": [1, 2]}
