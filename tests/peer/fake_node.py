"""An HTTP server that says what it is told to, such as what the Node engine once said.

In: answers. Out: the requests that came, in order. One at a time, since whoever sends to an engine
of that kind has one under way at a time for each pair.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple


class Came(NamedTuple):
    """A request; `answer` has to be given."""

    path: str
    headers: dict[str, str]
    attrs: dict[str, Any]
    answer: asyncio.Future[tuple[int, dict[str, str], str]]

    def say(self, status: int, body: str, **headers: str) -> None:
        """Answer it; underscores in names of headers are hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answer.set_result((status, named, body))


class FakeNode:
    """A listening server; `requests` are those that nobody has taken yet."""

    def __init__(self) -> None:
        self.requests: asyncio.Queue[Came] = asyncio.Queue()
        self.url = ""
        self._writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                answer = asyncio.get_running_loop().create_future()
                path = head[0].split(" ")[1]
                self.requests.put_nowait(Came(path, headers, json.loads(body or b"{}"), answer))
                status, named, text = await answer
                data = text.encode()
                lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
                top = f"HTTP/1.1 {status} Said\r\nContent-Length: {len(data)}\r\n{lines}\r\n"
                writer.write(top.encode() + data)
        except (EOFError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    def hang_up(self) -> None:
        """End all connections, whatever was asked on them."""
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def fake_node(port: int = 0) -> AsyncIterator[FakeNode]:
    """A fake that listens."""
    fake = FakeNode()
    server = await asyncio.start_server(fake.serve, "127.0.0.1", port)
    fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield fake
    finally:
        server.close()
        fake.hang_up()
