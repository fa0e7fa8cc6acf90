"""The engine's core: what came in, which pico runs next, what becomes of a finished turn.

In: events, signals, queries and tasks with callbacks; a store, a clock, ids, a compiler. Out:
answers through those callbacks, after what they depend on is durable. Invariants (DESIGN.md 1):
one turn at a time per pico, in order of arrival; a turn's changes enter one commit group whole;
nothing leaves before it is durable. Driven only by the clock's `call_soon` and the store's `sync`;
no asyncio here: `library.py` binds it to a loop. Turns run in workers, so that one which waits
leaves the loop to others (waiting.py).
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
from runtime.counts import Counts
from runtime.errands import Errands
from runtime.errors import Fault
from runtime.graves import Graves
from runtime.history import History
from runtime.imports import Imports
from runtime.inbox import Answer, Item, item_from_record
from runtime.layer import Layer
from runtime.letters import DeadLetters
from runtime.limits import call_depth_max, history_buckets_kept
from runtime.module import Module, to_fault
from runtime.network import Network
from runtime.outbox import Outbox
from runtime.pico import Pico, Structure, View, head_record, structure_rows
from runtime.registry import Compiler, Fetcher, Registry
from runtime.shelf import Shelf
from runtime.source_policy import SourcePolicy
from runtime.store import Store, decode_record, encode_record, head_key, inbox_key, inbox_parts
from runtime.timers import Timers
from runtime.turn import NeedRuleset, Turn
from runtime.waiting import Waiting
from runtime.web import Web
from runtime.workers import Cancelled, Workers

# How many items one round of the drain loop runs before the group is written: enough to merge
# well, few enough that sockets are read again within a few milliseconds.
ROUND = 256
ROOT = b"root"


class Core(Waiting):
    """One engine, driven by its clock.

    `root_eci` is an allow-all channel of the root pico; `host` is the base URL that rules see;
    without a `network` nothing can be sent to other engines, without a `web` `http:` calls fault;
    `history_buckets` 0 keeps no history.
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
        web: Web | None = None,
        history_buckets: int = history_buckets_kept,
        sources: SourcePolicy | None = None,
    ) -> None:
        super().__init__()
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
        self.registry = Registry(self.committer, compiler, fetcher, sources)
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
            self._is_open,
        )
        self.web = web
        self.errands = Errands(store, self.committer, clock, web, self._bring, self._is_open)
        self.timers = Timers(
            store, self.committer, clock, ids, self.shelf, self._accept, self._is_open
        )
        self.imports = Imports(self, self._accept)
        self.counts = Counts()
        self._ready: deque[Pico] = deque()
        self._is_scheduled = False
        self._loading = 0
        self.workers = Workers(self._work, self._break_off)
        self._drainer = None
        self._idle: list[Callable[[], object]] = []
        self.is_closing = False

    def _is_open(self) -> bool:
        """Whether anything may be begun that goes beyond what was accepted."""
        return not self.is_closing and self.committer.failure is None

    # --- Starting ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the root pico, making it at first, and take up accepted events that did not run."""
        row = self.store.get("meta", ROOT)
        if row is None:
            self._make_root()
        else:
            self.root_id, self.root_eci = decode_record(row, "root entry")
        self.imports.resume()
        self.graves.resume()
        self.answers.expire()
        self.outbox.resume()
        self.errands.resume()
        mark = inbox_key(self.backlog.mark, "")
        for key, value in list(self.store.scan("inbox", b"", mark)):
            number, pico_id = inbox_parts(key)
            self.backlog.found(number)
            item, has_begun = item_from_record(decode_record(value, "inbox entry"), number)
            assert item.event is not None
            if item.key is not None:
                item.done = self.answers.resume(item.event, item.key[1])
            pico = self.shelf.pico(pico_id)
            if pico is None:
                self._bury_item(pico_id, item)
            else:
                self._enqueue(pico, item)
                if has_begun:
                    pico.inbox.rotate(1)
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

    # --- Running ----------------------------------------------------------------------------------

    def _enqueue(self, pico: Pico, item: Item) -> None:
        pico.inbox.append(item)
        if item.event is None:
            pico.has_queries = True
        if not pico.is_ready:
            pico.is_ready = True
            self._ready.append(pico)
            self._schedule()
        elif pico.suspended is not None:
            self._overtake(pico)

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self.clock.call_soon(self._drain)

    def _drain(self) -> None:
        self.workers.run()

    def _work(self) -> None:
        """Run what waits, one item a pico and round, then write the group.

        A worker that had to wait comes back when others have long gone on, and only ends its turn.
        """
        me = self._drainer = self.workers.current
        ready, late = self._ready, self._late
        while late and self.committer.failure is None:
            self._run_late(*late.popleft())
            if self._drainer is not me:
                self._go_home(None)
                return
        for _ in range(ROUND):
            if not ready or self.committer.failure is not None:
                break
            pico = ready.popleft()
            self._run(pico, pico.inbox.popleft())
            if self._drainer is not me:
                self._go_home(pico)
                return
            if pico.inbox and not pico.is_waiting:
                ready.append(pico)
            else:
                pico.is_ready = pico.is_waiting
        self._drainer = None
        self.committer.flush()
        self.history.tend()
        if (ready or late) and self.committer.failure is None:
            self.clock.call_soon(self._drain)
        else:
            self._is_scheduled = False
            self._tell_idle()

    def _go_home(self, pico: Pico | None) -> None:
        """A turn that had waited is over."""
        if pico is not None and pico.is_ready:
            if pico.inbox and not pico.is_waiting:
                self._ready.append(pico)
                self._schedule()
            else:
                pico.is_ready = pico.is_waiting
        self.committer.flush()
        self.history.tend()
        self._tell_idle()

    def _break_off(self, error: Exception) -> None:
        """Something of the engine's own failed: what memory holds now is not known."""
        observe.bug("the engine", error)
        self._drainer = None
        self._is_scheduled = False
        self.committer.fail(to_fault(error))
        self._tell_idle()

    def _run(self, pico: Pico, item: Item) -> None:
        turn: Turn | None = None
        answer: Any = None
        pico.is_used = True
        self._item = item
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
                turn.begin()
                try:
                    answer = item.task(turn)
                finally:
                    turn.end()
        except NeedRuleset as need:
            self._wait(pico, item, need.url)
            return
        except Cancelled as end:
            if turn is not None:
                turn.give_up()
            self._abandon(pico, item, end)
            return
        except Exception as error:
            if turn is not None:
                turn.give_up()
            fault = self._as_fault(pico, error)
            self.counts.refuse(fault)
            self._refuse(pico, item, fault)
            return
        try:
            if item.event is not None:
                self._complete(turn, item)
            else:
                if item.query is None:
                    self._apply(turn, item)
                    self.counts.tasks += 1
                else:
                    self.counts.queries += 1
                self._tell(pico, item, answer)
        except Cancelled as end:
            # The event is done; it waited in the query right behind it.
            self._abandon(pico, item, end)
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

    def _abandon(self, pico: Pico, item: Item, end: Cancelled) -> None:
        """A turn that waited was cancelled: its pico died, or the engine stops."""
        if pico.is_dead:
            self._bury_item(pico.id, item)
            return
        # An accepted event stays in the inbox of the store, and runs after the next start.
        given_up = [item]
        if item.number >= 0:
            # So must what came after it: the pico is held from here on.
            pico.is_waiting = True
            given_up.extend(pico.inbox)
            pico.inbox.clear()
        for each in given_up:
            if each.key is not None:
                self.answers.drop(*each.key)
            if each.done is not None:
                self.clock.call_soon(partial(each.done, end.reason))

    def _wait(self, pico: Pico, item: Item, url: str) -> None:
        """Hold a pico until a ruleset of it is there."""
        pico.is_waiting = True
        self._loading += 1
        pico.inbox.appendleft(item)

        def loaded(got: Module | Fault) -> None:
            self._loading -= 1
            pico.is_waiting = False
            if pico.is_dead or self.committer.failure is not None:
                self.committer.flush()
                self._tell_idle()
                return
            if isinstance(got, Fault):
                self._refuse(pico, pico.inbox.popleft(), got)
            if pico.inbox:
                self._ready.append(pico)
                self._schedule()
            else:
                pico.is_ready = False
            self.committer.flush()
            self._tell_idle()

        self.registry.need(url, lambda got: self.clock.call_soon(partial(loaded, got)))

    # --- Finished turns ---------------------------------------------------------------------------

    def _complete(self, turn: Turn, item: Item) -> None:
        """An event's turn is done: its changes enter the group, then the caller is answered."""
        if item.number >= 0 or not turn.is_unchanged:
            self._apply(turn, item)
        self.counts.events += 1
        if turn.faults:
            self.counts.faulted(turn.faults)
            observe.faulted(turn.pico.id, turn.faults)
        if self.history.is_on:
            self.history.add(turn)
        done = item.done
        if done is None:
            return
        answer: Any
        if turn.faults:
            answer = turn.answer()
        else:
            answer = {"eid": turn.id, "directives": turn.directives}
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
            if item.is_inner:
                done(answer)
                return
        self._release(turn.pico, done, answer)

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
        self.cancel_all(fault)
        for _, item, _ in self._late:
            if item.done is not None:
                self.clock.call_soon(partial(item.done, fault))
        self._late.clear()
        if self.on_failure is not None:
            self.on_failure(fault)

    # --- Quiet ------------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """True when no pico has anything queued or running and all is durable."""
        return (
            not self._ready
            and not self._loading
            and not self._suspended
            and not self._is_scheduled
            and self.graves.is_idle
            and not self.imports.under_way
            and self.timers.is_idle
        ) and (self.committer.is_idle or self.committer.failure is not None)

    def when_idle(self, tell: Callable[[], object]) -> None:
        """Call `tell` once the engine is idle."""
        self._idle.append(tell)
        self.clock.call_soon(self._tell_idle)

    def _tell_idle(self) -> None:
        if not self._idle or self._ready or self._loading or self._suspended or self._is_scheduled:
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
