"""What the engine says about itself: a closed list of happenings, handed to Python's logging.

In: calls from the core, one function a happening. Out: records of the logger `pico`, each with its
`happening`, `fields` for programs, and `values` that are users' own. Invariants: a text shows no
whole ECI, and no value but what a ruleset logs itself (logs.py shortens the ECIs in that, unless
asked not to); nothing here is needed for correctness.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from runtime.border import encode
from runtime.errors import CODES, Fault, shown_eci, without_ecis
from runtime.limits import history_said_characters_max, log_faults_told_max

if TYPE_CHECKING:
    from runtime.context import Context

logger = logging.getLogger("pico")
KLOG = 25
LEVELS = {
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "klog": KLOG,
    "debug": logging.DEBUG,
}
logging.addLevelName(KLOG, "KLOG")


def logged(cx: Context, level: str, message: str, value: Any) -> None:
    """A ruleset logged a value; the history keeps it beside what the rule did."""
    turn, number = cx.turn, LEVELS[level]
    is_kept = turn is not None and turn.event is not None
    if not is_kept and not logger.isEnabledFor(number):
        return
    said = encode(value) if not message else f"{message} {encode(value)}"
    turn_id = "" if turn is None else turn.id
    if turn is not None and is_kept:
        turn.notes.append((level, cx.host.rid, said[:history_said_characters_max]))
    _say(
        number,
        "logged",
        "%s %s %s %s",
        *(cx.pico.id, turn_id, cx.host.rid, said),
        values={"said": said},
        pico=cx.pico.id,
        eid=turn_id,
        rid=cx.host.rid,
    )


def undelivered(
    sender_id: str, eci: str, domain: str, name: str, fault: Fault, attrs: dict[str, Any]
) -> None:
    """An event between picos was refused."""
    _say(
        logging.WARNING,
        "undelivered",
        "%s: %s:%s to %s was not delivered: %s %s",
        *(sender_id, domain, name, shown_eci(eci), fault.code, CODES[fault.code].title),
        values={"attrs": attrs},
        pico=sender_id,
        eci=shown_eci(eci),
        domain=domain,
        name=name,
        code=fault.code,
    )


def faulted(pico_id: str, faults: tuple[Fault, ...]) -> None:
    """Rules of a turn failed. The first of a kind is told; later ones are for who wants all."""
    for fault in faults:
        kind = (fault.rid, fault.rule_name, fault.line, fault.code)
        level = logging.DEBUG
        if kind not in _faults_told and len(_faults_told) < log_faults_told_max:
            _faults_told.add(kind)
            level = logging.WARNING
        if logger.isEnabledFor(level):
            place = f"{fault.rid or '?'}:{fault.line or '?'}"
            rule = fault.rule_name or "?"
            _say(
                level,
                "faulted",
                "%s: rule %s (%s) failed: %s %s",
                *(pico_id, rule, place, fault.code, without_ecis(fault.message)),
                pico=pico_id,
                rid=fault.rid,
                rule=rule,
                line=fault.line,
                code=fault.code,
            )


# The kinds of faults that were told: ruleset, rule, line, code.
_faults_told: set[tuple[Any, ...]] = set()


def errand_failed(method: str, url: str, fault: Fault) -> None:
    """A request with `autosend` came to no event; the URL is without its query."""
    _say(
        logging.WARNING,
        "errand failed",
        "http autosend error: %s %s: %s %s",
        *(method, url, fault.code, CODES[fault.code].title),
        method=method,
        url=url,
        code=fault.code,
    )


def unadopted(fault: Fault) -> None:
    """The root pico could not be given the system rulesets, or be told of a start."""
    said = without_ecis(fault.message)
    text = "the system rulesets are not at work: %s %s"
    _say(logging.ERROR, "unadopted", text, fault.code, said, code=fault.code)


def dropped(pico_id: str, fault: Fault) -> None:
    """An accepted event cannot be run by this pico at all."""
    said = without_ecis(fault.message)
    text = "%s: an accepted event cannot run: %s %s"
    _say(logging.ERROR, "dropped", text, pico_id, fault.code, said, pico=pico_id, code=fault.code)


def bug(pico_id: str, error: BaseException) -> None:
    """A failure of our own inside a turn."""
    extra = {"happening": "bug", "fields": {"pico": pico_id}}
    logger.error("%s: internal failure", pico_id, exc_info=error, extra=extra)


def installed(rid: str, url: str, version: str) -> None:
    """Somebody with the admin token (or a program around the engine) installed a ruleset."""
    text = "ruleset %s was installed from %s (%s)"
    _say(logging.INFO, "installed", text, rid, url, version[:16], rid=rid, url=url, hash=version)


def imported(pico_id: str, picos: int, archive: str) -> None:
    """Picos of an archive came to life."""
    _say(
        logging.INFO,
        "imported",
        "pico %s was imported, %s in all, from archive %s",
        *(pico_id, picos, archive[:16]),
        pico=pico_id,
        picos=picos,
        archive=archive,
    )


def started(version: str, url: str, home: str, durability: str) -> None:
    """The engine listens."""
    _say(
        logging.INFO,
        "started",
        "pico %s listens at %s, data folder %s (durability: %s)",
        *(version, url, home, durability),
        version=version,
        url=url,
        home=home,
        durability=durability,
    )


def ended() -> None:
    """The engine was told to stop, and has closed its store."""
    _say(logging.INFO, "ended", "the engine has stopped; everything is written")


def stopped(fault: Fault) -> None:
    """The engine stopped because the disk no longer follows."""
    text = "the engine has stopped accepting: %s %s"
    _say(logging.CRITICAL, "stopped", text, fault.code, fault.message, code=fault.code)


def _say(
    level: int,
    happening: str,
    text: str,
    *args: object,
    values: dict[str, Any] | None = None,
    **fields: Any,
) -> None:
    """Hand over one happening: as a text, and with its fields for programs.

    `values` are of users, and shown whole only where that is wanted (logs.py).
    """
    extra = {"happening": happening, "fields": fields, "values": values or {}}
    logger.log(level, text, *args, extra=extra)
