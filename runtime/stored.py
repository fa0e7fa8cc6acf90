"""What maps by key and arrays in chunks have in common: parts, changes over them, and the whole.

In: the rows of one collection in the store, and the changes of a turn. Out: the value as a whole or
in part, and the rows of the parts that changed. A *part* is what one row keeps: an entry of a map,
a chunk of an array. Invariants: `parts` is the settled state and what is not in it is in the store;
a turn writes only to `over`; a part is never changed, only replaced. The whole value is a cache of
the turn's view: it is handed out, so it is changed in place only while nobody else holds it. Not
here: which variables are collections, and savepoints (entities.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from sys import getrefcount
from typing import Any, NamedTuple, Self

from runtime.border import measured
from runtime.errors import Fault
from runtime.limits import (
    entity_bytes_max,
    entity_chunk_bytes,
    entity_chunk_elements_max,
    entity_record_bytes_max,
    entity_record_elements_max,
    entity_row_bytes_max,
)
from runtime.store import decode_record, encode_record

ABSENT: Any = object()

# Values that are stored as they are, and those whose size counts.
SCALARS = frozenset((int, str, bool, type(None), float))
SIZED = frozenset((str, dict, list))

# Estimated memory of one cached entry or element beside its value: two places in a dict, a tuple,
# a number and a key.
_PART_BYTES = 300

Undo = list[tuple[Any, Any]]


class Reader(NamedTuple):
    """How the store is read: one key, or all keys with a prefix in order.

    `get` also sees deletions that are not written yet; `scan` need not.
    """

    get: Callable[[str, bytes], bytes | None]
    scan: Callable[[str, bytes], Iterator[tuple[bytes, bytes]]]


class Bounds(NamedTuple):
    """The bounds of entity variables, as in limits.py; tests make them small.

    A map or array up to `record_elements` and `record_bytes` is one record. `row_bytes` bounds one
    record, entry or element, `bytes` a variable.
    """

    record_elements: int = entity_record_elements_max
    record_bytes: int = entity_record_bytes_max
    chunk_elements: int = entity_chunk_elements_max
    chunk_bytes: int = entity_chunk_bytes
    row_bytes: int = entity_row_bytes_max
    bytes: int = entity_bytes_max


BOUNDS = Bounds()


def size_of(value: Any) -> int:
    """The estimated bytes of a stored value, beside the 8 of its place."""
    t = type(value)
    if t is str:
        return len(value)
    return measured(value)[1] if t is dict or t is list else 0


def is_same(a: Any, b: Any) -> bool:
    """Whether two stored values make the same record; the order of map keys counts."""
    if a is b:
        return True
    t = type(a)
    if t is not type(b):
        return False
    if t is dict or t is list:
        return len(a) == len(b) and encode_record(a) == encode_record(b)
    return bool(a == b)


def check_row(name: str, what: str, size: int, bounds: Bounds) -> None:
    """Refuse what would be too large for one row.

    Raises: R4015.
    """
    if size > bounds.row_bytes:
        raise Fault(
            "R4015",
            f"{what} of ent:{name} would take about {size} bytes; the bound is {bounds.row_bytes}",
        )


def check_variable(name: str, size: int, bounds: Bounds) -> None:
    """Refuse a variable beyond its bound.

    Raises: R4015.
    """
    if size > bounds.bytes:
        raise Fault(
            "R4015", f"ent:{name} would take about {size} bytes; the bound is {bounds.bytes}"
        )


class Collection:
    """A variable in parts. Subclasses say what a part is, and how parts make the whole.

    Shapes: `numbers` begins with (elements, estimated bytes); `parts` and `over` hold None where a
    part was removed; `dirty` names the parts whose rows are not as settled, `written` are the
    numbers in the head record.
    """

    KIND = 0

    __slots__ = (
        "_bounds",
        "_get",
        "_scan",
        "_stale",
        "_whole",
        "dirty",
        "is_complete",
        "name",
        "numbers",
        "over",
        "parts",
        "prefix",
        "settled",
        "written",
    )

    def __init__(self, reader: Reader, prefix: bytes, name: str, bounds: Bounds) -> None:
        self._get = reader.get
        self._scan = reader.scan
        self._bounds = bounds
        self.prefix = prefix
        self.name = name
        self.parts: dict[Any, Any] = {}
        self.over: dict[Any, Any] = {}
        self.dirty: set[Any] = set()
        self.is_complete = False
        self.numbers: tuple[int, ...] = ()
        self.settled: tuple[int, ...] = ()
        self.written: tuple[int, ...] = ()
        self._whole: Any = None
        self._stale: dict[Any, None] = {}

    # --- For subclasses to say --------------------------------------------------------------------

    def encode_key(self, key: Any) -> bytes:
        """What follows the prefix in the key of a part's row."""
        raise NotImplementedError

    def decode_key(self, data: bytes) -> Any:
        """The part that a row's key names, without its prefix."""
        raise NotImplementedError

    def make_whole(self) -> Any:
        """The whole value of the turn's view; all parts are in memory."""
        raise NotImplementedError

    def refresh(self) -> None:
        """Bring the cached whole up to date in the stale parts; nobody else holds it."""
        raise NotImplementedError

    def pack_head(self) -> bytes:
        """The head record of the settled state."""
        raise NotImplementedError

    def check_complete(self) -> None:
        """Check that all parts are there.

        Raises: R3006.
        """
        raise NotImplementedError

    # --- Reads ------------------------------------------------------------------------------------

    def part(self, key: Any) -> Any:
        """One part in the turn's view, None when there is none.

        Cost: O(1); a read of the store for a part that is not in memory.
        """
        found = self.over.get(key, ABSENT)
        if found is ABSENT:
            found = self.parts.get(key, ABSENT)
            if found is ABSENT:
                found = None if self.is_complete else self._fetch(key)
        return found

    def _fetch(self, key: Any) -> Any:
        row = self._get("pico", self.prefix + self.encode_key(key))
        if row is None:
            return None
        # What is not there is not remembered: strangers may ask for any key.
        part = self.parts[key] = decode_record(row, "part of an entity variable")
        return part

    def load(self) -> None:
        """Have all parts in memory.

        Raises: R3006 when parts are missing or cannot be read.
        Cost:   O(elements), once.
        """
        if self.is_complete:
            return
        at = len(self.prefix)
        parts = {
            self.decode_key(key[at:]): decode_record(row, "part of an entity variable")
            for key, row in self._scan("pico", self.prefix)
        }
        parts.update(self.parts)
        self.parts = parts
        self.is_complete = True
        self.check_complete()

    def whole(self) -> Any:
        """The whole value; it belongs to everybody who has got it, and is never changed.

        Cost: O(elements) the first time; then O(changes since), and one copy if the last one given
        is still in use somewhere.
        """
        if self._whole is None:
            self.load()
            self._whole = self.make_whole()
            self._stale.clear()
        elif self._stale:
            if self.references() > _ALONE:
                self._whole = self._whole.copy()
            self.refresh()
            self._stale.clear()
        return self._whole

    def references(self) -> int:
        """How many hold the cached whole; to be compared with `_ALONE` only."""
        return getrefcount(self._whole)

    def is_whole(self, value: Any) -> bool:
        """Whether this very object is the current whole."""
        return value is self._whole and not self._stale

    def as_settled(self) -> Self:
        """This collection without the changes of the turn under way, only to be read."""
        found = copy(self)
        found.over = {}
        found.numbers = self.settled
        found._whole = None
        found._stale = {}
        return found

    # --- Writes -----------------------------------------------------------------------------------

    def replace(self, key: Any, part: Any, numbers: tuple[int, ...], undo: Undo) -> None:
        """Put a part, or with None nothing, in the place of another, and note how to undo it.

        Raises: R4015 when the variable would become too large.
        """
        if numbers[1] > self.numbers[1]:
            check_variable(self.name, numbers[1], self._bounds)
        over = self.over
        undo.append((self, (key, over.get(key, ABSENT), self.numbers)))
        over[key] = part
        self.numbers = numbers
        if self._whole is not None:
            self._stale[key] = None

    def undo(self, token: Any) -> None:
        """Take back the last change that is not taken back."""
        key, before, self.numbers = token
        if before is ABSENT:
            del self.over[key]
        else:
            self.over[key] = before
        if self._whole is not None:
            self._stale[key] = None

    def settle(self) -> bool:
        """The turn is complete; tell whether it changed anything."""
        over = self.over
        if not over:
            return False
        self.parts.update(over)
        self.dirty.update(over)
        over.clear()
        self.settled = self.numbers
        return True

    def discard(self) -> None:
        """The turn is given up."""
        if self._whole is not None:
            self._stale.update(dict.fromkeys(self.over))
        self.over.clear()
        self.numbers = self.settled

    # --- Rows -------------------------------------------------------------------------------------

    def collect(self, rows: dict[bytes, bytes | None]) -> None:
        """Add the rows of the parts that changed since this was last asked; they are written."""
        parts = self.parts
        for key in self.dirty:
            part = parts[key]
            at = self.prefix + self.encode_key(key)
            if part is None:
                del parts[key]
                rows[at] = None
            else:
                rows[at] = encode_record(part)
        self.dirty.clear()

    def head(self) -> bytes | None:
        """The head record, which is then written; None when it is as written."""
        if self.written == self.settled:
            return None
        self.written = self.settled
        return self.pack_head()

    def row_keys(self) -> list[bytes]:
        """The keys of all rows that the store may have."""
        if self.is_complete:
            return [self.prefix + self.encode_key(key) for key in self.parts]
        return [key for key, _ in self._scan("pico", self.prefix)]

    # --- Memory -----------------------------------------------------------------------------------

    def trim(self) -> None:
        """Forget what the store has, which is everything: nothing is dirty, no turn under way."""
        self._whole = None
        self._stale.clear()
        self.is_complete = False
        self.parts = {}

    def bytes_estimated(self) -> int:
        """About how much memory it takes."""
        elements, size = self.numbers[0], self.numbers[1]
        if self._whole is not None:
            return size + _PART_BYTES * elements
        held = min(len(self.parts) + len(self.over), max(elements, 1))
        return held * (_PART_BYTES + size // max(elements, 1))


def _alone() -> int:
    """What `references` says of a whole that nobody but its collection holds."""
    lonely = Collection.__new__(Collection)
    lonely._whole = {}
    return lonely.references()


_ALONE = _alone()
