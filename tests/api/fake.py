"""An engine that answers as it is told, a server around it, and a client that speaks raw HTTP."""

import asyncio
import gzip
import zlib
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import uvloop

from runtime.errors import Fault, unknown_eci
from runtime.http_api import Api
from runtime.http_wire import Connections
from runtime.server import HttpServer, bind, engine_version
from tests.channels.stage import valued

TOKEN = "sesame-token"
ROOT = "cROOT"

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": partial(gzip.compress, mtime=0),
    "deflate": zlib.compress,
    "raw deflate": lambda body: zlib.compress(body)[2:-4],
}


class FakeEngine:
    """Keeps what it was asked, and answers by the event's or function's name.

    `answers` maps a name to the answer (a Fault, or what `done` gets); a name that begins with
    `held` is answered only by `release`.
    """

    root_eci = ROOT

    @property
    def core(self) -> "FakeEngine":
        return self

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.answers: dict[str, Any] = {}
        self.held: dict[str, Callable[[], None]] = {}

    def _answer(self, eci: str, name: str, default: Any, done: Callable[[Any], object]) -> None:
        answer = unknown_eci(eci) if eci == "cNO" else self.answers.get(name, default)
        if name.startswith("held"):
            self.held[name] = lambda: done(answer)
        else:
            asyncio.get_running_loop().call_soon(done, answer)

    def release(self, name: str) -> None:
        self.held.pop(name)()

    def post(
        self,
        eci: str,
        domain: str,
        name: str,
        attrs: dict[str, Any],
        done: Callable[[Any], object],
        *,
        key: str | None = None,
    ) -> None:
        if name == "bug":
            raise ZeroDivisionError
        self.calls.append(("event", eci, domain, name, attrs, key))
        self._answer(eci, name, {"eid": "cE", "directives": []}, done)

    def post_signal(
        self,
        eci: str,
        domain: str,
        name: str,
        attrs: dict[str, Any],
        done: Callable[[Any], object],
        *,
        key: str | None = None,
    ) -> None:
        self.calls.append(("signal", eci, domain, name, attrs, key))
        self._answer(eci, name, "cE", done)

    def post_query(
        self, eci: str, rid: str, name: str, args: dict[str, Any], done: Callable[[Any], object]
    ) -> None:
        self.calls.append(("query", eci, rid, name, args))
        self._answer(eci, name, {"asked": name}, valued(done))

    def post_event_query(
        self,
        eci: str,
        domain: str,
        name: str,
        attrs: dict[str, Any],
        rid: str,
        qname: str,
        args: dict[str, Any],
        done: Callable[[Any], object],
    ) -> None:
        self.calls.append(("event-query", eci, domain, name, attrs, rid, qname, args))
        self._answer(eci, qname, {"asked": qname}, valued(done))

    async def flush(self, url: str) -> dict[str, Any]:
        await asyncio.sleep(0)
        if url == "file:bad":
            raise Fault("R2012", "Got a statusCode=404 for: file:bad")
        return {"url": url, "rid": "a.b", "hash": "00"}

    async def install(
        self,
        eci: str,
        *,
        url: str | None = None,
        source: str | None = None,
        bundle: bytes | None = None,
        config: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        await asyncio.sleep(0)
        if source == "bad":
            raise Fault("R2007", "it does not compile", rid="a.b", line=3)
        self.calls.append(("install", eci, url, source, bundle, config))
        return {"rid": "a.b", "url": url, "hash": "00", "eci": eci}

    def describe(self, eci: str | None = None) -> dict[str, Any]:
        if eci == "cNO":
            raise unknown_eci(eci)
        return {"shown": eci}

    def log(
        self,
        eci: str | None = None,
        *,
        eid: str | None = None,
        rule: str | None = None,
        limit: int = 50,
        whole: bool = False,
    ) -> list[dict[str, Any]]:
        self.calls.append(("log", eci, eid, rule, limit, whole))
        return self.answers.get("log", [])

    async def why(self, eci: str, eid: str, rule: str | None = None) -> dict[str, Any]:
        await asyncio.sleep(0)
        if eid == "cNO":
            raise Fault("R1018", "no event cNO is in the history of this pico")
        return {"asked": [eci, eid, rule], **self.answers.get("why", {})}

    async def checkpoint(self) -> str:
        await asyncio.sleep(0)
        return "/home/checkpoints/1"

    async def import_archive(self, path: Path, parent: str) -> dict[str, Any]:
        await asyncio.sleep(0)
        if path.name == "bad.pico":
            raise Fault("R3009", "bad.pico is no archive")
        self.calls.append(("import", str(path), parent))
        counts = {"picos": 2, "timers": 1, "waiting": 0}
        return {"id": "cP", "eci": "cE", "archive": "00", **counts}

    async def authority(self, eci: str | None = None) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"asked": eci, "picos": [], "grants": []}

    async def salience(self, eci: str) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"asked": eci, **self.answers.get("salience", {})}


class Reply(NamedTuple):
    """One HTTP answer; header names lower-cased, in order."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for found, value in self.headers if found == name), None)

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Client:
    """One connection to the server under test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def ask(
        self,
        path: str,
        body: bytes = b"",
        kind: str = "application/json",
        method: str = "",
        headers: str = "",
    ) -> None:
        head = f"{method or ('POST' if body else 'GET')} {path} HTTP/1.1\r\nHost: h\r\n{headers}"
        if body:
            head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        self.send(head.encode() + b"\r\n" + body)

    async def reply(self, is_head: bool = False) -> Reply:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head[:-4].split("\r\n")
        headers = [(name.lower(), value) for name, _, value in (f.partition(": ") for f in fields)]
        length = next(int(value) for name, value in headers if name == "content-length")
        body = b"" if is_head else await self.reader.readexactly(length)
        return Reply(int(line.split()[1]), headers, body)

    async def is_closed(self) -> bool:
        """Whether the server ends the connection without saying more."""
        return await self.reader.read(1) == b""


class Served:
    """A server under test: its engine, its connections, and as many clients as need be."""

    def __init__(self, engine: FakeEngine, server: HttpServer, connections: Connections) -> None:
        self.engine = engine
        self.server = server
        self.connections = connections
        self._clients: list[Client] = []

    async def client(self) -> Client:
        host, port = self.server.url.removeprefix("http://").split(":")
        made = Client(*await asyncio.open_connection(host, int(port)))
        self._clients.append(made)
        return made

    async def close(self) -> None:
        for client in self._clients:
            client.writer.close()
        await self.server.stop(5)


async def start(
    compat_status: bool = False, connections_max: int = 100, token: str = TOKEN
) -> Served:
    """A server on a free port."""
    engine = FakeEngine()
    bound = bind("127.0.0.1", 0)
    api = Api(engine, token=token, version=engine_version(), compat_status=compat_status)
    loop = asyncio.get_running_loop()
    connections = Connections(api, loop, connections_max)
    url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    listener = await loop.create_server(connections.make, sock=bound)
    return Served(engine, HttpServer(listener, connections, url), connections)


def run(test: Callable[[Served], Awaitable[None]], **settings: Any) -> None:
    """Run one test against a fresh server, on uvloop, within ten seconds."""

    async def go() -> None:
        api = await start(**settings)
        try:
            async with asyncio.timeout(10):
                await test(api)
        finally:
            await api.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(go())
