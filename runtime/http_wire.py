"""One HTTP connection: bytes to requests, answers to bytes, in the order of asking.

In: what the socket gives, by way of httptools. Out: whole `Request`s for `Api.handle`, and the
bytes of their answers. A connection is an `asyncio.Protocol`; no request costs a task or a future.

Invariants: answers leave in the order of their requests, however they come; every bound of
`limits.py` is kept while reading, not after; a request that cannot be read is answered and ends the
connection; an answer for a connection that is gone is dropped. Not here: routes (http_api.py),
listening and stopping (server.py).
"""

import asyncio
import logging
import time
from collections import deque
from email.utils import formatdate
from http import HTTPStatus
from math import inf
from typing import Any

import httptools

from runtime import limits
from runtime.errors import Fault
from runtime.http_api import JSON, Api, Head, Request
from runtime.http_params import too_large

_log = logging.getLogger("pico.http")

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_COMMON = (
    b"Access-Control-Allow-Origin: *\r\n"
    b"Access-Control-Allow-Headers: Origin, X-Requested-With, Content-Type, Accept\r\n"
    b"X-Content-Type-Options: nosniff\r\n"
)
# How long a refused client may go on sending.
_LINGER_SECONDS = 2.0


class Heads:
    """Header fields that many answers share, made once a second because of their date."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, bytes], bytes] = {}

    def get(self, status: int, kind: bytes) -> bytes:
        """Everything up to the number of `Content-Length`."""
        head = self._made.get((status, kind))
        if head is None:
            date = formatdate(time.time(), usegmt=True).encode()
            line = _STATUS_LINES[status] + b"Date: " + date + b"\r\nContent-Type: " + kind
            head = line + b"\r\n" + _COMMON + b"Content-Length: "
            self._made[status, kind] = head
        return head

    def clear(self) -> None:
        """Forget them: another second has begun."""
        self._made.clear()


class Connections:
    """What all connections of a server share, and the look-out for slow ones."""

    def __init__(
        self,
        api: Api,
        loop: asyncio.AbstractEventLoop,
        connections_max: int = limits.http_connections_max,
    ) -> None:
        self.api = api
        self.loop = loop
        self.heads = Heads()
        self.open: set[Connection] = set()
        self.connections_max = connections_max
        self.is_stopping = False
        self.emptied = asyncio.Event()
        self._sweep_handle: asyncio.TimerHandle | None = None

    def make(self) -> "Connection":
        """A connection for the listener."""
        return Connection(self)

    def opened(self, connection: "Connection") -> bool:
        """Count a new connection in; False when there are too many."""
        if len(self.open) >= self.connections_max or self.is_stopping:
            return False
        self.open.add(connection)
        self.emptied.clear()
        if self._sweep_handle is None:
            self.heads.clear()
            self._sweep_handle = self.loop.call_later(1.0, self._sweep)
        return True

    def closed(self, connection: "Connection") -> None:
        """Count a connection out."""
        self.open.discard(connection)
        if not self.open:
            self.emptied.set()

    def _sweep(self) -> None:
        """Once a second, while there are connections: a new date, and an end to slow clients."""
        self.heads.clear()
        self.sweep(self.loop.time())
        again = bool(self.open)
        self._sweep_handle = self.loop.call_later(1.0, self._sweep) if again else None

    def sweep(self, now: float) -> None:
        """End the connections whose deadline has passed. Cost: O(connections)."""
        for connection in [one for one in self.open if one.deadline <= now]:
            connection.expire()

    async def stop(self, seconds: float) -> None:
        """Let open requests finish, take no new ones, close everything in the given time."""
        self.is_stopping = True
        for connection in list(self.open):
            connection.finish()
        if self.open:
            try:
                await asyncio.wait_for(self.emptied.wait(), seconds)
            except TimeoutError:
                _log.warning("%d connections were cut off at stop", len(self.open))
                for connection in list(self.open):
                    connection.abort()
        if self._sweep_handle is not None:
            self._sweep_handle.cancel()
            self._sweep_handle = None


class _Refusal(Exception):  # noqa: N818 - it only carries a fault out of the parser
    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class Answer:
    """The place of one request's answer in its connection; `send` fills it, once."""

    __slots__ = ("_connection", "closes", "data", "is_head", "says_keep_alive")

    def __init__(
        self, connection: "Connection", is_head: bool, closes: bool, says_keep_alive: bool
    ) -> None:
        self._connection = connection
        self.is_head = is_head
        self.closes = closes
        self.says_keep_alive = says_keep_alive
        self.data: bytes | None = None

    def send(self, status: int, body: bytes, kind: bytes = JSON, extra: bytes = b"") -> None:
        """Fill the place; the answer leaves when those before it have left."""
        if self.data is not None:
            _log.error("a request was answered twice; the second answer is dropped")
            return
        connection = self._connection
        head = connection.shared.heads.get(status, kind) + b"%d\r\n" % len(body)
        if self.closes:
            extra += b"Connection: close\r\n"
        elif self.says_keep_alive:
            extra += b"Connection: keep-alive\r\n"
        self.data = head + extra + b"\r\n" if self.is_head else head + extra + b"\r\n" + body
        connection.answered()


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, shared: Connections) -> None:
        self.shared = shared
        # When the sweep ends this connection, in the loop's time.
        self.deadline = inf
        self._transport: Any = None
        self._parser: Any = None
        self._waiting: deque[Answer] = deque()
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head: Head | None = None
        self._head_bytes_fed = 0
        # The header fields of the request before, and what was read from them.
        self._last_headers: list[tuple[bytes, bytes]] = []
        self._last_head: Head | None = None
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._body_bytes_max = 0
        self._is_in_message = False
        self._is_in_head = False
        # Whether what was just fed held the end of a request.
        self._has_completed = False
        self._message_deadline = 0.0
        self._is_corked = False
        self._is_read_paused = False
        self._is_write_paused = False
        # Set once no further request will be read from this connection.
        self._is_ending = False
        # A refused client may still be sending; then its answer would be lost by closing at once.
        self._should_linger = False
        self._is_lingering = False

    # ----------------------------------------------------------------------- from the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)
        if self.shared.opened(self):
            self._touch()
        else:
            bound = self.shared.connections_max
            fault = Fault("R4008", f"the engine has {bound} connections already")
            self._refuse(fault, lingers=False)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._parser = None
        self._waiting.clear()
        self._is_ending = True
        self.shared.closed(self)

    def data_received(self, data: bytes) -> None:
        if self._is_ending:
            return
        self._has_completed = False
        self._is_corked = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # Nobody here speaks another protocol; the request was answered as plain HTTP.
            self._is_ending = True
        except httptools.HttpParserError as error:
            cause = error.__context__
            if isinstance(cause, _Refusal):
                self._refuse(cause.fault)
            else:
                self._refuse(Fault("R1011", f"the request cannot be read: {error}"))
        finally:
            self._is_corked = False
        if self._is_in_head and not self._has_completed and not self._is_ending:
            # A header line without end never reaches on_header; its bytes count all the same.
            self._head_bytes_fed += len(data)
            if self._head_bytes_fed > limits.http_head_bytes_max + limits.http_url_bytes_max:
                self._refuse(_head_too_large())
        waiting = self._waiting
        if waiting and waiting[0].data is None:
            self._touch()
        else:
            self._flush()

    def eof_received(self) -> bool:
        # The client will send no more, but may still read the answers to what it asked.
        self._is_ending = True
        return bool(self._waiting)

    def pause_writing(self) -> None:
        self._is_write_paused = True
        self._pause_reading()
        self.deadline = self.shared.loop.time() + limits.http_request_seconds_max

    def resume_writing(self) -> None:
        self._is_write_paused = False
        self._resume_reading()
        self._touch()

    # --------------------------------------------------------------------- from the parser

    def on_message_begin(self) -> None:
        self._is_in_message = self._is_in_head = True
        self._message_deadline = 0.0
        self._url = b""
        self._headers = []
        self._head_bytes_fed = 0
        self._body = []
        self._body_bytes = 0
        self._body_bytes_max = limits.http_body_bytes_max

    def on_url(self, url: bytes) -> None:
        self._url = self._url + url if self._url else url
        if len(self._url) > limits.http_url_bytes_max:
            bound = limits.http_url_bytes_max
            raise _Refusal(Fault("R4007", f"the URL is longer than {bound} bytes"))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        head = self._last_head
        if head is None or self._headers != self._last_headers:
            head = self.shared.api.head(self._headers)
            if head.bytes > limits.http_head_bytes_max:
                raise _Refusal(_head_too_large())
            self._last_head = head
            self._last_headers = self._headers
        self._head = head
        if head.is_admin and self._url.startswith(b"/api/"):
            self._body_bytes_max = limits.http_admin_body_bytes_max
        if head.content_length > self._body_bytes_max:
            raise _Refusal(too_large(self._body_bytes_max))
        if head.expects_continue and not self._waiting:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > self._body_bytes_max:
            raise _Refusal(too_large(self._body_bytes_max))
        self._body.append(body)

    def on_message_complete(self) -> None:
        self._is_in_message = False
        self._has_completed = True
        parser = self._parser
        method = parser.get_method()
        keeps = parser.should_keep_alive() and not self.shared.is_stopping
        is_old = keeps and parser.get_http_version() != "1.1"
        body = self._body
        whole = body[0] if len(body) == 1 else b"".join(body)
        answer = Answer(self, method == b"HEAD", not keeps, is_old)
        self._waiting.append(answer)
        if len(self._waiting) >= limits.http_pipelined_max:
            self._pause_reading()
        head = self._head
        assert head is not None  # on_headers_complete came first
        request = Request(method, self._url, head, whole)
        self.shared.api.handle(request, answer, self._body_bytes_max)

    # ------------------------------------------------------------------------------ answers

    def answered(self) -> None:
        """Send what may leave; called by each answer."""
        if not self._is_corked:
            self._flush()

    def _flush(self) -> None:
        transport = self._transport
        if transport is None or self._is_lingering:
            return
        waiting = self._waiting
        ready: list[bytes] = []
        closes = False
        while waiting and waiting[0].data is not None and not closes:
            answer = waiting.popleft()
            ready.append(answer.data)  # type: ignore[arg-type]
            closes = answer.closes
        if ready:
            transport.write(ready[0] if len(ready) == 1 else b"".join(ready))
        if closes or (
            not waiting
            and (self._is_ending or (self.shared.is_stopping and not self._is_in_message))
        ):
            self._close()
            return
        if self._is_read_paused and len(waiting) < limits.http_pipelined_max // 2:
            self._resume_reading()
        self._touch()

    def _close(self) -> None:
        """Close once what was written has left, and a refused client has stopped sending."""
        self._waiting.clear()
        self._is_ending = True
        now = self.shared.loop.time()
        if self._should_linger and not self._is_lingering:
            self._is_lingering = True
            self._transport.write_eof()
            self._resume_reading()
            self.deadline = now + _LINGER_SECONDS
        else:
            self._transport.close()
            self.deadline = now + limits.http_request_seconds_max

    def _refuse(self, fault: Fault, lingers: bool = True) -> None:
        """Answer with a fault after the answers before it, and read no more requests."""
        self._is_ending = True
        self._should_linger = lingers and self._transport.can_write_eof()
        self._is_in_head = self._is_in_message = False
        answer = Answer(self, is_head=False, closes=True, says_keep_alive=False)
        self._waiting.append(answer)
        self.shared.api.fail(answer, fault)

    # ------------------------------------------------------------------- time and back-pressure

    def _touch(self) -> None:
        """Set the deadline that goes with what the connection is doing."""
        if self._is_write_paused:
            return
        if self._waiting:
            self.deadline = inf
            return
        if self._is_ending:
            return
        now = self.shared.loop.time()
        if not self._is_in_message:
            self.deadline = now + limits.http_idle_seconds_max
            return
        if not self._message_deadline:
            self._message_deadline = now + limits.http_request_seconds_max
        self.deadline = self._message_deadline

    def expire(self) -> None:
        """The deadline has passed: say so if a request is half here, and close."""
        if self._is_ending or self._is_write_paused:
            self.abort()
        elif self._is_in_message:
            seconds = limits.http_request_seconds_max
            self.deadline = inf
            self._refuse(Fault("R4009", f"the request was not complete after {seconds} seconds"))
        else:
            self._close()

    def finish(self) -> None:
        """The server stops: close now, or after the answers that are still to come."""
        if self._transport is not None and not self._waiting and not self._is_in_message:
            self._close()

    def abort(self) -> None:
        """Close at once, whatever is still to be sent."""
        self._waiting.clear()
        self._is_ending = True
        if self._transport is not None:
            self._transport.abort()

    def _pause_reading(self) -> None:
        if not self._is_read_paused and not self._transport.is_closing():
            self._is_read_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        may = self._is_read_paused and not self._is_write_paused
        if may and self._transport is not None and not self._transport.is_closing():
            self._is_read_paused = False
            self._transport.resume_reading()


def _head_too_large() -> Fault:
    return Fault("R4006", f"the headers are larger than {limits.http_head_bytes_max} bytes")
