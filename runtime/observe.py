"""What the engine says about itself: a closed list of happenings, handed to Python's logging.

In: calls from the core, one function a happening. Out: records of the logger `pico`. Invariants: an
ECI is never shown whole, attribute values never at all unless a ruleset logs them itself; nothing
here is needed for correctness.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from runtime.border import encode
from runtime.errors import CODES, Fault, shown_eci

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
    """A ruleset logged a value."""
    number = LEVELS[level]
    if not logger.isEnabledFor(number):
        return
    turn_id = "" if cx.turn is None else cx.turn.id
    said = f"{message} " if message else ""
    logger.log(number, "%s %s %s %s%s", cx.pico.id, turn_id, cx.host.rid, said, encode(value))


def undelivered(sender_id: str, eci: str, domain: str, name: str, fault: Fault) -> None:
    """An event between picos was refused."""
    logger.warning(
        "%s: %s:%s to %s was not delivered: %s %s",
        sender_id,
        domain,
        name,
        shown_eci(eci),
        fault.code,
        CODES[fault.code].title,
    )


def dropped(pico_id: str, fault: Fault) -> None:
    """An accepted event cannot be run by this pico at all."""
    logger.error("%s: an accepted event cannot run: %s %s", pico_id, fault.code, fault.message)


def bug(pico_id: str, error: BaseException) -> None:
    """A failure of our own inside a turn."""
    logger.error("%s: internal failure", pico_id, exc_info=error)


def stopped(fault: Fault) -> None:
    """The engine stopped because the disk no longer follows."""
    logger.critical("the engine has stopped accepting: %s %s", fault.code, fault.message)
