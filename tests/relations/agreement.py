"""Many picos that propose, accept, leave, lose channels and die, while everything goes wrong.

In: a seed, and the subscription ruleset. Out: after some days of quiet, a report, or an
`AssertionError` that names the seed. Invariants checked at the end: for every relationship both
sides have it, in states that fit, or neither has; they mirror each other; no channel is left over;
what each pico was told leads to the state it is in; nothing ended by itself, and nothing that had
ended was revived.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from runtime.clock import VirtualClock
from runtime.errors import Fault
from tests.harness.network import SimulatedNetwork, Site, Stop
from tests.relations.stage import OWN_TEXT, LooseNetwork, Member, Stage, check_sides

DAY_MS = 86_400_000
STEPS = 50
# Which news puts a relationship into which state.
NEXT = {
    "outbound_pending_subscription_added": "outbound",
    "inbound_pending_subscription_added": "inbound",
    "subscription_added": "established",
    "subscription_removed": None,
    "inbound_subscription_cancelled": None,
    "outbound_subscription_cancelled": None,
}


class Report(NamedTuple):
    """What a run came to."""

    proposed: int
    established: int
    pending: int
    ended: int
    repaired: int
    deaths: int
    starts: int


class Neighbourhood:
    """One seeded run."""

    def __init__(self, seed: int, text: str = OWN_TEXT) -> None:
        self.seed = seed
        chance = self.chance = random.Random(f"neighbourhood {seed}")
        clock = VirtualClock(1_700_000_000_000)
        # Between engines of ours everything arrives once; others lose and repeat.
        self.network = network = (
            LooseNetwork(clock, seed) if chance.random() < 0.7 else SimulatedNetwork(clock, seed)
        )
        self.stage = Stage(network, ("http://a", "http://b"), text)
        self.members = [
            self.stage.member(f"m{number}", self.stage.sites[number % 2]) for number in range(6)
        ]
        for member in self.members:
            if chance.random() < 0.3:
                config = {"configName": "all", "entries": {"Rx_role": ["."]}}
                member.do("autoAcceptConfigUpdate", config=config)
        # (name, proposer, other side) of every proposal.
        self.proposed: list[tuple[str, Member, Member]] = []
        # Names of those that somebody did something against.
        self.doomed: set[str] = set()
        self.trouble()

    def trouble(self) -> None:
        """From now on things go wrong."""
        chance, network = self.chance, self.network
        network.delay_ms = chance.choice(((1, 1), (1, 80), (1, 20_000)))
        network.loses = chance.choice((0.0, 0.1, 0.4))
        network.doubles = chance.choice((0.0, 0.1, 0.4))
        if isinstance(network, LooseNetwork):
            network.loose_loss = chance.choice((0.1, 0.3, 0.5))
            network.loose_doubling = chance.choice((0.0, 0.1, 0.4))
        rate = chance.choice((0.0, 0.0005, 0.005))
        for site in self.stage.sites:
            site.sync_ms = chance.choice((0, 5, 100))
            site.stop_rate = rate
            # From its next start on: whether picos stay awake between two events.
            site.awake_bytes_max = 0 if self.seed % 2 else 64 << 20

    def run(self) -> Report:
        """Take all steps, then let quiet come.

        Raises: AssertionError with the seed, when two sides do not agree.
        """
        try:
            for _ in range(STEPS):
                self.step()
                self.let_pass(self.chance.choice((0, 1, 10, 100, 5_000, 70_000, 700_000)))
                if self.chance.random() < 0.02:
                    self.let_pass(DAY_MS)
            self.calm()
            return self.check()
        except (AssertionError, Fault) as error:
            raise AssertionError(f"neighbourhood {self.seed}: {error}") from error

    # --- Steps ------------------------------------------------------------------------------------

    def step(self) -> None:
        chance = self.chance
        what = chance.random()
        if what < 0.35 or not self.proposed:
            self.propose()
        elif what < 0.85:
            self.answer()
        elif what < 0.88:
            self.stop(chance.choice(self.stage.sites))
        elif what < 0.92:
            self.network.cut("http://a", "http://b")
        elif what < 0.96:
            self.network.cuts.clear()
        elif what < 0.98:
            member = self.doom(chance.choice(self.members))
            self.post(member.site, member.site.root, "family", "kill", {"name": member.name})
        else:
            self.tell(self.doom(chance.choice(self.members)), "cancel_subscriptions", {})

    def doom(self, member: Member) -> Member:
        """Expect nothing more of all relationships of a pico."""
        self.doomed |= {name for name, *sides in self.proposed if member in sides}
        return member

    def propose(self) -> None:
        one, other = self.chance.sample(self.members, 2)
        name = f"r{len(self.proposed)}"
        self.proposed.append((name, one, other))
        self.tell(one, "subscription", one.propose(other, Id=name, name=name))

    def answer(self) -> None:
        """One side of one of the last proposals does something about it."""
        name, one, other = self.chance.choice(self.proposed[-8:])
        who, event = self.chance.choice(
            (
                *[(other, "pending_subscription_approval")] * 6,
                (other, "inbound_rejection"),
                (one, "outbound_cancellation"),
                (one, "subscription_cancellation"),
                (other, "subscription_cancellation"),
                (self.chance.choice((one, other)), "lose_side"),
            )
        )
        if event != "pending_subscription_approval":
            self.doomed.add(name)
        if event == "lose_side":
            self.post(who.site, who.eci, "witness", event, {"name": name})
        else:
            self.tell(who, event, {"Id": name})

    def tell(self, member: Member, name: str, attrs: dict[str, Any]) -> None:
        self.post(member.site, member.eci, "wrangler", name, attrs)

    def post(self, site: Site, eci: str, domain: str, name: str, attrs: dict[str, Any]) -> None:
        """Hand an event over, if anybody is there; nobody waits for the answer."""
        if site.core is None:
            return
        try:
            site.core.post(eci, domain, name, attrs, lambda answer: None)
        except Stop as stop:
            self.stop(stop.site)

    def let_pass(self, ms: int) -> None:
        """Time passes, and whoever stops on the way starts again, sooner or later."""
        clock = self.network.clock
        end = clock.now_ms() + ms
        while True:
            try:
                clock.advance_to(end)
                break
            except Stop as stop:
                self.stop(stop.site)
        for site in self.stage.sites:
            if site.core is None and self.chance.random() < 0.5:
                self.start(site)

    def stop(self, site: Site) -> None:
        if site.core is not None or site.life.is_alive:
            site.stop(self.chance.randint(0, site.store.unsynced_batches))

    def start(self, site: Site) -> None:
        while site.core is None:
            try:
                site.start()
            except Stop:
                site.stop(self.chance.randint(0, site.store.unsynced_batches))

    # --- The end ----------------------------------------------------------------------------------

    def calm(self) -> None:
        """Nothing goes wrong any more, and some days pass."""
        network = self.network
        network.heal()
        if isinstance(network, LooseNetwork):
            network.loose_loss = network.loose_doubling = 0.0
        for site in self.stage.sites:
            site.stop_rate = 0.0
            self.start(site)
        self.let_pass(3 * DAY_MS)

    def check(self) -> Report:
        living = self.living()
        known = {member.name: member.buses() for member in living}
        check_sides(*living)
        states: dict[str, list[str]] = {}
        for buses in known.values():
            for bond, (state, _) in buses.items():
                states.setdefault(bond, []).append(state)
        for bond, found in states.items():
            fits = (["established", "established"], ["inbound", "outbound"])
            assert sorted(found) in fits, f"{bond}: {found}"
        for member in self.members:
            if member.is_dead:
                self.doom(member)
        repaired = 0
        for member in living:
            repaired += self.check_news(member, known[member.name])
        pairs = list(states.values())
        return Report(
            len(self.proposed),
            sum("established" in found for found in pairs),
            sum("inbound" in found for found in pairs),
            len(self.proposed) - len(pairs),
            repaired,
            len(self.members) - len(living),
            sum(site.lives for site in self.stage.sites),
        )

    def living(self) -> list[Member]:
        """The members whose parents still have them."""
        found = []
        for member in self.members:
            member.is_dead = member.name not in member.site.query("test.family", "members")
            if not member.is_dead:
                found.append(member)
        return found

    def check_news(self, member: Member, buses: dict[str, tuple[str, dict[str, Any]]]) -> int:
        """What a pico was told leads to where it is; give how much was repaired."""
        told: dict[str, str | None] = {}
        came: set[str] = set()
        repaired = 0
        for one in member.news():
            name, bond = one["name"], one["attrs"].get("Id", "")
            repaired += name == "relationship_repaired"
            if name == "inbound_pending_subscription_added":
                assert bond not in came, f"{bond} was revived at {member.name}"
                came.add(bond)
            if name in NEXT:
                told[bond] = NEXT[name]
        now = {bond: state for bond, (state, _) in buses.items()}
        gone = {bond for bond, state in told.items() if state is None} - self.doomed
        assert not gone, f"{gone} ended by itself at {member.name}"
        wanted = {bond: state for bond, state in told.items() if state is not None}
        assert now == wanted, f"{member.name} was told {wanted} and has {now}"
        return repaired


def simulate(seed: int, text: str = OWN_TEXT) -> Report:
    """One run.

    Raises: AssertionError with the seed.
    """
    return Neighbourhood(seed, text).run()
