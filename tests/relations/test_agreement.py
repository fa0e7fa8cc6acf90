"""Many picos with relationships on two engines, while everything goes wrong, by seed.

Whatever is lost, doubled, delayed, cut, stopped or killed: in the end both sides agree. Mistakes
planted in the ruleset are found. `python -m tests.relations --seconds 600` tries many more seeds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.relations.agreement import Report, simulate
from tests.relations.planted import FOUND_AT, MISTAKES, with_mistake

# How many seeds a mistake may stay unnoticed.
SEEDS_MAX = 60


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Events that do not arrive are business as usual here."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_both_sides_agree_in_the_end() -> None:
    reports = [simulate(seed) for seed in range(1, 9)]
    totals = Report(*(sum(column) for column in zip(*reports, strict=True)))
    # All of it happened: else agreement would say little.
    assert all(total > 0 for total in totals), totals


def test_seed_takes_the_same_steps_again() -> None:
    assert simulate(5) == simulate(5)


def failure_of(seed: int, text: str) -> AssertionError | None:
    """How a seed fails, None when it does not."""
    try:
        simulate(seed, text)
    except AssertionError as failure:
        return failure
    return None


@pytest.mark.parametrize("name", MISTAKES)
def test_planted_mistake_is_found(name: str) -> None:
    text = with_mistake(name)
    seeds = [FOUND_AT.get(name, 1), *range(1, SEEDS_MAX + 1)]
    failure = next(filter(None, (failure_of(seed, text) for seed in seeds)), None)
    assert failure is not None, f"{SEEDS_MAX} seeds do not notice {name}"
    # One that breaks the engine or the ruleset at once would prove nothing.
    assert isinstance(failure.__cause__, AssertionError), failure
