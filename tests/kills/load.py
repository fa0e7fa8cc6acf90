"""Load from outside for an engine that is killed under it, and the account of what must be there.

In: the channels of some cells. Out: numbered events over several connections, and for each number
what the client was told. Invariants: an acknowledged number must have been counted once, and passed
on once; one that was not acknowledged once at most. Under a key it is sent again until it is.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

from tests.harness.process import Connection

# What a cell says: how often it has seen each number, and was passed each number.
Counts = dict[str, dict[str, int]]


@dataclass
class Sent:
    """One numbered event: to which cell, under which key, and whether it was acknowledged."""

    number: int
    cell: int
    is_signal: bool
    key: str | None
    is_acknowledged: bool = False


@dataclass
class Load:
    """All events that clients sent, over all lives of the engine."""

    chance: random.Random
    doors: list[str]
    sent: list[Sent] = field(default_factory=list)
    again: list[Sent] = field(default_factory=list)
    acknowledged: int = 0

    def next(self) -> Sent:
        """What a client sends next: first what it must send again."""
        if self.again:
            return self.again.pop()
        number = len(self.sent)
        key = f"key-{number}" if self.chance.random() < 0.5 else None
        cell = self.chance.randrange(len(self.doors))
        new = Sent(number, cell, self.chance.random() < 0.5, key)
        self.sent.append(new)
        return new

    async def run(self, url: str, connections: int, enough: asyncio.Event, count: int) -> None:
        """Send over several connections until the engine goes away; tell after `count` answers."""
        target = self.acknowledged + count

        async def client() -> None:
            connection = Connection(url)
            sent: Sent | None = None
            try:
                while True:
                    sent = self.next()
                    await self._send(connection, sent)
                    sent = None
                    if self.acknowledged >= target:
                        enough.set()
            except (OSError, EOFError):
                # Nobody knows whether it was applied.
                if sent is not None and sent.key is not None:
                    self.again.append(sent)
            finally:
                await connection.close()

        await asyncio.gather(*(client() for _ in range(connections)))

    async def repeat(self, url: str) -> None:
        """Send again what has a key and was not acknowledged."""
        connection = Connection(url)
        while self.again:
            await self._send(connection, self.again.pop())
        await connection.close()

    async def _send(self, connection: Connection, sent: Sent) -> None:
        how = "event" if sent.is_signal else "event-wait"
        attrs = {"n": f"n{sent.number}", "next": self.doors[(sent.cell + 1) % len(self.doors)]}
        path = f"/c/{self.doors[sent.cell]}/{how}/kills/count"
        status, answer = await connection.post(path, attrs, sent.key)
        assert status == 200, f"event {sent.number}: {status} {answer}"
        assert not sent.is_acknowledged, f"event {sent.number} was acknowledged before"
        sent.is_acknowledged = True
        self.acknowledged += 1

    def check(self, counts: list[Counts]) -> str:
        """What is wrong with the counts of the cells, "" when nothing is."""
        wanted: list[dict[str, Sent]] = [{} for _ in self.doors]
        for sent in self.sent:
            wanted[sent.cell][f"n{sent.number}"] = sent
        for cell, found in enumerate(counts):
            passed = counts[(cell + 1) % len(counts)]["passed"]
            for name, times in found["seen"].items():
                if name not in wanted[cell]:
                    return f"cell {cell} counted {name}, which was not sent there"
                if times != 1:
                    return f"cell {cell} counted {name} {times} times"
                if passed.get(name) != 1:
                    return f"cell {cell} passed {name} on {passed.get(name, 0)} times"
            for name, sent in wanted[cell].items():
                if sent.is_acknowledged and name not in found["seen"]:
                    return f"cell {cell} has lost {name}, which was acknowledged"
            before = counts[cell - 1]["seen"]
            for name in found["passed"]:
                if name not in before:
                    return f"cell {cell} was passed {name}, which its neighbour has not counted"
        return ""


async def counts_of(url: str, doors: list[str], connections: int = 8) -> list[Counts]:
    """Ask all cells."""
    found: list[Counts] = [{} for _ in doors]
    cells = iter(range(len(doors)))

    async def client() -> None:
        connection = Connection(url)
        for cell in cells:
            path = f"/c/{doors[cell]}/query/kills.cell/counts"
            status, answer = await connection.post(path, {})
            assert status == 200, answer
            found[cell] = answer
        await connection.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    return found
