"""Runs seeds: `python -m tests.sim --seeds 1..200 | --seed 7 | --seconds 60`."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Iterator

from tests.sim.clients import Simulation, simulate


def seeds_of(text: str) -> range:
    """The seeds that `A..B` names, both included."""
    first, _, last = text.partition("..")
    return range(int(first), int(last or first) + 1)


def endless(start: int, seconds: float) -> Iterator[int]:
    """Seeds until the time is over."""
    end = time.monotonic() + seconds
    seed = start
    while time.monotonic() < end:
        yield seed
        seed += 1


def main() -> int:
    """Run what the command line says; 1 when a seed fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--seed", type=int, help="one seed, with all its steps")
    which.add_argument("--seeds", type=seeds_of, help="a range such as 1..200")
    which.add_argument("--seconds", type=float, help="as many as there is time for")
    parser.add_argument("--start", type=int, default=1, help="the first seed with --seconds")
    options = parser.parse_args()
    if options.seed is not None:
        simulation = Simulation(options.seed)
        report = simulation.run()
        print("\n".join(simulation.trace))
        print(report)
        return 0
    # Refused sends and full disks are business as usual here.
    logging.disable(logging.CRITICAL)
    seeds = options.seeds if options.seeds else endless(options.start, options.seconds)
    count = steps = events = starts = failed = 0
    for seed in seeds:
        count += 1
        try:
            report = simulate(seed)
        except AssertionError as failure:
            failed += 1
            print(failure, file=sys.stderr)
            continue
        steps += report.steps
        events += report.events
        starts += report.starts
    print(f"{count} seeds, {steps} steps, {events} events, {starts} starts; {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
