"""The commands `krlc` and `pico`, and the process of an engine.

In: arguments. Out: what the commands printed; a running engine that can be stopped and killed.
Invariants: no engine outlives the `with` block that started it, and a command that fails ends the
demo with what it said.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

STOP_SECONDS = 20
COMMAND_SECONDS = 60


class DemoError(Exception):
    """Something that should hold does not; the text says what."""


def run(program: str, *arguments: str | Path) -> str:
    """Run one command of this project and return its output.

    Raises: DemoError with the command's own words when it fails.
    """
    command = [_program(program), *map(str, arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        words = " ".join([program, *command[1:]])
        raise DemoError(f"`{words}` did not end within {COMMAND_SECONDS} seconds") from None
    if done.returncode != 0:
        words = " ".join([program, *command[1:]])
        raise DemoError(f"`{words}` failed:\n{done.stderr or done.stdout}")
    return done.stdout


def run_json(program: str, *arguments: str | Path) -> Any:
    """Run one command with --json and return what it printed.

    Raises: DemoError as `run`.
    """
    return json.loads(run(program, *arguments, "--json"))


def _program(name: str) -> str:
    """The script beside this Python: the one of the environment that the demo runs in."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        raise DemoError(f"the command {name} is not installed in this environment: use `make demo`")
    return str(path)


class EngineProcess:
    """`pico serve` on a data folder; `url` is where it listens. Port 0 means any free one."""

    def __init__(self, home: Path, port: int = 0) -> None:
        self._log = home.with_name(home.name + ".log")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [_program("pico"), "serve", "--home", str(home), "--port", str(port), "--json"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.pid = self._process.pid
        self.url = ""
        self.port = port

    def __enter__(self) -> EngineProcess:
        try:
            assert self._process.stdout is not None
            line = self._process.stdout.readline()
            if not line:
                raise DemoError(f"the engine did not start:\n{self._log.read_text()}")
            self.url = json.loads(line)["url"]
            self.port = urlsplit(self.url).port or 0
        except BaseException:
            self._end(signal.SIGKILL)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the process at once, as a power cut would end it for everyone outside."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask the engine to stop, as Ctrl-C does.

        Raises: DemoError when it does not end with exit code 0.
        """
        code = self._end(signal.SIGTERM)
        if code != 0:
            raise DemoError(f"the engine stopped with exit code {code}:\n{self._log.read_text()}")

    def _end(self, number: signal.Signals) -> int:
        process = self._process
        if process.poll() is None:
            process.send_signal(number)
        try:
            code = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        if process.stdout is not None:
            process.stdout.close()
        return code
