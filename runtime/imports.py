"""Import: picos of an archive come to life under a parent here, with their identity, in one step.

In: an open archive, and a channel of the new parent. Out: {id, eci, picos, …} once all is durable.
Invariants: until the last batch nobody can find anything of it, and in that batch everything comes
at once: the link from the parent, the index of channels, timers, waiting events; what an
interrupted or refused import has left is removed, by the same process or by the next start; no
record of a pico that is here already is touched. The loop gets its time between two blobs.
Source: DESIGN.md, Operating. Not here: the file (archive.py), and what is in it (export.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING, Any

import msgspec

from runtime.archive import Archive, ArchivedPico, ArchivedRuleset
from runtime.channel import OPEN, Channel, channel_from_record
from runtime.entities import Entities
from runtime.errors import Fault, shown_eci, unknown_eci
from runtime.event import Event
from runtime.graves import BURIED
from runtime.inbox import Done, event_row, item_from_record
from runtime.limits import import_rows_max, reap_rows_max
from runtime.module import Module, to_fault
from runtime.pico import Pico, head_record, structure_from_head
from runtime.store import (
    STAGED,
    Batch,
    automata_key,
    channel_key,
    child_key,
    decode_record,
    eci_key,
    encode_record,
    head_key,
    mark_key,
    mark_owner_key,
    number_key,
    pico_prefix,
    timer_key,
)
from runtime.stored import Reader
from runtime.timers import Job, job_from_record
from runtime.turn import Turn

if TYPE_CHECKING:
    from runtime.engine import Core

_NOTHING = encode_record(None)
_PLAIN = (str, int, bool, type(None))
# Variables are made anew: nothing of them is in the store yet.
_EMPTY = Reader(lambda family, key: None, lambda family, prefix: iter(()))


class Imports:
    """All imports of one engine; `accept` puts an event into a pico's inbox."""

    def __init__(self, core: Core, accept: Callable[[Pico, Event], object]) -> None:
        self._core = core
        self.accept = accept
        self.under_way: set[str] = set()

    def resume(self) -> None:
        """Remove what an import left that a stop interrupted; before anything else starts.

        Cost: one seek; O(rows) of such an import.
        """
        store = self._core.store
        for key, _ in list(store.scan("meta", STAGED)):
            for batch in _removal(self._core, key[len(STAGED) :].decode()):
                store.write(batch)

    def begin(self, archive: Archive, parent_eci: str, done: Done) -> None:
        """Import an archive under the pico of a channel; `done` gets {id, eci, …} or a Fault.

        The archive has to stay open until then.
        """
        core = self._core
        try:
            channel = core.shelf.channel(parent_eci)
            if channel is None:
                raise unknown_eci(parent_eci)
            if self.under_way.intersection(pico.id for pico in archive.manifest.picos):
                raise Fault("R3008", "these picos are being imported already")
        except Fault as fault:
            core.clock.call_soon(partial(done, fault))
            return
        _Import(self, core, archive, channel, done).start()


class _Import:
    """One import under way.

    Shapes: `_ecis` (ECI, pico id, when it was buried here, or -1); `_staged` the picos that have
    rows; `_jobs` and `_events` go with the last batch.
    """

    def __init__(
        self, imports: Imports, core: Core, archive: Archive, parent: Channel, done: Done
    ) -> None:
        self._imports = imports
        self._core = core
        self._archive = archive
        self._parent = parent
        self._done = done
        self._ids = {pico.id for pico in archive.manifest.picos}
        # Those whose parent has not been seen yet.
        self._strays = self._ids - {archive.manifest.root}
        self._sources = {ruleset.hash for ruleset in archive.manifest.rulesets}
        self._staged: list[str] = []
        self._ecis: list[tuple[str, str, int]] = []
        self._jobs: list[tuple[str, Job]] = []
        self._events: list[tuple[str, Event]] = []
        self._parent_eci = ""
        self._child_eci = ""
        # A channel to show: one that allows everything if there is one.
        self._door: str | None = None
        self._is_door_open = False
        self._work: Iterator[Batch] = iter(())

    def start(self) -> None:
        """Load the rulesets, then write what nobody sees, then link it."""
        self._imports.under_way |= self._ids
        self._load(deque(self._archive.manifest.rulesets), 0)

    # --- Rulesets ---------------------------------------------------------------------------------

    def _load(self, left: deque[ArchivedRuleset], refused: int) -> None:
        """Have all rulesets known, modules before those that use them."""
        if not left:
            self._work = self._stage()
            self._core.clock.call_soon(self._step)
            return
        ruleset = left.popleft()

        def loaded(got: Module | Fault) -> None:
            if isinstance(got, Module):
                self._load(left, 0)
            elif got.code == "R2009" and refused < len(left):
                # It uses one that comes later.
                left.append(ruleset)
                self._load(left, refused + 1)
            else:
                self._fail(got)

        try:
            source = self._archive.source(ruleset)
        except Fault as fault:
            self._fail(fault)
            return
        self._core.registry.keep(
            source, ruleset.url, lambda got: self._core.clock.call_soon(lambda: loaded(got))
        )

    # --- What nobody sees yet ---------------------------------------------------------------------

    def _step(self) -> None:
        """Write one batch, then let others go on."""
        core = self._core
        try:
            if core.is_closing:
                raise Fault("R3007", "the engine is shutting down")
            if core.committer.failure is not None:
                raise core.committer.failure
            batch = next(self._work, None)
        except Exception as error:
            self._fail(to_fault(error))
            return
        if batch is None:
            core.post_task(self._parent.eci, self._link, self._linked)
            return
        if self._write(batch):
            core.clock.call_soon(self._step)

    def _write(self, batch: Batch) -> bool:
        core = self._core
        try:
            core.store.write(batch)
        except Exception as error:
            core.committer.fail(error)
            self._end(to_fault(error))
            return False
        return True

    def _stage(self) -> Iterator[Batch]:
        for pico in self._archive.manifest.picos:
            self._check_free(pico.id)
            self._staged.append(pico.id)
            try:
                yield self._structure(pico)
                for name in pico.parts:
                    yield self._part(pico.id, name)
            except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
                message = f"the records of pico {pico.id} have another shape than they should"
                raise Fault("R3009", f"{message}: {type(error).__name__}") from error
            if len(self._ecis) + len(self._jobs) + len(self._events) > import_rows_max:
                raise Fault("R4023", f"more than {import_rows_max:,} of them are in the archive")
        if self._strays:
            raise Fault("R3009", f"pico {min(self._strays)} of the archive is nobody's child")

    def _check_free(self, pico_id: str) -> None:
        core = self._core
        if pico_id in core.shelf.dead:
            hint = "wait until it is removed: a moment, unless it is large"
            raise Fault("R3008", f"pico {pico_id} was deleted and is being removed", hint)
        for family, key in (("pico", head_key(pico_id)), ("meta", STAGED + pico_id.encode())):
            if core.committer.get(family, key) is not None:
                raise Fault("R3008", f"there is a pico {pico_id} in this engine already")

    def _structure(self, pico: ArchivedPico) -> Batch:
        """The rows of a pico's structure, automata and marks; the first of them is its marker."""
        record = self._archive.record(pico.record)
        children = [(number, eci, child) for number, eci, child in record["children"]]
        for _, _, child in children:
            if child not in self._strays:
                message = f"a child of pico {pico.id} is not in the archive, or another's child"
                raise Fault("R3009", message)
            self._strays.discard(child)
        installs = [[rid, hash_, url, config] for rid, hash_, url, config in record["installs"]]
        for _, hash_, _, _ in installs:
            if hash_ not in self._sources:
                raise Fault("R3009", f"the source of a ruleset of pico {pico.id} is not there")
        channels = [channel_from_record(_part(e), pico.id, row) for e, row in record["channels"]]
        parent: str | None = record["parent"]
        _part(parent or "", *(eci for _, eci, _ in children), *(p for p, _ in record["marks"]))
        if pico.id == self._archive.manifest.root:
            parent = self._rehome(pico.id, parent, channels, {child for _, _, child in children})
        head = structure_from_head([parent, record["children_made"], installs])
        rows: Batch = [
            ("meta", STAGED + pico.id.encode(), _NOTHING),
            ("pico", head_key(pico.id), encode_record(head_record(head))),
        ]
        for channel in channels:
            self._ecis.append((channel.eci, pico.id, self._buried(channel.eci)))
            rows.append(
                ("pico", channel_key(pico.id, channel.eci), encode_record(channel.to_record()))
            )
        for number, eci, child in children:
            rows.append(("pico", child_key(pico.id, eci), encode_record([number, child])))
        if record["automata"]:
            rows.append(("pico", automata_key(pico.id), encode_record(record["automata"])))
        for pair, mark in record["marks"]:
            if self._core.committer.get("mark", mark_key(pair)) is None:
                rows.append(("pico", mark_owner_key(pico.id, pair), _NOTHING))
                rows.append(("mark", mark_key(pair), encode_record(mark)))
        return rows

    def _rehome(
        self, root_id: str, parent: str | None, channels: list[Channel], children: set[str]
    ) -> str:
        """Make the channels of the root fit its new parent; return the parent's end of them.

        Both keep their ECIs where these are free; a root that had no parent gets new ones.
        """
        ids = self._core.ids
        if parent is None or self._core.committer.get("eci", eci_key(parent)) is not None:
            parent = ids.eci()
        self._parent_eci = parent
        for channel in channels:
            if channel.family is None:
                is_open = channel.event_policy.is_open and channel.query_policy.is_open
                if self._door is None or (is_open and not self._is_door_open):
                    self._door, self._is_door_open = channel.eci, is_open
            elif channel.family != root_id and channel.family not in children:
                channel.family = self._parent.pico_id
                self._child_eci = channel.eci
        if not self._child_eci:
            self._child_eci = ids.eci()
            tags = ("system", "child")
            family = self._parent.pico_id
            channels.append(Channel(self._child_eci, root_id, tags, OPEN, OPEN, family))
        return parent

    def _buried(self, eci: str) -> int:
        """When a channel was buried here, -1 when it never was.

        Raises: R3008 when it lives.
        """
        row = self._core.committer.get("eci", eci_key(eci))
        owner = -1 if row is None else decode_record(row, "channel index entry")
        if type(owner) is not int:
            raise Fault("R3008", f"there is a channel {shown_eci(eci)} in this engine already")
        return owner

    def _part(self, pico_id: str, name: str) -> Batch:
        """The rows of one part that nobody sees yet; timers and events wait for the last batch."""
        kind, rid, rows = self._archive.record(name)
        if kind == "variables":
            entities = Entities(_EMPTY, pico_id, _part(rid))
            for variable, value in rows:
                entities[_part(variable)] = _value(value)
            return [
                ("pico", key, value)
                for variable in entities.settle()
                for key, value in entities.rows(variable)
            ]
        if kind == "timers":
            for of_rid, timer_id, record in rows:
                job = job_from_record(_part(of_rid), _part(timer_id), record)
                # What cannot be stored has to be noticed now, not in the last batch.
                timer_key(job.wake_ms, job.number, pico_id, job.rid, job.id)
                encode_record(job.to_record())
                _value(job.attrs)
                self._jobs.append((pico_id, job))
        elif kind == "inbox":
            # A key of the sender means nothing here: its answer is not remembered either.
            self._events += [(pico_id, _event(record)) for record in rows]
        else:
            raise Fault("R3009", f"blob {name} holds {str(kind)[:40]!r}, which is not known here")
        return []

    # --- The last batch ---------------------------------------------------------------------------

    def _link(self, turn: Turn) -> dict[str, Any]:
        """As a turn of the parent: link the picos, and let everything about them be found."""
        core, root_id = self._core, self._archive.manifest.root
        for eci, _, _ in self._ecis:
            # Meanwhile another import may have brought it.
            self._buried(eci)
        now = turn.now()
        assert now.children is not None
        assert now.channels is not None
        tags = ("system", "parent")
        family = Channel(self._parent_eci, turn.pico.id, tags, OPEN, OPEN, root_id)
        turn.change(
            msgspec.structs.replace(
                now,
                children=now.children.with_value(self._child_eci, root_id),
                children_made=now.children_made + 1,
                channels=now.channels.with_value(self._parent_eci, family),
            )
        )
        try:
            self._publish()
        except Exception as error:
            # A part of it is in the group that gathers, which so must never be written.
            core.committer.fail(to_fault(error))
            raise
        return {
            "id": root_id,
            "eci": self._door,
            "picos": len(self._staged),
            "timers": len(self._jobs),
            "waiting": len(self._events),
            "archive": self._archive.identity,
        }

    def _publish(self) -> None:
        """Let everything be found, with the group that gathers."""
        core = self._core
        put = core.committer.put
        for eci, pico_id, buried_ms in self._ecis:
            put("eci", eci_key(eci), encode_record(pico_id))
            if buried_ms >= 0:
                put("meta", BURIED + number_key(buried_ms) + eci_key(eci), None)
        for pico_id in self._staged:
            put("meta", STAGED + pico_id.encode(), None)
        for pico_id, job in sorted(self._jobs, key=lambda item: item[1].number):
            core.timers.adopt(pico_id, job)
        for pico_id, event in self._events:
            pico = core.shelf.pico(pico_id)
            assert pico is not None
            self._imports.accept(pico, event)

    def _linked(self, answer: Any) -> None:
        if isinstance(answer, Fault):
            self._fail(answer)
        else:
            self._end(answer)

    # --- The end ----------------------------------------------------------------------------------

    def _fail(self, fault: Fault) -> None:
        """Remove what was written, then say why."""
        removals = (batch for pico_id in self._staged for batch in _removal(self._core, pico_id))

        def step() -> None:
            batch = None if self._core.committer.failure else next(removals, None)
            if batch is None:
                self._end(fault)
            elif self._write(batch):
                self._core.clock.call_soon(step)

        self._core.clock.call_soon(step)

    def _end(self, answer: Any) -> None:
        self._imports.under_way -= self._ids
        self._done(answer)


def _event(record: list[Any]) -> Event:
    event = item_from_record(record, -1)[0].event
    assert event is not None
    event_row(event)
    _value(event.attrs)
    return event


def _value(value: Any) -> Any:
    """A KRL value, which is returned.

    Raises: ValueError for what is none: bytes would pass for a collection, for example.
    """
    pending = [value]
    while pending:
        one = pending.pop()
        kind = type(one)
        if kind is dict:
            if not all(type(key) is str for key in one):
                raise ValueError("a key that is none")
            pending.extend(one.values())
        elif kind is list:
            pending.extend(one)
        elif kind is float:
            if not isfinite(one):
                raise ValueError("a number that is none")
        elif kind not in _PLAIN:
            raise ValueError("a value that is none")
    return value


def _part(*parts: Any) -> Any:
    """Names that become parts of keys, the first of which is returned.

    Raises: ValueError for what is no text, or holds what ends a part.
    """
    for part in parts:
        if type(part) is not str or "\0" in part:
            raise ValueError("a name that is none")
    return parts[0]


def _removal(core: Core, pico_id: str) -> Iterator[Batch]:
    """What removes the rows of a pico that nobody has seen; its marker goes with the last batch."""
    marker = STAGED + pico_id.encode()
    if core.store.get("meta", marker) is None:
        return
    rows: Batch = []
    prefix = mark_owner_key(pico_id)
    for key, _ in core.store.scan("pico", prefix):
        rows.append(("mark", mark_key(key[len(prefix) :].decode()), None))
    for key, _ in core.store.scan("pico", pico_prefix(pico_id)):
        rows.append(("pico", key, None))
    for start in range(0, len(rows), reap_rows_max):
        yield rows[start : start + reap_rows_max]
    yield [("meta", marker, None)]
