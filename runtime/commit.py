"""Commit groups: finished turns gathered into one batch and one sync; who waits for which sync.

In: completed turns and accepted inbox rows. Out: atomic batches in the order of completion, and
callbacks released when what they depend on is durable. Invariants: groups become durable in order;
a group is written only when no sync is under way, so the next one gathers meanwhile; a row put and
removed within one group is never written; after a failed write nothing is accepted or released any
more, and everybody waiting is told why. Source: DESIGN.md 3.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from runtime import observe
from runtime.counts import GROUP_ROWS, Histogram
from runtime.errors import Fault
from runtime.store import Batch, Store

Release = Callable[[Fault | None], object]
# A value that is made only if its row is still there when the group is written.
Lazy = Callable[[], bytes]


class Dirty(Protocol):
    """Something in memory that knows the rows, in family `pico`, that keep one of its parts."""

    def rows(self, name: str) -> list[tuple[bytes, bytes | None]]:
        """Keys and values as of now, which are then written; a value of None deletes."""


class Committer:
    """The one way into the store.

    `gathering` numbers the group that collects now, `durable` the last group that is durable;
    `on_write` may add to a batch what needs no durability of its own.
    """

    def __init__(self, store: Store, on_failure: Callable[[Fault], object]) -> None:
        self._store = store
        self._on_failure = on_failure
        self._rows: dict[tuple[str, bytes], bytes | Lazy | None] = {}
        self._dirty: dict[tuple[int, str], tuple[Dirty, str]] = {}
        self._waiting: deque[tuple[int, Callable[[Any], object], Any]] = deque()
        self._is_syncing = False
        self.group_rows = Histogram(GROUP_ROWS)
        self.on_durable: Callable[[], object] | None = None
        self.on_write: Callable[[Batch], object] | None = None
        self.gathering = 1
        self.durable = 0
        self.failure: Fault | None = None

    # --- Reading ----------------------------------------------------------------------------------

    def get(self, family: str, key: bytes) -> bytes | None:
        """The value of a key as of the last completed turn, written or not."""
        if (family, key) in self._rows:
            value = self._rows[family, key]
            return value if value is None or type(value) is bytes else _made(value)
        return self._store.get(family, key)

    # --- Gathering --------------------------------------------------------------------------------

    def put(self, family: str, key: bytes, value: bytes | None) -> None:
        """Set (or with None delete) a row in the group that gathers."""
        self._rows[family, key] = value

    def put_lazy(self, family: str, key: bytes, make: Lazy) -> None:
        """Set a row whose value is made when the group is written, if nobody removed it before."""
        self._rows[family, key] = make

    def put_all(self, batch: Iterable[tuple[str, bytes, bytes | None]]) -> None:
        """Set several rows in the group that gathers."""
        rows = self._rows
        for family, key, value in batch:
            rows[family, key] = value

    def remove(self, family: str, key: bytes) -> None:
        """Delete a row that is never overwritten; one put in this same group is just forgotten."""
        if self._rows.pop((family, key), None) is None:
            self._rows[family, key] = None

    def dirty(self, owner: Dirty, name: str) -> None:
        """A part changed: what it holds when the group is written is what is stored."""
        self._dirty[id(owner), name] = (owner, name)

    def when_durable(self, group: int, release: Callable[[Any], object], value: Any = None) -> None:
        """Call `release(value)` once this group is durable, at once if it is; or with the failure.

        Groups must be given in ascending order or be among those already waiting.
        Cost: hot; one tuple.
        """
        if self.failure is not None:
            release(self.failure)
        elif group <= self.durable:
            release(value)
        else:
            waiting = self._waiting
            if waiting and waiting[-1][0] > group:
                self._insert(group, release, value)
            else:
                waiting.append((group, release, value))

    def _insert(self, group: int, release: Callable[[Any], object], value: Any) -> None:
        """Keep the queue ascending when a reader depends on an older group than the last writer."""
        at = len(self._waiting)
        while at and self._waiting[at - 1][0] > group:
            at -= 1
        self._waiting.insert(at, (group, release, value))

    # --- Writing ----------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write the group that gathers, unless it is empty or a sync is under way."""
        if self._is_syncing or self.failure is not None:
            return
        if not (self._rows or self._dirty):
            if self._waiting:
                self._skip()
            return
        try:
            batch: Batch = [
                (family, key, value if value is None or type(value) is bytes else _made(value))
                for (family, key), value in self._rows.items()
            ]
            for owner, name in self._dirty.values():
                for key, value in owner.rows(name):
                    batch.append(("pico", key, value))
            if self.on_write is not None:
                self.on_write(batch)
            self._store.write(batch)
        except Exception as error:
            self.fail(error)
            return
        self.group_rows.note(len(batch))
        self._rows.clear()
        self._dirty.clear()
        group = self.gathering
        self.gathering = group + 1
        self._is_syncing = True
        self._store.sync(lambda failure: self._synced(group, failure))

    def _skip(self) -> None:
        """Nothing of this group is left to write, and somebody waits for it: it is durable."""
        group = self.gathering
        self.gathering = group + 1
        self._settle(group)

    def _synced(self, group: int, failure: BaseException | None) -> None:
        self._is_syncing = False
        if self.failure is not None:
            return
        if failure is not None:
            self.fail(failure)
            return
        self._settle(group)
        self.flush()

    def _settle(self, group: int) -> None:
        """All groups up to this one are durable: tell who waits for them, in order."""
        self.durable = group
        waiting = self._waiting
        while waiting and waiting[0][0] <= group:
            _, release, value = waiting.popleft()
            try:
                release(value)
            except Exception as error:  # whoever waits next must be told all the same
                observe.bug("a caller's callback", error)
        if self.on_durable is not None:
            self.on_durable()

    @property
    def newest(self) -> int:
        """The last group that has anything in it: all that was completed is in it or before."""
        return self.gathering if self._rows or self._dirty else self.gathering - 1

    @property
    def is_idle(self) -> bool:
        """True when nothing gathers and everything written is durable."""
        return not (self._rows or self._dirty or self._is_syncing)

    def fail(self, error: BaseException) -> None:
        """Stop for good: memory must not go on where the disk does not follow."""
        if self.failure is not None:
            return
        if isinstance(error, Fault):
            fault = error
        else:
            fault = Fault("R3003", f"the store refused a write: {type(error).__name__}: {error}")
        self.failure = fault
        waiting, self._waiting = self._waiting, deque()
        self._on_failure(fault)
        for _, release, _ in waiting:
            try:
                release(fault)
            except Exception as bug:  # the others must be told all the same
                observe.bug("a caller's callback", bug)


def _made(value: bytes | Lazy) -> bytes:
    """The bytes of a row that is not deleted."""
    return value if isinstance(value, bytes) else value()
