"""The Node pico engine as another engine that tests talk to, behind node_engine.js.

In: the folder where `python -m bench peers` installed it (PICOS_PEERS names another). Out: a
process that listens on one port over one data folder, and can be killed and started again. Where it
is not installed, tests skip and say so.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from bench.measure import WrongAnswer
from bench.peer import Peer, default_folder, node
from runtime.client_http import Target, ask
from tests.peer.rulesets import FOLDER

SCRIPT = Path(__file__).with_name("node_engine.js")


def find_node_engine() -> Path:
    """The folder with pico-engine-core, or the reason to skip."""
    folder = default_folder()
    try:
        node()
    except OSError as error:
        pytest.skip(str(error))
    if not (folder / "node_modules/pico-engine-core").is_dir():
        pytest.skip(f"no pico-engine-core in {folder}: `python -m bench peers` installs it")
    return folder


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class NodeEngine:
    """One data folder and port, and the process that serves it now."""

    def __init__(self, data: Path) -> None:
        self._command = [node(), str(SCRIPT), str(find_node_engine().resolve()), str(FOLDER)]
        self._data = data
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: Peer | None = None

    def __enter__(self) -> NodeEngine:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill()

    def start(self) -> None:
        """Have it listen."""
        self._process = Peer("the Node engine", self._command)
        self._say({"do": "open", "data": str(self._data), "port": self.port})

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.process.kill()
        self._process.close()
        self._process = None

    def _say(self, order: dict[str, Any]) -> Any:
        assert self._process is not None
        try:
            return self._process.say(json.dumps(order))
        except WrongAnswer as wrong:
            raise AssertionError(str(wrong)) from None

    def install(self, name: str) -> None:
        """Install a ruleset of krl/ on the root pico."""
        self._say({"do": "install", "name": name})

    def channel(self, *tags: str) -> str:
        """The ECI of a new channel of the root pico, which allows everything."""
        eci: str = self._say({"do": "channel", "tags": list(tags)})["eci"]
        return eci

    def requests(self) -> list[dict[str, Any]]:
        """What came over HTTP since this was asked last: at, method, url, attrs, status, body."""
        found: list[dict[str, Any]] = self._say({"do": "requests"})["requests"]
        return found

    def event(self, eci: str, domain: str, name: str, attrs: dict[str, Any]) -> Any:
        """Send an event and wait."""
        return ask(Target(self.url, ""), f"/c/{eci}/event-wait/{domain}/{name}", attrs)

    def query(self, eci: str, rid: str, name: str) -> Any:
        """Ask a shared function."""
        return ask(Target(self.url, ""), f"/c/{eci}/query/{rid}/{name}", {})
