"""What an engine holds, as data for people and tools: the tree of picos, or one pico in detail.

In: the core. Out: JSON-able maps. ECIs are shown, so only the owner of the engine may ask.
"""

from __future__ import annotations

from typing import Any

from runtime.engine import Core
from runtime.errors import unknown_eci
from runtime.pico import Pico, Structure
from runtime.stored_map import StoredMap
from runtime.turn import Turn


def describe(core: Core, eci: str | None) -> dict[str, Any]:
    """The tree below the root, or the pico of one channel in detail.

    Raises: R1001 for an unknown ECI.
    """
    if eci is None:
        root = core.shelf.pico(core.root_id)
        assert root is not None
        return {
            "root": _tree(core, root),
            "outbox": core.outbox.queues(),
            "failure": _failure(core),
        }
    channel = core.shelf.channel(eci)
    pico = None if channel is None else core.shelf.pico(channel.pico_id)
    if pico is None:
        raise unknown_eci(eci)
    return _detail(core, pico)


def salience(turn: Turn) -> dict[str, Any]:
    """Which rules of the turn's pico listen for which events.

    Shapes: {pico, events: {domain:name: [{rid, rule, line}]}}, rules in the order in which they are
    asked; those that listen for every event stand at each, and alone under `*`.
    """
    contexts = turn.view.contexts
    pairs: dict[tuple[str, str], None] = {}
    everywhere: list[dict[str, Any]] = []
    for cx in contexts:
        for rule in cx.module.rules:
            pairs.update(dict.fromkeys(rule.salience or ()))
            if rule.salience is None:
                everywhere.append({"rid": cx.rid, "rule": rule.name, "line": rule.at[0]})
    events = {
        f"{domain}:{name}": [
            {"rid": contexts[slot].rid, "rule": rule.name, "line": rule.at[0]}
            for slot, rules in turn.view.salience.lookup(domain, name)
            for rule in rules
        ]
        for domain, name in sorted(pairs)
    }
    if everywhere:
        events["*"] = everywhere
    return {"pico": turn.pico.id, "events": events}


def _failure(core: Core) -> str | None:
    failure = core.committer.failure
    return None if failure is None else failure.message


def _tree(core: Core, root: Pico) -> dict[str, Any]:
    """Each pico with its id, a channel that works from outside, rulesets, and children."""
    top: dict[str, Any] = {}
    pending: list[tuple[Pico, dict[str, Any]]] = [(root, top)]
    while pending:
        pico, entry = pending.pop()
        structure = core.shelf.full(pico)
        entry["id"] = pico.id
        entry["eci"] = _outside_eci(structure)
        entry["rulesets"] = [item.rid for item in structure.installs]
        entry["waiting"] = len(pico.inbox)
        entry["children"] = []
        for child_id in (structure.children or {}).values():
            child = core.shelf.pico(child_id)
            if child is not None:
                inner: dict[str, Any] = {}
                entry["children"].append(inner)
                pending.append((child, inner))
    return top


def _outside_eci(structure: Structure) -> str | None:
    """A channel that works from outside: one that allows everything, if there is one."""
    usable = [
        (not (channel.event_policy.is_open and channel.query_policy.is_open), eci)
        for eci, channel in (structure.channels or {}).items()
        if channel.family is None
    ]
    return min(usable)[1] if usable else None


def _detail(core: Core, pico: Pico) -> dict[str, Any]:
    structure = core.shelf.full(pico)
    channels = structure.channels
    assert channels is not None
    return {
        "id": pico.id,
        "parent": structure.parent,
        "children": [
            {"eci": eci, "id": child} for eci, child in (structure.children or {}).items()
        ],
        "channels": [channels[eci].to_map() for eci in sorted(channels)],
        "rulesets": [
            {"rid": i.rid, "url": i.url, "hash": i.hash, "config": i.config}
            for i in structure.installs
        ],
        "relationships": _relationships(core, pico),
        "waiting": len(pico.inbox),
        "outbox": [queue for queue in core.outbox.queues() if queue["pico"] == pico.id],
    }


def _relationships(core: Core, pico: Pico) -> list[dict[str, Any]]:
    """The relationships of a pico as it last had them, each with its state."""
    rid = "io.picolabs.subscription"
    if pico.structure.install(rid) is None:
        return []
    entities = core.shelf.entities(pico, rid)
    found: list[dict[str, Any]] = []
    for state in ("established", "inbound", "outbound"):
        buses = entities.settled(state)
        if isinstance(buses, StoredMap):
            buses = buses.whole()
        found += ({"state": state, **bus} for bus in (buses or {}).values())
    return found
