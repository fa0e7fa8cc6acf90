"""README.md is true: its commands are run, and say what it says they say.

In: the code blocks of README.md whose lines begin with `$`. Each command runs in order; its output
must be the lines below it, where `…` stands for any lines, and ids, sizes, hashes, ports and
folders may differ. Not run: setting up and activating the environment (`make`, `.`, `export`).
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import pytest

import krlc
from krlc.library import MODULES
from runtime.home import read_address

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PROGRAMS = {"pico": "runtime", "krlc": "krlc"}
NOT_RUN = (".", "export")
# What differs from run to run, and what it is shown as.
VARYING = (
    (re.compile(r"\bc[0-9a-z]{2}[0-9a-z]{25}\b"), "ID"),
    (re.compile(r"\b[0-9a-f]{16,64}\b"), "HASH"),
    (re.compile(r"[\d,]+ bytes"), "N bytes"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:PORT"),
    (re.compile(r"data folder  \S+"), "data folder  HOME"),
    (re.compile(r"\bpico [\d.]+ listens"), "pico VERSION listens"),
)


class Command(NamedTuple):
    """One command of the README, and the lines shown below it."""

    words: list[str]
    shown: list[str]


def commands(text: str) -> list[Command]:
    """The commands of all code blocks, in order."""
    found: list[Command] = []
    is_open = False
    for line in text.splitlines():
        if line.startswith("    $ "):
            found.append(Command(line[6:].split(), []))
            is_open = True
        elif is_open and line.startswith("    "):
            found[-1].shown.append(line[4:])
        elif line.strip():
            is_open = False
        elif is_open:
            found[-1].shown.append("")
    return found


def is_as_shown(said: str, shown: list[str]) -> bool:
    """Whether an output is what the README shows."""
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "…" else re.escape(line) + "\n"
        for line in steady("\n".join(shown)).strip("\n").split("\n")
        if shown
    )
    return (
        re.fullmatch(pattern, steady(said.strip("\n")) + "\n" if said.strip() else "") is not None
    )


def steady(text: str) -> str:
    for pattern, word in VARYING:
        text = pattern.sub(word, text)
    return text


class Session:
    """A shell as the README's reader has it: a folder with the examples, and one engine at most."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "my-picos"
        self.engine: subprocess.Popen[str] | None = None
        (folder / "examples").symlink_to(ROOT / "examples")
        broken = (
            (ROOT / "examples/counter/counter.krl").read_text().replace("= value()", "= valu()")
        )
        (folder / "counter.krl").write_text(broken)

    def do(self, words: list[str]) -> str:
        if words[0] == "kill":
            self.stop()
            return ""
        if words[0] == "curl":
            return self._curl(words[1])
        if words[-1] == "&":
            return self._start(words[:-1])
        done = subprocess.run(
            self._command(words), cwd=self.folder, env=self._environment(), capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        return done.stdout + done.stderr

    def stop(self) -> None:
        if self.engine is not None:
            self.engine.kill()
            self.engine.wait()
            assert self.engine.stdout is not None
            self.engine.stdout.close()

    def _command(self, words: list[str]) -> list[str]:
        return [sys.executable, "-m", PROGRAMS[words[0]], *words[1:]]

    def _environment(self) -> dict[str, str]:
        return {"PICO_HOME": str(self.home), "PYTHONPATH": str(ROOT), "PATH": ""}

    def _start(self, words: list[str]) -> str:
        self.engine = subprocess.Popen(
            [*self._command(words), "--port", "0"],
            cwd=self.folder,
            env=self._environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.engine.stdout is not None
        said = ""
        while not said.endswith("Stop it with Ctrl-C.\n"):
            line = self.engine.stdout.readline()
            assert line, f"the engine ended after {said!r}"
            said += line
        return said

    def _curl(self, url: str) -> str:
        address = read_address(self.home)
        assert address is not None
        shown = self.do(["pico", "show"])
        eci = shown.partition("channel ")[2].split()[0]
        path = url.partition("127.0.0.1:3000")[2].replace("ECI", eci)
        with urlopen(address.url + path, timeout=20) as answer:
            body: bytes = answer.read()
        return body.decode()


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    session = Session(tmp_path)
    yield session
    session.stop()


def test_commands_do_what_the_readme_says(session: Session) -> None:
    run = [command for command in commands(README) if command.words[0] not in NOT_RUN]
    assert len(run) >= 10
    for words, shown in run:
        said = session.do(words)
        if not is_as_shown(said, shown):
            pytest.fail(
                f"`{' '.join(words)}` says\n{said}\nand the README shows\n" + "\n".join(shown)
            )


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


def test_what_is_not_there_yet_is_named() -> None:
    """The list of what KRL cannot be compiled yet is neither too short nor too long."""
    section = README.partition("## What is not there yet\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(\w+(?::\w+)?)`", section.partition("\n- The")[0])) - {"krlc"}
    pending = set()
    for domain, members in MODULES.items():
        missing = {name for name, member in members.items() if not member.is_generated}
        if missing and len(missing) == len(members):
            pending.add(domain)
        else:
            pending |= {f"{domain}:{name}" for name in missing}
    assert named == pending


def test_version_has_its_changes() -> None:
    assert f"### {krlc.VERSION}\n" in README


# --- The reading of the README itself -------------------------------------------------------------


def test_commands_are_found_with_what_is_shown() -> None:
    text = "Do:\n\n    $ a b\n    one\n\n    two\n    $ c\n\nand\n\n    no command\n"
    assert commands(text) == [
        Command(["a", "b"], ["one", "", "two"]),
        Command(["c"], [""]),
    ]


@pytest.mark.parametrize(
    ("said", "shown", "is_equal"),
    [
        ("one\ntwo\n", ["one", "two"], True),
        ("one\ntwo\n", ["one"], False),
        ("one\ntwo\nthree\n", ["one", "  …"], True),
        ("one\ntwo\n", ["two", "…"], False),
        ("eid c00rllgqtmg2i6ijrgljb1590r5n\n", ["eid c008j2okg5wlqvvbbnjiorafaaxo"], True),
        ("", [], True),
        ("a warning\n", [], False),
    ],
)
def test_output_is_compared(said: str, shown: list[str], is_equal: bool) -> None:
    assert is_as_shown(said, shown) is is_equal
