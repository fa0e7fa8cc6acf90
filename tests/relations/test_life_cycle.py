"""The life of a relationship, as a table: after every step both sides mirror each other.

Scenarios are data (life_cycle.txt, which says how to read it). Each is played on one engine, on
two, and on two that only post to each other, as far as it holds there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.clock import VirtualClock
from tests.harness.network import SimulatedNetwork
from tests.relations.stage import (
    LooseNetwork,
    Stage,
    check_sides,
    copy_rows,
    put_back,
)

TEXT = Path(__file__).with_name("life_cycle.txt").read_text("utf-8")
TWO = ("http://a", "http://b")
NEWS = re.compile(
    r"(subscription_(added|removed)|(in|out)bound_pending_subscription_added"
    r"|(in|out)bound_subscription_cancelled|relationship_repaired|(?!.*relationship)\w+_failed)$"
)
WORDS = {
    "accept": ("inbound", "pending_subscription_approval"),
    "decline": ("inbound", "inbound_rejection"),
    "withdraw": ("outbound", "outbound_cancellation"),
    "remove": ("established", "subscription_cancellation"),
}
WHERE = {
    "everywhere": ("one", "two", "loose"),
    "apart": ("two", "loose"),
    "loose": ("loose",),
}
SECONDS = {"minute": 60, "day": 86_400}


def read_scenarios() -> list[Any]:
    """The rows of the table: (where, steps) with a name each."""
    rows: list[Any] = []
    for block in re.split(r"^scenario ", TEXT, flags=re.M)[1:]:
        head, *lines = block.splitlines()
        match = re.fullmatch(r"(.+) \((\w+)\)", head)
        assert match is not None, head
        steps = [line for line in lines if line and not line.startswith("#")]
        for where in WHERE[match[2]]:
            rows.append(pytest.param(where, steps, id=f"{match[1]}-{where}"))
    return rows


class Play:
    """One scenario under way."""

    def __init__(self, where: str) -> None:
        clock = VirtualClock(1_700_000_000_000)
        self.network = LooseNetwork(clock) if where == "loose" else SimulatedNetwork(clock)
        self.stage = Stage(self.network, TWO[:1] if where == "one" else TWO)
        self.names = {
            "A": self.stage.member("ann", self.stage.sites[0]),
            "B": self.stage.member("bob", self.stage.sites[-1]),
        }
        self.saved: dict[str, Any] = {}
        self.ids: list[str] = []
        for member in self.names.values():
            member.news()

    def act(self, text: str) -> None:
        """Do what the first column of a step says."""
        for pattern, method in ACTS:
            match = re.fullmatch(pattern, text)
            if match is not None:
                method(self, **match.groupdict())
                self.stage.settle()
                return
        raise AssertionError(f"no step is called {text!r}")

    def begin(self, who: str, what: str) -> None:
        """Have one of the two do something with every relationship that allows it."""
        member = self.names[who]
        other = self.names["B" if who == "A" else "A"]
        if what == "propose":
            member.begin("subscription", **member.propose(other))
            return
        state, event = WORDS[what]
        ids = [bond for bond, (its, _) in member.buses().items() if its == state]
        for bond in ids or self.ids[-1:]:
            member.begin(event, Id=bond)

    def say(self, who: str, what: str) -> None:
        self.begin(who, what.removesuffix("s"))

    def say_both(self, what: str) -> None:
        self.begin("A", what)
        self.begin("B", what)

    def say_two(self, one: str, first: str, other: str, second: str) -> None:
        self.begin(one, first.removesuffix("s"))
        self.begin(other, second.removesuffix("s"))

    def accept_and_remove(self, who: str) -> None:
        bond = self.ids[-1]
        self.names[who].begin("pending_subscription_approval", Id=bond)
        self.names[who].begin("subscription_cancellation", Id=bond)

    def cancel(self, who: str) -> None:
        self.names[who].do("cancel_subscriptions")

    def die(self, who: str) -> None:
        self.names[who].die()

    def chat(self, who: str) -> None:
        member = self.names[who]
        for _, bus in member.buses().values():
            member.do("witness:say", bus=bus, name="hello")

    def lose_channel(self, who: str) -> None:
        member = self.names[who]
        for _, bus in member.buses().values():
            member.do("witness:delete_channel", eci=bus["Rx"])

    def lose(self, name: str, times: str | None) -> None:
        self._count(self._loose().loses_next, name, times)

    def double(self, name: str, times: str | None) -> None:
        self._count(self._loose().doubles_next, name, times)

    def _count(self, counts: dict[str, int], name: str, times: str | None) -> None:
        counts[name] = int(times or 1)

    def _loose(self) -> LooseNetwork:
        assert isinstance(self.network, LooseNetwork)
        return self.network

    def wait(self, number: str, unit: str) -> None:
        self.stage.settle(int(number) * SECONDS[unit])

    def save(self, who: str) -> None:
        self.saved[who] = copy_rows(self.names[who].site)

    def restore(self, who: str) -> None:
        member = self.names[who]
        put_back(member.site, self.saved[who])
        member.told = 0
        member.news()

    def states(self, who: str) -> str:
        """The states column of one side."""
        buses = self.names[who].buses()
        self.ids += [bond for bond in buses if bond not in self.ids]
        return " ".join(sorted(state for state, _ in buses.values())) or "-"

    def told(self, who: str) -> str:
        """The news column of one side; each piece also came by its other name."""
        member = self.names[who]
        if member.is_dead:
            return "-"
        news = [one["name"] for one in member.news()]
        told = [name for name in news if NEWS.match(name)]
        for name in told:
            if "subscription" in name:
                assert news.count(name.replace("subscription", "relationship")) == told.count(name)
        return " ".join(told) or "-"


ACTS: list[tuple[str, Callable[..., None]]] = [
    (r"(?P<who>[AB]) (?P<what>proposes|accepts|declines|withdraws|removes)", Play.say),
    (r"A and B (?P<what>propose|accept|remove)", Play.say_both),
    (r"(?P<one>[AB]) (?P<first>\w+) and (?P<other>[AB]) (?P<second>\w+)", Play.say_two),
    (r"(?P<who>[AB]) accepts and removes", Play.accept_and_remove),
    (r"(?P<who>[AB]) cancels all", Play.cancel),
    (r"(?P<who>[AB]) dies", Play.die),
    (r"(?P<who>[AB]) chats", Play.chat),
    (r"(?P<who>[AB]) loses its channel", Play.lose_channel),
    (r"(?P<name>\w+) is lost(?: (?P<times>\d+) times)?", Play.lose),
    (r"(?P<name>\w+) comes twice(?: (?P<times>\d+) times)?", Play.double),
    (r"(?P<number>\d+) (?P<unit>minute|day)s? pass(?:es)?", Play.wait),
    (r"(?P<who>[AB]) is saved", Play.save),
    (r"(?P<who>[AB]) comes back as it was", Play.restore),
]


@pytest.mark.parametrize(("where", "steps"), read_scenarios())
def test_life_cycle(where: str, steps: list[str]) -> None:
    play = Play(where)
    for step in steps:
        what, *wanted = (part.strip() for part in step.split(" | "))
        play.act(what)
        states = [play.states("A"), play.states("B")]
        if wanted:
            found = [*states, play.told("A"), play.told("B")]
            assert found == wanted, step
            check_sides(*play.names.values())
