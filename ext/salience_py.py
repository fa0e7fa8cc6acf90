"""The salience graph, pure twin of `salience.pyx`: (domain, name) -> rules to try, in order.

In: for each installed ruleset, in dispatch order, its rules in source order with what they listen
to. Out: look-ups. Invariants: immutable, shared by all picos with the same set of rulesets; rules
that listen to every event stand among the others in source order. Rules are opaque here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

Rule = TypeVar("Rule")
Pairs = Iterable[tuple[str, str]]


def build_index(
    rulesets: Iterable[Iterable[tuple[Rule, Pairs | None]]],
) -> tuple[
    dict[str, dict[str, tuple[tuple[int, tuple[Rule, ...]], ...]]],
    tuple[tuple[int, tuple[Rule, ...]], ...],
]:
    """Return (domain -> name -> candidates, the candidates of every other event)."""
    listed: list[list[tuple[Rule, frozenset[tuple[str, str]] | None]]] = [
        [(rule, None if pairs is None else frozenset(pairs)) for rule, pairs in rules]
        for rules in rulesets
    ]
    # Which rulesets name a pair, so that building costs what is named and not pairs × rules.
    naming: dict[tuple[str, str], dict[int, list[int]]] = {}
    everywhere: dict[int, list[int]] = {}
    for slot, rules in enumerate(listed):
        for at, (_, pairs) in enumerate(rules):
            if pairs is None:
                everywhere.setdefault(slot, []).append(at)
                continue
            for pair in pairs:
                naming.setdefault(pair, {}).setdefault(slot, []).append(at)

    def candidates(named: dict[int, list[int]]) -> tuple[tuple[int, tuple[Rule, ...]], ...]:
        found = []
        for slot in sorted(named.keys() | everywhere.keys()):
            order = sorted(named.get(slot, []) + everywhere.get(slot, []))
            found.append((slot, tuple(listed[slot][at][0] for at in order)))
        return tuple(found)

    index: dict[str, dict[str, tuple[tuple[int, tuple[Rule, ...]], ...]]] = {}
    for (domain, name), named in naming.items():
        index.setdefault(domain, {})[name] = candidates(named)
    return index, candidates({})


class Salience(Generic[Rule]):
    """Which rules an event concerns, for one set of installed rulesets."""

    __slots__ = ("_index", "_others")

    def __init__(self, rulesets: Sequence[Sequence[tuple[Rule, Pairs | None]]]) -> None:
        """Index rulesets, given in dispatch order; pairs None is every event."""
        self._index, self._others = build_index(rulesets)

    def lookup(self, domain: str, name: str) -> tuple[tuple[int, tuple[Rule, ...]], ...]:
        """Return (ruleset's place, its salient rules in source order) for each concerned ruleset.

        Cost: two look-ups, no allocation.
        """
        names = self._index.get(domain)
        if names is None:
            return self._others
        return names.get(name, self._others)
