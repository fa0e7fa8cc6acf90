"""Answers given under an idempotency key: the same key gives the same answer and one effect.

In: events whose sender gave a key. Out: their answers, remembered for a day in buckets of time.
Invariants: a key is scoped to (pico, ECI); an answer is stored in the batch of the turn that gave
it; the same key with other content is a conflict. Source: DESIGN.md 5.
"""

from __future__ import annotations

import json
from functools import partial
from hashlib import blake2b
from typing import Any

import msgspec

from runtime.clock import Clock
from runtime.commit import Committer
from runtime.errors import Fault
from runtime.event import Event
from runtime.inbox import Done
from runtime.limits import answer_bucket_ms, answer_buckets_kept, key_characters_max
from runtime.store import Store, answer_key, decode_record, encode_record

_encode = msgspec.msgpack.Encoder(order="deterministic").encode


class _Open:
    """A keyed event that is not answered yet, and everybody who asked for it."""

    __slots__ = ("digest", "waiting")

    def __init__(self, digest: bytes, waiting: list[Done]) -> None:
        self.digest = digest
        self.waiting = waiting


class AnswerBook:
    """All answers under keys."""

    def __init__(self, store: Store, committer: Committer, clock: Clock) -> None:
        self._store = store
        self._committer = committer
        self._clock = clock
        self._open: dict[tuple[str, str], _Open] = {}
        self._expired = 0
        # No bucket before this one holds anything, so none is looked into for a fresh key.
        first = next(store.scan("answer", b""), None)
        self._oldest = 0 if first is None else int.from_bytes(first[0][:8], "big")
        last = next(store.scan("answer", b"", reverse=True), None)
        self._latest = 0 if last is None else int.from_bytes(last[0][:8], "big")

    def _bucket(self) -> int:
        """The bucket of now, and never an earlier one than before: clocks are set back at times."""
        self._latest = max(self._latest, self._clock.now_ms() // answer_bucket_ms)
        return self._latest

    def open(self, event: Event, key: str, done: Done) -> Done | None:
        """Begin a keyed event; None means that it ran or runs already, and `done` will be answered.

        The returned callback answers everybody who asks under this key meanwhile.
        """
        if not key or len(key) > key_characters_max:
            message = f"an idempotency key has 1 to {key_characters_max} characters"
            self._clock.call_soon(partial(done, Fault("R1007", message)))
            return None
        digest = _digest(event)
        mine = (event.eci, key)
        running = self._open.get(mine)
        if running is not None:
            if running.digest == digest:
                running.waiting.append(done)
            else:
                self._clock.call_soon(partial(done, _conflict(key)))
            return None
        kept = self._find(event.eci, key)
        if kept is not None:
            answer = kept[1] if kept[0] == digest else _conflict(key)
            self._clock.call_soon(partial(done, answer))
            return None
        return self._begin(mine, digest, [done])

    def resume(self, event: Event, key: str) -> Done:
        """Begin a keyed event that was accepted before a crash: those who ask again will wait."""
        return self._begin((event.eci, key), _digest(event), [])

    def _begin(self, mine: tuple[str, str], digest: bytes, waiting: list[Done]) -> Done:
        running = self._open[mine] = _Open(digest, waiting)

        def tell(answer: Any) -> None:
            # After `drop` the key may be in use again, by somebody else.
            if self._open.get(mine) is running:
                del self._open[mine]
            for each in running.waiting:
                each(answer)

        return tell

    def close(self, eci: str, key: str, answer: Any) -> None:
        """Remember an answer, in the group that gathers."""
        running = self._open[eci, key]
        record = encode_record([running.digest, answer])
        bucket = self._bucket()
        if bucket != self._expired:
            # Where a new bucket begins an old one may end; no timer is needed for that.
            self._expired = bucket
            self.expire()
        self._committer.put("answer", answer_key(bucket, "", eci, key), record)

    def drop(self, eci: str, key: str) -> None:
        """An event that could not run leaves its key unused."""
        self._open.pop((eci, key), None)

    def _find(self, eci: str, key: str) -> tuple[bytes, Any] | None:
        now = self._bucket()
        if not self._oldest:
            # Nothing was ever stored: the first bucket with an answer will be this one or a later.
            self._oldest = now
        for bucket in range(now, max(now - answer_buckets_kept, self._oldest - 1, -1), -1):
            row = self._store.get("answer", answer_key(bucket, "", eci, key))
            if row is not None:
                digest, answer = decode_record(row, "answer")
                return digest, answer
        return None

    def expire(self) -> None:
        """Drop the buckets that are older than the retention."""
        oldest = self._bucket() - answer_buckets_kept
        if oldest > 0:
            self._store.erase("answer", (0).to_bytes(8, "big"), oldest.to_bytes(8, "big"))


def _digest(event: Event) -> bytes:
    """What makes two events the same; request headers differ from try to try, so they do not.

    A pico's key names one call of its turn. Run again after a crash the turn may give other
    attributes, the time or a random number, and it is the same call.
    """
    attrs = {}
    if event.sender is None:
        attrs = {name: value for name, value in event.attrs.items() if name != "_headers"}
    content = [event.domain, event.name, attrs]
    try:
        data = _encode(content)
    except UnicodeEncodeError:
        # KRL text may hold half of a surrogate pair.
        data = json.dumps(content, sort_keys=True).encode("ascii")
    return blake2b(data, digest_size=16).digest()


def _conflict(key: str) -> Fault:
    return Fault("R1008", f"key {key[:40]!r} was used on this channel for another event")
