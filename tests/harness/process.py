"""`pico serve` as a process that tests start, kill and start again, and a client that loads it.

In: a data folder, events. Out: a running process with its address, and plain keep-alive connections
to it. Waiting is always for a condition, with a deadline.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from runtime.client_http import Target, ask
from runtime.home import read_address

DEADLINE_S = 120.0


def wait_for(what: str, condition: Callable[[], Any]) -> Any:
    """Ask again and again until the condition holds; its value.

    Raises: AssertionError after the deadline.
    """
    end = time.monotonic() + DEADLINE_S
    pause = 0.002
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
    raise AssertionError(f"{what} did not happen in {DEADLINE_S:.0f} s")


class Served:
    """One data folder, and the process that serves it now."""

    def __init__(self, home: Path, *options: str) -> None:
        self.home = home
        self.options = options
        self.process: subprocess.Popen[str] | None = None
        self.target = Target("", "")

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()

    def start(self, before: Callable[[], None] | None = None) -> None:
        """Start the engine and wait until it listens; `before` runs in the new process first."""
        command = [sys.executable, "-m", "runtime", "serve", "--home", str(self.home)]
        self.process = subprocess.Popen(
            [*command, "--port", "0", "--quiet", *self.options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=before,
        )
        address = wait_for("an engine that listens", self._address)
        self.target = Target(address.url, address.token)

    def _address(self) -> Any:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"pico serve ended: {self.process.communicate()[1]}")
        address = read_address(self.home)
        return address if address is not None and address.pid == self.process.pid else None

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.communicate()
        self.process = None

    def stop(self) -> tuple[int, str]:
        """SIGTERM; the exit code and what was written to stderr."""
        assert self.process is not None
        self.process.terminate()
        _, err = self.process.communicate(timeout=DEADLINE_S)
        code = self.process.returncode
        self.process = None
        return code, err

    def root_eci(self) -> str:
        """An allow-all channel of the root pico."""
        eci: str = ask(self.target, "/api/ui-context", needs_token=True)["eci"]
        return eci

    def install(self, url: str, source: str) -> None:
        """Install a ruleset on the root pico."""
        ask(self.target, "/api/install", {"url": url, "source": source}, needs_token=True)

    def query(self, eci: str, rid: str, name: str) -> Any:
        """Ask a shared function."""
        return ask(self.target, f"/c/{eci}/query/{rid}/{name}", {})

    def event(self, eci: str, domain: str, name: str, attrs: dict[str, Any]) -> Any:
        """Send an event and wait."""
        return ask(self.target, f"/c/{eci}/event-wait/{domain}/{name}", attrs)


class Connection:
    """One keep-alive connection of a loading client."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname
        self._port = parts.port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, path: str, body: Any, key: str | None = None) -> tuple[int, Any]:
        """One request and its answer.

        Raises: OSError, EOFError when the engine is not there, or goes meanwhile.
        """
        if self._writer is None or self._reader is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        data = json.dumps(body).encode()
        extra = "" if key is None else f"Idempotency-Key: {key}\r\n"
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n{extra}"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        self._writer.write(head.encode() + data)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        answer = await self._reader.readexactly(int(fields["content-length"]))
        return int(lines[0].split()[1]), json.loads(answer) if answer else None

    async def close(self) -> None:
        """Let the connection go."""
        if self._writer is not None:
            self._writer.close()
            self._reader = self._writer = None
