"""HTTP servers for tests: scripted ones for the engine's core, and real sockets that misbehave.

In: for each URL what it answers. Out: `ScriptedWeb`, which answers through a virtual clock and
notes every request; `serving`, an asyncio server that sends given bytes. Nothing here sleeps.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from runtime.clock import VirtualClock
from runtime.errors import Fault
from runtime.web import Cancel, Done, Request, Response, failed, redirected

Reply = Response | Fault | None


def reply(body: str = "", status: int = 200, reason: str = "OK", **headers: str) -> Response:
    """A response; header names with `_` for the hyphen."""
    pairs = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Response(status, reason, pairs, body.encode(), "")


class ScriptedWeb:
    """Answers from a table of URLs; an entry that is None never answers.

    `asked` are all requests, `given_up` those that were given up.
    """

    def __init__(self, clock: VirtualClock, replies: dict[str, Reply] | None = None) -> None:
        self.clock = clock
        self.replies = replies or {}
        self.asked: list[Request] = []
        self.given_up: list[Request] = []

    def fetch(self, request: Request, done: Done) -> Cancel:
        """See `runtime.web.Web`."""
        self.asked.append(request)
        found: Any = self._reply(request)
        if isinstance(found, Response):
            following = redirected(request, found)
            if following is not None:
                return self.fetch(following, done)
            found = found._replace(url=request.url)
        if found is not None:
            self.clock.call_soon(partial(done, found))
        return partial(self.given_up.append, request)

    def _reply(self, request: Request) -> Reply:
        url = request.url.partition("?")[0]
        if url not in self.replies:
            return failed(request.url, "connection refused")
        return self.replies[url]


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handle: Handler) -> AsyncIterator[int]:
    """A server on a free port of 127.0.0.1; what a handler has not ended is ended."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handle(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def read_request(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    """The request line, the headers and the body of one request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head[:-4].split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return first, headers, body


def sends(*pieces: bytes, then: str = "close") -> Handler:
    """A handler that reads requests and answers each with these bytes; `then` close, keep, hang."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            if then == "hang":
                await asyncio.Event().wait()
            if then == "close":
                return

    return handle
