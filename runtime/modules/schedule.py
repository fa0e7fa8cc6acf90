"""The `schedule:` module and statement: events that come later.

In: a context. Out: jobs of the ruleset on this pico, as this turn has them; changes to them that
commit with the turn, and are taken back with a faulting rule. Source: stdlib reference 18.
"""

from __future__ import annotations

import math

from runtime.border import to_json
from runtime.context import Context
from runtime.cron import read_cron
from runtime.dates import TIME_MS_MAX, parse_iso
from runtime.errors import Fault, missing_part
from runtime.event import own_map
from runtime.kinds import Value, kind, text, type_fault
from runtime.timers import Change, Job
from runtime.turn import Turn

__all__ = [
    "schedule_at",
    "schedule_clear",
    "schedule_get",
    "schedule_list",
    "schedule_remove",
    "schedule_repeat",
]


def _turn(cx: Context) -> Turn:
    assert cx.turn is not None
    return cx.turn


# --- The module -----------------------------------------------------------------------------------


def schedule_list(cx: Context, *_: Value) -> list[Value]:
    """`schedule:list()`: the jobs of this ruleset, as they were scheduled.

    Raises: R4004 when they are more than one value may hold.
    """
    turn = _turn(cx)
    jobs = turn.world.timers.of(turn.pico.id, cx.rid)
    for change in turn.timers:
        if change.rid != cx.rid:
            continue
        if change.job is not None:
            jobs[change.id] = change.job
        elif change.id:
            jobs.pop(change.id, None)
        else:
            jobs.clear()
    return [job.to_map() for job in jobs.values()]


def schedule_get(cx: Context, id: Value = None, *_: Value) -> Value:
    """`schedule:get(id)`: one job of this ruleset, or null."""
    turn = _turn(cx)
    if not _is_id(id):
        return None
    for change in reversed(turn.timers):
        if change.rid == cx.rid and (change.id == id or not change.id):
            return None if change.job is None else change.job.to_map()
    job = turn.world.timers.find(turn.pico.id, cx.rid, id)
    return None if job is None else job.to_map()


def schedule_remove(cx: Context, id: Value = None, *_: Value) -> None:
    """`schedule:remove(id)`: end one job of this ruleset; one that is not there is no error.

    Raises: R4017.
    """
    if _is_id(id):
        _turn(cx).change_timer(Change(cx.rid, id, None))


def schedule_clear(cx: Context, *_: Value) -> None:
    """`schedule:clear()`: end all jobs of this ruleset.

    Raises: R4017.
    """
    _turn(cx).change_timer(Change(cx.rid, "", None))


def _is_id(value: Value) -> bool:
    """Whether a value could be the id of a job; others must not become part of a key."""
    return type(value) is str and value.isascii() and value.isalnum() and len(value) < 100


# --- The statement --------------------------------------------------------------------------------


def schedule_at(
    cx: Context, domain: str | None, event: Value, when: Value, attrs: Value = None
) -> Value:
    """`schedule domain event name at time`: the job; `domain` None means `event "domain:name"`.

    Raises: R2001 for what is no time, R2002 for one too far away, R1007 for a missing part or
    attributes that are no map, R4001, R4017.
    """
    now = _turn(cx).world.clock.now_ms()
    t = type(when)
    ms: int | float | None = None
    if t is int or t is float:
        ms = when
        if abs(when) > TIME_MS_MAX:
            raise Fault("R2002", "a time must be within 100,000,000 days of 1970")
    elif t is str:
        ms = parse_iso(when, now)
    if ms is None:
        raise type_fault(f"schedule .. at expected a timestamp but got {kind(when)}")
    # What should have been comes at once, and no earlier than what asked for it.
    return _scheduled(cx, domain, event, False, ms, max(math.ceil(ms), now), attrs)


def schedule_repeat(
    cx: Context, domain: str | None, event: Value, when: Value, attrs: Value = None
) -> Value:
    """`schedule domain event name repeat timespec`: the job; `domain` as for `schedule_at`.

    Raises: R2001 for a timespec that cannot be read or never comes, R1007, R4001, R4017.
    """
    due_ms = read_cron(when).after(_turn(cx).world.clock.now_ms())
    if due_ms is None:
        raise type_fault(f"schedule .. repeat got {when!r}, which the next fifty years do not have")
    return _scheduled(cx, domain, event, True, when, due_ms, attrs)


def _scheduled(
    cx: Context,
    domain: Value,
    event: Value,
    is_repeated: bool,
    when: Value,
    due_ms: int,
    attrs: Value,
) -> Value:
    turn = _turn(cx)
    name = event
    if domain is None:
        domain, _, name = "".join(text(event).split()).partition(":")
    for value, what in ((domain, "event.domain"), (name, "event.name")):
        if type(value) is not str or not value.strip():
            raise missing_part(what)
    assert cx.event is not None
    job = Job(
        turn.world.ids.eid(),
        cx.rid,
        is_repeated,
        when,
        due_ms,
        cx.event.eci,
        domain.strip(),
        name.strip(),
        own_map(attrs if type(attrs) is not dict else to_json(attrs), "event.data.attrs"),
    )
    turn.change_timer(Change(cx.rid, job.id, job))
    return job.to_map()
