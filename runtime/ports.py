"""The engine as transports see it: what may be asked, and how an answer comes back.

In: what a transport read. Out: `done(answer or Fault)`, called later, on the loop, exactly once:
{eid, directives, errors?} for an event, an eid for a signal, an `Answer` for a query, whose `stale`
says that the pico was busy and an earlier state was asked. Not here: the implementation (intake.py
under engine.py), any transport.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from runtime.errors import Fault
from runtime.frames import fault_from
from runtime.inbox import Answer
from runtime.network import Envelope, Hear

Done = Callable[[Any], object]


class Port(Protocol):
    """What every transport needs of an engine."""

    def post(
        self,
        eci: str,
        domain: str,
        name: str,
        attrs: dict[str, Any] | None,
        done: Done,
        /,
        *,
        time_ms: int | None = None,
        key: str | None = None,
    ) -> None: ...

    def post_signal(
        self,
        eci: str,
        domain: str,
        name: str,
        attrs: dict[str, Any] | None,
        done: Done,
        /,
        *,
        time_ms: int | None = None,
        key: str | None = None,
    ) -> None: ...

    def post_query(
        self, eci: str, rid: str, name: str, args: dict[str, Any] | None, done: Done, /
    ) -> None: ...

    def post_event_query(
        self,
        eci: str,
        domain: str,
        name: str,
        attrs: dict[str, Any] | None,
        rid: str,
        query_name: str,
        args: dict[str, Any] | None,
        done: Done,
        /,
    ) -> None: ...


class EnvelopePort(Port, Protocol):
    """What a transport between engines needs besides."""

    def receive(self, envelope: Envelope, done: Hear, /) -> None: ...


class Hosted(Protocol):
    """An engine that has such a port."""

    @property
    def core(self) -> EnvelopePort: ...


def post_keyed_event_query(
    port: Port,
    eci: str,
    domain: str,
    name: str,
    attrs: dict[str, Any] | None,
    key: str,
    rid: str,
    query_name: str,
    args: dict[str, Any] | None,
    done: Done,
) -> None:
    """An event under a key and right behind it a query; `done` gets the query's Answer or a Fault.

    Nothing comes between the two in the pico's inbox. When the key says that the event was done
    before, the query is asked of what is now.
    """
    both = _Both(done)
    port.post(eci, domain, name, attrs, both.event_done, key=key)
    port.post_query(eci, rid, query_name, args, both.query_done)


class _Both:
    """One answer out of two: of an event, and of the query behind it."""

    __slots__ = ("_done", "_event", "_value")

    def __init__(self, done: Done) -> None:
        self._done = done
        self._event: Any = None
        self._value: Answer | Fault | None = None

    def event_done(self, answer: Any) -> None:
        """Take the event's answer; if it did not end well, it is the answer to all."""
        self._event = answer
        if self._value is not None:
            self._tell()

    def query_done(self, answer: Answer | Fault) -> None:
        """Take the query's answer."""
        self._value = answer
        if self._event is not None:
            self._tell()

    def _tell(self) -> None:
        event = self._event
        if isinstance(event, Fault):
            self._done(event)
        elif event.get("errors"):
            self._done(fault_from(event["errors"][0]))
        else:
            self._done(self._value)
