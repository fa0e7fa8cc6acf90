"""Everything that must hold, in one command: lint, form, types, tests.

In: `--accept` writes snapshots anew (look at the difference before it is committed), `--seed N`
lets property tests look elsewhere, `-k EXPRESSION` runs only the tests that pytest selects by it,
without lint and types. Out: what each step says, its seconds, and exit code 0 only if all of them
pass. One failing step does not keep the others from running.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).parent.parent


def steps(options: argparse.Namespace) -> dict[str, list[str]]:
    """The command of each step, in order; pytest is last, so that its summary closes the output."""
    pytest = ["pytest", f"--numprocesses={os.cpu_count()}", "--dist=worksteal"]
    if options.seed is not None:
        pytest.append(f"--hypothesis-seed={options.seed}")
    if options.k is not None:
        return {"tests": [*pytest, "-k", options.k]}
    return {
        "lint": ["ruff", "check", "--quiet", "--output-format=concise", "."],
        "form": ["ruff", "format", "--check", "--quiet", "--output-format=concise", "."],
        "types": ["mypy"],
        "tests": pytest,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all steps; the exit code of the first one that failed, else 0."""
    parser = argparse.ArgumentParser(prog="python -m tests", description=__doc__)
    parser.add_argument("--accept", action="store_true", help="write snapshots anew")
    parser.add_argument("--seed", type=int, metavar="N", help="seed of the property tests")
    parser.add_argument("-k", metavar="EXPRESSION", help="only these tests")
    options = parser.parse_args(arguments)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if options.accept:
        environment["PICOS_ACCEPT"] = "1"
    failed: dict[str, int] = {}
    for name, command in steps(options).items():
        print(f"--- {name}: {' '.join(command)}", flush=True)
        start = perf_counter()
        code = subprocess.run(
            [sys.executable, "-m", *command], cwd=ROOT, env=environment
        ).returncode
        if code:
            failed[name] = code
        if name != "tests":
            outcome = "failed" if code else "passed"
            print(f"    {outcome} in {perf_counter() - start:.1f} s", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return next(iter(failed.values()), 0)


if __name__ == "__main__":
    sys.exit(main())
