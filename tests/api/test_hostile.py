"""Clients that mean no good, or are badly made: what they send, what they get, what runs.

The requests are raw bytes, or made by h11; the answers are read by h11, which is strict.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import Any

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import limits
from runtime.http_wire import Connection
from tests.api.fake import TOKEN, Client, Served, run
from tests.channels.stage import until

ASK = b"/c/cA/event-wait/d/n"
EVIL = b"GET /c/cEVIL/event/d/n HTTP/1.1\r\nHost: h\r\n\r\n"
JSON_BODY = b"Content-Type: application/json\r\n"


def post(fields: bytes, body: bytes = b"", version: bytes = b"1.1", host: bytes = b"h") -> bytes:
    line = b"POST %s HTTP/%s\r\nHost: %s\r\n" % (ASK, version, host)
    return line + JSON_BODY + fields + b"\r\n" + body


def get(fields: bytes, version: bytes = b"1.1", path: bytes = ASK) -> bytes:
    return b"GET %s HTTP/%s\r\n%s\r\n" % (path, version, fields)


def read_answers(data: bytes, methods: list[str]) -> list[tuple[int, bytes]]:
    """The answers in what a server sent on one connection, read strictly and to the end."""
    found = []
    for method in methods:
        parser = h11.Connection(h11.CLIENT)
        parser.send(h11.Request(method=method, target="/", headers=[("Host", "h")]))
        parser.send(h11.EndOfMessage())
        parser.receive_data(data)
        status, body = 0, b""
        while not isinstance(event := parser.next_event(), h11.EndOfMessage):
            assert event is not h11.NEED_DATA, data
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
        found.append((status, body))
        data = parser.trailing_data[0]
    assert data == b""
    return found


async def said(client: Client, data: bytes) -> bytes:
    """All that the server says to some bytes, until it ends the connection or they are a whole."""
    client.send(data)
    client.writer.write_eof()
    return await client.reader.read()


HUGE = b"f" * 16
CHUNKED = b"Transfer-Encoding: chunked\r\n"
LAST = b"0\r\n\r\n"
IGNORED = post(b"Content-Length: %d\r\n" % len(EVIL), EVIL).replace(JSON_BODY, b"")
# What two readers might see as two different things; none of it may be acted upon.
SMUGGLED: list[tuple[str, bytes]] = [
    ("length and chunks", post(b"Content-Length: 5\r\n" + CHUNKED, LAST + EVIL)),
    ("chunks and length", post(CHUNKED + b"Content-Length: 5\r\n", LAST + EVIL)),
    ("length twice", post(b"Content-Length: 2\r\nContent-Length: 2\r\n", b"{}" + EVIL)),
    ("two lengths", post(b"Content-Length: 2\r\nContent-Length: 47\r\n", b"{}" + EVIL)),
    ("list of lengths", post(b"Content-Length: 2, 2\r\n", b"{}" + EVIL)),
    ("signed length", post(b"Content-Length: +2\r\n", b"{}" + EVIL)),
    ("negative length", post(b"Content-Length: -2\r\n", b"{}" + EVIL)),
    ("hexadecimal length", post(b"Content-Length: 0x2\r\n", b"{}" + EVIL)),
    ("length in pieces", post(b"Content-Length: 0 2\r\n", b"{}" + EVIL)),
    ("length beyond any", post(b"Content-Length: 18446744073709551618\r\n", b"{}" + EVIL)),
    ("length of other digits", post("Content-Length: ２\r\n".encode(), b"{}" + EVIL)),
    ("empty length", post(b"Content-Length:\r\n", b"{}" + EVIL)),
    ("length, blank, colon", post(b"Content-Length : 2\r\n", b"{}" + EVIL)),
    ("folded length", post(b"Content-Length:\r\n 2\r\n", b"{}" + EVIL)),
    ("unknown coding", post(b"Transfer-Encoding: xchunked\r\n", LAST + EVIL)),
    ("coding after chunks", post(b"Transfer-Encoding: chunked, identity\r\n", LAST + EVIL)),
    ("chunks twice", post(CHUNKED + b"Transfer-Encoding: x\r\n", LAST + EVIL)),
    ("coding with a tab", post(b"Transfer-Encoding: \x0bchunked\r\n", LAST + EVIL)),
    ("coding with a NUL", post(b"Transfer-Encoding: chunked\0\r\n", LAST + EVIL)),
    ("coding, blank, colon", post(b"Transfer-Encoding : chunked\r\n", LAST + EVIL)),
    ("quoted coding", post(b'Transfer-Encoding: "chunked"\r\n', LAST + EVIL)),
    ("folded coding", post(b"Transfer-Encoding:\r\n chunked\r\n", LAST + EVIL)),
    ("chunks in old HTTP", post(CHUNKED, LAST + EVIL, b"1.0")),
    ("bare line feeds", post(b"Content-Length: 2\r\n", b"{}" + EVIL).replace(b"\r\n", b"\n")),
    ("a bare line feed", post(b"X: a\nContent-Length: 2\r\n", b"{}" + EVIL)),
    ("a bare return", post(b"X: a\rContent-Length: 2\r\n", b"{}" + EVIL)),
    ("folded field", get(b"Host: h\r\nX: a\r\n b\r\n") + EVIL),
    ("field before any", b"GET / HTTP/1.1\r\n X: a\r\nHost: h\r\n\r\n" + EVIL),
    ("NUL in a field", get(b"Host: h\r\nX: a\0b\r\n") + EVIL),
    ("NUL in a name", get(b"Host: h\r\nX\0: a\r\n") + EVIL),
    ("NUL in the path", get(b"Host: h\r\n", path=b"/c/\0") + EVIL),
    ("blank in a name", get(b"Host: h\r\nX Y: a\r\n") + EVIL),
    ("no name", get(b"Host: h\r\n: a\r\n") + EVIL),
    ("blank in the path", get(b"Host: h\r\n", path=b"/c/a b") + EVIL),
    ("no host", get(b"X: a\r\n") + EVIL),
    ("two hosts", get(b"Host: h\r\nHost: i\r\n") + EVIL),
    ("two hosts in old HTTP", get(b"Host: h\r\nHost: i\r\n", b"1.0") + EVIL),
    ("no version", b"GET /\r\n\r\n" + EVIL),
    ("strange version", get(b"Host: h\r\n", b"1.9") + EVIL),
    ("next version", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + EVIL),
    ("small method", get(b"Host: h\r\n").lower() + EVIL),
    ("no method", b" / HTTP/1.1\r\nHost: h\r\n\r\n" + EVIL),
    ("huge chunk", post(CHUNKED, HUGE + b"f\r\n{}\r\n0\r\n\r\n" + EVIL)),
    ("chunk of no size", post(CHUNKED, b"\r\n{}\r\n0\r\n\r\n" + EVIL)),
    ("chunk of no number", post(CHUNKED, b"g\r\n{}\r\n0\r\n\r\n" + EVIL)),
    ("signed chunk", post(CHUNKED, b"+2\r\n{}\r\n0\r\n\r\n" + EVIL)),
    ("0x chunk", post(CHUNKED, b"0x2\r\n{}\r\n0\r\n\r\n" + EVIL)),
    ("chunk too long", post(CHUNKED, b"1\r\n{}\r\n0\r\n\r\n" + EVIL)),
    ("chunk with line feeds", post(CHUNKED, b"2\n{}\n0\n\n" + EVIL)),
    ("NUL in an extension", post(CHUNKED, b"2;\0\r\n{}\r\n0\r\n\r\n" + EVIL)),
]  # fmt: skip


@pytest.mark.parametrize("data", [row[1] for row in SMUGGLED], ids=[row[0] for row in SMUGGLED])
def test_ambiguous_request_is_refused_and_nothing_runs(data: bytes) -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        heard = await said(client, data)
        [(status, body)] = read_answers(heard, ["GET"])
        assert status in (400, 413, 505)
        assert json.loads(body)["code"] in ("R1011", "R4003")
        assert b"onnection: close" in heard
        assert api.engine.calls == []
        await until(lambda: not api.connections.open)

    run(check)


# What is strange but means one thing: it is done once, and what follows is a request of its own.
PLAIN: list[tuple[str, bytes, dict[str, Any]]] = [
    ("request in a body", IGNORED, {}),
    ("blanks around a length", post(b"Content-Length:   2  \r\n", b"{}"), {}),
    ("chunks", post(b"Transfer-Encoding: Chunked\r\n", b"7\r\n{\"a\":1}\r\n0\r\n\r\n"), {"a": 1}),
    ("chunk extensions", post(CHUNKED, b"2;a=b;c=\"d\"\r\n{}\r\n0;x\r\n\r\n"), {}),
    ("trailers", post(CHUNKED, b"2\r\n{}\r\n0\r\nTrailer: 9\r\nX: y\r\n\r\n"), {}),
    ("leading zeros", post(CHUNKED, b"0000002\r\n{}\r\n000\r\n\r\n"), {}),
    ("empty lines before", b"\r\n\r\n" + post(b"Content-Length: 2\r\n", b"{}"), {}),
    ("empty field", post(b"X:\r\nContent-Length: 2\r\n", b"{}"), {}),
    ("other characters", post(b"X: \xff\xfe\r\nContent-Length: 2\r\n", b"{}"), {}),
]  # fmt: skip


@pytest.mark.parametrize(("data", "attrs"), [row[1:] for row in PLAIN], ids=[r[0] for r in PLAIN])
def test_strange_request_is_done_once(data: bytes, attrs: dict[str, Any]) -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        heard = await said(client, data + get(b"Host: h\r\n", path=b"/c/cA/query/r/next"))
        answers = read_answers(heard, ["POST", "GET"])
        assert [status for status, _ in answers] == [200, 200]
        [event, query] = api.engine.calls
        assert (event[:4], query[:4]) == (("event", "cA", "d", "n"), ("query", "cA", "r", "next"))
        # What stands behind a body is not a header of the request.
        headers = event[4].pop("_headers")
        assert "trailer" not in headers
        assert headers.get("x") != "y"
        assert event[4] == attrs

    run(check)


def test_host_may_be_missing_in_old_http() -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        assert read_answers(await said(client, get(b"", b"1.0")), ["GET"])[0][0] == 200

    run(check)


# More behind a body than is read: fields, or extensions without an end.
ENDLESS = [
    b"0\r\n" + b"X: y\r\n" * 40_000,
    b"0\r\nX: " + b"y" * 8 * limits.http_head_bytes_max,
    b"1;" + b"x" * 8 * limits.http_head_bytes_max,
]


@pytest.mark.parametrize("body", ENDLESS, ids=["fields", "a field", "an extension"])
def test_endless_rest_of_a_body_is_bounded(body: bytes) -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        client.send(post(b"Transfer-Encoding: chunked\r\n"))
        for at in range(0, len(body), 4096):
            client.send(body[at : at + 4096])
        [(status, answer)] = read_answers(await client.reader.read(), ["POST"])
        assert (status, json.loads(answer)["code"]) == (431, "R4006")
        assert api.engine.calls == []

    run(check)


UPGRADES = [
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
]


@pytest.mark.parametrize("fields", UPGRADES)
def test_nothing_behind_an_upgrade_is_read(fields: bytes) -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        heard = await said(client, get(b"Host: h\r\n" + fields) + EVIL)
        [(status, _)] = read_answers(heard, ["GET"])
        assert status == 200
        assert [call[1] for call in api.engine.calls] == ["cA"]

    run(check)


def test_connect_leads_nowhere() -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        heard = await said(client, b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n" + EVIL)
        assert heard.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 "))
        assert api.engine.calls == []

    run(check)


def test_flood_of_pipelined_requests_is_answered_in_order_and_bounded() -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        count = 10_000
        whole = b"".join(get(b"Host: h\r\n", path=b"/c/cA/query/r/f%d" % n) for n in range(count))
        connection = await one_connection(api)
        most = 0

        async def ask() -> None:
            client.send(whole)
            await client.writer.drain()

        asking = asyncio.create_task(ask())
        for number in range(count):
            reply = await client.reply()
            assert reply.json() == {"asked": f"f{number}"}
            most = max(most, len(connection._waiting))
        await asking
        # One read may hold more than that, but no second one is made before they are answered.
        assert most <= limits.http_pipelined_max + (1 << 18) // 40

    run(check)


async def one_connection(api: Served) -> Connection:
    await until(lambda: api.connections.open)
    [connection] = api.connections.open
    return connection


def test_flood_of_connections_leaves_those_there_alone() -> None:
    async def check(api: Served) -> None:
        first = await api.client()
        first.ask("/c/cA/query/r/f")
        assert (await first.reply()).status == 200
        others = [await api.client() for _ in range(60)]
        refused = 0
        for other in others:
            other.ask("/c/cA/query/r/f")
            refused += (await other.reply()).status == 503
        assert refused == 41
        first.ask("/c/cA/query/r/f")
        assert (await first.reply()).status == 200

    run(check, connections_max=20)


CUT_SHORT = [
    b"GET /c/cA/ev",
    post(b"Content-Length: 7\r\n", b'{"a"'),
    post(b"Transfer-Encoding: chunked\r\n", b'7\r\n{"a"'),
    post(b"Transfer-Encoding: chunked\r\n", b'7\r\n{"a":1}\r\n0\r\n'),
]


@pytest.mark.parametrize("is_reset", [False, True])
@pytest.mark.parametrize("data", CUT_SHORT)
def test_half_a_request_is_not_run(data: bytes, is_reset: bool) -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        connection = await one_connection(api)
        client.send(data)
        await until(lambda: connection._is_in_message)
        if is_reset:
            client.writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            client.writer.transport.abort()
        else:
            client.writer.write_eof()
            assert await client.is_closed()
        await until(lambda: not api.connections.open)
        assert api.engine.calls == []

    run(check)


# ------------------------------------------------------------------- requests that h11 made

NAMES = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12).map(
    lambda name: f"x-{name}"
)
VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)
BODIES = st.lists(st.binary(min_size=1, max_size=50), max_size=5)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.dictionaries(NAMES, VALUES, max_size=4), min_size=1, max_size=4),
    BODIES,
    st.booleans(),
    st.data(),
)
def test_any_pieces_of_any_requests_mean_the_same(
    heads: list[dict[str, str]], bodies: list[bytes], is_chunked: bool, data: Any
) -> None:
    """What another library writes is read as it was meant, however it is cut."""
    stream = b""
    for fields in heads:
        maker = h11.Connection(h11.CLIENT)
        size = sum(map(len, bodies))
        length = ("Transfer-Encoding", "chunked") if is_chunked else ("Content-Length", str(size))
        headers = [("Host", "h"), length, *fields.items()]
        target = "/c/cA/event-wait/d/n"
        stream += maker.send(h11.Request(method="POST", target=target, headers=headers)) or b""
        for body in bodies:
            stream += maker.send(h11.Data(data=body)) or b""
        stream += maker.send(h11.EndOfMessage()) or b""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))

    async def check(api: Served) -> None:
        client = await api.client()
        connection = await one_connection(api)
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            connection.data_received(stream[start:end])
        answers = [await client.reply() for _ in heads]
        assert [answer.status for answer in answers] == [200] * len(heads)
        seen = [call[4]["_headers"] for call in api.engine.calls]
        for found, fields in zip(seen, heads, strict=True):
            assert {name: found[name] for name in fields} == fields
        assert list(api.bodies) == [b"".join(bodies)] * len(heads)

    run(watching(check))


def watching(check: Any) -> Any:
    """A test that also sees the bodies of the requests, whatever their kind."""

    async def watched(api: Served) -> None:
        bodies: list[bytes] = []
        handle = api.connections.api.handle

        def seen(request: Any, *rest: Any) -> None:
            bodies.append(request.body)
            handle(request, *rest)

        api.connections.api.handle = seen  # type: ignore[method-assign]
        api.bodies = bodies  # type: ignore[attr-defined]
        await check(api)

    return watched


# First lines of a second request whose head is that of the first, byte for byte.
LINES = [
    b"POST /c/cA/query/r/f HTTP/1.1", b"PUT /c/cA/query/r/f?a=1 HTTP/1.1",
    b"post /c/cA/query/r/f HTTP/1.1", b"POST  /c/cA/query/r/f HTTP/1.1",
    b"POST /c/cA/query/r/f f HTTP/1.1", b"POST /c/cA/query/r/f HTTP/1.0",
    b"POST /c/cA/query/r/f HTTP/1.1 ", b"POST /c/cA/query/r/f", b" POST / HTTP/1.1",
    b"POST /c/cA/query/r/\x80 HTTP/1.1", b"POST /c/cA/query/r/\0 HTTP/1.1", b"",
    b"POST /c/cA/query/r/f\nX: y HTTP/1.1", b"CONNECT h:1 HTTP/1.1",
    b"SEARCH /c/cA/query/r/f HTTP/1.1",
    b"POST http://h/c/cA/query/r/f HTTP/1.1", b"POST /c/cA/query/r/f#x HTTP/1.1",
    b"OPTIONS /c/cA/query/r/f HTTP/1.1", b"HEAD /c/cA/query/r/f HTTP/1.1",
    b"POST /" + b"x" * limits.http_url_bytes_max + b" HTTP/1.1",
]  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_request_with_the_head_of_the_one_before_means_what_it_means_alone(line: bytes) -> None:
    head = b"\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n"
    first = b"POST /c/cA/query/r/first HTTP/1.1" + head + b'{"b":0}'
    second = line + head + b'{"b":1}'
    kept: list[Any] = []

    async def check(api: Served) -> None:
        for begin in (b"", first):
            client = await api.client()
            if begin:
                client.send(begin)
                assert (await client.reply()).json() == {"asked": "first"}
            api.engine.calls.clear()
            heard = await said(client, second)
            status = heard.partition(b"\r\n")[0]
            kept.append((status, heard.partition(b"\r\n\r\n")[2], list(api.engine.calls)))

    run(check)
    assert kept[0] == kept[1]


def test_body_of_another_length_than_the_head_says_is_left_to_the_parser() -> None:
    head = b" HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n"

    async def check(api: Served) -> None:
        client = await api.client()
        connection = await one_connection(api)
        for number in range(4):
            connection.data_received(
                b"POST /c/cA/query/r/f%d" % number + head + b'{"b":%d}' % number
            )
        # Too little, and the rest later; too much, which is the next request, and its rest.
        connection.data_received(b"POST /c/cA/query/r/f4" + head + b'{"b')
        connection.data_received(b'":4}')
        whole = b"POST /c/cA/query/r/f5" + head + b'{"b":5}'
        connection.data_received(whole + whole.replace(b"5", b"6")[:30])
        connection.data_received(whole.replace(b"5", b"6")[30:])
        connection.data_received(whole.replace(b"5", b"7"))
        for number in range(8):
            assert (await client.reply()).json() == {"asked": f"f{number}"}
        assert [call[4]["b"] for call in api.engine.calls] == list(range(8))

    run(check)


def test_token_and_chunks_are_always_parsed() -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        connection = await one_connection(api)
        for fields in (
            f"Authorization: Bearer {TOKEN}\r\nContent-Length: 2\r\n".encode(),
            b"Transfer-Encoding: chunked\r\n",
            b"Expect: 100-continue\r\nContent-Length: 2\r\n",
            b"X: " + b"y" * 9_000 + b"\r\nContent-Length: 2\r\n",
        ):
            body = b"2\r\n{}\r\n0\r\n\r\n" if b"chunked" in fields else b"{}"
            connection.data_received(post(fields, body))
            assert connection._block == b""
        connection.data_received(post(b"Content-Length: 2\r\n", b"{}"))
        assert connection._block
        assert len(api.engine.calls) == 5
        client.writer.close()

    run(check)
