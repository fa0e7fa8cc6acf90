"""One framed connection to another engine: credit, silence, what the other side may do wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from runtime.client_link import Place
from runtime.errors import Fault
from runtime.network import TAKEN, Envelope, Reply, resend
from runtime.network_frames import FramedPeer
from tests.channels.stage import Raw, run
from tests.peer.stage import until

WELCOME = [1, 0, 1, {"id": "me", "credit": 4, "frame_bytes_max": 1000}]


def envelope(number: int, text: str = "") -> Envelope:
    return Envelope("pair", number, 1, "cX", "d", "n", {"text": text}, f"e{number}", 1700)


class Ends:
    """Both ends of a connection: ours, and a hand-made other engine."""

    def __init__(self, place: Place) -> None:
        self.replies: dict[int, list[Reply]] = {}
        self.ended: list[FramedPeer] = []
        self.peer = FramedPeer(place, self.ended.append)
        self.accepted: asyncio.Queue[Raw] = asyncio.Queue()

    async def open(self, welcome: Any = WELCOME, ident: str = "me") -> Raw:
        """Have the other engine say this in answer to the hello."""
        opening = asyncio.ensure_future(self.peer.open(ident))
        there = await self.accepted.get()
        assert (await there.heard())[:3] == [0, 0, 1]
        there.send(welcome)
        await opening
        return there

    def send(self, *numbers: int, text: str = "") -> None:
        for number in numbers:
            heard = self.replies[number] = []
            self.peer.send(envelope(number, text), heard.append)


def staged(test: Callable[[Ends], Awaitable[None]]) -> None:
    async def go() -> None:
        ends: Ends
        writers = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            ends.accepted.put_nowait(Raw(reader, writer))

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        ends = Ends(Place(f"pico://there:{port}", "127.0.0.1", port, ""))
        try:
            await test(ends)
        finally:
            ends.peer.close()
            for writer in writers:
                writer.transport.abort()
            server.close()

    run(go)


def test_replies_find_their_envelopes() -> None:
    async def check(ends: Ends) -> None:
        there = await ends.open()
        ends.send(1, 2, 3)
        assert await there.heard() == [
            12,
            1,
            "pair",
            1,
            1,
            "cX",
            "d",
            "n",
            {"text": ""},
            "e1",
            1700,
        ]
        there.send([6, 3, ["resend", 1, "", "", 0]], [6, 1, ["taken"]], [6, 99, ["taken"]])
        there.send([7, 2, {"error": "full", "code": "R4002", "status": 429}])
        await until(lambda: all(ends.replies.values()))
        assert ends.replies[1] == [TAKEN]
        assert ends.replies[3] == [resend(1)]
        assert [(one.kind, one.code) for one in ends.replies[2]] == [("later", "R4002")]

    staged(check)


def test_no_more_is_sent_than_there_is_credit_for() -> None:
    async def check(ends: Ends) -> None:
        there = await ends.open()
        ends.send(*range(1, 11))
        assert [(await there.heard())[1] for _ in range(4)] == [1, 2, 3, 4]
        # Everything else would have come before the answer to this.
        there.send([9, 7])
        assert await there.heard() == [10, 7]
        there.send([8, 0, 2])
        assert [(await there.heard())[1] for _ in range(2)] == [5, 6]
        there.send([8, 0, 100])
        assert [(await there.heard())[1] for _ in range(4)] == [7, 8, 9, 10]

    staged(check)


def test_what_is_under_way_when_it_ends_may_be_tried_again() -> None:
    async def check(ends: Ends) -> None:
        there = await ends.open()
        ends.send(*range(1, 7))
        await there.heard()
        there.writer.transport.abort()
        await until(lambda: ends.ended)
        found = [one for replies in ends.replies.values() for one in replies]
        assert [(one.kind, one.code) for one in found] == 6 * [("later", "R5004")]

    staged(check)


def test_the_reason_that_the_other_side_gives_is_told() -> None:
    async def check(ends: Ends) -> None:
        there = await ends.open()
        ends.send(1)
        there.send([7, None, {"error": "Error: it stops", "code": "R3007", "status": 503}])
        await until(lambda: ends.ended)
        assert "it stops" in ends.replies[1][0].message

    staged(check)


@pytest.mark.parametrize("answer", [["lost"], "taken", None, ["taken", "x"], {"kind": "taken"}, []])
def test_an_answer_that_is_no_reply_means_later(answer: Any) -> None:
    async def check(ends: Ends) -> None:
        there = await ends.open()
        ends.send(1)
        there.send([6, 1, answer])
        await until(lambda: ends.replies[1])
        assert (ends.replies[1][0].kind, ends.replies[1][0].code) == ("later", "R5001")

    staged(check)


def test_an_event_that_is_too_large_for_the_other_side_is_refused() -> None:
    async def check(ends: Ends) -> None:
        await ends.open()
        ends.send(1, text="x" * 1000)
        assert ends.replies[1] == []
        await until(lambda: ends.replies[1])
        assert (ends.replies[1][0].kind, ends.replies[1][0].code) == ("refused", "R4018")

    staged(check)


@pytest.mark.parametrize(
    ("welcome", "ident"),
    [
        (WELCOME, "another"),
        ([1, 0, 1, {"credit": 4, "frame_bytes_max": 1000}], "me"),
        ([1, 0, 9, {"id": "me"}], "me"),
        ([7, None, {"error": "Error: full", "code": "R4008", "status": 503}], "me"),
    ],
    ids=["another engine", "no id", "no version in common", "refused"],
)
def test_another_engine_or_none_is_not_used(welcome: Any, ident: str) -> None:
    async def check(ends: Ends) -> None:
        with pytest.raises(Fault) as raised:
            await ends.open(welcome, ident)
        assert raised.value.code in ("R5004", "R1015", "R4008")
        assert ends.ended == []

    staged(check)


def test_silence_is_asked_about_and_then_ends_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("runtime.network_frames.peer_silence_seconds_max", 0.2)

    async def check(ends: Ends) -> None:
        there = await ends.open()
        ends.send(1)
        assert (await there.heard())[0] == 12
        assert await there.heard() == [9, 0]
        there.send([10, 0])
        assert await there.heard() == [9, 0]
        await until(lambda: ends.ended)
        assert [(one.kind, one.code) for one in ends.replies[1]] == [("later", "R5004")]

    staged(check)


def test_a_connection_that_is_not_needed_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.network_frames.peer_silence_seconds_max", 1.0)
    monkeypatch.setattr("runtime.network_frames.peer_idle_seconds_max", 0.1)

    async def check(ends: Ends) -> None:
        await ends.open()
        await until(lambda: ends.ended)

    staged(check)
