"""The two kinds of sides of a relationship: a pico of ours, and one of the Node engine.

In: a `Town` with the system rulesets, a running Node engine. Out: `Side`s for sequences.py, and for
ours what came over HTTP from the other engine.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from tests.peer.node import NodeEngine
from tests.peer.sequences import RID
from tests.peer.stage import Town


class OurSide:
    """The root pico of an engine of ours. `came` has what others sent, with our answers."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.host = town.url
        self.came: list[dict[str, Any]] = []
        api = town.http._connections.api
        handle = api.handle

        def listen(request: Any, exchange: Any, body_bytes_max: int) -> None:
            url = request.url.decode()
            came = {"at": self.now(), "method": request.method.decode(), "url": url}
            came["attrs"] = json.loads(request.body or b"{}")
            self.came.append(came)
            handle(request, _Told(exchange, came), body_bytes_max)

        api.handle = listen  # type: ignore[method-assign]

    @staticmethod
    def now() -> float:
        """Milliseconds, as the Node engine counts them."""
        return time.time() * 1000

    async def do(self, name: str, attrs: dict[str, Any]) -> None:
        answer = await self.town.engine.event(self.town.root, "wrangler", name, attrs)
        assert "errors" not in answer, answer

    async def ask(self, name: str) -> Any:
        return await self.town.engine.query(self.town.root, RID, name)

    def note(self, found: dict[str, list[dict[str, Any]]]) -> None:
        """Nothing is kept."""


class _Told:
    """Passes an answer on, and keeps it."""

    def __init__(self, exchange: Any, came: dict[str, Any]) -> None:
        self._exchange = exchange
        self._came = came

    def send(self, status: int, body: bytes, *more: Any) -> None:
        self._came |= {"status": status, "body": body.decode()}
        self._exchange.send(status, body, *more)


class NodeSide:
    """The root pico of the Node engine, with the plain subscription ruleset of krl/."""

    def __init__(self, engine: NodeEngine) -> None:
        self.engine = engine
        self.host = engine.url
        engine.install(RID)
        self.eci = engine.channel("all")

    async def do(self, name: str, attrs: dict[str, Any]) -> None:
        await asyncio.to_thread(self.engine.event, self.eci, "wrangler", name, attrs)

    async def ask(self, name: str) -> Any:
        return await asyncio.to_thread(self.engine.query, self.eci, RID, name)

    def note(self, found: dict[str, list[dict[str, Any]]]) -> None:
        """Nothing is kept."""
