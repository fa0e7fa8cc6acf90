"""The `time:` module: now, reading, adding and writing dates, all in UTC.

Source: stdlib reference 17.3; oddities Q31 to Q35, Q41.
"""

from __future__ import annotations

import math

from runtime.context import Context
from runtime.dates import DAY_MS, TIME_MS_MAX, iso_text, months_later, parse_iso, strftime
from runtime.errors import Fault
from runtime.kinds import Value, argument_fault, check_text, text, truth, type_fault
from runtime.modules.math import host_number

__all__ = ["time_add", "time_new", "time_now", "time_strftime"]


def _now_ms(cx: Context) -> int:
    assert cx.turn is not None
    return cx.turn.world.clock.now_ms()


def _parsed(cx: Context, what: str, date: Value) -> int:
    found = parse_iso(text(date), _now_ms(cx))
    if found is not None:
        return found
    if type(date) is str:
        raise argument_fault(f"{what} was given an invalid date string ({date})")
    raise type_fault(f"{what} was given {text(date)} instead of a date string")


def _shown(ms: int) -> str:
    if abs(ms) > TIME_MS_MAX:
        raise Fault("R2002", "a time must be within 100,000,000 days of 1970")
    return iso_text(ms)


def time_now(cx: Context, opts: Value = None, *_: Value) -> str:
    """`time:now(opts)`: the time now; a zone in the options changes nothing.

    Raises: R2001 for options that are no map.
    """
    if truth(opts) and type(opts) is not dict:
        raise type_fault(f"time:now was given {text(opts)} instead of an opts map")
    return iso_text(_now_ms(cx))


def time_new(cx: Context, date: Value = None, *_: Value) -> str:
    """`time:new(date)`: a date text or milliseconds since 1970 as a date text of the full form.

    Raises: R2018 and R2001 for what is no date, R2002 for one too far away.
    """
    t = type(date)
    if t is int or t is float:
        return _shown(math.trunc(date))
    if not truth(date):
        raise argument_fault("time:new needs a date string")
    return _shown(_parsed(cx, "time:new", date))


# Unit names, singular and plural and short, to (group, how many of the group's own unit).
_MONTHS = {"quarter": 3, "q": 3, "year": 12, "y": 12, "month": 1}
_DAYS = {"week": 7, "w": 7, "isoweek": 7, "day": 1, "d": 1}
_MILLIS = {
    "hour": 3_600_000,
    "h": 3_600_000,
    "minute": 60_000,
    "m": 60_000,
    "second": 1000,
    "s": 1000,
    "millisecond": 1,
    "ms": 1,
}


def _unit(key: str) -> tuple[int, int] | None:
    """The group (0 months, 1 days, 2 milliseconds) and size of a unit; None for no unit."""
    if len(key) == 1:
        # One letter tells months from minutes by its case, and quarters have a capital only.
        if key in "DMQdq":
            return {"M": (0, 1), "Q": (0, 3), "d": (1, 1)}.get(key)
        name = key.lower()
    else:
        name = key.lower()
        if name != "ms" and name.endswith("s"):
            name = name[:-1]
    for group, units in enumerate((_MONTHS, _DAYS, _MILLIS)):
        if name in units and (len(name) > 1 or len(key) == 1):
            return group, units[name]
    return None


def _away_from_zero(x: float) -> int:
    """The nearest whole number; a half goes away from zero."""
    return int(math.copysign(math.floor(abs(x) + 0.5), x))


def time_add(cx: Context, date: Value = None, spec: Value = None, *_: Value) -> str:
    """`time:add(date, spec)`: a date and a map of units; months first, then days, then time.

    Raises: R2018 and R2001 for what is no date or no map, R2002 for a result too far away.
    """
    if not truth(date):
        raise argument_fault("time:add needs a date string")
    if not truth(spec):
        raise argument_fault("time:add needs a spec map")
    ms = _parsed(cx, "time:add", date)
    if type(spec) is not dict:
        raise type_fault(f"time:add was given {text(spec)} instead of a spec map")
    totals: list[float | None] = [0, 0, 0]
    for key, value in spec.items():
        unit = _unit(key)
        if unit is None:
            continue
        group, size = unit
        count = 0 if value is None else host_number(value)
        so_far = totals[group]
        # What is no number voids its own group, and leaves the others alone.
        totals[group] = None if count is None or so_far is None else so_far + count * size
    months, days, millis = (total or 0 for total in totals)
    if max(abs(months) * 28 * DAY_MS, abs(days) * DAY_MS, abs(millis)) > 4 * TIME_MS_MAX:
        raise Fault("R2002", "a time must be within 100,000,000 days of 1970")
    ms = months_later(ms, _away_from_zero(months))
    return _shown(ms + _away_from_zero(days) * DAY_MS + math.trunc(millis))


def time_strftime(cx: Context, date: Value = None, fmt: Value = None, *_: Value) -> str:
    """`time:strftime(date, fmt)`: a date by a template of `%` directives.

    Raises: R2018 and R2001 for what is no date or no template; R4004 when it would be too large.
    """
    if not truth(date):
        raise argument_fault("time:strftime needs a date string")
    if not truth(fmt):
        raise argument_fault("time:strftime needs a fmt string")
    ms = _parsed(cx, "time:strftime", date)
    if type(fmt) is not str:
        raise type_fault(f"time:strftime was given {text(fmt)} instead of a fmt string")
    # The longest directive, %c, gives less than sixty characters.
    check_text("the date", len(fmt) + 60 * fmt.count("%"))
    return strftime(ms, fmt)
