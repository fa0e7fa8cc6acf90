"""W10 and W11 as rows, beside stand-ins for their peers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from bench import matcher, others
from bench.measure import WrongAnswer
from bench.peer import Peer
from bench.run import Row, Task

COMPILER = """
import json, sys
for line in sys.stdin:
    print(json.dumps({"ms": 12.0, "cpu_ms": 15.0, "chars": 9}), flush=True)
"""
MATCHER = """
import json, sys
for line in sys.stdin:
    cycles = int(line) // 16
    fired = {"a_then_b": 2, "count5": 1, "any2of3": 1, "p_before_q": 1, "order": %d}
    fired = {name: times * cycles for name, times in fired.items()}
    print(json.dumps({"cpu_us": 50.0 * int(line), "fired": fired}), flush=True)
"""


def measured(name: str, folder: Path, peers: Path | None) -> Row:
    case = next(case for case in others.CASES if case.name == name)
    told = None if peers is None else str(peers)
    return others.run_other(case, Task(name, "none", 2, 2, str(folder), told, is_quick=True))


@pytest.fixture(autouse=True)
def few_cycles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "CYCLES", dict.fromkeys(others.CYCLES, 8))


def test_compiler_beside_its_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(compiler: Any, folder: Path) -> None:
        compiler._peer = Peer("krl-compiler", [sys.executable, "-c", COMPILER])

    monkeypatch.setattr(others.NodeCompiler, "__init__", make)
    row = measured("W10/small-file", tmp_path, tmp_path)
    theirs = row.peers["krl-compiler"]
    assert theirs.cpu_us["median"] == pytest.approx(15_000)
    assert theirs.p50_us == pytest.approx(12_000)
    assert row.ours.cpu_us["median"] > 0
    assert set(row.keeps.values()) == {"nothing: it is not its task"}


def stream(name: str, orders: int) -> matcher.Stream:
    return matcher.Stream(Peer(name, [sys.executable, "-c", MATCHER % orders]))


@pytest.mark.parametrize("orders", [2, 3])
def test_matcher_beside_its_peers(
    orders: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matcher, "select_when", lambda _: stream("select-when", orders))
    if orders == 3:
        with pytest.raises(WrongAnswer, match="W11/stream-of-W4: select-when fired"):
            measured("W11/stream-of-W4", tmp_path, tmp_path)
        return
    row = measured("W11/stream-of-W4", tmp_path, tmp_path)
    theirs = row.peers["select-when"]
    assert theirs.cpu_us["median"] == pytest.approx(50)
    assert theirs.per_second is None
    assert "python -m bench peers" in row.absent["durable_rules"]


@pytest.mark.parametrize("case", others.CASES, ids=lambda case: case.name)
def test_without_peers(case: Any, tmp_path: Path) -> None:
    assert not measured(case.name, tmp_path, None).absent
    assert measured(case.name, tmp_path, tmp_path).absent
