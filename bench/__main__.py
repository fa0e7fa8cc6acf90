"""The benchmark's commands.

    python -m bench [--quick] [--only W2,W6] [--repeat N] [--json FILE]   measure, print a table
    python -m bench compare BEFORE.json AFTER.json                        what changed, as ratios
    python -m bench stored [--picos 1000,100000] [--json FILE]            start-up against size

In: arguments. Out: a Markdown table on standard output, a JSON file when asked. Exit code 1 when an
answer was wrong, 2 when an argument is. Nothing is measured here.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import report
from bench.measure import WrongAnswer
from bench.run import Row, run_apart
from bench.stored import build, measure_start
from bench.workloads import CASES, Case

W9_PICOS = 1000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands; the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    commands = {"compare": _compare, "stored": _stored}
    try:
        if given and given[0] in commands:
            return commands[given[0]](given[1:])
        return _run(given)
    except WrongAnswer as error:
        report.progress("")
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


# --- run ------------------------------------------------------------------------------------------


def _run(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Events per second and core, beside a limit row."
    )
    parser.add_argument("--quick", action="store_true", help="fsync only, fewer operations")
    parser.add_argument("--only", metavar="W2,…", help="workloads, or cases such as W2/sequential")
    parser.add_argument("--storage", metavar="fsync,…", help="of fsync, os, memory")
    parser.add_argument(
        "--repeat", type=int, metavar="N", help="samples of each side (7; quick: 3)"
    )
    _add_output(parser)
    options = parser.parse_args(arguments)
    repeats = options.repeat or (3 if options.quick else 7)
    if repeats < 1:
        parser.error("--repeat is at least 1")
    only = None if options.only is None else options.only.split(",")
    storages = ["fsync"] if options.quick else ["fsync", "os", "memory"]
    if options.storage is not None:
        storages = options.storage.split(",")
    cases = _chosen(only, storages)
    has_start = only is None or "W9" in only
    if not cases:
        names = ", ".join(case.name for case in CASES)
        parser.error(f"no such case; there are: {names}")
    known = report.facts()
    rows: list[Row] = []
    for at, (case, storage) in enumerate(cases, 1):
        report.progress(f"{at}/{len(cases)} {case.name} {storage}")
        count = case.quick if options.quick else case.count
        rows.append(run_apart(case, storage, count, repeats, options.home))
    started = []
    if has_start and "fsync" in storages:
        report.progress(f"start-up with {W9_PICOS + 1} picos")
        started.append(_start_row(W9_PICOS, repeats, options.home))
    report.progress("")
    known["load"].append(round(os.getloadavg()[0], 1))
    _give(report.Result(known, rows, started), options.json)
    return 0


def _chosen(only: list[str] | None, storages: list[str]) -> list[tuple[Case, str]]:
    return [
        (case, storage)
        for case in CASES
        if only is None or case.workload in only or case.name in only
        for storage in case.storages
        if storage in storages
    ]


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the result in a file")
    parser.add_argument(
        "--home", type=Path, metavar="DIR", help="a folder on the disk to be measured"
    )


def _give(result: report.Result, path: Path | None) -> None:
    print(report.markdown(result), end="")
    if path is not None:
        report.save(result, path)


# --- compare --------------------------------------------------------------------------------------


def _compare(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench compare")
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    options = parser.parse_args(arguments)
    try:
        print(report.compare(report.load(options.before), report.load(options.after)), end="")
    except ValueError as error:
        parser.error(str(error))
    return 0


# --- stored ---------------------------------------------------------------------------------------


def _stored(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench stored",
        description="Start-up time, memory and waking against the number of stored picos.",
    )
    parser.add_argument("--picos", default="1000,10000,100000", metavar="N,…")
    parser.add_argument("--repeat", type=int, default=5, metavar="N")
    _add_output(parser)
    options = parser.parse_args(arguments)
    counts = [int(text) for text in options.picos.split(",") if text.strip().isdecimal()]
    if not counts or min(counts) < 1 or len(counts) != len(options.picos.split(",")):
        parser.error("--picos is one or more numbers, at least 1, such as 1000,100000")
    known = report.facts()
    rows = [_start_row(count, options.repeat, options.home) for count in counts]
    known["load"].append(round(os.getloadavg()[0], 1))
    _give(report.Result(known, [], rows), options.json)
    return 0


def _start_row(count: int, repeats: int, parent: Path | None) -> dict[str, Any]:
    with TemporaryDirectory(prefix="bench-", dir=parent) as folder:
        home = Path(folder)
        seconds = build(count, home)
        return {"build_s": seconds, **measure_start(count, home, repeats)}


if __name__ == "__main__":
    sys.exit(main())
