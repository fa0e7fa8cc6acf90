"""Entity variables over a store in memory, driven like a pico's: turns, groups, reloads.

In: small bounds, so that a handful of entries makes a collection. Out: `Stage`.
"""

from typing import Any

from runtime.entities import Entities
from runtime.memory import MemoryStore
from runtime.store import Batch
from runtime.stored import Bounds, Reader

SMALL = Bounds(record_elements=3, record_bytes=60, chunk_elements=3, chunk_bytes=40)


class Stage:
    """One `Entities`, its store, and the rows that the next group will have."""

    def __init__(self, bounds: Bounds = SMALL) -> None:
        self.store = MemoryStore(lambda _: None)
        self.bounds = bounds
        self.dirty: dict[str, None] = {}
        self.reads: list[bytes] = []
        self.scans: list[bytes] = []
        self.writes: list[bytes] = []
        self.ent = self.opened()

    def opened(self) -> Entities:
        """New variables over the same store."""
        return Entities(Reader(self._get, self._scan), "cabc", "r.id", self.bounds)

    def _get(self, family: str, key: bytes) -> bytes | None:
        self.reads.append(key)
        return self.store.get(family, key)

    def _scan(self, family: str, prefix: bytes) -> Any:
        self.scans.append(prefix)
        return self.store.scan(family, prefix)

    def settle(self) -> None:
        """The turn ends well."""
        self.ent.keep()
        self.dirty.update(dict.fromkeys(self.ent.settle()))

    def write(self) -> None:
        """The group is written; `writes` are its keys."""
        batch: Batch = []
        for name in self.dirty:
            batch += [("pico", key, value) for key, value in self.ent.rows(name)]
        self.dirty.clear()
        self.writes = [key for _, key, _ in batch]
        self.store.write(batch)

    def commit(self) -> None:
        """The turn ends well and its group is written."""
        self.settle()
        self.write()

    def reload(self) -> None:
        """The pico wakes again; what was not written is lost."""
        self.dirty.clear()
        self.ent = self.opened()
        self.reads.clear()
        self.scans.clear()

    def stored(self) -> list[bytes]:
        """All keys of the store."""
        return [key for key, _ in self.store.scan("pico", b"")]
