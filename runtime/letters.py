"""Dead letters: events that were accepted or sent and cannot be delivered.

In: an event that left a pico, or waited in one that died, and why it cannot arrive. Out: a row for
people, and `system:undeliverable` for the sender, which is itself never sent again. Invariants: the
letter is part of the batch in which the delivery failed; their number is bounded, oldest dropped.
"""

from __future__ import annotations

from typing import Any

from runtime.commit import Committer
from runtime.errors import CODES, Fault
from runtime.limits import dead_letters_max
from runtime.store import Store, decode_record, encode_record, key_number, number_key


class DeadLetters:
    """The rows of family `dead`, numbered in order."""

    def __init__(self, store: Store, committer: Committer) -> None:
        self._store = store
        self._committer = committer
        last = next(store.scan("dead", b"", reverse=True), None)
        first = next(store.scan("dead", b""), None)
        self._next = 0 if last is None else key_number(last[0]) + 1
        self._first = self._next if first is None else key_number(first[0])

    def add(
        self,
        sender: str | None,
        eci: str,
        domain: str,
        name: str,
        attrs: dict[str, Any],
        eid: str,
        fault: Fault,
        now_ms: int,
    ) -> None:
        """Keep a letter; `sender` is the pico that sent it, None when it came from outside."""
        record = [sender, eci, domain, name, attrs, eid, fault.code, fault.message, now_ms]
        self._committer.put("dead", number_key(self._next), encode_record(record))
        self._next += 1
        if self._next - self._first > dead_letters_max:
            self._committer.put("dead", number_key(self._first), None)
            self._first += 1

    def __len__(self) -> int:
        return self._next - self._first

    def recent(self, count: int = 100) -> list[dict[str, Any]]:
        """The last letters that are written, newest first."""
        found: list[dict[str, Any]] = []
        for _, value in self._store.scan("dead", b"", reverse=True):
            if len(found) == count:
                break
            sender, eci, domain, name, attrs, eid, code, message, at = decode_record(
                value, "dead letter"
            )
            found.append(
                {
                    "sender": sender,
                    "eci": eci,
                    "domain": domain,
                    "name": name,
                    "attrs": attrs,
                    "eid": eid,
                    "code": code,
                    "message": message,
                    "time_ms": at,
                }
            )
        return found


def undeliverable(
    eci: str, domain: str, name: str, attrs: dict[str, Any], eid: str, fault: Fault
) -> dict[str, Any]:
    """The attributes of `system:undeliverable`."""
    return {
        "eci": eci,
        "domain": domain,
        "name": name,
        "attrs": attrs,
        "eid": eid,
        "code": fault.code,
        "title": CODES[fault.code].title,
        "msg": fault.message,
    }
