"""What a request is made of, and what a redirect does to it."""

from __future__ import annotations

import pytest
from harness.web import reply

from runtime.errors import Fault
from runtime.web import Request, Response, checked_url, encoded, redirected, shown_url

HEADERS = (
    ("accept", "*/*"),
    ("authorization", "Basic x"),
    ("cookie", "a=1"),
    ("content-type", "text/plain"),
    ("idempotency-key", "k"),
)
HERE = "https://a.example/dir/x?q=1"


def to(status: int, location: str | None) -> Response:
    return reply("", status) if location is None else reply("", status, location=location)


@pytest.mark.parametrize(
    ("method", "status", "after"),
    [
        ("GET", 301, "GET"),
        ("GET", 303, "GET"),
        ("HEAD", 303, "HEAD"),
        ("POST", 301, "GET"),
        ("POST", 302, "GET"),
        ("POST", 303, "GET"),
        ("PUT", 302, "PUT"),
        ("PUT", 303, "GET"),
        ("POST", 307, "POST"),
        ("POST", 308, "POST"),
        ("POST", 300, None),
        ("POST", 304, None),
        ("POST", 200, None),
    ],
)
def test_a_redirect_keeps_or_changes_the_method(method: str, status: int, after: str) -> None:
    asked = Request(method, HERE, HEADERS, b"body")
    following = redirected(asked, to(status, "y"))
    if after is None:
        assert following is None
        return
    assert following is not None
    assert (following.method, following.url) == (after, "https://a.example/dir/y")
    is_whole = after == method
    assert following.body == (b"body" if is_whole else None)
    kept = HEADERS if is_whole else HEADERS[:3]
    assert following.headers == kept


@pytest.mark.parametrize(
    ("location", "url", "is_same"),
    [
        ("/y#f", "https://a.example/y", True),
        ("//a.example/y", "https://a.example/y", True),
        ("https://A.example:443/y", "https://a.example/y", True),
        ("http://a.example/y", "http://a.example/y", False),
        ("https://b.example/y", "https://b.example/y", False),
        ("https://a.example:444/y", "https://a.example:444/y", False),
        ("/ü ", "https://a.example/%C3%BC", True),
        ("", "https://a.example/dir/x?q=1", True),
    ],
)
def test_secrets_do_not_follow_to_another_server(location: str, url: str, is_same: bool) -> None:
    following = redirected(Request("GET", HERE, HEADERS, None), to(302, location))
    assert following is not None
    assert following.url == url
    secret = {"authorization", "cookie"}
    assert secret & {name for name, _ in following.headers} == (secret if is_same else set())


@pytest.mark.parametrize(
    ("location", "code"),
    [("http://[::1", "R5008"), ("http:///x", "R5008"), ("file:///etc/passwd", "R5005")],
)
def test_a_redirect_to_nowhere_is_refused(location: str, code: str) -> None:
    with pytest.raises(Fault) as caught:
        redirected(Request("GET", HERE, (), None), to(302, location))
    assert caught.value.code == code


def test_without_a_location_or_a_wish_nothing_is_followed() -> None:
    assert redirected(Request("GET", HERE, (), None), to(302, None)) is None
    assert redirected(Request("GET", HERE, (), None, follows=False), to(302, "y")) is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://müller.example/", "http://xn--mller-kva.example/"),
        ("http://\uff11\uff12\uff17.0.0.1/", "http://127.0.0.1/"),
        ("http://[::1]:80/a", "http://[::1]/a"),
        ("http://a.example\\@b.example/", "http://a.example%5C@b.example/"),
        ("http://a.example/a\tb\r\n", "http://a.example/ab"),
        ("http://a.example", "http://a.example/"),
    ],
)
def test_urls_go_onto_the_wire_in_one_form(url: str, expected: str) -> None:
    assert checked_url(url) == expected


def test_messages_show_no_secret_part_of_a_url() -> None:
    assert shown_url("https://me:pw@a.example:8/x?key=1#f") == "https://a.example:8/x"


def test_values_that_have_no_text_are_left_out_of_forms() -> None:
    value = {"a": {"f": len, "n": None, "x": 1}, "l": [len, "b"], "e": {}, "s": "\ud800"}
    assert encoded(value) == "a%5Bx%5D=1&l%5B1%5D=b&s=%3F"
    deep: list[object] = []
    for _ in range(1000):
        deep = [deep]
    with pytest.raises(Fault) as caught:
        encoded({"a": deep})
    assert caught.value.code == "R4004"
