"""The network of an engine: which form events take to each host, HTTP or frames.

In: envelopes with the base URL of a host. Out: replies. HTTP (network_http.py) reaches every pico
engine, and its answers say whether the same engine takes frames, and where; so the first event to a
host goes over HTTP, and as long as a framed connection stands the next ones go there, many at a
time. Nothing has to be asked, remembered or expired: an engine that moved, or became another kind
of engine, is met with the next event. Invariants: frames go only to the engine that answered over
HTTP, never in place of an encrypted form, and only to an address that the policy lets HTTP go to; a
host that is not there costs nothing but its own events; what is known is bounded.
Not here: order, repetition, time (outbox.py).
"""

from __future__ import annotations

import asyncio
import logging
import socket
from functools import partial
from urllib.parse import SplitResult, urlsplit

from runtime.client_link import Place
from runtime.errors import Fault
from runtime.limits import outbox_window_max, peer_frames_retry_seconds, peers_known_max
from runtime.network import Envelope, Hear, Reply
from runtime.network_frames import FramedPeer
from runtime.network_http import Channel, post, unanswered
from runtime.web import Web, checked_url
from runtime.web_policy import Policy

_log = logging.getLogger("pico.network")


class Peer:
    """What is known about one host.

    `framed` stands; `opening` is on its way to; after `failures` in a row the next try is not
    before `again_s`, in the loop's time.
    """

    __slots__ = ("again_s", "failures", "framed", "opening")

    def __init__(self) -> None:
        self.framed: FramedPeer | None = None
        self.opening: asyncio.Task[None] | None = None
        self.failures = 0
        self.again_s = 0.0

    @property
    def is_in_use(self) -> bool:
        """Whether it must not be forgotten."""
        return self.framed is not None or self.opening is not None


class Peers:
    """A `Network`, for the loop that it was made on."""

    def __init__(self, web: Web, policy: Policy) -> None:
        self._web = web
        self._policy = policy
        self._loop = asyncio.get_running_loop()
        self._peers: dict[str, Peer] = {}
        self._is_closed = False

    def send(self, host: str, envelope: Envelope, done: Hear) -> None:
        """Try to deliver once; see `network.Network`."""
        peer = self._peers.get(host)
        if peer is not None and peer.framed is not None:
            peer.framed.send(envelope, done)
        elif not self._is_closed:
            try:
                checked_url(host)
            except Fault as fault:
                self._loop.call_soon(done, unanswered(fault))
                return
            post(self._web, host, envelope, partial(self._heard, host, done))

    def credit(self, host: str) -> int:
        """A window over frames, else one."""
        peer = self._peers.get(host)
        return 1 if peer is None or peer.framed is None else outbox_window_max

    async def close(self) -> None:
        """End all connections; what comes after gets no reply."""
        self._is_closed = True
        opening = [peer.opening for peer in self._peers.values() if peer.opening is not None]
        for task in opening:
            task.cancel()
        if opening:
            await asyncio.wait(opening)
        for peer in self._peers.values():
            if peer.framed is not None:
                peer.framed.close()

    # --- Frames -----------------------------------------------------------------------------------

    def _heard(self, host: str, done: Hear, reply: Reply, channel: Channel | None) -> None:
        """An answer over HTTP; it may say where frames are taken."""
        if self._is_closed:
            return
        if channel is not None and host.startswith("http://"):
            peer = self._known(host)
            if not peer.is_in_use and self._loop.time() >= peer.again_s:
                peer.opening = self._loop.create_task(self._open(urlsplit(host), peer, channel))
        done(reply)

    def _known(self, host: str) -> Peer:
        """The peer of a host, as the last one used."""
        peers = self._peers
        peer = peers.pop(host, None) or Peer()
        if len(peers) >= peers_known_max:
            unused = next((key for key, one in peers.items() if not one.is_in_use), None)
            if unused is not None:
                del peers[unused]
        peers[host] = peer
        return peer

    async def _open(self, host: SplitResult, peer: Peer, channel: Channel) -> None:
        """Have a framed connection, or go on over HTTP, which does the same work."""
        name = host.hostname or ""
        try:
            for address in await self._addresses(name, host.port or 80):
                place = Place(f"pico://{name}:{channel.port}", address, channel.port, "")
                framed = FramedPeer(place, partial(self._ended, peer))
                try:
                    await framed.open(channel.ident)
                except Fault:
                    continue
                peer.framed = framed
                peer.failures = 0
                _log.info("events for %s go in frames", name)
                return
            if not peer.failures:
                _log.info("events for %s go over HTTP: its port %d is no way", name, channel.port)
            peer.again_s = self._loop.time() + min(1 << peer.failures, peer_frames_retry_seconds)
            peer.failures = min(peer.failures + 1, 30)
        finally:
            peer.opening = None

    async def _addresses(self, name: str, port: int) -> list[str]:
        """Where a host is that may be reached over HTTP at this port; nothing when it may not."""
        try:
            rows = await self._loop.getaddrinfo(name, port, type=socket.SOCK_STREAM)
            found = dict.fromkeys(str(row[4][0]) for row in rows)
            return self._policy.allowed(name, port, found)
        except (Fault, OSError, UnicodeError):
            return []

    def _ended(self, peer: Peer, framed: FramedPeer) -> None:
        """A framed connection is gone: the next event goes over HTTP, and learns anew."""
        if peer.framed is framed:
            peer.framed = None
