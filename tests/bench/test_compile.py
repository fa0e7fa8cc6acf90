"""The compiler's bench measures what it says, with and without the peer."""

from pathlib import Path

import pytest

import krlc
from bench import compile as bench


def test_the_grown_ruleset_compiles_and_has_its_size() -> None:
    text = bench.grown(24 * 1024)
    assert 24 * 1024 <= len(text) < 30 * 1024
    assert krlc.compile_source(text, "grown.krl").ok


def test_all_rows_are_measured_without_the_peer(tmp_path: Path) -> None:
    build, whole, stored, check = bench.measure(None, 1, tmp_path)
    assert build["other"] == whole["other"] == "-"
    assert float(stored["ratio"]) > 1
    assert check["what"].startswith("cold check, 2")


def test_a_peer_that_is_not_there_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.main(["--peer", str(tmp_path), "--rounds", "1"]) == 2
    assert capsys.readouterr().err.startswith("bench.compile: ")
