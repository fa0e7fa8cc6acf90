"""Two `pico serve` processes, one sending to the other, and both ending meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runtime.client_http import Refused
from tests.harness.process import Served, wait_for
from tests.peer.node import free_port
from tests.peer.rulesets import TALK

COUNT = 500
BATCH = 50


class Town:
    """One engine with the ruleset `talk`, on a port that it keeps."""

    def __init__(self, home: Path) -> None:
        port = free_port()
        options = ("--channel-port", str(free_port()), "--allow-host", "127.0.0.1")
        self.served = Served(home, "--port", str(port), *options)
        self.url = f"http://127.0.0.1:{port}"
        self.served.start()
        self.served.install("file:talk.krl", TALK)
        self.eci = self.served.root_eci()

    def say(self, there: Town, notes: list[int]) -> None:
        attrs = {"host": there.url, "eci": there.eci, "notes": notes}
        answer = self.served.event(self.eci, "talk", "say", attrs)
        assert "errors" not in answer

    def heard(self) -> list[Any]:
        found: list[Any] = self.served.query(self.eci, "talk", "heard")
        return found

    def has_heard(self, count: int) -> bool:
        try:
            return len(self.heard()) >= count
        except (OSError, Refused):
            return False


def test_events_sent_while_the_other_is_down_arrive_once_and_in_order(tmp_path: Path) -> None:
    """The receiver is killed while 500 are sent, and the sender stopped before the last ones."""
    here, there = Town(tmp_path / "here"), Town(tmp_path / "there")
    with here.served, there.served:
        here.say(there, [-1])
        wait_for("the first event", lambda: there.has_heard(1))
        for each in range(0, COUNT, BATCH):
            if each == BATCH * 2:
                there.served.kill()
            if each == COUNT - BATCH:
                here.served.stop()
                here.served.start()
            here.say(there, list(range(each, each + BATCH)))
        there.served.start()
        wait_for("all events", lambda: there.has_heard(COUNT + 1))
        assert there.heard() == [-1, *range(COUNT)]
        assert here.served.query(here.eci, "talk", "given_back") == []
        assert here.served.stop() == there.served.stop() == (0, "")
