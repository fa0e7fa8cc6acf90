"""The seam to other engines: what is carried there, what comes back, and who carries it.

In: the outbox hands an `Envelope` and a host to a `Network`. Out: a `Reply`, if all goes well.
Invariants: a network decides nothing: it may lose, repeat, delay and reorder both ways, and the
outbox (outbox.py) and the other side (arrivals.py) still make exactly one of each event, in order.
Both values are arrays on the wire (`msgspec` encodes and checks them), so a transport has only to
frame them; one towards engines that know no envelopes maps its answers to replies and gives a
credit of 1. Not here: any transport.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

import msgspec

from runtime.errors import CODES, Fault


class Envelope(msgspec.Struct, frozen=True, array_like=True):
    """One event on its way to another engine.

    Shapes: `pair` names sender and receiver, unguessable and never used again; `number` counts the
    events of the pair from 1 without gaps; below `low` nothing will ever be sent again.
    Units:  time_ms is when it was sent, by the sender's clock.
    """

    pair: str
    number: int
    low: int
    eci: str
    domain: str
    name: str
    attrs: dict[str, Any]
    eid: str
    time_ms: int


class Reply(msgspec.Struct, frozen=True, array_like=True):
    """What the other side says to an envelope.

    `taken`: it is durable there, for good. `refused`: it never will be, `code` and `message` say
    why. `resend`: it came too early, and everything from `number` on has to come again. `later`:
    not now; not before `wait_ms`, if that is given.
    """

    kind: Literal["taken", "refused", "resend", "later"]
    number: int = 0
    code: str = ""
    message: str = ""
    wait_ms: int = 0

    def fault(self) -> Fault:
        """Why it was refused, as a fault; codes of other engines become R5001."""
        code = self.code if self.code in CODES else "R5001"
        return Fault(code, self.message[:500] or "the receiver refused the event")


TAKEN = Reply("taken")

Hear = Callable[[Reply], object]


def resend(number: int) -> Reply:
    """The reply that asks for everything from a number on."""
    return Reply("resend", number)


def later(code: str, message: str, wait_ms: int = 0) -> Reply:
    """The reply that asks to try again."""
    return Reply("later", 0, code, message, wait_ms)


def reply_to(fault: Fault) -> Reply:
    """The reply for a fault: what will not change is refused, all else may be tried again."""
    if 400 <= fault.status < 500 and fault.status != 429:
        return Reply("refused", 0, fault.code, fault.message)
    return later(fault.code, fault.message)


class Network(Protocol):
    """Carries envelopes to other engines."""

    def send(self, host: str, envelope: Envelope, done: Hear) -> None:
        """Try to deliver once, and call `done(reply)` on the driving loop, never within this call.

        A reply may come late, twice or not at all: the outbox has its own deadline. What successive
        calls hand over for a pair should arrive in that order. Never raises: a host that cannot be
        reached is a `later`, one that never can be is a `refused`.
        """

    def credit(self, host: str) -> int:
        """How many events of one pair may be under way to this host, at least 1.

        1 for engines that do not look at numbers: then order is kept by waiting for each answer.
        """


class Nowhere:
    """The network of an engine that has none: whatever an earlier run left waits, and expires."""

    def send(self, host: str, envelope: Envelope, done: Hear) -> None:
        """Refuse nothing and deliver nothing: the deadline passes."""

    def credit(self, host: str) -> int:
        """One look for each pair and time."""
        return 1
