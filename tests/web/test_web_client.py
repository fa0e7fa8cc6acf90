"""The production client against real sockets: servers that are well, slow, broken or hostile."""

from __future__ import annotations

import asyncio
import gzip
import socket
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from harness.web import Handler, read_request, sends, serving

from runtime.errors import Fault
from runtime.web import Request, Response
from runtime.web_client import Bounds, WebClient
from runtime.web_policy import Policy

LOCAL = Policy(["127.0.0.1"])
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def get(url: str) -> Request:
    return Request("GET", url, (("accept-encoding", "gzip,deflate"),), None)


async def fetch(client: WebClient, request: Request) -> Any:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    client.fetch(request, future.set_result)
    assert not future.done()
    return await future


def talk(
    handler: Handler,
    ask: Callable[[WebClient, int], Awaitable[Any]],
    policy: Policy = LOCAL,
    bounds: Bounds | None = None,
    lookup: Any = None,
) -> Any:
    """Run a server and a client; what `ask` gives."""

    async def run() -> Any:
        async with serving(handler) as port:
            client = WebClient(policy, bounds=bounds, lookup=lookup)
            try:
                return await ask(client, port)
            finally:
                await client.close()

    return asyncio.run(run())


def outcome(handler: Handler, path: str = "/", **more: Any) -> Response | Fault:
    """What one GET gives."""
    return talk(handler, lambda c, port: fetch(c, get(f"http://127.0.0.1:{port}{path}")), **more)


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode("latin-1")


def packed(data: bytes, wbits: int) -> bytes:
    pack = zlib.compressobj(wbits=wbits)
    return pack.compress(data) + pack.flush()


GZIP, DEFLATE = "content-encoding: gzip", "content-encoding: deflate"
PACKED = gzip.compress(b"x" * 9999, mtime=0)
CHUNKED = "transfer-encoding: chunked"


@pytest.mark.parametrize(
    ("pieces", "body"),
    [
        ([OK], b"ok"),
        ([head(CHUNKED), b"3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n"], b"abcde"),
        ([head(), b"until", b" the end"], b"until the end"),
        ([head(GZIP, CHUNKED), b"%x\r\n" % len(PACKED), PACKED, b"\r\n0\r\n\r\n"], b"x" * 9999),
        ([head(DEFLATE), zlib.compress(b"framed")], b"framed"),
        ([head(DEFLATE), packed(b"raw", -15)], b"raw"),
        ([head("content-encoding: br"), b"as it is"], b"as it is"),
        ([head("content-length: 0")], b""),
        ([head(GZIP, "content-length: 0")], b""),
    ],
)  # fmt: skip
def test_bodies_are_read_whole(pieces: list[bytes], body: bytes) -> None:
    found = outcome(sends(*pieces))
    assert isinstance(found, Response), found
    assert (found.status, found.reason, found.body) == (200, "OK", body)


def test_a_response_has_all_its_headers() -> None:
    found = outcome(
        sends(head("Set-Cookie: a=1", "set-cookie: b=2", "X-A:  v ", status="404 Not There"))
    )
    assert isinstance(found, Response)
    assert (found.status, found.reason) == (404, "Not There")
    assert found.headers == (("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x-a", "v"))


LARGE = Bounds(body_bytes=1000)
CUT = gzip.compress(b"abc" * 99, mtime=0)[:-9]
BOMB = gzip.compress(b"\0" * 10_000_000, mtime=0)


@pytest.mark.parametrize(
    ("pieces", "then", "bounds", "code", "reason"),
    [
        ([], "close", None, "R5004", "the server hung up without an answer"),
        ([b"nonsense\r\n\r\n"], "close", None, "R5008", "the server's answer is broken"),
        ([head("content-length: 5"), b"abc"], "close", None, "R5008", "the server's answer is bro"),
        ([head(CHUNKED), b"3\r\nabc\r\n"], "close", None, "R5008", "the server's answer is broken"),
        ([head(CHUNKED), b"zz\r\nabc\r\n"], "close", None, "R5008", "the server's answer is"),
        ([head(GZIP), b"not gzip"], "close", None, "R5008", "its compression is broken"),
        ([head(GZIP), CUT], "close", None, "R5008", "its comp"),
        ([head("content-length: 1001")], "hang", LARGE, "R4030", "the response is large"),
        ([head(), b"x" * 1001], "hang", LARGE, "R4030", "the response is larger than 1000 bytes"),
        ([head(GZIP, f"content-length: {len(BOMB)}"), BOMB], "hang", Bounds(), "R4030",
         "the response is larger than 4194304 bytes"),
        ([head("a: " + "x" * 100_000)], "close", None, "R5008", "the server's answer is broken"),
        ([], "hang", Bounds(request_seconds=0.02), "R5003", "no answer within 0.02 s"),
        ([head("content-length: 5"), b"abc"], "hang", Bounds(request_seconds=0.02), "R5003",
         "no answer within 0.02 s"),
        ([head("location: /", status="302 Found")], "keep", None, "R5008", "more than 20 re"),
        ([head("location: http://[::1", status="302 Found")], "keep", None, "R5008",
         "it redirects to what is no URL"),
        ([head("location: ftp://x/", status="302 Found")], "keep", None, "R5005", ""),
    ],
)  # fmt: skip
def test_what_is_no_response_is_a_fault(
    pieces: list[bytes], then: str, bounds: Bounds | None, code: str, reason: str
) -> None:
    found = outcome(sends(*pieces, then=then), "/x?secret=1", bounds=bounds)
    assert isinstance(found, Fault), found
    assert found.code == code, found.message
    assert "secret" not in found.message
    if reason:
        before, _, after = found.message.partition(", reason: ")
        assert before.startswith("request to http://127.0.0.1:")
        assert after.startswith(reason)


def test_head_and_empty_responses_have_no_body() -> None:
    async def ask(client: WebClient, port: int) -> Any:
        url = f"http://127.0.0.1:{port}/"
        return await fetch(client, Request("HEAD", url, (), None))

    found = talk(sends(head("content-length: 99999999", GZIP)), ask, bounds=LARGE)
    assert (found.status, found.body) == (200, b"")
    assert outcome(sends(head(GZIP, status="204 No Content"))).body == b""


def test_what_is_asked_is_what_arrives() -> None:
    seen: list[Any] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen.append(await read_request(reader))
            writer.write(OK)

    big = b"x" * 3_000_000

    async def ask(client: WebClient, port: int) -> None:
        url = f"http://127.0.0.1:{port}/a%20b?c=%2F&d"
        await fetch(client, Request("POST", url, (("content-type", "a/b"), ("x-a", "1")), big))
        await fetch(client, Request("DELETE", url, (), None))

    talk(handle, ask)
    (line, headers, body), (other, none, _) = seen
    assert line == "POST /a%20b?c=%2F&d HTTP/1.1"
    assert other == "DELETE /a%20b?c=%2F&d HTTP/1.1"
    assert headers.pop("host") == none.pop("host")
    headers.pop("transfer-encoding", headers.pop("content-length", None))
    assert headers == {"content-type": "a/b", "x-a": "1"}
    assert none in ({}, {"content-length": "0"})
    assert body == big


def test_connections_are_used_again() -> None:
    connections = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            await read_request(reader)
            writer.write(OK)

    async def ask(client: WebClient, port: int) -> None:
        for _ in range(3):
            await fetch(client, get(f"http://127.0.0.1:{port}/"))

    talk(handle, ask)
    assert connections == 1


def test_a_request_can_be_given_up() -> None:
    gone = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        arrived.set()
        await reader.read()
        gone.set()

    async def ask(client: WebClient, port: int) -> None:
        cancel = client.fetch(get(f"http://127.0.0.1:{port}/"), told.append)
        await arrived.wait()
        cancel()
        await gone.wait()

    told: list[Any] = []
    arrived = asyncio.Event()
    talk(handle, ask)
    assert told == []


def test_nobody_listens() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/"
        found = talk(sends(OK), lambda client, _: fetch(client, get(url)))
    assert found.code == "R5004"
    assert found.message == f"request to {url} failed, reason: connection refused"


# --- Policy ---------------------------------------------------------------------------------------


def names(**table: list[str]) -> Any:
    """A resolver with a table of its own."""

    async def lookup(host: str) -> list[str]:
        if host not in table:
            raise socket.gaierror(socket.EAI_NONAME, "not known")
        return table[host]

    return lookup


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "127.1", "0x7f000001", "0.0.0.0",
     "name", "both", "0x7f.x"],
)  # fmt: skip
def test_loopback_is_refused_however_it_is_written(host: str) -> None:
    lookup = names(name=["127.0.0.1"], both=["::1", "127.0.0.1"], **{"0x7f.x": ["127.0.0.1"]})
    reached = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(reader)

    found = talk(
        handle,
        lambda client, port: fetch(client, get(f"http://{host}:{port}/")),
        policy=Policy(),
        lookup=lookup,
    )
    assert isinstance(found, Fault)
    assert found.code == "R5005", found.message
    assert reached == []


def test_a_name_leads_only_to_the_address_that_was_checked() -> None:
    """A name server that changes its mind between the check and the connection gains nothing."""
    answers = iter([["127.0.0.1"], ["10.0.0.1"], ["10.0.0.1"]])
    asked = []

    async def lookup(host: str) -> list[str]:
        asked.append(host)
        return next(answers)

    found = talk(
        sends(OK),
        lambda client, port: fetch(client, get(f"http://rebind.example:{port}/")),
        lookup=lookup,
    )
    assert isinstance(found, Response)
    assert asked == ["rebind.example"]


@pytest.mark.parametrize("target", ["http://127.0.0.2:{}/", "http://inner:{}/", "http://[::1]:{}/"])
def test_a_redirect_is_checked_like_any_request(target: str) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, headers, _ = await read_request(reader)
        assert headers["host"].startswith("outer:")
        port = headers["host"].partition(":")[2]
        writer.write(head(f"location: {target.format(port)}", status="302 Found"))

    found = talk(
        handle,
        lambda client, port: fetch(client, get(f"http://outer:{port}/")),
        policy=Policy(["outer"]),
        lookup=names(outer=["127.0.0.1"], inner=["127.0.0.1"]),
    )
    assert isinstance(found, Fault)
    assert found.code == "R5005", found.message


def test_an_unknown_name_is_told() -> None:
    found = talk(
        sends(OK), lambda client, _: fetch(client, get("http://nowhere.example/")), lookup=names()
    )
    assert found.code == "R5004"
    assert found.message.endswith("reason: its name is not known")


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example"])
def test_a_name_that_no_host_can_have_is_told(host: str) -> None:
    found = talk(sends(OK), lambda client, _: fetch(client, get(f"http://{host}/")))
    assert found.code == "R5004"
    assert found.message.endswith("reason: its name is not known")


def test_a_host_that_two_readers_read_in_two_ways_is_not_asked() -> None:
    found = talk(sends(OK), lambda client, _: fetch(client, get("http://127.0.0.1\\@x.example/")))
    assert isinstance(found, Fault)
