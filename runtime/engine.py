"""The engine's core: what came in, which pico runs next, what becomes of a finished turn.

In: events, signals, queries and tasks with callbacks; a store, a clock, ids, a compiler. Out:
answers through those callbacks, after what they depend on is durable. Invariants (DESIGN.md 1):
one turn at a time per pico, in order of arrival; a turn's changes enter one commit group whole;
nothing leaves before it is durable. Driven only by the clock's `call_soon` and the store's `sync`;
no asyncio here: `library.py` binds it to a loop.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from runtime import observe
from runtime.answers import AnswerBook
from runtime.arrivals import Arrivals
from runtime.backlog import Backlog
from runtime.channel import OPEN, Channel
from runtime.clock import Clock, Ids, Random
from runtime.commit import Committer
from runtime.context import Context
from runtime.errors import Fault, gone, unknown_eci
from runtime.event import Event, Query, own_map, part
from runtime.graves import Graves
from runtime.history import History
from runtime.inbox import Answer, Done, Item, event_from_record, event_record
from runtime.layer import Layer
from runtime.letters import DeadLetters, undeliverable
from runtime.limits import call_depth_max, history_buckets_kept, inbox_events_max
from runtime.module import Module, to_fault
from runtime.network import Envelope, Hear, Network
from runtime.outbox import Outbox
from runtime.pico import Install, Pico, Structure, View, head_record, structure_rows
from runtime.registry import Compiler, Fetcher, Registry
from runtime.shelf import Shelf
from runtime.store import Store, decode_record, encode_record, head_key, inbox_key, inbox_parts
from runtime.structure import install
from runtime.timers import Timers
from runtime.turn import NeedRuleset, Send, Turn

Task = Callable[[Turn], Any]
# How many items one round of the drain loop runs before the group is written: enough to merge
# well, few enough that sockets are read again within a few milliseconds.
ROUND = 256
ROOT = b"root"
UNDELIVERABLE = ("system", "undeliverable")


class Core:
    """One engine, driven by its clock.

    `root_eci` is an allow-all channel of the root pico; `host` is the base URL that rules see;
    without a `network` nothing can be sent to other engines; `history_buckets` 0 keeps no history.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        random: Random,
        compiler: Compiler,
        fetcher: Fetcher,
        *,
        host: str = "",
        awake_bytes_max: int = 64 << 20,
        network: Network | None = None,
        history_buckets: int = history_buckets_kept,
    ) -> None:
        # A KRL call takes at most three frames of Python: the function, an operator, its callback.
        sys.setrecursionlimit(max(sys.getrecursionlimit(), 3 * call_depth_max))
        self.store = store
        self.clock = clock
        self.ids = ids
        self.random = random
        self.host = host
        self.root_eci = ""
        self.root_id = ""
        self.on_failure: Callable[[Fault], object] | None = None
        self.committer = Committer(store, self._failed)
        self.registry = Registry(self.committer, compiler, fetcher)
        self.shelf = Shelf(
            store,
            self.committer.get,
            self.registry,
            lambda pico: pico.group <= self.committer.durable,
            awake_bytes_max,
        )
        self.committer.on_durable = self.shelf.make_room
        self.graves = Graves(store, self.committer, clock, self.shelf, self._bereave)
        self.history = History(store, self.committer, clock, history_buckets)
        self.letters = DeadLetters(store, self.committer)
        self.backlog = Backlog(self.committer)
        self.answers = AnswerBook(store, self.committer, clock)
        self.arrivals = Arrivals(self.committer, clock, self._receiver, self._accept)
        self.outbox = Outbox(
            store,
            self.committer,
            clock,
            ids,
            random,
            network,
            self._return,
            lambda pico_id: pico_id not in self.shelf.dead,
            lambda: not self.is_closing and self.committer.failure is None,
        )
        self.timers = Timers(
            store,
            self.committer,
            clock,
            ids,
            self.shelf,
            self._accept,
            lambda: not self.is_closing and self.committer.failure is None,
        )
        self._ready: deque[Pico] = deque()
        self._is_scheduled = False
        self._parked = 0
        self._refused: dict[str, Fault] | None = None
        self._idle: list[Callable[[], object]] = []
        self.is_closing = False

    # --- Starting ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the root pico, making it at first, and take up accepted events that did not run."""
        row = self.store.get("meta", ROOT)
        if row is None:
            self._make_root()
        else:
            self.root_id, self.root_eci = decode_record(row, "root entry")
        self.graves.resume()
        self.outbox.resume()
        mark = inbox_key(self.backlog.mark, "")
        for key, value in list(self.store.scan("inbox", b"", mark)):
            number, pico_id = inbox_parts(key)
            self.backlog.found(number)
            event = event_from_record(decode_record(value, "inbox entry"))
            pico = self.shelf.pico(pico_id)
            item = Item(event, None, None, number=number)
            if pico is None:
                self._bury_item(pico_id, item)
            else:
                self._enqueue(pico, item)
        self.timers.start()

    def _make_root(self) -> None:
        root_id, eci = self.ids.pico(), self.ids.eci()
        channels = {
            root_id: Channel(root_id, root_id, ("system", "self"), OPEN, OPEN, root_id),
            eci: Channel(eci, root_id, ("root",)),
        }
        structure = Structure(None, (), 0, Layer({}), Layer(channels))
        pico = self.shelf.add(Pico(root_id, structure))
        self.committer.put_all(structure_rows(root_id, None, structure))
        self.committer.put("meta", ROOT, encode_record([root_id, eci]))
        pico.group = self.committer.gathering
        self.root_id, self.root_eci = root_id, eci
        self.committer.flush()

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
        self.committer.when_durable(
            self.committer.gathering,
            lambda failure: done(event.eid if failure is None else failure),
        )

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
        self, eci: str, module: Module, url: str, config: dict[str, Any], done: Done
    ) -> None:
        """Install a loaded ruleset on the pico of a channel; `done` gets the rid or a Fault."""

        def task(turn: Turn) -> str:
            install(turn, module, url, config)
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
        eci = part(eci, "event.eci")
        domain = part(domain, "event.domain")
        name = part(name, "event.name")
        attrs = own_map(attrs, "event.data.attrs")
        self._check_accepting()
        pico, channel = self._receiver(eci)
        channel.check_event(domain, name, sender)
        now = self.clock.now_ms() if time_ms is None else time_ms
        return pico, Event(eci, domain, name, attrs, now, self.ids.eid())

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
            raise Fault("R3007", "the engine is shutting down")

    def _receiver(self, eci: str) -> tuple[Pico, Channel]:
        if self.committer.failure is not None:
            raise self.committer.failure
        channel = self.shelf.channels.get(eci) or self.shelf.channel(eci)
        if channel is None:
            raise unknown_eci(eci)
        pico = self.shelf.picos.get(channel.pico_id) or self.shelf.pico(channel.pico_id)
        if pico is None:
            raise gone(eci)
        if len(pico.inbox) >= inbox_events_max:
            raise Fault("R4002", f"{inbox_events_max} events are waiting in this pico already")
        return pico, channel

    def _accept(self, pico: Pico, event: Event) -> None:
        """Put an event into a pico's inbox, as a row of the group that gathers."""
        number = self.backlog.take()
        record = encode_record(event_record(event))
        self.committer.put("inbox", inbox_key(number, pico.id), record)
        self._enqueue(pico, Item(event, None, None, number=number))

    # --- Running ----------------------------------------------------------------------------------

    def _enqueue(self, pico: Pico, item: Item) -> None:
        pico.inbox.append(item)
        if not pico.is_ready:
            pico.is_ready = True
            self._ready.append(pico)
            if not self._is_scheduled:
                self._is_scheduled = True
                self.clock.call_soon(self._drain)

    def _drain(self) -> None:
        """Run what waits, one item a pico and round, then write the group."""
        ready = self._ready
        for _ in range(ROUND):
            if not ready or self.committer.failure is not None:
                break
            pico = ready.popleft()
            self._run(pico, pico.inbox.popleft())
            if pico.inbox and not pico.is_waiting:
                ready.append(pico)
            else:
                pico.is_ready = pico.is_waiting
        self.committer.flush()
        self.history.tend()
        if ready and self.committer.failure is None:
            self.clock.call_soon(self._drain)
        else:
            self._is_scheduled = False
            self._tell_idle()

    def _run(self, pico: Pico, item: Item) -> None:
        turn: Turn | None = None
        answer: Any = None
        pico.is_used = True
        self._refused = item.refused
        try:
            view = pico.view
            if view is None or view.generation != self.registry.generation:
                view = self._newest_view(pico)
            if item.event is not None:
                turn = Turn(self, pico, view, item.event.eid)
                turn.run(item.event)
            elif item.query is not None:
                turn = Turn(self, pico, view, item.query.qid)
                answer = Answer(turn.query(item.query))
            else:
                turn = Turn(self, pico, view, self.ids.eid())
                assert item.task is not None
                answer = item.task(turn)
        except NeedRuleset as need:
            if turn is not None:
                turn.give_up()
            self._wait(pico, item, need.url)
            return
        except Exception as error:
            if turn is not None:
                turn.give_up()
            if not isinstance(error, Fault):
                observe.bug(pico.id, error)
            self._refuse(pico, item, to_fault(error))
            return
        try:
            if item.event is not None:
                self._complete(turn, item)
            else:
                if item.query is None:
                    self._apply(turn, item)
                self._release(pico, item.done, answer)
        except Exception as error:
            # A part of the turn may be in the group that gathers, which so must never be written.
            observe.bug(pico.id, error)
            fault = to_fault(error)
            self.committer.fail(fault)
            if item.done is not None:
                self.clock.call_soon(partial(item.done, fault))

    def _newest_view(self, pico: Pico) -> View:
        """The pico's view, with the last versions of its rulesets."""
        view = self.shelf.view_of(pico)
        if view.generation == self.registry.generation or not self.shelf.upgrade(pico, view):
            return view
        head = encode_record(head_record(pico.structure))
        self.committer.put("pico", head_key(pico.id), head)
        self.committer.dirty(pico, "automata")
        pico.group = self.committer.gathering
        assert pico.view is not None
        return pico.view

    def _wait(self, pico: Pico, item: Item, url: str) -> None:
        """Hold a pico until a ruleset is there, then run the item from the start."""
        pico.is_waiting = True
        self._parked += 1
        pico.inbox.appendleft(item)

        def loaded(got: Module | Fault) -> None:
            self._parked -= 1
            pico.is_waiting = False
            if pico.is_dead or self.committer.failure is not None:
                self._tell_idle()
                return
            if isinstance(got, Fault):
                if url.startswith("hash:"):
                    self._refuse(pico, pico.inbox.popleft(), got)
                else:
                    # The rule that asked for it faults, when the turn runs again.
                    item.refused = {**(item.refused or {}), url: got}
            if pico.inbox:
                self._ready.append(pico)
                if not self._is_scheduled:
                    self._is_scheduled = True
                    self.clock.call_soon(self._drain)
            else:
                pico.is_ready = False
            self.committer.flush()
            self._tell_idle()

        self.registry.need(url, lambda got: self.clock.call_soon(partial(loaded, got)))

    # --- Finished turns ---------------------------------------------------------------------------

    def _complete(self, turn: Turn, item: Item) -> None:
        """An event's turn is done: its changes enter the group, then the caller is answered."""
        self._apply(turn, item)
        if self.history.is_on:
            self.history.add(turn)
        if item.done is None:
            return
        answer: Any = turn.answer()
        if item.key is not None:
            self.answers.close(*item.key, answer)
            turn.pico.group = self.committer.gathering
        if item.query is not None:
            if turn.faults:
                answer = turn.faults[0]
            else:
                try:
                    view = turn.pico.view
                    assert view is not None
                    answer = Answer(Turn(self, turn.pico, view, item.query.qid).query(item.query))
                except Exception as error:
                    answer = to_fault(error)
        self._release(turn.pico, item.done, answer)

    def _apply(self, turn: Turn, item: Item) -> None:
        """Everything a turn changed becomes part of the group that gathers."""
        pico, committer = turn.pico, self.committer
        wrote = False
        for entities in turn.changed:
            for name in entities.settle():
                committer.dirty(entities, name)
                wrote = True
        if turn.states is not None:
            pico.states.update(turn.states)
            committer.dirty(pico, "automata")
            wrote = True
        for child in turn.created:
            self.shelf.add(child)
            committer.put_all(structure_rows(child.id, None, child.structure))
            child.group = committer.gathering
            wrote = True
        if turn.timers or turn.structure is not None:
            self.timers.apply(turn)
            wrote = True
        if turn.structure is not None:
            committer.put_all(structure_rows(pico.id, pico.structure, turn.structure))
            if turn.structure.installs is not pico.structure.installs:
                committer.dirty(pico, "automata")
            for entities in self.shelf.adopt(pico, turn.structure, turn.view):
                committer.put_all(entities.delete_rows())
            wrote = True
        for child_id in turn.deleted:
            self.graves.bury(child_id)
        if item.number >= 0:
            self._consume(pico.id, item)
            wrote = True
        for send in turn.sends:
            self._deliver(pico, send)
            wrote = True
        if wrote:
            pico.group = committer.gathering

    def _consume(self, pico_id: str, item: Item) -> None:
        """The row of an accepted event leaves, with the group that gathers."""
        self.committer.remove("inbox", inbox_key(item.number, pico_id))
        self.backlog.finish(item.number)

    def _deliver(self, sender: Pico, send: Send) -> None:
        """Put a sent event into the receiver's inbox, in the sender's own group."""
        if send.host is not None:
            self.outbox.add(sender.id, send)
            return
        try:
            receiver, channel = self._receiver(send.eci)
            channel.check_event(send.domain, send.name, sender.id)
        except Fault as fault:
            self._return(sender.id, send, fault)
            return
        now = self.clock.now_ms()
        event = Event(send.eci, send.domain, send.name, send.attrs, now, send.eid)
        self._accept(receiver, event)

    def _return(self, sender_id: str, send: Send, fault: Fault) -> None:
        """A send cannot arrive: keep it as a dead letter, and tell the sender's rules."""
        observe.undelivered(sender_id, send.eci, send.domain, send.name, fault)
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

    def _bury_item(self, pico_id: str, item: Item) -> None:
        event = item.event
        fault = gone(event.eci if event is not None else pico_id)
        if item.number >= 0 and event is not None:
            self._consume(pico_id, item)
            now = self.clock.now_ms()
            attrs, eid = event.attrs, event.eid
            self.letters.add(None, event.eci, event.domain, event.name, attrs, eid, fault, now)
        if item.key is not None:
            self.answers.drop(*item.key)
        if item.done is not None:
            self._decline(item.done, fault)

    def _decline(self, done: Done, fault: Fault) -> None:
        """Refuse, once it is durable what the refusal tells of: a deletion, a changed policy."""
        committer = self.committer
        group = committer.newest
        if committer.failure is not None or group <= committer.durable:
            self.clock.call_soon(partial(done, fault))
        else:
            committer.when_durable(group, lambda failure: done(failure or fault))

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
        committer.when_durable(
            pico.group, lambda failure: done(answer if failure is None else failure)
        )

    def _refuse(self, pico: Pico, item: Item, fault: Fault) -> None:
        """An item could not be run at all: say so, and do not try it again after a restart."""
        if item.number >= 0 and item.event is not None:
            event = item.event
            self._consume(pico.id, item)
            observe.dropped(pico.id, fault)
            self.letters.add(
                None,
                event.eci,
                event.domain,
                event.name,
                event.attrs,
                event.eid,
                fault,
                self.clock.now_ms(),
            )
        if item.key is not None:
            self.answers.drop(*item.key)
        if item.done is not None:
            self._release(pico, item.done, fault)

    def _failed(self, fault: Fault) -> None:
        """The store refused a write: everything that waits is told, nothing more is accepted."""
        observe.stopped(fault)
        for pico in self.shelf.picos.values():
            pico.is_ready = pico.is_waiting
            while pico.inbox:
                item = pico.inbox.popleft()
                if item.done is not None:
                    self.clock.call_soon(partial(item.done, fault))
        self._ready.clear()
        if self.on_failure is not None:
            self.on_failure(fault)

    # --- Quiet ------------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """True when no pico has anything queued or running and all is durable."""
        return (
            not self._ready
            and not self._parked
            and not self._is_scheduled
            and self.graves.is_idle
            and self.timers.is_idle
        ) and (self.committer.is_idle or self.committer.failure is not None)

    def when_idle(self, tell: Callable[[], object]) -> None:
        """Call `tell` once the engine is idle."""
        self._idle.append(tell)
        self.clock.call_soon(self._tell_idle)

    def _tell_idle(self) -> None:
        if not self._idle or not (not self._ready and not self._parked and not self._is_scheduled):
            return
        waiting, self._idle = self._idle, []
        self.committer.when_durable(
            self.committer.gathering if not self.committer.is_idle else self.committer.durable,
            lambda _: self._settle(waiting),
        )
        self.committer.flush()

    def _settle(self, waiting: list[Callable[[], object]]) -> None:
        if self.is_idle:
            for tell in waiting:
                tell()
        else:
            self._idle.extend(waiting)
            self.clock.call_soon(self._tell_idle)

    # --- World: what a turn may ask ---------------------------------------------------------------

    def structure(self, pico: Pico) -> Structure:
        """The pico's structure, with channels and children."""
        return self.shelf.full(pico)

    def view(self, pico: Pico, structure: Structure, old: View | None) -> View:
        """Contexts and salience for a list of installed rulesets."""
        return self.shelf.view(pico, structure, old)

    def module_context(
        self, host: Context, install: Install, configured: dict[str, Any]
    ) -> Context:
        """A context for an installed ruleset that another one uses as a module."""
        return self.shelf.module_context(host, install, configured)

    def module(self, url: str) -> Module:
        """The loaded ruleset of a URL."""
        if self._refused is not None and url in self._refused:
            fault = self._refused[url]
            raise Fault(fault.code, fault.message, fault.hint)
        return self.registry.by_url(url)

    def channel(self, eci: str) -> Channel | None:
        """The channel of an ECI, or None."""
        return self.shelf.channel(eci)
