"""Picos as the engine holds them in memory, and their records.

In: the store's records. Out: `Pico` objects: identity, structure (parent, children, channels,
installed rulesets), states of automata, contexts to run rules in. Invariants: a `Structure` is
never changed, only replaced, so a turn can put a new one over the old and take it back; the order
of installation is kept. Not here: running anything (turn.py) and choosing what runs (engine.py).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from ext import State
from ext import View as View
from runtime.channel import Channel
from runtime.layer import GONE, Layer
from runtime.store import (
    Batch,
    automata_key,
    channel_key,
    child_key,
    eci_key,
    encode_record,
    head_key,
)

if TYPE_CHECKING:
    from runtime.entities import Entities
    from runtime.inbox import Item
    from runtime.waiting import Suspended


class Install(msgspec.Struct, frozen=True):
    """One installed ruleset: which source (by hash), where from, with which configuration."""

    rid: str
    hash: str
    url: str
    config: dict[str, Any]


class Structure(msgspec.Struct, frozen=True):
    """What a pico is made of beside its variables.

    Shapes: `installs` are in order of installation; `children` maps the ECI on the child that the
    parent uses to the child's pico id, in order of creation; `children_made` counts all there ever
    were; `channels` maps ECI to channel. The last two are None until somebody asks: waking reads
    only the rest.
    """

    parent: str | None
    installs: tuple[Install, ...]
    children_made: int
    children: Layer[str] | None
    channels: Layer[Channel] | None

    def install(self, rid: str) -> Install | None:
        """The installed ruleset of this id, if there is one."""
        return next((item for item in self.installs if item.rid == rid), None)


class Pico:
    """One pico in memory.

    `inbox` holds what waits for a turn; `group` is the last commit group that carries changes of
    this pico; `states` are the automata that have moved, by rule key; `ecis` are its channels that
    are in the engine's index; `is_used` is the second chance before eviction. `suspended` is its
    turn that waits for something, `paused` one that lets others run; `guests` counts the queries
    that read its last state meanwhile; `has_queries` is False when surely none is in its inbox.
    """

    __slots__ = (
        "ecis",
        "entities",
        "group",
        "guests",
        "has_queries",
        "id",
        "inbox",
        "is_dead",
        "is_ready",
        "is_used",
        "is_waiting",
        "paused",
        "states",
        "structure",
        "suspended",
        "view",
    )

    def __init__(self, pico_id: str, structure: Structure) -> None:
        self.id = pico_id
        self.structure = structure
        self.view: View | None = None
        self.states: dict[str, State] = {}
        self.inbox: deque[Item] = deque()
        self.entities: dict[str, Entities] = {}
        self.ecis: set[str] = set()
        self.is_ready = False
        self.is_waiting = False
        self.is_dead = False
        self.is_used = True
        self.group = 0
        self.suspended: Suspended | None = None
        self.paused: Suspended | None = None
        self.guests = 0
        self.has_queries = False

    def rows(self, name: str) -> list[tuple[bytes, bytes | None]]:
        """The row that keeps the automata that are not where they start (`name` says just that).

        Shapes: {rule key: [expression hash, packed state]}.
        """
        record: dict[str, Any] = {}
        if self.view is not None:
            for cx in self.view.contexts:
                for rule in cx.module.rules:
                    state = self.states.get(rule.key)
                    if (
                        state is not None
                        and rule.machine is not None
                        and (state != rule.machine.start)
                    ):
                        record[rule.key] = [rule.hash, state.pack()]
        return [(automata_key(self.id), encode_record(record) if record else None)]


def head_record(structure: Structure) -> list[Any]:
    """The head record: all that waking a pico reads."""
    installs = [[i.rid, i.hash, i.url, i.config] for i in structure.installs]
    return [structure.parent, structure.children_made, installs]


def structure_from_head(record: list[Any]) -> Structure:
    """The structure that `head_record` made a record of, without channels and children."""
    parent, children_made, installs = record
    return Structure(parent, tuple(Install(*i) for i in installs), children_made, None, None)


def structure_rows(pico_id: str, old: Structure | None, new: Structure) -> Batch:
    """The rows that turn one stored structure into another; `old` None means a new pico.

    Both must have their channels and children loaded.
    """
    assert new.channels is not None
    assert new.children is not None
    rows: Batch = []
    if (
        old is None
        or old.parent != new.parent
        or old.children_made != new.children_made
        or old.installs is not new.installs
    ):
        rows.append(("pico", head_key(pico_id), encode_record(head_record(new))))
    channels = new.channels.changes if old is not None else dict(new.channels)
    for eci, channel in channels.items():
        if channel is not GONE:
            rows.append(("pico", channel_key(pico_id, eci), encode_record(channel.to_record())))
            rows.append(("eci", eci_key(eci), encode_record(pico_id)))
        else:
            rows.append(("pico", channel_key(pico_id, eci), None))
            rows.append(("eci", eci_key(eci), None))
    children = new.children.changes if old is not None else dict(new.children)
    added = [(eci, child) for eci, child in children.items() if child is not GONE]
    first = new.children_made - len(added)
    for number, (eci, child) in enumerate(added, first):
        rows.append(("pico", child_key(pico_id, eci), encode_record([number, child])))
    rows.extend(
        ("pico", child_key(pico_id, eci), None) for eci, child in children.items() if child is GONE
    )
    return rows
