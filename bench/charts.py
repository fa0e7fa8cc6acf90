"""The charts of a result: cost of each case, and cost against size.

In: a result. Out: SVG files: `cost.svg`, and `size-….svg` for each axis along which at least two
sizes were measured. Not here: how a chart is drawn (chart.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench import chart
from bench.cases import CASES, Size
from bench.report import Result
from bench.run import Row

# What an axis is called, and what is done at each of its points.
AXES = {
    "rules": ("rules", "W3: one of so many rules fires"),
    "picos": ("picos", "W2: events spread over so many picos, 64 in flight"),
    "entries": ("entries", "one entry of a stored map of so many is changed, 64 in flight"),
    "in flight": ("events in flight", "W2: one pico, so many events under way"),
}
SIZES: dict[str, Size] = {case.name: case.size for case in CASES if case.size is not None}


def charts(result: Result) -> dict[str, str]:
    """File names and their SVG."""
    known = result.facts
    note = f"CPU µs per operation, median; {known['date']}, {known['cores']} cores; fsync"
    rows = [row for row in result.rows if row.storage in ("fsync", "none")]
    found = {}
    if rows:
        found["cost.svg"] = chart.bars("What one operation costs", note, [_group(r) for r in rows])
    for axis, (across, what) in AXES.items():
        series = _series(rows, axis)
        if any(len(each.points) > 1 for each in series):
            title = f"Cost against {across}"
            text = chart.lines(title, f"{what}; {note}", across, series)
            found[f"size-{axis.replace(' ', '-')}.svg"] = text
    stored = _stored(result.stored)
    if any(len(each.points) > 1 for each in stored):
        note = f"milliseconds to open a data folder; {known['date']}"
        found["size-start.svg"] = chart.lines("Start against stored picos", note, "picos", stored)
    return found


def write(result: Result, folder: Path) -> list[str]:
    """Write the charts into a folder; their names.

    Raises: OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = charts(result)
    for name, text in found.items():
        (folder / name).write_text(text, encoding="utf-8")
    return list(found)


def _sides(row: Row) -> dict[str, float]:
    """Cost of each side of a row, ours first; of limit rows the plain one."""
    sides = {"ours": row.ours, **row.peers}
    if "limit" in row.limits:
        sides = {"ours": row.ours, "limit": row.limits["limit"], **row.peers}
    return {name: figures.cpu_us["median"] for name, figures in sides.items()}


def _group(row: Row) -> chart.Group:
    return chart.Group(f"{row.workload} {row.variant}", list(_sides(row).items()))


def _series(rows: list[Row], axis: str) -> list[chart.Series]:
    points: dict[str, list[tuple[float, float]]] = {"ours": []}
    for row in rows:
        size = SIZES.get(f"{row.workload}/{row.variant}")
        if size is not None and size.axis == axis:
            for name, value in _sides(row).items():
                points.setdefault(name, []).append((size.value, value))
    return [chart.Series(name, sorted(found)) for name, found in points.items()]


def _stored(rows: list[dict[str, Any]]) -> list[chart.Series]:
    points: dict[str, list[tuple[float, float]]] = {"ours": [], "the store alone": []}
    for row in rows:
        points["ours"].append((row["picos"], row["open_ms"]))
        points["the store alone"].append((row["picos"], row["store_ms"]))
        for name, figures in row.get("peers", {}).items():
            if "open_ms" in figures:
                points.setdefault(name, []).append((row["picos"], figures["open_ms"]))
    return [chart.Series(name, sorted(found)) for name, found in points.items()]
