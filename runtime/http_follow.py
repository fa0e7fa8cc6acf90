"""What happens, as a stream of server-sent events: `GET /api/log?follow`.

In: entries of a listener (live.py), a stream that takes bytes (http_wire.py). Out: for each entry a
`data:` line of JSON; `event: dropped` with {"entries": number} where some were left out; a comment
now and then, so that either side notices when the other is gone. Invariant: nothing is made ahead
of a client that does not read: entries wait in the listener, which is bounded.
Not here: who may follow (http_api.py).
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from runtime.http_answers import encode_json
from runtime.live import Listener

HEARTBEAT_SECONDS = 15.0
# Enough to share the cost of a write, few enough to look at the client's pace again.
_ENTRIES_AT_ONCE = 64
_HELLO = b": following\n\n"
_HEARTBEAT = b": still here\n\n"


class Stream(Protocol):
    """An answer that goes on. `on_ready` is called when it may be written again, or has ended."""

    on_ready: Callable[[], object]

    @property
    def is_open(self) -> bool: ...

    @property
    def is_ready(self) -> bool: ...

    def write(self, data: bytes) -> None: ...


class Follower:
    """One client that follows; `begin` gives it what to listen with."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._stream: Stream | None = None
        self._listener: Listener | None = None
        self._is_due = False
        self._heartbeat: asyncio.TimerHandle | None = None

    def begin(self, listener: Listener, stream: Stream) -> None:
        """Send what the listener hears, until the stream ends."""
        self._listener = listener
        self._stream = stream
        stream.on_ready = self.tell
        stream.write(_HELLO)
        self._heartbeat = self._loop.call_later(HEARTBEAT_SECONDS, self._beat)
        self.tell()

    def tell(self) -> None:
        """Something waits, or the stream takes more again, or has ended."""
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._pass_on)

    def _pass_on(self) -> None:
        self._is_due = False
        listener, stream = self._listener, self._stream
        if listener is None or stream is None:
            return
        if not stream.is_open:
            self._end()
            return
        while stream.is_open and stream.is_ready:
            entries, dropped = listener.take(_ENTRIES_AT_ONCE)
            if not entries and not dropped:
                return
            said = [b"data: " + encode_json(entry) + b"\n\n" for entry in entries]
            if dropped:
                said.insert(0, b'event: dropped\ndata: {"entries":%d}\n\n' % dropped)
            stream.write(b"".join(said))

    def _beat(self) -> None:
        stream = self._stream
        if stream is not None and stream.is_open and stream.is_ready:
            stream.write(_HEARTBEAT)
        self._heartbeat = self._loop.call_later(HEARTBEAT_SECONDS, self._beat)

    def _end(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            self._heartbeat = None
