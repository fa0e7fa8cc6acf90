"""Deleted picos: dead at once, reaped in the background, remembered as tombstones.

In: ids of children that committed turns deleted. Out: the whole subtree dead in memory from that
moment, its rows deleted in bounded batches, its ECIs answering 410 until the tombstones expire.
Invariants: a tombstone on the subtree's root is part of the deleting turn's batch, so after a crash
the reaping goes on; a dead pico never runs again; its accepted events become dead letters.
Source: DESIGN.md 6.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice

from runtime.clock import Clock
from runtime.commit import Committer
from runtime.errors import Fault
from runtime.limits import reap_rows_max, tombstone_kept_ms
from runtime.pico import Pico
from runtime.shelf import Shelf
from runtime.store import (
    Store,
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
    timer_owner_key,
)
from runtime.timers import due_key_of

GRAVE = b"grave:"
BURIED = b"buried:"


class Graves:
    """Everything about picos that are no more.

    `on_death` gets each pico that was awake when it died.
    """

    def __init__(
        self,
        store: Store,
        committer: Committer,
        clock: Clock,
        shelf: Shelf,
        on_death: Callable[[Pico], object],
    ) -> None:
        self._store = store
        self._committer = committer
        self._clock = clock
        self._shelf = shelf
        self._on_death = on_death
        self._work: deque[Iterator[None]] = deque()
        self._is_digging = False

    def resume(self) -> None:
        """Take up what a stop interrupted: before anything is accepted, mark the dead."""
        for key, _ in list(self._store.scan("meta", GRAVE)):
            root_id = key[len(GRAVE) :].decode()
            self._kill(root_id)
            self._work.append(self._reap(root_id))
        self._dig()
        self._expire()

    def bury(self, root_id: str) -> None:
        """A committed turn deleted this pico and all below it."""
        self._committer.put("meta", GRAVE + root_id.encode(), encode_record(self._clock.now_ms()))
        self._kill(root_id)
        self._work.append(self._reap(root_id))
        self._dig()
        self._expire()

    @property
    def is_idle(self) -> bool:
        """True when nothing is left to reap."""
        return not self._work

    def _kill(self, root_id: str) -> None:
        """Mark a subtree dead in memory.

        Cost: O(picos in the subtree), one short scan for each that sleeps.
        """
        pending = [root_id]
        while pending:
            pico_id = pending.pop()
            self._shelf.dead.add(pico_id)
            pico = self._shelf.picos.get(pico_id)
            children = None if pico is None else pico.structure.children
            pending.extend(self._children(pico_id) if children is None else children.values())
            if pico is not None:
                pico.is_dead = True
                self._shelf.forget(pico)
                self._on_death(pico)

    def _children(self, pico_id: str) -> list[str]:
        return [
            decode_record(value, "child")[1]
            for _, value in self._store.scan("pico", child_key(pico_id))
        ]

    # --- Reaping ----------------------------------------------------------------------------------

    def _dig(self) -> None:
        if not self._is_digging and self._work:
            self._is_digging = True
            self._clock.call_soon(self._step)

    def _step(self) -> None:
        """One bounded batch, after the group before it was written."""
        self._is_digging = False
        if self._committer.failure is not None:
            self._work.clear()
            return
        if self._work:
            try:
                next(self._work[0])
            except StopIteration:
                self._work.popleft()
        self._committer.flush()
        if self._work:
            self._is_digging = True
            # The next batch is read from the store, so this one must have been written.
            self._committer.when_durable(
                self._committer.gathering if not self._committer.is_idle else 0,
                self._go_on,
            )

    def _go_on(self, failure: Fault | None) -> None:
        # After a failure too: the step then sees that nothing is left to do in this run.
        self._clock.call_soon(self._step)

    def _reap(self, root_id: str) -> Iterator[None]:
        """Delete a subtree's rows, children before parents, a batch each time it is resumed."""
        # The deleting turn's own batch comes first.
        yield
        order = [root_id]
        for pico_id in order:
            order.extend(self._children(pico_id))
        for pico_id in reversed(order):
            yield from self._reap_pico(pico_id)
        self._committer.put("meta", GRAVE + root_id.encode(), None)

    def _reap_pico(self, pico_id: str) -> Iterator[None]:
        put = self._committer.put
        now = self._clock.now_ms()
        prefix = channel_key(pico_id)
        count = 0
        for key, _ in list(self._store.scan("pico", prefix)):
            eci = key[len(prefix) :]
            put("eci", eci_key(eci.decode()), encode_record(now))
            put("meta", BURIED + number_key(now) + eci, encode_record(None))
            put("pico", key, None)
            count += 3
            if count >= reap_rows_max:
                count = 0
                yield
        prefix = mark_owner_key(pico_id)
        for key, _ in list(self._store.scan("pico", prefix)):
            put("mark", mark_key(key[len(prefix) :].decode()), None)
            put("pico", key, None)
            count += 2
            if count >= reap_rows_max:
                count = 0
                yield
        # Head and children go last: what is interrupted here is found again through them.
        kept = (head_key(pico_id), child_key(pico_id))
        for key, _ in list(self._store.scan("pico", pico_prefix(pico_id))):
            if key.startswith(kept):
                continue
            put("pico", key, None)
            count += 1
            if count >= reap_rows_max:
                count = 0
                yield
        prefix = timer_owner_key(pico_id)
        while rows := list(islice(self._store.scan("timer", prefix), reap_rows_max // 2)):
            for key, row in rows:
                put("timer", key, None)
                put("timer", due_key_of(key, row), None)
            yield
        put("pico", automata_key(pico_id), None)
        yield
        for key, _ in list(self._store.scan("pico", child_key(pico_id))):
            put("pico", key, None)
        put("pico", head_key(pico_id), None)
        # From here on the missing head says that it is gone.
        self._committer.when_durable(
            self._committer.gathering, lambda _: self._shelf.dead.discard(pico_id)
        )

    def _expire(self) -> None:
        """Forget tombstones of ECIs that are older than their retention."""
        oldest = self._clock.now_ms() - tombstone_kept_ms
        for key, _ in self._store.scan("meta", BURIED):
            at = int.from_bytes(key[len(BURIED) : len(BURIED) + 8], "big")
            if at >= oldest:
                break
            self._committer.put("eci", key[len(BURIED) + 8 :], None)
            self._committer.put("meta", key, None)
