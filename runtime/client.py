"""A client for channels: asyncio, reconnecting, nothing lost and nothing done twice.

In: an address, `pico://host:port` or `pico+unix:/path`; events, signals, queries. Out: their
answers, or faults. What was not answered when a connection ends is sent again on the next one, in
the same order and under the same key, so that the engine does it once.

Invariants: at most `window` requests and `window_bytes` wait in memory; no more are under way than
the engine gave credit for; answers of one pico come in the order of asking. A client belongs to
the loop it was opened on; `connect` gives a synchronous face with a loop in a thread of its own.
Not here: one connection (client_link.py), the engine's side (channel_server.py).
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from random import random
from typing import Any, NamedTuple

from runtime import frames
from runtime.client_link import Link, Place, open_link, parse_url
from runtime.client_live import Watch
from runtime.errors import Fault

# Refusals of a whole connection that would only come again.
_HOPELESS = frozenset(("R1010", "R1014", "R1015", "R4018"))

Done = Callable[[Any], object]
Values = dict[str, Any]


class Patience(NamedTuple):
    """How long a client waits for what. Units: seconds.

    `connect_s` for a connection and its welcome; `ping_s` of silence until a ping, and again until
    the connection counts as lost; `retry_s` before the second try, doubled up to `retry_s_max`;
    without any connection for `give_up_s`, what waits is given up.
    """

    connect_s: float = 10.0
    ping_s: float = 20.0
    retry_s: float = 0.05
    retry_s_max: float = 5.0
    give_up_s: float = 60.0


class _Request:
    """Something that is not answered yet. `is_safe` tells that it may be sent twice."""

    __slots__ = ("data", "done", "id", "is_safe", "was_sent")

    def __init__(self, ident: int, data: bytes, done: Done, is_safe: bool) -> None:
        self.id = ident
        self.data = data
        self.done = done
        self.is_safe = is_safe
        self.was_sent = False


class Client:
    """A client of one engine; made by `async with Client.connect(url) as client`.

    `options` are those of the last welcome: version of the engine, limits, whether it trusts times.
    """

    def __init__(
        self,
        place: Place,
        token: str,
        exactly_once: bool,
        window: int,
        window_bytes: int,
        patience: Patience,
    ) -> None:
        self.options: Values = {}
        self._place = place
        self._token = token
        self._exactly_once = exactly_once
        self._window = window
        self._window_bytes = window_bytes
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._session = secrets.token_hex(12)
        self._count = self._keys = 0
        self._waiting: dict[int, _Request] = {}
        self._waiting_bytes = 0
        self._unsent: deque[_Request] = deque()
        self._credit = 0
        self._link: Link | None = None
        self._is_flush_due = False
        self._rooms: deque[asyncio.Future[None]] = deque()
        self._quiet: list[asyncio.Future[None]] = []
        self._watches: dict[int, Watch] = {}
        self._end: Fault | None = None
        self._lost_at = self._loop.time()

    @staticmethod
    @asynccontextmanager
    async def connect(
        url: str,
        *,
        token: str = "",
        exactly_once: bool = True,
        window: int = 256,
        window_bytes: int = 16 << 20,
        patience: Patience | None = None,
    ) -> AsyncIterator[Client]:
        """Connect to an engine, and at the end wait for what is not answered yet.

        The admin token lets events say when they happened. Without `exactly_once` events go without
        keys, which is cheaper for the engine; what was under way when a connection ended then fails
        with R5004, done or not.

        Raises: R5004 when nobody listens there; R1010 for a wrong token; R1015.
        """
        client = Client(
            parse_url(url), token, exactly_once, window, window_bytes, patience or Patience()
        )
        link = await client._open()
        keeper = asyncio.create_task(client._keep(link))
        try:
            yield client
            await client.idle()
        finally:
            client._fail(Fault("R5004", "the client was closed", "keep it open until all is done"))
            keeper.cancel()
            await asyncio.wait([keeper])
            if client._link is not None:
                client._link.close()

    # --------------------------------------------------------------------------------- what to ask

    async def event(
        self,
        eci: str,
        domain: str,
        name: str,
        attrs: Values | None = None,
        *,
        time_ms: int | None = None,
        key: str | None = None,
    ) -> Values:
        """Have an event evaluated; {eid, directives, errors?} once all of it is durable.

        Raises: Fault when it was refused, or given up (R5004); faults of rules are in `errors`.
        """
        key = key or self._key()
        answer: Values = await self._ask(frames.EVENT, eci, domain, name, attrs, key, time_ms)
        return answer

    async def signal(
        self,
        eci: str,
        domain: str,
        name: str,
        attrs: Values | None = None,
        *,
        time_ms: int | None = None,
        key: str | None = None,
    ) -> str:
        """Have an event accepted durably; its eid, perhaps before it was evaluated.

        Raises: as `event`.
        """
        key = key or self._key()
        eid: str = await self._ask(frames.SIGNAL, eci, domain, name, attrs, key, time_ms)
        return eid

    async def query(self, eci: str, rid: str, name: str, args: Values | None = None) -> Any:
        """Ask a shared function or value.

        Raises: Fault when there is none to ask, or it failed, or it was given up (R5004).
        """
        return await self._ask(frames.QUERY, eci, rid, name, args)

    async def event_query(
        self,
        eci: str,
        domain: str,
        name: str,
        attrs: Values | None,
        rid: str,
        query_name: str,
        args: Values | None = None,
        *,
        key: str | None = None,
    ) -> Any:
        """Have an event evaluated, and right behind it ask a query; the query's value.

        Raises: Fault of the event or the query, or R5004.
        """
        key = key or self._key()
        head = (eci, domain, name, attrs, rid, query_name)
        return await self._ask(frames.EVENT_QUERY, *head, args, key)

    def post(
        self,
        eci: str,
        domain: str,
        name: str,
        attrs: Values | None,
        done: Done,
        *,
        time_ms: int | None = None,
        key: str | None = None,
    ) -> None:
        """Have an event evaluated: no coroutine, `done(answer or Fault)` later.

        Raises: R4019 when the window is full (`await room()` first); R1014, R4018 for attributes.
        """
        if self._is_full:
            hint = "await client.room() before each post, or open it with a larger window"
            raise Fault("R4019", f"{len(self._waiting)} requests wait for their answer", hint)
        key = key or self._key()
        self._send(frames.EVENT, (eci, domain, name, attrs, key, time_ms), done)

    async def live(
        self,
        eci: str | None = None,
        *,
        event: str | None = None,
        rule: str | None = None,
        level: str | None = None,
        whole: bool = False,
    ) -> AsyncIterator[Values]:
        """Yield what happens from now on, on the pico of a channel or on all; as `Engine.log`.

        Needs the admin token. `event` is domain:name, `rule` a rule or rid:rule, `level` the least
        level of what rules log. {"missed": number} tells that the engine left some out, because
        they were not taken fast enough; {"missed": None} that there was no connection for a while.
        Raises: R1010 without the token; R1001, R1013, R1017, R4026; R5004 when given up.
        """
        texts = {"eci": eci, "event": event, "rule": rule, "level": level}
        options = {name: value for name, value in texts.items() if value is not None}
        self._count += 1
        watch = Watch(self._count, {**options, "whole": whole}, self._loop)
        self._watches[watch.id] = watch
        try:
            self._subscribe(watch)
            while True:
                entry, room = await watch.next()
                if room and self._link is not None:
                    self._link.write(frames.encode((frames.MORE, watch.id, room)))
                yield entry
        finally:
            del self._watches[watch.id]
            if watch.is_on and self._link is not None:
                self._link.write(frames.encode((frames.MORE, watch.id, 0)))

    async def room(self) -> None:
        """Wait until another request may be made.

        Raises: R5004 when the client was closed.
        """
        while self._is_full and self._end is None:
            future = self._loop.create_future()
            self._rooms.append(future)
            await future
        if self._end is not None:
            raise self._end

    async def idle(self) -> None:
        """Wait until everything is answered, or given up."""
        while self._waiting:
            future = self._loop.create_future()
            self._quiet.append(future)
            await future

    @property
    def waiting(self) -> int:
        """How many requests are not answered yet."""
        return len(self._waiting)

    # ------------------------------------------------------------------------------------ requests

    @property
    def _is_full(self) -> bool:
        return len(self._waiting) >= self._window or self._waiting_bytes >= self._window_bytes

    def _key(self) -> str | None:
        if not self._exactly_once:
            return None
        self._keys += 1
        return f"{self._session}-{self._keys}"

    async def _ask(self, kind: int, *parts: Any) -> Any:
        future: asyncio.Future[Any] = self._loop.create_future()

        def done(answer: Any) -> None:
            if future.done():
                return
            if isinstance(answer, Fault):
                future.set_exception(answer)
            else:
                future.set_result(answer)

        if self._is_full:
            await self.room()
        self._send(kind, parts, done)
        return await future

    def _send(self, kind: int, parts: tuple[Any, ...], done: Done) -> None:
        if self._end is not None:
            raise self._end
        for part in parts:
            if type(part) is dict:
                frames.check_plain(part, "a map of values")
        self._count = ident = self._count + 1
        data = frames.encode((kind, ident, *parts))
        bytes_max = self.options["frame_bytes_max"]
        if len(data) - 4 > bytes_max:
            message = f"a request of {len(data) - 4} bytes; the engine takes {bytes_max}"
            raise Fault("R4018", message)
        is_safe = kind == frames.QUERY or parts[_KEY_AT[kind]] is not None
        request = _Request(ident, data, done, is_safe)
        self._waiting[ident] = request
        self._waiting_bytes += len(data)
        self._unsent.append(request)
        self._flush_soon()

    def _subscribe(self, watch: Watch) -> None:
        """Ask the engine to show what a subscription is about."""
        if self._end is not None:
            raise self._end

        def done(answer: Any) -> None:
            if isinstance(answer, Fault):
                watch.fail(answer)
            elif watch.id in self._watches:
                watch.is_on = True
            elif self._link is not None:
                # It was given up before it began.
                self._link.write(frames.encode((frames.MORE, watch.id, 0)))

        request = _Request(watch.id, watch.subscription(), done, is_safe=True)
        self._waiting[request.id] = request
        self._waiting_bytes += len(request.data)
        self._unsent.append(request)
        self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Write what may be sent, in one piece."""
        self._is_flush_due = False
        link, unsent = self._link, self._unsent
        if link is None or link.is_paused:
            return
        ready = []
        while unsent and self._credit > 0:
            request = unsent.popleft()
            request.was_sent = True
            ready.append(request.data)
            self._credit -= 1
        if ready:
            link.write(b"".join(ready))

    # ------------------------------------------------------------------------- from the connection

    def answered(self, link: Link, ident: int, answer: Any) -> None:
        """Hand an answer on; one for nothing that waits is a repetition, and dropped."""
        request = self._waiting.get(ident)
        if link is not self._link or request is None or not request.was_sent:
            return
        if isinstance(answer, Fault) and answer.code == "R3007" and request.is_safe:
            # The engine is stopping: it did not take this one, and will be asked again when back.
            return
        del self._waiting[ident]
        self._waiting_bytes -= len(request.data)
        self._tell(request, answer)
        rooms = self._rooms
        if rooms and not self._is_full:
            _wake(rooms.popleft())
        if not self._waiting and self._quiet:
            self._tell_quiet()

    def credited(self, link: Link, requests: int) -> None:
        """More requests may be sent, or the socket takes more again."""
        if link is self._link:
            self._credit = min(self._credit + requests, self.options["credit"])
            self._flush_soon()

    def _happened(self, link: Link, shown: frames.Happening) -> None:
        """Hand on what a subscription shows."""
        watch = self._watches.get(shown.id)
        if link is self._link and watch is not None:
            watch.happened(shown.entries, shown.dropped)

    def _tell(self, request: _Request, answer: Any) -> None:
        try:
            request.done(answer)
        except Exception as error:
            # What a caller's function raises is the caller's, and must not end the connection.
            context = {"message": "a callback of Client.post failed", "exception": error}
            self._loop.call_exception_handler(context)

    def _tell_quiet(self) -> None:
        quiet, self._quiet = self._quiet, []
        for future in quiet:
            _wake(future)

    # --------------------------------------------------------------------------------- connections

    async def _open(self) -> Link:
        """Have a connection that was welcomed.

        Raises: as `open_link`.
        """
        link = await open_link(self._place, self._token, self, self._patience.connect_s)
        self._adopt(link, link.greeted.result())
        return link

    def _adopt(self, link: Link, options: Values) -> None:
        """Use a new connection: everything unanswered is sent on it, in order."""
        self.options = options
        self._credit = options["credit"]
        self._link = link
        link.on_happening = partial(self._happened, link)
        self._unsent = deque(self._waiting.values())
        for watch in self._watches.values():
            if watch.id not in self._waiting:
                self._subscribe(watch)
        self._flush_soon()

    async def _keep(self, link: Link) -> None:
        """Have one connection after another, until the client ends."""
        patience = self._patience
        while True:
            await self._watch(link)
            self._lose(link)
            wait_s = patience.retry_s
            while self._link is None:
                if self._end is not None:
                    return
                await asyncio.sleep(wait_s * (0.5 + random() / 2))
                wait_s = min(wait_s * 2, patience.retry_s_max)
                try:
                    link = await self._open()
                except Fault as fault:
                    self._despair(fault)

    async def _watch(self, link: Link) -> None:
        """Return when a connection has ended, or says nothing any more."""
        has_pinged = False
        while not link.closed.done():
            link.has_heard = False
            await asyncio.wait([link.closed], timeout=self._patience.ping_s)
            if link.has_heard:
                has_pinged = False
            elif has_pinged:
                link.abort()
                return
            else:
                has_pinged = True
                link.write(frames.encode((frames.PING, 0)))

    def _lose(self, link: Link) -> None:
        """A connection is gone: keep what may be sent again, give up the rest."""
        self._link = None
        self._lost_at = self._loop.time()
        for watch in self._watches.values():
            watch.cut()
        if link.fault is not None and link.fault.code in _HOPELESS:
            self._fail(link.fault)
            return
        why = f": {link.fault.message}" if link.fault is not None else ""
        message = f"the connection to {self._place.url} ended{why}; this may have been done or not"
        hint = "open the client with exactly_once=True, so that it can be sent again"
        self._give_up(
            [one for one in self._waiting.values() if one.was_sent and not one.is_safe],
            Fault("R5004", message, hint),
        )

    def _despair(self, fault: Fault) -> None:
        """A try to connect failed: give up when it always will, or has for long."""
        if fault.code in _HOPELESS:
            self._fail(fault)
        elif self._loop.time() - self._lost_at > self._patience.give_up_s:
            self._give_up(list(self._waiting.values()), fault)

    def _fail(self, fault: Fault) -> None:
        """The client ends: nothing more is asked, and nothing that waits is answered."""
        self._end = self._end or fault
        self._give_up(list(self._waiting.values()), fault)
        for watch in self._watches.values():
            watch.fail(self._end)
        while self._rooms:
            _wake(self._rooms.popleft())
        self._tell_quiet()

    def _give_up(self, requests: list[_Request], fault: Fault) -> None:
        for request in requests:
            if self._waiting.pop(request.id, None) is not None:
                self._waiting_bytes -= len(request.data)
                self._tell(request, fault)
        self._unsent = deque(one for one in self._unsent if one.id in self._waiting)
        while self._rooms and not self._is_full:
            _wake(self._rooms.popleft())
        if not self._waiting:
            self._tell_quiet()


# Where the key stands among the parts of a request.
_KEY_AT = {frames.EVENT: 4, frames.SIGNAL: 4, frames.EVENT_QUERY: 7}


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class SyncClient:
    """A client for programs without a loop; made by `with connect(url) as client`.

    Every call waits for its answer. Calls may come from several threads.
    """

    def __init__(self, client: Client, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop

    def event(self, *args: Any, **named: Any) -> Values:
        """As `Client.event`."""
        answer: Values = self._wait(self._client.event(*args, **named))
        return answer

    def signal(self, *args: Any, **named: Any) -> str:
        """As `Client.signal`."""
        eid: str = self._wait(self._client.signal(*args, **named))
        return eid

    def query(self, *args: Any, **named: Any) -> Any:
        """As `Client.query`."""
        return self._wait(self._client.query(*args, **named))

    def event_query(self, *args: Any, **named: Any) -> Any:
        """As `Client.event_query`."""
        return self._wait(self._client.event_query(*args, **named))

    def _wait(self, asked: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(asked, self._loop).result()


@contextmanager
def connect(url: str, **settings: Any) -> Iterator[SyncClient]:
    """A synchronous client of an engine; settings as for `Client.connect`.

    Raises: as `Client.connect`.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="pico-client", daemon=True)
    thread.start()

    def wait(asked: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(asked, loop).result()

    async def enter() -> Client:
        return await held.__aenter__()

    async def leave() -> None:
        await held.__aexit__(None, None, None)

    try:
        held = Client.connect(url, **settings)
        client = wait(enter())
        try:
            yield SyncClient(client, loop)
        finally:
            wait(leave())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
