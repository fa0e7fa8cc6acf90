"""Which rules an event concerns, and in which order."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

P, Q, OTHER = ("e", "p"), ("e", "q"), ("f", "p")
RULESETS = [
    [("a1", (P,)), ("a2", (Q, P)), ("a3", ())],
    [],
    [("b1", (Q,)), ("b2", None), ("b3", (P, P))],
    [("c1", (OTHER,))],
]
ROWS = [
    (P, ((0, ("a1", "a2")), (2, ("b2", "b3")))),
    (Q, ((0, ("a2",)), (2, ("b1", "b2")))),
    (OTHER, ((2, ("b2",)), (3, ("c1",)))),
    (("f", "q"), ((2, ("b2",)),)),
    (("g", "p"), ((2, ("b2",)),)),
]


@pytest.mark.parametrize(("pair", "expected"), ROWS)
def test_lookup(salience: ModuleType, pair: tuple[str, str], expected: Any) -> None:
    assert salience.Salience(RULESETS).lookup(*pair) == expected


def test_lookup_miss(salience: ModuleType) -> None:
    graph = salience.Salience(RULESETS[:1])
    assert graph.lookup("e", "z") == ()
    assert graph.lookup("z", "p") == ()
    assert salience.Salience([]).lookup("e", "p") == ()


def test_rules_are_opaque(salience: ModuleType) -> None:
    rule: list[int] = []  # not hashable, equal to others
    graph = salience.Salience([[(rule, (P,)), ([], (P,))]])
    ((slot, rules),) = graph.lookup("e", "p")
    assert slot == 0
    assert len(rules) == 2
    assert rules[0] is rule


words = st.sampled_from(["a", "b", "c"])
pairs = st.none() | st.lists(st.tuples(words, words), max_size=3).map(tuple)


@settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.lists(pairs, max_size=4), max_size=4), words, words)
def test_lookup_is_a_scan(
    salience: ModuleType, listened: list[list[Any]], domain: str, name: str
) -> None:
    rulesets = [[((slot, at), p) for at, p in enumerate(own)] for slot, own in enumerate(listened)]
    expected = []
    for slot, rules in enumerate(rulesets):
        found = tuple(rule for rule, p in rules if p is None or (domain, name) in p)
        if found:
            expected.append((slot, found))
    assert salience.Salience(rulesets).lookup(domain, name) == tuple(expected)
