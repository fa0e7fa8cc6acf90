"""How the commands talk to a running engine: finding it, and one request with its answer.

In: what the command line and the environment say. Out: decoded JSON, or `Refused` with what the
engine answered, or `Unreachable`. Invariant: the admin token of a data folder goes only to the
engine that announced itself there. Standard library only: a command should start in no time.
Not here: what commands print (cli.py); clients for programs speak channels.
"""

import http.client
import json
import os
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from runtime.home import default_home, read_address

_R_CODE = re.compile(r"R[1-9]\d{3}")
_JSON_HEADERS = {"Content-Type": "application/json"}


class Unreachable(Exception):  # noqa: N818 - what it says is the point
    """No engine can be talked to; the text says why, `hint` what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Refused(Exception):  # noqa: N818
    """The engine answered with an error; `answer` is its body."""

    def __init__(self, status: int, answer: dict[str, Any]) -> None:
        super().__init__(str(answer.get("error", f"the engine answered with status {status}")))
        self.status = status
        self.answer = answer


class Target(NamedTuple):
    """An engine to talk to. `token` is "" when none is known."""

    url: str
    token: str


def find_engine(home: str | None = None, port: int | None = None) -> Target:
    """The engine that options and environment name: --home, --port, PICO_URL, the default folder.

    Raises: Unreachable when none is running where it should be.
    """
    token = os.environ.get("PICO_TOKEN", "")
    if home is None:
        url = f"http://127.0.0.1:{port}" if port else os.environ.get("PICO_URL", "").rstrip("/")
        if url:
            return Target(url, token or _own_token(url))
    folder = Path(home).expanduser() if home else default_home()
    address = read_address(folder)
    if address is None:
        raise Unreachable(
            f"no engine is running with the data folder {folder}",
            f"start one with `pico serve --home {folder}`, or name another with --home or --port",
        )
    return Target(address.url, token or address.token)


def _own_token(url: str) -> str:
    """The token of the default folder, if it is this engine that announced itself there."""
    address = read_address(default_home())
    if address is None:
        return ""
    mine, asked = urllib.parse.urlsplit(address.url), urllib.parse.urlsplit(url)
    is_local = asked.hostname in ("127.0.0.1", "localhost", "::1")
    return address.token if is_local and mine.port == asked.port else ""


def ask(
    target: Target,
    path: str,
    body: Any = None,
    *,
    needs_token: bool = False,
    timeout_s: float = 60.0,
) -> Any:
    """Ask the engine, by POST when there is a body, and give the decoded answer.

    Raises: Refused for an answer with an error, Unreachable when none comes.
    """
    content = None if body is None else json.dumps(body).encode()
    with _requested(target, path, content, needs_token, timeout_s) as reply:
        return _decoded(target, reply.status, reply.read())


class Shown(NamedTuple):
    """A part of a stream: its name ("" for what it is about), and its decoded value."""

    name: str
    value: Any


def follow(target: Target, path: str, timeout_s: float = 60.0) -> Iterator[Shown]:
    """Ask for a stream with the token, and yield its parts until it ends; the first is `begun`.

    Raises: as `ask`; a stream that breaks off raises Unreachable.
    """
    with _requested(target, path, None, True, timeout_s) as reply:
        if reply.status != 200 or reply.getheader("content-type", "")[:17] != "text/event-stream":
            _decoded(target, reply.status, reply.read())
            raise Unreachable(f"{target.url} gives no stream", "use an engine of the same age")
        yield Shown("begun", None)
        name = ""
        while line := reply.readline():
            field, _, text = line.decode().rstrip("\n").partition(": ")
            if field == "event":
                name = text
            elif field == "data":
                yield Shown(name, json.loads(text))
                name = ""


@contextmanager
def _requested(
    target: Target, path: str, content: bytes | None, needs_token: bool, timeout_s: float
) -> Iterator[http.client.HTTPResponse]:
    """The response to one request, to be read within.

    Raises: Unreachable, also for what goes wrong while it is read.
    """
    parts = urllib.parse.urlsplit(target.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        hint = "give an address such as http://127.0.0.1:3000 in PICO_URL"
        raise Unreachable(f"{target.url!r} is no address of an engine", hint)
    headers = dict(_JSON_HEADERS)
    if needs_token:
        if not target.token:
            hint = "set PICO_TOKEN, or name the engine's data folder with --home"
            raise Unreachable(f"the admin token of {target.url} is not known here", hint)
        headers["Authorization"] = f"Bearer {target.token}"
    is_secure = parts.scheme == "https"
    make = http.client.HTTPSConnection if is_secure else http.client.HTTPConnection
    try:
        connection = make(parts.hostname, parts.port, timeout=timeout_s)
        method = "GET" if content is None else "POST"
        try:
            connection.request(method, parts.path.rstrip("/") + path, content, headers)
            yield connection.getresponse()
        finally:
            connection.close()
    except TimeoutError:
        hint = "the engine may be busy; wait longer with --timeout"
        message = f"{target.url} did not answer within {timeout_s:g} seconds"
        raise Unreachable(message, hint) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        hint = "start it with `pico serve`, or name another engine with --home or --port"
        raise Unreachable(f"{target.url} cannot be reached: {error}", hint) from None


def _decoded(target: Target, status: int, data: bytes) -> Any:
    try:
        answer = json.loads(data)
    except ValueError:
        hint = "check the address; a pico engine answers in JSON"
        raise Unreachable(f"what answers at {target.url} is no pico engine", hint) from None
    # With --compat-status an error has status 200; its code tells it from a ruleset's own answer.
    is_refused = isinstance(answer, dict) and _R_CODE.fullmatch(str(answer.get("code"))) is not None
    if status != 200 or is_refused:
        raise Refused(status, answer if isinstance(answer, dict) else {})
    return answer


def address(where: str, params: Mapping[str, str | None]) -> str:
    """A path with those parameters that have a value."""
    given = {name: value for name, value in params.items() if value}
    return f"{where}?{urllib.parse.urlencode(given)}" if given else where


def path(*parts: str) -> str:
    """A path of these segments, each of them quoted."""
    return "".join("/" + urllib.parse.quote(part, safe="") for part in parts)
