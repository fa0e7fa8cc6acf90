"""A map variable stored by key: one row for each entry, with an ordinal that keeps the order.

In: paths, values and plain path operators. Out: what the operators give on the plain map. Shapes: a
part is (ordinal, value); ordinals are numbers that rise in the map's order, an entry keeps its own
when it is assigned again; `numbers` are (entries, estimated bytes, next ordinal). Not here: turns
and savepoints (entities.py), what all collections share (stored.py).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any, Self

from runtime.border import to_stored
from runtime.errors import Fault
from runtime.kinds import KrlMap, text
from runtime.operators.paths import get, put
from runtime.store import encode_record
from runtime.stored import (
    ABSENT,
    SCALARS,
    SIZED,
    Bounds,
    Collection,
    Reader,
    Undo,
    check_row,
    check_variable,
    is_same,
    size_of,
)

Ordinal = int | float


class StoredMap(Collection):
    """A map of which single entries are read and written."""

    KIND = 1

    __slots__ = ("_fresh", "_has_removed", "_is_reordered", "_mark")

    def __init__(
        self, reader: Reader, prefix: bytes, name: str, bounds: Bounds, numbers: tuple[int, ...]
    ) -> None:
        super().__init__(reader, prefix, name, bounds)
        self.numbers = self.settled = numbers
        # Entries with lower ordinals are in the cached whole at their places, if they are in it.
        self._mark: Ordinal = 0
        # The value of a fresh map that has no parts yet: nothing of it is in the store.
        self._fresh: KrlMap | None = None
        # Whether this turn has removed an entry, and whether the cached whole came to show that:
        # then it cannot be led back, since entries would have to return to their places.
        self._has_removed = False
        self._is_reordered = False

    @classmethod
    def fresh(
        cls, reader: Reader, prefix: bytes, name: str, bounds: Bounds, value: Any, size: int
    ) -> Self:
        """A map that replaces whatever the variable was; `size` is what `measured` says.

        Raises: R4015.
        """
        count = len(value)
        size += sum(map(len, value))
        check_variable(name, size, bounds)
        if size > bounds.row_bytes:
            for key, item in value.items():
                check_row(name, "one entry", 8 + len(key) + size_of(item), bounds)
        made = cls(reader, prefix, name, bounds, (count, size, count))
        made._fresh = made._whole = value
        made._mark = count
        return made

    def encode_key(self, key: Any) -> bytes:
        return key.encode("utf-8", "surrogatepass")  # type: ignore[no-any-return]

    def decode_key(self, data: bytes) -> Any:
        return data.decode("utf-8", "surrogatepass")

    def pack_head(self) -> bytes:
        return encode_record(encode_record((self.KIND, *self.settled)))

    def check_complete(self) -> None:
        found = sum(1 for part in self.parts.values() if part is not None)
        if found != self.settled[0]:
            raise Fault(
                "R3006",
                f"ent:{self.name} should have {self.settled[0]} entries, {found} were found",
            )

    def _fetch(self, key: Any) -> Any:
        if self._fresh is None:
            return super()._fetch(key)
        self.load()
        return self.parts.get(key)

    def load(self) -> None:
        fresh = self._fresh
        if fresh is None:
            super().load()
            return
        # Most fresh maps are settled in place of another without having been looked into.
        self.parts = {key: (at, item) for at, (key, item) in enumerate(fresh.items())}
        self.is_complete = True
        self._fresh = None

    # --- The whole --------------------------------------------------------------------------------

    def make_whole(self) -> Any:
        parts = {**self.parts, **self.over} if self.over else self.parts
        found = [(part[0], key, part[1]) for key, part in parts.items() if part is not None]
        found.sort(key=_ordinal)
        self._mark = self.numbers[2]
        self._is_reordered = self._has_removed
        return {key: value for _, key, value in found}

    def refresh(self) -> None:
        whole = self._whole
        added = []
        for key in self._stale:
            part = self.part(key)
            if part is None:
                whole.pop(key, None)
            elif part[0] < self._mark:
                whole[key] = part[1]
            else:
                added.append((part[0], key, part[1]))
                whole.pop(key, None)
        added.sort(key=_ordinal)
        for _, key, value in added:
            whole[key] = value
        self._mark = self.numbers[2]
        self._is_reordered = self._has_removed

    def undo(self, token: Any) -> None:
        super().undo(token)
        self._lead_back()

    def discard(self) -> None:
        super().discard()
        self._lead_back()
        self._has_removed = self._is_reordered = False

    def settle(self) -> bool:
        self._has_removed = self._is_reordered = False
        return super().settle()

    def _lead_back(self) -> None:
        if self._is_reordered:
            self._whole = None
            self._stale.clear()
        self._mark = min(self._mark, self.numbers[2])

    def take_over(self, old: Collection | None) -> None:
        """Settle as a new value in place of another: only the rows that differ become dirty.

        `old` was loaded if it is a map; its own changes of this turn do not count.
        Cost: O(n) when the order of the common entries is the same, else O(n log n).
        """
        whole = self.whole()
        if not isinstance(old, StoredMap):
            self.load()
            self.settle()
            self.dirty = set(self.parts)
            return
        known = old.parts
        changes = self._additions(whole, old)
        if changes is None:
            changes = self._differences(whole, old)
        for key in known.keys() - whole.keys():
            changes[key] = None
        known.update(changes)
        self.parts = known
        self.is_complete = True
        self._fresh = None
        self.over.clear()
        self.dirty = old.dirty
        self.dirty.update(changes)
        self.written = old.written
        after = max(old.settled[2], self.numbers[2])
        if whole:
            after = max(after, int(known[next(reversed(whole))][0]) + 1)
        self.numbers = self.settled = (self.numbers[0], self.numbers[1], after)
        self._mark = after
        self._has_removed = self._is_reordered = False

    @staticmethod
    def _additions(whole: KrlMap, old: StoredMap) -> dict[str, Any] | None:
        """The parts that differ when no common entry has moved and new ones are last, else None."""
        known = old.parts
        changes: dict[str, Any] = {}
        after = first = old.settled[2]
        last: Ordinal | None = None
        for key, value in whole.items():
            part = known.get(key)
            if part is None:
                changes[key] = (after, value)
                after += 1
                continue
            ordinal, before = part
            if after != first or (last is not None and ordinal <= last):
                return None
            last = ordinal
            if before is not value and not is_same(before, value):
                changes[key] = (ordinal, value)
        return changes

    @staticmethod
    def _differences(whole: KrlMap, old: StoredMap) -> dict[str, Any]:
        """The parts that differ, in any order."""
        known = old.parts
        own = {key: part[0] for key, part in known.items() if part is not None}
        changes: dict[str, Any] = {}
        ordinals = place(whole, own, old.settled[2])
        for (key, value), ordinal in zip(whole.items(), ordinals, strict=True):
            part = known.get(key)
            if part is None or part[0] != ordinal or not is_same(part[1], value):
                changes[key] = (ordinal, value)
        return changes

    # --- Parts of the value -----------------------------------------------------------------------

    def at(self, path: Any) -> Any:
        """What is at a path, or null."""
        t = type(path)
        if t is not list:
            part = self.part(path if t is str else text(path))
            return None if part is None else part[1]
        if not path:
            return None
        key = text(path[0])
        part = self.part(key)
        if part is None:
            return None
        return part[1] if len(path) == 1 else get({key: part[1]}, path)

    def change(self, operator: Callable[..., Any], path: Any, args: Any, undo: Undo) -> bool:
        """Do what a path operator does; False when that concerns more than single entries.

        Raises: what the operator raises; R4015.
        Cost:   O(size of the entry).
        """
        if type(path) is list:
            if not path:
                return operator is not put or self._merge(args[0], undo)
            key = text(path[0])
        else:
            key = path if type(path) is str else text(path)
            if args and type(args[0]) in SCALARS:
                # The most frequent case: the entry becomes the value, and that is stored as it is.
                self._write(key, self.part(key), args[0], undo)
                return True
        part = self.part(key)
        one = {} if part is None else {key: part[1]}
        changed = operator(one, path, *args)
        if changed is not one:
            self._write(key, part, to_stored(changed).get(key, ABSENT), undo)
        return True

    def append(self, value: Any, undo: Undo) -> bool:
        """Not here: a map and what is appended make an array."""
        return False

    def _merge(self, other: Any, undo: Undo) -> bool:
        if type(other) is not dict:
            return False
        stored = to_stored(other)
        for key in other:
            self._write(key, self.part(key), stored.get(key, ABSENT), undo)
        return True

    def _write(self, key: str, part: Any, value: Any, undo: Undo) -> None:
        """Put a value, or with ABSENT nothing, where `part` is."""
        count, size, after = self.numbers
        if value is ABSENT:
            if part is not None:
                size -= 8 + len(key) + size_of(part[1])
                self._has_removed = True
                self.replace(key, None, (count - 1, size, after), undo)
            return
        bytes_new = 8 + len(key) + (size_of(value) if type(value) in SIZED else 0)
        if bytes_new > self._bounds.row_bytes:
            check_row(self.name, "one entry", bytes_new, self._bounds)
        if part is None:
            self.replace(key, (after, value), (count + 1, size + bytes_new, after + 1), undo)
            return
        before = part[1]
        if before is not value:
            size += bytes_new - 8 - len(key) - (size_of(before) if type(before) in SIZED else 0)
            self.replace(key, (part[0], value), (count, size, after), undo)


def _ordinal(found: tuple[Ordinal, str, Any]) -> Ordinal:
    return found[0]


def place(keys: Iterable[str], old: dict[str, Ordinal], after: int) -> list[Ordinal]:
    """Rising ordinals for keys in a new order, such that as many as possible keep their old ones.

    `after` is an integer above all old ordinals. New entries between two old ones divide the gap;
    where numbers get too close for that, all get new ones.
    Cost: O(n), and O(n log n) when the common keys have changed places.
    """
    wanted = [old.get(key) for key in keys]
    kept = _rising(wanted)
    if None not in kept:
        return kept  # type: ignore[return-value]
    placed: list[Ordinal] = []
    low: Ordinal | None = None
    gap = 0
    for ordinal in [*kept, None]:
        is_end = len(placed) + gap == len(kept)
        if ordinal is None and not is_end:
            gap += 1
            continue
        if ordinal is None:
            placed += range(after, after + gap)
        elif low is None:
            placed += [ordinal - gap + i for i in range(gap)]
        else:
            step = (ordinal - low) / (gap + 1)
            placed += [low + step * (i + 1) for i in range(gap)]
        if ordinal is not None:
            placed.append(ordinal)
            low = ordinal
        gap = 0
    if any(a >= b for a, b in pairwise(placed)):
        return list(range(after, after + len(placed)))
    return placed


def _rising(wanted: list[Ordinal | None]) -> list[Ordinal | None]:
    """The same list with as few numbers as possible replaced by None, so that the rest rises."""
    known = [ordinal for ordinal in wanted if ordinal is not None]
    if all(a < b for a, b in pairwise(known)):
        return wanted
    # The longest rising subsequence: `ends[n]` is the least number that ends one of length n + 1.
    ends: list[Ordinal] = []
    places: list[int] = []
    for ordinal in known:
        at = bisect_left(ends, ordinal)
        places.append(at)
        if at == len(ends):
            ends.append(ordinal)
        else:
            ends[at] = ordinal
    stay = set()
    length = len(ends) - 1
    for at in range(len(known) - 1, -1, -1):
        if places[at] == length:
            stay.add(known[at])
            length -= 1
    return [ordinal if ordinal in stay else None for ordinal in wanted]
