"""Bugs planted in the engine, one or more for each invariant: the simulation must find them all.

In: the name of a bug. Out: an engine that has it, while a `with` block lasts. Each is the kind of
mistake that a hurried change would make, done to one method.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast
from unittest.mock import patch

from runtime import answers as answers_module
from runtime import engine as engine_module
from runtime import shelf as shelf_module
from runtime.answers import AnswerBook
from runtime.arrivals import Arrivals
from runtime.backlog import Backlog
from runtime.clock import Clock
from runtime.commit import Committer
from runtime.engine import Core
from runtime.entities import Entities
from runtime.graves import Graves
from runtime.inbox import Item
from runtime.network import TAKEN, Envelope
from runtime.outbox import Outbox
from runtime.pico import Pico, structure_rows
from runtime.shelf import Shelf
from runtime.store import (
    Store,
    encode_record,
    inbox_key,
    mark_key,
    timer_owner_key,
    timer_parts,
)
from runtime.timers import Timers
from runtime.turn import Turn

Change = tuple[Any, str, Callable[..., Any]]
BUGS: dict[str, Callable[[], list[Change]]] = {}


def bug(make: Callable[[], list[Change]]) -> Callable[[], list[Change]]:
    """Register a bug under its function's name."""
    BUGS[make.__name__] = make
    return make


@contextmanager
def planted(name: str) -> Iterator[None]:
    """The engine has this bug meanwhile."""
    patches = [patch.object(owner, method, changed) for owner, method, changed in BUGS[name]()]
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in patches:
            each.stop()


# --- Nothing leaves before it is durable ----------------------------------------------------------


@bug
def answer_before_sync() -> list[Change]:
    def release(self: Core, pico: Pico, done: Any, answer: Any) -> None:
        if done is not None:
            done(answer)

    return [(Core, "_release", release)]


@bug
def acknowledgement_before_sync() -> list[Change]:
    original = Committer.when_durable

    def when_durable(self: Committer, group: int, release: Any) -> None:
        original(self, group - 1, release)

    return [(Committer, "when_durable", when_durable)]


@bug
def refusal_before_sync() -> list[Change]:
    def decline(self: Core, done: Any, fault: Any) -> None:
        self.clock.call_soon(lambda: done(fault))

    return [(Core, "_decline", decline)]


@bug
def unwritten_pico_evicted() -> list[Change]:
    original = Shelf.__init__

    def make(self: Shelf, *args: Any) -> None:
        original(self, *args)
        self._is_written = lambda pico: True

    return [(Shelf, "__init__", make)]


@bug
def goes_on_after_failed_write() -> list[Change]:
    def fail(self: Committer, error: BaseException) -> None:
        self._is_syncing = False
        self._settle(self.gathering)
        self.gathering += 1

    return [(Committer, "fail", fail)]


# --- An accepted event is applied exactly once ----------------------------------------------------


@bug
def inbox_row_dropped_early() -> list[Change]:
    original = Core._enqueue

    def enqueue(self: Core, pico: Pico, item: Item) -> None:
        original(self, pico, item)
        if item.number >= 0:
            self.committer.remove("inbox", inbox_key(item.number, pico.id))

    return [(Core, "_enqueue", enqueue)]


@bug
def inbox_row_stays() -> list[Change]:
    def consume(self: Core, pico_id: str, item: Item) -> None:
        self.backlog.finish(item.number)

    return [(Core, "_consume", consume)]


@bug
def inbox_row_removed_in_a_later_group() -> list[Change]:
    original = Core._consume

    def consume(self: Core, pico_id: str, item: Item) -> None:
        self.committer.when_durable(
            self.committer.gathering, lambda _: original(self, pico_id, item)
        )

    return [(Core, "_consume", consume)]


@bug
def key_not_looked_up() -> list[Change]:
    return [(AnswerBook, "_find", lambda self, eci, key: None)]


@bug
def key_not_stored() -> list[Change]:
    return [(AnswerBook, "close", lambda self, eci, key, answer: None)]


@bug
def other_content_under_a_key_not_noticed() -> list[Change]:
    return [(answers_module, "_digest", lambda event: b"same")]


@bug
def backlog_mark_too_high() -> list[Change]:
    original = Backlog.finish

    def finish(self: Backlog, number: int) -> None:
        original(self, number)
        self._committer.put("meta", b"inbox-mark", encode_record(self._next))

    return [(Backlog, "finish", finish)]


@bug
def backlog_forgotten_at_start() -> list[Change]:
    original = Core.start

    def start(self: Core) -> None:
        self.backlog.mark = 1 << 40
        original(self)

    return [(Core, "start", start)]


# --- A turn commits whole -------------------------------------------------------------------------


@bug
def batch_in_two_halves() -> list[Change]:
    original = Committer.flush

    def flush(self: Committer) -> None:
        store = self._store
        self._store = cast(Store, _Halves(store))
        try:
            original(self)
        finally:
            self._store = store

    return [(Committer, "flush", flush)]


class _Halves:
    """A store that writes each batch as two."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.sync = store.sync

    def write(self, batch: Any) -> None:
        half = len(batch) // 2
        if half:
            self._store.write(batch[:half])
        self._store.write(batch[half:])


@bug
def variables_in_a_later_group() -> list[Change]:
    original = Committer.dirty

    def dirty(self: Committer, owner: Any, name: str) -> None:
        self.when_durable(self.gathering, lambda _: original(self, owner, name))
        self.put("meta", b"planted", b"")

    return [(Committer, "dirty", dirty)]


@bug
def states_not_saved() -> list[Change]:
    return [(Pico, "rows", lambda self, name: [])]


@bug
def states_survive_the_ruleset() -> list[Change]:
    return [(shelf_module, "_carry", lambda pico, old, new: None)]


@bug
def child_without_channels() -> list[Change]:
    original = structure_rows

    def rows(pico_id: str, old: Any, new: Any) -> Any:
        found = original(pico_id, old, new)
        return [row for row in found if row[0] != "eci"] if old is None else found

    return [(engine_module, "structure_rows", rows)]


# --- A failed rule leaves nothing -----------------------------------------------------------------


def keeps(read: Callable[[Turn], Any], write: Callable[[Turn, Any], None]) -> list[Change]:
    """A roll-back after which some part of the turn is as the failed rule had left it."""
    original = Turn.roll_back

    def roll_back(self: Turn, *args: Any) -> None:
        kept = read(self)
        original(self, *args)
        write(self, kept)

    return [(Turn, "roll_back", roll_back)]


def refill(place: list[Any] | deque[Any], kept: Any) -> None:
    """Put other content into a list that others hold as well."""
    place.clear()
    place.extend(kept)


@bug
def failed_rule_keeps_its_sends() -> list[Change]:
    return keeps(lambda turn: list(turn.sends), lambda turn, kept: refill(turn.sends, kept))


@bug
def failed_rule_keeps_its_raises() -> list[Change]:
    return keeps(lambda turn: list(turn.schedule), lambda turn, kept: refill(turn.schedule, kept))


@bug
def failed_rule_keeps_its_directives() -> list[Change]:
    return keeps(
        lambda turn: list(turn.directives), lambda turn, kept: refill(turn.directives, kept)
    )


@bug
def failed_rule_keeps_its_children() -> list[Change]:
    return keeps(lambda turn: turn.created, lambda turn, kept: setattr(turn, "created", kept))


@bug
def failed_rule_keeps_its_channels() -> list[Change]:
    return keeps(lambda turn: turn.structure, lambda turn, kept: setattr(turn, "structure", kept))


@bug
def failed_rule_keeps_its_variables() -> list[Change]:
    return [(Entities, "roll_back", Entities.keep)]


# --- Sends arrive once and in order ---------------------------------------------------------------


@bug
def sends_swapped() -> list[Change]:
    original = Core._apply

    def apply(self: Core, turn: Turn, item: Item) -> None:
        turn.sends.reverse()
        original(self, turn, item)

    return [(Core, "_apply", apply)]


@bug
def send_without_a_row() -> list[Change]:
    original = Core._deliver

    def deliver(self: Core, sender: Pico, send: Any) -> None:
        number = self.backlog._next
        original(self, sender, send)
        self.committer._rows = {
            at: row
            for at, row in self.committer._rows.items()
            if at[0] != "inbox" or int.from_bytes(at[1][:8], "big") != number
        }

    return [(Core, "_deliver", deliver)]


@bug
def sends_lost_while_closing() -> list[Change]:
    original = Core._deliver

    def deliver(self: Core, sender: Pico, send: Any) -> None:
        if not self.is_closing:
            original(self, sender, send)

    return [(Core, "_deliver", deliver)]


@bug
def undeliverable_not_told() -> list[Change]:
    return [(Core, "_return", lambda self, sender, send, fault: None)]


# --- Queries --------------------------------------------------------------------------------------


@bug
def query_overtakes_events() -> list[Change]:
    original = Core._enqueue

    def enqueue(self: Core, pico: Pico, item: Item) -> None:
        original(self, pico, item)
        if item.event is None and item.query is not None:
            pico.inbox.rotate(1)

    return [(Core, "_enqueue", enqueue)]


@bug
def events_out_of_order() -> list[Change]:
    original = Core._enqueue

    def enqueue(self: Core, pico: Pico, item: Item) -> None:
        original(self, pico, item)
        if len(pico.inbox) == 3 and not pico.is_waiting:
            pico.inbox.rotate(1)

    return [(Core, "_enqueue", enqueue)]


# --- Life and death -------------------------------------------------------------------------------


@bug
def dead_pico_runs() -> list[Change]:
    return [(Core, "_bereave", lambda self, pico: None)]


@bug
def waiters_of_the_dead_not_told() -> list[Change]:
    def bereave(self: Core, pico: Pico) -> None:
        if pico.is_ready and not pico.is_waiting:
            self._ready.remove(pico)
        pico.inbox = deque()
        pico.is_ready = False

    return [(Core, "_bereave", bereave)]


@bug
def deletion_without_a_tombstone() -> list[Change]:
    def bury(self: Graves, root_id: str) -> None:
        self._kill(root_id)
        self._work.append(self._reap(root_id))
        self._dig()

    return [(Graves, "bury", bury)]


@bug
def reaping_not_resumed() -> list[Change]:
    return [(Graves, "resume", lambda self: None)]


@bug
def grandchildren_forgotten() -> list[Change]:
    return [(Graves, "_children", lambda self, pico_id: [])]


# --- The engine comes to rest ---------------------------------------------------------------------


@bug
def empty_group_never_durable() -> list[Change]:
    return [(Committer, "_skip", lambda self: None)]


@bug
def parked_picos_not_told_of_a_failure() -> list[Change]:
    def failed(self: Core, fault: Any) -> None:
        for pico in self._ready:
            while pico.inbox:
                item = pico.inbox.popleft()
                if item.done is not None:
                    item.done(fault)
        self._ready.clear()

    return [(Core, "_failed", failed)]


@bug
def clock_set_back_loses_keys() -> list[Change]:
    def bucket(self: AnswerBook) -> int:
        clock: Clock = self._clock
        return clock.now_ms() // 21_600_000

    return [(AnswerBook, "_bucket", bucket)]


@bug
def newest_pico_evicted() -> list[Change]:
    original = Shelf.make_room

    def make_room(self: Shelf, newest: Any = None) -> None:
        original(self, None)

    return [(Shelf, "make_room", make_room)]


# --- Through the network --------------------------------------------------------------------------


@bug
def repeated_envelope_taken_again() -> list[Change]:
    original = Arrivals._decide

    def decide(self: Arrivals, envelope: Envelope) -> Any:
        reply = original(self, envelope)
        if reply == TAKEN:
            self._committer.put("mark", mark_key(envelope.pair), None)
        return reply

    return [(Arrivals, "_decide", decide)]


@bug
def silence_taken_for_arrival() -> list[Change]:
    def fail(self: Outbox, pair: Any, *why: Any) -> None:
        self._end_round(pair)
        pair.outcomes[pair.low] = None
        self._settle(pair)

    return [(Outbox, "_fail", fail)]


@bug
def envelope_sent_before_sync() -> list[Change]:
    original = Outbox.add

    def add(self: Outbox, sender: str, send: Any) -> None:
        original(self, sender, send)
        self._durable(self._fresh, None)

    return [(Outbox, "add", add)]


@bug
def outbox_not_taken_up() -> list[Change]:
    return [(Outbox, "resume", lambda self: None)]


# --- Timers come once -----------------------------------------------------------------------------


@bug
def timer_fires_and_stays() -> list[Change]:
    original = Timers._fire_one

    def fire_one(self: Timers, key: bytes, now: int) -> bytes | None:
        _, pico_id, rid, timer_id = timer_parts(key)
        owner = timer_owner_key(pico_id, rid, timer_id)
        row = self._committer.get("timer", owner)
        again = original(self, key, now)
        self._committer.put("timer", owner, row)
        self._committer.put("timer", key, b"")
        return again

    return [(Timers, "_fire_one", fire_one)]


@bug
def timers_not_taken_up() -> list[Change]:
    return [(Timers, "start", lambda self: None)]


@bug
def timer_mark_ahead() -> list[Change]:
    original = Timers._arm

    def arm(self: Timers, ms: int) -> None:
        original(self, ms)
        self._low = b"d" + (ms + 1).to_bytes(8, "big")

    return [(Timers, "_arm", arm)]


@bug
def failed_rule_keeps_its_timers() -> list[Change]:
    return keeps(lambda turn: list(turn.timers), lambda turn, kept: refill(turn.timers, kept))
