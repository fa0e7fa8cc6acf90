"""The HTTP routes: a request in, one engine call, an answer out.

In: `Api.handle(request, exchange, …)` with a whole request. Out: `exchange.send(…)`, called exactly
once, now or later, on the loop. Bodies and error texts are those of the Node engine; statuses are
what people expect, or 200 for every error of a route with `compat_status`.

Invariants: no engine logic; nothing here waits. Everything under /api/ needs the admin token, and
that token never becomes an attribute. ECIs are not logged. Not here: bytes and sockets (server.py).
Source: engine reference 5.1 to 5.6.
"""

import asyncio
import hmac
import logging
import re
from base64 import b64decode
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, unquote_to_bytes

import msgspec

from runtime.errors import Fault
from runtime.http_params import decompress, parse_body, parse_query

_log = logging.getLogger("pico.http")

JSON = b"application/json; charset=utf-8"
HTML = b"text/html; charset=utf-8"
TEXT = b"text/plain; charset=utf-8"
_PAGE_TYPES = {"html": HTML, "txt": TEXT}

_encode = msgspec.json.Encoder().encode


class EngineFace(Protocol):
    """What the routes need of an engine; `done` is called later, on the loop, exactly once."""

    @property
    def root_eci(self) -> str: ...

    def post(
        self,
        eci: str,
        domain: str,
        name: str,
        attrs: dict[str, Any],
        done: Callable[[Any], object],
        /,
        *,
        key: str | None = None,
    ) -> None: ...

    def post_signal(
        self,
        eci: str,
        domain: str,
        name: str,
        attrs: dict[str, Any],
        done: Callable[[Any], object],
        /,
        *,
        key: str | None = None,
    ) -> None: ...

    def post_query(
        self, eci: str, rid: str, name: str, args: dict[str, Any], done: Callable[[Any], object], /
    ) -> None: ...

    def post_event_query(
        self,
        eci: str,
        domain: str,
        name: str,
        attrs: dict[str, Any],
        rid: str,
        qname: str,
        args: dict[str, Any],
        done: Callable[[Any], object],
        /,
    ) -> None: ...

    async def install(
        self,
        eci: str,
        *,
        url: str | None = None,
        source: str | None = None,
        bundle: bytes | None = None,
        config: dict[str, Any] | None = None,
    ) -> dict[str, Any]: ...

    def describe(self, eci: str | None = None) -> dict[str, Any]: ...

    async def salience(self, eci: str) -> dict[str, Any]: ...

    def log(
        self,
        eci: str | None = None,
        *,
        eid: str | None = None,
        rule: str | None = None,
        limit: int = 50,
        whole: bool = False,
    ) -> list[dict[str, Any]]: ...

    async def why(self, eci: str, eid: str, rule: str | None = None) -> dict[str, Any]: ...


class Exchange(Protocol):
    """Where the answer of one request goes."""

    def send(self, status: int, body: bytes, kind: bytes = JSON, extra: bytes = b"") -> None:
        """Answer; `extra` is whole header lines, each with its line end."""


class Head:
    """The header fields of a request, read once; clients repeat them, so they are often reused.

    `attribute` is what rules see as `_headers`; `is_admin` tells that the admin token came.
    """

    __slots__ = (
        "attribute",
        "bytes",
        "content_length",
        "content_type",
        "encoding",
        "expects_continue",
        "is_admin",
        "key",
    )

    def __init__(self, headers: list[tuple[bytes, bytes]], bearer: bytes) -> None:
        self.bytes = sum([len(name) + len(value) + 4 for name, value in headers])
        fields = [(name.lower(), value) for name, value in headers]
        given = [value for name, value in fields if name == b"authorization"]
        self.is_admin = bool(bearer) and len(given) == 1 and hmac.compare_digest(given[0], bearer)
        self.attribute = header_map(fields, bearer)
        last = dict(fields)
        self.content_length = int(last.get(b"content-length", 0))
        self.content_type = last.get(b"content-type", b"").partition(b";")[0].strip().lower()
        self.encoding = last.get(b"content-encoding", b"").strip().lower()
        self.expects_continue = last.get(b"expect", b"").lower() == b"100-continue"
        self.key = last.get(b"idempotency-key", b"").decode("latin-1") or None


class Request(NamedTuple):
    """One whole request. The URL is as it came."""

    method: bytes
    url: bytes
    head: Head
    body: bytes


# What a second header line of the same name means: kept from the first only, or a list; all others
# are joined. These are the rules of the Node engine's HTTP server, which rulesets rely on.
_FIRST_ONLY = frozenset(
    [
        *("age", "authorization", "content-length", "content-type", "etag", "expires", "from"),
        *("host", "if-modified-since", "if-unmodified-since", "last-modified", "location"),
        *("max-forwards", "proxy-authorization", "referer", "retry-after", "server", "user-agent"),
    ]
)
# Control characters in a header line would begin another line.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_URL_CHARS = "!#$%&'()*+,/:;=?@[]~"


def header_map(headers: list[tuple[bytes, bytes]], hidden: bytes = b"") -> dict[str, Any]:
    """The attribute `_headers`: lower-cased names to text, or to a list for what may be repeated.

    An authorization that is `hidden` is left out: that is how the admin token stays outside.
    """
    found: dict[str, Any] = {}
    for raw_name, raw_value in headers:
        if raw_name == b"authorization" and hidden and hmac.compare_digest(raw_value, hidden):
            continue
        name = raw_name.decode("latin-1")
        value = raw_value.decode("latin-1")
        if name not in found:
            found[name] = [value] if name == "set-cookie" else value
        elif name == "set-cookie":
            found[name].append(value)
        elif name not in _FIRST_ONLY:
            found[name] += ("; " if name == "cookie" else ", ") + value
    return found


def encode_json(value: Any) -> bytes:
    """A value as JSON; half surrogate pairs, which UTF-8 cannot hold, are escaped."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        import json

        return json.dumps(value, separators=(",", ":")).encode("ascii")


def _segments(path: str) -> list[str]:
    """The parts of a path, percent-decoded; a slash at the end does not count.

    Raises: R1011 for percent signs that do not make UTF-8 text.
    """
    parts = path.split("/")
    if parts[-1] == "":
        parts.pop()
    if "%" in path:
        try:
            return [unquote_to_bytes(part).decode() if "%" in part else part for part in parts]
        except UnicodeDecodeError:
            raise Fault("R1011", f"the path {path[:80]!r} is not UTF-8 text") from None
    return parts


class Api:
    """The routes of one engine."""

    def __init__(
        self, engine: EngineFace, *, token: str, version: str, compat_status: bool = False
    ) -> None:
        self._engine = engine
        self._version = version
        self._compat_status = compat_status
        self._bearer = b"Bearer " + token.encode() if token else b""
        self._tasks: set[asyncio.Task[None]] = set()

    def handle(self, request: Request, exchange: Exchange, body_bytes_max: int) -> None:
        """Route one request; every way through ends in one `exchange.send`."""
        try:
            self._route(request, exchange, body_bytes_max)
        except Fault as fault:
            self.fail(exchange, fault)
        except Exception:
            self._bug(exchange)

    def fail(self, exchange: Exchange, fault: Fault) -> None:
        """Answer with a fault."""
        status = fault.status
        extra = b""
        if status in (429, 503):
            extra = b"Retry-After: 1\r\n"
        if self._compat_status and fault.code != "R1009":
            status = 200
        exchange.send(status, encode_json(fault.to_map()), JSON, extra)

    def head(self, headers: list[tuple[bytes, bytes]]) -> Head:
        """Read the header fields of a request."""
        return Head(headers, self._bearer)

    def _bug(self, exchange: Exchange) -> None:
        _log.exception("a request met a bug of the engine")
        self.fail(exchange, Fault("R9001", "the engine could not handle this request"))

    # ------------------------------------------------------------------------------- routes

    def _route(self, request: Request, exchange: Exchange, body_bytes_max: int) -> None:
        target, _, query = request.url.partition(b"?")
        if not target.startswith(b"/"):
            # A proxy may send the whole address instead of the path.
            _, _, rest = target.partition(b"://")
            target = b"/" + rest.partition(b"/")[2]
        path = target.decode("utf-8", "replace")
        if request.method == b"OPTIONS":
            exchange.send(200, b"", TEXT, _OPTIONS)
            return
        parts = _segments(path)
        count = len(parts)
        head = parts[1] if count > 1 else ""
        if "" in parts[1:]:
            head = ""
        if head == "api":
            self._admin(parts, request, query, exchange, body_bytes_max)
        elif head == "c" and count == 6 and parts[3] == "event":
            self._signal(parts, self._attrs(request, query, body_bytes_max), request, exchange)
        elif head == "c" and count == 6 and parts[3] == "event-wait":
            attrs = self._attrs(request, query, body_bytes_max)
            self._event(parts[2], parts[4], parts[5], attrs, request, self._answer(exchange))
        elif head == "c" and count == 6 and parts[3] == "query":
            attrs = self._attrs(request, query, body_bytes_max)
            self._query(parts[2], parts[4], parts[5], attrs, exchange)
        elif head == "c" and count == 9 and parts[3] == "event" and parts[6] == "query":
            self._event_query(parts, self._attrs(request, query, body_bytes_max), exchange)
        elif head == "sky" and count == 7 and parts[2] == "event":
            attrs = self._attrs(request, query, body_bytes_max)
            if parts[4] != "none" and "__eid" not in attrs:
                attrs["__eid"] = parts[4]
            done = self._answer(exchange, is_sky=True)
            self._event(parts[3], parts[5], parts[6], attrs, request, done)
        elif head == "sky" and count == 6 and parts[2] == "cloud":
            attrs = self._attrs(request, query, body_bytes_max)
            self._query(parts[3], parts[4], parts[5], attrs, exchange)
        else:
            raise self._no_route(request, path)

    @staticmethod
    def _no_route(request: Request, path: str) -> Fault:
        return Fault("R1009", f"Cannot {request.method.decode('latin-1')} {path[:200]}")

    def _attrs(self, request: Request, query: bytes, body_bytes_max: int) -> dict[str, Any]:
        """Query parameters, overridden by body parameters, overridden by `_headers`."""
        attrs = parse_query(query)
        body = request.body
        if body:
            head = request.head
            if head.encoding:
                body = decompress(head.encoding, body, body_bytes_max)
            fields = parse_body(head.content_type, body)
            attrs = {**attrs, **fields} if attrs else fields
        attrs["_headers"] = request.head.attribute
        return attrs

    def _signal(
        self, parts: list[str], attrs: dict[str, Any], request: Request, exchange: Exchange
    ) -> None:
        def done(answer: Any) -> None:
            if isinstance(answer, Fault):
                self.fail(exchange, answer)
            else:
                exchange.send(200, _encode(answer))

        key = request.head.key
        self._engine.post_signal(parts[2], parts[4], parts[5], attrs, done, key=key)

    def _event(
        self,
        eci: str,
        domain: str,
        name: str,
        attrs: dict[str, Any],
        request: Request,
        done: Callable[[Any], None],
    ) -> None:
        key = request.head.key
        self._engine.post(eci, domain, name, attrs, done, key=key)

    def _answer(self, exchange: Exchange, is_sky: bool = False) -> Callable[[Any], None]:
        """The `done` of an event that is waited for."""

        def done(answer: Any) -> None:
            if isinstance(answer, Fault):
                self.fail(exchange, answer)
                return
            try:
                self._send_answer(exchange, answer, is_sky)
            except Exception:
                self._bug(exchange)

        return done

    def _send_answer(self, exchange: Exchange, answer: dict[str, Any], is_sky: bool) -> None:
        status = 200
        errors = answer.get("errors")
        if errors:
            # The rules that worked have done their work; the caller learns of both.
            status = 200 if self._compat_status else 500
            answer = {**answer, "error": errors[0]["error"], "code": errors[0]["code"]}
        extra = b""
        if is_sky:
            extra, location = _sky_headers(answer["directives"])
            if location:
                extra += b"Location: " + location + b"\r\n"
                exchange.send(302, b"Found. Redirecting to " + location, TEXT, extra)
                return
        exchange.send(status, encode_json(answer), JSON, extra)

    def _query(
        self, eci: str, rid: str, last: str, args: dict[str, Any], exchange: Exchange
    ) -> None:
        name, *suffixes = last.split(".")
        kind = _PAGE_TYPES.get(suffixes[0]) if suffixes else None
        self._engine.post_query(eci, rid, name, args, self._value(exchange, kind))

    def _event_query(self, parts: list[str], attrs: dict[str, Any], exchange: Exchange) -> None:
        done = self._value(exchange, None)
        eci, domain, name, rid, qname = parts[2], parts[4], parts[5], parts[7], parts[8]
        self._engine.post_event_query(eci, domain, name, attrs, rid, qname, attrs, done)

    def _value(self, exchange: Exchange, kind: bytes | None) -> Callable[[Any], None]:
        """The `done` of a query; `kind` asks for the value as a page instead of JSON."""

        def done(value: Any) -> None:
            if isinstance(value, Fault):
                self.fail(exchange, value)
                return
            try:
                if kind is None:
                    exchange.send(200, encode_json(value))
                else:
                    exchange.send(200, _page(value), kind, _PAGE_HEADERS)
            except Fault as fault:
                self.fail(exchange, fault)
            except Exception:
                self._bug(exchange)

        return done

    # -------------------------------------------------------------------------------- admin

    def _admin(
        self,
        parts: list[str],
        request: Request,
        query: bytes,
        exchange: Exchange,
        body_bytes_max: int,
    ) -> None:
        if not request.head.is_admin:
            raise Fault("R1010", "this address needs the admin token")
        params = parse_query(query)
        route = (request.method, "/".join(parts[2:]))
        if route == (b"GET", "ui-context"):
            about = {"version": self._version, "eci": self._engine.root_eci}
            exchange.send(200, _encode(about))
        elif route == (b"GET", "show"):
            eci = self._eci(params)
            if "salience" in params:
                self._later(self._engine.salience(eci or self._engine.root_eci), exchange)
            else:
                exchange.send(200, encode_json(self._engine.describe(eci)))
        elif route == (b"GET", "log"):
            entries = self._engine.log(
                self._eci(params),
                eid=_one(params, "eid"),
                rule=_one(params, "rule"),
                limit=_number(params, "limit", 50),
                whole="whole" in params,
            )
            exchange.send(200, encode_json(entries))
        elif route == (b"GET", "why"):
            eid = _one(params, "eid")
            if eid is None:
                raise Fault("R1013", "the parameter eid is missing")
            eci = self._eci(params) or self._engine.root_eci
            self._later(self._engine.why(eci, eid, _one(params, "rule")), exchange)
        elif route == (b"POST", "install"):
            body = decompress(request.head.encoding, request.body, body_bytes_max)
            fields = _install_fields(body)
            eci = self._engine.root_eci if fields.eci in ("", "root") else fields.eci
            install = self._engine.install(
                eci,
                url=fields.url,
                source=fields.source,
                bundle=None if fields.bundle is None else _bundle_bytes(fields.bundle),
                config=fields.config,
            )
            self._later(install, exchange)
        else:
            raise self._no_route(request, "/".join(parts))

    def _eci(self, params: dict[str, Any]) -> str | None:
        """The parameter `eci`; the word root stands for the root pico's."""
        eci = _one(params, "eci")
        return self._engine.root_eci if eci == "root" else eci

    def _later(self, answer: Coroutine[Any, Any, Any], exchange: Exchange) -> None:
        """Answer with what a coroutine gives."""
        task = asyncio.get_running_loop().create_task(self._finish(answer, exchange))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish(self, answer: Coroutine[Any, Any, Any], exchange: Exchange) -> None:
        try:
            exchange.send(200, encode_json(await answer))
        except Fault as fault:
            self.fail(exchange, fault)
        except asyncio.CancelledError:
            self.fail(exchange, Fault("R3007", "the engine is stopping"))
            raise
        except Exception:
            self._bug(exchange)


_OPTIONS = (
    b"Allow: POST, GET, OPTIONS\r\nAccess-Control-Allow-Methods: POST, GET, OPTIONS\r\n"
    b"Access-Control-Max-Age: 600\r\n"
)
# Pages come from rulesets: they may show things, but run no foreign or inline script.
_PAGE_HEADERS = (
    b"Content-Security-Policy: default-src 'self'; base-uri 'self'; font-src 'self' https: data:; "
    b"form-action 'self'; frame-ancestors 'self'; img-src 'self' data:; object-src 'none'; "
    b"script-src 'self'; script-src-attr 'none'; style-src 'self' https: 'unsafe-inline'\r\n"
    b"X-Frame-Options: SAMEORIGIN\r\nReferrer-Policy: no-referrer\r\n"
    b"Cross-Origin-Resource-Policy: same-origin\r\nCross-Origin-Opener-Policy: same-origin\r\n"
)


class InstallFields(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /api/install`: one of `url`, `source` and `bundle` (base64).

    With `source`, `url` may say what the source is to be known by.
    """

    eci: str = ""
    url: str | None = None
    source: str | None = None
    bundle: str | None = None
    config: dict[str, Any] | None = None


_decode_install = msgspec.json.Decoder(InstallFields).decode


def _install_fields(body: bytes) -> InstallFields:
    try:
        fields = _decode_install(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Fault("R1013", f"the body of an install cannot be used: {error}") from None
    given = [name for name in ("url", "source", "bundle") if getattr(fields, name) is not None]
    if len(given) != 1 and given != ["url", "source"]:
        found = " and ".join(given) or "none of them"
        hint = "send a JSON object with just one of the three, and config and eci if need be"
        raise Fault("R1013", f"an install needs url, source or bundle, and got {found}", hint)
    return fields


def _bundle_bytes(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError as error:
        raise Fault("R1013", f"the field bundle is not base64: {error}") from None


def _one(params: dict[str, Any], name: str) -> str | None:
    """A parameter that is given once, or not at all, or empty.

    Raises: R1013.
    """
    value = params.get(name) or None
    if value is not None and not isinstance(value, str):
        raise Fault("R1013", f"the parameter {name} is given more than once")
    return value


def _number(params: dict[str, Any], name: str, default: int) -> int:
    text = _one(params, name)
    if text is None:
        return default
    if not text.isdecimal() or len(text) > 9:
        raise Fault("R1013", f"the parameter {name} is a number, not {text[:40]!r}")
    return int(text)


def _page(value: Any) -> bytes:
    if not isinstance(value, str):
        hint = "let the function return text, or ask without .html or .txt"
        raise Fault("R2001", 'The "chunk" argument must be of type string', hint)
    return value.encode("utf-8", "replace")


def _sky_headers(directives: list[dict[str, Any]]) -> tuple[bytes, bytes]:
    """The cookies and the redirect that directives ask for: header lines, and an address or b""."""
    cookies = b""
    location = b""
    for directive in directives:
        options = directive.get("options") or {}
        if directive["name"] == "_cookie" and isinstance(options.get("cookie"), str):
            text = _CONTROL.sub("", options["cookie"])
            cookies += b"Set-Cookie: " + text.encode("utf-8", "replace") + b"\r\n"
        elif directive["name"] == "_redirect" and isinstance(options.get("url"), str):
            address = _CONTROL.sub("", options["url"])
            location = quote(address, safe=_URL_CHARS, errors="replace").encode("ascii")
    return cookies, location
