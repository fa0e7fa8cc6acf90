"""Cron specifications: the moments that a `schedule … repeat` names.

In: a text: five fields (minute, hour, day of month, month, day of week), six with seconds first, or
a word such as @daily; then, if wanted, `TZ=Area/City` (else UTC) and `CATCHUP=once|skip|all` (else
once). Out: a `Cron` that knows the next moment after any other.

Invariants: what cannot be read is refused with the name of its field; the next moment is later than
the one asked about, also where a zone's clocks are put back. Where they are put forward, a fixed
time of day that does not exist comes at the first moment after the gap; one that exists twice comes
once, the first time. Fields that begin with `*` follow the time that passes instead, through both.
The fields are cronsim's business; zones come from the system, else from tzdata. Not here: firing.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from runtime.errors import Fault
from runtime.kinds import Value, kind
from runtime.limits import cron_characters_max, cron_specs_cached_max

WORDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@hourly": "0 * * * *",
}
CATCH_UPS = ("once", "skip", "all")
_FIELDS = ("second", "minute", "hour", "day-of-month", "month", "day-of-week")
_EXAMPLE = 'write for example "0 7 * * 1-5 TZ=America/Denver CATCHUP=skip"'
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class Cron(NamedTuple):
    """One specification, read.

    `fields` are the five from the minute on; `catch_up` says what becomes of missed moments.
    """

    fields: str
    seconds: frozenset[int]
    zone: tzinfo
    catch_up: str

    def after(self, ms: int) -> int | None:
        """The first moment later than `ms`; None when the next fifty years have none.

        Cost: microseconds for common specifications, some 20 ms for a 29 February on a Monday.
        """
        try:
            moments = CronSim(self.fields, datetime.fromtimestamp(ms // 1000, self.zone))
            # Given six fields, cronsim would let fixed times of day be lost in a gap, or come twice
            # where clocks are put back; so it gets five, and the seconds by themselves.
            moments.seconds = set(self.seconds)
            for moment in moments:
                found = round(moment.timestamp()) * 1000
                if found > ms:
                    return found
        except (OverflowError, ValueError, OSError):
            # Beyond the year 9999 there is no calendar to ask.
            return None
        return None


def read_cron(spec: Value) -> Cron:
    """Read a specification.

    Raises: R2001 when it is no text, or has a field, zone or word that cannot be read.
    Cost: a look-up for the ones read lately.
    """
    if type(spec) is not str:
        raise _refused(f"expected a timespec but got {kind(spec)}")
    if len(spec) > cron_characters_max:
        raise _refused(f"got a timespec of more than {cron_characters_max} characters")
    return _read(spec)


@lru_cache(maxsize=cron_specs_cached_max)
def _read(spec: str) -> Cron:
    words = spec.split()
    options: dict[str, str] = {}
    while words and "=" in words[-1]:
        name, _, value = words.pop().partition("=")
        if name in options:
            raise _refused(f"got {name}= twice in {spec!r}")
        options[name] = value
    if len(words) == 1 and words[0].startswith("@"):
        if words[0] not in WORDS:
            raise _refused(f"does not know the word {words[0]}, only {', '.join(WORDS)}")
        words = WORDS[words[0]].split()
    if len(words) not in (5, 6):
        raise _refused(f"expected a timespec of 5 or 6 fields but {spec!r} has {len(words)}")
    if len(words) == 5:
        words.insert(0, "0")
    try:
        seconds = CronSim(" ".join(words), _LONG_AGO).seconds
    except (CronSimError, AssertionError, ValueError) as error:
        raise _bad_field(spec, words, str(error)) from None
    zone = _zone(options.pop("TZ", "UTC"))
    catch_up = options.pop("CATCHUP", "once")
    if catch_up not in CATCH_UPS:
        raise _refused(f"expected CATCHUP={'|'.join(CATCH_UPS)} but got CATCHUP={catch_up}")
    if options:
        raise _refused(f"does not know {min(options)}=, only TZ= and CATCHUP=")
    return Cron(" ".join(words[1:]), frozenset(seconds), zone, catch_up)


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise _refused(f"does not know the zone {name!r}") from None


def _bad_field(spec: str, words: list[str], said: str) -> Fault:
    """The fault that names the field; cronsim tells it as `Bad hour`."""
    field = said.removeprefix("Bad ")
    if field in _FIELDS:
        word = words[_FIELDS.index(field)]
        return _refused(f"cannot read the {field} field {word!r} of {spec!r}")
    return _refused(f"cannot read {spec!r}")


def _refused(what: str) -> Fault:
    return Fault("R2001", f"schedule .. repeat {what}", _EXAMPLE)
