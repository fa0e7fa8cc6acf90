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
import re
import time
from collections import deque
from email.utils import formatdate
from http import HTTPStatus
from math import inf
from typing import Any

import httptools

from runtime import limits
from runtime.errors import Fault
from runtime.http_answers import JSON, guards
from runtime.http_api import Api
from runtime.http_head import Head, Request
from runtime.http_params import too_large
from runtime.http_stream import Stream

_log = logging.getLogger("pico.http")

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_COMMON = (
    b"Access-Control-Allow-Origin: *\r\n"
    b"Access-Control-Allow-Headers: "
    b"Origin, X-Requested-With, Content-Type, Accept, Idempotency-Key\r\n"
)
# The first line of a request that may be taken without the parser; what it knows is more.
_LINE = re.compile(rb"(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) (/[!-~]*) HTTP/1\.1")
# Longer heads are not worth remembering.
_BLOCK_BYTES_MAX = 8 << 10
# How long a refused client may go on sending.
_LINGER_SECONDS = 2.0
# How long a head may be as it is sent, and how many bytes of chunks may carry one byte of a body:
# chunks of one byte need six.
_HEAD_BYTES_MAX = limits.http_head_bytes_max + limits.http_url_bytes_max
_BYTES_FOR_BYTE_MAX = 16


class Heads:
    """Header fields that many answers share, made once a second because of their date."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, bytes], bytes] = {}

    def get(self, status: int, kind: bytes) -> bytes:
        """Everything up to the number of `Content-Length`; for 304 all there is."""
        head = self._made.get((status, kind))
        if head is None:
            date = formatdate(time.time(), usegmt=True).encode()
            head = _STATUS_LINES[status] + b"Date: " + date + b"\r\n" + _COMMON + guards(kind)
            if status != 304:
                # An answer without a body says nothing of the one it stands for.
                head += b"Content-Type: " + kind + b"\r\nContent-Length: "
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
        # The loop's time, exact to a second, which is enough for deadlines.
        self.now = loop.time()
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
            self.now = self.loop.time()
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
        self.now = self.loop.time()
        self.sweep(self.now)
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
        head = connection.shared.heads.get(status, kind)
        if status != 304:
            head += b"%d\r\n" % len(body)
        if self.closes:
            extra += b"Connection: close\r\n"
        elif self.says_keep_alive:
            extra += b"Connection: keep-alive\r\n"
        self.data = head + extra + b"\r\n" if self.is_head else head + extra + b"\r\n" + body
        connection.answered()

    def stream(self, kind: bytes) -> Stream:
        """Fill the place with an answer that goes on, and is the connection's last."""
        connection = self._connection
        head = connection.shared.heads.get(200, kind).removesuffix(b"Content-Length: ")
        head += b"Cache-Control: no-store\r\nConnection: close\r\n"
        stream = Stream(connection, connection.takes_chunks)
        if stream.is_chunked:
            head += b"Transfer-Encoding: chunked\r\n"
        self.data = head + b"\r\n"
        self.closes = True
        stream.is_open = not self.is_head
        connection.goes_on(stream if stream.is_open else None)
        connection.answered()
        return stream


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
        self._version = ""
        # Bytes of a message of which nothing is complete, as they are fed to the parser.
        self._bytes_fed = 0
        # The header fields of the request before, and what was read from them.
        self._last_headers: list[tuple[bytes, bytes]] = []
        self._last_head: Head | None = None
        # Their bytes, from the end of the first line on, if a request that has the same again may
        # be taken without parsing it.
        self._block = b""
        self._completed = 0
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._body_bytes_max = 0
        self._is_in_message = False
        self._is_in_head = False
        self._message_deadline = 0.0
        self._is_corked = False
        self._is_read_paused = False
        self.is_write_paused = False
        self._stream: Stream | None = None
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
        self._end_stream()
        self.shared.closed(self)

    def data_received(self, data: bytes) -> None:
        if self._is_ending or (self._block and self._is_repeated(data)):
            return
        is_fresh = not self._is_in_message
        self._completed = 0
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
        self._block = self._block_of(data) if is_fresh and self._completed == 1 else b""
        if self._is_in_message and not self._completed and not self._is_ending:
            # A line without end never reaches on_header or on_body; its bytes count all the same.
            self._bytes_fed += len(data)
            if self._bytes_fed > _HEAD_BYTES_MAX + _BYTES_FOR_BYTE_MAX * self._body_bytes:
                self._refuse(_head_too_large())
        waiting = self._waiting
        if waiting and waiting[0].data is None:
            self._touch()
        else:
            self._flush()

    def _block_of(self, data: bytes) -> bytes:
        """The head of the one request in what was just fed, if it may be compared with others."""
        head = self._head
        if self._is_in_message or self._is_ending or head is None or self._version != "1.1":
            return b""
        if head.has_coding or head.expects_continue or head.is_admin:
            return b""
        start, end = data.find(b"\r\n"), data.find(b"\r\n\r\n") + 4
        if end - start > _BLOCK_BYTES_MAX or len(data) - end != head.content_length:
            return b""
        return data[start:end] if _LINE.fullmatch(data, 0, start) else b""

    def _is_repeated(self, data: bytes) -> bool:
        """Take a request that differs from the one before in its first line and body only.

        The parser found these very bytes to be the rest of a whole head, so it need not look again;
        the first line has a form that is stricter than the parser's.
        """
        head, block = self._head, self._block
        start = data.find(b"\r\n")
        if self._is_in_message or self.shared.is_stopping or not data.startswith(block, start):
            return False
        end = start + len(block)
        line = _LINE.fullmatch(data, 0, start)
        if head is None or line is None or len(data) - end != head.content_length:
            return False
        if start > limits.http_url_bytes_max or len(self._waiting) >= limits.http_pipelined_max:
            return False
        method, url = line.groups()
        self._body_bytes_max = limits.http_body_bytes_max
        self._is_corked = True
        self._ask(method, url, head, data[end:], closes=False, is_old=False)
        self._is_corked = False
        waiting = self._waiting
        if waiting and waiting[0].data is None:
            self.deadline = inf
        else:
            self._flush()
        return True

    def eof_received(self) -> bool:
        # The client will send no more, but may still read the answers to what it asked.
        self._is_ending = True
        self._end_stream()
        return bool(self._waiting)

    def pause_writing(self) -> None:
        self.is_write_paused = True
        self._pause_reading()
        if self._stream is None:
            self.deadline = self.shared.loop.time() + limits.http_request_seconds_max

    def resume_writing(self) -> None:
        self.is_write_paused = False
        self._resume_reading()
        self._touch()
        if self._stream is not None:
            self._stream.on_ready()

    # --------------------------------------------------------------------- from the parser

    def on_message_begin(self) -> None:
        self._is_in_message = self._is_in_head = True
        self._message_deadline = 0.0
        self._url = b""
        self._headers = []
        self._bytes_fed = 0
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
        version = self._version = self._parser.get_http_version()
        if head.hosts != 1 or version != "1.1":
            self._check_form(head, version)
        if head.is_admin and self._url.startswith(b"/api/"):
            self._body_bytes_max = limits.http_admin_body_bytes_max
        if head.content_length > self._body_bytes_max:
            raise _Refusal(too_large(self._body_bytes_max))
        if head.expects_continue and not self._waiting:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    @staticmethod
    def _check_form(head: Head, version: str) -> None:
        """Refuse what different readers would understand differently."""
        if version not in ("1.1", "1.0"):
            raise _Refusal(Fault("R1011", f"HTTP {version} is not spoken here, only 1.1 and 1.0"))
        if head.hosts > 1 or (head.hosts == 0 and version == "1.1"):
            raise _Refusal(Fault("R1011", f"a request names one host, and this one {head.hosts}"))
        if version == "1.0" and head.has_coding:
            raise _Refusal(Fault("R1011", "HTTP 1.0 has no transfer codings"))

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > self._body_bytes_max:
            raise _Refusal(too_large(self._body_bytes_max))
        self._body.append(body)

    def on_message_complete(self) -> None:
        self._is_in_message = False
        self._completed += 1
        if self._is_ending:
            # It stands behind an answer that goes on: there is no place left for its own.
            return
        parser = self._parser
        method = parser.get_method()
        keeps = parser.should_keep_alive() and not self.shared.is_stopping
        is_old = keeps and self._version != "1.1"
        body = self._body
        whole = body[0] if len(body) == 1 else b"".join(body)
        head = self._head
        assert head is not None  # on_headers_complete came first
        self._ask(method, self._url, head, whole, not keeps, is_old)

    def _ask(
        self, method: bytes, url: bytes, head: Head, body: bytes, closes: bool, is_old: bool
    ) -> None:
        """Make a place for the answer of a whole request, and hand the request on."""
        answer = Answer(self, method == b"HEAD", closes, is_old)
        self._waiting.append(answer)
        if len(self._waiting) >= limits.http_pipelined_max:
            self._pause_reading()
        self.shared.api.handle(Request(method, url, head, body), answer, self._body_bytes_max)

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

    @property
    def takes_chunks(self) -> bool:
        """Whether the client of the request at hand knows bodies in chunks."""
        return self._version == "1.1"

    def goes_on(self, stream: Stream | None) -> None:
        """The answer just given is the last, and goes on if there is a stream."""
        self._is_ending = True
        self._stream = stream

    def send_on(self, data: bytes) -> None:
        """Send more of the answer that goes on."""
        if data and self._transport is not None:
            self._transport.write(data)

    def _end_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _close(self) -> None:
        """Close once what was written has left, and a refused client has stopped sending."""
        self._waiting.clear()
        if self._stream is not None:
            self.deadline = inf
            self._stream.start()
            return
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
        if self.is_write_paused:
            return
        if self._waiting:
            self.deadline = inf
            return
        if self._is_ending:
            return
        now = self.shared.now
        if not self._is_in_message:
            self.deadline = now + limits.http_idle_seconds_max
            return
        if not self._message_deadline:
            self._message_deadline = now + limits.http_request_seconds_max
        self.deadline = self._message_deadline

    def expire(self) -> None:
        """The deadline has passed: say so if a request is half here, and close."""
        if self._is_ending or self.is_write_paused:
            self.abort()
        elif self._is_in_message:
            seconds = limits.http_request_seconds_max
            self.deadline = inf
            self._refuse(Fault("R4009", f"the request was not complete after {seconds} seconds"))
        else:
            self._close()

    def finish(self) -> None:
        """The server stops: close now, or after the answers that are still to come."""
        self._end_stream()
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
        may = self._is_read_paused and not self.is_write_paused
        if may and self._transport is not None and not self._transport.is_closing():
            self._is_read_paused = False
            self._transport.resume_reading()


def _head_too_large() -> Fault:
    return Fault("R4006", f"the headers are larger than {limits.http_head_bytes_max} bytes")
