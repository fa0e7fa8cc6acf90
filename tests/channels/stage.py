"""What channel tests need: engines behind sockets, a raw client, and a network that misbehaves.

The raw client encodes with another msgpack library than the engine does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import uvloop

from runtime import Engine
from runtime.channel_server import Channels
from runtime.client import Patience
from runtime.errors import Fault, unknown_eci
from runtime.frames import Splitter
from runtime.inbox import Answer
from runtime.server import ChannelServer, bind, bind_unix
from tests.harness.engine import InlineCompiler

TOKEN = "sesame-token"
HELLO = [0, 0, 1, {}]
# Tries again at once, and notices silence soon.
HASTY = Patience(connect_s=5, ping_s=0.05, retry_s=0.002, retry_s_max=0.01, give_up_s=20)

NUMBERS = """
ruleset numbers {
  meta { shares seen, order }
  global {
    seen = function() { ent:seen.defaultsTo({}) }
    order = function() { ent:order.defaultsTo([]) }
  }
  rule got {
    select when number got
    pre {
      n = event:attrs{"n"}
      key = n.as("String")
    }
    send_directive("got", {"n": n})
    always {
      ent:seen{key} := seen(){key}.defaultsTo(0) + 1
      ent:order := order().append(n)
    }
  }
  rule told {
    select when number told
    send_directive("told", {"attrs": event:attrs})
  }
  rule late {
    select when number early before number late within 5 seconds
    send_directive("late")
  }
  rule broken {
    select when number broken
    pre { x = event:attrs{"n"}.map(function(v) { v }).sort().range(1) }
    send_directive("never", {"x": x})
  }
}
"""


class FakeEngine:
    """Keeps what it was asked; answers at once, or holds the answer when the name is `held`."""

    @property
    def core(self) -> FakeEngine:
        return self

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.held: list[Callable[[Any], object]] = []
        self.answers: dict[str, Any] = {}

    def _answer(self, eci: str, name: str, done: Callable[[Any], object]) -> None:
        if name == "held":
            self.held.append(done)
        elif name == "bug":
            raise ZeroDivisionError
        else:
            answer = unknown_eci(eci) if eci == "cNO" else self.answers.get(name, name)
            asyncio.get_running_loop().call_soon(done, answer)

    def post(self, eci: str, domain: str, name: str, attrs: Any, done: Any, **named: Any) -> None:
        self.calls.append(("event", eci, domain, name, attrs, named["key"], named.get("time_ms")))
        self._answer(eci, name, done)

    def post_signal(
        self, eci: str, domain: str, name: str, attrs: Any, done: Any, **named: Any
    ) -> None:
        self.calls.append(("signal", eci, domain, name, attrs, named["key"], named["time_ms"]))
        self._answer(eci, name, done)

    def post_query(self, eci: str, rid: str, name: str, args: Any, done: Any) -> None:
        self.calls.append(("query", eci, rid, name, args))
        self._answer(eci, name, valued(done))

    def post_event_query(
        self,
        eci: str,
        domain: str,
        name: str,
        attrs: Any,
        rid: str,
        query_name: str,
        args: Any,
        done: Any,
    ) -> None:
        self.calls.append(("event-query", eci, domain, name, attrs, rid, query_name, args))
        self._answer(eci, query_name, valued(done))


def valued(done: Callable[[Any], object]) -> Callable[[Any], None]:
    """Values of queries come in a wrapper, faults without."""

    def tell(value: Any) -> None:
        done(value if isinstance(value, Fault | Answer) else Answer(value))

    return tell


class Raw:
    """One connection that speaks frames made by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, *frames: Any) -> None:
        self.writer.write(b"".join(frame_of(frame) for frame in frames))

    async def heard(self) -> Any:
        size = int.from_bytes(await self.reader.readexactly(4), "big")
        return msgpack.unpackb(await self.reader.readexactly(size))

    async def ended(self) -> bool:
        try:
            return await self.reader.read(1) == b""
        except ConnectionError:
            return True

    async def greet(self, **options: Any) -> Any:
        self.send([0, 0, 1, options])
        return (await self.heard())[3]


def frame_of(frame: Any) -> bytes:
    """A frame; bytes stand for content that is no array."""
    content = frame if isinstance(frame, bytes) else msgpack.packb(frame)
    return len(content).to_bytes(4, "big") + content


class Stage(NamedTuple):
    """A fake engine behind a free port."""

    engine: FakeEngine
    channels: Channels
    port: int
    clients: list[Raw]

    async def raw(self) -> Raw:
        made = Raw(*await asyncio.open_connection("127.0.0.1", self.port))
        self.clients.append(made)
        return made

    async def greeted(self, **options: Any) -> Raw:
        raw = await self.raw()
        await raw.greet(**options)
        return raw


async def until(condition: Callable[[], object]) -> None:
    """Let everything else run until a condition holds."""
    while not condition():
        await asyncio.sleep(0)


def run(go: Callable[[], Awaitable[None]], seconds: float = 30) -> None:
    """Run a coroutine on uvloop within a time that only a hanging test needs."""

    async def guarded() -> None:
        async with asyncio.timeout(seconds):
            await go()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(guarded())


def staged(test: Callable[[Stage], Awaitable[None]], **settings: Any) -> None:
    """Run a test against a fake engine."""

    async def go() -> None:
        loop = asyncio.get_running_loop()
        engine = FakeEngine()
        channels = Channels(engine, loop, token=TOKEN, version="picos test", **settings)
        bound = bind("127.0.0.1", 0)
        channels.listens(await loop.create_server(channels.make, sock=bound))
        clients: list[Raw] = []
        try:
            await test(Stage(engine, channels, bound.getsockname()[1], clients))
        finally:
            for client in clients:
                client.writer.transport.abort()
            await channels.stop(5)

    run(go)


class Place(NamedTuple):
    """A real engine, with the ruleset `numbers` on its root pico, behind a port or a socket."""

    engine: Engine
    eci: str
    url: str
    port: int
    server: ChannelServer


@asynccontextmanager
async def served(socket_path: Path | None = None) -> AsyncIterator[Place]:
    """Serve an engine in memory over TCP, or over a Unix socket."""
    async with Engine.open(compiler=InlineCompiler()) as engine:
        await engine.install(engine.root_eci, source=NUMBERS)
        bound = bind("127.0.0.1", 0) if socket_path is None else bind_unix(str(socket_path))
        server = await ChannelServer.start(engine, [bound], "127.0.0.1", token=TOKEN)
        port = bound.getsockname()[1] if socket_path is None else 0
        try:
            yield Place(engine, engine.root_eci, server.urls[0], port, server)
        finally:
            await server.stop(5)


class Fate(NamedTuple):
    """What becomes of a connection through the proxy.

    `cut` and `cut_back` end it, in the middle of that frame from the client or from the engine;
    `stall` and `stall_back` let nothing through any more, from that frame on; `twice` says which
    frames of the client go through twice.
    """

    cut: int = 1 << 30
    cut_back: int = 1 << 30
    stall: int = 1 << 30
    stall_back: int = 1 << 30
    twice: frozenset[int] = frozenset()


class Proxy:
    """Passes frames on between clients and an engine; each connection has the next fate."""

    def __init__(self, port: int, fates: list[Fate]) -> None:
        self._port = port
        self.fates = fates
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._begin, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"pico://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fate = self.fates[self.connections] if self.connections < len(self.fates) else Fate()
        self.connections += 1
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        ways = [
            asyncio.create_task(_pass(reader, back, fate.cut, fate.stall, fate.twice)),
            asyncio.create_task(_pass(there, writer, fate.cut_back, fate.stall_back, frozenset())),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.wait(ways)
            writer.transport.abort()
            back.transport.abort()


async def _pass(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    cut: int,
    stall: int,
    twice: frozenset[int],
) -> None:
    splitter = Splitter(1 << 30)
    count = 0
    try:
        while data := await reader.read(1 << 16):
            for content in splitter.feed(data):
                frame = len(content).to_bytes(4, "big") + content
                if count >= stall:
                    continue
                if count >= cut:
                    writer.write(frame[: len(frame) // 2])
                    await writer.drain()
                    return
                writer.write(frame)
                if count in twice:
                    writer.write(frame)
                count += 1
    except ConnectionError:
        return


def is_fault(value: Any, code: str) -> bool:
    """Whether this is a fault with that code."""
    return isinstance(value, Fault) and value.code == code
