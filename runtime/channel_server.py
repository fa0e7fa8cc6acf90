"""The engine's side of channel connections: frames in, engine calls, frames out.

In: bytes of TCP and Unix sockets. Out: calls of the engine's callback forms, and the frames of
their answers. A connection is an `asyncio.Protocol`; no request costs a task or a future, and all
answers of one read, or of one commit group, leave in one write.

Invariants: the first frame is a hello; every request is answered exactly once, or its connection
ends; what a connection may hold is bounded by `limits.py` while reading, not after; what one client
does wrong ends at most its own connection, and it is told why. Tokens and ECIs are not logged.
Not here: the form of frames (frames.py), the engine (library.py).
"""

import asyncio
import hmac
import logging
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any

from ext import is_plain
from runtime import frames, limits
from runtime.channel_live import Listen, Subscriptions
from runtime.errors import Fault
from runtime.frames import encode, encode_fault, encode_onto
from runtime.inbox import Answer
from runtime.network import Envelope
from runtime.ports import Done, EnvelopePort, post_keyed_event_query

_log = logging.getLogger("pico.channels")

# How long a refused client may go on sending, so that it can read why.
_LINGER_SECONDS = 2.0
_CREDIT_MAX = limits.channel_credit_max
_HELD_BYTES_MAX = limits.channel_held_bytes_max
# Credit is given back in parts, not with every answer.
_CREDIT_STEP = _CREDIT_MAX // 4
# A group of answers to a full window of small requests should not stop the reading.
_WRITE_BUFFER_BYTES = 1 << 20
_decode = frames.decode_unchecked
_ATTRS, _ARGS = "event.data.attrs", "query.args"
# The last moment that a date can name.
_TIME_MS_MAX = 8_640_000_000_000_000


class Channels:
    """What all connections of an engine share, and the look-out for slow ones.

    `now` is the loop's time as of the last look-out, exact to a second. With `trusts_time` every
    connection may say when its events happened; else only those with the admin token. `ident` tells
    other engines which one they have reached; without `listen` there is nothing to subscribe to.
    """

    def __init__(
        self,
        engine: EnvelopePort,
        loop: asyncio.AbstractEventLoop,
        *,
        token: str,
        version: str,
        trusts_time: bool = False,
        ident: str = "",
        listen: Listen | None = None,
        connections_max: int = limits.channel_connections_max,
    ) -> None:
        self.engine = engine
        self.loop = loop
        self._token = token.encode()
        self.version = version
        self.trusts_time = trusts_time
        self.ident = ident
        self.listen = listen
        self.connections_max = connections_max
        self.open: set[Connection] = set()
        self.is_stopping = False
        self.now = loop.time()
        self._emptied = asyncio.Event()
        self._sweep_handle: asyncio.TimerHandle | None = None
        self._servers: list[asyncio.Server] = []

    def make(self) -> "Connection":
        """A connection for a listener."""
        return Connection(self)

    def knows(self, token: object) -> bool:
        """Whether this is the admin token; an engine without one knows none."""
        if type(token) is not str or not self._token:
            return False
        return hmac.compare_digest(token.encode("utf-8", "replace"), self._token)

    def listens(self, server: asyncio.Server) -> None:
        """Take a listener that is to be closed at `stop`."""
        self._servers.append(server)

    def opened(self, connection: "Connection") -> Fault | None:
        """Count a new connection in; a fault when it may not stay."""
        if self.is_stopping:
            return _stopping()
        if len(self.open) >= self.connections_max:
            return Fault("R4008", f"the engine has {self.connections_max} connections already")
        self.open.add(connection)
        self._emptied.clear()
        if self._sweep_handle is None:
            self.now = self.loop.time()
            self._sweep_handle = self.loop.call_later(1.0, self._sweep)
        return None

    def closed(self, connection: "Connection") -> None:
        """Count a connection out."""
        self.open.discard(connection)
        if not self.open:
            self._emptied.set()

    def _sweep(self) -> None:
        self.sweep(self.loop.time())
        again = bool(self.open)
        self._sweep_handle = self.loop.call_later(1.0, self._sweep) if again else None

    def sweep(self, now: float) -> None:
        """End the connections whose time is up. Cost: O(connections), once a second."""
        self.now = now
        for connection in list(self.open):
            connection.check_time(now)

    async def stop(self, seconds: float = limits.channel_stop_seconds_max) -> None:
        """Take no new connections and requests, let open requests finish, close in the time."""
        self.is_stopping = True
        for server in self._servers:
            server.close()
        for connection in list(self.open):
            connection.finish()
        if self.open:
            try:
                await asyncio.wait_for(self._emptied.wait(), seconds)
            except TimeoutError:
                _log.warning("%d connections were cut off at stop", len(self.open))
                self.hurry()
        if self._sweep_handle is not None:
            self._sweep_handle.cancel()
            self._sweep_handle = None

    def hurry(self) -> None:
        """Cut off what a `stop` under way still waits for."""
        for connection in list(self.open):
            connection.abort()


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, shared: Channels) -> None:
        self.shared = shared
        self._engine = shared.engine
        self._transport: Any = None
        self._splitter = frames.Splitter(limits.hello_bytes_max)
        self._out: list[bytes] = []
        # Requests that are not answered, their bytes, and credit that is not given back.
        self._in_flight = 0
        self._held_bytes = 0
        self._owed = 0
        self._has_greeted = False
        self._trusts_time = shared.trusts_time
        self._is_admin = False
        self._lives: Subscriptions | None = None
        self._is_flush_due = False
        self._is_read_paused = False
        self._is_write_paused = False
        # Set once no further frame will be read from this connection.
        self._is_ending = False
        self._is_lingering = False
        # When what it is doing began: the connection, silence, half a frame, answers not taken.
        self._made_at = self._read_at = shared.now
        self._frame_at = self._write_at = inf

    # ------------------------------------------------------------------------------- from the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        fault = self.shared.opened(self)
        if fault is not None:
            self._is_ending = True
            self._transport.write(encode_fault(None, fault))
            self._transport.close()
            return
        self._made_at = self._read_at = self.shared.now
        self._transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_ending = True
        self._transport = None
        self._out.clear()
        if self._lives is not None:
            self._lives.end()
        self.shared.closed(self)

    def data_received(self, data: bytes) -> None:
        if self._is_ending:
            return
        self._read_at = self.shared.now
        splitter = self._splitter
        # Answers given meanwhile leave with those of this read.
        self._is_flush_due = True
        try:
            for content in splitter.feed(data):
                self._take(content)
                if self._is_ending:
                    break
            if splitter.fault is not None and not self._is_ending:
                self._refuse(splitter.fault)
        except Exception:
            _log.exception("a channel connection met a bug of the engine")
            self._refuse(Fault("R9001", "the engine could not handle a frame"))
        if not splitter.is_within:
            self._frame_at = inf
        elif self._frame_at == inf:
            self._frame_at = self.shared.now
        self._flush()

    def eof_received(self) -> bool:
        # The client will send no more, but may still read the answers to what it asked.
        self._is_ending = True
        return self._in_flight > 0 and not self._is_lingering

    def pause_writing(self) -> None:
        self._is_write_paused = True
        self._write_at = self.shared.now
        self._pause_reading()

    def resume_writing(self) -> None:
        self._is_write_paused = False
        self._write_at = inf
        self._resume_reading()

    # ------------------------------------------------------------------------------------ requests

    def _take(self, content: bytes) -> None:
        """Handle one frame."""
        try:
            request = _decode(content)
        except frames.UNREADABLE as error:
            fault = frames.unreadable(error)
            ident = frames.id_of(content) if self._has_greeted else None
            if ident is None:
                self._refuse(fault)
            else:
                self._decline(ident, fault)
            return
        kind = type(request)
        ask = _ASK.get(kind)
        if not self._has_greeted and kind is not frames.Hello:
            self._refuse(Fault("R1014", "the first frame of a connection must be a hello"))
        elif ask is None:
            _TELL[kind](self, request)
        else:
            size = len(content)
            self._in_flight += 1
            self._held_bytes += size
            is_much = self._held_bytes > _HELD_BYTES_MAX
            if (is_much or self._in_flight + self._owed > _CREDIT_MAX) and not self._may_begin():
                return
            done = partial(self._done, request.id, size)
            try:
                ask(self, request, done)
            except Fault as fault:
                done(fault)

    def _may_begin(self) -> bool:
        """Act on a bound that was reached; False when the request was one too many."""
        if self._in_flight + self._owed > _CREDIT_MAX:
            self._refuse(Fault("R4019", f"{_CREDIT_MAX} requests wait already"))
            return False
        if self._held_bytes > _HELD_BYTES_MAX:
            self._pause_reading()
        return True

    def _decline(self, ident: int, fault: Fault) -> None:
        """Answer a request that could not begin: it took a credit all the same."""
        self._in_flight += 1
        if self._may_begin():
            self._done(ident, 0, fault)

    def _event(self, asked: frames.Event, done: Done) -> None:
        attrs = asked.attrs
        if attrs and not is_plain(attrs):
            frames.check_plain(attrs, _ATTRS)
        time_ms = asked.time_ms
        if time_ms is not None:
            self._check_time_ms(time_ms)
        self._engine.post(
            asked.eci, asked.domain, asked.name, attrs, done, time_ms=time_ms, key=asked.key
        )

    def _signal(self, asked: frames.Signal, done: Done) -> None:
        attrs = asked.attrs
        if attrs:
            frames.check_plain(attrs, _ATTRS)
        time_ms = asked.time_ms
        if time_ms is not None:
            self._check_time_ms(time_ms)
        self._engine.post_signal(
            asked.eci, asked.domain, asked.name, attrs, done, time_ms=time_ms, key=asked.key
        )

    def _check_time_ms(self, time_ms: int) -> None:
        if not self._trusts_time:
            raise Fault("R1016", "this connection may not set time_ms")
        if not 0 <= time_ms <= _TIME_MS_MAX:
            raise Fault("R1014", f"time_ms is {time_ms}, not milliseconds since 1970")

    def _query(self, asked: frames.Query, done: Done) -> None:
        if asked.args:
            frames.check_plain(asked.args, _ARGS)
        self._engine.post_query(asked.eci, asked.rid, asked.name, asked.args, done)

    def _event_query(self, asked: frames.EventQuery, done: Done) -> None:
        frames.check_plain(asked.attrs or {}, _ATTRS)
        frames.check_plain(asked.args or {}, _ARGS)
        eci, key = asked.eci, asked.key
        engine, query = self._engine, (asked.rid, asked.query_name, asked.args, done)
        if key is None:
            engine.post_event_query(eci, asked.domain, asked.name, asked.attrs, *query)
        else:
            post_keyed_event_query(engine, eci, asked.domain, asked.name, asked.attrs, key, *query)

    def _live(self, asked: frames.Live, done: Done) -> None:
        listen = self.shared.listen
        if listen is None:
            raise Fault("R1017", "this engine does not offer live")
        if not self._is_admin:
            # An ECI lets events and queries in; what others sent to the pico is not its holder's.
            hint = "send the admin token in the hello"
            raise Fault("R1010", "to see what happens needs the admin token", hint)
        if self._lives is None:
            self._lives = Subscriptions(listen, self.shared.loop, self._say)
        done(self._lives.begin(asked))

    def _envelope(self, asked: frames.Envelope, done: Done) -> None:
        frames.check_plain(asked.attrs, _ATTRS)
        self._engine.receive(
            Envelope(
                *(asked.pair, asked.number, asked.low, asked.eci, asked.domain, asked.name),
                *(asked.attrs, asked.eid, asked.time_ms),
            ),
            done,
        )

    # ----------------------------------------------------------------------------- all but requests

    def _hello(self, hello: frames.Hello) -> None:
        if self._has_greeted:
            self._refuse(Fault("R1014", "a hello came before on this connection"))
            return
        version = min(hello.version, frames.VERSION)
        if version < frames.VERSION_MIN:
            spoken = f"the engine speaks versions {frames.VERSION_MIN} to {frames.VERSION}"
            self._refuse(Fault("R1015", f"{spoken}, the client {hello.version}"))
            return
        token = (hello.options or {}).get("token")
        if token is not None:
            if not self.shared.knows(token):
                self._refuse(Fault("R1010", "the token of the hello is not the engine's"))
                return
            self._trusts_time = self._is_admin = True
        self._has_greeted = True
        self._splitter.bytes_max = limits.frame_bytes_max
        options = {
            "engine": self.shared.version,
            "id": self.shared.ident,
            "credit": _CREDIT_MAX,
            "frame_bytes_max": limits.frame_bytes_max,
            "answer_bytes_max": limits.answer_bytes_max,
            "key_characters_max": limits.key_characters_max,
            "key_kept_ms": limits.answer_bucket_ms * (limits.answer_buckets_kept - 1),
            "idle_ms_max": limits.channel_idle_seconds_max * 1000,
            "trusts_time": self._trusts_time,
        }
        self._say(encode((frames.WELCOME, hello.id, version, options)))

    def _ping(self, ping: frames.Ping) -> None:
        self._say(encode((frames.PONG, ping.id)))

    def _pong(self, pong: frames.Pong) -> None:
        """It is there: that its bytes came is all there is to know."""

    def _more(self, given: frames.More) -> None:
        if self._lives is not None:
            try:
                self._lives.more(given)
            except Fault as fault:
                self._refuse(fault)

    # ------------------------------------------------------------------------------------- answers

    def _done(self, ident: int, size: int, answer: Any) -> None:
        """Answer a request; called by the engine."""
        self._in_flight -= 1
        self._held_bytes -= size
        self._owed += 1
        if self._transport is None:
            return
        try:
            if type(answer) is Answer:
                stale = (True,) if answer.stale else ()
                encode_onto(self._out, (frames.ANSWER, ident, answer.value, *stale))
            elif isinstance(answer, Fault):
                self._out.append(encode_fault(ident, answer))
            else:
                encode_onto(self._out, (frames.ANSWER, ident, answer))
        except Fault as fault:
            self._out.append(encode_fault(ident, fault))
        # As `_say`; this runs for every request.
        if not self._is_flush_due:
            self._is_flush_due = True
            self.shared.loop.call_soon(self._flush)

    def _say(self, data: bytes) -> None:
        self._out.append(data)
        if not self._is_flush_due:
            self._is_flush_due = True
            self.shared.loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Write what there is to say, in one piece."""
        self._is_flush_due = False
        transport = self._transport
        out = self._out
        if transport is None or self._is_lingering:
            out.clear()
            return
        if self._owed >= _CREDIT_STEP:
            out.append(encode((frames.CREDIT, 0, self._owed)))
            self._owed = 0
        if out:
            data = b"".join(out)
            out.clear()
            if self._is_write_paused and self._is_too_much(len(data)):
                return
            transport.write(data)
        if not self._in_flight and self._is_ending:
            self._close()
        elif not self._in_flight and self.shared.is_stopping:
            self._refuse(_stopping())
        elif self._is_read_paused:
            self._resume_reading()

    def _is_too_much(self, size: int) -> bool:
        """Cut off a client that leaves too much unread."""
        if self._transport.get_write_buffer_size() + size <= limits.channel_unread_bytes_max:
            return False
        _log.warning("a client was cut off that does not take its answers")
        self.abort()
        return True

    def _refuse(self, fault: Fault) -> None:
        """Say why, and end the connection; what is not answered yet will not be."""
        transport = self._transport
        if transport is None or self._is_lingering:
            return
        self._is_ending = self._is_lingering = True
        transport.write(b"".join([*self._out, encode_fault(None, fault)]))
        self._out.clear()
        # Closing at once, with bytes of the client unread, would lose the fault on its way.
        if transport.is_closing():
            return
        transport.write_eof()
        if self._is_read_paused:
            self._is_read_paused = False
            transport.resume_reading()
        self.shared.loop.call_later(_LINGER_SECONDS, self.abort)

    def _close(self) -> None:
        """Close once what was written has left."""
        self._write_at = min(self._write_at, self.shared.now)
        self._transport.close()

    # ------------------------------------------------------------------------------- time and stop

    def check_time(self, now: float) -> None:
        """End the connection if it takes too long for what it is doing."""
        frame_seconds = limits.channel_frame_seconds_max
        if now - self._write_at > frame_seconds:
            _log.warning("a client was cut off that does not take its answers")
            self.abort()
        elif self._is_ending:
            return
        elif self._is_read_paused:
            # It is the engine that does not read; half a frame has its time again afterwards.
            self._frame_at = max(self._frame_at, now) if self._frame_at < inf else inf
        elif not self._has_greeted:
            seconds = limits.channel_hello_seconds_max
            if now - self._made_at > seconds:
                self._refuse(Fault("R4020", f"no hello came in {seconds} seconds"))
        elif now - self._frame_at > frame_seconds:
            self._refuse(Fault("R4020", f"a frame was not whole after {frame_seconds} seconds"))
        elif not self._in_flight and now - self._read_at > limits.channel_idle_seconds_max:
            seconds = limits.channel_idle_seconds_max
            self._refuse(Fault("R4020", f"nothing came in {seconds} seconds"))

    def finish(self) -> None:
        """The engine stops: end now, or after the answers that are still to come."""
        if self._transport is None or self._is_ending:
            return
        if self._in_flight or self._is_flush_due:
            self._pause_reading()
        else:
            self._refuse(_stopping())

    def abort(self) -> None:
        """Close at once, whatever is still to be said."""
        self._is_ending = True
        self._write_at = inf
        if self._transport is not None:
            self._transport.abort()

    def _pause_reading(self) -> None:
        if not self._is_read_paused and not self._transport.is_closing():
            self._is_read_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._is_write_paused or not self._is_read_paused or self.shared.is_stopping:
            return
        if self._held_bytes > _HELD_BYTES_MAX // 2:
            return
        if self._transport is not None and not self._transport.is_closing():
            self._is_read_paused = False
            self._transport.resume_reading()


def _stopping() -> Fault:
    return Fault("R3007", "the engine is shutting down")


_ASK: dict[type, Callable[[Connection, Any, Done], None]] = {
    frames.Event: Connection._event,
    frames.Signal: Connection._signal,
    frames.Query: Connection._query,
    frames.EventQuery: Connection._event_query,
    frames.Envelope: Connection._envelope,
    frames.Live: Connection._live,
}
_TELL: dict[type, Callable[[Connection, Any], None]] = {
    frames.Hello: Connection._hello,
    frames.Ping: Connection._ping,
    frames.Pong: Connection._pong,
    frames.More: Connection._more,
}
