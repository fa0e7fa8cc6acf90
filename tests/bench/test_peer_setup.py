"""Peers are installed outside the project, with pinned versions, as far as the machine can."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.peer import DRIVERS
from bench.peer_setup import ROOT, Unusable, install


class Runs:
    """Takes commands without running them; `fails` names one that does not work."""

    def __init__(self, fails: str = "") -> None:
        self.commands: list[str] = []
        self._fails = fails

    def __call__(self, command: list[str], folder: Path) -> None:
        line = " ".join(Path(word).name if "/" in word else word for word in command)
        self.commands.append(line)
        if self._fails and self._fails in line:
            raise subprocess.CalledProcessError(1, command)


@pytest.fixture(autouse=True)
def npm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")


def test_everything_is_pinned(tmp_path: Path) -> None:
    runs = Runs()
    assert install(tmp_path / "peers", runs) == []
    assert runs.commands[0].startswith("npm ci --ignore-scripts")
    assert runs.commands[1].endswith("-m venv python")
    assert runs.commands[2].endswith("-r requirements.txt")
    wanted = json.loads((tmp_path / "peers/package.json").read_text())["dependencies"]
    locked = json.loads((tmp_path / "peers/package-lock.json").read_text())["packages"]
    for name, version in wanted.items():
        found = locked[f"node_modules/{name}"]
        assert found["version"] == version
        assert found["integrity"].startswith("sha512-")
        assert "resolved" not in found, "which registry is the user's to choose"
    assert "==" in (DRIVERS / "requirements.txt").read_text()


@pytest.mark.parametrize("fails", ["npm", "venv"])
def test_the_rest_is_installed_when_one_cannot_be(fails: str, tmp_path: Path) -> None:
    runs = Runs(fails)
    (problem,) = install(tmp_path, runs)
    assert "was not installed" in problem
    assert len(runs.commands) == (3 if fails == "npm" else 2)


def test_no_npm_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    (problem,) = install(tmp_path, Runs())
    assert problem == "the Node engine was not installed: npm is not on the path"


def test_a_folder_within_the_project_is_refused() -> None:
    with pytest.raises(Unusable, match="is within the project"):
        install(ROOT / "peers", Runs())


def test_a_folder_that_cannot_be_made_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit):
        main(["peers", str(tmp_path / "file/folder")])
    assert "cannot be used: Not a directory" in capsys.readouterr().err
