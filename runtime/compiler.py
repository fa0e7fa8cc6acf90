"""The compiler seen from the engine: a helper process behind a pipe, and the fetching of sources.

In: source texts and URLs. Out: what `registry.py` keeps, delivered on the driving loop. Invariants:
the engine process never imports the compiler; one request at a time, in order; a helper that dies
is started again for the next request, and the one it died on is refused. Not here: what is kept.
"""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from runtime.errors import Fault
from runtime.source_policy import Guard
from runtime.sources import fetch
from runtime.store import Deliver

COMPILER_VERSION = "0.2.0"
Compiled = Callable[[dict[str, Any] | Fault], object]
Fetched = Callable[[str | Fault], object]


class _Work:
    """A thread that does blocking jobs one after the other, and delivers results on the loop."""

    def __init__(self, name: str, deliver: Deliver) -> None:
        self._deliver = deliver
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Callable[[Any], object]] | None]
        self._jobs = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._name = name

    def do(self, job: Callable[[], Any], done: Callable[[Any], object]) -> None:
        """Run `job` in the thread; `done` gets what it returns, or the Fault it raised."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._jobs.put((job, done))

    def _run(self) -> None:
        while (entry := self._jobs.get()) is not None:
            job, done = entry
            try:
                result = job()
            except Fault as fault:
                result = fault
            except Exception as error:
                result = Fault("R9001", f"{self._name} failed: {type(error).__name__}: {error}")
            self._deliver(lambda done=done, result=result: done(result))  # type: ignore[misc]

    def stop(self) -> None:
        """End the thread after the jobs that wait."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None


class HelperCompiler:
    """Compiles in a helper process, started when first needed."""

    version = COMPILER_VERSION

    def __init__(self, deliver: Deliver) -> None:
        self._work = _Work("compiler", deliver)
        self._process: subprocess.Popen[bytes] | None = None

    def compile(self, text: str, url: str, done: Compiled) -> None:
        """Compile one ruleset; `done` gets {rid, manifest, module, code}, or a Fault (R2007)."""
        self._work.do(lambda: self._ask(text, url), done)

    def _ask(self, text: str, url: str) -> dict[str, Any]:
        try:
            request = msgspec.msgpack.encode({"text": text, "url": url})
        except UnicodeEncodeError:
            raise Fault("R2007", f"{url} is not valid Unicode text") from None
        process = self._process
        if process is None or process.poll() is not None:
            process = self._process = subprocess.Popen(
                [sys.executable, "-m", "krlc.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(len(request).to_bytes(4, "big") + request)
            process.stdin.flush()
            head = process.stdout.read(4)
            data = process.stdout.read(int.from_bytes(head, "big")) if len(head) == 4 else b""
        except OSError:
            data = b""
        if not data:
            self._end()
            raise Fault("R9001", f"the compiler's helper process died while compiling {url}")
        reply: dict[str, Any] = msgspec.msgpack.decode(data)
        if not reply["ok"]:
            raise Fault("R2007", f"{url} does not compile: {reply['message']}", reply["text"])
        return reply

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.close()
        except OSError:
            process.kill()
        process.stdout.close()
        process.wait()

    def close(self) -> None:
        """End the helper and its thread."""
        self._work.stop()
        self._end()


class UrlFetcher:
    """Reads sources from `file:`, `http:` and `https:` URLs in a thread of its own."""

    def __init__(self, deliver: Deliver) -> None:
        self._work = _Work("fetcher", deliver)

    def fetch(self, url: str, done: Fetched, guard: Guard | None = None) -> None:
        """Read one text; `done` gets it, or a Fault (R2012, R5005)."""
        self._work.do(lambda: fetch(url, guard), done)

    def close(self) -> None:
        """End the thread."""
        self._work.stop()
