"""Export: one pico, or a pico and all below it, from a still store to an archive.

In: a store that nobody writes to, and an ECI or pico id. Out: an archive with structure, variables
as values, automata, timers, events that wait, and the sources of the rulesets. Invariants: reads
only; the same store gives the same bytes. Left out: history, answers under keys, and events on
their way to other engines, which leave from where they were sent. Source: DESIGN.md, Operating.

Records, in archive format 1:
pico        {parent, children_made, installs: [[rid, hash, url, config]], channels: [[eci, record]],
            children: [[number, eci, id]], automata: {rule key: [hash, state]}, marks: [[pair,
            record]]}
variables   ["variables", rid, [[name, value]]]
timers      ["timers", "", [[rid, id, record]]], as they were scheduled
inbox       ["inbox", "", [record]], in order of arrival
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from runtime.archive import ArchiveWriter, Manifest, Parts
from runtime.entities import Entities
from runtime.errors import Fault, shown_eci
from runtime.pico import structure_from_head
from runtime.registry import SOURCE
from runtime.store import (
    Store,
    automata_key,
    channel_key,
    child_key,
    decode_record,
    eci_key,
    head_key,
    inbox_parts,
    mark_key,
    mark_owner_key,
    pico_prefix,
    registry_key,
    timer_owner_key,
)
from runtime.stored import Reader, size_of

_ROOT = b"root"
# What a row of an archive costs beside its values, for the size of parts.
_ROW_BYTES = 64


class Exported(NamedTuple):
    """What an archive holds, and the hash that identifies it."""

    manifest: Manifest
    identity: str


def find_pico(store: Store, eci: str) -> str:
    """The id of a channel's pico; the word root stands for the root pico.

    Raises: R1001 when there is none.
    """
    if eci == "root":
        row = store.get("meta", _ROOT)
        if row is not None:
            found: str = decode_record(row, "root entry")[0]
            return found
    row = store.get("eci", eci_key(eci))
    owner = None if row is None else decode_record(row, "channel index entry")
    if type(owner) is not str:
        raise Fault("R1001", f"no pico has a channel {shown_eci(eci)}")
    return owner


def export(
    store: Store,
    pico_id: str,
    path: Path,
    *,
    engine: str,
    is_alone: bool = False,
    tell: Callable[[int], object] = lambda count: None,
) -> Exported:
    """Write a pico, and unless it is to go alone all below it, to an archive.

    `tell` hears of picos.
    Raises: R3005 when the file cannot be written, R3006 for what cannot be read.
    """
    try:
        writer = ArchiveWriter(path)
        try:
            _Export(store, writer, is_alone).run(pico_id, tell)
            return Exported(*writer.finish(pico_id, engine))
        finally:
            writer.abandon()
    except OSError as error:
        hint = "name a file in a folder of yours, on a disk with enough space"
        message = f"{path} cannot be written: {error.strerror or error}"
        raise Fault("R3005", message, hint) from error


class _Export:
    """One export under way."""

    def __init__(self, store: Store, writer: ArchiveWriter, is_alone: bool) -> None:
        self._store = store
        self._writer = writer
        self._is_alone = is_alone
        self._sources: set[tuple[str, str]] = set()

    def run(self, root_id: str, tell: Callable[[int], object]) -> None:
        """Write all picos, parents first, and their rulesets."""
        order = [root_id]
        if not self._is_alone:
            for pico_id in order:
                order.extend(child for _, _, child in self._children(pico_id))
        waiting: dict[str, list[Any]] = {pico_id: [] for pico_id in order}
        for key, row in self._store.scan("inbox", b""):
            receiver = inbox_parts(key)[1]
            if receiver in waiting:
                waiting[receiver].append((len(row), decode_record(row, "inbox entry")))
        for pico_id in order:
            self._pico(pico_id, waiting[pico_id])
            tell(1)

    def _decoded(self, prefix: bytes, what: str) -> list[tuple[str, Any]]:
        rows = self._store.scan("pico", prefix)
        return [(key[len(prefix) :].decode(), decode_record(row, what)) for key, row in rows]

    def _children(self, pico_id: str) -> list[list[Any]]:
        found = self._decoded(child_key(pico_id), "child")
        return sorted([number, eci, child] for eci, (number, child) in found)

    def _pico(self, pico_id: str, waiting: list[Any]) -> None:
        row = self._store.get("pico", head_key(pico_id))
        if row is None:
            hint = "run `pico doctor`: it tells what is wrong, and what to do"
            raise Fault("R3006", f"pico {pico_id} is not in the store", hint)
        structure = structure_from_head(decode_record(row, "pico"))
        children = [] if self._is_alone else self._children(pico_id)
        channels = self._decoded(channel_key(pico_id), "channel")
        if self._is_alone:
            # Channels for children that stay behind would serve nobody.
            lost = {child for _, _, child in self._children(pico_id)}
            channels = [(eci, record) for eci, record in channels if record[5] not in lost]
        row = self._store.get("pico", automata_key(pico_id))
        record = {
            "parent": structure.parent,
            "children_made": structure.children_made,
            "installs": [[i.rid, i.hash, i.url, i.config] for i in structure.installs],
            "channels": channels,
            "children": children,
            "automata": {} if row is None else decode_record(row, "automata"),
            "marks": self._marks(pico_id),
        }
        for install in structure.installs:
            self._source(install.url, install.hash)
        parts = [*self._variables(pico_id), *self._timers(pico_id), *self._inbox(waiting)]
        self._writer.add_pico(pico_id, record, parts)

    def _marks(self, pico_id: str) -> list[list[Any]]:
        found: list[list[Any]] = []
        for pair, _ in self._decoded(mark_owner_key(pico_id), "mark of a pair"):
            row = self._store.get("mark", mark_key(pair))
            if row is not None:
                found.append([pair, decode_record(row, "mark of a pair")])
        return found

    def _source(self, url: str, hash_: str) -> None:
        if (url, hash_) in self._sources:
            return
        self._sources.add((url, hash_))
        row = self._store.get("registry", registry_key(SOURCE, hash_))
        if row is None:
            raise Fault("R3006", f"the source of {url} is not in the store", "deploy it again")
        record = decode_record(row, "ruleset")
        self._writer.add_ruleset(record["manifest"]["rid"], url, record["source"])

    def _variables(self, pico_id: str) -> list[str]:
        """The blobs of all variables: by ruleset, then by name."""
        prefix = pico_prefix(pico_id) + b"v"
        reader = Reader(self._store.get, self._store.scan)
        hashes: list[str] = []
        parts: Parts | None = None
        entities: Entities | None = None
        last = ""
        for key, _ in self._store.scan("pico", prefix):
            rid, _, name = key[len(prefix) :].decode().partition("\0")
            if parts is None or entities is None or rid != last:
                hashes += [] if parts is None else parts.end()
                parts, last = Parts(self._writer, "variables", rid), rid
                entities = Entities(reader, pico_id, rid)
            value = entities[name]
            parts.add([name, value], _ROW_BYTES + size_of(value))
            entities.trim()
        return hashes + ([] if parts is None else parts.end())

    def _timers(self, pico_id: str) -> list[str]:
        prefix = timer_owner_key(pico_id)
        found = []
        for key, row in self._store.scan("timer", prefix):
            rid, _, timer_id = key[len(prefix) :].decode().partition("\0")
            record = decode_record(row, "timer")
            found.append((record[0], len(row), [rid, timer_id, record]))
        parts = Parts(self._writer, "timers")
        for _, size, timer in sorted(found, key=lambda item: item[0]):
            parts.add(timer, _ROW_BYTES + size)
        return parts.end()

    def _inbox(self, waiting: list[Any]) -> list[str]:
        parts = Parts(self._writer, "inbox")
        for size, record in waiting:
            parts.add(record, size)
        return parts.end()
