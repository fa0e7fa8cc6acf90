"""Peers do what they are told in processes of their own; what they do wrong, or not, is noticed."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import run as bench_run
from bench.cases import CASES, Case
from bench.measure import WrongAnswer
from bench.peer import NodeEngine, Peer, default_folder
from bench.run import Row, Task, run_case
from bench.stored import peer_start
from tests.harness.engine import InlineCompiler

# Answers orders as an engine would, or as the argument says.
STAND_IN = """
import json, sys, time
how = sys.argv[1]
for line in sys.stdin:
    order = json.loads(line)
    answer = {}
    if order["do"] == "run":
        if how == "dies":
            sys.exit("Error: out of memory")
        answer = {"per_second": 1e4, "cpu_us": 90.0, "p50_us": 1.0, "p99_us": 2.0, "rss_mb": 99.0}
        if how == "wrong":
            answer = {"wrong": "an event was answered with []"}
    elif order["do"] == "verify" and how == "forgets":
        answer = {"wrong": "the counters sum up to 7, and should to 8"}
    elif order["do"] == "start-up":
        answer = {"open_ms": 5.0, "rss_mb": 99.0, "picos": 3 if how == "loses" else 4}
    elif how == "sleeps":
        time.sleep(600)
    print(json.dumps(answer), flush=True)
"""


class StandIn(NodeEngine):
    """A peer that answers without doing anything."""

    how = "well"

    def __init__(self, folder: Path) -> None:
        Peer.__init__(self, "stand-in 1.0", [sys.executable, "-c", STAND_IN, self.how])


def measured(folder: Path, peers: Path, name: str = "W2/64-in-flight") -> Row:
    case: Case = next(case for case in CASES if case.name == name)
    task = Task(name, "memory", 32, 2, str(folder), str(peers), is_quick=True)
    return asyncio.run(run_case(case, task, InlineCompiler()))


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> type[StandIn]:
    """What stands for the Node engine from now on."""

    class Chosen(StandIn):
        pass

    monkeypatch.setattr(bench_run, "NodeEngine", Chosen)
    monkeypatch.setattr("bench.stored.NodeEngine", Chosen)
    monkeypatch.setattr("bench.peer.QUICK_WARM_UP_S", 0.0)
    return Chosen


def test_a_peer_is_measured_beside_ours(stand_in: type[StandIn], tmp_path: Path) -> None:
    row = measured(tmp_path, tmp_path)
    theirs = row.peers["stand-in 1.0"]
    assert theirs.cpu_us == {"median": 90.0, "min": 90.0, "max": 90.0}
    assert theirs.share_cpu is not None
    assert theirs.share_cpu["median"] == pytest.approx(90 / row.ours.cpu_us["median"], rel=0.9)
    assert theirs.rss_mb == 99.0
    assert row.keeps == {"ours": "nothing", "stand-in 1.0": "nothing"}
    assert not row.absent


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("wrong", "W2/64-in-flight/memory: stand-in 1.0: an event was answered with"),
        ("forgets", "W2/64-in-flight/memory: stand-in 1.0: the counters sum up to 7"),
    ],
)
def test_wrong_work_of_a_peer_fails_the_run(
    how: str, said: str, stand_in: type[StandIn], tmp_path: Path
) -> None:
    stand_in.how = how
    with pytest.raises(WrongAnswer, match=said):
        measured(tmp_path, tmp_path)


def test_a_peer_that_dies_leaves_its_row_empty(stand_in: type[StandIn], tmp_path: Path) -> None:
    stand_in.how = "dies"
    row = measured(tmp_path, tmp_path)
    assert row.absent == {"pico-engine-core": "stand-in 1.0 stopped: Error: out of memory"}
    assert not row.peers


def test_a_peer_that_hangs_is_ended() -> None:
    peer = Peer("sleeper", [sys.executable, "-c", STAND_IN, "sleeps"])
    try:
        with pytest.raises(OSError, match=r"sleeper stopped: it gave no answer in 0\.5 s"):
            peer.say('{"do": "open"}', 0.5)
    finally:
        peer.close()


def test_peers_that_are_not_installed_are_said(tmp_path: Path) -> None:
    row = measured(tmp_path, tmp_path / "nowhere")
    assert (
        "has no node_modules/pico-engine-core; python -m bench peers"
        in row.absent["pico-engine-core"]
        or row.absent["pico-engine-core"] == "node is not on the path"
    )


def test_node_that_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "node_modules/pico-engine-core"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"version": "1.3.0"}')
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OSError, match="node is not on the path"):
        NodeEngine(tmp_path)


def test_start_up_of_a_peer(stand_in: type[StandIn], tmp_path: Path) -> None:
    found = peer_start(3, tmp_path, tmp_path, 2)
    assert found["stand-in 1.0"]["open_ms"] == 5.0
    assert found["stand-in 1.0"]["picos"] == 3
    stand_in.how = "loses"
    with pytest.raises(WrongAnswer, match="opened 3 picos, and should 4"):
        peer_start(3, tmp_path, tmp_path, 1)


def test_default_folder_is_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PICOS_PEERS", "~/elsewhere")
    assert default_folder() == Path("~/elsewhere").expanduser()


@pytest.mark.parametrize("case", [c for c in CASES if c.peer is not None], ids=lambda c: c.name)
def test_plans_are_data(case: Case) -> None:
    assert case.peer is not None
    plan = case.peer()
    if case.size is None or case.size.value < 1000:
        assert json.loads(json.dumps(plan))["kind"] == plan["kind"]
    rulesets = Path("bench/rulesets")
    if "ruleset" in plan:
        assert (rulesets / f"{plan['ruleset']}.krl").is_file()


# --- The real one, where it is installed ----------------------------------------------------------

needs_peers = pytest.mark.skipif(
    "PICOS_PEERS" not in os.environ, reason="PICOS_PEERS names no folder with peers"
)


@pytest.fixture
def node_engine() -> Iterator[NodeEngine]:
    peer = NodeEngine(default_folder())
    yield peer
    peer.close()


@needs_peers
@pytest.mark.parametrize("case", [c for c in CASES if c.peer is not None], ids=lambda c: c.name)
def test_node_engine_does_every_workload(
    case: Case, node_engine: NodeEngine, tmp_path: Path
) -> None:
    assert case.peer is not None
    node_engine.open(case.peer(), "memory", tmp_path)
    few = 1 if case.units >= 100 else 32
    assert node_engine.stretch(few, min(few, case.flight)).cpu_us > 0
    node_engine.verify()


@needs_peers
def test_wrong_answers_of_the_node_engine_are_noticed(
    node_engine: NodeEngine, tmp_path: Path
) -> None:
    case = next(case for case in CASES if case.name == "W1/sequential")
    assert case.peer is not None
    plan = case.peer()
    plan["requests"][0]["attrs"] = {"name": "Eve"}
    node_engine.open(plan, "memory", tmp_path)
    with pytest.raises(WrongAnswer, match=r'pico-engine-core .*"name":"Eve"'):
        node_engine.stretch(4, 1)
