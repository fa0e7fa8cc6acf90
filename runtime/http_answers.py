"""What HTTP answers look like: kinds of content, security headers, pages, tags, redirects.

In: values, directives, paths. Out: bytes of bodies and of header lines. Not here: which request
gets which answer (http_api.py), the status line and what all answers share (http_wire.py).
Source: engine reference 5.3 to 5.6.
"""

import html
import re
from hashlib import blake2b
from typing import Any
from urllib.parse import quote

import msgspec

from runtime.errors import Fault

JSON = b"application/json; charset=utf-8"
HTML = b"text/html; charset=utf-8"
TEXT = b"text/plain; charset=utf-8"
EVENTS = b"text/event-stream; charset=utf-8"
PAGE_TYPES = {"html": HTML, "txt": TEXT}

OPTIONS_LINES = (
    b"Allow: POST, GET, OPTIONS\r\nAccess-Control-Allow-Methods: POST, GET, OPTIONS\r\n"
    b"Access-Control-Max-Age: 600\r\n"
)
STALE_LINE = b"Pico-Stale: true\r\n"

_SHARED_GUARDS = (
    b"Strict-Transport-Security: max-age=15552000\r\nX-Content-Type-Options: nosniff\r\n"
    b"X-Frame-Options: SAMEORIGIN\r\nReferrer-Policy: no-referrer\r\n"
    b"Cross-Origin-Resource-Policy: same-origin\r\nCross-Origin-Opener-Policy: same-origin\r\n"
    b"Origin-Agent-Cluster: ?1\r\nX-XSS-Protection: 0\r\n"
)
# Pages come from rulesets: they may show things, but run no foreign or inline script.
_PAGE_GUARDS = _SHARED_GUARDS + (
    b"Content-Security-Policy: default-src 'self'; base-uri 'self'; font-src 'self' https: data:; "
    b"form-action 'self'; frame-ancestors 'self'; img-src 'self' data:; object-src 'none'; "
    b"script-src 'self'; script-src-attr 'none'; style-src 'self' https: 'unsafe-inline'\r\n"
)
# What is no page needs nothing, so the short form forbids everything.
_DATA_GUARDS = _SHARED_GUARDS + (
    b"Content-Security-Policy: default-src 'none'; frame-ancestors 'self'\r\n"
)

_encode = msgspec.json.Encoder().encode

# Control characters in a header line would begin another line.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_URL_CHARS = "!#$%&'()*+,/:;=?@[]~"
# Nobody needs more of a wrong path to find the mistake.
_PATH_CHARACTERS = 200


def guards(kind: bytes) -> bytes:
    """The header lines that tell browsers what content of this kind may not do."""
    return _PAGE_GUARDS if kind in (HTML, TEXT) else _DATA_GUARDS


def encode_json(value: Any) -> bytes:
    """A value as JSON; half surrogate pairs, which UTF-8 cannot hold, are escaped."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        import json

        return json.dumps(value, separators=(",", ":")).encode("ascii")


def page(value: Any) -> bytes:
    """The body of a query that was asked for as a page.

    Raises: R2001 when the value is no text.
    """
    if not isinstance(value, str):
        hint = "let the function return text, or ask without .html or .txt"
        raise Fault("R2001", 'The "chunk" argument must be of type string', hint)
    return value.encode("utf-8", "replace")


def tag(body: bytes) -> bytes:
    """The weak entity tag of a body: weak, since a proxy may pack it."""
    return b'W/"%x-%s"' % (len(body), blake2b(body, digest_size=12).hexdigest().encode())


def matches(none_match: bytes, found: bytes) -> bool:
    """Whether an If-None-Match names this weak tag, or any."""
    if none_match == found or none_match.strip() == b"*":
        return True
    opaque = found.removeprefix(b"W/")
    return any(one.strip().removeprefix(b"W/") == opaque for one in none_match.split(b","))


def sky_lines(directives: list[dict[str, Any]]) -> tuple[bytes, bytes]:
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


def cannot(method: bytes, path: str) -> str:
    """What to say about an address that leads nowhere."""
    return f"Cannot {method.decode('latin-1')} {path[:_PATH_CHARACTERS]}"


def error_page(said: str) -> bytes:
    """A page that says what went wrong, for browsers."""
    return _PAGE % (b"Error", b"<pre>" + _shown(said) + b"</pre>")


def front_page(version: str) -> bytes:
    """What a browser gets to see at `/`: that an engine is here, and how to go on."""
    said = (
        f"<h1>pico engine {html.escape(version)}</h1>\n"
        "<p>Events and queries go to <code>/c/ECI/…</code>. On the engine's machine, "
        "<code>pico show</code> lists its picos and their channels.</p>"
    )
    return _PAGE % (b"pico engine", said.encode())


def _shown(said: str) -> bytes:
    return html.escape(said).encode("utf-8", "replace")


_PAGE = (
    b'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>%s</title></head>\n'
    b"<body>\n%s\n</body>\n</html>\n"
)
