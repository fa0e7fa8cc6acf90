"""Patterns that only an ECMAScript engine understands, run in a process that can be killed.

In: source, flags and text of one request. Out: the spans of the matches, or a fault when late.
Invariants: one process, started at first use, killed when a request is late or the pipe breaks, and
started again by the next request; nothing but JSON lines crosses the pipe; the process has no
access to anything of the engine.

`find` blocks its caller for at most `pattern_deadline_ms`, without holding the interpreter; within
a turn `outside` has it done in another thread, while the turn is parked (budget.py).
"""

from __future__ import annotations

import atexit
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import IO, Any

import regress

from runtime.errors import Fault
from runtime.limits import pattern_deadline_ms, pattern_helper_characters_max

Spans = Sequence[tuple[int, int]]

# Starting a Python process is not matching: it has its own, longer, deadline.
_START_MS = 10_000


def check(source: str, flags: str) -> None:
    """Refuse a pattern that the ECMAScript engine does not take.

    Raises: R2017.
    """
    try:
        regress.Regex(_joined(source), flags.replace("g", ""))
    except regress.RegressError as reason:
        raise Fault("R2017", f"re#{source[:60]}#: {reason}") from None


def find(source: str, flags: str, groups: int, text: str, only_first: bool) -> list[Spans]:
    """The spans of the first match, or of all: the whole first, then `groups` groups.

    Raises: R4004 for a text beyond its bound; R4016 at the deadline.
    """
    if len(text) > pattern_helper_characters_max:
        raise Fault(
            "R4004",
            f"re#{source[:60]}# cannot be matched in bounded time; for such patterns a text"
            f" has at most {pattern_helper_characters_max} characters",
        )
    request = {
        "source": _joined(source),
        "flags": flags.replace("g", ""),
        "groups": groups,
        "text": _joined(text),
        "only_first": only_first,
    }
    answer = outside(lambda: _helper.ask(request))
    if answer is None:
        raise Fault(
            "R4016", f"re#{source[:60]}# took longer than {pattern_deadline_ms} ms on a text"
        )
    return [[(start, end) for start, end in match] for match in answer]


def stop() -> None:
    """End the helper process, if it runs; the next request starts another."""
    _helper.stop()


def _run_here(ask: Callable[[], tuple[Any, int]]) -> Any:
    return ask()[0]


outside: Callable[[Callable[[], tuple[Any, int]]], Any] = _run_here


def _joined(text: str) -> str:
    """The text without lone surrogates, which the other engine has no form for."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class _Helper:
    """The process and its pipe. One request at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._is_registered = False

    def ask(self, request: dict[str, Any]) -> tuple[Any, int]:
        """Send one request; its answer, and the nanoseconds that it took.

        The answer is None, with the process killed, when it is late.
        """
        line = json.dumps(request).encode("ascii") + b"\n"
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            begun = time.monotonic_ns()
            answer = self._exchange(line, pattern_deadline_ms)
            took_ns = time.monotonic_ns() - begun
            if answer is None:
                self._kill()
                return None, took_ns
        return json.loads(answer), took_ns

    def stop(self) -> None:
        with self._lock:
            self._kill()

    def _start(self) -> None:
        self._kill()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            close_fds=True,
        )
        for pipe in (self._process.stdin, self._process.stdout):
            os.set_blocking(_pipe(pipe), False)
        if not self._is_registered:
            # Else the interpreter complains at its end about a process that still runs.
            atexit.register(self.stop)
            self._is_registered = True
        if self._exchange(b"\n", _START_MS) is None:
            self._kill()
            raise Fault("R9001", "the pattern helper process does not start")

    def _exchange(self, line: bytes, deadline_ms: int) -> bytes | None:
        """Write a line and read one; None when that takes too long or the process ends."""
        assert self._process is not None
        deadline = time.monotonic() + deadline_ms / 1000
        to_helper, from_helper = _pipe(self._process.stdin), _pipe(self._process.stdout)
        waiting = select.poll()
        waiting.register(from_helper, select.POLLIN)
        waiting.register(to_helper, select.POLLOUT)
        unsent = memoryview(line)
        received = bytearray()
        while not received.endswith(b"\n"):
            left_ms = (deadline - time.monotonic()) * 1000
            if left_ms <= 0:
                return None
            try:
                for pipe, _ in waiting.poll(left_ms):
                    if pipe == to_helper:
                        unsent = unsent[os.write(to_helper, unsent) :]
                        if not unsent:
                            waiting.unregister(to_helper)
                    else:
                        piece = os.read(from_helper, 1 << 16)
                        if not piece:
                            return None
                        received += piece
            except BlockingIOError:
                continue
            except OSError:
                return None
        return bytes(received)

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def _pipe(pipe: IO[bytes] | None) -> int:
    assert pipe is not None
    return pipe.fileno()


# The process sees the packages of this interpreter and nothing of ours.
_PROGRAM = """
import json, sys
import regress

def units(data):
    # The engine counts bytes of UTF-8, KRL counts units of UTF-16.
    return len(data) if data.isascii() else len(data.decode().encode("utf-16-le")) // 2

def run(request):
    pattern = regress.Regex(request["source"], request["flags"])
    data = request["text"].encode()
    answer, begin, begun = [], 0, 0
    for match in pattern.find_iter(request["text"]):
        slices = [match.group(number) for number in range(request["groups"] + 1)]
        first = slices[0].start
        begun += units(data[begin:first])
        begin = first
        spans = []
        for found in slices:
            if found is None:
                spans.append((-1, -1))
            elif found.start >= first:
                start = begun + units(data[first : found.start])
                spans.append((start, start + units(data[found.start : found.stop])))
            else:
                # A look-behind may capture what stands before the match.
                start = begun - units(data[found.start : first])
                spans.append((start, start + units(data[found.start : found.stop])))
        answer.append(spans)
        if request["only_first"]:
            break
    return answer

for line in sys.stdin.buffer:
    request = json.loads(line) if line.strip() else None
    answer = run(request) if request else "ready"
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\\n")
    sys.stdout.buffer.flush()
"""

_helper = _Helper()
