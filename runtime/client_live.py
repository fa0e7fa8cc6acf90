"""What a channel client sees of an engine's happenings: a queue for each subscription.

In: `happening` frames, ends of connections. Out: entries, and notes of what was missed, to one
`async for`. Invariant: no more than twice the entries wait here that one engine was given room for.
Not here: the connection (client_link.py), who subscribes again after one (client.py).
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from runtime import frames
from runtime.errors import Fault

# Entries that may wait here; half of them are asked for again at once.
ROOM = 256

Values = dict[str, Any]


class Watch:
    """One subscription of a client, over all its connections."""

    def __init__(self, ident: int, options: Values, loop: asyncio.AbstractEventLoop) -> None:
        self.id = ident
        self.options = {**options, "entries": ROOM}
        self.is_on = False
        self._loop = loop
        self._queue: deque[Values] = deque()
        # Entries taken since room was given for them, and those of a connection that ended.
        self._taken = self._old = 0
        self._end: Fault | None = None
        self._waiter: asyncio.Future[None] | None = None

    def subscription(self) -> bytes:
        """The frame that asks for it."""
        return frames.encode((frames.LIVE, self.id, self.options))

    def happened(self, entries: list[Values], dropped: int) -> None:
        """The engine shows something."""
        if dropped:
            self._queue.append({"missed": dropped})
        self._queue.extend(entries)
        self._wake()

    def cut(self) -> None:
        """The connection ended: what happens until the next one is not seen."""
        if self.is_on:
            self.is_on = False
            if len(self._queue) > ROOM:
                self._queue.clear()
            self._taken, self._old = 0, len(self._queue)
            self._queue.append({"missed": None})
            self._wake()

    def fail(self, fault: Fault) -> None:
        """There will be no more."""
        self._end = self._end or fault
        self._wake()

    async def next(self) -> tuple[Values, int]:
        """The next entry, and how many entries the engine is to be given room for.

        Raises: Fault once all was taken and there will be no more.
        """
        while not self._queue:
            if self._end is not None:
                raise self._end
            self._waiter = self._loop.create_future()
            await self._waiter
        entry = self._queue.popleft()
        if self._old:
            self._old -= 1
            return entry, 0
        if "missed" in entry:
            return entry, 0
        self._taken += 1
        if self._taken < ROOM // 2 or not self.is_on:
            return entry, 0
        room, self._taken = self._taken, 0
        return entry, room

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
