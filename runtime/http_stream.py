"""An answer over HTTP that goes on: chunks of it, until either side ends it.

In: bytes from whoever makes them, news from the connection. Out: bytes for the connection, in
chunks if the client knows them. Not here: which answers go on (http_admin.py), the connection
(http_wire.py).
"""

from collections.abc import Callable
from typing import Protocol


class Carrier(Protocol):
    """The connection that a stream is on."""

    is_write_paused: bool

    def send_on(self, data: bytes) -> None:
        """Send bytes of the stream."""


class Stream:
    """An answer that goes on until either side ends it.

    `on_ready` is called when it may be written to (again), and when it has ended.
    """

    __slots__ = ("_connection", "_held", "_is_started", "is_chunked", "is_open", "on_ready")

    def __init__(self, connection: Carrier, is_chunked: bool) -> None:
        self._connection = connection
        self._held: list[bytes] = []
        self._is_started = False
        self.is_chunked = is_chunked
        self.is_open = True
        self.on_ready: Callable[[], object] = _nobody

    @property
    def is_ready(self) -> bool:
        """Whether the client takes what is written; what is written all the same waits here."""
        return self._is_started and not self._connection.is_write_paused

    def write(self, data: bytes) -> None:
        """Send more; nothing happens when it has ended."""
        if not self.is_open:
            return
        if self.is_chunked:
            data = b"%x\r\n%s\r\n" % (len(data), data)
        if self._is_started:
            self._connection.send_on(data)
        else:
            self._held.append(data)

    def start(self) -> None:
        """All answers before this one have left."""
        self._is_started = True
        self._connection.send_on(b"".join(self._held))
        self._held.clear()
        self.on_ready()

    def close(self) -> None:
        """End it, from this side."""
        if self.is_open:
            if self.is_chunked and self._is_started:
                self._connection.send_on(b"0\r\n\r\n")
            self.lost()

    def lost(self) -> None:
        """It has ended."""
        self.is_open = False
        self.on_ready()


def _nobody() -> None:
    """Who is told before anybody asked to be."""
