"""What tests of sends between engines need: engines in one process behind real sockets.

In: rulesets. Out: `Town`s, each an engine in memory with HTTP and frames at free ports, whose rules
may reach this machine. Waiting is for a condition.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from runtime import Engine
from runtime.network_http import reply_lines
from runtime.network_peers import Peers
from runtime.server import ChannelServer, HttpServer, bind
from tests.harness.engine import InlineCompiler
from tests.peer.rulesets import TALK

TOKEN = "sesame-token"


class Town(NamedTuple):
    """An engine with its addresses."""

    engine: Engine
    url: str
    http: HttpServer
    channels: ChannelServer | None

    @property
    def root(self) -> str:
        return self.engine.root_eci

    @property
    def peers(self) -> Peers:
        """Its way to other engines."""
        network = self.engine.core.outbox._network
        assert isinstance(network, Peers)
        return network

    def framed(self) -> list[str]:
        """The hosts that events go to in frames now."""
        known = self.peers._peers.items()
        return [host for host, peer in known if peer.framed is not None]

    async def say(self, where: Town | str, eci: str, *notes: Any) -> dict[str, Any]:
        """Let the rule send one event for each note."""
        host = where if isinstance(where, str) else where.url
        attrs = {"host": host, "eci": eci, "notes": list(notes)}
        return await self.engine.event(self.root, "talk", "say", attrs)

    async def heard(self) -> list[Any]:
        """The notes that came, in order."""
        found: list[Any] = await self.engine.query(self.root, "talk", "heard")
        return found

    async def until_heard(self, notes: list[Any]) -> None:
        """Wait until just these came."""
        while len(found := await self.heard()) < len(notes):
            await asyncio.sleep(0.001)
        assert found == notes

    async def narrow(self) -> str:
        """A channel of the root pico on which nothing is allowed but `talk:hear`."""
        made: dict[str, Any] = await self.engine.event(self.root, "talk", "narrow")
        eci: str = made["directives"][0]["options"]["eci"]
        return eci

    def tell(self, channel: str) -> None:
        """Say another port and id from now on."""
        self.http._connections.api._reply_lines = reply_lines(channel)

    async def until_quiet(self) -> None:
        """Wait until nothing is left to send."""
        await until(lambda: not self.waiting)

    @property
    def waiting(self) -> int:
        """How many events wait for other engines."""
        return sum(pair.next - pair.low for pair in self.engine.core.outbox._pairs.values())


async def until(condition: Callable[[], object]) -> None:
    """Let everything else run until a condition holds."""
    while not condition():
        await asyncio.sleep(0.001)


@asynccontextmanager
async def town(
    *,
    frames: bool = True,
    told: str | None = None,
    port: int = 0,
    ident: str = "",
    **settings: Any,
) -> AsyncIterator[Town]:
    """An engine with the ruleset `talk`; `told` is what it tells others of its channel port."""
    bound = bind("127.0.0.1", port)
    url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    allowed = settings.pop("allow_hosts", ["127.0.0.1"])
    async with Engine.open(
        compiler=InlineCompiler(), host=url, allow_hosts=allowed, **settings
    ) as engine:
        await engine.install(engine.root_eci, source=TALK)
        channels = None
        if frames:
            listening = bind("127.0.0.1", 0)
            ident = ident or f"engine-{url}"
            channels = await ChannelServer.start(
                engine, [listening], "127.0.0.1", token=TOKEN, ident=ident
            )
            if told is None:
                told = f"{listening.getsockname()[1]} {ident}"
        http = await HttpServer.start(engine, bound, "127.0.0.1", token=TOKEN, channel=told or "")
        try:
            yield Town(engine, url, http, channels)
        finally:
            await http.stop(5)
            if channels is not None:
                await channels.stop(5)
