"""A map with changes over it: what a turn has made of a pico's channels or children.

In: a base map and changes. Out: a read-only map that shows both. Invariants: making a changed one
costs the changes so far, not the base, however large that is; the base is touched only by `settle`,
when the turn that made the changes commits, and nobody uses an older layer of it afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

V = TypeVar("V")
GONE: Any = object()


class Layer(Mapping[str, V]):
    """Changes (a value, or GONE) over a base map; new keys come last, in order of their making."""

    __slots__ = ("_base", "changes")

    def __init__(self, base: dict[str, V], changes: dict[str, V] | None = None) -> None:
        self._base = base
        self.changes: dict[str, V] = {} if changes is None else changes

    def __getitem__(self, key: str) -> V:
        value = self.changes.get(key)
        if value is None:
            return self._base[key]
        if value is GONE:
            raise KeyError(key)
        return value

    def __iter__(self) -> Iterator[str]:
        changes = self.changes
        for key in self._base:
            if changes.get(key) is not GONE:
                yield key
        for key, value in changes.items():
            if value is not GONE and key not in self._base:
                yield key

    def __len__(self) -> int:
        count = len(self._base)
        for key, value in self.changes.items():
            if value is GONE:
                count -= key in self._base
            else:
                count += key not in self._base
        return count

    def with_value(self, key: str, value: V) -> Layer[V]:
        """The map with one entry set.

        Cost: O(changes so far).
        """
        return Layer(self._base, {**self.changes, key: value})

    def without(self, key: str) -> Layer[V]:
        """The map with one entry gone.

        Cost: O(changes so far).
        """
        return Layer(self._base, {**self.changes, key: GONE})

    def settle(self) -> Layer[V]:
        """Work the changes into the base, and give the map without any.

        Cost: O(changes).
        """
        for key, value in self.changes.items():
            if value is GONE:
                self._base.pop(key, None)
            else:
                self._base[key] = value
        return Layer(self._base)
