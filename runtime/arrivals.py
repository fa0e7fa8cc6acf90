"""What comes from other engines: each event once, and in order for each pair.

In: envelopes as the network brings them: lost, repeated, late, out of order. Out: inbox rows, and
replies after what they say is durable. Invariants: the mark of a pair (the last number that was
decided, accepted or refused) is part of the batch that has the inbox row, so a number is decided
once and the same answer is given for ever after, also when the channel is gone meanwhile; nothing
is decided before all lower numbers are, except those the sender gave up (`low`). A mark is kept as
long as its pico lives. Policies are checked here, as for anything from outside.
Source: DESIGN.md 10. Not here: the sender's side (outbox.py).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from runtime.channel import Channel
from runtime.clock import Clock
from runtime.commit import Committer
from runtime.errors import Fault
from runtime.event import Event, own_map, part
from runtime.limits import key_characters_max, outbox_window_max
from runtime.network import TAKEN, Envelope, Hear, Reply, reply_to, resend
from runtime.pico import Pico
from runtime.store import decode_record, encode_record, mark_key, mark_owner_key

# Refused numbers that the sender may ask about again: [number, code, message], ascending.
Refusals = list[list[Any]]


class Arrivals:
    """The receiving side of all pairs.

    `receiver` finds the pico and channel of an ECI, or raises; `accept` puts an event into a pico's
    inbox in the group that gathers.
    """

    def __init__(
        self,
        committer: Committer,
        clock: Clock,
        receiver: Callable[[str], tuple[Pico, Channel]],
        accept: Callable[[Pico, Event], object],
    ) -> None:
        self._committer = committer
        self._clock = clock
        self._receiver = receiver
        self._accept = accept
        self._will_flush = False

    def receive(self, envelope: Envelope, done: Hear) -> None:
        """Decide about an event; `done` gets the reply once it may leave, never within this call.

        Cost: one read and two rows; nothing is kept in memory.
        """
        try:
            reply = self._decide(envelope)
        except Fault as fault:
            reply = reply_to(fault)
        committer = self._committer
        is_decided = reply.kind == "taken" or reply.kind == "refused"
        if not is_decided or committer.newest <= committer.durable:
            self._clock.call_soon(partial(done, reply))
            return
        committer.when_durable(
            committer.newest,
            lambda failure: done(reply if failure is None else reply_to(failure)),
        )
        # After the drain that may be due, so that an event handled at once costs no inbox row.
        if not self._will_flush:
            self._will_flush = True
            self._clock.call_soon(self._flush)

    def _flush(self) -> None:
        self._will_flush = False
        self._committer.flush()

    def _decide(self, envelope: Envelope) -> Reply:
        pair, number, low = envelope.pair, envelope.number, envelope.low
        if not 1 <= low <= number < 1 << 63 or not _is_plain(pair):
            raise Fault("R1007", "the envelope has no usable pair and number")
        row = self._committer.get("mark", mark_key(pair))
        mark = low - 1
        refusals: Refusals = []
        if row is not None:
            eci, decided, refusals = decode_record(row, "mark of a pair")
            if eci != envelope.eci:
                raise Fault("R1007", "the pair belongs to another channel")
            if number <= decided:
                kept = next((kept for kept in refusals if kept[0] == number), None)
                return TAKEN if kept is None else Reply("refused", *kept)
            mark = max(mark, decided)
        refusal: Fault | None = None
        try:
            pico, channel = self._receiver(envelope.eci)
        except Fault as fault:
            # Without a mark there is no living pico to keep one for, and no order to keep.
            if row is None or fault.code != "R1001":
                raise
            refusal = fault
        if number > mark + 1:
            return resend(mark + 1)
        if refusal is None:
            try:
                event = self._event(envelope, channel)
            except Fault as fault:
                refusal = fault
            else:
                self._accept(pico, event)
            if row is None:
                self._committer.put("pico", mark_owner_key(pico.id, pair), encode_record(None))
        refusals = [kept for kept in refusals if kept[0] >= low]
        if refusal is not None:
            refusals.append([number, refusal.code, refusal.message])
        record = encode_record([envelope.eci, number, refusals[-outbox_window_max:]])
        self._committer.put("mark", mark_key(pair), record)
        if refusal is None:
            return TAKEN
        return Reply("refused", number, refusal.code, refusal.message)

    def _event(self, envelope: Envelope, channel: Channel) -> Event:
        """The event, checked as at any border.

        Raises: R1007, R4001, R1002, R1003, R1004.
        """
        domain = part(envelope.domain, "event.domain")
        name = part(envelope.name, "event.name")
        attrs = own_map(envelope.attrs, "event.data.attrs")
        if not _is_plain(envelope.eid):
            raise Fault("R1007", "missing event.eid")
        channel.check_event(domain, name, None)
        return Event(envelope.eci, domain, name, attrs, self._clock.now_ms(), envelope.eid)


def _is_plain(name: str) -> bool:
    """Whether a name from outside can be part of a key, and of a log."""
    return 0 < len(name) <= key_characters_max and name.isascii() and name.isprintable()
