"""Connections that load goes over: HTTP with many connections, or one channel with many requests.

In: events and queries. Out: `done(answer or Fault)`, on the loop, for each of them. Invariants: an
HTTP connection carries one request at a time and stays open; what is asked while all are busy
waits for one. The client's own cost is kept low, since it may share the machine with the engine.
Not here: what is asked (plays.py). A client for programs is client.py.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import httptools
import msgspec

from runtime.client import Client
from runtime.errors import Fault
from runtime.frames import fault_from

Done = Callable[[Any], object]
Values = dict[str, Any]
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Links(Protocol):
    """A way to an engine."""

    def event(
        self,
        eci: str,
        domain: str,
        name: str,
        attrs: Values,
        done: Done,
        time_ms: int | None = None,
    ) -> None:
        """Have an event evaluated; where times are not known, `time_ms` is left out."""

    def query(self, eci: str, rid: str, name: str, args: Values, done: Done) -> None:
        """Ask a query."""


# --- HTTP -----------------------------------------------------------------------------------------


class _Connection(asyncio.Protocol):
    """One HTTP connection of `links`, which hear when it is idle again, and when it is gone."""

    def __init__(self, links: HttpLinks) -> None:
        self._links = links
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._done: Done | None = None
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def ask(self, data: bytes, done: Done) -> None:
        """Send a request."""
        self._done = done
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._transport.abort()
            self._end(Fault("R5001", f"the answer is no HTTP: {error}"))

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        body = b"".join(self._body)
        self._body.clear()
        try:
            answer = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            answer = Fault("R5001", f"the answer is no JSON: {body[:80]!r}")
        status = self._parser.get_status_code()
        if status != 200 and not isinstance(answer, Fault):
            answer = fault_from(answer if type(answer) is dict else {})
        self._end(answer)
        if not self._parser.should_keep_alive():
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._links.gone(self)
        self._end(Fault("R5004", "the engine closed the connection before it answered"))

    def _end(self, answer: Any) -> None:
        done, self._done = self._done, None
        if done is not None:
            self._links.idle(self)
            done(answer)

    @property
    def is_closing(self) -> bool:
        return bool(self._transport.is_closing())

    def close(self) -> None:
        self._transport.close()


class HttpLinks:
    """So many connections to one engine; made by `async with HttpLinks.connect(…) as links`.

    One that the engine closes, having been idle for long, is replaced.
    """

    def __init__(self, host: str, port: int) -> None:
        self._place = host, port
        self._host = f"{host}:{port}".encode("ascii")
        self._all: set[_Connection] = set()
        self._free: deque[_Connection] = deque()
        self._waiting: deque[tuple[bytes, Done]] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._is_closed = False

    @staticmethod
    @asynccontextmanager
    async def connect(host: str, port: int, connections: int) -> AsyncIterator[HttpLinks]:
        """Open the connections.

        Raises: R5004 when nobody listens there.
        """
        links = HttpLinks(host, port)
        try:
            for _ in range(connections):
                await links._open()
            yield links
        except OSError as error:
            raise links._unreachable(error) from None
        finally:
            links._close()

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(lambda: _Connection(self), *self._place)
        self._all.add(made)
        self.idle(made)

    async def _open_again(self) -> None:
        try:
            await self._open()
        except OSError as error:
            waiting, self._waiting = self._waiting, deque()
            for _, done in waiting:
                done(self._unreachable(error))

    def _unreachable(self, error: OSError) -> Fault:
        where = self._host.decode()
        return Fault("R5004", f"{where} cannot be reached: {error.strerror or error}")

    def _close(self) -> None:
        self._is_closed = True
        for task in self._opening:
            task.cancel()
        for one in self._all:
            one.close()

    def gone(self, connection: _Connection) -> None:
        """A connection was closed: have another one, unless it is all over."""
        self._all.discard(connection)
        with contextlib.suppress(ValueError):
            self._free.remove(connection)
        if not self._is_closed:
            task = asyncio.get_running_loop().create_task(self._open_again())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def event(
        self,
        eci: str,
        domain: str,
        name: str,
        attrs: Values,
        done: Done,
        time_ms: int | None = None,
    ) -> None:
        """POST /c/ECI/event-wait/…, or GET when every attribute is a text."""
        self._send("event-wait", (eci, domain, name), attrs, done)

    def query(self, eci: str, rid: str, name: str, args: Values, done: Done) -> None:
        """GET /c/ECI/query/…"""
        self._send("query", (eci, rid, name), args, done)

    def signal(self, eci: str, domain: str, name: str, attrs: Values, done: Done) -> None:
        """As `event`, but /c/ECI/event/…: answered when the event is accepted."""
        self._send("event", (eci, domain, name), attrs, done)

    def _send(self, kind: str, parts: tuple[str, str, str], values: Values, done: Done) -> None:
        eci, first, second = (quote(part, safe="") for part in parts)
        path = f"/c/{eci}/{kind}/{first}/{second}"
        if all(type(value) is str for value in values.values()):
            query = f"?{urlencode(values)}" if values else ""
            data = b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % ((path + query).encode(), self._host)
        else:
            body = _encode(values)
            data = (
                b"POST %b HTTP/1.1\r\nHost: %b\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%b"
            ) % (path.encode(), self._host, len(body), body)
        while self._free:
            connection = self._free.popleft()
            if not connection.is_closing:
                connection.ask(data, done)
                return
        self._waiting.append((data, done))

    def idle(self, connection: _Connection) -> None:
        """A connection may carry the next request."""
        if connection.is_closing:
            return
        if self._waiting:
            connection.ask(*self._waiting.popleft())
        else:
            self._free.append(connection)


# --- Channels -------------------------------------------------------------------------------------


class ChannelLinks:
    """One channel to an engine; made by `async with ChannelLinks.connect(…) as links`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._tasks: set[asyncio.Task[None]] = set()

    @staticmethod
    @asynccontextmanager
    async def connect(
        url: str, *, token: str = "", exactly_once: bool = False, window: int = 1024
    ) -> AsyncIterator[ChannelLinks]:
        """Open the channel; with `exactly_once` events have keys.

        Raises: as `Client.connect`.
        """
        async with Client.connect(
            url, token=token, exactly_once=exactly_once, window=window
        ) as client:
            yield ChannelLinks(client)

    def event(
        self,
        eci: str,
        domain: str,
        name: str,
        attrs: Values,
        done: Done,
        time_ms: int | None = None,
    ) -> None:
        """An event frame."""
        self._client.post(eci, domain, name, attrs, done, time_ms=time_ms)

    def query(self, eci: str, rid: str, name: str, args: Values, done: Done) -> None:
        """A query frame."""
        task = asyncio.get_running_loop().create_task(self._ask(eci, rid, name, args, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, eci: str, rid: str, name: str, args: Values, done: Done) -> None:
        try:
            answer = await self._client.query(eci, rid, name, args)
        except Fault as fault:
            answer = fault
        done(answer)
