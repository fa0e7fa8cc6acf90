"""The sequences of relationships between engines, as what each side is asked to do.

In: two sides. Out: the sequences run, with each side's bundles checked after each step. Recorded
with the Node engine by `python -m tests.peer.record`; replayed without it by test_sequences.py.
Source: engine reference 6.8.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

RID = "io.picolabs.subscription"
STATES = ("established", "inbound", "outbound")
# What a bundle has in the reference; ours may know more.
KNOWN = ("Id", "Rx", "Rx_role", "Tx", "Tx_host", "Tx_role", "wellKnown_Tx")


class Side(Protocol):
    """One pico in a relationship, on an engine of either kind."""

    host: str

    async def do(self, name: str, attrs: dict[str, Any]) -> None:
        """Have an event of domain wrangler evaluated."""

    async def ask(self, name: str) -> Any:
        """Ask a shared function of the subscription ruleset."""

    def note(self, found: dict[str, list[dict[str, Any]]]) -> None:
        """Bundles that were waited for are there."""


async def bundles(side: Side) -> dict[str, list[dict[str, Any]]]:
    """The bundles of a side by state."""
    found = {}
    for state in STATES:
        buses = await side.ask(state)
        found[state] = [{key: bus[key] for key in KNOWN if bus.get(key)} for bus in buses]
    return found


async def become(side: Side, **counts: int) -> dict[str, list[dict[str, Any]]]:
    """Wait until a side has so many bundles in each state; the bundles."""
    wanted = {state: counts.get(state, 0) for state in STATES}
    while True:
        found = await bundles(side)
        if {state: len(buses) for state, buses in found.items()} == wanted:
            side.note(found)
            return found
        await asyncio.sleep(0.001)


async def propose(one: Side, other: Side) -> str:
    """6.8.1: one proposes to the other; the relationship's Id."""
    well_known = await other.ask("wellKnown_Rx")
    attrs = {"wellKnown_Tx": well_known["id"], "Rx_role": "ra", "Tx_role": "rb"}
    more = {"name": "pair", "channel_type": "test", "Tx_host": other.host}
    await one.do("subscription", attrs | more)
    here = await become(one, outbound=1)
    there = await become(other, inbound=1)
    [mine], [its] = here["outbound"], there["inbound"]
    assert mine == {
        "Rx_role": "ra",
        "Tx_role": "rb",
        "Tx_host": other.host,
        "Id": mine["Id"],
        "wellKnown_Tx": well_known["id"],
        "Rx": mine["Rx"],
    }
    assert its == {
        "Rx_role": "rb",
        "Tx_role": "ra",
        "Tx_host": one.host,
        "Id": mine["Id"],
        "Tx": mine["Rx"],
        "Rx": its["Rx"],
    }
    ident: str = mine["Id"]
    return ident


async def are_mirrored(one: Side, other: Side) -> None:
    """Both have one established bundle, each the mirror of the other."""
    [mine] = (await become(one, established=1))["established"]
    [its] = (await become(other, established=1))["established"]
    assert mine == {
        "Rx_role": its["Tx_role"],
        "Tx_role": its["Rx_role"],
        "Tx_host": other.host,
        "Id": its["Id"],
        "Tx": its["Rx"],
        "Rx": its["Tx"],
    }
    assert its["Tx_host"] == one.host


async def accept(one: Side, other: Side) -> str:
    """6.8.2: the other accepts."""
    ident = await propose(one, other)
    await other.do("pending_subscription_approval", {"Id": ident})
    await are_mirrored(one, other)
    return ident


async def accept_and_end(one: Side, other: Side) -> None:
    """6.8.2, and 6.8.5 by the side that accepted."""
    ident = await accept(one, other)
    await other.do("subscription_cancellation", {"Id": ident})
    await have_nothing(one, other)


async def decline(one: Side, other: Side) -> None:
    """6.8.3: the other declines."""
    ident = await propose(one, other)
    await other.do("inbound_rejection", {"Id": ident})
    await have_nothing(one, other)


async def withdraw(one: Side, other: Side) -> None:
    """6.8.4: the one withdraws."""
    ident = await propose(one, other)
    await one.do("outbound_cancellation", {"Id": ident})
    await have_nothing(one, other)


async def remove(one: Side, other: Side) -> None:
    """6.8.5: the one ends what was accepted."""
    ident = await accept(one, other)
    await one.do("subscription_cancellation", {"Id": ident})
    await have_nothing(one, other)


async def accept_by_itself(one: Side, other: Side) -> None:
    """6.8.6: the other's configuration accepts."""
    entries = {"Tx_role": ["^ra$"], "name": ["^pa.r$"]}
    await other.do("autoAcceptConfigUpdate", {"config": {"configName": "c", "entries": entries}})
    well_known = await other.ask("wellKnown_Rx")
    attrs = {"wellKnown_Tx": well_known["id"], "Rx_role": "ra", "Tx_role": "rb"}
    more = {"name": "pair", "channel_type": "test", "Tx_host": other.host}
    await one.do("subscription", attrs | more)
    await are_mirrored(one, other)
    [mine] = (await bundles(one))["established"]
    await one.do("subscription_cancellation", {"Id": mine["Id"]})
    await have_nothing(one, other)


async def have_nothing(*sides: Side) -> None:
    """No bundle is left."""
    for side in sides:
        await become(side)


SEQUENCES: dict[str, Callable[[Side, Side], Awaitable[Any]]] = {
    "decline": decline,
    "withdraw": withdraw,
    "remove": remove,
    "accept, and remove by the other": accept_and_end,
    "accept by itself": accept_by_itself,
}
