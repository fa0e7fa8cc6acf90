"""Results as people and programs read them: a Markdown table, a JSON file, two files compared.

In: rows and facts about the machine. Out: text. Invariant: a figure never stands without its spread
and what the machine was doing; ratios to the limit row, not rates, are what is compared over time.
"""

from __future__ import annotations

import json
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
    "its CPU over ours [min..max]",
    "wall",
    "RSS MB",
    "what survives",
)
# Figures of a peer's version that cannot be installed, taken once and dated.
RECORDED = Path(__file__).parent / "peers/recorded.json"
# A share that moved by more than this, beyond both spreads, is called out by `compare`.
WORTH_SAYING = 0.1
# Counts of the same code agree to some parts in a thousand.
INSTRUCTIONS_WORTH_SAYING = 0.02


class Result(msgspec.Struct, frozen=True):
    """One run of the benchmark."""

    facts: dict[str, Any]
    rows: list[Row]
    stored: list[dict[str, Any]] = []
    instructions: list[dict[str, Any]] = []


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


def _range(spread: dict[str, float] | None) -> str:
    if spread is None:
        return ""
    low, high = number(spread["min"]), number(spread["max"])
    return f"{number(spread['median'])} [{low}..{high}]"


def _figure(value: float | None) -> str:
    return "" if value is None else number(value)


def _line(row: Row, name: str, figures: Figures) -> list[str]:
    share, wall = figures.share_cpu, figures.share_wall
    is_ours = name == "ours"
    return [
        row.workload if is_ours else "",
        row.variant if is_ours else f"*{name}*",
        row.storage if is_ours else "",
        _range(figures.per_second),
        f"{number(figures.cpu_us['median'])} [{number(figures.cpu_us['min'])}]",
        _figure(figures.p50_us),
        _figure(figures.p99_us),
        ""
        if share is None
        else f"**{share['median']:.2f}** [{share['min']:.2f}..{share['max']:.2f}]",
        "" if wall is None else f"{wall['median']:.2f}",
        _figure(figures.rss_mb),
        row.keeps.get(name, ""),
    ]


def _lines(row: Row, recorded: dict[tuple[str, str, str], dict[str, Any]]) -> list[list[str]]:
    """A row of ours, its limit rows and its peers."""
    lines = [_line(row, "ours", row.ours)]
    lines += [_line(row, name, figures) for name, figures in row.limits.items()]
    lines += [_line(row, name, figures) for name, figures in row.peers.items()]
    for name, why in row.absent.items():
        lines.append(["", f"*{name}*", "", f"not measured: {why}", *[""] * (len(HEADINGS) - 4)])
    once = recorded.get((row.workload, row.variant, row.storage))
    if once is not None:
        median, least = once["cpu_us"]
        times = f"{median / row.ours.cpu_us['median']:.2f} (not in one run)"
        lines.append(
            [
                *("", f"*{once['peer']}, recorded {once['date']}*", ""),
                number(once["per_second"]),
                f"{number(median)} [{number(least)}]",
                *(number(once["p50_us"]), number(once["p99_us"]), times, ""),
                *(_figure(once.get("rss_mb")), row.keeps.get(once["like"], "")),
            ]
        )
    return lines


def recorded_figures() -> dict[tuple[str, str, str], dict[str, Any]]:
    """What was measured once of versions that cannot be installed, by workload and variant.

    On disk such a peer has one durability, so its figures stand beside `fsync` and `os`.
    """
    known = json.loads(RECORDED.read_text(encoding="utf-8"))
    found = {}
    for row in known["rows"]:
        about = {**row, "peer": known["peer"], "date": known["date"], "like": known["like"]}
        for storage in ("fsync", "os") if row["storage"] == "disk" else ("memory",):
            found[row["workload"], row["variant"], storage] = about
    return found


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
        recorded = recorded_figures()
        parts.append(
            table(HEADINGS, [each for row in result.rows for each in _lines(row, recorded)])
        )
        parts.append(_legend(result.rows))
        grown = _grown_table(result.rows)
        if grown:
            parts.append(grown)
    if result.stored:
        parts.append(stored_table(result.stored))
    if result.instructions:
        parts.append(_instruction_table(result.instructions))
    return "\n\n".join(part for part in parts if part) + "\n"


def _legend(rows: list[Row]) -> str:
    """What the table does not say itself."""
    sizes = dict.fromkeys(
        f"{row.workload} {row.variant} is {row.units} {row.unit}" for row in rows if row.units > 1
    )
    said = (
        "Below ours stand the limit row (same input, output and durability, no rules) and the "
        "peers. Ratios are theirs over ours, taken between neighbouring samples: of the limit row "
        "1.00 is as fast as the limit, of a peer 2.00 is twice our cost; `wall` is our rate over "
        "theirs. *What survives* of work that had been answered: a power loss, or the end of the "
        "process."
    )
    return said + (f" An operation of {'; '.join(sizes)}." if sizes else "")


def _grown_table(rows: list[Row]) -> str:
    lines = []
    for row in rows:
        for name, figures in {"ours": row.ours, **row.peers}.items():
            if figures.grown_kb is not None:
                lines.append(
                    [f"{row.workload} {row.variant}", row.storage, name, number(figures.grown_kb)]
                )
    return table(("case", "storage", "engine", "memory per pico, kB"), lines) if lines else ""


def _instruction_table(rows: list[dict[str, Any]]) -> str:
    lines = [
        [row["what"], f"{row['instructions']:,}" if "instructions" in row else _missing(row)]
        for row in rows
    ]
    return table(("core alone, stored in memory", "instructions per event"), lines)


def _missing(row: dict[str, Any]) -> str:
    return f"not counted: {row['missing']}"


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
    lines = []
    for row in rows:
        lines.append(["ours", *(_stored_cell(key, row.get(key)) for key, _ in names)])
        for name, figures in row.get("peers", {}).items():
            lines.append([name, *(_stored_cell(key, figures.get(key)) for key, _ in names)])
    return table(("engine", *(heading for _, heading in names)), lines)


def _stored_cell(key: str, value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value:,}" if key == "picos" else number(value)


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
    """Two results side by side: ratios to limit rows and peers, CPU, instructions."""
    old = {(row.workload, row.variant, row.storage): row for row in before.rows}
    lines = []
    for row in after.rows:
        was = old.pop((row.workload, row.variant, row.storage), None)
        if was is not None:
            lines += _compared(was, row)
    headings = (
        "case",
        "beside",
        "its CPU over ours, before",
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
    counted = _compared_instructions(before.instructions, after.instructions)
    if counted:
        said.append(table(("core", "instructions before", "after", "ratio", ""), counted))
    if old:
        missing = ", ".join(" ".join(key) for key in old)
        said.append(f"only in the first file: {missing}")
    return "\n\n".join(said) + "\n"


def _compared(was: Row, row: Row) -> list[list[str]]:
    """A line for each side that both rows have beside ours."""
    lines = []
    before = {**was.limits, **was.peers}
    for name, figures in {**row.limits, **row.peers}.items():
        theirs = before.get(name)
        a, b = (None if theirs is None else theirs.share_cpu), figures.share_cpu
        if a is None or b is None:
            continue
        ratio = b["median"] / a["median"]
        is_apart = b["min"] > a["max"] or b["max"] < a["min"]
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
                _verdict(ratio) if is_apart and abs(ratio - 1) > WORTH_SAYING else "",
            ]
        )
    return lines


def _verdict(ratio: float) -> str:
    return "better" if ratio > 1 else "WORSE"


def _compared_instructions(
    before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> list[list[str]]:
    old = {row["what"]: row["instructions"] for row in before if "instructions" in row}
    lines = []
    for row in after:
        was, now = old.get(row["what"]), row.get("instructions")
        if was is None or now is None:
            continue
        ratio = now / was
        said = _verdict(1 / ratio) if abs(ratio - 1) > INSTRUCTIONS_WORTH_SAYING else ""
        lines.append([row["what"], f"{was:,}", f"{now:,}", f"{ratio:.3f}", said])
    return lines


def progress(text: str) -> None:
    """Say what is being measured, where somebody watches."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
