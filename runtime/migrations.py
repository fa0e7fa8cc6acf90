"""Older formats: how records and stores that an earlier version wrote become those of today.

In: a record or a store of an older format. Out: the same content in the format of now. Invariants:
a record is migrated one format at a time, when it is read, and stored anew only when it changes; a
step for the whole store may be interrupted and run again, and its last batch raises the format.
Newer formats are refused elsewhere (store.py, rocks.py, home.py), never guessed at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from runtime import store as formats
from runtime.errors import Fault
from runtime.store import FORMAT_KEY, Batch, Store, encode_record

# What a record of this format is in the next one. The first argument names the kind of record, in
# the words that `decode_record` is given.
RecordStep = Callable[[str, Any], Any]
RECORD_STEPS: dict[int, RecordStep] = {}
# What makes a store of this format one of the next, a bounded batch at a time.
StoreStep = Callable[[Store], Iterator[Batch]]
STORE_STEPS: dict[int, StoreStep] = {}


def migrate_record(record: Any, what: str, found: int) -> Any:
    """A record of an older format, as the current format has it.

    Raises: R3006 for a format that never was.
    """
    for version in range(found, formats.RECORD_FORMAT):
        step = RECORD_STEPS.get(version)
        if step is None:
            raise Fault("R3006", f"a {what} has format {version}, which no engine ever wrote")
        record = step(what, record)
    return record


def migrate_store(store: Store, found: int) -> None:
    """Bring a store of an older format to the current one.

    Raises: R3006 for a format that never was; what the store raises when it cannot be written.
    """
    for version in range(found, formats.STORE_FORMAT):
        step = STORE_STEPS.get(version)
        if step is None:
            raise Fault("R3006", f"the store has format {version}, which no engine ever wrote")
        for batch in step(store):
            store.write(batch)
        store.write([("meta", FORMAT_KEY, encode_record(version + 1))])
