"""Following what happens over HTTP: what is shown, to whom, how much waits, and how it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import h11
import pytest
import uvloop

from runtime import Engine, limits
from runtime.errors import Fault
from runtime.http_wire import Connection
from runtime.server import HttpServer, bind
from tests.api.fake import TOKEN
from tests.harness.engine import InlineCompiler

KRL = """
ruleset test.follow {
  rule hello {
    select when say hello
    pre { name = event:attrs{"name"}.klog("name") }
    send_directive("hello", {"name": name})
    always { log info "said " + name; raise say event "again" }
  }
  rule again { select when say again }
  rule broken { select when say broken send_directive("x", {"x": -"x"}) }
}
"""
ADMIN = f"Authorization: Bearer {TOKEN}\r\n"


class Followed(NamedTuple):
    """An engine behind a port."""

    engine: Engine
    server: HttpServer
    port: int
    writers: list[asyncio.StreamWriter]

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers.append(writer)
        return reader, writer

    @property
    def listeners(self) -> int:
        return len(self.engine._live._listeners)

    @property
    def connections(self) -> set[Connection]:
        return self.server._connections.open


class Reader:
    """One who follows, reading with a parser that is not the engine's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.parser = h11.Connection(h11.CLIENT)
        self.text = ""

    @classmethod
    async def open(
        cls, place: Followed, query: str = "", method: str = "GET", headers: str = ADMIN
    ) -> Reader:
        made = cls(*await place.connect())
        asked = h11.Request(method=method, target="/", headers=[("Host", "h")])
        made.parser.send(asked)
        made.parser.send(h11.EndOfMessage())
        line = f"{method} /api/log?follow{query} HTTP/1.1\r\nHost: h\r\n{headers}\r\n"
        made.writer.write(line.encode())
        return made

    async def event(self) -> Any:
        while (event := self.parser.next_event()) is h11.NEED_DATA:
            self.parser.receive_data(await self.reader.read(1 << 16))
        return event

    async def begin(self) -> h11.Response:
        """The head of the answer, and the first comment."""
        head = await self.event()
        assert head.status_code == 200
        assert await self.block() == ": following"
        return head

    async def block(self) -> str | None:
        """The next part of the stream; None at its end."""
        while "\n\n" not in self.text:
            event = await self.event()
            if isinstance(event, h11.EndOfMessage):
                return None
            self.text += event.data.decode()
        block, _, self.text = self.text.partition("\n\n")
        return block

    async def entry(self) -> dict[str, Any]:
        block = await self.block()
        assert block is not None
        assert block.startswith("data: ")
        found: dict[str, Any] = json.loads(block[6:])
        return found


@asynccontextmanager
async def served(**settings: Any) -> AsyncIterator[Followed]:
    async with Engine.open(compiler=InlineCompiler(), **settings) as engine:
        await engine.install(engine.root_eci, source=KRL)
        bound = bind("127.0.0.1", 0)
        server = await HttpServer.start(engine, bound, "127.0.0.1", token=TOKEN)
        place = Followed(engine, server, bound.getsockname()[1], [])
        try:
            yield place
        finally:
            for writer in place.writers:
                writer.transport.abort()
            await server.stop(5)


def run(test: Callable[[Followed], Awaitable[None]], **settings: Any) -> None:
    async def go() -> None:
        async with asyncio.timeout(20), served(**settings) as place:
            await test(place)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(go())


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0)


async def say(place: Followed, event: str, /, **attrs: Any) -> str:
    answer = await place.engine.event(place.engine.root_eci, "say", event, attrs)
    return str(answer["eid"])


def test_entries_are_those_of_the_history() -> None:
    async def check(place: Followed) -> None:
        client = await Reader.open(place)
        head = await client.begin()
        fields = dict(head.headers)
        assert fields[b"content-type"] == b"text/event-stream; charset=utf-8"
        assert fields[b"cache-control"] == b"no-store"
        eid = await say(place, "hello", name="Ann")
        entry = await client.entry()
        [kept] = place.engine.log(eid=eid)
        assert {**entry, "written_ms": 0} == {**kept, "written_ms": 0}
        assert (entry["domain"], entry["name"], entry["attrs"]) == ("say", "hello", {"name": "Ann"})
        assert entry["eci"].endswith("…")
        assert entry["rules"][0]["logs"] == [
            {"level": "klog", "rid": "test.follow", "text": 'name "Ann"'},
            {"level": "info", "rid": "test.follow", "text": '"said Ann"'},
        ]
        assert entry["raised"][0]["rules"][0]["rule"] == "again"

    run(check)


# the query, and which of hello, broken, unheard are shown
FILTERS = [
    ("", ["hello", "broken", "other"]),
    ("&eci=root", ["hello", "broken", "other"]),
    ("&event=say:hello", ["hello"]),
    ("&event=say:again", ["hello"]),
    ("&event=say:*", ["hello", "broken", "other"]),
    ("&event=*:broken", ["broken"]),
    ("&event=no:", []),
    ("&rule=again", ["hello"]),
    ("&rule=test.follow:broken", ["broken"]),
    ("&rule=other.one:broken", []),
    ("&level=debug", ["hello", "broken"]),
    ("&level=info", ["hello", "broken"]),
    ("&level=klog", ["hello", "broken"]),
    ("&level=warn", ["broken"]),
    ("&level=error", ["broken"]),
]


def test_filters() -> None:
    async def check(place: Followed) -> None:
        clients = [await Reader.open(place, query) for query, _ in FILTERS]
        for client in clients:
            await client.begin()
        for name in ("hello", "broken", "other"):
            await say(place, name, name="x")
        for _ in range(2):
            await asyncio.sleep(0)
        await place.server.stop(5)
        for client, (query, shown) in zip(clients, FILTERS, strict=True):
            found = []
            while (block := await client.block()) is not None:
                found.append(json.loads(block[6:])["name"])
            assert found == shown, query

    run(check)


REFUSED = [
    ("", "", 401, "R1010"),
    ("&level=loud", ADMIN, 400, "R1013"),
    ("&event=say", ADMIN, 400, "R1013"),
    ("&eci=cNO", ADMIN, 404, "R1001"),
    ("&rule=a&rule=b", ADMIN, 400, "R1013"),
]


@pytest.mark.parametrize(("query", "headers", "status", "code"), REFUSED)
def test_refusals(query: str, headers: str, status: int, code: str) -> None:
    async def check(place: Followed) -> None:
        client = await Reader.open(place, query, headers=headers)
        assert (await client.event()).status_code == status
        assert json.loads((await client.event()).data)["code"] == code
        assert place.listeners == 0

    run(check)


def test_engine_without_history_shows_nothing() -> None:
    async def check(place: Followed) -> None:
        client = await Reader.open(place)
        assert (await client.event()).status_code == 501
        assert json.loads((await client.event()).data)["code"] == "R1017"

    run(check, history="off")


def test_listeners_are_bounded_and_leave() -> None:
    async def check(place: Followed) -> None:
        clients = [await Reader.open(place) for _ in range(limits.live_listeners_max)]
        for client in clients:
            await client.begin()
        late = await Reader.open(place)
        assert (await late.event()).status_code == 429
        assert json.loads((await late.event()).data)["code"] == "R4026"
        history = place.engine.core.history
        assert history.heard is not None
        for at, client in enumerate(clients):
            if at % 2:
                client.writer.transport.abort()
            else:
                client.writer.close()
        await until(lambda: place.listeners == 0)
        assert history.heard is None

    run(check)


def test_head_gets_no_stream() -> None:
    async def check(place: Followed) -> None:
        client = await Reader.open(place, method="HEAD")
        assert (await client.event()).status_code == 200
        assert isinstance(await client.event(), h11.EndOfMessage)
        await until(lambda: place.listeners == 0)

    run(check)


def test_old_client_gets_it_without_chunks() -> None:
    async def check(place: Followed) -> None:
        reader, writer = await place.connect()
        writer.write(f"GET /api/log?follow HTTP/1.0\r\n{ADMIN}\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"chunked" not in head
        assert await reader.readuntil(b"\n\n") == b": following\n\n"
        await say(place, "hello", name="x")
        assert (await reader.readuntil(b"\n\n")).startswith(b'data: {"pico":')
        writer.close()
        await until(lambda: place.listeners == 0)

    run(check)


def test_stream_waits_for_the_answers_before_it_and_is_the_last() -> None:
    async def check(place: Followed) -> None:
        reader, writer = await place.connect()
        eci = place.engine.root_eci
        event = f"GET /c/{eci}/event-wait/say/hello?name=x HTTP/1.1\r\nHost: h\r\n\r\n"
        follow = f"GET /api/log?follow HTTP/1.1\r\nHost: h\r\n{ADMIN}\r\n"
        writer.write((event + follow + event.replace("hello", "late")).encode())
        data = b""
        while b'data: {"pico"' not in data:
            data += await reader.read(1 << 16)
        assert data.startswith(b"HTTP/1.1 200")
        assert data.index(b'"directives"') < data.index(b": following")
        # What stood behind the stream was not run: its sender could not have heard of it.
        assert [entry["name"] for entry in place.engine.log()] == ["hello"]

    run(check)


def test_slow_client_is_told_what_it_missed() -> None:
    async def check(place: Followed) -> None:
        client = await Reader.open(place)
        await client.begin()
        client.writer.transport.pause_reading()
        [connection] = place.connections
        sent = 0
        large = "x" * 15_000
        while not connection.is_write_paused:
            await say(place, "hello", name=large)
            sent += 1
        kept = limits.live_bytes_max // len(large)
        for _ in range(kept + 10):
            await say(place, "hello", name=large)
            sent += 1
        # Only its own place on the server is bounded; nobody cuts it off for being slow.
        place.server._connections.sweep(asyncio.get_running_loop().time() + 1e6)
        client.writer.transport.resume_reading()
        seen = dropped = 0
        while seen + dropped < sent:
            block = await client.block()
            assert block is not None
            if block.startswith("event: dropped\n"):
                dropped += json.loads(block.partition("data: ")[2])["entries"]
            else:
                seen += 1
        assert seen + dropped == sent
        assert dropped >= 10

    run(check)


def test_heartbeat_keeps_the_stream_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.http_follow.HEARTBEAT_SECONDS", 0.0)

    async def check(place: Followed) -> None:
        client = await Reader.open(place)
        await client.begin()
        assert await client.block() == ": still here"
        client.writer.close()
        await until(lambda: place.listeners == 0)

    run(check)


def test_stop_ends_the_stream() -> None:
    async def check(place: Followed) -> None:
        client = await Reader.open(place)
        await client.begin()
        await place.server.stop(5)
        assert await client.block() is None
        assert place.listeners == 0

    run(check)


def test_unwritten_turns_are_not_shown() -> None:
    async def check(place: Followed) -> None:
        heard: list[int] = []
        listener = place.engine.listen(lambda: heard.append(1))
        place.engine.core.committer.fail(Fault("R3003", "no disk"))
        with pytest.raises(Fault):
            await say(place, "hello", name="x")
        assert (heard, listener.take(5)) == ([], ([], 0))
        listener.close()

    run(check)
