"""One connection of a channel client: where to, greeting, frames in and out.

In: a URL; bytes of a socket. Out: a `Link` that tells its client (a `Hearer`) of answers and
credit, with futures for the welcome and the end. Not here: what is sent, and sent again
(client.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from runtime import frames, limits
from runtime.errors import Fault

DEFAULT_PORT = 3001


class Place(NamedTuple):
    """Where an engine listens: a host with its port, or the path of a Unix socket."""

    url: str
    host: str
    port: int
    path: str


def parse_url(url: str) -> Place:
    """The place that a URL names.

    Raises: R5004 for other forms than `pico://host[:port]` and `pico+unix:/path`.
    """
    parts = urlsplit(url)
    try:
        port = DEFAULT_PORT if parts.port is None else parts.port
    except ValueError:
        port = -1
    if parts.scheme == "pico" and parts.hostname and port > 0 and parts.path in ("", "/"):
        return Place(url, parts.hostname, port, "")
    if parts.scheme == "pico+unix" and parts.path.startswith("/") and not parts.netloc:
        return Place(url, "", 0, unquote(parts.path))
    hint = "write pico://host:port, or pico+unix:/path for a Unix socket"
    raise Fault("R5004", f"{url!r} is no address of channels", hint)


class Hearer(Protocol):
    """Whom a connection tells what it hears."""

    def answered(self, link: Link, ident: int, answer: Any) -> None:
        """A request has an answer, or a Fault."""

    def credited(self, link: Link, requests: int) -> None:
        """So many more may be sent; 0 when the socket takes more again."""


class Link(asyncio.Protocol):
    """One connection of a client; a client has one at a time, and hears only that one."""

    def __init__(self, hearer: Hearer, loop: asyncio.AbstractEventLoop) -> None:
        self._hearer = hearer
        self._splitter = frames.Splitter(limits.answer_bytes_max)
        self._transport: Any = None
        self.greeted: asyncio.Future[frames.Values] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.fault: Fault | None = None
        self.on_happening: Callable[[frames.Happening], object] | None = None
        self.has_heard = False
        self.is_paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self.has_heard = True
        try:
            for content in self._splitter.feed(data):
                self._hear(frames.decode_reply(content))
            if self._splitter.fault is not None:
                raise self._splitter.fault
        except Fault as fault:
            self.fault = fault
            self._transport.abort()

    def _hear(self, reply: frames.Reply) -> None:
        if isinstance(reply, frames.Answer):
            self._hearer.answered(self, reply.id, reply.value)
        elif isinstance(reply, frames.Refusal):
            fault = frames.fault_from(reply.fault)
            if reply.id is None:
                self.fault = fault
                self._transport.close()
            else:
                self._hearer.answered(self, reply.id, fault)
        elif isinstance(reply, frames.Happening):
            if self.on_happening is not None:
                self.on_happening(reply)
        elif isinstance(reply, frames.Credit):
            self._hearer.credited(self, reply.requests)
        elif isinstance(reply, frames.Welcome):
            if not self.greeted.done():
                self.greeted.set_result(_usable(reply))
        elif isinstance(reply, frames.Ping):
            self.write(frames.encode((frames.PONG, reply.id)))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self.greeted.done():
            self.greeted.cancel()
        if not self.closed.done():
            self.closed.set_result(None)

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self.is_paused = True

    def resume_writing(self) -> None:
        self.is_paused = False
        self._hearer.credited(self, 0)

    def write(self, data: bytes) -> None:
        """Send, if it is still there."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """End it; what was written still leaves."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End it at once."""
        if self._transport is not None:
            self._transport.abort()


def _usable(welcome: frames.Welcome) -> frames.Values:
    """What the engine offers.

    Raises: R1015 for a version that we do not speak, R1014 for bounds that are no numbers.
    """
    if not frames.VERSION_MIN <= welcome.version <= frames.VERSION:
        raise Fault("R1015", f"the engine chose version {welcome.version}")
    options = {"credit": 1, "frame_bytes_max": limits.frame_bytes_max, **welcome.options}
    for name in ("credit", "frame_bytes_max"):
        if type(options[name]) is not int or options[name] < 1:
            raise Fault("R1014", f"the engine's welcome gives no usable {name}")
    return options


async def open_link(place: Place, token: str, hearer: Hearer, seconds: float) -> Link:
    """A connection that was welcomed, in the given time.

    Raises: R5004 when there is none to be had, or the fault that the engine gave.
    """
    loop = asyncio.get_running_loop()
    link = Link(hearer, loop)
    try:
        async with asyncio.timeout(seconds):
            if place.path:
                await loop.create_unix_connection(lambda: link, place.path)
            else:
                await loop.create_connection(lambda: link, place.host, place.port)
            options = {"token": token} if token else {}
            link.write(frames.encode((frames.HELLO, 0, frames.VERSION, options)))
            await asyncio.wait([link.greeted])
    except TimeoutError:
        link.abort()
        raise Fault("R5004", f"{place.url} gave no answer in {seconds} seconds") from None
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Fault("R5004", f"{place.url} cannot be reached: {reason}") from None
    except BaseException:
        link.abort()
        raise
    if link.greeted.cancelled():
        raise link.fault or Fault("R5004", f"{place.url} closed the connection without a word")
    return link
