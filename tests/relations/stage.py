"""Picos that relate to each other, on one engine or on two, for tests to push about.

In: which engines there are and what lies between them. Out: `Member` objects, each a pico with the
subscription ruleset and a witness that writes down what it was told. Invariants: time is virtual
and moves only here; the rulesets are compiled once a run. Nothing here knows what should happen.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from runtime.clock import VirtualClock
from runtime.errors import Fault
from runtime.network import TAKEN, Envelope, reply_to
from runtime.store import FAMILIES, Batch
from tests.harness.network import SimulatedNetwork, Site

HERE = Path(__file__).parent
RULESETS = HERE.parents[1] / "runtime" / "rulesets"
SUBSCRIPTION = "io.picolabs.subscription"
STATES = ("established", "inbound", "outbound")


def read_ruleset(path: Path) -> str:
    """A ruleset without the remarks before it: the harness takes its second word for its id."""
    text = path.read_text("utf-8")
    return text[f"\n{text}".index("\nruleset ") :]


OWN_TEXT = read_ruleset(RULESETS / f"{SUBSCRIPTION}.krl")
OTHERS = [read_ruleset(HERE / "witness.krl"), read_ruleset(HERE / "family.krl")]
# Long enough for everything that is under way to arrive and be answered, short of any check.
SETTLE_MS = 200

_envelope = msgspec.msgpack.Decoder(Envelope).decode
_to_wire = msgspec.msgpack.encode


class LooseNetwork(SimulatedNetwork):
    """What lies between engines that only post to each other: nothing is numbered or repeated.

    `loses_next` and `doubles_next` count, for names of events, how many are still to be lost or
    delivered twice; the sender is told that all went well.
    """

    def __init__(self, clock: VirtualClock, seed: int = 1) -> None:
        super().__init__(clock, seed)
        # Hosts that take everything and never say a word, as engines of other makers may.
        self.silent: set[str] = set()
        self.loses_next: dict[str, int] = {}
        self.doubles_next: dict[str, int] = {}
        self.loose_loss = 0.0
        self.loose_doubling = 0.0

    def carry(self, one: str, other: str, data: bytes, hear: Callable[[bytes], object]) -> None:
        site, envelope = self.sites.get(other), _envelope(data)
        if other in self.silent:
            hear(_to_wire(TAKEN))
            return
        if site is None or site.core is None:
            super().carry(one, other, data, hear)
            return
        if self._takes(self.loses_next, envelope.name, self.loose_loss):
            hear(_to_wire(TAKEN))
            return

        def answer(got: Any) -> None:
            hear(_to_wire(reply_to(got) if isinstance(got, Fault) else TAKEN))

        for done in self._receivers(envelope.name, answer):
            site.core.post(envelope.eci, envelope.domain, envelope.name, envelope.attrs, done)

    def _receivers(self, name: str, answer: Callable[[Any], object]) -> list[Any]:
        is_doubled = self._takes(self.doubles_next, name, self.loose_doubling)
        return [answer, lambda got: None] if is_doubled else [answer]

    def _takes(self, counts: dict[str, int], name: str, rate: float) -> bool:
        if counts.get(name, 0) > 0:
            counts[name] -= 1
            return True
        return rate > 0 and self.chance.random() < rate


class Stage:
    """Engines, and what lies between them; `text` is the subscription ruleset."""

    def __init__(
        self,
        network: SimulatedNetwork,
        hosts: tuple[str, ...] = ("http://a",),
        text: str = OWN_TEXT,
    ) -> None:
        self.network = network
        self.clock = network.clock
        self.sites = [Site(network, host) for host in hosts]
        for site in self.sites:
            for source in [text, *OTHERS]:
                site.install(source)

    def settle(self, seconds: float = 0) -> None:
        """Let time pass, and everything arrive that is under way."""
        self.clock.advance_to(self.clock.now_ms() + round(seconds * 1000) + SETTLE_MS)

    def member(self, name: str, site: Site) -> Member:
        """A new pico on an engine."""
        answer = site.event("family", "new", {"name": name})
        assert "errors" not in answer, answer
        self.settle()
        return Member(name, site, site.query("test.family", "members")[name])


class Member:
    """A pico, by its channel that allows everything."""

    def __init__(self, name: str, site: Site, eci: str) -> None:
        self.name = name
        self.site = site
        self.eci = eci
        self.told = 0
        self.is_dead = False
        self.door: str = self.ask("wellKnown_Rx")["id"]

    def ask(self, function: str, rid: str = SUBSCRIPTION, **args: Any) -> Any:
        """Ask one of its rulesets."""
        core = self.site.living
        return self.site.wait(lambda done: core.post_query(self.eci, rid, function, args, done))

    def do(self, event: str, /, **attrs: Any) -> dict[str, Any]:
        """Have it handle an event, of domain `wrangler` if none is named."""
        domain, _, name = event.rpartition(":")
        return self.site.event(domain or "wrangler", name, attrs, self.eci)

    def news_of(self, name: str) -> list[dict[str, Any]]:
        """The attributes of each event of a name that it was told since the last look."""
        return [one["attrs"] for one in self.news() if one["name"] == name]

    def begin(self, name: str, /, **attrs: Any) -> None:
        """Have it handle an event, without waiting."""
        self.site.living.post(self.eci, "wrangler", name, attrs, lambda answer: None)

    def die(self) -> None:
        """Its parent deletes it, without a word to anybody."""
        self.site.event("family", "kill", {"name": self.name})
        self.is_dead = True

    def buses(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """All its relationships: id -> (state, bundle)."""
        return {
            bus["Id"]: (state, bus)
            for state in STATES
            for bus in ([] if self.is_dead else self.ask(state))
        }

    def news(self) -> list[dict[str, Any]]:
        """What it was told since the last call."""
        fresh: list[dict[str, Any]] = self.ask("seen", "test.witness", **{"from": self.told})
        self.told += len(fresh)
        return fresh

    def sides(self) -> list[dict[str, Any]]:
        """Its channels that are neither its family's, nor the test's, nor the well-known one."""
        return [
            channel
            for channel in self.ask("channels", "test.witness")
            if channel["familyChannelPicoID"] is None
            and channel["tags"] != ["open"]
            and channel["id"] != self.door
        ]

    def propose(self, other: Member, **attrs: Any) -> dict[str, Any]:
        """The attributes of a proposal of this pico to another one."""
        asked = {
            "wellKnown_Tx": other.door,
            "Rx_role": self.name,
            "Tx_role": other.name,
            "name": "pair",
        }
        if other.site is not self.site:
            asked["Tx_host"] = other.site.host
        return {**asked, **attrs}


def copy_rows(site: Site) -> Batch:
    """A backup of an engine: all its rows."""
    return [
        (family, key, value) for family in FAMILIES for key, value in site.store.scan(family, b"")
    ]


def put_back(site: Site, rows: Batch) -> None:
    """Have an engine come back as its backup was."""
    site.stop()
    for family in FAMILIES:
        for key, _ in list(site.store.scan(family, b"")):
            site.store.write([(family, key, None)])
    site.store.write(rows)
    site.start()


def check_sides(*members: Member) -> None:
    """Both sides of every relationship mirror each other, and no channel is left over."""
    known = [member.buses() for member in members]
    for member, buses in zip(members, known, strict=True):
        if member.is_dead:
            continue
        channels = {channel["id"] for channel in member.sides()}
        assert channels == {bus["Rx"] for _, bus in buses.values()}, "a channel for each"
        for bond, (_, bus) in buses.items():
            others = [
                (two, pair[bond])
                for two, pair in zip(members, known, strict=True)
                if two is not member and bond in pair
            ]
            if not others:
                continue
            ((other, (_, twin)),) = others
            assert bus.get("Rx_role") == twin.get("Tx_role"), (bus, twin)
            far = other.site is not member.site
            assert bus.get("Tx_host") == (other.site.host if far else None), bus
            if "Tx" in bus:
                assert bus["Tx"] == twin["Rx"], (bus, twin)
