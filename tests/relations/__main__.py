"""Runs seeds: `python -m tests.relations --seeds 1..200 | --seed 7 | --seconds 60`."""

from __future__ import annotations

import argparse
import logging
import sys

from tests.relations.agreement import simulate
from tests.sim.__main__ import endless, seeds_of


def main() -> int:
    """Run what the command line says; 1 when a seed fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.relations", description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--seed", type=int, help="one seed, with what the engines say")
    which.add_argument("--seeds", type=seeds_of, help="a range such as 1..200")
    which.add_argument("--seconds", type=float, help="as many as there is time for")
    parser.add_argument("--start", type=int, default=1, help="the first seed with --seconds")
    options = parser.parse_args()
    if options.seed is not None:
        print(simulate(options.seed))
        return 0
    # Events that do not arrive are business as usual here.
    logging.disable(logging.CRITICAL)
    count = failed = proposed = 0
    for seed in options.seeds or endless(options.start, options.seconds):
        count += 1
        try:
            proposed += simulate(seed).proposed
        except AssertionError as failure:
            failed += 1
            print(failure, file=sys.stderr)
    print(f"{count} seeds, {proposed} proposals; {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
