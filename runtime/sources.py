"""Reading the source behind a URL, for the fetcher's thread: files, and HTTP servers.

In: a URL, and for a rule a guard. Out: the text, or a fault that says why there is none.
Invariants: with a guard every redirect is checked like the URL, and a connection is made only to an
address that the guard has seen, so no name server can lead elsewhere; without one the owner asked,
who may fetch from anywhere. Blocks its caller.
"""

from __future__ import annotations

import http.client
import socket
import urllib.error
import urllib.parse
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

from runtime.errors import Fault
from runtime.limits import source_bytes_max, source_fetch_s
from runtime.source_policy import Guard


def fetch(url: str, guard: Guard | None = None) -> str:
    """The text behind a URL.

    Raises: R2012 when there is none, it is too large, or is no UTF-8 text; R5005 when the guard
    refuses the address of the server or where it redirects to.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "file":
        data = _read_file(url, urllib.parse.unquote(parts.netloc + parts.path))
    elif parts.scheme in ("http", "https"):
        data = _read_http(url, guard)
    else:
        raise Fault(
            "R2012",
            f"{url} has no scheme that a ruleset can be fetched by",
            "use a file:, http: or https: URL",
        )
    if len(data) > source_bytes_max:
        raise Fault("R2012", f"{url} is larger than {source_bytes_max} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Fault("R2012", f"{url} is not UTF-8 text") from None


def _read_file(url: str, path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(source_bytes_max + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Fault("R2012", f"{url} cannot be read: {reason}") from None


def _read_http(url: str, guard: Guard | None) -> bytes:
    opener = urllib.request.build_opener(*([] if guard is None else _guarded(guard)))
    try:
        with opener.open(url, timeout=source_fetch_s) as response:
            data: bytes = response.read(source_bytes_max + 1)
            return data
    except urllib.error.HTTPError as error:
        error.close()
        raise Fault("R2012", f"Got a statusCode={error.code} for: {url}") from None
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise Fault("R2012", f"{url} cannot be fetched: {reason}") from None


# --- With a guard ---------------------------------------------------------------------------------


def _guarded(guard: Guard) -> list[Any]:
    """Handlers that check redirects and connect only to allowed addresses, never by a proxy."""
    return [
        urllib.request.ProxyHandler({}),
        _Redirects(guard),
        _Http(guard),
        _Https(guard),
    ]


class _Redirects(urllib.request.HTTPRedirectHandler):
    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def redirect_request(self, *args: Any) -> urllib.request.Request | None:
        # (request, file, code, message, headers, new URL)
        try:
            self._guard.check(args[5])
        except Fault:
            args[1].close()
            raise
        return super().redirect_request(*args)


class _Http(urllib.request.HTTPHandler):
    def __init__(self, guard: Guard) -> None:
        super().__init__()
        self._guard = guard

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_connection, http.client.HTTPConnection, self._guard), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, guard: Guard) -> None:
        super().__init__()
        self._guard = guard

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_connection, http.client.HTTPSConnection, self._guard), req)


def _connection(
    kind: type[http.client.HTTPConnection], guard: Guard, host: str, **more: Any
) -> http.client.HTTPConnection:
    connection = kind(host, **more)
    # The name stays with the connection, for the Host header and the certificate.
    connection._create_connection = partial(_connect, guard)  # type: ignore[attr-defined]
    return connection


def _connect(
    guard: Guard, address: tuple[str, int], timeout: float | None = None, *_: Any
) -> socket.socket:
    """Connect to the first address of a host that is allowed and answers.

    Raises: R5005 when none is allowed; OSError.
    """
    host, port = address
    guard.hosts.check_address(host, port)
    found: list[Any] = list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    allowed = set(guard.hosts.allowed(host, port, [str(entry[4][0]) for entry in found]))
    failed: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, place in found:
        if str(place[0]) not in allowed:
            continue
        made = socket.socket(family, kind, protocol)
        made.settimeout(timeout)
        try:
            made.connect(place)
        except OSError as error:
            made.close()
            failed = error
        else:
            return made
    raise failed
