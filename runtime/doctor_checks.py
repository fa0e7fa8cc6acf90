"""The doctor's checks of a store: each record can be read, and the records agree with each other.

In: a still store. Out: findings, with rows that repair where that is safe, and counts. Invariants:
reads only; each family is scanned once; memory grows with the number of picos, not of rows; of each
check so many findings are listed, the others are counted. What a crash may leave by design (graves
that are being reaped, an import to be cleaned up) is a note, no error. Source: store.py's keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

import msgspec

from runtime.backlog import MARK as INBOX_MARK
from runtime.channel import channel_from_record
from runtime.entities import Entities
from runtime.errors import Fault, shown_eci
from runtime.graves import BURIED, GRAVE
from runtime.inbox import item_from_record
from runtime.limits import doctor_findings_max
from runtime.outbox import PAIR
from runtime.pico import structure_from_head
from runtime.registry import RID, SOURCE, URL
from runtime.store import (
    FAMILIES,
    STAGED,
    Batch,
    Store,
    channel_key,
    child_key,
    decode_record,
    eci_key,
    encode_record,
    head_key,
    inbox_parts,
    mark_key,
    number_key,
    registry_key,
    timer_owner_key,
    timer_parts,
)
from runtime.stored import Reader
from runtime.timers import DUE, NUMBERS, due_key_of, job_from_row
from runtime.timers import MARK as TIMER_MARK

ROOT = b"root"
_TELL_EVERY = 1_000
_OWNER = b"o"


class Finding(msgspec.Struct):
    """One thing that is not as it should be.

    `level` is error, warning or note; `advice` says what to do; `rows` are what `--repair` writes.
    """

    level: str
    check: str
    message: str
    advice: str
    rows: Batch = []

    def to_map(self) -> dict[str, Any]:
        """The finding as JSON-able data."""
        return {
            "level": self.level,
            "check": self.check,
            "message": self.message,
            "advice": self.advice,
            "repairable": bool(self.rows),
        }


_RESTORE = "restore a backup, or move what is sound elsewhere with `pico export`"
_REPAIR = "`pico doctor --repair`, with the engine stopped, puts it right"


class Examination:
    """One look at all of a store."""

    def __init__(self, store: Store, tell: Callable[[int], object]) -> None:
        self._store = store
        self._tell = tell
        self._untold = 0
        self._parent_of: dict[str, str] = {}
        self._heads: set[str] = set()
        self._dying: set[str] = set()
        self._staged: set[str] = set()
        self._root = ""
        self._listed: dict[str, int] = {}
        self.findings: list[Finding] = []
        self.counts: dict[str, int] = {}

    def run(self) -> None:
        """Make all checks."""
        self._meta()
        self._picos()
        self._kinship()
        self._ecis()
        self._inbox()
        self._timers()
        self._registry()
        self._outbox()
        for family in ("meta", "answer", "history", "dead", "mark"):
            for key, row in self._rows(family):
                self._decoded(row, f"{family} record", key)
        if self._untold:
            self._tell(self._untold)

    # --- Tools ------------------------------------------------------------------------------------

    def _rows(self, family: str, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        assert family in FAMILIES
        try:
            for row in self._store.scan(family, prefix):
                self._untold += 1
                if self._untold == _TELL_EVERY:
                    self._tell(self._untold)
                    self._untold = 0
                yield row
        except Fault as fault:
            self._find("error", "records", f"family {family}: {fault.message}", _RESTORE)

    def _find(
        self, level: str, check: str, message: str, advice: str, rows: Batch | None = None
    ) -> None:
        listed = self._listed.get(check, 0)
        self._listed[check] = listed + 1
        if rows or listed < doctor_findings_max:
            self.findings.append(Finding(level, check, message, advice, rows or []))
        else:
            self._count(f"{check}: findings not listed")

    def _count(self, what: str, by: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + by

    def _decoded(self, row: bytes, what: str, key: bytes) -> Any:
        """What a row holds; None, and a finding, when it cannot be read."""
        try:
            return decode_record(row, what)
        except Fault as fault:
            self._find("error", "records", f"{fault.message} (key {key[:60]!r})", _RESTORE)
            return None

    def _mark(self, key: bytes, default: Any) -> Any:
        row = self._store.get("meta", key)
        found = None if row is None else self._decoded(row, "mark", key)
        return default if found is None else found

    # --- Meta -------------------------------------------------------------------------------------

    def _meta(self) -> None:
        """The root, picos that are being deleted, imports that were not finished."""
        root = self._mark(ROOT, None)
        if root is None:
            self._find("error", "root", "the store does not say which pico is the root", _RESTORE)
        else:
            self._root = root[0]
        for key, _ in self._rows("meta", GRAVE):
            pending = [key[len(GRAVE) :].decode()]
            while pending:
                pico_id = pending.pop()
                self._dying.add(pico_id)
                for _, row in self._store.scan("pico", child_key(pico_id)):
                    child = self._decoded(row, "child", key)
                    if child is not None:
                        pending.append(child[1])
        for key, _ in self._rows("meta", STAGED):
            self._staged.add(key[len(STAGED) :].decode())
        if self._dying:
            message = f"{len(self._dying)} deleted picos are still being removed"
            self._find("note", "graves", message, "nothing: the engine goes on with it")
        if self._staged:
            message = f"{len(self._staged)} picos of an import were not finished"
            self._find("note", "import", message, "nothing: the next start removes them")

    # --- Picos ------------------------------------------------------------------------------------

    def _picos(self) -> None:
        """Each pico by itself."""
        for name, rows in groupby(self._rows("pico"), key=lambda row: row[0].partition(b"\0")[0]):
            pico_id = name.decode("utf-8", "replace")
            if pico_id in self._dying or pico_id in self._staged:
                for _ in rows:
                    pass
                continue
            self._pico(pico_id, rows)

    def _pico(self, pico_id: str, rows: Iterator[tuple[bytes, bytes]]) -> None:
        start = len(pico_id.encode()) + 1
        has_head = False
        variables: list[tuple[str, str]] = []
        kinds: set[bytes] = set()
        for key, row in rows:
            kind, rest = key[start : start + 1], key[start + 1 :]
            kinds.add(kind)
            record = self._decoded(row, "record of a pico", key)
            if record is None and kind != b"v" and kind != b"m":
                continue
            if kind == b"h":
                has_head = True
                self._head(pico_id, record)
            elif kind == b"c":
                self._channel(pico_id, rest.decode(), record)
            elif kind == b"k":
                self._child(pico_id, key, record)
            elif kind == b"v":
                rid, _, variable = rest.decode().partition("\0")
                variables.append((rid, variable))
            elif kind == b"m" and self._store.get("mark", mark_key(rest.decode())) is None:
                message = f"pico {pico_id} should have a mark of a pair of another engine"
                self._find("warning", "marks", message, _REPAIR, [("pico", key, None)])
        if not has_head:
            message = f"there are records of a pico {pico_id}, but not the one that makes it a pico"
            self._find("error", "picos", message, _RESTORE)
            return
        self._heads.add(pico_id)
        self._count("picos")
        self._variables(pico_id, variables)

    def _head(self, pico_id: str, record: Any) -> None:
        try:
            structure = structure_from_head(record)
        except (TypeError, ValueError):
            message = f"the head record of pico {pico_id} has another shape than this engine writes"
            self._find("error", "picos", message, _RESTORE)
            return
        for install in structure.installs:
            self._count("rulesets installed")
            if self._store.get("registry", registry_key(SOURCE, install.hash)) is None:
                message = f"the source of {install.rid}, installed on pico {pico_id}, is not there"
                advice = f"deploy it again from {install.url}"
                self._find("error", "rulesets", message, advice)
        is_root = structure.parent is None
        if is_root != (pico_id == self._root):
            message = f"pico {pico_id} has {'no' if is_root else 'a'} parent"
            self._find("error", "family", f"{message}, and should not", _RESTORE)

    def _channel(self, pico_id: str, eci: str, record: Any) -> None:
        self._count("channels")
        try:
            channel_from_record(eci, pico_id, record)
        except (TypeError, ValueError):
            message = f"channel {shown_eci(eci)} of pico {pico_id} cannot be read"
            self._find("error", "channels", message, _RESTORE)
            return
        row = self._store.get("eci", eci_key(eci))
        owner = None if row is None else self._decoded(row, "channel index entry", eci_key(eci))
        if owner == pico_id:
            return
        message = f"channel {shown_eci(eci)} of pico {pico_id} is not in the index"
        if row is None:
            rows: Batch = [("eci", eci_key(eci), encode_record(pico_id))]
            self._find("error", "channels", message, _REPAIR, rows)
        else:
            self._find("error", "channels", f"{message}, which has another pico there", _RESTORE)

    def _child(self, pico_id: str, key: bytes, record: Any) -> None:
        try:
            _, child_id = record
        except (TypeError, ValueError):
            self._find("error", "family", f"a child of pico {pico_id} cannot be read", _RESTORE)
            return
        self._parent_of[child_id] = pico_id
        if self._store.get("pico", head_key(child_id)) is None:
            message = f"pico {pico_id} has a child {child_id} that is not there"
            self._find("error", "family", message, _REPAIR, [("pico", key, None)])

    def _variables(self, pico_id: str, variables: list[tuple[str, str]]) -> None:
        """Read every variable whole: that finds parts that are missing."""
        reader = Reader(self._store.get, self._store.scan)
        for rid, names in groupby(variables, key=lambda pair: pair[0]):
            entities = Entities(reader, pico_id, rid)
            for _, name in names:
                self._count("variables")
                try:
                    entities[name]
                except Fault as fault:
                    message = f"{rid} on pico {pico_id}: {fault.message}"
                    advice = f"{_RESTORE}; a rule may also set or clear the variable"
                    self._find("error", "variables", message, advice)
                entities.trim()

    def _kinship(self) -> None:
        """Each pico but the root is somebody's child."""
        if self._root and self._root not in self._heads:
            self._find("error", "root", f"the root pico {self._root} is not there", _RESTORE)
        for pico_id in sorted(self._heads):
            if pico_id != self._root and pico_id not in self._parent_of:
                message = f"pico {pico_id} is nobody's child"
                self._find("error", "family", message, _RESTORE)

    def _lives(self, pico_id: str) -> bool:
        return pico_id in self._heads or pico_id in self._dying

    # --- The index of channels --------------------------------------------------------------------

    def _ecis(self) -> None:
        for key, row in self._rows("eci"):
            owner = self._decoded(row, "channel index entry", key)
            shown = shown_eci(key.decode("utf-8", "replace"))
            if type(owner) is int:
                self._count("tombstones of channels")
                grave = BURIED + number_key(owner) + key
                if self._store.get("meta", grave) is None:
                    message = f"nothing says when the tombstone of channel {shown} ends"
                    rows: Batch = [("meta", grave, encode_record(None))]
                    self._find("warning", "channels", message, _REPAIR, rows)
            elif type(owner) is str and owner not in self._dying:
                eci = key.decode("utf-8", "replace")
                if self._store.get("pico", channel_key(owner, eci)) is None:
                    message = f"the index has a channel {shown} that pico {owner} does not have"
                    self._find("error", "channels", message, _REPAIR, [("eci", key, None)])

    # --- What waits -------------------------------------------------------------------------------

    def _inbox(self) -> None:
        mark = self._mark(INBOX_MARK, 1)
        lowest: int | None = None
        for key, row in self._rows("inbox"):
            number, pico_id = inbox_parts(key)
            record = self._decoded(row, "inbox entry", key)
            self._count("events waiting")
            if record is not None:
                try:
                    item_from_record(record, 0)
                except Fault as fault:
                    self._find("error", "inbox", fault.message, _RESTORE)
            if not self._lives(pico_id):
                message = f"an event waits for pico {pico_id}, which is not there"
                advice = "nothing: it becomes a dead letter at the next start"
                self._find("warning", "inbox", message, advice)
            if number < mark:
                lowest = number if lowest is None else min(lowest, number)
        if lowest is not None:
            message = "accepted events lie where a start does not look for them"
            rows: Batch = [("meta", INBOX_MARK, encode_record(lowest))]
            self._find("error", "inbox", message, _REPAIR, rows)

    def _timers(self) -> None:
        low = self._mark(TIMER_MARK, b"")
        end = self._mark(NUMBERS, 0)
        first: bytes | None = None
        for key, row in self._rows("timer", _OWNER):
            self._count("timers")
            try:
                due = due_key_of(key, row)
                number = job_from_row(key, row).number
            except (Fault, ValueError) as error:
                self._find("error", "timers", f"a timer cannot be read: {error}", _RESTORE)
                continue
            pico_id = key[1:].decode().split("\0")[0]
            if not self._lives(pico_id):
                message = f"a timer belongs to pico {pico_id}, which is not there"
                rows: Batch = [("timer", key, None), ("timer", due, None)]
                self._find("error", "timers", message, _REPAIR, rows)
                continue
            if self._store.get("timer", due) is None:
                message = f"a timer of pico {pico_id} would never come due"
                rows = [("timer", due, encode_record(None))]
                self._find("error", "timers", message, _REPAIR, rows)
            if due < low:
                first = due if first is None else min(first, due)
            if number >= end:
                message = "the numbers of timers begin below one that is in use"
                rows = [("meta", NUMBERS, encode_record(number + 1))]
                self._find("error", "timers", message, _REPAIR, rows)
                end = number + 1
        if first is not None:
            message = "timers lie where the engine does not look for them"
            rows = [("meta", TIMER_MARK, encode_record(first))]
            self._find("error", "timers", message, _REPAIR, rows)
        for key, _ in self._rows("timer", DUE):
            self._due_row(key)

    def _due_row(self, key: bytes) -> None:
        try:
            _, pico_id, rid, timer_id = timer_parts(key)
            owner = timer_owner_key(pico_id, rid, timer_id)
            row = self._store.get("timer", owner)
            is_known = row is not None and due_key_of(owner, row) == key
        except (Fault, ValueError):
            is_known = False
        if not is_known:
            message = "a due time is in the index of timers, but not its timer"
            self._find("warning", "timers", message, _REPAIR, [("timer", key, None)])

    # --- Rulesets and other engines ---------------------------------------------------------------

    def _registry(self) -> None:
        for key, row in self._rows("registry"):
            kind, name = key[:1].decode("utf-8", "replace"), key[1:].decode("utf-8", "replace")
            record = self._decoded(row, "registry entry", key)
            if kind == SOURCE:
                self._count("ruleset versions")
                continue
            is_name = kind in (URL, RID) and type(record) is str
            if is_name and self._store.get("registry", registry_key(SOURCE, record)) is None:
                message = f"the source of {name} is not there"
                self._find("error", "rulesets", message, "deploy it again")

    def _outbox(self) -> None:
        for name, rows in groupby(self._rows("outbox"), key=lambda row: row[0][:-9]):
            for key, row in rows:
                self._count("events to other engines")
                self._decoded(row, "outbox entry", key)
            if self._store.get("meta", PAIR + name) is None:
                sender = name.partition(b"\0")[0].decode("utf-8", "replace")
                message = f"what pico {sender} sends to another engine has lost its order"
                self._find("error", "outbox", message, _RESTORE)
