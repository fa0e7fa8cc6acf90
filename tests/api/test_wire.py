"""The wire: order of answers, bounds, slow and broken clients, stopping."""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest

from runtime import limits
from runtime.errors import Fault
from runtime.http_wire import Connection
from runtime.server import HttpServer, bind, shown_url
from tests.api.fake import TOKEN, Client, FakeEngine, Served, run

GET = b"GET /c/cA/query/r/%s HTTP/1.1\r\nHost: h\r\n\r\n"


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0)


def test_answers_leave_in_the_order_of_asking() -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        client.send(GET % b"held1" + GET % b"two" + GET % b"held3" + GET % b"four")
        await until(lambda: len(api.engine.calls) == 4)
        api.engine.release("held3")
        api.engine.release("held1")
        names = [(await client.reply()).json()["asked"] for _ in range(4)]
        assert names == ["held1", "two", "held3", "four"]

    run(check)


def test_request_may_come_byte_by_byte() -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        whole = (
            b"POST /c/cA/event-wait/d/n?q=1 HTTP/1.1\r\nHost: h\r\nX-Long: abc\r\n"
            b"Content-Type: application/json\r\nContent-Length: 7\r\n\r\n" + b'{"a":1}'
        )
        [served] = [await one_connection(api)]
        for at in range(len(whole)):
            served.data_received(whole[at : at + 1])
        assert (await client.reply()).status == 200
        attrs = api.engine.calls[0][4]
        assert (attrs["q"], attrs["a"], attrs["_headers"]["x-long"]) == ("1", 1, "abc")

    run(check)


async def one_connection(api: Served) -> Connection:
    await until(lambda: api.connections.open)
    [connection] = api.connections.open
    return connection


def test_chunked_body() -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        client.send(
            b"POST /c/cA/event-wait/d/n HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
            b'Transfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n'
        )
        assert (await client.reply()).status == 200
        assert api.engine.calls[0][4]["a"] == 1

    run(check)


def test_expect_continue() -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        client.send(
            b"POST /c/cA/event-wait/d/n HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
            b"Expect: 100-continue\r\nContent-Length: 7\r\n\r\n"
        )
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b'{"a":1}')
        assert (await client.reply()).status == 200

    run(check)


# request line version, header, what the Connection header of the answer says, closed afterwards
KEEPING = [
    (b"1.1", b"", None, False),
    (b"1.1", b"Connection: close\r\n", "close", True),
    (b"1.0", b"", "close", True),
    (b"1.0", b"Connection: keep-alive\r\n", "keep-alive", False),
]


@pytest.mark.parametrize(("version", "header", "says", "closed"), KEEPING)
def test_keep_alive(version: bytes, header: bytes, says: str | None, closed: bool) -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        request = b"GET /c/cA/query/r/f HTTP/%s\r\nHost: h\r\n%s\r\n" % (version, header)
        client.send(request)
        assert (await client.reply()).header("connection") == says
        if closed:
            assert await client.is_closed()
        else:
            client.send(request)
            assert (await client.reply()).status == 200

    run(check)


def test_upgrade_is_answered_as_plain_http() -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        client.ask("/c/cA/query/r/f", headers="Connection: Upgrade\r\nUpgrade: h2c\r\n")
        assert (await client.reply()).json() == {"asked": "f"}
        assert await client.is_closed()

    run(check)


def test_client_that_stops_sending_still_gets_its_answers() -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        client.send(GET % b"held1" + GET % b"two")
        client.writer.write_eof()
        connection = await one_connection(api)
        await until(lambda: connection._is_ending)
        api.engine.release("held1")
        assert (await client.reply()).json() == {"asked": "held1"}
        assert (await client.reply()).json() == {"asked": "two"}
        assert await client.is_closed()

    run(check)


def test_answer_for_a_lost_connection_is_dropped() -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        client.send(GET % b"held1")
        await until(lambda: api.engine.held)
        reset = struct.pack("ii", 1, 0)
        client.writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, reset
        )
        client.writer.transport.abort()
        await until(lambda: not api.connections.open)
        api.engine.release("held1")

    run(check)


def post(length: int) -> bytes:
    return (
        b"POST /c/cA/event-wait/d/n HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % length
    )


CHUNKED = (
    b"POST /c/cA/event-wait/d/n HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"%x\r\n" % (limits.http_body_bytes_max + 1)
)
START = b"GET /c/cA/query/r/f HTTP/1.1\r\nHost: h\r\n"

UNREADABLE = [
    (b"hello\r\n\r\n", 400, "R1011"),
    (b"GET / HTTP/1.1\r\nno colon here\r\n\r\n", 400, "R1011"),
    (START + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "R1011"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "R1011"),
    (b"GET /" + b"x" * limits.http_url_bytes_max + b" HTTP/1.1\r\n\r\n", 414, "R4007"),
    (START + b"X: " + b"y" * limits.http_head_bytes_max + b"\r\n\r\n", 431, "R4006"),
    (START + b"X: y\r\n" * 20_000 + b"\r\n", 431, "R4006"),
    (START + b"X: " + b"y" * 8 * limits.http_head_bytes_max, 431, "R4006"),
    (post(limits.http_body_bytes_max + 1), 413, "R4003"),
    (CHUNKED + b"x" * (limits.http_body_bytes_max + 1), 413, "R4003"),
]


@pytest.mark.parametrize("before", [0, 2])
@pytest.mark.parametrize(("data", "status", "code"), UNREADABLE)
def test_unreadable_request_ends_the_connection(
    data: bytes, status: int, code: str, before: int
) -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        client.send(GET % b"f" * before)
        # In two pieces, so that what has no end is met in the middle.
        client.send(data[: len(data) // 2])
        await client.writer.drain()
        client.send(data[len(data) // 2 :])
        for _ in range(before):
            assert (await client.reply()).status == 200
        reply = await client.reply()
        assert (reply.status, reply.json()["code"]) == (status, code)
        assert reply.header("connection") == "close"
        assert await client.is_closed()

    run(check)


def test_refused_client_may_finish_sending_and_read_why() -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        client.send(post(8 << 20))
        for _ in range(8):
            client.send(b"x" * (1 << 20))
        assert (await client.reply()).status == 413
        assert await client.is_closed()
        client.writer.close()
        await until(lambda: not api.connections.open)

    run(check)


def test_refused_client_that_goes_on_is_cut_off() -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        client.send(post(8 << 20))
        assert (await client.reply()).status == 413
        connection = await one_connection(api)
        now = asyncio.get_running_loop().time()
        assert now < connection.deadline <= now + 2
        api.connections.sweep(connection.deadline)
        await until(lambda: not api.connections.open)

    run(check)


def test_too_many_connections_are_refused() -> None:
    async def check(api: Served) -> None:
        first, second = await api.client(), await api.client()
        for client in (first, second):
            client.send(GET % b"f")
            assert (await client.reply()).status == 200
        third = await api.client()
        reply = await third.reply()
        assert (reply.status, reply.json()["code"]) == (503, "R4008")
        assert reply.header("retry-after") == "1"
        assert await third.is_closed()
        first.writer.close()
        await until(lambda: len(api.connections.open) == 1)
        fourth = await api.client()
        fourth.send(GET % b"f")
        assert (await fourth.reply()).status == 200

    run(check, connections_max=2)


def test_pipelining_client_is_read_no_further_until_answers_left() -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        client.send(GET % b"held" + GET % b"f" * (limits.http_pipelined_max - 1))
        connection = await one_connection(api)
        await until(lambda: connection._is_read_paused)
        assert len(api.engine.calls) == limits.http_pipelined_max
        client.send(GET % b"last")
        api.engine.release("held")
        for _ in range(limits.http_pipelined_max):
            await client.reply()
        assert (await client.reply()).json() == {"asked": "last"}
        assert not connection._is_read_paused

    run(check)


def test_client_that_does_not_read_is_read_no_further_and_cut_off() -> None:
    async def check(api: Served) -> None:
        api.engine.answers["big"] = "x" * (1 << 20)
        client = await api.client()
        client.writer.transport.pause_reading()
        client.send(GET % b"big" * 64)
        connection = await one_connection(api)
        await until(lambda: connection.is_write_paused)
        assert connection._is_read_paused
        loop = asyncio.get_running_loop()
        wait = connection.deadline - loop.time()
        assert 0 < wait <= limits.http_request_seconds_max
        api.connections.sweep(connection.deadline)
        await until(lambda: not api.connections.open)

    run(check)


def test_client_that_reads_late_gets_everything() -> None:
    async def check(api: Served) -> None:
        api.engine.answers["big"] = "x" * (1 << 20)
        client = await api.client()
        client.writer.transport.pause_reading()
        client.send(GET % b"big" * 20)
        connection = await one_connection(api)
        await until(lambda: connection.is_write_paused)
        client.writer.transport.resume_reading()
        for _ in range(20):
            assert len((await client.reply()).body) == (1 << 20) + 2
        client.send(GET % b"f")
        assert (await client.reply()).status == 200
        assert not connection._is_read_paused

    run(check)


# what the client has sent, the bound that then holds, and the status it gets to see
SLOW: list[tuple[bytes, int, int | None]] = [
    (b"", limits.http_idle_seconds_max, None),
    (b"GET /c/cA/qu", limits.http_request_seconds_max, 408),
    (post(10) + b"{", limits.http_request_seconds_max, 408),
    (GET % b"f", limits.http_idle_seconds_max, None),
    (GET % b"f" + b"GET", limits.http_request_seconds_max, 408),
]


@pytest.mark.parametrize(("data", "seconds", "status"), SLOW)
def test_slow_client_is_ended(data: bytes, seconds: int, status: int | None) -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        connection = await one_connection(api)
        if data:
            connection.data_received(data)
        if data.startswith(GET % b"f"):
            await client.reply()
        now = asyncio.get_running_loop().time()
        assert now + seconds - 5 < connection.deadline <= now + seconds
        api.connections.sweep(connection.deadline - 0.001)
        assert api.connections.open
        api.connections.sweep(connection.deadline)
        if status:
            reply = await client.reply()
            assert (reply.status, reply.json()["code"]) == (status, "R4009")
        assert await client.is_closed()

    run(check)


def test_request_time_is_not_extended_by_more_bytes() -> None:
    async def check(api: Served) -> None:
        await api.client()
        connection = await one_connection(api)
        connection.data_received(b"GET /c/cA")
        deadline = connection.deadline
        connection.data_received(b"/query")
        assert connection.deadline == deadline

    run(check)


def test_waiting_for_the_engine_is_not_the_clients_fault() -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        client.send(GET % b"held")
        connection = await one_connection(api)
        await until(lambda: api.engine.held)
        api.connections.sweep(1e12)
        assert connection in api.connections.open
        api.engine.release("held")
        assert (await client.reply()).status == 200

    run(check)


def test_stop_lets_open_requests_finish() -> None:
    async def check(api: Served) -> None:
        idle, busy, half = await api.client(), await api.client(), await api.client()
        idle.send(GET % b"f")
        await idle.reply()
        busy.send(GET % b"held")
        half.send(b"GET /c/cA/query/r/late HTTP/1.1\r\nHost: h\r\n")
        await until(lambda: api.engine.held and len(api.connections.open) == 3)
        await until(lambda: sum(one._is_in_message for one in api.connections.open) == 1)
        stopping = asyncio.create_task(api.server.stop(5))
        assert await idle.is_closed()
        assert not stopping.done()
        api.engine.release("held")
        assert (await busy.reply()).status == 200
        assert await busy.is_closed()
        half.send(b"\r\n")
        reply = await half.reply()
        assert (reply.status, reply.header("connection")) == (200, "close")
        await stopping
        assert not api.connections.open

    run(check)


def test_stop_does_not_wait_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        client.send(GET % b"held")
        await until(lambda: api.engine.held)
        await api.server.stop(0)
        await until(lambda: not api.connections.open)
        assert await closed_hard(client)

    run(check)
    assert "1 connections were cut off" in caplog.text


def test_stop_can_be_hurried() -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        client.send(GET % b"held")
        await until(lambda: api.engine.held)
        stopping = asyncio.create_task(api.server.stop(3600))
        await asyncio.sleep(0)
        api.server.hurry()
        await stopping
        assert await closed_hard(client)

    run(check)


async def closed_hard(client: Client) -> bool:
    try:
        return await client.is_closed()
    except ConnectionError:
        return True


def test_second_answer_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        client.send(GET % b"held")
        await until(lambda: api.engine.held)
        again = api.engine.held["held"]
        api.engine.release("held")
        again()
        assert (await client.reply()).status == 200
        client.send(GET % b"f")
        assert (await client.reply()).json() == {"asked": "f"}

    run(check)
    # The first answer had left already, so the second found its place full.
    assert "answered twice" in caplog.text


# ----------------------------------------------------------------------------------- listening


def test_bind_tells_that_a_port_is_in_use() -> None:
    first = bind("127.0.0.1", 0)
    first.listen()
    port = first.getsockname()[1]
    with pytest.raises(Fault, match=f"port {port} of 127.0.0.1 is in use") as caught:
        bind("127.0.0.1", port)
    first.close()
    assert caught.value.code == "R5006"
    assert "--port" in caught.value.hint


@pytest.mark.parametrize("host", ["203.0.113.7", "no such host.invalid"])
def test_bind_tells_that_an_address_is_not_ours(host: str) -> None:
    with pytest.raises(Fault, match="cannot be used") as caught:
        bind(host, 0)
    assert caught.value.code == "R5006"


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "localhost"), ("::1", "[::1]")]
)
def test_shown_url(host: str, shown: str) -> None:
    class Bound:
        def getsockname(self) -> tuple[str, int]:
            return (host, 3000)

    bound: Any = Bound()
    assert shown_url(bound, host) == f"http://{shown}:3000"


def test_http_server_starts_on_a_bound_socket() -> None:
    async def go() -> None:
        bound = bind("localhost", 0)
        server = await HttpServer.start(FakeEngine(), bound, "localhost", token=TOKEN)
        port = bound.getsockname()[1]
        assert server.url == f"http://localhost:{port}"
        family = bound.family
        await server.stop(1)
        with socket.socket(family) as probe:
            assert probe.connect_ex(("localhost", port)) != 0

    asyncio.run(go())
