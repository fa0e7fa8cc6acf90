"""`pico bench`: how much load a running engine takes, and whether its answers are right.

In: an engine, which workloads, how much of each. Out: a table of rates, latencies and, when the
engine is on this machine, its CPU; exit code 1 for a wrong answer. Picos are made for it, and
deleted in the end. Not here: the load (runtime/load/), comparisons with others (bench/).
"""

import argparse
from typing import Any
from urllib.parse import urlsplit

from runtime.client_http import Target
from runtime.commands.arguments import (
    EXIT_OK,
    EXIT_REFUSED,
    Session,
    UsageError,
    add_client,
    complain,
    print_json,
)

_COUNT_MAX = 10_000_000
_FLIGHT_MAX = 1000


def add(commands: Any) -> None:
    """Put the command under `pico`."""
    parser = add_client(
        *(commands, "bench", "measure how much load the engine takes"),
        "pico bench --only hello,counter --over http",
        _bench,
    )
    parser.add_argument("--only", metavar="NAME,…", help="of hello, counter, expr, all, one, ring")
    parser.add_argument(
        "--over", choices=("channel", "http"), help="channel, if the engine serves any (--home)"
    )
    parser.add_argument("--flight", type=_number(_FLIGHT_MAX), default=64, metavar="N")
    parser.add_argument(
        "--count", type=_number(_COUNT_MAX), metavar="N", help="operations of each (some thousand)"
    )
    parser.add_argument(
        "--repeat", type=_number(1000), default=3, metavar="N", help="median of (3)"
    )


def _number(most: int) -> Any:
    def number(text: str) -> int:
        if text.isdecimal() and 1 <= int(text) <= most:
            return int(text)
        raise argparse.ArgumentTypeError(f"a number from 1 to {most}, not {text!r}")

    return number


def _bench(options: argparse.Namespace) -> int:
    import msgspec

    from runtime.load.drive import WrongAnswer
    from runtime.load.measure import Amount, Way, measure_all

    target, channel, pid = _find_engine(options)
    plays = _chosen(options.only, channel)
    over = "channel" if channel else "http"
    amount = Amount(options.count, options.flight, options.repeat, options.timeout)
    try:
        found = measure_all(
            plays,
            Way(target, channel, pid),
            amount,
            lambda figures: None if options.json else _print_figures(figures, over),
        )
    except WrongAnswer as error:
        complain(options, {"error": f"wrong answer: {error}"})
        return EXIT_REFUSED
    if options.json:
        rows = msgspec.to_builtins(found)
        print_json({"engine": target.url, "over": over, "rows": rows})
    return EXIT_OK


def _find_engine(options: argparse.Namespace) -> tuple[Target, str, int | None]:
    """The engine; the address of its channels, or ""; its process, when that is on this machine.

    Raises: UsageError when channels are asked for, and the engine is not known to serve any.
    """
    from pathlib import Path

    from runtime.home import default_home, read_address

    target = Session(options).target
    folder = Path(options.home).expanduser() if options.home else default_home()
    address = read_address(folder)
    # The address belongs to the engine that is asked only when both listen at the same place.
    is_same = address is not None and urlsplit(address.url).port == urlsplit(target.url).port
    is_same = is_same and urlsplit(target.url).hostname in ("127.0.0.1", "localhost", "::1")
    channels = address.channels if address is not None and is_same else ()
    pid = address.pid if address is not None and is_same else None
    if options.over == "channel" and not channels:
        raise UsageError(
            "no channel of this engine is known; name its data folder with --home, and start it "
            "without --channel-port none"
        )
    return target, channels[0] if channels and options.over != "http" else "", pid


def _chosen(only: str | None, channel: str) -> list[Any]:
    """Raises: UsageError for names that are no workload's, or need what HTTP has not."""
    from runtime.load.plays import PLAYS

    names = [play.name for play in PLAYS]
    asked = names if only is None else only.split(",")
    unknown = [name for name in asked if name not in names]
    if unknown:
        raise UsageError(f"{unknown[0]!r} is no workload; there are {', '.join(names)}")
    plays = [play for play in PLAYS if play.name in asked]
    if channel:
        return plays
    without = [play for play in plays if not play.has_times]
    if not without:
        raise UsageError("expr gives events times of their own, which only channels can do")
    return without


def _print_figures(figures: Any, over: str) -> None:
    rate, cpu = figures.per_second, figures.engine_cpu_us
    print(f"{figures.workload}: {figures.says}; {over}, {figures.in_flight} in flight")
    print(
        f"  {rate['median']:,.0f} {figures.unit}/s [{rate['min']:,.0f}..{rate['max']:,.0f}]"
        f"  p50 {figures.p50_us:,.0f} µs  p99 {figures.p99_us:,.0f} µs"
        + ("" if cpu is None else f"  engine {cpu:.1f} µs CPU each"),
        flush=True,
    )
