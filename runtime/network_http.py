"""Envelopes over HTTP: what a sender asks, how a receiver reads it, what its answer means.

In: envelopes, and a `Web` that carries requests; on the other side a header and a body. Out: one
reply for each envelope. Every pico engine has the route, so this works towards any: one of ours
finds the envelope in a header and answers with a reply, others answer as to any event, which is
then at least once. Invariants: what concerns one channel or event is refused, what concerns a host
is tried again; a redirect is not followed. Source: docs/channel.md, "Between engines"; engine
reference 5.1, 5.3, 5.5. Not here: sockets (web_client.py), order and repetition (outbox.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from runtime.border import encode
from runtime.errors import CODES, Fault
from runtime.network import TAKEN, Envelope, Reply, later
from runtime.web import Request, Response, Web, header, joined

ENVELOPE_HEADER = "pico-envelope"
REPLY_HEADER = "pico-reply"
CHANNEL_HEADER = "pico-channel"

_STAMP = re.compile(r"([!-~]{1,256}) ([0-9]{1,19}) ([0-9]{1,19}) ([0-9]{1,16})")
_CHANNEL = re.compile(r"([0-9]{1,5}) ([!-~]{1,64})")
# What the Node engine says, with status 200, about events that no rule will ever see.
_REFUSALS = (
    ("Error: ECI not found", "R1001"),
    ("Error: Not allowed by channel policy", "R1002"),
    ("Error: Denied by channel policy", "R1003"),
    ("Error: This is a family channel", "R1004"),
    ("Error: missing event.", "R1007"),
    ("PayloadTooLargeError", "R5001"),
)
# These are about the one request, whoever says them; other errors may be of what lies between.
_ABOUT_REQUEST = frozenset((400, 413, 414, 415, 422, 431))
_BUSY = frozenset((408, 425, 429))
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_read_json = msgspec.json.Decoder().decode
_read_reply = msgspec.json.Decoder(Reply).decode


class Channel(NamedTuple):
    """Where an engine takes frames: a port of the host that was asked, and the engine's id."""

    port: int
    ident: str


# What came back, and where frames are taken, if that was said.
Heard = Callable[[Reply, Channel | None], object]


# --- The sender's side ----------------------------------------------------------------------------


def post(web: Web, base: str, envelope: Envelope, heard: Heard) -> None:
    """Try once to deliver an envelope to the engine with this base URL; `heard` is told later."""
    path = f"/sky/event/{_part(envelope.eci)}/{_part(envelope.eid)}"
    path = f"{path}/{_part(envelope.domain)}/{_part(envelope.name)}"
    stamp = f"{envelope.pair} {envelope.number} {envelope.low} {envelope.time_ms}"
    headers = (
        ("content-type", "application/json"),
        ("accept", "application/json"),
        ("idempotency-key", f"{envelope.pair}-{envelope.number}"),
        (ENVELOPE_HEADER, stamp),
    )
    request = Request("POST", base + path, headers, encode(envelope.attrs).encode(), False)

    def done(answer: Any) -> None:
        if isinstance(answer, Fault):
            heard(unanswered(answer), None)
        else:
            heard(reply_from(request, answer), _channel(answer))

    web.fetch(request, done)


def _part(text: str) -> str:
    return quote(text, safe="", errors="replace")


def unanswered(fault: Fault) -> Reply:
    """What a fault in place of a response means for the event."""
    if fault.code == "R4030":
        # Only directives make an answer so large, so the rules have run.
        return TAKEN
    if fault.code in ("R5005", "R2018"):
        hint = f"; {fault.hint}" if fault.hint else ""
        return Reply("refused", 0, fault.code, fault.message + hint)
    return later(fault.code, fault.message)


def _channel(response: Response) -> Channel | None:
    said = header(response, CHANNEL_HEADER)
    found = None if said is None else _CHANNEL.fullmatch(said)
    return None if found is None else Channel(int(found[1]), found[2])


def reply_from(request: Request, response: Response) -> Reply:
    """What a response means for the event."""
    status, body = response.status, response.body
    if 200 <= status < 300:
        if header(response, REPLY_HEADER) is not None:
            return _own_reply(body)
        if body.startswith(b'{"eid":'):
            return TAKEN
    elif 300 <= status < 400:
        return _redirect(request, response)
    said = _said(body)
    error = said.get("error")
    if "eid" in said:
        # Also with an error: the event was evaluated, and one of its rules failed.
        return TAKEN
    if status in _BUSY or status >= 500:
        return later("R5001", f"the host answered {status}", _wait_ms(response))
    if type(error) is not str:
        if status in _ABOUT_REQUEST:
            return Reply("refused", 0, "R5001", f"the host answered {status}")
        return later("R5001", f"the host answered {status}, but not as a pico engine does")
    if status >= 400:
        code = said.get("code")
        known = code if type(code) is str and code in CODES else "R5001"
        return Reply("refused", 0, known, error[:500])
    for text, code in _REFUSALS:
        if error.startswith(text):
            return Reply("refused", 0, code, error[:500])
    # A rule failed, after the event had arrived.
    return TAKEN


def _own_reply(body: bytes) -> Reply:
    try:
        return _read_reply(body)
    except _UNREADABLE as error:
        return later("R5001", f"the other engine's answer is no reply to an envelope: {error}")


def _redirect(request: Request, response: Response) -> Reply:
    """A redirect is a directive's, so the rules have run; or the host has another address."""
    location = header(response, "location")
    there = "" if location is None else joined(request.url, location)
    path = "/sky/event/" + request.url.partition("/sky/event/")[2]
    if location is None or there.partition("?")[0].endswith(path):
        base = there.partition("/sky/event/")[0] or "another address"
        return Reply("refused", 0, "R5001", f"the host says that it is {base[:200]}; send there")
    return TAKEN


def _said(body: bytes) -> dict[str, Any]:
    """The map in a body; empty when there is none."""
    try:
        found = _read_json(body)
    except _UNREADABLE:
        return {}
    return found if type(found) is dict else {}


def _wait_ms(response: Response) -> int:
    seconds = header(response, "retry-after") or ""
    return int(seconds) * 1000 if re.fullmatch(r"[0-9]{1,6}", seconds) else 0


# --- The receiver's side --------------------------------------------------------------------------


def read_envelope(stamp: str, path: list[str], attrs: dict[str, Any]) -> Envelope:
    """The envelope of a request: its header, the four parts of its path, its body.

    Raises: R1007 for a header that has not its form.
    """
    found = _STAMP.fullmatch(stamp)
    if found is None:
        raise Fault("R1007", "the Pico-Envelope header is not `pair number low time_ms`")
    eci, eid, domain, name = path
    numbers = int(found[2]), int(found[3])
    return Envelope(found[1], *numbers, eci, domain, name, attrs, eid, int(found[4]))


def reply_lines(channel: str) -> bytes:
    """The header lines that go with a reply; `channel` is port and id, or "" for no frames."""
    lines = b"Pico-Reply: 1\r\n"
    if channel:
        lines += b"Pico-Channel: " + channel.encode("ascii") + b"\r\n"
    return lines
