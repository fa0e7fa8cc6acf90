"""What functions do to the world: pure, reads, waits or acts.

In: notes made while `lower.py` walks (what each unit does itself, and which units it calls).
Out: the effect of every unit after following calls to the end. Invariant: an effect only grows.
"""

from collections.abc import Iterator
from contextlib import contextmanager

ORDER = ("pure", "reads", "waits", "acts")


class Effects:
    """Collects what each unit does and calls, then solves."""

    def __init__(self) -> None:
        self._own: dict[str, int] = {}
        self._calls: dict[str, set[str]] = {}
        self._unit = ""

    @contextmanager
    def inside(self, unit: str) -> Iterator[None]:
        """Attribute what is noted in this block to the unit."""
        outer, self._unit = self._unit, unit
        self._own.setdefault(unit, 0)
        self._calls.setdefault(unit, set())
        yield
        self._unit = outer

    def note(self, effect: str) -> None:
        """The unit itself has this effect."""
        self._own[self._unit] = max(self._own.get(self._unit, 0), ORDER.index(effect))

    def calls(self, unit: str) -> None:
        """The unit calls, or hands on, another one."""
        self._calls.setdefault(self._unit, set()).add(unit)

    def solve(self) -> dict[str, str]:
        """The effect of each unit.

        Cost: O(units + calls): a unit is looked at again only when its effect has grown.
        """
        level = dict(self._own)
        callers: dict[str, list[str]] = {}
        for unit, callees in self._calls.items():
            for callee in callees:
                callers.setdefault(callee, []).append(unit)
        pending = [unit for unit, own in level.items() if own]
        while pending:
            unit = pending.pop()
            for caller in callers.get(unit, ()):
                if level.get(caller, 0) < level[unit]:
                    level[caller] = level[unit]
                    pending.append(caller)
        return {unit: ORDER[value] for unit, value in level.items()}
