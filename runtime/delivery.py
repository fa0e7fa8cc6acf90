"""What becomes of events that leave a pico or cannot be run by it, and of answers.

In: sends of finished turns, items of picos that died, faults. Out: inbox rows of receivers, rows of
the outbox, dead letters with `system:undeliverable` for the sender, answers to callers. Invariants:
all of it is part of the group that gathers; an answer leaves when what it depends on is durable.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from runtime import observe
from runtime.errands import Errand, Errands
from runtime.errors import Fault, gone
from runtime.event import Event
from runtime.inbox import Done, Item
from runtime.intake import Intake
from runtime.letters import DeadLetters, undeliverable
from runtime.module import to_fault
from runtime.outbox import Outbox
from runtime.pico import Pico
from runtime.store import inbox_key
from runtime.turn import Send

if TYPE_CHECKING:
    from runtime.waiting import Suspended

UNDELIVERABLE = ("system", "undeliverable")


class Delivery(Intake):
    """The back of the engine's core."""

    errands: Errands
    letters: DeadLetters
    outbox: Outbox
    _ready: deque[Pico]

    # --- Sends ------------------------------------------------------------------------------------

    def _consume(self, pico_id: str, item: Item) -> None:
        """The row of an accepted event leaves, with the group that gathers."""
        self.committer.remove("inbox", inbox_key(item.number, pico_id))
        self.backlog.finish(item.number)
        item.number = -1

    def _deliver(self, sender: Pico, send: Send) -> None:
        """Put a sent event into the receiver's inbox, in the sender's own group."""
        if send.host is not None:
            if type(send) is Errand:
                self.errands.add(send)
            else:
                self.outbox.add(sender.id, send)
            return
        try:
            receiver, channel = self._receiver(send.eci)
            channel.check_event(send.domain, send.name, sender.id)
        except Fault as fault:
            self._return(sender.id, send, fault)
            return
        now = self.clock.now_ms()
        attrs, eid = send.attrs, send.eid
        event = Event(send.eci, send.domain, send.name, attrs, now, eid, sender.id)
        self._accept(receiver, event)

    def _bring(self, errand: Errand, attrs: dict[str, Any]) -> None:
        """Put the event that an errand has become into its receiver's inbox.

        Raises: R1001 to R1005, R4002 when it cannot be; it is a dead letter then.
        """
        now = self.clock.now_ms()
        event = Event(errand.eci, errand.domain, errand.name, attrs, now, errand.eid)
        try:
            receiver, channel = self._receiver(errand.eci)
            channel.check_event(errand.domain, errand.name, None)
        except Fault as fault:
            self._lose(event, fault)
            raise
        self._accept(receiver, event)

    def _return(self, sender_id: str, send: Send, fault: Fault) -> None:
        """A send cannot arrive: keep it as a dead letter, and tell the sender's rules."""
        observe.undelivered(sender_id, send.eci, send.domain, send.name, fault, send.attrs)
        now = self.clock.now_ms()
        attrs, eid = send.attrs, send.eid
        self.letters.add(sender_id, send.eci, send.domain, send.name, attrs, eid, fault, now)
        sender = self.shelf.pico(sender_id)
        if (send.domain, send.name) == UNDELIVERABLE or sender is None:
            return
        # Whether one that sleeps listens is not known before it runs.
        if sender.view is None or sender.view.salience.lookup(*UNDELIVERABLE):
            attrs = undeliverable(send.eci, send.domain, send.name, attrs, eid, fault)
            self._accept(sender, Event(sender_id, *UNDELIVERABLE, attrs, now, self.ids.eid()))

    def _bereave(self, pico: Pico) -> None:
        """A pico died: what waits in it is refused, what was accepted becomes dead letters."""
        waiting, pico.inbox = pico.inbox, deque()
        for item in waiting:
            self._bury_item(pico.id, item)
        if pico.is_ready and not pico.is_waiting:
            self._ready.remove(pico)
        pico.is_ready = False
        parked = pico.suspended or pico.paused
        if parked is not None:
            self._cancel(parked, gone(pico.id))

    def _bury_item(self, pico_id: str, item: Item) -> None:
        event = item.event
        fault = gone(event.eci if event is not None else pico_id)
        if item.number >= 0 and event is not None:
            self._consume(pico_id, item)
            self._lose(event, fault)
        if item.key is not None:
            self.answers.drop(*item.key)
        if item.done is not None:
            self._decline(item.done, fault)

    def _cancel(self, parked: Suspended, fault: Fault) -> None:
        raise AssertionError("turns that wait are waiting.py's")

    def _lose(self, event: Event, fault: Fault) -> None:
        """An accepted event will never run: keep it as a dead letter, and tell who sent it."""
        eci, attrs, eid = event.eci, event.attrs, event.eid
        if event.sender is not None:
            self._return(event.sender, Send(eci, event.domain, event.name, attrs, eid, None), fault)
            return
        now = self.clock.now_ms()
        self.letters.add(None, eci, event.domain, event.name, attrs, eid, fault, now)

    # --- Answers ----------------------------------------------------------------------------------

    def _decline(self, done: Done, fault: Fault) -> None:
        """Refuse, once it is durable what the refusal tells of: a deletion, a changed policy."""
        committer = self.committer
        group = committer.newest
        if committer.failure is not None or group <= committer.durable:
            self.clock.call_soon(partial(done, fault))
        else:
            committer.when_durable(group, done, fault)

    def _release(self, pico: Pico, done: Done | None, answer: Any) -> None:
        """Answer once everything the turn has seen is durable."""
        if done is None:
            return
        committer = self.committer
        if pico.group <= committer.durable and committer.failure is None:
            try:
                done(answer)
            except Exception as error:
                observe.bug(pico.id, error)
            return
        committer.when_durable(pico.group, done, answer)

    def _tell(self, pico: Pico, item: Item, answer: Any) -> None:
        """Answer whoever asked: another turn at once, since it will be durable later than this."""
        if item.is_inner:
            assert item.done is not None
            item.done(answer)
        else:
            self._release(pico, item.done, answer)

    def _refuse(self, pico: Pico, item: Item, fault: Fault) -> None:
        """An item could not be run at all: say so, and do not try it again after a restart."""
        if item.number >= 0 and item.event is not None:
            self._consume(pico.id, item)
            observe.dropped(pico.id, fault)
            self._lose(item.event, fault)
        if item.key is not None:
            self.answers.drop(*item.key)
        self._tell(pico, item, fault)

    def _as_fault(self, pico: Pico, error: Exception) -> Fault:
        """Why an item could not be run; what is no Fault is a bug of ours, and noted as such."""
        if not isinstance(error, Fault):
            observe.bug(pico.id, error)
        return to_fault(error)
