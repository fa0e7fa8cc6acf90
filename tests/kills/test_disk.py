"""Disks and clocks that do not do what they should: a clear stop, or a stated behaviour."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path
from typing import Any

import pytest

from runtime.cli import main
from runtime.client_http import Refused, ask
from runtime.clock import VirtualClock
from runtime.errors import Fault
from runtime.limits import answer_bucket_ms
from runtime.memory import MemoryStore
from tests.harness.engine import TestEngine
from tests.harness.process import Served
from tests.kills.powered import COUNTER

# The system rulesets take half a megabyte of it.
FILE_BYTES_MAX = 1_000_000


def limit_files() -> None:
    """From now on no file of this process may grow beyond some size, as if the disk were full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES_MAX, FILE_BYTES_MAX))


def fill_the_disk(served: Served, root: str, done: list[str]) -> Refused:
    """Send events until one is refused; those that were acknowledged are added to `done`."""
    for number in range(1000):
        for how in ("event-wait", "event"):
            name = f"{how}-{number}"
            body = {"n": name, "ballast": "x" * 5_000}
            try:
                ask(served.target, f"/c/{root}/{how}/power/count", body)
            except Refused as refused:
                return refused
            done.append(name)
    raise AssertionError("the disk does not get full")


def test_full_disk_stops_the_engine_and_loses_nothing(tmp_path: Path) -> None:
    done: list[str] = []
    with Served(tmp_path / "home") as served:
        served.start(limit_files)
        root = served.root_eci()
        served.install("power:counter", COUNTER)
        path = f"/c/{root}/event-wait/power/count"
        refused = fill_the_disk(served, root, done)
        assert done
        assert refused.status >= 500
        assert refused.answer["code"] in ("R3003", "R3004")
        # It stays stopped, and says the same to everybody.
        for asked in (path, f"/c/{root}/query/power.counter/seen"):
            with pytest.raises(Refused) as again:
                ask(served.target, asked, {"n": "late"})
            assert again.value.answer["code"] == refused.answer["code"]
        _, err = served.stop()
        assert "R3003" in err or "R3004" in err
        assert "Traceback" not in err
        served.start()
        seen = served.query(root, "power.counter", "seen")
        assert {name: seen.get(name) for name in done} == dict.fromkeys(done, 1)
        assert "late" not in seen
        assert set(seen.values()) == {1}
        # With room on the disk it goes on.
        served.event(root, "power", "count", {"n": "after"})
        assert served.query(root, "power.counter", "seen")["after"] == 1


def told_at_start(home: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    code = main(["serve", "--home", str(home), "--port", "0", "--json"])
    out, err = capsys.readouterr()
    assert (code, err) == (3, "")
    told: dict[str, str] = json.loads(out)
    return told


def test_folder_that_cannot_be_made_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    # Nobody can make a folder there, not even root.
    told = told_at_start(Path("/proc/picos"), capsys)
    assert told["code"] == "R3005"
    assert "/proc/picos" in told["error"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into read-only folders")
def test_read_only_folder_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o500)
    told = told_at_start(home, capsys)
    assert told["code"] == "R3005"


class SteppedClock(VirtualClock):
    """A clock that somebody sets back."""

    def set_back(self, ms: int) -> None:
        self._now_ms -= ms


@pytest.fixture
def stepped() -> tuple[TestEngine, SteppedClock]:
    clock = SteppedClock(100 * answer_bucket_ms)
    engine = TestEngine(MemoryStore(clock.call_soon), clock=clock)
    engine.install(COUNTER)
    return engine, clock


def test_clock_set_back_keeps_keys(stepped: tuple[TestEngine, SteppedClock]) -> None:
    engine, clock = stepped
    first = engine.event("power", "count", {"n": "a"}, key="k")
    clock.set_back(3 * answer_bucket_ms)
    assert engine.event("power", "count", {"n": "a"}, key="k") == first
    # Also after a restart, when only the store remembers.
    again = TestEngine(engine.store, clock=clock)
    assert again.event("power", "count", {"n": "a"}, key="k") == first
    assert again.query("power.counter", "seen") == {"a": 1}
    with pytest.raises(Fault) as conflict:
        again.event("power", "count", {"n": "b"}, key="k")
    assert conflict.value.code == "R1008"


def test_clock_set_back_keeps_order_and_signals(stepped: tuple[TestEngine, SteppedClock]) -> None:
    engine, clock = stepped
    core = engine.core
    eids: list[Any] = []
    for name in "abc":
        engine.core.post_signal(engine.root, "power", "count", {"n": name}, eids.append)
        clock.set_back(answer_bucket_ms)
    core.committer.flush()
    found = TestEngine(engine.store.crash(surviving=9), clock=clock)  # type: ignore[attr-defined]
    assert list(found.query("power.counter", "seen")) == ["a", "b", "c"]


def test_clock_set_back_within_a_time_limit() -> None:
    clock = SteppedClock(10_000_000)
    engine = TestEngine(MemoryStore(clock.call_soon), clock=clock)
    engine.install(
        'ruleset t { rule r { select when e p before e q within 5 seconds send_directive("r") } }'
    )
    assert engine.directives("e", "p") == []
    clock.set_back(60_000)
    # No more time than allowed has passed, as far as anybody knows.
    assert engine.directives("e", "q") == [("r", {})]
    # Once the clock is where it was, the limit holds as before.
    clock.advance(120)
    assert engine.directives("e", "p") == []
    clock.advance(6)
    assert engine.directives("e", "q") == []
