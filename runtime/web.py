"""The seam to HTTP servers: what a rule asks of one, what comes back, and who carries it.

In: `modules/http.py` and `errands.py` hand a `Request` to a `Web`. Out: a `Response`, or a `Fault`
when there is none. Invariants: a request is complete: it names everything that goes onto the wire
but what the carrier itself must say (`HOP_BY_HOP`); an error status is a response, never a fault;
`redirected` alone decides what follows a redirect. Core code imports this module, so no asyncio.
Not here: any carrier (web_client.py), which hosts may be reached (web_policy.py).

Source: stdlib reference 16; what a redirect does to a request: the Fetch standard, section 4.4.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

from runtime.border import to_json
from runtime.errors import Fault
from runtime.kinds import ordered_items, text

USER_AGENT = "pico-engine-core-http"
# What belongs to a connection, not to a request: the carrier says it, whatever a rule wants.
HOP_BY_HOP = frozenset(
    (
        *("connection", "content-length", "expect", "keep-alive", "proxy-authorization"),
        *("proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
    )
)
# What must not follow a redirect to another server.
_PRIVATE = frozenset(("authorization", "cookie", "host"))
_ABOUT_BODY = frozenset(("content-type", "content-encoding", "content-language"))
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_PORTS = {"http": 80, "https": 443}
_LENGTH = re.compile("[0-9]{1,15}")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
_UNSAFE = re.compile(r"[^!$%&'()*+,./:;=?@_~0-9A-Za-z-]")
_HOST = re.compile(r"[0-9a-z_.-]+|\[[0-9a-f:.]+\]")

# Called once, on the driving loop, never within the call that asks: a Response or a Fault.
Done = Callable[[Any], object]
Cancel = Callable[[], object]
Pairs = tuple[tuple[str, str], ...]


class Request(NamedTuple):
    """One request. `headers` names are in lower case; `follows` says what a redirect does."""

    method: str
    url: str
    headers: Pairs
    body: bytes | None
    follows: bool = True


class Response(NamedTuple):
    """What a server said, whatever its status. `headers` names are in lower case, repeated ones
    apart; the body is decompressed; `url` is where it came from at last."""

    status: int
    reason: str
    headers: Pairs
    body: bytes
    url: str


class Web(Protocol):
    """Carries requests to HTTP servers."""

    def fetch(self, request: Request, done: Done) -> Cancel:
        """Ask once, and call `done(Response or Fault)`; the result gives the request up.

        The carrier has deadlines of its own, so `done` is always called, unless it is given up.
        Faults: R5003 no answer in time, R5004 not reachable, R5005 not allowed, R5008 an answer
        that is none, R4030 one that is too large.
        """


# --- Addresses ------------------------------------------------------------------------------------


def checked_url(url: str) -> str:
    """An absolute http or https URL in the form that goes onto the wire.

    Raises: R2018 for what is no absolute URL, R5005 for another scheme.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = _wire_host(parts.hostname or ""), parts.port
    except ValueError as error:
        raise _no_url(url, str(error)) from None
    if not parts.scheme:
        raise _no_url(url, "it is not absolute")
    if parts.scheme not in _PORTS:
        raise Fault(
            "R5005",
            f"{shown_url(url)} cannot be reached by rulesets: its scheme is {parts.scheme[:20]}",
            "use an http or https URL",
        )
    if _HOST.fullmatch(host) is None or port == 0:
        raise _no_url(url, "it names no server")
    place = host if port is None or port == _PORTS[parts.scheme] else f"{host}:{port}"
    credentials, at, _ = parts.netloc.rpartition("@")
    path, query = _wire(parts.path) or "/", _wire(parts.query)
    return urlunsplit((parts.scheme, _wire(credentials) + at + place, path, query, ""))


def _wire_host(host: str) -> str:
    """A host as it stands on the wire: names of other scripts as IDNA has them.

    Raises: ValueError for what IDNA does not have.
    """
    if ":" in host:
        return f"[{host}]"
    return host if host.isascii() else host.encode("idna").decode("ascii")


def _wire(part: str) -> str:
    """A part of a URL with everything encoded that cannot stand there."""
    return _UNSAFE.sub(lambda unit: quote(unit[0], errors="replace"), part)


def _no_url(url: str, why: str) -> Fault:
    return Fault(
        "R2018",
        f"{url[:100]} is not a URL that can be requested: {why}",
        "give the whole URL, such as https://example.com/path",
    )


def shown_url(url: str) -> str:
    """A URL as messages may show it: without what may be secret, such as keys in its query."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{place}{parts.path}"[:200] if place else url.partition("?")[0][:200]


def failed(url: str, why: str, code: str = "R5004") -> Fault:
    """The fault of a request that got no answer, in the words that rulesets know."""
    return Fault(code, f"request to {shown_url(url)} failed, reason: {why}")


def encoded(value: Any) -> str:
    """A map (or array) as a query string or form: nested ones as `a[b]` and `a[0]`.

    Null, functions and patterns are left out; what is neither map nor array gives nothing.
    Raises: R4004 for what is too large or nested too deep.
    """
    if type(value) is not dict and type(value) is not list:
        return ""
    parts: list[str] = []
    # Without recursion: the names so far go along.
    pending: list[tuple[str, Any]] = [("", to_json(value))]
    while pending:
        name, item = pending.pop()
        if type(item) is dict:
            inner = list(ordered_items(item))
        elif type(item) is list:
            inner = [(str(index), element) for index, element in enumerate(item)]
        else:
            if item is not None:
                parts.append(f"{name}={_quoted(text(item))}")
            continue
        for key, element in reversed(inner):
            pending.append((f"{name}%5B{_quoted(key)}%5D" if name else _quoted(key), element))
    return "&".join(parts)


def _quoted(part: str) -> str:
    return quote(part, safe="", errors="replace")


def with_query(url: str, query: str) -> str:
    """A URL with more parameters behind those it has."""
    if not query:
        return url
    base, mark, fragment = url.partition("#")
    between = "" if base.endswith(("?", "&")) else "&" if "?" in base else "?"
    return base + between + query + mark + fragment


# --- Requests -------------------------------------------------------------------------------------


def checked_headers(headers: Any) -> dict[str, str]:
    """The headers that a rule gave, by name in lower case; what is no map gives none.

    Raises: R2018 for a name or value that HTTP cannot carry.
    """
    found: dict[str, str] = {}
    if type(headers) is not dict:
        return found
    for name, value in headers.items():
        # Half a surrogate pair has no bytes.
        written = text(value).strip(" \t").encode("utf-8", "replace").decode("utf-8")
        if _TOKEN.fullmatch(name) is None:
            raise Fault(
                "R2018",
                f"{name[:50]!r} cannot be the name of a header",
                "use letters, digits and hyphens",
            )
        if _CONTROLS.search(written):
            raise Fault(
                "R2018",
                f"the value of the header {name} has a line end or another control character",
                'take it out, for example with .replace(re#[\\r\\n]#g, " ")',
            )
        lower = name.lower()
        if lower not in HOP_BY_HOP:
            found[lower] = written
    return found


def basic(username: str, password: str) -> str:
    """The value of an Authorization header for a name and a password."""
    pair = f"{username}:{password}".encode("utf-8", "replace")
    return "Basic " + base64.b64encode(pair).decode("ascii")


def without_credentials(url: str) -> tuple[str, str | None]:
    """A URL without a name and password in it, and the Authorization header that they mean."""
    parts = urlsplit(url)
    credentials, at, place = parts.netloc.rpartition("@")
    if not at:
        return url, None
    username, _, password = credentials.partition(":")
    return urlunsplit(parts._replace(netloc=place)), basic(unquote(username), unquote(password))


# --- Responses ------------------------------------------------------------------------------------


def redirected(request: Request, response: Response) -> Request | None:
    """What to ask next when a response sends elsewhere; None when it does not.

    Raises: R5008 for a place that is no URL, R5005 for one of another scheme.
    """
    if not leads_on(request, response):
        return None
    location = header(response, "location") or ""
    try:
        url, credentials = without_credentials(checked_url(joined(request.url, location)))
    except Fault as fault:
        if fault.code != "R2018":
            raise
        raise failed(request.url, "it redirects to what is no URL", "R5008") from None
    method, body = request.method, request.body
    dropped: frozenset[str] = frozenset()
    is_post = method == "POST" and response.status in (301, 302)
    if is_post or (response.status == 303 and method not in ("GET", "HEAD")):
        method, body = "GET", None
        dropped = _ABOUT_BODY | {"idempotency-key"}
    if origin(url) != origin(request.url):
        dropped |= _PRIVATE
    headers = [pair for pair in request.headers if pair[0] not in dropped]
    if credentials is not None:
        headers = [pair for pair in headers if pair[0] != "authorization"]
        headers.append(("authorization", credentials))
    return Request(method, url, tuple(headers), body)


def leads_on(request: Request, response: Response) -> bool:
    """Whether something else is asked after this response, whose body then is of no interest."""
    if not request.follows or response.status not in _REDIRECTS:
        return False
    return header(response, "location") is not None


def joined(url: str, location: str) -> str:
    """Where a Location header leads, as an absolute URL; as it is when that cannot be said."""
    try:
        return urljoin(url, location)
    except ValueError:
        return location


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a checked URL."""
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or _PORTS[parts.scheme]


def header(response: Response, name: str) -> str | None:
    """The first header of a name, or None."""
    return next((value for key, value in response.headers if key == name), None)


def response_map(request: Request, response: Response) -> dict[str, Any]:
    """A response as rules see it; the text of its body is UTF-8, whatever it says."""
    headers: dict[str, str] = {}
    for name, value in response.headers:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if not request.follows and "location" in headers and response.status in _REDIRECTS:
        headers["location"] = joined(response.url, headers["location"])
    length = headers.get("content-length", "")
    return {
        "content": response.body.decode("utf-8-sig", "replace"),
        "content_type": headers.get("content-type"),
        "content_length": int(length) if _LENGTH.fullmatch(length) else 0,
        "headers": headers,
        "status_code": response.status,
        "status_line": response.reason,
    }
