"""Relationships among picos that have all system rulesets, as wrangler makes and deletes them."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.describe import describe
from runtime.errors import Fault
from tests.harness.engine import TestEngine
from tests.relations.stage import HERE, SUBSCRIPTION, read_ruleset


class Family:
    """A root and its children."""

    def __init__(self) -> None:
        self.engine = TestEngine(system=True)
        self.engine.install(read_ruleset(HERE / "witness.krl"))

    def child(self, name: str) -> str:
        """A new child; the channel by which the root knows it."""
        known = {one["eci"] for one in self.children()}
        self.engine.event("wrangler", "new_child_request", {"name": name})
        (eci,) = {one["eci"] for one in self.children()} - known
        return str(eci)

    def children(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.engine.query("io.picolabs.wrangler", "children")
        return found

    def ask(self, eci: str, function: str) -> Any:
        """Ask the subscription ruleset, as the root may."""
        core = self.engine.core
        return self.engine.wait(
            lambda done: core.post_query(eci, SUBSCRIPTION, function, {}, done, sender=core.root_id)
        )

    def tell(self, eci: str, name: str, attrs: dict[str, Any]) -> None:
        """Have a child handle an event, as the root may."""
        core = self.engine.core
        answer = self.engine.wait(
            lambda done: core.post(eci, "wrangler", name, attrs, done, sender=core.root_id)
        )
        assert "errors" not in answer

    def relate(self, one: str, other: str, **attrs: Any) -> dict[str, Any]:
        """An established relationship, as `one` has it."""
        door = self.ask(other, "wellKnown_Rx")["id"]
        self.tell(one, "subscription", {"wellKnown_Tx": door, **attrs})
        (bus,) = self.ask(one, "outbound")
        self.tell(other, "pending_subscription_approval", {"Id": bus["Id"]})
        found: dict[str, Any] = self.ask(one, "established")[-1]
        assert found["Id"] == bus["Id"]
        return found


@pytest.fixture(scope="module")
def family() -> Family:
    """One engine for all tests here: each makes children of its own."""
    return Family()


def test_siblings_relate(family: Family) -> None:
    one, other = family.child("ann"), family.child("bob")
    bus = family.relate(one, other, Rx_role="sister", Tx_role="brother")
    (twin,) = family.ask(other, "established")
    assert (twin["Rx"], twin["Tx"]) == (bus["Tx"], bus["Rx"])
    assert (twin["Rx_role"], twin["Tx_role"]) == ("brother", "sister")


def test_deleted_child_takes_its_leave(family: Family) -> None:
    one, other = family.child("cora"), family.child("dan")
    bus = family.relate(one, other)
    family.engine.event("wrangler", "child_deletion_request", {"eci": other})
    assert other not in {child["eci"] for child in family.children()}
    assert family.ask(one, "established") == []
    with pytest.raises(Fault) as caught:
        family.engine.wait(
            lambda done: family.engine.core.post(bus["Tx"], "chat", "hello", {}, done)
        )
    assert caught.value.code in ("R1001", "R1005")


def test_intent_to_delete_ends_the_relationship_and_the_child(family: Family) -> None:
    one, other = family.child("eve"), family.child("fred")
    bus = family.relate(one, other)
    family.tell(other, "intent_to_delete", {"Id": "unknown"})
    assert other in {child["eci"] for child in family.children()}
    family.tell(other, "intent_to_delete", {"Id": bus["Id"]})
    family.engine.clock.advance(1)
    family.engine.run()
    assert other not in {child["eci"] for child in family.children()}
    assert family.ask(one, "established") == []


def test_forced_deletion_is_noticed_within_a_day(family: Family) -> None:
    one, other = family.child("gina"), family.child("hal")
    family.relate(one, other)
    family.engine.event("wrangler", "child_deletion_request", {"eci": other, "force": True})
    assert len(family.ask(one, "established")) == 1
    family.engine.clock.advance(86_400)
    assert family.ask(one, "established") == []


def test_parent_and_child_may_relate_too(family: Family) -> None:
    child = family.child("ida")
    door = family.ask(child, "wellKnown_Rx")["id"]
    family.engine.event("wrangler", "subscription", {"wellKnown_Tx": door, "Tx_role": "child"})
    (bus,) = family.engine.query(SUBSCRIPTION, "outbound")
    family.tell(child, "pending_subscription_approval", {"Id": bus["Id"]})
    found = family.engine.query(SUBSCRIPTION, "established", {"key": "Id", "value": bus["Id"]})
    assert len(found) == 1


def test_engine_shows_relationships(family: Family) -> None:
    engine = family.engine
    child = family.child("jo")
    assert describe(engine.core, child)["relationships"] == []
    door = family.ask(child, "wellKnown_Rx")["id"]
    # So many are stored one by one.
    for number in range(40):
        attrs = {"wellKnown_Tx": door, "name": f"n{number}"}
        engine.event("wrangler", "subscription", attrs)
    shown = describe(engine.core, engine.root)["relationships"]
    asked = [
        {"state": state, **bus}
        for state in ("established", "inbound", "outbound")
        for bus in engine.query(SUBSCRIPTION, state)
    ]
    assert len(asked) >= 40
    assert shown == asked
    assert len(describe(engine.core, child)["relationships"]) == 40
