"""Results as people and programs read them: a Markdown table, a JSON file, two files compared.

In: rows and facts about the machine. Out: text. Invariant: a figure never stands without its spread
and what the machine was doing; ratios to the limit row, not rates, are what is compared over time.
"""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from bench.run import Figures, Row

HEADINGS = (
    "workload",
    "variant",
    "storage",
    "ops/s median [min..max]",
    "CPU µs/op median [min]",
    "p50 µs",
    "p99 µs",
    "of the limit, CPU [min..max]",
    "wall",
    "RSS MB",
)
# A share that moved by more than this, beyond both spreads, is called out by `compare`.
WORTH_SAYING = 0.1


class Result(msgspec.Struct, frozen=True):
    """One run of the benchmark."""

    facts: dict[str, Any]
    rows: list[Row]
    stored: list[dict[str, Any]] = []


def facts() -> dict[str, Any]:
    """Date, versions and machine of this run.

    Shapes: `load` is the load average over one minute; other work on the machine shows in it.
    """
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "python": platform.python_version(),
        "rocksdict": version("rocksdict"),
        "uvloop": version("uvloop"),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load": [round(os.getloadavg()[0], 1)],
        "pure_python_core": os.environ.get("KRL_PURE") == "1",
    }


def number(value: float) -> str:
    """A figure with three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _range(spread: dict[str, float]) -> str:
    low, high = number(spread["min"]), number(spread["max"])
    return f"{number(spread['median'])} [{low}..{high}]"


def _line(row: Row, name: str, figures: Figures) -> list[str]:
    share, wall = figures.share_cpu, figures.share_wall
    return [
        row.workload if name == "ours" else "",
        row.variant if name == "ours" else f"*{name}*",
        row.storage if name == "ours" else "",
        _range(figures.per_second),
        f"{number(figures.cpu_us['median'])} [{number(figures.cpu_us['min'])}]",
        number(figures.p50_us),
        number(figures.p99_us),
        ""
        if share is None
        else f"**{share['median']:.2f}** [{share['min']:.2f}..{share['max']:.2f}]",
        "" if wall is None else f"{wall['median']:.2f}",
        "" if figures.rss_mb is None else number(figures.rss_mb),
    ]


def table(headings: tuple[str, ...], lines: list[list[str]]) -> str:
    """A Markdown table."""
    rows = [list(headings), ["---"] * len(headings), *lines]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


def _load(result: Result) -> str:
    return " to ".join(str(value) for value in result.facts["load"])


def markdown(result: Result) -> str:
    """All of a result as Markdown."""
    known = result.facts
    parts = [
        f"{known['date']}, Python {known['python']}, rocksdict {known['rocksdict']}, uvloop "
        f"{known['uvloop']}, {known['cores']} cores, load average {_load(result)}."
    ]
    if result.rows:
        lines = []
        for row in result.rows:
            lines.append(_line(row, "ours", row.ours))
            lines += [_line(row, name, figures) for name, figures in row.limits.items()]
        parts.append(table(HEADINGS, lines))
        parts.append(
            "The row below ours is the limit row: same input, output and durability, no rules; "
            "its share is its cost over ours, taken between neighbouring samples (1.00: as fast "
            "as the limit). An operation of "
            + "; ".join(
                dict.fromkeys(
                    f"{row.workload} {row.variant} is {row.units} {row.unit}"
                    for row in result.rows
                    if row.units > 1
                )
            )
            + "."
            if any(row.units > 1 for row in result.rows)
            else ""
        )
    if result.stored:
        parts.append(stored_table(result.stored))
    return "\n\n".join(part for part in parts if part) + "\n"


def stored_table(rows: list[dict[str, Any]]) -> str:
    """Start-up and waking against the number of stored picos."""
    names = (
        ("picos", "picos"),
        ("build_s", "built in s"),
        ("disk_mb", "disk MB"),
        ("open_ms", "open ms"),
        ("store_ms", "the store alone, ms"),
        ("process_ms", "process start to open, ms"),
        ("rss_mb", "RSS MB when open"),
        ("wake_p50_us", "waking query p50 µs"),
        ("wake_p99_us", "p99 µs"),
        ("rss_after_mb", "RSS MB after the wakes"),
    )
    lines = [
        [f"{row[key]:,}" if key == "picos" else number(row[key]) for key, _ in names]
        for row in rows
    ]
    return table(tuple(heading for _, heading in names), lines)


# --- Files ----------------------------------------------------------------------------------------


def save(result: Result, path: Path) -> None:
    """Write a result as JSON."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")


def load(path: Path) -> Result:
    """Read a result.

    Raises: ValueError with a message for people when the file cannot be used.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Result)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise ValueError(f"{path} is no result of this benchmark: {error}") from None


def compare(before: Result, after: Result) -> str:
    """Two results side by side: shares of the limit row, CPU, and their ratios."""
    old = {(row.workload, row.variant, row.storage): row for row in before.rows}
    lines = []
    for row in after.rows:
        was = old.pop((row.workload, row.variant, row.storage), None)
        if was is None:
            continue
        for name, figures in row.limits.items():
            theirs = was.limits.get(name)
            if theirs is None:
                continue
            a, b = theirs.share_cpu, figures.share_cpu
            assert a is not None
            assert b is not None
            ratio = b["median"] / a["median"]
            is_apart = b["min"] > a["max"] or b["max"] < a["min"]
            verdict = ""
            if is_apart and abs(ratio - 1) > WORTH_SAYING:
                verdict = "better" if ratio > 1 else "WORSE"
            lines.append(
                [
                    f"{row.workload} {row.variant} {row.storage}",
                    name,
                    f"{a['median']:.2f}",
                    f"{b['median']:.2f}",
                    f"{ratio:.2f}",
                    number(was.ours.cpu_us["min"]),
                    number(row.ours.cpu_us["min"]),
                    f"{row.ours.cpu_us['min'] / was.ours.cpu_us['min']:.2f}",
                    verdict,
                ]
            )
    headings = (
        "case",
        "beside",
        "share before",
        "after",
        "ratio",
        "least CPU µs before",
        "after",
        "ratio",
        "",
    )
    said = [
        "; ".join(
            f"{name}: {result.facts['date']}, load average {_load(result)}"
            for name, result in (("before", before), ("after", after))
        )
    ]
    said.append(table(headings, lines) if lines else "the two files have no case in common")
    if old:
        missing = ", ".join(" ".join(key) for key in old)
        said.append(f"only in the first file: {missing}")
    return "\n\n".join(said) + "\n"


def progress(text: str) -> None:
    """Say what is being measured, where somebody watches."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
