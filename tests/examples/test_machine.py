"""What `make` says on a machine that lacks something, before anything is installed."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci/check_machine.py"


@pytest.fixture
def missing() -> Callable[[], list[str]]:
    spec = importlib.util.spec_from_file_location("check_machine", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[[], list[str]] = module.missing
    return found


def test_machine_that_builds_this_lacks_nothing(missing: Callable[[], list[str]]) -> None:
    assert missing() == []


def test_old_python_is_told_alone(
    missing: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    monkeypatch.setattr(sys, "version", "3.10.4 (main)")
    assert [line.partition(" (")[0] for line in missing()] == [
        "Python 3.11 or newer is needed, and this is 3.10.4"
    ]


def test_everything_missing_is_told_at_once(
    missing: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setenv("CC", "tcc -O2")
    told = missing()
    assert [("venv" in line, "headers" in line, "tcc" in line) for line in told] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]
