"""Entity variables of one ruleset on one pico: settled state, and one turn's changes over it.

In: reads and writes of rule bodies. Out: values, and the store rows of what changed. A variable is
one stored record while it is small; a larger map is stored by key, a larger array in chunks, so
that reading or writing one entry costs the same however many there are. Invariants: what is
unwritten is in memory; a savepoint's and a turn's changes can be taken back; rows show the settled
state, also while a turn is under way; nobody ever changes a list or map that another may hold. Not
here: parts of collections (stored.py, stored_map.py, stored_array.py), when rows are written
(commit.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ext import EntitiesBase
from runtime.border import measured, to_stored
from runtime.errors import Fault
from runtime.operators.collections import append
from runtime.operators.paths import delete, get, put, set_
from runtime.store import (
    Batch,
    chunks_prefix,
    decode_record,
    encode_record,
    entries_prefix,
    variable_key,
)
from runtime.stored import ABSENT, BOUNDS, Bounds, Collection, Reader, Undo, check_row, size_of
from runtime.stored_array import StoredArray
from runtime.stored_map import StoredMap

Rows = list[tuple[bytes, bytes | None]]

# A small variable in memory beside its value: its name, its place, an object.
_VARIABLE_BYTES = 200


class Entities(EntitiesBase):
    """The variables of (pico, ruleset).

    `changed` is what the owner of a turn gives to learn that this object has changes to settle.
    Shapes: `_now` holds what the turn sees of the variables in memory, as plain values (None where
    there is none) or collections; `_before` the settled ones of those that the turn has touched;
    `_undo` (name, what was there) or (collection, its token) since the last savepoint. Reading and
    writing whole variables is in `ext`.
    """

    __slots__ = ()

    def __init__(self, reader: Reader, pico_id: str, rid: str, bounds: Bounds = BOUNDS) -> None:
        self._reader = reader
        self._owner = (pico_id, rid)
        self._prefix = variable_key(pico_id, rid)
        self._bounds = bounds
        self._now: dict[str, Any] = {}
        self._before: dict[str, Any] = {}
        self._undo: Undo = []
        # Rows of replaced collections, to be deleted with the next rows of their variable.
        self._doomed: dict[str, set[bytes]] = {}
        self.changed: list[Entities] = []

    # --- Reads ------------------------------------------------------------------------------------

    def _whole(self, value: Any) -> Any:
        """What rules see of a value in memory that is of no plain type."""
        t = type(value)
        return value.whole() if t is StoredMap or t is StoredArray else value

    def at(self, name: str, path: Any) -> Any:
        """`ent:name{path}`.

        Cost: O(path), and a read of the store for an entry that is not in memory.
        """
        value = self._now.get(name, ABSENT)
        if value is ABSENT:
            value = self._load(name)
        t = type(value)
        if t is StoredMap or t is StoredArray:
            return value.at(path)
        return get(value, path)

    def _load(self, name: str) -> Any:
        value = None
        row = self._reader.get("pico", self._prefix + name.encode())
        if row is not None:
            value = decode_record(row, "entity variable")
            # No KRL value is stored as bytes: they are the head of a collection.
            if type(value) is bytes:
                value = self._collection(name, value)
        self._now[name] = value
        return value

    def _collection(self, name: str, head: bytes) -> Collection:
        kind, *numbers = decode_record(head, "head of an entity variable")
        reader, bounds = self._reader, self._bounds
        found: Collection
        if kind == StoredMap.KIND:
            prefix = entries_prefix(*self._owner, name)
            found = StoredMap(reader, prefix, name, bounds, tuple(numbers))
        elif kind == StoredArray.KIND:
            prefix = chunks_prefix(*self._owner, name)
            chunk = numbers.pop()
            found = StoredArray(reader, prefix, name, bounds, tuple(numbers), chunk)
        else:
            raise Fault("R3006", f"the head of ent:{name} is of no kind that this engine knows")
        found.written = found.settled
        return found

    def settled(self, name: str) -> Any:
        """What a variable was after the last completed turn; a collection is not to be changed."""
        value = self._before.get(name, ABSENT)
        if value is ABSENT:
            value = self._now.get(name, ABSENT)
            if value is ABSENT:
                value = self._load(name)
        return value.as_settled() if isinstance(value, Collection) else value

    # --- Writes -----------------------------------------------------------------------------------

    def set_at(self, name: str, path: Any, value: Any) -> None:
        """`ent:name{path} := value`."""
        if self._change(name, set_, path, value):
            return
        current = self[name]
        if type(current) is not dict and type(current) is not list:
            current = {}
        self[name] = set_(current, path, value)

    def clear_at(self, name: str, path: Any) -> None:
        """`clear ent:name{path}`."""
        self.delete(name, path)

    def put(self, name: str, path: Any, value: Any, *, default: Any = None) -> None:
        """`ent:name := ent:name.put(path, value)`."""
        if not self._change(name, put, path, value):
            self[name] = put(self._or(name, default), path, value)

    def delete(self, name: str, path: Any, *, default: Any = None) -> None:
        """`ent:name := ent:name.delete(path)`."""
        if not self._change(name, delete, path):
            self[name] = delete(self._or(name, default), path)

    def append(self, name: str, value: Any, *, default: Any = None) -> None:
        """`ent:name := ent:name.append(value)`."""
        collection = self._touched(name)
        if collection is None or not collection.append(value, self._undo):
            self[name] = append(self._or(name, default), value)

    def _or(self, name: str, default: Any) -> Any:
        """The variable, or the default of `ent:name.defaultsTo(default)` where it is null."""
        value = self[name]
        return default if value is None else value

    def _change(self, name: str, operator: Callable[..., Any], path: Any, *args: Any) -> bool:
        """Do an operation on an entry of a collection; False when it concerns the whole value."""
        collection = self._touched(name)
        return collection is not None and collection.change(operator, path, args, self._undo)

    def _touched(self, name: str) -> StoredMap | StoredArray | None:
        """The collection that a variable is, with the turn noted as changing it."""
        value = self._now.get(name, ABSENT)
        if value is ABSENT:
            value = self._load(name)
        if type(value) is not StoredMap and type(value) is not StoredArray:
            return None
        before = self._before
        if name not in before:
            if not before:
                self.changed.append(self)
            before[name] = value
        return value

    def _storable(self, name: str, value: Any, old: Any) -> Any:
        """What a variable holds when a value is assigned: itself while it is small.

        Raises: R2001 for what cannot be stored, R4004, R4015.
        """
        t = type(value)
        if t is str:
            check_row(name, "the value", len(value), self._bounds)
            return value
        if t is not dict and t is not list:
            return to_stored(value)
        kind = StoredMap if t is dict else StoredArray
        if type(old) is kind and old.is_whole(value):
            return old
        stored, size = measured(value)
        count = len(stored)
        bounds = self._bounds
        settled = self._before.get(name, old)
        # What is stored in parts stays so until it is much smaller, lest it change to and fro.
        share = 2 if type(settled) is kind else 1
        if count * share <= bounds.record_elements:
            if size * share <= bounds.record_bytes:
                return stored
            if count <= 1:
                check_row(name, "the value", size, bounds)
                return stored
        if type(settled) is kind:
            # The difference to what is stored will be written, so that has to be known; now, while
            # what cannot be read is still a fault of the rule.
            settled.load()
        prefix = (entries_prefix if t is dict else chunks_prefix)(*self._owner, name)
        return kind.fresh(self._reader, prefix, name, bounds, stored, size)

    # --- Turns ------------------------------------------------------------------------------------

    def roll_back(self) -> None:
        """The savepoint failed: take back what was written since the last `keep`."""
        now = self._now
        for target, before in reversed(self._undo):
            if type(target) is str:
                now[target] = before
            else:
                target.undo(before)
        self._undo.clear()

    def _settle_parts(self, name: str, old: Any, new: Any) -> bool:
        """A variable that is or was a collection becomes state; whether it changed."""
        if new is old:
            return isinstance(new, Collection) and new.settle()
        if isinstance(old, Collection) or isinstance(new, Collection):
            self._replace(name, old, new)
        return True

    def _replace(self, name: str, old: Any, new: Any) -> None:
        """A whole value takes the place of another, and one of them at least is a collection."""
        if isinstance(old, Collection) and type(new) is not type(old):
            self._doomed.setdefault(name, set()).update(old.row_keys())
        if isinstance(new, StoredMap | StoredArray):
            new.take_over(old if isinstance(old, Collection) else None)

    def discard(self) -> None:
        """The turn is given up."""
        self._now.update(self._before)
        for value in self._before.values():
            if isinstance(value, Collection):
                value.discard()
        self._before.clear()
        self._undo.clear()

    # --- Rows -------------------------------------------------------------------------------------

    def rows(self, name: str) -> Rows:
        """Keys and values that store the changes of a variable's state; they are then written.

        Cost: O(changed parts).
        """
        value = self._before.get(name, ABSENT)
        if value is ABSENT:
            value = self._now.get(name)
        head = self._prefix + name.encode()
        if name in self._doomed or isinstance(value, Collection):
            rows: dict[bytes, bytes | None] = dict.fromkeys(self._doomed.pop(name, ()))
            if isinstance(value, Collection):
                value.collect(rows)
                packed = value.head()
                if packed is not None:
                    rows[head] = packed
            else:
                rows[head] = None if value is None else encode_record(value)
            return list(rows.items())
        return [(head, None if value is None else encode_record(value))]

    def delete_rows(self) -> Batch:
        """Forget all variables, and give the deletion of every row the store has of them.

        This object is of no use any more. All deletions belong into one group, or what remains
        would be taken for entries of a later map of the same name.
        Cost: O(rows).
        """
        self._now.clear()
        self._before.clear()
        self._undo.clear()
        self._doomed.clear()
        # Without the name's own end, a prefix is that of all variables of the ruleset.
        entries = entries_prefix(*self._owner, "")[:-1]
        chunks = chunks_prefix(*self._owner, "")[:-1]
        return [
            ("pico", key, None)
            for prefix in (self._prefix, entries, chunks)
            for key, _ in self._reader.scan("pico", prefix)
        ]

    # --- Memory -----------------------------------------------------------------------------------

    def trim(self) -> None:
        """Forget what is in memory only to be read faster; what is unwritten stays."""
        for name, value in self._now.items():
            # A collection with unwritten rows may have replaced one whose rows are still there.
            if isinstance(value, Collection) and not value.dirty and name not in self._before:
                value.trim()

    def bytes_estimated(self) -> int:
        """About how much memory the variables take.

        Cost: O(variables + small values).
        """
        total = 0
        for name, value in self._now.items():
            total += _VARIABLE_BYTES + len(name)
            total += value.bytes_estimated() if isinstance(value, Collection) else size_of(value)
        return total


class SettledEntities(Entities):
    """The variables of a pico amid a turn, as they were before it; only to be read."""

    __slots__ = ("_real",)

    def __init__(self, real: Entities) -> None:
        super().__init__(real._reader, *real._owner, real._bounds)
        self._real = real

    def _load(self, name: str) -> Any:
        return self._real.settled(name)
