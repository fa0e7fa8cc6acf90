"""The head of an HTTP request: what its header fields mean to the engine and to rules.

In: the fields as the parser gives them. Out: a `Head`, read once for each distinct head of a
connection. Invariant: the admin token never becomes an attribute. Not here: bodies and query
strings (http_params.py), routes (http_api.py).
Source: engine reference 5.2.
"""

import hmac
from typing import Any, NamedTuple


class Head:
    """The header fields of a request, read once; clients repeat them, so they are often reused.

    `attribute` is what rules see as `_headers`; `is_admin` tells that the admin token came;
    `wants_page` that a person's browser asks; `none_match` is the If-None-Match, or b""; `hosts` is
    how many hosts were named; `envelope` is set when another engine of ours sends
    (network_http.py).
    """

    __slots__ = (
        "attribute",
        "bytes",
        "content_length",
        "content_type",
        "encoding",
        "envelope",
        "expects_continue",
        "has_coding",
        "hosts",
        "is_admin",
        "key",
        "none_match",
        "wants_page",
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
        self.hosts = len([1 for name, _ in fields if name == b"host"])
        self.has_coding = b"transfer-encoding" in last
        self.key = last.get(b"idempotency-key", b"").decode("latin-1") or None
        self.envelope = last.get(b"pico-envelope", b"").decode("latin-1")
        self.none_match = last.get(b"if-none-match", b"")
        self.wants_page = b"text/html" in last.get(b"accept", b"").lower()


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
