"""The process `pico serve`, started, killed and started again, and what is asked of it.

In: a data folder, and the address that others know the engine by. Out: answers of picos, decoded.
Invariant: no engine outlives the `with` block that started it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import urlsplit

from examples.demo.processes import DemoError
from runtime.client_http import Refused, Target, Unreachable, address, ask, find_engine

STOP_SECONDS = 20
COMMAND_SECONDS = 60
Found = TypeVar("Found")


def python(*arguments: str | Path) -> str:
    """Run a module of this project as a command, and give its output.

    Raises: DemoError with the command's own words when it fails.
    """
    command = [sys.executable, "-m", *map(str, arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        words = " ".join(command[1:])
        raise DemoError(f"`python {words}` did not end in {COMMAND_SECONDS} seconds") from None
    if done.returncode != 0:
        words = " ".join(command[1:])
        raise DemoError(f"`python {words}` failed:\n{done.stderr or done.stdout}")
    return done.stdout


def until(what: str, seconds: float, condition: Callable[[], Found | None]) -> Found:
    """Ask again and again until it holds; what it gave.

    Raises: DemoError when it does not in so many seconds.
    """
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise DemoError(f"{what}: not within {seconds:g} seconds")
        time.sleep(0.05)


class Engine:
    """One engine; `known_as` is the address that it gives others for its picos."""

    def __init__(self, home: Path, known_as: str) -> None:
        self.home = home
        self._known_as = known_as
        self._log = home.with_name(home.name + ".log")
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def __enter__(self) -> Engine:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._end()

    def start(self) -> None:
        """Start it on its data folder, at any free port.

        Raises: DemoError with what it said when it does not start.
        """
        options = ["--port", "0", "--channel-port", "none", "--base-url", self._known_as]
        options += ["--allow-host", "127.0.0.1", "--json", "--quiet"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "runtime", "serve", "--home", str(self.home), *options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._end()
            raise DemoError(f"the engine did not start:\n{self._log.read_text()}")
        self.url = json.loads(line)["url"]

    @property
    def port(self) -> int:
        """Where it listens now."""
        return urlsplit(self.url).port or 0

    @property
    def pid(self) -> int:
        """The number of its process."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """End the process at once, as a power cut would end it for everyone outside."""
        if self._process is not None:
            self._process.kill()
            self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        assert process is not None
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    # --- Asking -----------------------------------------------------------------------------------

    def event(self, eci: str, domain: str, name: str, attrs: dict[str, Any]) -> None:
        """Have a pico handle an event.

        Raises: DemoError when a rule fails, or the event is refused.
        """
        answer = self._ask(f"/c/{eci}/event-wait/{domain}/{name}", attrs)
        if answer.get("errors"):
            raise DemoError(f"{domain}:{name} failed: {answer['errors'][0]['error']}")

    def query(self, eci: str, rid: str, name: str) -> Any:
        """Ask a pico.

        Raises: DemoError when it refuses.
        """
        return self._ask(f"/c/{eci}/query/{rid}/{name}", {})

    def status_of(self, eci: str, rid: str, name: str) -> int:
        """The status with which it answers a query."""
        try:
            ask(Target(self.url, ""), f"/c/{eci}/query/{rid}/{name}", {})
        except Refused as refused:
            return refused.status
        return 200

    def deploy(self, bundle: Path) -> None:
        """Have the engine know what is in a bundle."""
        python("runtime", "deploy", bundle, "--home", self.home)

    def root(self) -> str:
        """A channel of the root pico that allows everything."""
        eci: str = self.show()["root"]["eci"]
        return eci

    def show(self, eci: str | None = None) -> Any:
        """The tree of picos, or one of them in detail, as `pico show` has it."""
        target = find_engine(str(self.home))
        return ask(target, address("/api/show", {"eci": eci}), needs_token=True)

    def _ask(self, path: str, body: dict[str, Any]) -> Any:
        try:
            return ask(Target(self.url, ""), path, body)
        except (Refused, Unreachable) as error:
            raise DemoError(f"{path.split('/', 3)[3]}: {error}") from None
