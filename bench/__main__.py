"""The benchmark's commands.

    python -m bench [--quick] [--only W2,W6] [--repeat N] [--json FILE] [--charts DIR]
                                                     measure, print a table
    python -m bench compare BEFORE.json AFTER.json   what changed, as ratios
    python -m bench stored [--picos 1000,100000]     start-up against size
    python -m bench beside [--picos 1000]            what picos feel of others that wait or do harm
    python -m bench instructions [--only W1]         instructions of the core per event
    python -m bench chart RESULT.json DIR            charts of a result
    python -m bench peers [FOLDER]                   install what ours is measured beside

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

import uvloop

from bench import beside, charts, instructions, others, report, served
from bench.cases import CASES, Case, Measured
from bench.measure import WrongAnswer
from bench.peer import default_folder
from bench.peer_setup import Unusable, install
from bench.run import Task, run_apart
from bench.stored import build, measure_start, peer_start
from runtime.errors import Fault

W9_PICOS = 1000
ALL_CASES: tuple[Measured, ...] = (*CASES, *others.CASES, *served.CASES)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands; the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    commands = {"compare": _compare, "stored": _stored, "peers": _peers}
    commands |= {"instructions": _instructions, "chart": _chart, "beside": _beside}
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
    _add_peers(parser)
    parser.add_argument("--no-peers", action="store_true", help="ours and the limit rows only")
    _add_output(parser)
    options = parser.parse_args(arguments)
    repeats = options.repeat or (3 if options.quick else 7)
    if repeats < 1:
        parser.error("--repeat is at least 1")
    only = None if options.only is None else options.only.split(",")
    storages = ["fsync", "none"] if options.quick else ["fsync", "os", "memory", "none"]
    if options.storage is not None:
        storages = options.storage.split(",")
    cases = _chosen(only, storages, options.quick)
    has_start = only is None or "W9" in only
    if not cases:
        names = ", ".join(case.name for case in ALL_CASES)
        parser.error(f"no such case; there are: {names}")
    result = report.Result(report.facts(), [])
    problem = None
    try:
        _measure(result, cases, repeats, options, has_start and "fsync" in storages)
        if only is None and not options.quick:
            report.progress("instructions")
            result.instructions.extend(instructions.measure(None))
    except WrongAnswer as error:
        # What was measured until then is not lost with it.
        problem = error
    report.progress("")
    result.facts["load"].append(round(os.getloadavg()[0], 1))
    _give(result, options)
    if problem is not None:
        print(f"bench: {problem}", file=sys.stderr)
    return 0 if problem is None else 1


def _measure(
    result: report.Result,
    cases: list[tuple[Measured, str]],
    repeats: int,
    options: argparse.Namespace,
    has_start: bool,
) -> None:
    """Measure the cases one after the other, into `result`.

    Raises: WrongAnswer.
    """
    peers = _peers_of(options)
    for at, (case, storage) in enumerate(cases, 1):
        report.progress(f"{at}/{len(cases)} {case.name} {storage}")
        count = case.quick if options.quick else case.count
        task = Task(case.name, storage, count, repeats, "", peers, options.quick)
        result.rows.append(run_apart(task, options.home, _module_of(case)))
    if has_start:
        report.progress(f"start-up with {W9_PICOS + 1} picos")
        result.stored.append(_start_row(W9_PICOS, repeats, options.home, peers))


def _module_of(case: Measured) -> str:
    """Which module measures a case."""
    if isinstance(case, served.ServedCase):
        return "bench.served"
    return "bench.run" if isinstance(case, Case) else "bench.others"


def _peers_of(options: argparse.Namespace) -> str | None:
    return None if options.no_peers else str(options.peers or default_folder())


def _chosen(
    only: list[str] | None, storages: list[str], is_quick: bool
) -> list[tuple[Measured, str]]:
    return [
        (case, storage)
        for case in ALL_CASES
        if (not (is_quick and case.is_extra) if only is None else _is_named(case, only))
        for storage in case.storages
        if storage in storages
    ]


def _is_named(case: Measured, only: list[str]) -> bool:
    return case.workload in only or case.name in only


def _add_peers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--peers", type=Path, metavar="FOLDER", help="where `bench peers` installed other engines"
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the result in a file")
    parser.add_argument("--charts", type=Path, metavar="DIR", help="write charts into a folder")
    parser.add_argument(
        "--home", type=Path, metavar="DIR", help="a folder on the disk to be measured"
    )


def _give(result: report.Result, options: argparse.Namespace) -> None:
    print(report.markdown(result), end="")
    if options.json is not None:
        report.save(result, options.json)
    if options.charts is not None:
        names = ", ".join(charts.write(result, options.charts))
        print(f"\nCharts in {options.charts}: {names}.")


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
    # A peer has to make all its picos one by one, so here it takes part only when asked.
    _add_peers(parser)
    _add_output(parser)
    options = parser.parse_args(arguments)
    counts = [int(text) for text in options.picos.split(",") if text.strip().isdecimal()]
    if not counts or min(counts) < 1 or len(counts) != len(options.picos.split(",")):
        parser.error("--picos is one or more numbers, at least 1, such as 1000,100000")
    known = report.facts()
    peers = None if options.peers is None else str(options.peers)
    rows = [_start_row(count, options.repeat, options.home, peers) for count in counts]
    known["load"].append(round(os.getloadavg()[0], 1))
    _give(report.Result(known, [], rows), options)
    return 0


def _beside(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench beside",
        description="Latency of events to other picos beside some that wait or do harm.",
    )
    parser.add_argument("--picos", type=int, default=1000, metavar="N", help="the others (1,000)")
    parser.add_argument("--seconds", type=float, default=6.0, metavar="S", help="for each row (6)")
    parser.add_argument("--home", type=Path, metavar="DIR", help="a folder on the disk to be used")
    options = parser.parse_args(arguments)
    if options.picos < 1 or not options.seconds > 0:
        parser.error("--picos is at least 1, and --seconds more than 0")
    with TemporaryDirectory(prefix="bench-", dir=options.home) as folder:
        rows = uvloop.run(beside.measure(options.picos, options.seconds, Path(folder)))
    print(beside.table(rows))
    return 0


def _start_row(
    count: int, repeats: int, parent: Path | None, peers: str | None = None
) -> dict[str, Any]:
    with TemporaryDirectory(prefix="bench-", dir=parent) as folder:
        home = Path(folder)
        try:
            seconds = build(count, home)
        except Fault as fault:
            raise WrongAnswer(f"start-up with {count} picos: {fault}") from fault
        row = {"build_s": seconds, **measure_start(count, home, repeats)}
    if peers is not None:
        with TemporaryDirectory(prefix="bench-", dir=parent) as folder:
            try:
                row["peers"] = peer_start(count, Path(folder), Path(peers), repeats)
            except OSError as error:
                row["peers"] = {"pico-engine-core": {"picos": f"not measured: {error}"}}
    return row


# --- instructions, charts -------------------------------------------------------------------------


def _instructions(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench instructions",
        description="Instructions of the core per event, counted by valgrind.",
    )
    names = sorted({name.split()[0] for name in instructions.WORKLOADS})
    parser.add_argument("--only", metavar="W1,…", help=f"of {', '.join(names)}")
    _add_output(parser)
    options = parser.parse_args(arguments)
    only = None if options.only is None else options.only.split(",")
    if only is not None and not set(only) <= set(names):
        parser.error(f"there are {', '.join(names)}")
    known = report.facts()
    _give(report.Result(known, [], [], instructions.measure(only)), options)
    return 0


def _chart(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench chart", description="Charts of a result, as SVG files."
    )
    parser.add_argument("result", type=Path, metavar="RESULT.json")
    parser.add_argument("folder", type=Path, metavar="DIR")
    options = parser.parse_args(arguments)
    try:
        print("\n".join(charts.write(report.load(options.result), options.folder)))
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"{options.folder} cannot be written: {error.strerror}")
    return 0


# --- peers ----------------------------------------------------------------------------------------


def _peers(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench peers",
        description="Install the engines and matchers that ours is measured beside.",
    )
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        default=default_folder(),
        metavar="FOLDER",
        help=f"where to, outside the project ({default_folder()})",
    )
    options = parser.parse_args(arguments)
    try:
        problems = install(options.folder)
    except Unusable as error:
        parser.error(str(error))
    for problem in problems:
        print(f"bench: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
