"""Dates: ISO 8601 texts to milliseconds and back, steps of the calendar, and strftime. All in UTC.

In: texts from anywhere; milliseconds since 1970. Out: the same. Years reach as far as the reference
has them, ±8.64e15 ms, and so beyond Python's; days are counted here.

Source: stdlib reference 17.3; oddities Q33 to Q35.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from runtime.numbers import WHITE_SPACE

DAY_MS = 86_400_000
TIME_MS_MAX = 8_640_000_000_000_000


class Moment(NamedTuple):
    """A moment as people write it; month, day, week day from 1 (Monday), day of the year from 1."""

    year: int
    month: int
    day: int
    hour: int
    minute: int
    second: int
    milli: int
    week_day: int
    year_day: int


def days_of(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 to a date of the Gregorian calendar; day may be beyond its month."""
    shifted = year - (month <= 2)
    era, in_era = divmod(shifted, 400)
    months = (month + 9) % 12
    in_year = (153 * months + 2) // 5 + day - 1
    return era * 146_097 + in_era * 365 + in_era // 4 - in_era // 100 + in_year - 719_468


def date_of(days: int) -> tuple[int, int, int]:
    """Year, month and day of a number of days since 1970-01-01."""
    era, in_era = divmod(days + 719_468, 146_097)
    years = (in_era - in_era // 1460 + in_era // 36_524 - in_era // 146_096) // 365
    in_year = in_era - (365 * years + years // 4 - years // 100)
    shifted = (5 * in_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return (years + era * 400 + (month <= 2), month, in_year - (153 * shifted + 2) // 5 + 1)


def month_days(year: int, month: int) -> int:
    """How many days a month has."""
    next_year, next_month = (year + 1, 1) if month == 12 else (year, month + 1)
    return days_of(next_year, next_month, 1) - days_of(year, month, 1)


def moment_of(ms: int) -> Moment:
    """A number of milliseconds as a moment."""
    days, rest = divmod(ms, DAY_MS)
    year, month, day = date_of(days)
    seconds, milli = divmod(rest, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    year_day = days - days_of(year, 1, 1) + 1
    return Moment(year, month, day, hour, minute, second, milli, (days + 3) % 7 + 1, year_day)


def iso_text(ms: int) -> str:
    """A number of milliseconds as `YYYY-MM-DDTHH:mm:ss.SSSZ`."""
    at = moment_of(ms)
    year = f"{at.year:04d}" if 0 <= at.year <= 9999 else f"{at.year:+07d}"
    return (
        f"{year}-{at.month:02d}-{at.day:02d}"
        f"T{at.hour:02d}:{at.minute:02d}:{at.second:02d}.{at.milli:03d}Z"
    )


def months_later(ms: int, months: int) -> int:
    """The same day and time some months later; the last day of a month that is shorter."""
    days, rest = divmod(ms, DAY_MS)
    year, month, day = date_of(days)
    year, month = year + (month - 1 + months) // 12, (month - 1 + months) % 12 + 1
    return days_of(year, month, min(day, month_days(year, month))) * DAY_MS + rest


# --- Reading --------------------------------------------------------------------------------------

_EXTENDED = re.compile(
    r"(?P<year>\d{4}|[+-]\d{6})(?:-(?:(?P<month>\d\d)(?:-(?P<day>\d\d))?"
    r"|W(?P<week>\d\d)(?:-(?P<wday>\d))?|(?P<yday>\d{3})))?\Z",
    re.ASCII,
)
_BASIC = re.compile(
    r"(?P<year>\d{4}|[+-]\d{6})(?:W(?P<week>\d\d)(?P<wday>\d)?|(?P<yday>\d{3})"
    r"|(?P<month>\d\d)(?P<day>\d\d)?)?\Z",
    re.ASCII,
)
_FRACTION = r"(?:[.,](?P<fraction>\d+))?"
_OFFSET = rf"(?P<offset>[{WHITE_SPACE}]*Z|[+-]\d\d(?::?\d\d)?)?\Z"
_EXTENDED_TIME = re.compile(
    rf"(?P<hour>\d\d)(?::(?P<minute>\d\d)(?::(?P<second>\d\d){_FRACTION})?)?{_OFFSET}", re.ASCII
)
_BASIC_TIME = re.compile(
    rf"(?P<hour>\d\d)(?:(?P<minute>\d\d)(?:(?P<second>\d\d){_FRACTION})?)?{_OFFSET}", re.ASCII
)
_FORMS = ((_EXTENDED, _EXTENDED_TIME), (_BASIC, _BASIC_TIME))
_TEXT_MAX = 200


def parse_iso(s: str, now_ms: int) -> int | None:
    """The milliseconds of an ISO 8601 date, or of a time of today; None for anything else."""
    s = s.lstrip(WHITE_SPACE)
    if not s or len(s) > _TEXT_MAX:
        return None
    found = None
    date, mark, time = s.partition("T")
    if not mark:
        date, mark, time = s.partition(" ")
        if time.strip(WHITE_SPACE) == "Z" or (mark and not time):
            date, mark, time = s, "", ""
    for date_form, time_form in _FORMS:
        found = _parsed(date_form.match(date), time_form.match(time) if mark else None, bool(mark))
        if found is not None:
            break
    if found is None:
        today = now_ms // DAY_MS
        for _, time_form in _FORMS:
            found = _with_time(today, time_form.match(s))
            if found is not None:
                break
    return found if found is not None and abs(found) <= TIME_MS_MAX else None


def _parsed(date: re.Match[str] | None, time: re.Match[str] | None, has_time: bool) -> int | None:
    if date is None:
        return None
    days = _days(date)
    if days is None:
        return None
    if not has_time:
        return days * DAY_MS
    # A time may only follow a date that names a day.
    if date["day"] is None and date["wday"] is None and date["yday"] is None:
        return None
    return _with_time(days, time)


def _days(date: re.Match[str]) -> int | None:
    year = int(date["year"])
    if date["week"] is not None:
        week, week_day = int(date["week"]), int(date["wday"] or 1)
        if not (1 <= week <= _weeks(year) and 1 <= week_day <= 7):
            return None
        return _first_monday(year) + (week - 1) * 7 + week_day - 1
    if date["yday"] is not None:
        year_day = int(date["yday"])
        first = days_of(year, 1, 1)
        return first + year_day - 1 if 1 <= year_day <= days_of(year + 1, 1, 1) - first else None
    month, day = int(date["month"] or 1), int(date["day"] or 1)
    if not (1 <= month <= 12 and 1 <= day <= month_days(year, month)):
        return None
    return days_of(year, month, day)


def _first_monday(year: int) -> int:
    """The Monday of ISO week 1: the week that 4 January is in."""
    fourth = days_of(year, 1, 4)
    return fourth - (fourth + 3) % 7


def _weeks(year: int) -> int:
    return (_first_monday(year + 1) - _first_monday(year)) // 7


def _with_time(days: int, time: re.Match[str] | None) -> int | None:
    if time is None:
        return None
    hour, minute, second = (int(time[part] or 0) for part in ("hour", "minute", "second"))
    milli = int(((time["fraction"] or "") + "000")[:3])
    is_end = hour == 24 and not (minute or second or milli)
    if (hour > 23 and not is_end) or minute > 59 or second > 59:
        return None
    offset = (time["offset"] or "Z").strip(WHITE_SPACE)
    shift = 0
    if offset != "Z":
        shift = int(offset[1:3]) * 60 + int(offset[3:].lstrip(":") or 0)
        shift = -shift if offset[0] == "-" else shift
    seconds = (hour * 60 + minute - shift) * 60 + second
    return days * DAY_MS + seconds * 1000 + milli


# --- strftime -------------------------------------------------------------------------------------

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_WHOLE = {
    "c": "%a %d %b %Y %X %Z",
    "D": "%m/%d/%y",
    "x": "%m/%d/%y",
    "F": "%Y-%m-%d",
    "r": "%I:%M:%S %p",
    "X": "%I:%M:%S %p",
    "R": "%H:%M",
    "T": "%H:%M:%S",
    "v": "%e-%b-%Y",
}
_DIRECTIVE = re.compile(r"%([-_0:]?)(.?)", re.DOTALL)


def strftime(ms: int, shape: str) -> str:
    """A moment by a template; directives that do not exist stay as they are."""
    at = moment_of(ms)

    def written(found: re.Match[str]) -> str:
        flag, letter = found.groups()
        if not letter:
            # A lone `%` at the end disappears, and so does one before a flag.
            return ""
        if flag == ":":
            return "+00:00" if letter == "z" else found[0]
        if letter in _WHOLE and not flag:
            return strftime(ms, _WHOLE[letter])
        number = _numbers(at).get(letter)
        if number is not None:
            value, fill = number
            fill = {"-": "", "_": " ", "0": "0"}.get(flag, fill)
            # The reference fills by value: -1 becomes "0-1".
            return f"{fill}{value}" if value < 10 else str(value)
        return _words(at, ms).get(letter, found[0])

    return _DIRECTIVE.sub(written, shape)


def _numbers(at: Moment) -> dict[str, tuple[int, str]]:
    """Fields of two digits and what fills them."""
    twelve = at.hour % 12 or 12
    return {
        "d": (at.day, "0"),
        "e": (at.day, " "),
        "H": (at.hour, "0"),
        "k": (at.hour, " "),
        "I": (twelve, "0"),
        "l": (twelve, " "),
        "m": (at.month, "0"),
        "M": (at.minute, "0"),
        "S": (at.second, "0"),
        # The remainder keeps the year's sign, as the reference's does.
        "y": (abs(at.year) % 100 * (1 if at.year >= 0 else -1), "0"),
        "C": (int(at.year / 100), "0"),
        "U": ((at.year_day + 6 - at.week_day % 7) // 7, "0"),
        "W": ((at.year_day + 7 - at.week_day) // 7, "0"),
    }


def _words(at: Moment, ms: int) -> dict[str, str]:
    day, month = _DAYS[at.week_day - 1], _MONTHS[at.month - 1]
    half = "AM" if at.hour < 12 else "PM"
    return {
        "a": day[:3],
        "A": day,
        "b": month[:3],
        "h": month[:3],
        "B": month,
        "j": f"{at.year_day:03d}",
        "L": f"{at.milli:03d}",
        "n": "\n",
        "t": "\t",
        "o": f"{at.day}{_ordinal(at.day)}",
        "p": half,
        "P": half.lower(),
        "s": str(ms // 1000),
        "u": str(at.week_day),
        "w": str(at.week_day % 7),
        "Y": str(at.year),
        "Z": "Coordinated Universal Time",
        "z": "+0000",
        "%": "%",
    }


def _ordinal(day: int) -> str:
    if 11 <= day % 100 <= 13:
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
