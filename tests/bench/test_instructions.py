"""Instructions are counted as a difference; wrong answers and a missing tool are said."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench import instructions
from bench.instructions import FEW, MANY, WORKLOADS, Missing, drive, measure, per_event
from bench.measure import WrongAnswer


def ready(workload: str, folder: Path) -> dict[str, Any]:
    """The compiled ruleset of a workload, as the counted process gets it."""
    per_event(workload, folder, lambda command: 0)
    found: dict[str, Any] = msgspec.msgpack.decode(
        (folder / f"{WORKLOADS[workload][0]}.ready").read_bytes()
    )
    return found


def test_the_start_of_a_process_does_not_count(tmp_path: Path) -> None:
    commands = []

    def count(command: list[str]) -> int:
        commands.append(command)
        return 600_000_000 + 90_000 * int(command[-1])

    assert per_event("W1", tmp_path, count) == 90_000
    assert [command[-1] for command in commands] == [str(FEW), str(MANY)]


@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_workload_runs_and_is_checked(workload: str, tmp_path: Path) -> None:
    drive(workload, ready(workload, tmp_path), 128)


def test_wrong_answers_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "ruleset bench.hello { rule hello { select when echo hello noop() } }"
    monkeypatch.setattr("bench.workloads.source_of", lambda _: text)
    found = ready("W1", tmp_path)
    with pytest.raises(WrongAnswer, match="echo:hello was answered with"):
        drive("W1", found, 64)
    path = str(tmp_path / "bench.hello.ready")
    assert instructions.main(["W1", path, "64"]) == instructions.WRONG


def test_without_valgrind_the_row_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert measure(["W1"]) == [{"what": "all", "missing": "valgrind is not on the path"}]


def test_only_what_is_asked_for_is_counted() -> None:
    rows = measure(["W2"], lambda command: 1000 * int(command[-1]))
    assert rows == [{"what": "W2", "instructions": 1000}]


FAKE = """#!/bin/sh
echo "==1== Collected : 123456" >&2
{after}
"""


@pytest.mark.parametrize(
    ("after", "error", "said"),
    [
        ("", None, ""),
        ("exit 7", Missing, "callgrind did not count"),
        ('echo "wrong: no directive" >&2; exit 3', WrongAnswer, "^no directive$"),
    ],
)
def test_what_callgrind_says_is_read(
    after: str,
    error: type[Exception] | None,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tool = tmp_path / "valgrind"
    tool.write_text(FAKE.format(after=after))
    tool.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda _: str(tool))
    if error is None:
        assert instructions.under_valgrind(["anything"]) == 123456
    else:
        with pytest.raises(error, match=said):
            instructions.under_valgrind(["anything"])
