"""What comes from other engines: decided once, in order, and remembered."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from runtime import limits
from runtime.errors import Fault
from runtime.network import TAKEN, Envelope, Reply, resend
from tests.harness.talk import (
    ONLY_HEARD,
    channel,
    pass_time,
    sites,
    to,
)


def letter(number: int, low: int = 1, *, pair: str = "pair1", **parts: Any) -> Envelope:
    given: dict[str, Any] = {
        "eci": "",
        "domain": "t",
        "name": "heard",
        "attrs": {"from": "x", "n": number},
        "eid": f"e{number}",
    }
    return Envelope(pair=pair, number=number, low=low, time_ms=0, **given | parts)


# Each row: envelopes in the order in which they arrive, what is said to each, what is applied.
ARRIVALS = [
    ([letter(1), letter(2)], [TAKEN, TAKEN], [1, 2]),
    ([letter(1), letter(1)], [TAKEN, TAKEN], [1]),
    ([letter(2), letter(1), letter(2)], [resend(1), TAKEN, TAKEN], [1, 2]),
    (
        [letter(3, 3), letter(5, 3), letter(2), letter(4, 3)],
        [TAKEN, resend(4), TAKEN, TAKEN],
        [3, 4],
    ),
    ([letter(1), letter(9, 7), letter(8, 8)], [TAKEN, resend(7), TAKEN], [1, 8]),
    ([letter(1), letter(1, pair="pair2")], [TAKEN, TAKEN], [1, 1]),
    ([letter(1, name="no"), letter(1), letter(2)], ["R1002", "R1002", TAKEN], [2]),
    ([letter(1, name="no"), letter(2, 2), letter(1)], ["R1002", TAKEN, TAKEN], [2]),
    ([letter(1, name=" "), letter(2, domain="")], ["R1007", "R1007"], []),
    ([letter(1, attrs={"x": "y" * limits.attrs_bytes_max})], ["R4001"], []),
    ([letter(0, 0), letter(1, 2), letter(1 << 63)], ["R1007", "R1007", "R1007"], []),
    ([letter(1, pair=""), letter(1, pair="\0"), letter(1, pair="p" * 999)], 3 * ["R1007"], []),
    ([letter(1, eid=""), letter(2)], ["R1007", TAKEN], [2]),
    ([letter(1), letter(2, eci="cnobody"), letter(2)], [TAKEN, "R1007", TAKEN], [1, 2]),
    ([letter(7, eci="cnobody")], ["R1001"], []),
]


@pytest.mark.parametrize(("envelopes", "said", "applied"), ARRIVALS)
@pytest.mark.parametrize("is_stopped", [False, True])
def test_each_number_of_a_pair_is_decided_once_and_in_order(
    envelopes: list[Envelope], said: list[Any], applied: list[int], is_stopped: bool
) -> None:
    (b,) = sites(1)
    eci = channel(b, ONLY_HEARD)
    replies: list[Reply] = []
    for envelope in envelopes:
        addressed = msgspec.structs.replace(envelope, eci=envelope.eci or eci)
        b.living.receive(addressed, replies.append)
        b.network.clock.run()
        if is_stopped:
            b.stop()
            b.start()
    assert [reply.code if reply.kind == "refused" else reply for reply in replies] == said
    assert b.query("talk", "log") == ({"x": applied} if applied else {})


def test_a_stopped_store_is_told_as_later() -> None:
    (b,) = sites(1)
    replies: list[Reply] = []
    b.living.receive(letter(1, eci=b.root), replies.append)
    b.living.committer.fail(Fault("R3004", "the disk is full"))
    b.living.receive(letter(2, eci=b.root), replies.append)
    b.network.clock.run()
    assert [(reply.kind, reply.code) for reply in replies] == 2 * [("later", "R3004")]


def test_policies_are_those_for_strangers() -> None:
    a, b = sites()
    # Nobody outside may use a self channel, whoever says so.
    a.event("t", "say", {"to": [to(b, eci=b.living.root_id)]})
    pass_time(a)
    assert [each["code"] for each in a.query("talk", "lost")] == ["R1004"]


def test_a_lost_answer_is_given_again_though_the_channel_is_gone() -> None:
    a, b = sites()
    eci = channel(b, ONLY_HEARD)
    cross, answers = a.network.cross, []

    def lose_answers(one: str, other: str, arrive: Any) -> None:
        if one == b.host:
            answers.append(arrive)
        else:
            cross(one, other, arrive)

    a.network.cross = lose_answers  # type: ignore[method-assign]
    a.event("t", "say", {"to": [to(b, eci=eci), to(b, eci=eci, type="denied")]})
    pass_time(a)
    assert len(answers) == 2
    b.event("t", "shut", {"eci": eci})
    b.stop(surviving=b.store.unsynced_batches)
    b.start()
    a.network.cross = cross  # type: ignore[method-assign]
    pass_time(a, 100)
    # The first had arrived; the second was refused by the policy of then; a third is too late.
    a.event("t", "say", {"to": [to(b, eci=eci)]})
    pass_time(a, 100)
    assert b.query("talk", "log") == {"x": [1]}
    assert [(e["code"], e["attrs"]["n"]) for e in a.query("talk", "lost")] == [
        ("R1002", 2),
        ("R1001", 3),
    ]


def test_marks_go_with_the_pico_that_received() -> None:
    (b,) = sites(1)
    b.event("t", "bear")
    (child_eci,) = b.query("talk", "kids")
    envelope = Envelope("pair1", 1, 1, child_eci, "t", "heard", {}, "e1", 0)
    replies: list[Reply] = []
    # A family channel refuses strangers, and that is remembered like any other decision.
    b.living.receive(envelope, replies.append)
    pass_time(b)
    assert [reply.code for reply in replies] == ["R1004"]
    assert b.rows("mark") == 1
    b.event("t", "prune")
    pass_time(b)
    assert b.rows("mark") == 0
    b.living.receive(envelope, replies.append)
    pass_time(b)
    assert replies[1].code == "R1005"
