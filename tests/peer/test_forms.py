"""Envelopes over HTTP as values: what is asked, what answers of all kinds mean, what is read."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import Fault
from runtime.http_params import parse_body
from runtime.network import TAKEN, Envelope, Reply, later
from runtime.network_http import Channel, post, read_envelope, reply_lines
from runtime.web import Request, Response

ENVELOPE = Envelope("pair-1", 7, 5, "cX/y", "wrangler", "a b", {"n": [1, None]}, "e1", 1700)
BASE = "http://there:3000"


class Wire:
    """A `Web` that keeps what it is asked and says what it was given."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[Request] = []

    def fetch(self, request: Request, done: Any) -> Any:
        self.asked.append(request)
        done(self.answer)
        return lambda: None


def heard(answer: Any, envelope: Envelope = ENVELOPE) -> tuple[Reply, Channel | None, Request]:
    wire = Wire(answer)
    found: list[Any] = []
    post(wire, BASE, envelope, lambda *what: found.append(what))
    [(reply, channel)] = found
    return reply, channel, wire.asked[0]


def response(status: int, body: str = "", **headers: str) -> Response:
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Response(status, "Said", named, body.encode(), BASE)


def test_the_request_is_one_that_every_pico_engine_takes() -> None:
    _, _, request = heard(response(200, '{"eid":"x"}'))
    assert request == Request(
        "POST",
        f"{BASE}/sky/event/cX%2Fy/e1/wrangler/a%20b",
        (
            ("content-type", "application/json"),
            ("accept", "application/json"),
            ("idempotency-key", "pair-1-7"),
            ("pico-envelope", "pair-1 7 5 1700"),
        ),
        b'{"n":[1,null]}',
        follows=False,
    )


def refused(code: str, message: str = "") -> Reply:
    return Reply("refused", 0, code, message)


HOST = "the host answered"
NO_ENGINE = "but not as a pico engine does"
SAID = [
    # A Node engine: always 200.
    (response(200, '{"eid":"x","directives":[]}'), TAKEN),
    (response(200, '{ "directives": [], "eid": "x" }'), TAKEN),
    (response(200, '{"error":"Error: ECI not found cX"}'), refused("R1001", "Error: ECI not")),
    (response(200, '{"error":"Error: Not allowed by channel policy"}'), refused("R1002", "Error")),
    (response(200, '{"error":"Error: Denied by channel policy"}'), refused("R1003", "Error")),
    (response(200, '{"error":"Error: This is a family channel and"}'), refused("R1004", "Error")),
    (response(200, '{"error":"Error: missing event.name"}'), refused("R1007", "Error: missing")),
    (
        response(200, '{"error":"PayloadTooLargeError: request entity too large"}'),
        refused("R5001", "PayloadTooLarge"),
    ),
    (response(200, '{"error":"TypeError: a rule did this"}'), TAKEN),
    (response(302, "Found. Redirecting to /x", location="http://elsewhere/x"), TAKEN),
    (response(302, "Found.", location="page.html"), TAKEN),
    # One that answers with statuses.
    (response(500, '{"eid":"x","directives":[],"errors":[{}],"error":"E"}'), TAKEN),
    (response(404, '{"error":"ECI not found","code":"R1001"}'), refused("R1001", "ECI not found")),
    (response(410, '{"error":"gone","code":"R1005"}'), refused("R1005", "gone")),
    (response(403, '{"error":"no","code":"R9999"}'), refused("R5001", "no")),
    (response(403, '{"error":"no","code":["R1001"]}'), refused("R5001", "no")),
    (response(429, '{"error":"full"}', retry_after="7"), later("R5001", HOST, 7000)),
    (response(429, '{"error":"full"}', retry_after="soon"), later("R5001", HOST)),
    (response(503, '{"error":"stops"}', retry_after="1"), later("R5001", HOST, 1000)),
    (response(500, '{"error":"bug"}'), later("R5001", HOST)),
    (response(408), later("R5001", HOST)),
    # What lies between, or something else altogether.
    (response(502, "<h1>Bad gateway</h1>"), later("R5001", HOST)),
    (response(200, "<h1>Welcome</h1>"), later("R5001", NO_ENGINE)),
    (response(200, '"an eid"'), later("R5001", NO_ENGINE)),
    (response(200, '{"error":7}'), later("R5001", NO_ENGINE)),
    (response(200, "[" * 100_000), later("R5001", NO_ENGINE)),
    (response(204), later("R5001", NO_ENGINE)),
    (response(404, "<pre>Cannot POST /sky</pre>"), later("R5001", NO_ENGINE)),
    (response(401, "who are you"), later("R5001", NO_ENGINE)),
    (response(413, "too large"), refused("R5001", HOST)),
    (response(431), refused("R5001", HOST)),
    (response(301, "", location="https://there/sky/event/cX%2Fy/e1/wrangler/a%20b"),
     refused("R5001", "the host says that it is https://there;")),
    (response(308, "", location=f"{BASE}/sky/event/cX%2Fy/e1/wrangler/a%20b"),
     refused("R5001", "the host says")),
    (response(302, "", location="http://["), TAKEN),
    (response(304), refused("R5001", "the host says that it is another address")),
    # One of ours.
    (response(200, '["taken",0,"","",0]', pico_reply="1"), TAKEN),
    (response(200, '["resend",3]', pico_reply="1"), Reply("resend", 3)),
    (response(200, '["refused",7,"R1002","no"]', pico_reply="1"), Reply("refused", 7, "R1002")),
    (response(200, '["lost"]', pico_reply="1"), later("R5001", "no reply to an envelope")),
    (response(200, '{"eid":"x"}', pico_reply="1"), later("R5001", "no reply to an envelope")),
    # No answer.
    (Fault("R5003", "no answer within 30 s"), later("R5003", "no answer")),
    (Fault("R5004", "connection refused"), later("R5004", "connection")),
    (Fault("R5008", "no HTTP"), later("R5008", "no HTTP")),
    (Fault("R5005", "not allowed"), refused("R5005", "not allowed")),
    (Fault("R2018", "no URL"), refused("R2018", "no URL")),
    (Fault("R4030", "too large"), TAKEN),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "meant"), SAID, ids=range(len(SAID)))
def test_every_answer_has_its_meaning(answer: Any, meant: Reply) -> None:
    reply, channel, _ = heard(answer)
    assert meant.message in reply.message
    found = (reply.kind, reply.number, reply.code, reply.wait_ms)
    assert found == (meant.kind, meant.number, meant.code, meant.wait_ms)
    assert channel is None


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("3001 abc", Channel(3001, "abc")),
        ("3001", None),
        ("3001 a b", None),
        ("300100 abc", None),
        ("-1 abc", None),
        ("", None),
    ],
)
def test_where_frames_are_taken_is_read(said: str, meant: Channel | None) -> None:
    taken = response(200, '["taken"]', pico_reply="1", pico_channel=said)
    assert heard(taken)[:2] == (TAKEN, meant)


def test_lines_of_a_reply() -> None:
    assert reply_lines("") == b"Pico-Reply: 1\r\n"
    assert reply_lines("3001 abc") == b"Pico-Reply: 1\r\nPico-Channel: 3001 abc\r\n"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=6),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
NAMES = st.text(min_size=1, max_size=8)


@given(
    st.builds(
        Envelope,
        pair=st.text("abcXYZ019.-", min_size=1),
        number=st.integers(1, 2**63 - 1),
        low=st.integers(1, 2**63 - 1),
        eci=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1),
        domain=NAMES,
        name=NAMES,
        attrs=st.dictionaries(st.text(max_size=5), VALUES, max_size=3),
        eid=st.text("abc019", min_size=1),
        time_ms=st.integers(0, 8_640_000_000_000_000),
    )
)
def test_what_is_posted_is_read_as_it_was(envelope: Envelope) -> None:
    _, _, request = heard(response(200), envelope)
    path = request.url.removeprefix(f"{BASE}/sky/event/").split("/")
    attrs = parse_body(b"application/json", request.body or b"")
    stamp = dict(request.headers)["pico-envelope"]
    assert read_envelope(stamp, [unquote(part) for part in path], attrs) == envelope


@pytest.mark.parametrize(
    "stamp", ["", "p 1 1", "p 1 1 1 1", "p x 1 1", "p 1 -1 1", "p\x00 1 1 1", " 1 1 1", "p 1 1 1\n"]
)
def test_a_header_of_another_form_is_a_fault(stamp: str) -> None:
    with pytest.raises(Fault) as raised:
        read_envelope(stamp, ["c", "e", "d", "n"], {})
    assert raised.value.code == "R1007"
