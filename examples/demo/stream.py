"""Many events over one HTTP connection: pipelined, with a bounded number of answers outstanding.

In: the address of an engine and (path, attributes, key) for each event. Out: for each event in
turn, that it was acknowledged. HTTP/1.1 answers come in the order of the requests, so the n-th
answer belongs to the n-th event. Not here: what the events mean.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from examples.demo.processes import DemoError

WINDOW = 64
ANSWER_SECONDS = 30
_READ_BYTES = 1 << 16


class Message(NamedTuple):
    """One event to send: where to, its attributes, and its idempotency key."""

    path: str
    attrs: dict[str, Any]
    key: str


class Cut(Exception):  # noqa: N818 (no error of the demo: it is what the demo waits for)
    """The engine closed the connection, or is gone, before it had answered everything."""


class Stream:
    """One connection to an engine.

    `sent` and `acknowledged` count events, in the order in which they were given to `send`.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._host = parts.netloc
        self._socket = socket.create_connection((parts.hostname, parts.port), ANSWER_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = b""
        self.sent = 0
        self.acknowledged = 0

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, messages: Sequence[Message], on_answer: Callable[[int], object]) -> None:
        """Send all messages; `on_answer` gets the number of answers that came in at once.

        Raises: Cut when the connection ends early, DemoError for an answer that is no success.
        """
        position = 0
        outstanding = 0
        while position < len(messages) or outstanding:
            room = messages[position : position + WINDOW - outstanding]
            if room:
                self._write(room)
                position += len(room)
                outstanding += len(room)
            answers = self._answers()
            outstanding -= answers
            on_answer(answers)

    def drain(self) -> None:
        """Take the answers that were on their way when the connection ended."""
        try:
            while True:
                self._answers()
        except Cut:
            return

    def _write(self, messages: Sequence[Message]) -> None:
        data = b"".join([self._request(message) for message in messages])
        self.sent += len(messages)
        try:
            self._socket.sendall(data)
        except ConnectionError:
            raise Cut from None

    def _request(self, message: Message) -> bytes:
        body = json.dumps(message.attrs).encode()
        head = (
            f"POST {message.path} HTTP/1.1\r\nHost: {self._host}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"Idempotency-Key: {message.key}\r\n\r\n"
        )
        return head.encode() + body

    def _answers(self) -> int:
        """Wait until at least one whole answer is here; how many there are.

        Raises: Cut, DemoError.
        """
        found = 0
        while not found:
            try:
                data = self._socket.recv(_READ_BYTES)
            except TimeoutError:
                message = f"the engine has not answered for {ANSWER_SECONDS} seconds"
                raise DemoError(message) from None
            except ConnectionError:
                raise Cut from None
            if not data:
                raise Cut
            self._read += data
            found = self._take_answers()
        return found

    def _take_answers(self) -> int:
        found = start = 0
        while True:
            middle = self._read.find(b"\r\n\r\n", start)
            if middle < 0:
                break
            status, fields = _parse_head(self._read[start:middle])
            end = middle + 4 + int(fields["content-length"])
            if end > len(self._read):
                break
            if status != 200:
                body = self._read[middle + 4 : end].decode(errors="replace")
                raise DemoError(f"the engine answered an event with status {status}: {body}")
            start = end
            found += 1
            self.acknowledged += 1
        self._read = self._read[start:]
        return found


def _parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields[name.lower()] = value.strip()
    return int(first.split(" ", 2)[1]), fields
