"""`pico log`, `pico why`, `pico show --salience`: what is asked of the engine, what is printed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.cli import main
from tests.api.fake import ROOT
from tests.cli.test_commands import Engine, running


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    for name in ("PICO_URL", "PICO_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PICO_HOME", str(tmp_path / "home"))
    with running(tmp_path / "home") as made:
        yield made


ENTRY = {
    "pico": "cP",
    "eid": "cE",
    "eci": "cABCDE…",
    "time_ms": 1_000,
    "written_ms": 1_000,
    "domain": "say",
    "name": "hello",
    "attrs": 20_000,
    "rules": [
        {"rid": "a.b", "rule": "one", "outcome": "not selected", "before": 0, "after": [2, None]},
        {
            "rid": "a.b",
            "rule": "two",
            "outcome": "fault",
            "fault": {"code": "R2001", "line": 7, "message": "no number"},
        },
        {
            "rid": "a.b",
            "rule": "three",
            "outcome": "fired",
            "directives": ["said"],
            "sends": [{"eci": "cTO…", "domain": "x", "name": "y"}],
            "unheard": ["n:o"],
            "ended": "last",
        },
    ],
    "raised": [{"domain": "e", "name": "f", "attrs": {"a": 1}, "rules": []}],
}
LOG = """\
1970-01-01T00:00:01.000Z cE  pico cP
  cABCDE… say:hello (20000 bytes of attributes)
    a.b : one  not selected; position 0 to 2
    a.b : two  fault; R2001 in line 7: no number
    a.b : three  fired; directive said; sent x:y to cTO…; raised n:o, which nobody hears; ended by \
last
  raised e:f {"a": 1}
1 event; what is old was dropped, and the end may be missing after a crash
"""
WHY = {"eid": "cE", "time_ms": 0, "domain": "say", "name": "hello", "text": ["One.", "Two."]}
SALIENCE = {"events": {"say:hello": [{"rid": "a.b", "rule": "one", "line": 3}], "*": []}}

COMMANDS: list[tuple[list[str], tuple[Any, ...] | None, str]] = [
    (["log"], ("log", None, None, None, 20, False), LOG),
    (
        ["log", "root", "--rule", "a.b:one", "--eid", "c E", "--limit", "3", "--whole"],
        ("log", ROOT, "c E", "a.b:one", 3, True),
        LOG,
    ),
    (["why", "root", "cE"], None, "1970-01-01T00:00:00.000Z say:hello (cE)\nOne.\nTwo.\n"),
    (["show", "root", "--salience"], None, "say:hello\n  a.b : one (line 3)\n*\n"),
]


@pytest.mark.parametrize(("argv", "call", "text"), COMMANDS)
def test_commands_print_for_people(
    engine: Engine,
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
    call: tuple[Any, ...] | None,
    text: str,
) -> None:
    engine.fake.answers.update(log=[ENTRY], why=WHY, salience=SALIENCE)
    assert main(argv) == 0
    assert capsys.readouterr().out == text
    assert engine.fake.calls == ([] if call is None else [call])


def test_commands_print_json(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", "--json"]) == 0
    assert capsys.readouterr().out == "[]\n"
    assert main(["why", "cC", "cE", "a:b", "--json"]) == 0
    assert '"asked": [\n    "cC",\n    "cE",\n    "a:b"\n  ]' in capsys.readouterr().out
    assert main(["show", "--salience", "--json"]) == 0
    assert f'"asked": "{ROOT}"' in capsys.readouterr().out


def test_nothing_known_is_said(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log"]) == 0
    assert capsys.readouterr().out.startswith("nothing is known; ")


@pytest.mark.parametrize(
    ("argv", "code", "text"),
    [
        (["why", "root", "cNO"], 1, "error R1018: no event cNO is in the history of this pico"),
    ],
)
def test_refusals(
    engine: Engine, capsys: pytest.CaptureFixture[str], argv: list[str], code: int, text: str
) -> None:
    assert main(argv) == code
    assert capsys.readouterr().err.splitlines()[0] == text
