"""Two picos that are to relate, and the steps that tests begin with.

In: which engines. Out: a stage with two members; a proposal or a relationship between them; what
is sent meanwhile.
"""

from __future__ import annotations

from typing import Any

from runtime.clock import VirtualClock
from runtime.network import Envelope
from tests.harness.network import SimulatedNetwork
from tests.relations.stage import LooseNetwork, Member, Stage

A, B = "http://a", "http://b"


def make_pair(*hosts: str, loose: bool = False) -> tuple[Stage, Member, Member]:
    """Two picos, on two engines if there are two hosts."""
    clock = VirtualClock(1_700_000_000_000)
    network = LooseNetwork(clock) if loose else SimulatedNetwork(clock)
    stage = Stage(network, hosts or (A,))
    ann, bob = stage.member("ann", stage.sites[0]), stage.member("bob", stage.sites[-1])
    ann.news(), bob.news()
    return stage, ann, bob


def propose(stage: Stage, one: Member, other: Member, **attrs: Any) -> str:
    """A proposal that arrived; its id."""
    known = set(one.buses())
    assert "errors" not in one.do("subscription", **one.propose(other, **attrs))
    stage.settle()
    (bond,) = set(one.buses()) - known
    return bond


def relate(stage: Stage, one: Member, other: Member, **attrs: Any) -> str:
    """An established relationship; its id."""
    bond = propose(stage, one, other, **attrs)
    other.do("pending_subscription_approval", Id=bond)
    stage.settle()
    assert one.buses()[bond][0] == other.buses()[bond][0] == "established"
    return bond


def record(stage: Stage) -> list[tuple[str, str, dict[str, Any]]]:
    """(ECI, name, attributes) of everything that is sent from now on."""
    sent: list[tuple[str, str, dict[str, Any]]] = []

    def note(host: str, envelope: Envelope) -> None:
        sent.append((envelope.eci, envelope.name, envelope.attrs))

    stage.network.watch = note
    return sent
