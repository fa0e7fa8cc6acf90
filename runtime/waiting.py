"""Turns that wait: for another pico, for a server, for a ruleset; and who may not wait for whom.

In: a running turn and what it waits for. Out: the turn goes on with the answer, or its rule faults.
Invariants: a turn that waits holds only its own pico; queries to that pico are answered at once
from its last state; no turn ever waits, over whatever others, for itself; before the first outside
call everything the turn depends on is durable, its own event included. Source: DESIGN.md 18. Not
here: greenlets (workers.py), the queues (engine.py).
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from runtime.budget import enter, leave
from runtime.channel import Channel
from runtime.clock import Handle, Random
from runtime.context import Context
from runtime.delivery import Delivery
from runtime.errors import CODES, Fault, gone, unknown_eci
from runtime.event import Event, Query, own_map, part
from runtime.history import History
from runtime.inbox import Answer, Done, Item, begun_row
from runtime.limits import (
    inbox_events_max,
    turn_wait_ms,
    turns_stop_ms,
    turns_suspended_max,
)
from runtime.module import Module
from runtime.pico import Install, Pico, Structure, View
from runtime.registry import Registry
from runtime.store import inbox_key
from runtime.structure import find_channel
from runtime.timers import Timers
from runtime.turn import Cancel, NeedRuleset, NestedTurn, Start, Turn
from runtime.web import Web
from runtime.workers import Cancelled, Workers

if TYPE_CHECKING:
    from greenlet import greenlet


class Suspended:
    """One turn that waits: its worker, how to give up what it waits for, its deadline.

    `on` is set when it waits for an item in a pico's inbox.
    """

    __slots__ = ("alarm", "cancel", "is_over", "on", "turn", "worker")

    def __init__(self, worker: greenlet, turn: Turn, on: tuple[Pico, Item] | None) -> None:
        self.worker = worker
        self.turn = turn
        self.on = on
        self.cancel: Cancel | None = None
        self.alarm: Handle | None = None
        self.is_over = False

    def end(self) -> None:
        """Whatever comes now comes too late."""
        self.is_over = True
        if self.alarm is not None:
            self.alarm.cancel()
            self.alarm = None


class Waiting(Delivery):
    """The part of the engine's core that lets turns wait."""

    history: History
    host: str
    random: Random
    registry: Registry
    timers: Timers
    web: Web | None
    workers: Workers
    _item: Item
    _drainer: greenlet | None

    def __init__(self) -> None:
        self._suspended: set[Suspended] = set()
        # Why no turn may wait any more.
        self._stopped: Fault | None = None
        # Queries that overtake: their pico, and whether that leaves out events before them.
        self._late: deque[tuple[Pico, Item, bool]] = deque()
        # The turns that answer late queries, which hold no pico, by the item they answer.
        self._reading: dict[Item, Turn] = {}

    def _drain(self) -> None:
        raise AssertionError("the loop is engine.py's")

    def _schedule(self) -> None:
        raise AssertionError("the loop is engine.py's")

    @property
    def turns_suspended(self) -> int:
        """How many turns wait for something."""
        return len(self._suspended)

    # --- Parking ----------------------------------------------------------------------------------

    def wait(
        self,
        turn: Turn,
        start: Start,
        what: str,
        deadline_ms: int = turn_wait_ms,
        on: tuple[Pico, Item] | None = None,
    ) -> Any:
        """Park a turn until `start`'s callback is called; return what that got.

        Units: a deadline of 0 is none: then what is waited for has one itself.
        Raises: the Fault that it got; R4021 at the deadline, R4022 when too many turns wait;
        whatever `start` raises; Cancelled when the engine has given up all that wait.
        """
        if self._stopped is not None:
            raise Cancelled(self._stopped)
        if len(self._suspended) >= turns_suspended_max:
            raise Fault("R4022", f"{turns_suspended_max} turns wait already, so {what} cannot")
        me = Suspended(self.workers.current, turn.root, on)
        me.cancel = start(lambda value: self.clock.call_soon(partial(self._resume, me, value)))
        if deadline_ms:
            fault = Fault("R4021", f"{what} took longer than {deadline_ms} ms")
            me.alarm = self.clock.call_after(deadline_ms, partial(self._expire, me, fault))
        self._suspended.add(me)
        pico = turn.root.pico
        pico.suspended = me
        self._overtake(pico)
        value = self._park(pico)
        if isinstance(value, Fault):
            raise value
        return value

    def pause(self, turn: Turn) -> None:
        """Let others run before this turn goes on, which holds its pico meanwhile.

        When too many turns are held already it just goes on.
        """
        if len(self._suspended) >= turns_suspended_max:
            return
        me = Suspended(self.workers.current, turn.root, None)
        self._suspended.add(me)
        turn.root.pico.paused = me
        self.clock.call_soon(partial(self._resume, me, None))
        self._park(turn.root.pico)

    def _park(self, pico: Pico) -> Any:
        item = self._item
        pico.is_waiting = True
        if self._drainer is self.workers.current:
            # Another worker goes on with the other picos.
            self._drainer = None
            self.clock.call_soon(self._drain)
        turn = leave()
        try:
            return self.workers.park()
        finally:
            self._item = item
            enter(turn)

    def _resume(self, me: Suspended, value: Any) -> None:
        if me.is_over:
            # A ruleset that came too late for this turn is there for others.
            self.committer.flush()
            return
        self._leave(me)
        self.workers.resume(me.worker, value)

    def _expire(self, me: Suspended, fault: Fault) -> None:
        if me.is_over:
            return
        me.alarm = None
        if me.cancel is not None:
            me.cancel()
        self._resume(me, fault)

    def _leave(self, me: Suspended) -> None:
        me.end()
        self._suspended.discard(me)
        pico = me.turn.pico
        pico.suspended = pico.paused = None
        pico.is_waiting = False

    def _cancel(self, me: Suspended, fault: Fault) -> None:
        """Give up a turn that waits; soon, since another one may be running now."""
        if me.is_over:
            return
        me.end()
        if me.cancel is not None:
            me.cancel()
        self.clock.call_soon(partial(self._throw, me, fault))

    def _throw(self, me: Suspended, fault: Fault) -> None:
        self._leave(me)
        self.workers.cancel(me.worker, fault)

    def cancel_all(self, fault: Fault) -> None:
        """Give up all turns that wait; accepted events among them run after the next start.

        So do those of turns that would wait from now on, and what stands behind them.
        """
        self._stopped = fault
        for me in list(self._suspended):
            self._cancel(me, fault)

    def drop(self) -> None:
        """Forget all turns that wait, as the end of the process would."""
        for me in list(self._suspended):
            me.end()
            self._suspended.discard(me)
            self.workers.kill(me.worker)

    def close(self) -> None:
        """Accept nothing more; turns that wait get some time to end."""
        self.is_closing = True
        fault = Fault("R3007", "the engine stopped while this waited")
        self.clock.call_after(turns_stop_ms, lambda: self.cancel_all(fault))

    # --- What turns see of the engine -------------------------------------------------------------

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

    def module(self, turn: Turn, url: str) -> Module:
        """The ruleset of a URL, fetched and compiled first if it has to be."""
        try:
            return self.registry.by_url(url)
        except NeedRuleset as need:
            load = partial(self.registry.need_for_rule, need.url)
        module: Module = self.wait(turn, load, f"loading {url}", 0)
        return module

    def flush(self, turn: Turn, url: str) -> None:
        """Fetch a ruleset again, and adopt it if it has changed."""
        self.wait(turn, partial(self.registry.flush_for_rule, url), f"loading {url}", 0)

    def pico_type(self, name: str) -> dict[str, Any]:
        """A pico type that a bundle declared."""
        return self.registry.pico_type(name)

    def channel(self, eci: str) -> Channel | None:
        """The channel of an ECI, or None."""
        return self.shelf.channel(eci)

    # --- Late queries -----------------------------------------------------------------------------

    def _overtake(self, pico: Pico) -> None:
        """Queries behind a turn that waits do not wait with it."""
        if not pico.has_queries or pico.suspended is None:
            return
        pico.has_queries = False
        turn = pico.suspended.turn
        is_stale = turn.asked is None
        kept = deque[Item]()
        for item in pico.inbox:
            if item.event is None and item.query is not None:
                self._late.append((pico, item, is_stale))
            else:
                kept.append(item)
                is_stale = True
        pico.inbox = kept
        self._schedule()

    def _run_late(self, pico: Pico, item: Item, is_stale: bool) -> None:
        """Answer a query from the last state of a pico whose turn waits."""
        assert item.query is not None
        shadow = pico
        if pico.is_dead:
            if item.done is not None:
                self._decline(item.done, gone(item.query.eci))
            return
        try:
            shadow = self.shelf.shadow(pico)
            assert shadow.view is not None
            turn = self._reading[item] = Turn(self, shadow, shadow.view, item.query.qid)
            self._item = item
            pico.guests += 1
            try:
                answer: Any = Answer(turn.query(item.query), stale=is_stale)
            finally:
                pico.guests -= 1
                del self._reading[item]
                # It may have waited, and then read what the pico has done since.
                shadow.group = max(shadow.group, pico.group)
        except Cancelled as end:
            answer = end.reason
        except Exception as error:
            answer = self._as_fault(pico, error)
        self._tell(shadow, item, answer)

    # --- What turns ask of other picos ------------------------------------------------------------

    def ask(self, turn: Turn, eci: Any, rid: Any, name: Any, args: Any) -> Any:
        """`ctx:query`: the value of a shared function of the pico behind a channel.

        Raises: R1001, R1003, R1004, R1005, R1007, R2005, R2006, R4002, R4021, R4022, and what the
        function raises.
        """
        eci, rid = part(eci, "query.eci"), part(rid, "query.rid")
        query = Query(eci, rid, part(name, "query.name"), own_map(args, "query.args"), "")
        query.qid = self.ids.eid()
        pico = self._behind(turn, eci, query=query)
        return self._ask(turn, pico, query)

    def _ask(self, turn: Turn, pico: Pico, query: Query) -> Any:
        root = turn.root
        if any(child is pico for child in root.created):
            # It will come to be with this turn, and so sees what this turn has done.
            assert pico.view is not None
            return NestedTurn(self, pico, pico.view, query.qid, turn).query(query)
        if pico.id == root.pico.id or pico.suspended is not None:
            return self._ask_last(turn, pico, query)
        _check_room(pico)
        item = Item(None, query, None)
        item.is_inner = True

        def start(done: Done) -> None:
            item.done = done
            self._enqueue(pico, item)

        answer = self.wait(turn, start, f"the query {query.rid}/{query.name}", on=(pico, item))
        root.pico.group = max(root.pico.group, pico.group)
        return answer.value

    def _ask_last(self, turn: Turn, pico: Pico, query: Query) -> Any:
        """Ask a pico that cannot be waited for, as of its last completed turn."""
        real = self.shelf.picos.get(pico.id, pico)
        shadow = self.shelf.shadow(real)
        assert shadow.view is not None
        real.guests += 1
        try:
            value = NestedTurn(self, shadow, shadow.view, query.qid, turn).query(query)
        finally:
            real.guests -= 1
        # The query may have waited, and then read what the pico has done since.
        turn.root.pico.group = max(turn.root.pico.group, shadow.group, real.group)
        return value

    def ask_event(
        self,
        turn: Turn,
        eci: Any,
        domain: Any,
        name: Any,
        attrs: Any,
        rid: Any,
        query_name: Any,
        args: Any,
    ) -> Any:
        """`ctx:eventQuery`: have an event evaluated by another pico, and then ask it.

        The event stays done whatever becomes of this turn; run again after a crash, the turn finds
        it done. Where waiting for it would be waiting for oneself, it is accepted like a signal,
        and the query is answered from the other pico's last state.
        Raises: as `ask`; R1002 for the event; what the event's rules raised.
        """
        eci = part(eci, "event.eci")
        call = turn.call_id()
        event = Event(
            eci,
            part(domain, "event.domain"),
            part(name, "event.name"),
            own_map(attrs, "event.data.attrs"),
            self.clock.now_ms(),
            call,
            turn.root.pico.id,
        )
        rid, query_name = part(rid, "query.rid"), part(query_name, "query.name")
        query = Query(eci, rid, query_name, own_map(args, "query.args"), call + ".q")
        pico = self._behind(turn, eci, event=event, query=query)
        if any(child is pico for child in turn.root.created):
            raise Fault(
                "R2019",
                "this pico comes into being when this turn ends, so no event can run there before",
            )
        # In one log, so what the other pico does is never there without it.
        self._keep_event(turn)
        # The number as well: ids of events from other engines are as good as their makers.
        key = (eci, f"{self._item.number}.{call}")
        if self._closes_circle(turn.root, pico):
            if (book := self.answers.open(event, key[1], lambda _: None)) is not None:
                self.answers.close(*key, call)
                self._accept(pico, event)
                book(call)
            return self._ask_last(turn, pico, query)
        _check_room(pico)
        item = Item(event, query, None)
        item.is_inner = True

        def start(done: Done) -> None:
            def tell(answer: Any) -> None:
                if (found := _outcome(answer)) is not None:
                    done(found)
                    return
                # The event was done before a crash; the query is still to be asked.
                again = Item(None, query, done)
                again.is_inner = True
                self._enqueue(pico, again)

            book = self.answers.open(event, key[1], tell)
            if book is not None:
                item.key, item.done = key, book
                self._enqueue(pico, item)

        answer = self.wait(turn, start, f"the event {event.domain}:{event.name}", on=(pico, item))
        root = turn.root.pico
        root.group = max(root.group, pico.group)
        return answer.value

    def _behind(self, turn: Turn, eci: str, *, query: Query, event: Event | None = None) -> Pico:
        """The pico behind a channel that allows what is asked of it."""
        if self.committer.failure is not None:
            raise self.committer.failure
        channel = find_channel(turn.root, eci)
        if channel is None:
            raise unknown_eci(eci)
        sender = turn.root.pico.id
        if event is not None:
            channel.check_event(event.domain, event.name, sender)
        channel.check_query(query.rid, query.name, sender)
        for child in turn.root.created:
            if child.id == channel.pico_id:
                return child
        pico = self.shelf.pico(channel.pico_id)
        if pico is None:
            raise gone(eci)
        return pico

    def _closes_circle(self, root: Turn, pico: Pico) -> bool:
        """Whether a turn that waited for this pico's queue would wait for itself."""
        mine = root.pico.id
        while pico.id != mine:
            suspended = pico.suspended
            while True:
                if suspended is None or suspended.on is None:
                    return False
                pico, item = suspended.on
                reader = self._reading.get(item)
                if reader is None:
                    break
                suspended = reader.pico.suspended
        return True

    # --- Outside calls ----------------------------------------------------------------------------

    def call_outside(
        self, turn: Turn, start: Start, what: str, deadline_ms: int = turn_wait_ms
    ) -> Any:
        """Wait for something outside the engine, begun when all that led to it is durable.

        Raises: as `wait`.
        """
        self._keep_event(turn)
        group = turn.root.pico.group

        def begin(done: Done) -> Cancel:
            under_way: list[Cancel | None] = [None]
            is_given_up = False

            def cancel() -> None:
                nonlocal is_given_up
                is_given_up = True
                if under_way[0] is not None:
                    under_way[0]()

            def go(failure: Fault | None) -> None:
                if is_given_up:
                    return
                if failure is not None:
                    done(failure)
                    return
                try:
                    under_way[0] = start(done)
                except Fault as fault:
                    done(fault)

            self.committer.when_durable(
                group, lambda failure: self.clock.call_soon(partial(go, failure))
            )
            return cancel

        return self.wait(turn, begin, what, deadline_ms)

    def _keep_event(self, turn: Turn) -> None:
        """The event of a turn becomes a row of its inbox, if it is none, before anything leaves."""
        item, pico = self._item, turn.root.pico
        if turn.root.event is None:
            # A query, perhaps behind an event that is done: nothing of it runs again.
            return
        assert item.event is not None
        if item.number < 0:
            item.number = self.backlog.take()
            key = None if item.key is None else item.key[1]
            row = partial(begun_row, item.event, key)
            self.committer.put_lazy("inbox", inbox_key(item.number, pico.id), row)
        # A row from elsewhere may be as new: of a turn that is not durable yet, or of a signal.
        pico.group = max(pico.group, self.committer.newest)


def _outcome(answer: Any) -> Answer | Fault | None:
    """What an event-query comes to; None when the event went well, and the query is to be asked."""
    if isinstance(answer, Answer | Fault):
        return answer
    if type(answer) is not dict or "errors" not in answer:
        return None
    said = answer["errors"][0]
    message = said["error"].removeprefix(CODES[said["code"]].error_class + ": ")
    return Fault(said["code"], message, said["hint"])


def _check_room(pico: Pico) -> None:
    if len(pico.inbox) >= inbox_events_max:
        raise Fault("R4002", f"{inbox_events_max} events are waiting in this pico already")
