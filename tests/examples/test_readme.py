"""README.md is true: its commands are run, and say what it says they say.

In: the code blocks of README.md whose lines begin with `$`, run by doc_runner.py. Setting up and
activating the environment is not run.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import krlc
from tests.examples.doc_runner import Session, indented_commands, run_commands

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """A shell as the README's reader has it: a folder with the examples, and a text to correct."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    counter = (ROOT / "examples/counter/counter.krl").read_text()
    (tmp_path / "counter.krl").write_text(counter.replace("= value()", "= valu()"))
    session = Session(tmp_path)
    yield session
    session.close()


def test_commands_do_what_the_readme_says(session: Session) -> None:
    found = indented_commands(README)
    assert len(found) >= 10
    wrong = run_commands(session, found)
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


def test_make_targets_of_the_readme_exist() -> None:
    named = set(re.findall(r"(?:`|^    )make (\w+)", README, re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text()
    assert named
    assert [name for name in named if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []


def test_python_example_runs() -> None:
    block = README.partition("## From Python\n")[2].partition("\n## ")[0]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(line[4:] for line in block.splitlines())],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("\n2\n")


def test_version_has_its_changes() -> None:
    assert f"### {krlc.VERSION}\n" in README
