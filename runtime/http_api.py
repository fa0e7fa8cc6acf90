"""The HTTP routes: a request in, one engine call, an answer out.

In: `Api.handle(request, exchange, …)` with a whole request. Out: `exchange.send(…)`, called exactly
once, now or later, on the loop. Bodies and error texts are those of the Node engine; statuses are
what people expect, or 200 for every error of a route with `compat_status`.

Invariants: no engine logic; nothing here waits. Everything under /api/ needs the admin token, and
that token never becomes an attribute. ECIs are not logged. Not here: bytes and sockets
(http_wire.py), what answers look like (http_answers.py), the routes under /api/ (http_admin.py).
Source: engine reference 5.1 to 5.6.
"""

import logging
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

from runtime.admin_api import Metrics
from runtime.errors import Fault
from runtime.http_admin import Admin, AdminFace, Asked, Exchange
from runtime.http_answers import (
    HTML,
    JSON,
    OPTIONS_LINES,
    PAGE_TYPES,
    STALE_LINE,
    TEXT,
    cannot,
    encode_json,
    error_page,
    front_page,
    matches,
    page,
    sky_lines,
    tag,
)
from runtime.http_head import Head, Request
from runtime.http_params import decompress, parse_body, parse_query
from runtime.inbox import Answer
from runtime.network import Reply
from runtime.network_http import read_envelope, reply_lines
from runtime.ports import Done, Hosted, post_keyed_event_query

_log = logging.getLogger("pico.http")


class EngineFace(Hosted, AdminFace, Protocol):
    """What the routes need of an engine: its port for events and queries, and administration."""


# A path as text, its decoded segments, and the first of them ("" when one is empty).
Place = tuple[str, list[str], str]
# How many paths are remembered, and how long they may be: all together half a megabyte.
_KNOWN_MAX, _KNOWN_BYTES_MAX = 1_024, 200


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
        self,
        engine: EngineFace,
        *,
        token: str,
        version: str,
        compat_status: bool = False,
        channel: str = "",
    ) -> None:
        self._port = engine.core
        self._version = version
        self._compat_status = compat_status
        self._reply_lines = reply_lines(channel)
        self._bearer = b"Bearer " + token.encode() if token else b""
        self._admin = Admin(engine, version=version, fail=self.fail)
        self._known: dict[bytes, Place] = {}
        self.metrics: Metrics | None = None

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
            extra = b"Retry-After: 1\r\nAccess-Control-Expose-Headers: Retry-After\r\n"
        elif status == 401:
            extra = b"WWW-Authenticate: Bearer\r\n"
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
        if request.method == b"OPTIONS":
            exchange.send(200, b"", TEXT, OPTIONS_LINES)
            return
        known = self._known.get(target)
        path, parts, head = self._look(target) if known is None else known
        count = len(parts)
        if head == "api":
            if not request.head.is_admin:
                raise Fault("R1010", "this address needs the admin token")
            asked = Asked(request, query, exchange, body_bytes_max)
            self._admin.route("/".join(parts[2:]), asked)
        elif head == "c" and count == 6 and parts[3] == "event-wait":
            attrs = self._attrs(request, query, body_bytes_max)
            self._event(parts[2], parts[4], parts[5], attrs, request, self._answer(exchange))
        elif head == "c" and count == 6 and parts[3] == "event":
            self._signal(parts, self._attrs(request, query, body_bytes_max), request, exchange)
        elif head == "c" and count == 6 and parts[3] == "query":
            attrs = self._attrs(request, query, body_bytes_max)
            self._query(parts[2], parts[4], parts[5], attrs, request, exchange)
        elif head == "c" and count == 9 and parts[3] == "event" and parts[6] == "query":
            attrs = self._attrs(request, query, body_bytes_max)
            self._event_query(parts, attrs, request, exchange)
        elif head == "sky" and count == 7 and parts[2] == "event":
            if request.head.envelope:
                self._receive(parts, request, exchange, body_bytes_max)
                return
            attrs = self._attrs(request, query, body_bytes_max)
            if parts[4] != "none" and "__eid" not in attrs:
                attrs["__eid"] = parts[4]
            done = self._answer(exchange, is_sky=True)
            self._event(parts[3], parts[5], parts[6], attrs, request, done)
        elif head == "sky" and count == 6 and parts[2] == "cloud":
            attrs = self._attrs(request, query, body_bytes_max)
            self._query(parts[3], parts[4], parts[5], attrs, request, exchange)
        elif head == "metrics" and count == 2 and self.metrics is not None:
            self.metrics.answer(request, exchange)
        elif path == "/":
            exchange.send(200, front_page(self._version), HTML)
        else:
            self._lost(request, path, exchange)

    def _look(self, target: bytes) -> Place:
        """What a path names; clients ask for the same again and again, so short ones are kept."""
        whole = target
        if not target.startswith(b"/") and b"://" in target:
            # A proxy may send the whole address instead of the path.
            target = b"/" + target.partition(b"://")[2].partition(b"/")[2]
        path = target.decode("utf-8", "replace")
        parts = _segments(path)
        head = parts[1] if len(parts) > 1 and "" not in parts[1:] else ""
        found = (path, parts, head)
        if len(whole) <= _KNOWN_BYTES_MAX:
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            self._known[whole] = found
        return found

    def _lost(self, request: Request, path: str, exchange: Exchange) -> None:
        """No route has this form: a page for browsers and old clients, else JSON."""
        said = cannot(request.method, path)
        if request.head.wants_page or self._compat_status:
            exchange.send(404, error_page(said), HTML)
        else:
            raise Fault("R1009", said)

    def _attrs(self, request: Request, query: bytes, body_bytes_max: int) -> dict[str, Any]:
        """Query parameters, overridden by body parameters, overridden by `_headers`."""
        attrs = parse_query(query) if query else {}
        body = request.body
        if body:
            head = request.head
            if head.encoding:
                body = decompress(head.encoding, body, body_bytes_max)
            fields = parse_body(head.content_type, body)
            attrs = {**attrs, **fields} if attrs else fields
        attrs["_headers"] = request.head.attribute
        return attrs

    # ------------------------------------------------------------------------------- events

    def _signal(
        self, parts: list[str], attrs: dict[str, Any], request: Request, exchange: Exchange
    ) -> None:
        def done(answer: Any) -> None:
            if isinstance(answer, Fault):
                self.fail(exchange, answer)
            else:
                exchange.send(200, encode_json(answer))

        key = request.head.key
        self._port.post_signal(parts[2], parts[4], parts[5], attrs, done, key=key)

    def _event(
        self,
        eci: str,
        domain: str,
        name: str,
        attrs: dict[str, Any],
        request: Request,
        done: Done,
    ) -> None:
        self._port.post(eci, domain, name, attrs, done, key=request.head.key)

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
            extra, location = sky_lines(answer["directives"])
            if location:
                extra += b"Location: " + location + b"\r\n"
                exchange.send(302, b"Found. Redirecting to " + location, TEXT, extra)
                return
        exchange.send(status, encode_json(answer), JSON, extra)

    def _receive(
        self, parts: list[str], request: Request, exchange: Exchange, body_bytes_max: int
    ) -> None:
        """An event from another engine of ours: its attributes are only those that were sent."""
        head = request.head
        body = decompress(head.encoding, request.body, body_bytes_max)
        envelope = read_envelope(head.envelope, parts[3:], parse_body(head.content_type, body))

        def done(reply: Reply) -> None:
            exchange.send(200, encode_json(reply), JSON, self._reply_lines)

        self._port.receive(envelope, done)

    # ------------------------------------------------------------------------------ queries

    def _query(
        self,
        eci: str,
        rid: str,
        last: str,
        args: dict[str, Any],
        request: Request,
        exchange: Exchange,
    ) -> None:
        name, *suffixes = last.split(".")
        kind = PAGE_TYPES.get(suffixes[0]) if suffixes else None
        self._port.post_query(eci, rid, name, args, self._value(request, exchange, kind))

    def _event_query(
        self, parts: list[str], attrs: dict[str, Any], request: Request, exchange: Exchange
    ) -> None:
        eci, domain, name, rid, query_name = parts[2], parts[4], parts[5], parts[7], parts[8]
        key = request.head.key
        query = (rid, query_name, attrs, self._value(request, exchange, None))
        if key is None:
            self._port.post_event_query(eci, domain, name, attrs, *query)
        else:
            post_keyed_event_query(self._port, eci, domain, name, attrs, key, *query)

    def _value(self, request: Request, exchange: Exchange, kind: bytes | None) -> Done:
        """The `done` of a query; `kind` asks for the value as a page instead of JSON."""

        def done(answer: Answer | Fault) -> None:
            if isinstance(answer, Fault):
                self.fail(exchange, answer)
                return
            try:
                self._send_value(request, exchange, answer, kind)
            except Fault as fault:
                self.fail(exchange, fault)
            except Exception:
                self._bug(exchange)

        return done

    def _send_value(
        self, request: Request, exchange: Exchange, answer: Answer, kind: bytes | None
    ) -> None:
        """Send a query's value, or that it has not changed."""
        body = encode_json(answer.value) if kind is None else page(answer.value)
        extra = STALE_LINE if answer.stale else b""
        status = 200
        if request.method in (b"GET", b"HEAD"):
            found = tag(body)
            extra += b"ETag: " + found + b"\r\n"
            none_match = request.head.none_match
            if none_match and matches(none_match, found):
                status, body = 304, b""
        exchange.send(status, body, kind or JSON, extra)
