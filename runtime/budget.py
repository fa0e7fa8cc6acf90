"""How long a rule, a turn or a query may run, how much memory it may take, and when it makes way.

In: a turn that has used up an allowance of counted work (`ext.work`). Out: nothing while it has
time; a pause when others should run; a fault when its budget is gone. Invariants: only time and
memory of the turn's own running count, not that of others while it waits or makes way; what a turn
sees never depends on this, but for the fault. Not here: the counting (generated code and operators
do it), the pausing (waiting.py).

A turn whose work stays within one allowance never comes here, and pays for the counts only.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ext import allow, begin, current
from runtime import pattern_helper
from runtime.errors import Fault
from runtime.limits import (
    rule_memory_bytes_max,
    rule_time_ms,
    turn_time_ms,
    turn_yield_ms,
    work_between_looks,
)

if TYPE_CHECKING:
    from runtime.turn import Turn

_MS = 1_000_000
allow(work_between_looks)


class Meter:
    """What one turn has used.

    Units: nanoseconds of running, bytes of the process. `since_ns` and `resident` are what the
    clock showed when this stretch of running began, -1 when nobody looked; `checked_ns` is what
    `turn_ns` was at the last check; `rule_from_ns` and `rule_grown` belong to the rule that runs.
    """

    __slots__ = (
        "checked_ns",
        "is_over",
        "resident",
        "rule_from_ns",
        "rule_grown",
        "since_ns",
        "turn_ns",
    )

    def __init__(self, now_ns: int) -> None:
        self.turn_ns = 0
        self.checked_ns = 0
        self.since_ns = now_ns
        self.rule_from_ns = 0
        self.rule_grown = 0
        self.resident = -1
        self.is_over = False


def enter(turn: Turn | None) -> None:
    """Count for this turn from now on: it begins, or goes on; None when nobody runs."""
    if turn is not None and turn.meter is not None:
        clock, meter = turn.world.clock, turn.meter
        meter.since_ns = clock.running_ns(0)
        if meter.resident >= 0:
            meter.resident = clock.resident_bytes()
    begin(turn)


def leave() -> Turn | None:
    """Stop the clock of the turn that runs, which is about to wait; return it for `enter`."""
    turn: Turn | None = current()
    if turn is not None and turn.meter is not None:
        turn.meter.turn_ns += turn.world.clock.running_ns(0) - turn.meter.since_ns
    begin(None)
    return turn


def look(turn: Turn, times: int) -> None:
    """See whether a turn that has used up its allowance, so many times over, may go on.

    Raises: R4024 when the rule or the turn has no time left, R4025 when the rule took too much
    memory.
    Cost:   a look at the clock of the thread; a pause every `turn_yield_ms`.
    """
    now_ns = turn.world.clock.running_ns(times)
    meter = turn.meter
    if meter is None:
        meter = turn.meter = Meter(now_ns)
    total_ns = meter.turn_ns + now_ns - meter.since_ns
    if not turn.is_rule_metered:
        turn.is_rule_metered = True
        meter.rule_from_ns = total_ns
        meter.rule_grown = 0
    if meter.is_over:
        raise _turn_fault()
    if total_ns - meter.checked_ns < turn_yield_ms * _MS:
        return
    meter.checked_ns = total_ns
    if total_ns > turn_time_ms * _MS:
        meter.is_over = True
        raise _turn_fault()
    if total_ns - meter.rule_from_ns > rule_time_ms * _MS:
        what = "the rule" if turn.asked is None else "the query"
        raise Fault("R4024", f"{what} ran for more than {rule_time_ms} ms")
    _look_at_memory(turn, meter)
    turn.pause()


def aside(job: Callable[[], tuple[Any, int]]) -> Any:
    """Have a blocking job of the turn that runs done elsewhere, while others go on.

    Shapes: the job gives what this returns, and how many nanoseconds it took, which count as
    running time of the turn. Without a turn it is done here.
    Raises: what the job raises; R4024; R4021 and R4022, as all that waits.
    """
    turn: Turn | None = current()
    if turn is None:
        return job()[0]
    found = turn.wait(partial(turn.world.clock.run_aside, job), "a regular expression")
    if isinstance(found, Exception):
        raise found
    value, took_ns = found
    # The first look begins the rule's time, the second one counts what the job took.
    look(turn, 0)
    assert turn.meter is not None
    turn.meter.turn_ns += took_ns
    look(turn, 0)
    return value


def _turn_fault() -> Fault:
    return Fault("R4024", f"the turn's rules ran for more than {turn_time_ms} ms together")


def _look_at_memory(turn: Turn, meter: Meter) -> None:
    """Add what the process has grown by since the last look, if this turn alone ran meanwhile."""
    resident = turn.world.clock.resident_bytes()
    if meter.resident >= 0:
        meter.rule_grown += resident - meter.resident
        if meter.rule_grown > rule_memory_bytes_max:
            what = "the rule" if turn.asked is None else "the query"
            raise Fault("R4025", f"{what} took more than {rule_memory_bytes_max} bytes of memory")
    meter.resident = resident


# Patterns know nothing of turns.
pattern_helper.outside = aside
