"""The engine's side of a connection: greeting, order, credit, hostile input, time, stopping."""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path
from typing import Any

import msgpack
import pytest

from runtime import limits
from runtime.channel_server import Connection
from runtime.errors import Fault
from runtime.inbox import Answer
from runtime.server import bind_unix
from tests.channels.stage import HELLO, TOKEN, Raw, Stage, frame_of, staged, until

EVENT = [2, 1, "cA", "d", "n", {"a": 1}]


def the_connection(stage: Stage) -> Connection:
    [connection] = stage.channels.open
    return connection


async def refused(raw: Raw, code: str) -> dict[str, Any]:
    """The connection's own fault, with that code, and then its end."""
    kind, ident, fault = await raw.heard()
    assert (kind, ident, fault["code"]) == (7, None, code)
    assert fault["error"]
    assert fault["hint"]
    assert await raw.ended()
    found: dict[str, Any] = fault
    return found


def test_welcome_tells_version_and_bounds() -> None:
    async def check(stage: Stage) -> None:
        raw = await stage.raw()
        raw.send([0, 5, 9, {"token": TOKEN, "something": ["new"]}])
        assert await raw.heard() == [
            1,
            5,
            1,
            {
                "engine": "picos test",
                "id": "",
                "credit": limits.channel_credit_max,
                "frame_bytes_max": limits.frame_bytes_max,
                "answer_bytes_max": limits.answer_bytes_max,
                "key_characters_max": limits.key_characters_max,
                "key_kept_ms": 86_400_000,
                "idle_ms_max": limits.channel_idle_seconds_max * 1000,
                "trusts_time": True,
            },
        ]

    staged(check)


# first frames, the code of the refusal
BAD_STARTS: list[tuple[list[Any], str]] = [
    ([EVENT], "R1014"),
    ([[9, 1]], "R1014"),
    ([[0, 0, 0, {}]], "R1015"),
    ([[0, 0, 1, {"token": "wrong"}]], "R1010"),
    ([[0, 0, 1, {"token": 5}]], "R1010"),
    ([[0, 0, 1, {"token": "ü" * 50}]], "R1010"),
    ([[0, 0, "1", {}]], "R1014"),
    ([HELLO, HELLO], "R1014"),
    ([b"\xc1"], "R1014"),
    ([b"GET / HTTP/1.1\r\n\r\n" * 300], "R4018"),
    ([b"x" * (limits.hello_bytes_max + 1)], "R4018"),
    ([b""], "R1014"),
]


@pytest.mark.parametrize(("sent", "code"), BAD_STARTS)
def test_bad_start_is_told_and_ends_the_connection(sent: list[Any], code: str) -> None:
    async def check(stage: Stage) -> None:
        other = await stage.greeted()
        raw = await stage.raw()
        raw.send(*sent)
        if sent[0] == HELLO:
            assert (await raw.heard())[0] == 1
        await refused(raw, code)
        # Nobody else notices, and nothing reached the engine.
        other.send([9, 3])
        assert await other.heard() == [10, 3]
        assert stage.engine.calls == []

    staged(check)


def test_engine_without_a_token_knows_none() -> None:
    async def check(stage: Stage) -> None:
        stage.channels._token = b""
        raw = await stage.raw()
        raw.send([0, 0, 1, {"token": ""}])
        await refused(raw, "R1010")

    staged(check)


def test_requests_reach_the_engine_and_answers_the_client() -> None:
    async def check(stage: Stage) -> None:
        raw = await stage.greeted()
        raw.send(
            EVENT,
            [3, 2, "cA", "d", "n", None, "key"],
            [4, 3, "cA", "r", "f", {"x": None}],
            [5, 4, "cA", "d", "n", {}, "r", "f", {"y": 1}],
            [2, 5, "cNO", "d", "n"],
        )
        heard = [await raw.heard() for _ in range(5)]
        assert heard[:4] == [[6, 1, "n"], [6, 2, "n"], [6, 3, "f"], [6, 4, "f"]]
        assert heard[4][:2] == [7, 5]
        assert (heard[4][2]["code"], heard[4][2]["status"]) == ("R1001", 404)
        assert stage.engine.calls == [
            ("event", "cA", "d", "n", {"a": 1}, None, None),
            ("signal", "cA", "d", "n", None, "key", None),
            ("query", "cA", "r", "f", {"x": None}),
            ("event-query", "cA", "d", "n", {}, "r", "f", {"y": 1}),
            ("event", "cNO", "d", "n", None, None, None),
        ]

    staged(check)


def test_value_of_an_earlier_state_says_so() -> None:
    async def check(stage: Stage) -> None:
        stage.engine.answers["f"] = Answer(5, stale=True)
        raw = await stage.greeted()
        raw.send(
            [4, 1, "cA", "r", "f"], [5, 2, "cA", "d", "n", {}, "r", "f"], [4, 3, "cA", "r", "g"]
        )
        heard = [await raw.heard() for _ in range(3)]
        assert heard == [[6, 1, 5, True], [6, 2, 5, True], [6, 3, "g"]]

    staged(check)


def test_answers_leave_as_they_come() -> None:
    async def check(stage: Stage) -> None:
        raw = await stage.greeted()
        raw.send([2, 1, "cA", "d", "held"], [2, 2, "cA", "d", "held"], [9, 9])
        assert await raw.heard() == [10, 9]
        stage.engine.held[1]("second")
        assert await raw.heard() == [6, 2, "second"]
        stage.engine.held[0](Fault("R4002", "full"))
        assert (await raw.heard())[2]["code"] == "R4002"

    staged(check)


@pytest.mark.parametrize("event_first", [True, False])
@pytest.mark.parametrize(
    ("event", "value", "expected"),
    [
        ({"eid": "c"}, 5, [6, 1, 5]),
        ({"eid": "c"}, None, [6, 1, None]),
        ({"eid": "c"}, Fault("R2005", "no"), "R2005"),
        (Fault("R1002", "no"), 5, "R1002"),
        ({"eid": "c", "errors": [{"code": "R2001", "error": "TypeError: x"}]}, 5, "R2001"),
    ],
)
def test_keyed_event_query_answers_once(
    event_first: bool, event: Any, value: Any, expected: Any
) -> None:
    async def check(stage: Stage) -> None:
        raw = await stage.greeted()
        raw.send([5, 1, "cA", "d", "held", {"a": 1}, "r", "held", {}, "key"], [9, 0])
        assert await raw.heard() == [10, 0]
        assert [call[0] for call in stage.engine.calls] == ["event", "query"]
        told = list(zip(stage.engine.held, (event, value), strict=True))
        for done, answer in told if event_first else told[::-1]:
            done(answer)
        heard = await raw.heard()
        assert heard == expected or heard[2]["code"] == expected

    staged(check)


# a request, its refusal; the connection goes on
REFUSED: list[tuple[Any, int, str]] = [
    ([2, 7, "c", "d", "n", {"a": b""}], 7, "R1014"),
    ([3, 7, "c", "d", "n", {"a": [float("nan")]}], 7, "R1014"),
    ([4, 7, "c", "d", "n", {"a": {1: 2}}], 7, "R1014"),
    ([5, 7, "c", "d", "n", {}, "r", "f", {"a": b""}], 7, "R1014"),
    ([5, 7, "c", "d", "n", {"a": b""}, "r", "f"], 7, "R1014"),
    ([2, 7, "c", "d"], 7, "R1014"),
    ([2, 7, "c", "d", "n", "text"], 7, "R1014"),
    ([77, 7], 7, "R1014"),
    ([6, 7, "an answer"], 7, "R1014"),
    ([2, 7, "c", "d", "n", {}, None, 5], 7, "R1016"),
    ([3, 7, "c", "d", "n", {}, None, 5], 7, "R1016"),
    ([11, 7], 7, "R1017"),
]


@pytest.mark.parametrize(("request_", "ident", "code"), REFUSED)
def test_unusable_request_is_refused_by_its_id(request_: Any, ident: int, code: str) -> None:
    async def check(stage: Stage) -> None:
        raw = await stage.greeted()
        raw.send(request_, EVENT)
        kind, found, fault = await raw.heard()
        assert (kind, found, fault["code"]) == (7, ident, code)
        assert await raw.heard() == [6, 1, "n"]

    staged(check)


@pytest.mark.parametrize(
    "content", [b"\x91" * 200_000, b"\xc1", b"\xa3abc", b"\xdf\xff\xff\xff\xff", b"\x92\x02\xc0"]
)
def test_unreadable_frame_ends_its_connection(content: bytes) -> None:
    async def check(stage: Stage) -> None:
        raw = await stage.greeted()
        raw.send(content)
        await refused(raw, "R1014")

    staged(check)


@pytest.mark.parametrize("size", [limits.frame_bytes_max + 1, 0xFFFFFFFF])
def test_length_beyond_the_bound_ends_the_connection(size: int) -> None:
    async def check(stage: Stage) -> None:
        raw = await stage.greeted()
        raw.writer.write(size.to_bytes(4, "big"))
        await refused(raw, "R4018")

    staged(check)


def test_largest_frame_byte_by_byte_and_half_a_frame() -> None:
    async def check(stage: Stage) -> None:
        raw = await stage.greeted()
        text = "x" * (limits.frame_bytes_max - 20)
        raw.send([2, 1, "cA", "d", "n", {"a": text}])
        assert await raw.heard() == [6, 1, "n"]
        assert stage.engine.calls[0][4] == {"a": text}
        connection = the_connection(stage)
        for byte in frame_of(EVENT):
            connection.data_received(bytes([byte]))
        assert await raw.heard() == [6, 1, "n"]
        raw.writer.write(frame_of(EVENT)[:-1])
        raw.writer.write_eof()
        assert await raw.ended()
        assert len(stage.engine.calls) == 2

    staged(check)


def test_event_time_is_taken_from_those_who_may_set_it() -> None:
    async def check(stage: Stage) -> None:
        raw = await stage.greeted(token=TOKEN)
        raw.send([2, 1, "cA", "d", "n", {}, None, 5], [3, 2, "cA", "d", "n", {}, None, 6])
        assert [await raw.heard(), await raw.heard()] == [[6, 1, "n"], [6, 2, "n"]]
        assert [call[-1] for call in stage.engine.calls] == [5, 6]
        for time_ms in (-1, 8_640_000_000_000_001):
            raw.send([2, 3, "cA", "d", "n", {}, None, time_ms])
            assert (await raw.heard())[2]["code"] == "R1014"

    staged(check)


def test_everybody_may_set_the_time_when_the_owner_says_so() -> None:
    async def check(stage: Stage) -> None:
        raw = await stage.greeted()
        raw.send([2, 1, "cA", "d", "n", {}, None, 5])
        assert await raw.heard() == [6, 1, "n"]

    staged(check, trusts_time=True)


def test_credit_is_given_back_and_never_runs_out() -> None:
    async def check(stage: Stage) -> None:
        raw = await stage.greeted()
        credit = limits.channel_credit_max
        answers = 0
        for round_ in range(6):
            count = min(credit, 700)
            assert count > 0, round_
            credit -= count
            raw.send(*([2, 1, "cA", "d", "n"] for _ in range(count)))
            heard = 0
            while heard < count:
                frame = await raw.heard()
                if frame[0] == 8:
                    credit += frame[2]
                else:
                    heard += 1
            raw.send([9, 0])
            while (frame := await raw.heard())[0] != 10:
                credit += frame[2]
            answers += heard
            assert credit > limits.channel_credit_max * 3 // 4
        assert answers > 2 * limits.channel_credit_max

    staged(check)


def test_more_requests_than_credit_end_the_connection() -> None:
    async def check(stage: Stage) -> None:
        raw = await stage.greeted()
        count = limits.channel_credit_max
        raw.send(*([2, n, "cA", "d", "held"] for n in range(count)))
        await until(lambda: len(stage.engine.calls) == count)
        other = await stage.greeted()
        raw.send([2, count, "cA", "d", "held"])
        await refused(raw, "R4019")
        assert len(stage.engine.calls) == count
        # Answers that come now have nowhere to go.
        for done in stage.engine.held:
            done("late")
        other.send(EVENT)
        assert await other.heard() == [6, 1, "n"]

    staged(check)


def test_bytes_of_unanswered_requests_are_bounded() -> None:
    async def check(stage: Stage) -> None:
        raw = await stage.greeted()
        large = {"a": "x" * (1 << 20)}
        raw.send(*([2, n, "cA", "d", "held", large] for n in range(12)))
        connection = the_connection(stage)
        await until(lambda: connection._is_read_paused)
        # What was read together with the last one is at most a few hundred kilobytes.
        assert len(stage.engine.held) == limits.channel_held_bytes_max >> 20
        done = 0
        while done < 12:
            await until(lambda: len(stage.engine.held) > done)  # noqa: B023 - runs now
            stage.engine.held[done](done)
            assert await raw.heard() == [6, done, done]
            done += 1

    staged(check)


def test_client_that_takes_no_answers_stops_being_read_and_is_cut_off(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check(stage: Stage) -> None:
        stage.engine.answers["f"] = "x" * (1 << 20)
        raw = await stage.greeted()
        raw.reader._transport.pause_reading()  # type: ignore[attr-defined]
        raw.send(*([4, n, "cA", "r", "f"] for n in range(40)))
        connection = the_connection(stage)
        await until(lambda: connection._is_write_paused)
        assert connection._is_read_paused
        now = stage.channels.loop.time()
        stage.channels.sweep(now + limits.channel_frame_seconds_max - 1)
        assert stage.channels.open
        stage.channels.sweep(now + limits.channel_frame_seconds_max + 2)
        await until(lambda: not stage.channels.open)
        # With more unread than the bound, at once.
        monkeypatch.setattr(limits, "channel_unread_bytes_max", 8 << 20)
        raw = await stage.greeted()
        raw.reader._transport.pause_reading()  # type: ignore[attr-defined]
        raw.send(*([4, n, "cA", "r", "held"] for n in range(60)))
        await until(lambda: len(stage.engine.held) == 60)
        for done in stage.engine.held:
            done("x" * (1 << 20))
            await asyncio.sleep(0)
        await until(lambda: not stage.channels.open)

    with caplog.at_level(logging.WARNING, "pico.channels"):
        staged(check)
    assert len(caplog.records) == 2


# what the client says, seconds that pass, whether that ends it
TIMES: list[tuple[bytes, float, str | None]] = [
    (b"", limits.channel_hello_seconds_max - 2, None),
    (b"", limits.channel_hello_seconds_max + 2, "R4020"),
    (b"\x00\x00", limits.channel_hello_seconds_max + 2, "R4020"),
    (frame_of(HELLO), limits.channel_hello_seconds_max + 2, None),
    (frame_of(HELLO), limits.channel_idle_seconds_max + 2, "R4020"),
    (frame_of(HELLO) + b"\x00", limits.channel_frame_seconds_max - 2, None),
    (frame_of(HELLO) + b"\x00", limits.channel_frame_seconds_max + 2, "R4020"),
    (frame_of(HELLO) + frame_of(EVENT)[:-1], limits.channel_frame_seconds_max + 2, "R4020"),
    (frame_of(HELLO) + frame_of([2, 1, "c", "d", "held"]), 10_000, None),
]


@pytest.mark.parametrize(("said", "seconds", "code"), TIMES)
def test_slow_clients_are_told_and_closed(said: bytes, seconds: float, code: str | None) -> None:
    async def check(stage: Stage) -> None:
        raw = await stage.raw()
        await until(lambda: stage.channels.open)
        connection = the_connection(stage)
        if said:
            raw.writer.write(said)
            await until(lambda: connection._splitter.is_within or connection._has_greeted)
        if connection._has_greeted:
            assert (await raw.heard())[0] == 1
        stage.channels.sweep(stage.channels.now + seconds)
        if code is not None:
            await refused(raw, code)
        else:
            assert not connection._is_ending
            for done in stage.engine.held:
                done("in the end")
                assert await raw.heard() == [6, 1, "in the end"]

    staged(check)


def test_drip_of_bytes_does_not_extend_the_time() -> None:
    async def check(stage: Stage) -> None:
        raw = await stage.greeted()
        connection = the_connection(stage)
        start = stage.channels.now
        for second in range(limits.channel_frame_seconds_max + 2):
            connection.data_received(b"\x00" if second < 2 else b"x")
            stage.channels.sweep(start + second)
            if connection._is_ending:
                break
        await refused(raw, "R4020" if connection._splitter.fault is None else "R4018")
        assert connection._is_lingering

    staged(check)


def test_too_many_connections() -> None:
    async def check(stage: Stage) -> None:
        first, second = await stage.greeted(), await stage.greeted()
        third = await stage.raw()
        await refused(third, "R4008")
        first.writer.close()
        await until(lambda: len(stage.channels.open) == 1)
        fourth = await stage.greeted()
        for raw in (second, fourth):
            raw.send([9, 1])
            assert await raw.heard() == [10, 1]

    staged(check, connections_max=2)


def test_client_that_goes_away_harms_nobody() -> None:
    async def check(stage: Stage) -> None:
        raw = await stage.greeted()
        raw.send([2, 1, "cA", "d", "held"])
        await until(lambda: stage.engine.held)
        connection = the_connection(stage)
        raw.writer.transport.abort()
        await until(lambda: connection._is_ending)
        stage.engine.held[0]("late")
        await until(lambda: not stage.channels.open)
        other = await stage.greeted()
        other.send(EVENT)
        assert await other.heard() == [6, 1, "n"]

    staged(check)


def test_client_that_has_said_all_still_gets_its_answers() -> None:
    async def check(stage: Stage) -> None:
        raw = await stage.greeted()
        raw.send([2, 1, "cA", "d", "held"])
        raw.writer.write_eof()
        await until(lambda: stage.engine.held)
        await asyncio.sleep(0)
        stage.engine.held[0]("late")
        assert await raw.heard() == [6, 1, "late"]
        assert await raw.ended()

    staged(check)


def test_bug_of_the_engine_is_told_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async def check(stage: Stage) -> None:
        raw = await stage.greeted()
        raw.send([2, 1, "cA", "d", "bug"])
        fault = await refused(raw, "R9001")
        assert "ZeroDivision" not in str(fault)

    staged(check)
    assert "ZeroDivisionError" in caplog.text


def test_stop_answers_what_it_took_and_says_why() -> None:
    async def check(stage: Stage) -> None:
        idle, busy = await stage.greeted(), await stage.greeted()
        busy.send([2, 1, "cA", "d", "held"])
        await until(lambda: stage.engine.held)
        stopping = asyncio.create_task(stage.channels.stop(5))
        await refused(idle, "R3007")
        busy.send([2, 2, "cA", "d", "n"])
        stage.engine.held[0]("done")
        assert await busy.heard() == [6, 1, "done"]
        await refused(busy, "R3007")
        busy.writer.close()
        idle.writer.close()
        await stopping
        assert len(stage.engine.calls) == 1

    staged(check)


def test_stop_does_not_wait_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    async def check(stage: Stage) -> None:
        raw = await stage.greeted()
        raw.send([2, 1, "cA", "d", "held"])
        await until(lambda: stage.engine.held)
        await stage.channels.stop(0.01)
        assert await raw.ended()

    staged(check)
    assert "1 connections were cut off" in caplog.text


def test_flood_of_garbage_from_many_leaves_others_alone() -> None:
    async def check(stage: Stage) -> None:
        good = await stage.greeted()
        for n in range(60):
            raw = await stage.raw()
            raw.writer.write(bytes([n]) * 5000)
        for n in range(20):
            good.send([2, n, "cA", "d", "n"])
            assert await good.heard() == [6, n, "n"]

    staged(check)


def test_unix_socket_of_a_killed_engine_is_replaced_and_a_live_one_is_not(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    left = socket.socket(socket.AF_UNIX)
    left.bind(path)
    left.close()
    with bind_unix(path) as bound:
        assert Path(path).stat().st_mode & 0o777 == 0o600
        bound.listen()
        with pytest.raises(Fault) as caught:
            bind_unix(path)
        assert caught.value.code == "R5006"
    for bad in (str(tmp_path / ("x" * 200)), str(tmp_path / "no" / "folder"), str(tmp_path)):
        with pytest.raises(Fault) as caught:
            bind_unix(bad)
        assert caught.value.code == "R5006"


def test_codes_of_msgpack_that_json_has_are_all_understood() -> None:
    """Every msgpack form of a number and a text, also those that no encoder would choose."""
    forms = [b"\xcd\x00\x05", b"\xd3" + b"\x00" * 7 + b"\x05", b"\xca\x40\xa0\x00\x00", b"\x05"]

    async def check(stage: Stage) -> None:
        raw = await stage.greeted()
        for form in forms:
            start = msgpack.packb([2, 1, "c", "d", "n"]).replace(b"\x95", b"\x96", 1)
            raw.send(start + b"\x81\xda\x00\x01a" + form)
            assert await raw.heard() == [6, 1, "n"]
        assert [call[4] for call in stage.engine.calls] == [{"a": 5}] * len(forms)

    staged(check)
