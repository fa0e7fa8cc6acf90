"""What waits for a pico: events and queries with who is to be told, and accepted events as rows.

In: checked events and queries. Out: `Item` values for the queue, and records for the events that
were accepted before they ran. Invariant: an item with a row is removed from the store in the batch
of the turn that ran it. Not here: order and bounds (engine.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runtime.errors import Fault
from runtime.event import Event, Query
from runtime.store import encode_record

# Called once with the answer: a map for events, a value for queries, or a Fault.
Done = Callable[[Any], object]


class Item:
    """One thing to do for a pico: an event (perhaps with a query right behind it), a query, or a
    task of administration.

    `number` is the row's number in the inbox family, or -1 when it is not stored. `key` is the
    idempotency key the sender gave, with its channel. `refused` are the rulesets, by URL, for which
    it waited in vain.
    """

    __slots__ = ("done", "event", "key", "number", "query", "refused", "task")

    def __init__(
        self,
        event: Event | None,
        query: Query | None,
        done: Done | None,
        *,
        number: int = -1,
    ) -> None:
        self.event = event
        self.query = query
        self.done = done
        self.number = number
        self.key: tuple[str, str] | None = None
        self.task: Callable[[Any], Any] | None = None
        self.refused: dict[str, Fault] | None = None


class Answer:
    """The value of a query, kept apart from faults and maps of event answers."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def event_row(event: Event) -> bytes:
    """An event as a row of the inbox."""
    e = event
    return encode_record([e.eci, e.domain, e.name, e.attrs, e.time_ms, e.eid, e.sender])


def event_from_record(record: list[Any]) -> Event:
    """The event of a row that `event_row` made, decoded.

    Raises: R3006 when the record has another shape.
    """
    try:
        eci, domain, name, attrs, time_ms, eid, sender = record
    except (TypeError, ValueError):
        raise Fault("R3006", "an inbox record has another shape than this engine writes") from None
    return Event(eci, domain, name, attrs, time_ms, eid, sender)
