"""What picos feel of others: small runs, and a neighbour that ends as it must not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import beside
from bench.measure import WrongAnswer


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(beside, "WAIT_SECONDS", 0.05)
    monkeypatch.setattr(beside, "WAITING", 5)
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_each_neighbour_has_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {"range": "R4004", "recurse": "R4010"}
    monkeypatch.setattr(beside, "HOSTILE", wanted)
    rows = asyncio.run(beside.measure(3, 0.1, tmp_path))
    assert [list(row["ended"]) for row in rows] == [["[200]"], ["R4004"], ["R4010"]]
    for row in rows:
        assert 0 < row["with"]["p50_us"] <= row["with"]["p99_us"] <= row["with"]["max_us"]
    shown = beside.table(rows).splitlines()
    assert len(shown) == 5
    assert {line.count("|") for line in shown} == {11}


def test_a_neighbour_that_ends_otherwise_is_a_wrong_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "HOSTILE", {"range": "R4010"})
    with pytest.raises(WrongAnswer, match="should with R4010"):
        asyncio.run(beside.measure(3, 0.1, tmp_path))
