"""What waits for a pico: events and queries with who is to be told, and accepted events as rows.

In: checked events and queries. Out: `Item` values for the queue, and records for the events that
were accepted before they ran. Invariant: an item with a row is removed from the store in the batch
of the turn that ran it. Not here: order and bounds (engine.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ext import Item as Item
from runtime.errors import Fault
from runtime.event import Event
from runtime.store import encode_record

# Called once with the answer: a map for events, a value for queries, or a Fault.
Done = Callable[[Any], object]


class Answer:
    """The value of a query, kept apart from faults and maps of event answers.

    `stale` says that events accepted before the query have not run: their pico waits for something.
    """

    __slots__ = ("stale", "value")

    def __init__(self, value: Any, *, stale: bool = False) -> None:
        self.value = value
        self.stale = stale


def event_row(event: Event) -> bytes:
    """An accepted event as a row of the inbox."""
    return encode_record(_record(event))


def begun_row(event: Event, key: str | None) -> bytes:
    """An event whose turn has begun, with the idempotency key its sender gave, as a row."""
    return encode_record([*_record(event), key])


def _record(event: Event) -> list[Any]:
    e = event
    return [e.eci, e.domain, e.name, e.attrs, e.time_ms, e.eid, e.sender]


def item_from_record(record: list[Any], number: int) -> tuple[Item, bool]:
    """What a row stands for, and whether its turn had begun: then it goes before all others.

    The item's key is set if its sender gave one, but nobody is there to be told.
    Raises: R3006 when the record has another shape.
    """
    try:
        eci, domain, name, attrs, time_ms, eid, sender, *rest = record
        key, *none = rest or (None,)
    except (TypeError, ValueError):
        none = [record]
    if none:
        raise Fault("R3006", "an inbox record has another shape than this engine writes")
    item = Item(Event(eci, domain, name, attrs, time_ms, eid, sender), None, None, number=number)
    if key is not None:
        item.key = (eci, key)
    return item, bool(rest)
