"""The matcher's bench measures what it says without any peer, and notices wrong work."""

import shutil
import sys
from pathlib import Path

import pytest

from bench import matcher as bench
from bench.measure import WrongAnswer
from bench.peer import Peer
from runtime.event import Event

# So little of everything that a run takes no time.
PART = 0.001


def test_the_core_selects_and_sets_what_the_cycle_has() -> None:
    core = bench.Core(others=10)
    for _ in range(3):
        core.check()
    assert core.stretch(3) > 0
    assert core.fired == {name: 3 * times for name, times in bench.PER_CYCLE.items()}


def test_a_core_that_forgets_is_noticed() -> None:
    core = bench.Core()
    core.offer(Event("", "ex", "tick", {}, bench.START_MS, ""))
    with pytest.raises(WrongAnswer, match="event tick selected"):
        core.check()
    with pytest.raises(WrongAnswer, match="the core fired"):
        bench.check_fired("the core", dict.fromkeys(bench.PER_CYCLE, 0), 1)


def test_other_rules_are_indexed_and_never_met() -> None:
    core = bench.Core(others=20)
    assert core.salience.lookup("ex", "e18")
    assert core.salience.lookup("d9", "e19")
    assert not core.salience.lookup("ex", "none")
    with pytest.raises(WrongAnswer, match="ex:e18 is not to concern any rule"):
        bench.lookup_ns(core, "ex", "e18", 1)


@pytest.mark.parametrize("n", bench.OPERANDS)
@pytest.mark.parametrize("said", list(bench.expressions(2)))
def test_live_positions_are_alive_until_the_selection(said: str, n: int) -> None:
    expression, stream = bench.expressions(n)[said]
    rule = bench.rule_of(expression)
    assert rule.machine is not None
    assert bench.step_ns(rule, stream, 4 * len(stream)) > 0
    # Without its last event nothing is selected.
    with pytest.raises(WrongAnswer, match="was selected 0 times"):
        bench.step_ns(rule, stream[:-1], 1)


def test_tables_without_peers() -> None:
    text = bench.show([], ["select-when: see --peer"], 1, PART)
    assert "| select-when: see --peer | not measured |" in text
    assert "| core, 10,000 other rules |" in text
    rows = {
        cells[1].strip(): cells
        for cells in (line.split("|") for line in text.splitlines())
        if len(cells) > 4
    }
    assert not rows["engine, W3, 10 rules"][3].strip()
    assert float(rows["engine, W3, 1,000 rules"][3].split()[0]) > 0
    assert float(rows["limit row of W3, 1,000 requests"][3].split()[0]) > 0
    assert "| n patterns on one event |" in text


@pytest.mark.parametrize(
    ("option", "said"),
    [("--peer", "has no node_modules/select-when"), ("--durable", "durable_rules stopped")],
)
def test_a_peer_that_is_not_there_is_said(
    option: str,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", str)
    value = tmp_path if option == "--peer" else Path(sys.executable)
    assert bench.main([option, str(value), "--rounds", "1"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("bench.matcher: ")
    assert said in error


def test_a_path_that_is_no_interpreter_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.main(["--durable", str(tmp_path / "python"), "--rounds", "1"]) == 2
    assert "is no interpreter" in capsys.readouterr().err


def test_wrong_work_of_a_peer_is_noticed() -> None:
    answers = """
import sys
for line in sys.stdin:
    print('{"cpu_us": 1.0, "fired": {"order": 2}}', flush=True)
"""
    peer = bench.Stream(Peer("select-when", [sys.executable, "-c", answers]))
    try:
        with pytest.raises(WrongAnswer, match="select-when fired"):
            peer.stretch(1)
    finally:
        peer.close()
