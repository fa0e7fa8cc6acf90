"""Subscriptions of a channel connection to what happens in the engine.

In: `live` and `more` frames, entries of listeners (live.py). Out: `happening` frames, no more
entries of a subscription than its client gave room for. Invariant: what a client has no room for
waits in the listener, which is bounded. Not here: the connection (channel_server.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from runtime import frames
from runtime.errors import Fault
from runtime.frames import encode
from runtime.limits import live_entries_max
from runtime.live import Listener

# The room of a client that names none.
_ROOM = 256
# Enough to share the cost of a frame; a frame of the largest entries is still small.
_ENTRIES_AT_ONCE = 64

Say = Callable[[bytes], object]


class Listen(Protocol):
    """How to listen to an engine; see `library.Engine.listen`."""

    def __call__(
        self,
        tell: Callable[[], object],
        eci: str | None = None,
        /,
        *,
        event: str | None = None,
        rule: str | None = None,
        level: str | None = None,
        whole: bool = False,
    ) -> Listener: ...


class Subscriptions:
    """All subscriptions of one connection, by the id that its client gave them."""

    def __init__(self, listen: Listen, loop: asyncio.AbstractEventLoop, say: Say) -> None:
        self._listen = listen
        self._loop = loop
        self._say = say
        self._all: dict[int, _Subscription] = {}

    def begin(self, asked: frames.Live) -> dict[str, Any]:
        """Show from now on what a client wants to see; the answer to its request.

        Raises: R1014 for options of another kind, or an id that has a subscription; those of
        `Engine.listen`.
        """
        if asked.id in self._all:
            raise Fault("R1014", f"the id {asked.id} has a subscription already")
        options = asked.options or {}
        room = options.get("entries", _ROOM)
        texts = {name: options.get(name) for name in ("eci", "event", "rule", "level")}
        for name, value in texts.items():
            if value is not None and type(value) is not str:
                raise Fault("R1014", f"the option {name} of a live is no text")
        if type(room) is not int or not 1 <= room <= live_entries_max:
            raise Fault("R1014", f"the option entries is no number from 1 to {live_entries_max}")
        made = _Subscription(asked.id, room, self._loop, self._say)
        eci = texts.pop("eci")
        whole = options.get("whole") is True
        made.listener = self._listen(made.tell, eci, **texts, whole=whole)
        self._all[asked.id] = made
        return {"entries": room}

    def more(self, given: frames.More) -> None:
        """A client has room again, or with 0 wants to see no more.

        Raises: R1014 for a negative number, or more than there can be.
        """
        found = self._all.get(given.id)
        if found is None:
            # It may have been sent before its sender knew of the end.
            return
        if given.entries == 0:
            del self._all[given.id]
            found.end()
        elif given.entries < 0 or found.room + given.entries > live_entries_max:
            message = f"room for {given.entries} more entries; {live_entries_max} is the most"
            raise Fault("R1014", message)
        else:
            found.room += given.entries
            found.tell()

    def end(self) -> None:
        """The connection is gone."""
        for each in self._all.values():
            each.end()
        self._all.clear()


class _Subscription:
    """One subscription, and how many entries its client has room for."""

    __slots__ = ("_id", "_is_due", "_loop", "_say", "listener", "room")

    def __init__(self, ident: int, room: int, loop: asyncio.AbstractEventLoop, say: Say) -> None:
        self._id = ident
        self._loop = loop
        self._say = say
        self._is_due = False
        self.room = room
        self.listener: Listener | None = None

    def tell(self) -> None:
        """Something waits, or there is room again."""
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._pass_on)

    def _pass_on(self) -> None:
        self._is_due = False
        while self.listener is not None and self.room:
            entries, dropped = self.listener.take(min(self.room, _ENTRIES_AT_ONCE))
            if not entries and not dropped:
                return
            self.room -= len(entries)
            self._say(encode((frames.HAPPENING, self._id, entries, dropped)))

    def end(self) -> None:
        """Show no more."""
        if self.listener is not None:
            self.listener.close()
            self.listener = None
