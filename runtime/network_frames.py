"""One framed connection to another engine, and the envelopes under way on it.

In: envelopes with whom to tell; frames of the other engine. Out: frames in the order of handing
over, no more than the other side gave credit for; a reply for each envelope, once, also when the
connection ends before. Invariants: a connection to another engine than the one that was meant is
not used; one that says nothing while something is under way ends; one that has nothing to do ends.
Not here: what a reply leads to (outbox.py), when to connect (network_peers.py).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from runtime import frames
from runtime.client_link import Link, Place, open_link
from runtime.errors import Fault
from runtime.limits import (
    peer_connect_seconds_max,
    peer_idle_seconds_max,
    peer_silence_seconds_max,
)
from runtime.network import Envelope, Hear, Reply, later, reply_to

_UNUSABLE = "the other engine's answer is no reply to an envelope"


class FramedPeer:
    """A connection that was welcomed by the engine it was meant for.

    `ended` is told once, with no reply owed any more.
    """

    def __init__(self, place: Place, ended: Callable[[FramedPeer], object]) -> None:
        self.place = place
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._link: Link | None = None
        self._options: frames.Values = {}
        self._credit = 0
        self._count = 0
        self._waiting: dict[int, Hear] = {}
        self._unsent: deque[bytes] = deque()
        self._is_flush_due = False
        self._watch: asyncio.TimerHandle | None = None
        self._silent_s = 0.0
        self._idle_s = 0.0

    async def open(self, ident: str) -> None:
        """Connect to the engine that goes by this id.

        Raises: R5004 when it cannot be reached, or another one answers there; the fault it gives.
        """
        link = await open_link(self.place, "", self, peer_connect_seconds_max)
        options = link.greeted.result()
        if options.get("id") != ident:
            link.abort()
            raise Fault("R5004", f"another engine answers at {self.place.url}")
        self._options = options
        self._credit = options["credit"]
        self._link = link
        link.closed.add_done_callback(self._lost)
        self._watch = self._loop.call_later(peer_silence_seconds_max / 2, self._look)

    def send(self, envelope: Envelope, done: Hear) -> None:
        """Send when there is credit; `done` gets the reply, later."""
        self._count = ident = self._count + 1
        try:
            data = frames.encode((frames.ENVELOPE, ident, *msgspec.structs.astuple(envelope)))
            bytes_max = self._options["frame_bytes_max"]
            if len(data) - 4 > bytes_max:
                raise Fault("R4018", f"{len(data) - 4} bytes; the other engine takes {bytes_max}")
        except Fault as fault:
            self._loop.call_soon(done, reply_to(fault))
            return
        self._waiting[ident] = done
        self._unsent.append(data)
        self._idle_s = 0.0
        if not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        """End it; what is under way gets its replies from `ended` on."""
        if self._link is not None:
            self._link.abort()

    def _flush(self) -> None:
        """Write what may be sent, in one piece."""
        self._is_flush_due = False
        link, unsent = self._link, self._unsent
        if link is None or link.is_paused or not unsent:
            return
        if len(unsent) <= self._credit:
            ready = list(unsent)
            unsent.clear()
        else:
            ready = [unsent.popleft() for _ in range(self._credit)]
        self._credit -= len(ready)
        if ready:
            link.write(b"".join(ready))

    # --- From the connection ----------------------------------------------------------------------

    def answered(self, link: Link, ident: int, answer: Any) -> None:
        """Hand a reply on; one for nothing that waits is dropped."""
        done = self._waiting.pop(ident, None)
        if done is not None:
            done(_reply(answer))

    def credited(self, link: Link, requests: int) -> None:
        """More may be sent, or the socket takes more again."""
        self._credit = min(self._credit + requests, self._options.get("credit", requests))
        self._flush()

    def _lost(self, _: asyncio.Future[None]) -> None:
        """The connection is gone: whatever is under way may have arrived or not."""
        link, self._link = self._link, None
        if self._watch is not None:
            self._watch.cancel()
        waiting, self._waiting = self._waiting, {}
        self._unsent.clear()
        self._ended(self)
        fault = None if link is None else link.fault
        why = "" if fault is None else f": {fault.message}"
        reply = later("R5004", f"the connection to {self.place.url} ended{why}")
        for done in waiting.values():
            done(reply)

    def _look(self) -> None:
        """Look after a connection that says nothing, or has nothing to do."""
        link = self._link
        if link is None:
            return
        step = peer_silence_seconds_max / 2
        self._watch = self._loop.call_later(step, self._look)
        self._idle_s = 0.0 if self._waiting else self._idle_s + step
        self._silent_s = 0.0 if link.has_heard else self._silent_s + step
        link.has_heard = False
        if self._idle_s > peer_idle_seconds_max or self._silent_s > peer_silence_seconds_max:
            link.abort()
        elif self._silent_s:
            link.write(frames.encode((frames.PING, 0)))


def _reply(answer: Any) -> Reply:
    """The reply in an answer."""
    if isinstance(answer, Fault):
        return reply_to(answer)
    try:
        return msgspec.convert(answer, Reply)
    except msgspec.ValidationError as error:
        return later("R5001", f"{_UNUSABLE}: {error}")
