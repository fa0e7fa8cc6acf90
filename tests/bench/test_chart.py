"""Charts are well-formed, the same for the same numbers, and show what was measured."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from bench import chart, charts, report
from bench.chart import Group, Series
from bench.run import Figures, Row

SVG = "{http://www.w3.org/2000/svg}"


def figures(cpu_us: float) -> Figures:
    spread = {"median": cpu_us, "min": cpu_us, "max": cpu_us}
    return Figures(spread, spread, 1.0, 2.0)


def row(workload: str, variant: str, ours: float, limit: float, peer: float | None = None) -> Row:
    peers = {} if peer is None else {"pico-engine-core 1.3.0": figures(peer)}
    return Row(
        *(workload, variant, "fsync", 100, 3, "events", 1),
        figures(ours),
        {"limit": figures(limit)},
        peers,
    )


RESULT = report.Result(
    {**report.facts(), "date": "2026-11-22"},
    [
        row("W3", "10-rules/64-in-flight", 20.0, 8.0, 90.0),
        row("W3", "1000-rules/64-in-flight", 22.0, 8.0, 110.0),
        row("W2", "sequential", 300.0, 200.0),
    ],
    [
        {"picos": 1000, "open_ms": 80.0, "store_ms": 70.0},
        {
            "picos": 10_000,
            "open_ms": 81.0,
            "store_ms": 70.0,
            "peers": {"pico-engine-core 1.3.0": {"open_ms": 9000.0}},
        },
    ],
)


def test_a_result_has_its_charts() -> None:
    found = charts.charts(RESULT)
    # There is one point only along the axis "in flight", and no chart of it.
    assert list(found) == ["cost.svg", "size-rules.svg", "size-start.svg"]
    for text in found.values():
        assert ElementTree.fromstring(text).tag == f"{SVG}svg"
        assert "script" not in text
        assert "href" not in text
    assert charts.charts(RESULT) == found


def test_lines_rise_with_cost_and_end_in_their_names() -> None:
    text = chart.lines(
        "Cost <of> it",
        "note",
        "rules",
        [Series("ours", [(10, 20.0), (1000, 22.0)]), Series("theirs", [(10, 90.0), (1000, 990.0)])],
    )
    root = ElementTree.fromstring(text)
    ours, theirs = (
        [tuple(map(float, place.split(","))) for place in line.attrib["points"].split()]
        for line in root.iter(f"{SVG}polyline")
    )
    assert ours[0][0] < ours[1][0]
    assert ours[0][1] > ours[1][1] > theirs[0][1] > theirs[1][1]
    said = [element.text for element in root.iter(f"{SVG}text")]
    assert "Cost <of> it" in said
    assert "ours, 22" in said
    assert "theirs, 990" in said


def test_names_of_lines_that_end_together_stand_apart() -> None:
    series = [Series(name, [(1, 10.0), (2, 10.0)]) for name in "abc"]
    root = ElementTree.fromstring(chart.lines("t", "n", "x", series))
    at = [
        float(element.attrib["y"])
        for element in root.iter(f"{SVG}text")
        if (element.text or "").endswith(", 10")
    ]
    assert len(at) == 3
    assert min(b - a for a, b in zip(sorted(at), sorted(at)[1:], strict=False)) >= 14


def test_bars_are_as_long_as_their_logarithm() -> None:
    text = chart.bars("t", "n", [Group("case", [("ours", 10.0), ("theirs", 1000.0)])])
    bars = [
        float(element.attrib["width"])
        for element in ElementTree.fromstring(text).iter(f"{SVG}rect")
        if element.find(f"{SVG}title") is not None
    ]
    assert bars[1] > bars[0]


@pytest.mark.parametrize(
    "draw",
    [partial(chart.lines, "empty", "", ""), partial(chart.bars, "empty", "")],
    ids=["lines", "bars"],
)
def test_nothing_to_show_is_said(draw: Callable[[list[Any]], str]) -> None:
    with pytest.raises(ValueError, match="nothing to show in 'empty'"):
        draw([])


def test_other_storages_are_not_shown() -> None:
    rows = [msgspec.structs.replace(each, storage="memory") for each in RESULT.rows]
    assert charts.charts(msgspec.structs.replace(RESULT, rows=rows, stored=[])) == {}


@pytest.mark.parametrize(
    ("value", "said"), [(0.25, "0.25"), (999, "999"), (1500, "1.5k"), (2e6, "2M")]
)
def test_numbers_are_short(value: float, said: str) -> None:
    assert chart.short(value) == said
