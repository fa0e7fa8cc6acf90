"""The limit row of a served workload: a server that frames, parses, stores and answers, no more.

    python -m bench.limit_server CASE STORAGE FOLDER

In: requests as the engine's server gets them, over HTTP or a channel. Out: answers of the same
shape, in as many writes; the first line it prints is the port as JSON. What is asked is read in
full and not looked at: every request is answered as the case's next one. HTTP is parsed by
httptools and frames by the engine's own codec, so both are as fast as the engine's can be. Not
here: what is stored, and when (limit.py).
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httptools
import msgspec
import uvloop

from bench.limit import Limit, Plan, Request
from bench.run import store_of
from runtime import frames, limits
from runtime.store import Store

_encode_json = msgspec.json.Encoder().encode
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "


class Served(Limit):
    """Answers a plan's requests in order, whoever asks."""

    def __init__(self, store: Store, call_soon: Callable[..., object], plan: Plan) -> None:
        super().__init__(store, call_soon, plan)
        self._requests = plan.requests
        self._asked = 0

    def next(self, done: Callable[[Any], object]) -> None:
        """The answer to the next request."""
        request: Request = self._requests[self._asked % len(self._requests)]
        self._asked += 1
        self.ask(request, done)


class HttpLimit(asyncio.Protocol):
    """One HTTP connection."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_message_complete(self) -> None:
        path, _, query = self._url.decode().partition("?")
        # What any server has to do before it knows what is asked.
        path.split("/")
        dict([pair.partition("=")[::2] for pair in query.split("&")])
        self._url = b""
        self._headers.clear()
        self._served.next(self._answer)

    def _answer(self, answer: Any) -> None:
        body = _encode_json(answer)
        self._transport.write(b"%b%d\r\n\r\n%b" % (_HEAD, len(body), body))


class ChannelLimit(asyncio.Protocol):
    """One channel connection; the answers of a group leave in one write."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._splitter = frames.Splitter(limits.frame_bytes_max)
        self._out: list[bytes] = []
        self._owed = 0
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for content in self._splitter.feed(data):
            request = frames.decode_request(content)
            if type(request) is frames.Hello:
                options = {"credit": limits.channel_credit_max}
                self._say(frames.encode((frames.WELCOME, request.id, frames.VERSION, options)))
            elif type(request) is frames.Ping:
                self._say(frames.encode((frames.PONG, request.id)))
            else:
                self._served.next(partial(self._answer, request.id))

    def _answer(self, ident: int | None, answer: Any) -> None:
        self._owed += 1
        self._say(frames.encode((frames.ANSWER, ident, answer)))

    def _say(self, data: bytes) -> None:
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(data)

    def _flush(self) -> None:
        if self._owed >= limits.channel_credit_max // 4:
            self._out.append(frames.encode((frames.CREDIT, 0, self._owed)))
            self._owed = 0
        self._transport.write(b"".join(self._out))
        self._out.clear()


async def serve(plan: Plan, way: str, storage: str, folder: Path) -> None:
    """Answer until the process is ended."""
    loop = asyncio.get_running_loop()
    store = store_of(storage, folder / "limit")
    served = Served(store, loop.call_soon, plan)
    protocol = HttpLimit if way == "http" else ChannelLimit
    server = await loop.create_server(lambda: protocol(served), "127.0.0.1", 0)
    gc.collect()
    gc.freeze()
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


def main(arguments: list[str]) -> int:
    """Serve the limit row of a case."""
    from bench.served import CASES

    name, storage, folder = arguments
    case = next(case for case in CASES if case.name == name)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(case.limits["limit"](), case.way, storage, Path(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
