"""The store in memory: for engines without a folder, for tests, and for simulation.

In and out: the `Store` protocol. Beside it `crash` gives the store as it would be found after the
machine stopped: what was durable, plus as many of the later batches as the caller says had reached
the disk by luck; batches are never found in part or out of order.

Invariants: `crash` hooks are called with names of CRASH_POINTS, and a hook may raise to stop right
there. What is not durable is held as an undo log, so a synced store keeps nothing twice.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator

from runtime.errors import Fault
from runtime.store import FAMILIES, Batch, Deliver, Done, after_prefix

_CHUNK_KEYS_MAX = 1024


class _Keys:
    """Keys in order, in chunks, so that adding one moves at most a chunk.

    Cost: add and remove O(chunks + chunk) in C, practically constant below a million keys.
    """

    __slots__ = ("_chunks", "_firsts")

    def __init__(self) -> None:
        self._chunks: list[list[bytes]] = []
        self._firsts: list[bytes] = []

    def add(self, key: bytes) -> None:
        at = bisect_right(self._firsts, key) - 1
        if at < 0:
            if not self._chunks:
                self._chunks.append([key])
                self._firsts.append(key)
                return
            at = 0
        chunk = self._chunks[at]
        insort(chunk, key)
        self._firsts[at] = chunk[0]
        if len(chunk) > _CHUNK_KEYS_MAX:
            half = len(chunk) // 2
            self._chunks.insert(at + 1, chunk[half:])
            self._firsts.insert(at + 1, chunk[half])
            del chunk[half:]

    def remove(self, key: bytes) -> None:
        at = bisect_right(self._firsts, key) - 1
        chunk = self._chunks[at]
        del chunk[bisect_left(chunk, key)]
        if chunk:
            self._firsts[at] = chunk[0]
        else:
            del self._chunks[at]
            del self._firsts[at]

    def from_key(self, key: bytes) -> list[bytes]:
        """Some keys that are not less than `key`, in order: the rest of one chunk, or nothing."""
        at = max(bisect_right(self._firsts, key) - 1, 0)
        while at < len(self._chunks):
            chunk = self._chunks[at]
            begin = bisect_left(chunk, key)
            if begin < len(chunk):
                return chunk[begin:]
            at += 1
        return []

    def up_to_key(self, key: bytes | None) -> list[bytes]:
        """Some keys that are less than `key` (None: all are), greatest first."""
        at = len(self._chunks) - 1 if key is None else bisect_left(self._firsts, key) - 1
        if at < 0:
            return []
        chunk = self._chunks[at]
        end = len(chunk) if key is None else bisect_left(chunk, key)
        return chunk[:end][::-1]


class _Table:
    """One family: values by key, and the keys in order."""

    __slots__ = ("keys", "values")

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.keys = _Keys()

    def put(self, key: bytes, value: bytes | None) -> bytes | None:
        """Set or delete; give what was there before."""
        values = self.values
        before = values.get(key)
        if value is None:
            if before is not None:
                del values[key]
                self.keys.remove(key)
        else:
            if before is None:
                self.keys.add(key)
            values[key] = value
        return before


class MemoryStore:
    """A `Store` in memory that knows what would survive a crash."""

    def __init__(self, deliver: Deliver, crash: Callable[[str], object] | None = None) -> None:
        self._deliver = deliver
        self._hook = crash
        self._tables = {family: _Table() for family in FAMILIES}
        # One undo list for each batch that is not durable, oldest first.
        self._undo: list[Batch] = []
        self._batches_durable = 0
        self._is_closed = False
        self._is_crashed = False

    @property
    def unsynced_batches(self) -> int:
        """How many batches a crash may lose."""
        return len(self._undo)

    def get(self, family: str, key: bytes) -> bytes | None:
        return self._tables[family].values.get(key)

    def scan(
        self, family: str, prefix: bytes, start: bytes = b"", reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        scan = self._scan_back if reverse else self._scan
        return scan(family, prefix, start)

    def _scan(self, family: str, prefix: bytes, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        table = self._tables[family]
        at = max(prefix, start)
        while keys := table.keys.from_key(at):
            for key in keys:
                if not key.startswith(prefix):
                    return
                value = table.values.get(key)
                if value is not None:
                    yield key, value
            at = keys[-1] + b"\0"

    def _scan_back(self, family: str, prefix: bytes, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        table = self._tables[family]
        end = after_prefix(prefix) or None
        if start and (end is None or start < end):
            end = start + b"\0"
        while keys := table.keys.up_to_key(end):
            for key in keys:
                if not key.startswith(prefix):
                    return
                value = table.values.get(key)
                if value is not None:
                    yield key, value
            end = keys[-1]

    def write(self, batch: Batch) -> None:
        self._check_open()
        if self._hook is not None:
            self._hook("write.before")
        tables = self._tables
        undo: Batch = [
            (family, key, tables[family].put(key, value)) for family, key, value in batch
        ]
        self._undo.append(undo)
        if self._hook is not None:
            self._hook("write.after")

    def sync(self, done: Done) -> None:
        self._check_open()
        if self._hook is not None:
            self._hook("sync.asked")
        mark = self._batches_durable + len(self._undo)
        self._deliver(lambda: self._synced(mark, done))

    def _synced(self, mark: int, done: Done) -> None:
        if self._is_crashed:
            return
        if self._hook is not None:
            self._hook("sync.before")
        if mark > self._batches_durable:
            del self._undo[: mark - self._batches_durable]
            self._batches_durable = mark
        if self._hook is not None:
            self._hook("sync.after")
        done(None)

    def erase(self, family: str, start: bytes, end: bytes) -> None:
        if self._hook is not None:
            self._hook("erase.before")
        doomed = []
        for key, _ in self._scan(family, b"", start):
            if key >= end:
                break
            doomed.append(key)
        if doomed:
            self.write([(family, key, None) for key in doomed])

    def close(self) -> None:
        self._is_closed = True

    def crash(
        self,
        deliver: Deliver | None = None,
        hook: Callable[[str], object] | None = None,
        *,
        surviving: int = 0,
    ) -> "MemoryStore":
        """Stop this store for good and give what is found after the crash.

        `surviving` batches that were not durable are found as well, oldest first: a disk may have
        written more than it had promised. Asked-for syncs of this store never report.
        """
        self._check_open()
        self._is_closed = self._is_crashed = True
        for undo in reversed(self._undo[surviving:]):
            for family, key, before in reversed(undo):
                self._tables[family].put(key, before)
        found = MemoryStore(deliver or self._deliver, hook)
        found._tables = self._tables
        self._tables = {family: _Table() for family in FAMILIES}
        return found

    def _check_open(self) -> None:
        if self._is_closed:
            raise Fault("R3003", "the store in memory is closed")
