"""What comes into the engine, checked at the border, on its way to a pico's inbox.

In: events, signals, queries, tasks and envelopes from other engines, with callbacks. Out: items in
inboxes. Invariants: what is refused here goes no further and leaves nothing; the hot form makes no
coroutine, task or future; an acknowledged signal is a row of the group that gathers. Not here: when
items run (engine.py).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ext import are_names, own_plain
from runtime.answers import AnswerBook
from runtime.arrivals import Arrivals
from runtime.backlog import Backlog
from runtime.channel import Channel
from runtime.clock import Clock, Ids
from runtime.commit import Committer
from runtime.errors import Fault, gone, unknown_eci
from runtime.event import Event, Query, own_map, part
from runtime.inbox import Done, Item, event_row
from runtime.limits import inbox_events_max
from runtime.module import Module
from runtime.network import Envelope, Hear
from runtime.pico import Pico
from runtime.shelf import Shelf
from runtime.store import inbox_key
from runtime.structure import install, tell_installed
from runtime.turn import Turn

Task = Callable[[Turn], Any]


class Intake:
    """The front of the engine's core."""

    answers: AnswerBook
    arrivals: Arrivals
    backlog: Backlog
    clock: Clock
    committer: Committer
    ids: Ids
    is_closing: bool
    shelf: Shelf

    def _enqueue(self, pico: Pico, item: Item) -> None:
        raise AssertionError("queues are engine.py's")

    def _decline(self, done: Done, fault: Fault) -> None:
        raise AssertionError("answers are delivery.py's")

    # --- What comes in ----------------------------------------------------------------------------

    def post(
        self,
        eci: str,
        domain: str,
        name: str,
        attrs: dict[str, Any] | None,
        done: Done,
        *,
        time_ms: int | None = None,
        key: str | None = None,
        sender: str | None = None,
    ) -> None:
        """Have an event evaluated; `done` gets {eid, directives, errors?} or a Fault, later.

        Cost: the hot form; no coroutine, task or future.
        """
        try:
            pico, event = self._admit(eci, domain, name, attrs, time_ms, sender)
        except Fault as fault:
            self._decline(done, fault)
            return
        item = Item(event, None, done)
        if key is not None:
            book = self.answers.open(event, key, done)
            if book is None:
                return
            item.key = (eci, key)
            item.done = book
        self._enqueue(pico, item)

    def post_signal(
        self,
        eci: str,
        domain: str,
        name: str,
        attrs: dict[str, Any] | None,
        done: Done,
        *,
        time_ms: int | None = None,
        key: str | None = None,
        sender: str | None = None,
    ) -> None:
        """Accept an event durably; `done` gets its eid (or a Fault), evaluated or not."""
        try:
            pico, event = self._admit(eci, domain, name, attrs, time_ms, sender)
        except Fault as fault:
            self._decline(done, fault)
            return
        if key is not None:
            # The answer to a signal is its eid: it is remembered in the batch that accepts it.
            book = self.answers.open(event, key, done)
            if book is None:
                return
            self.answers.close(eci, key, event.eid)
            done = book
        self._accept(pico, event)
        self.committer.when_durable(self.committer.gathering, done, event.eid)

    def post_query(
        self,
        eci: str,
        rid: str,
        name: str,
        args: dict[str, Any] | None,
        done: Done,
        *,
        sender: str | None = None,
    ) -> None:
        """Answer a query after the events accepted before it; `done` gets Answer or Fault."""
        try:
            pico, query = self._admit_query(eci, rid, name, args, sender)
        except Fault as fault:
            self._decline(done, fault)
            return
        self._enqueue(pico, Item(None, query, done))

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
        *,
        sender: str | None = None,
    ) -> None:
        """An event and right behind it a query; `done` gets the query's Answer, or a Fault."""
        try:
            pico, event = self._admit(eci, domain, name, attrs, None, sender)
            _, query = self._admit_query(eci, rid, query_name, args, sender)
        except Fault as fault:
            self._decline(done, fault)
            return
        query.qid = event.eid + ".q"
        self._enqueue(pico, Item(event, query, done))

    def post_task(self, eci: str, task: Task, done: Done) -> None:
        """Run a piece of administration as a turn; `done` gets its result or a Fault."""
        try:
            self._check_accepting()
            pico, _ = self._receiver(eci)
        except Fault as fault:
            self._decline(done, fault)
            return
        item = Item(None, None, done)
        item.task = task
        self._enqueue(pico, item)

    def install(
        self, eci: str, module: Module, url: str, config: dict[str, Any] | None, done: Done
    ) -> None:
        """Install a loaded ruleset on the pico of a channel; `done` gets the rid or a Fault.

        Without a configuration one that is installed already keeps its own.
        """

        def task(turn: Turn) -> str:
            old = turn.now().install(module.rid)
            kept = {} if old is None else old.config
            install(turn, module, url, kept if config is None else config)
            tell_installed(turn, module.rid)
            return module.rid

        self.post_task(eci, task, done)

    def receive(self, envelope: Envelope, done: Hear) -> None:
        """Take an event from another engine; `done` gets the reply once it may leave."""
        self.arrivals.receive(envelope, done)

    # --- Checks at the border ---------------------------------------------------------------------

    def _admit(
        self,
        eci: str,
        domain: str,
        name: str,
        attrs: dict[str, Any] | None,
        time_ms: int | None,
        sender: str | None,
    ) -> tuple[Pico, Event]:
        if not are_names(eci, domain, name):
            eci = part(eci, "event.eci")
            domain = part(domain, "event.domain")
            name = part(name, "event.name")
        own = own_plain(attrs)
        if own is None:
            own = own_map(attrs, "event.data.attrs")
        if self.is_closing:
            raise _closing()
        shelf = self.shelf
        channel = shelf.channels.get(eci)
        pico = None if channel is None else shelf.picos.get(channel.pico_id)
        if (
            channel is None
            or pico is None
            or len(pico.inbox) >= inbox_events_max
            or self.committer.failure is not None
        ):
            # Who sleeps is woken; and what is wrong is told there.
            pico, channel = self._receiver(eci)
        if channel.family is not None or not channel.event_policy.is_open:
            channel.check_event(domain, name, sender)
        now = self.clock.now_ms() if time_ms is None else time_ms
        return pico, Event(eci, domain, name, own, now, self.ids.eid())

    def _admit_query(
        self, eci: str, rid: str, name: str, args: dict[str, Any] | None, sender: str | None
    ) -> tuple[Pico, Query]:
        eci = part(eci, "query.eci")
        rid = part(rid, "query.rid")
        name = part(name, "query.name")
        args = own_map(args, "query.args")
        self._check_accepting()
        pico, channel = self._receiver(eci)
        channel.check_query(rid, name, sender)
        return pico, Query(eci, rid, name, args, self.ids.eid())

    def _check_accepting(self) -> None:
        """Nothing more comes in from outside while the engine closes; sends still arrive."""
        if self.is_closing:
            raise _closing()

    def _receiver(self, eci: str) -> tuple[Pico, Channel]:
        if self.committer.failure is not None:
            raise self.committer.failure
        shelf = self.shelf
        channel = shelf.channels.get(eci) or shelf.channel(eci)
        if channel is None:
            raise unknown_eci(eci)
        pico = shelf.picos.get(channel.pico_id) or shelf.pico(channel.pico_id)
        if pico is None:
            raise gone(eci)
        if len(pico.inbox) >= inbox_events_max:
            raise Fault("R4002", f"{inbox_events_max} events are waiting in this pico already")
        return pico, channel

    def _accept(self, pico: Pico, event: Event) -> None:
        """Put an event into a pico's inbox, as a row of the group that gathers."""
        number = self.backlog.take()
        # Most rows are removed again before their group is written, so none is made before.
        self.committer.put_lazy("inbox", inbox_key(number, pico.id), partial(event_row, event))
        self._enqueue(pico, Item(event, None, None, number=number))


def _closing() -> Fault:
    return Fault("R3007", "the engine is shutting down")
