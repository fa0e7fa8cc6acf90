"""Other engines, compilers and matchers, installed into a folder outside the project.

In: a folder. Out: `node_modules/` and `python/` in it, versions pinned by the files in peers/:
npm's lock file, and one requirement. Nothing of it is needed to build, test or measure ours. Not
here: running them (peer.py).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench.peer import DRIVERS

PINS = ("package.json", "package-lock.json")
ROOT = Path(__file__).resolve().parent.parent
Run = Callable[[list[str], Path], None]


class Unusable(Exception):  # noqa: N818 - what it says is the point
    """A folder that cannot be used; the text says why."""


def run(command: list[str], folder: Path) -> None:
    """Run a command in a folder, its output going where ours goes."""
    subprocess.run(command, cwd=folder, check=True)


def install(folder: Path, run: Run = run) -> list[str]:
    """Install what can be installed here; what could not, one sentence each.

    Raises: Unusable for a folder within the project, or that cannot be made.
    """
    folder = folder.expanduser().resolve()
    if folder == ROOT or ROOT in folder.parents:
        raise Unusable(f"{folder} is within the project; choose a folder outside of it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in PINS:
            shutil.copyfile(DRIVERS / name, folder / name)
    except OSError as error:
        raise Unusable(f"{folder} cannot be used: {error.strerror}") from None
    problems = []
    for what, work in (("the Node engine", _from_npm), ("durable_rules", _from_pypi)):
        try:
            work(folder, run)
        except (OSError, subprocess.CalledProcessError) as error:
            problems.append(f"{what} was not installed: {error}")
    return problems


def _from_npm(folder: Path, run: Run) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise OSError("npm is not on the path")
    # What is built ships with its packages; no script of theirs has to run.
    run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)


def _from_pypi(folder: Path, run: Run) -> None:
    run([sys.executable, "-m", "venv", "python"], folder)
    pip = [str(folder / "python/bin/python"), "-m", "pip", "install", "--quiet"]
    run([*pip, "--disable-pip-version-check", "-r", str(DRIVERS / "requirements.txt")], folder)
