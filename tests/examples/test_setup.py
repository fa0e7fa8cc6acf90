"""A fresh environment can be set up: what the build imports is there before the build begins.

In: what `krlc` and the packages under it import, the Makefile's first `pip install`, and the build
requirements of pyproject.toml. The build compiles the system rulesets, so it needs all of `krlc`.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import tidy

ROOT = Path(__file__).parents[2]
# What a distribution is called whose package has another name.
DISTRIBUTIONS = {"re2": "google-re2"}
# Packages of ours that a build loads.
BUILDING = ("krlc", "ecma")


def imported_from_elsewhere() -> set[str]:
    """The distributions that the compiler imports, wherever in a module it does."""
    found = {
        name.partition(".")[0]
        for package in BUILDING
        for path in sorted((ROOT / package).glob("*.py"))
        for _, name in tidy.imports_of(path.read_text("utf-8"))
    }
    foreign = found - set(sys.stdlib_module_names) - set(BUILDING) - {"__future__"}
    return {DISTRIBUTIONS.get(name, name) for name in foreign}


def of_makefile() -> set[str]:
    text = (ROOT / "Makefile").read_text("utf-8").replace("\\\n", " ")
    first = next(line for line in text.splitlines() if "pip install" in line)
    return set(first.partition("constraints.txt")[2].split())


def of_pyproject() -> set[str]:
    system = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["build-system"]
    return {re.split(r"[<>=\[]", name)[0] for name in system["requires"]}


@pytest.mark.parametrize("listed", [of_makefile, of_pyproject])
def test_build_environment_has_what_the_compiler_imports(listed: Callable[[], set[str]]) -> None:
    needed = imported_from_elsewhere()
    assert {"lark", "google-re2"} <= needed
    assert sorted(needed - listed()) == []
