"""A host that was away, in virtual time: who tries when, and what people are shown of it."""

from __future__ import annotations

from itertools import pairwise

import pytest

from runtime.clock import VirtualClock
from runtime.commands.show import print_queue
from runtime.describe import describe
from runtime.limits import outbox_answer_ms, outbox_host_asked_max, outbox_retry_ms_max
from runtime.network import later
from tests.harness.network import SimulatedNetwork, Site
from tests.harness.talk import START_MS, channel, pass_time, sites, to


def cut_off(a: Site, b: Site, ecis: list[str]) -> None:
    """Send to all these channels of a host that is away for hours."""
    a.network.cut(a.host, b.host)
    a.event("t", "say", {"to": [to(b, eci, eci=eci) for eci in ecis]})
    pass_time(a, 7200)


@pytest.mark.parametrize("window", [1, 64])
def test_500_events_sent_while_the_other_is_down_for_30_s(window: int) -> None:
    a, b = sites(network=SimulatedNetwork(VirtualClock(START_MS), window=window))
    b.stop()
    for _ in range(100):
        a.event("t", "say", {"to": [to(b) for _ in range(5)]})
        pass_time(a, 0.3)
    b.start()
    pass_time(a, 60)
    assert b.query("talk", "log") == {"x": list(range(1, 501))}
    assert a.query("talk", "lost") == []
    assert a.rows("outbox") == b.rows("inbox") == 0


def test_what_waits_for_a_host_goes_on_as_soon_as_something_gets_through() -> None:
    a, b = sites()
    first, second, third = (channel(b) for _ in range(3))
    cut_off(a, b, [first, second])
    resting = [at for at, _, _, _ in a.network.tries[-2:]]
    now = a.network.clock.now_ms()
    # Left to themselves, both would rest for minutes.
    assert all(at + outbox_answer_ms + outbox_retry_ms_max > now + 10_000 for at in resting)
    a.network.heal()
    a.event("t", "say", {"to": [to(b, third, eci=third)]})
    # One of them may just be trying, and has to find out that it did so in vain.
    pass_time(a, outbox_answer_ms / 1000 + 2)
    assert b.query("talk", "log") == {first: [1], second: [1], third: [1]}


def test_a_host_that_does_not_answer_is_asked_one_thing_at_a_time() -> None:
    a, b = sites()
    ecis = [channel(b) for _ in range(20)]
    a.network.cut(a.host, b.host)
    a.event("t", "say", {"to": [to(b, eci, eci=eci) for eci in ecis]})
    pass_time(a, 2 * outbox_answer_ms / 1000)
    # At first it was not known.
    del a.network.tries[:20]
    pass_time(a, 1000)
    lane = a.living.outbox._lanes[b.host]
    assert lane.flying == 1
    at = [when for when, _, _, _ in a.network.tries]
    assert all(later - sooner >= outbox_answer_ms for sooner, later in pairwise(at))
    a.network.heal()
    pass_time(a, 2 * outbox_answer_ms / 1000)
    assert b.query("talk", "log") == {eci: [1] for eci in ecis}


def test_a_host_over_http_is_asked_a_few_things_at_a_time() -> None:
    a, b = sites(network=SimulatedNetwork(VirtualClock(START_MS), window=1))
    ecis = [channel(b) for _ in range(40)]
    a.network.delay_ms = (1000, 1000)
    a.event("t", "say", {"to": [to(b, eci, eci=eci) for eci in ecis]})
    pass_time(a, 0.5)
    assert len(a.network.tries) == outbox_host_asked_max
    pass_time(a, 10)
    assert b.query("talk", "log") == {eci: [1] for eci in ecis}


def test_a_pico_that_is_full_is_left_alone_while_others_get_through() -> None:
    a, b = sites()
    full, free = channel(b), channel(b)
    receive = b.living.arrivals.receive

    def take(envelope: object, done: object) -> None:
        if envelope.eci == full:  # type: ignore[attr-defined]
            done(later("R4002", "full", 60_000))  # type: ignore[operator]
        else:
            receive(envelope, done)  # type: ignore[arg-type]

    b.living.arrivals.receive = take  # type: ignore[assignment,method-assign]
    a.event("t", "say", {"to": [to(b, "full", eci=full)]})
    for _ in range(20):
        a.event("t", "say", {"to": [to(b, "free", eci=free)]})
        pass_time(a, 1)
    assert sum(envelope.eci == full for _, _, _, envelope in a.network.tries) == 1
    assert b.query("talk", "log") == {"free": list(range(1, 21))}


def test_what_waits_is_shown_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    a, b = sites()
    eci = channel(b)
    cut_off(a, b, [eci, eci])
    [queue] = describe(a.living, None)["outbox"]
    print_queue(queue)
    assert capsys.readouterr().out == (
        f"to http://b  channel {eci}  2 events wait "
        f"(pico {a.living.root_id}; {queue['tries']} tries failed: no answer in 30 s)\n"
    )
    print_queue(queue | {"events": 1, "tries": 0})
    assert capsys.readouterr().out.endswith(f"1 event waits (pico {a.living.root_id})\n")
    assert queue.pop("tries") > 5
    assert queue == {
        "pico": a.living.root_id,
        "host": b.host,
        "eci": eci,
        "events": 2,
        "why": f"no answer in {outbox_answer_ms // 1000} s",
    }
    assert len(describe(a.living, a.root)["outbox"]) == 1
    assert describe(b.living, None)["outbox"] == describe(b.living, b.root)["outbox"] == []
    a.network.heal()
    pass_time(a, 2 * outbox_retry_ms_max / 1000)
    assert describe(a.living, None)["outbox"] == []
