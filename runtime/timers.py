"""Timers: events that rules schedule for a time, or again and again, and their coming due.

In: jobs that finished turns scheduled or removed; the clock. Out: rows of family `timer`, and due
events in the inbox of their pico. Invariants: a job's rows change in the batch of the turn that
changed it; the batch that fires one also removes or re-arms it, so each comes exactly once whatever
is killed and whenever; jobs fire by due time, equal ones as they were scheduled; memory holds no
job, only when the next one is due; a moment is never earlier than one that a job had before.

A job ends with its pico, its ruleset and its channel. Due events pass no policy: the channel's own
pico scheduled them. Their time is when they were due, however late they come.
Not here: what rules call (modules/schedule.py), which moments a timespec names (cron.py).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from runtime import observe
from runtime.clock import Clock, Handle, Ids
from runtime.commit import Committer
from runtime.cron import read_cron
from runtime.errors import Fault
from runtime.event import Event
from runtime.kinds import check_text
from runtime.layer import GONE
from runtime.limits import (
    inbox_events_max,
    timer_batch_max,
    timer_catch_up_ms,
    timer_late_ms,
    timer_mark_every,
    timer_numbers_reserved,
    timer_retry_ms,
)
from runtime.module import to_fault
from runtime.store import (
    Store,
    decode_record,
    encode_record,
    timer_due_ms,
    timer_key,
    timer_owner_key,
    timer_parts,
)

if TYPE_CHECKING:
    from runtime.pico import Pico
    from runtime.shelf import Shelf
    from runtime.turn import Turn

MARK = b"timer-mark"
NUMBERS = b"timer-numbers"
DUE = b"d"
_NOTHING = encode_record(None)


class Job:
    """One scheduled event of a ruleset on a pico.

    `when` is what the rule gave: milliseconds for an `at`, the timespec for a `repeat`. `number`
    orders jobs as they were scheduled; it is given when the turn commits.
    Units: `due_ms` is the time of the event, `wake_ms` when to try next; later only while the
    pico's inbox is full.
    """

    __slots__ = (
        "attrs",
        "domain",
        "due_ms",
        "eci",
        "id",
        "is_repeated",
        "name",
        "number",
        "rid",
        "wake_ms",
        "when",
    )

    def __init__(
        self,
        timer_id: str,
        rid: str,
        is_repeated: bool,
        when: Any,
        due_ms: int,
        eci: str,
        domain: str,
        name: str,
        attrs: dict[str, Any],
    ) -> None:
        self.id = timer_id
        self.rid = rid
        self.is_repeated = is_repeated
        self.when = when
        self.due_ms = due_ms
        self.wake_ms = due_ms
        self.eci = eci
        self.domain = domain
        self.name = name
        self.attrs = attrs
        self.number = -1

    def to_map(self) -> dict[str, Any]:
        """The job as rules see it."""
        kind, when = ("repeat", "timespec") if self.is_repeated else ("at", "time")
        return {
            "id": self.id,
            "type": kind,
            when: self.when,
            "event": {
                "eci": self.eci,
                "domain": self.domain,
                "name": self.name,
                "data": {"attrs": self.attrs},
                "time": 0,
            },
        }

    def to_record(self) -> list[Any]:
        """The job as it is stored; id and ruleset are in the key."""
        event = [self.eci, self.domain, self.name, self.attrs]
        return [self.number, self.wake_ms, self.due_ms, self.is_repeated, self.when, event]


def job_from_row(owner: bytes, row: bytes) -> Job:
    """The job of a row by owner.

    Raises: R3006 when the row cannot be read.
    """
    _, rid, timer_id = owner[1:].decode().split("\0")
    return job_from_record(rid, timer_id, decode_record(row, "timer"))


def job_from_record(rid: str, timer_id: str, record: list[Any]) -> Job:
    """The job that `Job.to_record` made a record of.

    Raises: R3006 when it has another shape.
    """
    try:
        number, wake_ms, due_ms, is_repeated, when, event = record
        job = Job(timer_id, rid, is_repeated, when, due_ms, *event)
    except (TypeError, ValueError):
        raise Fault("R3006", "a timer has another shape than this engine writes") from None
    job.number = number
    job.wake_ms = wake_ms
    return job


def due_key_of(owner: bytes, row: bytes) -> bytes:
    """The key by due time of the timer in a row by owner."""
    pico_id, _, timer_id = owner[1:].decode().split("\0")
    job = job_from_row(owner, row)
    return timer_key(job.wake_ms, job.number, pico_id, job.rid, timer_id)


class Change:
    """What a turn wants of one job: `job` scheduled, or (None) removed; no id means all."""

    __slots__ = ("id", "job", "rid")

    def __init__(self, rid: str, timer_id: str, job: Job | None) -> None:
        self.rid = rid
        self.id = timer_id
        self.job = job


class Timers:
    """All timers of one engine.

    `accept` puts an event into a pico's inbox, in the group that gathers; `may_fire` is false while
    the engine stops.
    Shapes: `_fresh` is what the gathering group changes, by key of either kind, since scans of the
    store do not see it yet; `_low` is the key below which no timer is left; `_armed` is when the
    clock will call, None while it need not.
    """

    def __init__(
        self,
        store: Store,
        committer: Committer,
        clock: Clock,
        ids: Ids,
        shelf: Shelf,
        accept: Callable[[Pico, Event], object],
        may_fire: Callable[[], bool],
    ) -> None:
        self._store = store
        self._committer = committer
        self._clock = clock
        self._ids = ids
        self._shelf = shelf
        self._accept = accept
        self._may_fire = may_fire
        self._fresh: dict[bytes, bytes | None] = {}
        self._fresh_group = 0
        row = committer.get("meta", MARK)
        self._low: bytes = b"" if row is None else decode_record(row, "timer mark")
        self._low_stored = self._low
        self._fired_since_mark = 0
        row = committer.get("meta", NUMBERS)
        self._next_number: int = 0 if row is None else decode_record(row, "timer numbers")
        self._numbers_end = self._next_number
        self._armed: int | None = None
        self._handle: Handle | None = None
        self.is_idle = True

    def start(self) -> None:
        """Wait for the first timer; those that came due while nobody looked fire at once."""
        self._arm_next()

    # --- Reading ----------------------------------------------------------------------------------

    def of(self, pico_id: str, rid: str) -> dict[str, Job]:
        """The jobs of a ruleset on a pico by id, as they were scheduled.

        Raises: R4004 when they are more than one value may hold.
        Cost: O(jobs), read from the store.
        """
        found = []
        size = 0
        for key, row in self._rows(timer_owner_key(pico_id, rid)):
            size += len(row)
            check_text("the jobs of a ruleset", size)
            found.append(job_from_row(key, row))
        found.sort(key=lambda job: job.number)
        return {job.id: job for job in found}

    def find(self, pico_id: str, rid: str, timer_id: str) -> Job | None:
        """One job of a ruleset on a pico.

        Cost: one read.
        """
        key = timer_owner_key(pico_id, rid, timer_id)
        row = self._committer.get("timer", key)
        return None if row is None else job_from_row(key, row)

    def _rows(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Rows by owner, written or not, in no order."""
        fresh = dict(self._unwritten())
        for key, row in self._store.scan("timer", prefix):
            if key not in fresh:
                yield key, row
        for key, value in fresh.items():
            if value is not None and key.startswith(prefix):
                yield key, value

    def _unwritten(self) -> dict[bytes, bytes | None]:
        """What the gathering group changes; once it is written the store has it all."""
        if self._fresh_group != self._committer.gathering:
            self._fresh_group = self._committer.gathering
            self._fresh.clear()
        return self._fresh

    # --- Changing ---------------------------------------------------------------------------------

    def apply(self, turn: Turn) -> None:
        """Put what a finished turn changed into the group that gathers.

        Cost: O(changes); O(jobs) of a ruleset that went, or of a pico that lost a channel.
        """
        pico = turn.pico
        for change in turn.timers:
            if change.job is not None:
                change.job.number = self._take_number()
                self._put(pico.id, change.job)
            elif change.id:
                self._remove(timer_owner_key(pico.id, change.rid, change.id))
            else:
                self._remove_all(timer_owner_key(pico.id, change.rid))
        new = turn.structure
        if new is None:
            return
        old = pico.structure
        for rid in {i.rid for i in old.installs} - {i.rid for i in new.installs}:
            self._remove_all(timer_owner_key(pico.id, rid))
        changes = {} if new.channels is None else new.channels.changes
        lost = {eci for eci, channel in changes.items() if channel is GONE}
        if lost:
            for key, row in list(self._rows(timer_owner_key(pico.id))):
                job = job_from_row(key, row)
                if job.eci in lost:
                    self._drop(key, self._due_key(pico.id, job))

    def adopt(self, pico_id: str, job: Job) -> None:
        """Take over a job that was another engine's, in the group that gathers."""
        job.number = self._take_number()
        self._put(pico_id, job)

    def _take_number(self) -> int:
        number = self._next_number
        if number == self._numbers_end:
            self._numbers_end = number + timer_numbers_reserved
            self._committer.put("meta", NUMBERS, encode_record(self._numbers_end))
        self._next_number = number + 1
        return number

    def _due_key(self, pico_id: str, job: Job) -> bytes:
        return timer_key(job.wake_ms, job.number, pico_id, job.rid, job.id)

    def _put(self, pico_id: str, job: Job) -> bytes:
        """Store a job, under the moment it has now; return its key by due time."""
        owner = timer_owner_key(pico_id, job.rid, job.id)
        due = self._due_key(pico_id, job)
        row = encode_record(job.to_record())
        fresh = self._unwritten()
        fresh[owner], fresh[due] = row, _NOTHING
        self._committer.put("timer", owner, row)
        self._committer.put("timer", due, _NOTHING)
        # A clock that was put back makes moments that lie before those which came already.
        self._low = min(self._low, due)
        if due < self._low_stored:
            self._store_mark()
        self._arm(job.wake_ms)
        return due

    def _drop(self, owner: bytes, due: bytes) -> None:
        """Forget a job."""
        fresh = self._unwritten()
        fresh[owner] = fresh[due] = None
        self._committer.put("timer", owner, None)
        self._committer.remove("timer", due)

    def _remove(self, owner: bytes) -> None:
        row = self._committer.get("timer", owner)
        if row is not None:
            self._drop(owner, due_key_of(owner, row))

    def _remove_all(self, prefix: bytes) -> None:
        for owner, row in list(self._rows(prefix)):
            self._drop(owner, due_key_of(owner, row))

    # --- Waiting ----------------------------------------------------------------------------------

    def _arm(self, ms: int) -> None:
        """Have the clock call at this moment, unless it will call before."""
        if not self.is_idle or (self._armed is not None and self._armed <= ms):
            return
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._armed = ms
        if ms > self._clock.now_ms():
            self._handle = self._clock.call_at(ms, self._fire)
        else:
            self.is_idle = False
            self._clock.call_soon(self._fire)

    def _arm_next(self) -> None:
        """Wait for the first timer there is."""
        self._armed = None
        fresh = self._unwritten()
        first = min((k for k, row in fresh.items() if row and k.startswith(DUE)), default=None)
        for key, _ in self._store.scan("timer", DUE, self._low):
            if key not in fresh:
                first = key if first is None else min(first, key)
                break
        if first is not None:
            self._arm(timer_due_ms(first))

    # --- Firing -----------------------------------------------------------------------------------

    def _fire(self) -> None:
        """Fire what is due, as much as one batch holds."""
        if not self._may_fire():
            # What is due stays for the next start.
            self.is_idle = True
            return
        self.is_idle = False
        self._handle = None
        try:
            is_more = self._fire_batch(self._clock.now_ms())
        except Exception as error:
            # A job may be in part in the group that gathers, which so must never be written.
            observe.bug("timers", error)
            self.is_idle = True
            self._committer.fail(to_fault(error))
            return
        # Behind the turns that were just started: a row of theirs that is consumed in the same
        # group is never written. The next batch comes behind those turns too, and need not wait
        # for the disk: a group gathers as long as the sync before it takes.
        self._clock.call_soon(self._committer.flush)
        if is_more:
            self._clock.call_soon(self._fire)
        else:
            self.is_idle = True
            self._arm_next()

    def _fire_batch(self, now: int) -> bool:
        """Fire the first due timers in order; tell whether some may be left."""
        end = DUE + (now + 1).to_bytes(8, "big")
        fresh = self._unwritten()
        due = [key for key, row in fresh.items() if row and DUE < key < end]
        count = 0
        for key, _ in self._store.scan("timer", DUE, self._low):
            if key >= end or count == timer_batch_max:
                break
            if key not in fresh:
                due.append(key)
                count += 1
        due.sort()
        if len(due) > timer_batch_max:
            del due[timer_batch_max:]
        if len(due) == timer_batch_max:
            end = due[-1]
        fired = 0
        while due and fired < timer_batch_max:
            key = heapq.heappop(due)
            fired += 1
            again = self._fire_one(key, now)
            self._low = key + b"\0"
            # What catches up takes its place among what was read; further on it is read later.
            if again is not None and again < end:
                heapq.heappush(due, again)
        self._fired_since_mark += fired
        if self._fired_since_mark >= timer_mark_every:
            self._store_mark()
        return fired == timer_batch_max

    def _store_mark(self) -> None:
        self._fired_since_mark = 0
        self._low_stored = self._low
        self._committer.put("meta", MARK, encode_record(self._low))

    def _fire_one(self, key: bytes, now: int) -> bytes | None:
        """Fire one timer: the job ends, or waits for its next moment, whose key is returned."""
        number, pico_id, rid, timer_id = timer_parts(key)
        owner = timer_owner_key(pico_id, rid, timer_id)
        row = self._committer.get("timer", owner)
        job = None
        if row is not None:
            try:
                job = job_from_row(owner, row)
            except Fault as fault:
                observe.dropped(pico_id, fault)
        if job is None or job.number != number or job.wake_ms != timer_due_ms(key):
            # The job is gone, or waits for another moment.
            self._unwritten()[key] = None
            self._committer.remove("timer", key)
            return None
        self._drop(owner, key)
        pico = self._owner(pico_id, job)
        if pico is None:
            return None
        pico.group = self._committer.gathering
        if len(pico.inbox) >= inbox_events_max:
            job.wake_ms = now + timer_retry_ms
            return self._put(pico_id, job)
        if not job.is_repeated:
            self._deliver(pico, job)
            return None
        return self._repeat(pico, job, now)

    def _repeat(self, pico: Pico, job: Job, now: int) -> bytes | None:
        """A moment of a repeated job: deliver it, unless it is to be skipped, and wait again."""
        try:
            cron = read_cron(job.when)
        except Fault as fault:
            # It was readable when it was scheduled: a zone has gone from the system since.
            observe.dropped(pico.id, fault)
            return None
        late = now - job.due_ms
        past = now
        if cron.catch_up == "all":
            past = max(job.due_ms, now - timer_catch_up_ms)
            is_missed = late > timer_catch_up_ms
        else:
            is_missed = cron.catch_up == "skip" and late > timer_late_ms
        if not is_missed:
            self._deliver(pico, job)
        after = cron.after(past)
        if after is None:
            return None
        job.due_ms = job.wake_ms = after
        return self._put(pico.id, job)

    def _owner(self, pico_id: str, job: Job) -> Pico | None:
        """The pico of a job; None when it or the channel is gone, which ends the job."""
        try:
            channel = self._shelf.channel(job.eci)
        except Fault as fault:
            if fault.code != "R1005":
                observe.dropped(pico_id, fault)
            return None
        if channel is None or channel.pico_id != pico_id:
            return None
        return self._shelf.pico(pico_id)

    def _deliver(self, pico: Pico, job: Job) -> None:
        event = Event(job.eci, job.domain, job.name, job.attrs, job.due_ms, self._ids.eid())
        self._accept(pico, event)
