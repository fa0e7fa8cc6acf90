"""The routes: what reaches the engine, and how its answers come back."""

from typing import Any

import pytest

from runtime import limits
from runtime.errors import Fault
from runtime.inbox import Answer
from tests.api.fake import PACKERS, ROOT, TOKEN, Served, run

HEADERS = {"host": "h"}
A1 = {"a": "1", "_headers": HEADERS}

# path, and what the engine must have been asked
ROUTES: list[tuple[str, tuple[Any, ...]]] = [
    ("/c/cA/event/d/n?a=1", ("signal", "cA", "d", "n", A1, None)),
    ("/c/cA/event/d/n/?a=1", ("signal", "cA", "d", "n", A1, None)),
    ("/c/cA/event-wait/d/n?a=1", ("event", "cA", "d", "n", A1, None)),
    ("http://other/c/cA/event-wait/d/n?a=1", ("event", "cA", "d", "n", A1, None)),
    ("/c/cA/query/r.s/f?a=1", ("query", "cA", "r.s", "f", A1)),
    ("/c/cA/query/r.s/f.json?a=1", ("query", "cA", "r.s", "f", A1)),
    ("/c/cA/event/d/n/query/r/q.x?a=1", ("event-query", "cA", "d", "n", A1, "r", "q.x", A1)),
    ("/sky/event/cA/none/d/n?a=1", ("event", "cA", "d", "n", A1, None)),
    ("/sky/event/cA/e5/d/n?a=1", ("event", "cA", "d", "n", {**A1, "__eid": "e5"}, None)),
    (
        "/sky/event/cA/e5/d/n?__eid=x",
        ("event", "cA", "d", "n", {"__eid": "x", "_headers": HEADERS}, None),
    ),
    ("/sky/cloud/cA/r.s/f?a=1", ("query", "cA", "r.s", "f", A1)),
    ("/c/c%41/event-wait/d%2Fe/%C3%A9?a=1", ("event", "cA", "d/e", "é", A1, None)),
    ("/c/%20/event-wait/d/n?a=1", ("event", " ", "d", "n", A1, None)),
]


@pytest.mark.parametrize(("path", "call"), ROUTES)
def test_route_reaches_the_engine(path: str, call: tuple[Any, ...]) -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        client.ask(path)
        reply = await client.reply()
        assert reply.status == 200
        assert reply.header("content-type") == "application/json; charset=utf-8"
        assert reply.header("access-control-allow-origin") == "*"
        assert api.engine.calls == [call]

    run(check)


NO_ROUTES = [
    "/nope", "/c", "/c/cA", "/c/cA/event/d", "/c//event/d/n", "/c/cA/event/d/n/query/r",
    "/c/cA/event/d/n/x/r/q", "/c/cA/wait/d/n", "/sky/event/cA/d/n", "/sky/cloud/cA/r",
    "/x/cA/event/d/n", "/sky/cloud/cA/r/f/g", "//c/cA/event/d/n", "*",
]  # fmt: skip


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("path", NO_ROUTES)
def test_unknown_address_is_404(path: str, compat: bool) -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        client.ask(path)
        client.ask(path, headers="Accept: text/html,*/*;q=0.8\r\n")
        replies = [await client.reply() for _ in range(2)]
        assert [reply.status for reply in replies] == [404, 404]
        if not compat:
            answer = replies.pop(0).json()
            assert answer["code"] == "R1009"
            assert answer["error"].startswith("Error: Cannot GET ")
        for reply in replies:
            assert reply.header("content-type") == "text/html; charset=utf-8"
            assert b"<pre>Cannot GET " in reply.body
        assert api.engine.calls == []

    run(check, compat_status=compat)


FORM = "application/x-www-form-urlencoded"

# query string, content type, body, the attributes without _headers
PARAMETERS: list[tuple[str, str, bytes, dict[str, Any]]] = [
    ("", "", b"", {}),
    ("?", "", b"", {}),
    ("?a", "", b"", {"a": ""}),
    ("?a=1&b=two%20words+more&c=%C3%A9", "", b"", {"a": "1", "b": "two words more", "c": "é"}),
    ("?a[b]=1", "", b"", {"a": {"b": "1"}}),
    ("?c[]=2", "", b"", {"c": ["2"]}),
    ("?a[b]=1&a[c][d]=2&c[]=2&c[]=3", "", b"", {"a": {"b": "1", "c": {"d": "2"}}, "c": ["2", "3"]}),
    ("?a%5Bb%5D=1", "", b"", {"a": {"b": "1"}}),
    ("?n=1&n=2&n=3", "", b"", {"n": ["1", "2", "3"]}),
    ("?n[1]=b&n[0]=a", "", b"", {"n": ["a", "b"]}),
    ("?n[100]=x", "", b"", {"n": {"100": "x"}}),
    ("?n[]=1&n[k]=2", "", b"", {"n": {"0": "1", "k": "2"}}),
    ("?n=1&n[k]=2", "", b"", {"n": ["1", {"k": "2"}]}),
    ("?a[b][c][d][e][f][g]=1", "", b"", {"a": {"b": {"c": {"d": {"e": {"f": {"[g]": "1"}}}}}}}),
    ("?a[b=1&[]=2&]=3", "", b"", {"a[b": "1", "[]": "2", "]": "3"}),
    ("?&&a=1&=2", "", b"", {"a": "1", "": "2"}),
    ("?a=%zz&b=%", "", b"", {"a": "%zz", "b": "%"}),
    ("?a=1", "application/json", b'{"a":2,"b":[1,null,1.5]}', {"a": 2, "b": [1, None, 1.5]}),
    ("", "Application/JSON; charset=utf-8", b'{"a":"\xc3\xa9"}', {"a": "é"}),
    ("", "application/octet-stream", b'{"a":1}', {"a": 1}),
    ("", "application/ssi-agent-wire", b'{"a":1}', {"a": 1}),
    ("?x=y", "application/json", b"[1,2]", {"x": "y", "0": 1, "1": 2}),
    ("", "application/json", b'{"a":1,"a":2}', {"a": 2}),
    ("", "application/json", b'{"_headers":1}', {}),
    ("?a=1&c=3", FORM, b"a=2&b=x+y", {"a": "2", "b": "x y", "c": "3"}),
    ("", FORM, b"a[b]=1&n=1&n=2&n=3", {"a[b]": "1", "n": ["1", "2", "3"]}),
    ("?a=1", "text/plain", b"a=2", {"a": "1"}),
    ("?a=1", "application/didcomm-encrypted+json", b'{"a":2}', {"a": "1"}),
]  # fmt: skip


@pytest.mark.parametrize(("query", "kind", "body", "attrs"), PARAMETERS)
def test_parameters(query: str, kind: str, body: bytes, attrs: dict[str, Any]) -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        client.ask(f"/c/cA/event-wait/d/n{query}", body, kind)
        assert (await client.reply()).status == 200
        found = dict(api.engine.calls[0][4])
        assert found.pop("_headers")["host"] == "h"
        assert found == attrs
        assert [key for key in found if key in attrs] == list(found)

    run(check)


@pytest.mark.parametrize("packing", PACKERS)
def test_packed_body(packing: str) -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        body = PACKERS[packing](b'{"a":1}')
        encoding = f"Content-Encoding: {packing.split()[-1]}\r\n"
        client.ask("/c/cA/event-wait/d/n", body, headers=encoding)
        assert (await client.reply()).status == 200
        assert api.engine.calls[0][4]["a"] == 1

    run(check)


NESTED = b"[" * 100_000 + b"]" * 100_000
MANY = b"&".join(b"a%d=1" % number for number in range(1001))

# content type, headers, body, status, code, a part of the message
REFUSED = [
    ("application/json", "", b"{", 400, "R1011", "SyntaxError: the JSON cannot be read"),
    ("application/json", "", b'{"a":NaN}', 400, "R1011", "the JSON cannot be read"),
    ("application/json", "", b'{"a":1e999}', 400, "R1011", "out of range"),
    ("application/json", "", b'{"a":' + b"9" * 5000 + b"}", 400, "R1011", "out of range"),
    ("application/json", "", b'{"a":"\xff"}', 400, "R1011", "UTF-8"),
    ("application/json", "", NESTED, 400, "R1011", "nested too deep"),
    ("application/json", "", b"5", 400, "R1011", "neither an object nor an array"),
    ("application/json", "", b'"text"', 400, "R1011", "neither an object nor an array"),
    (FORM, "", MANY, 400, "R1011", "more than 1000 parameters"),
    ("application/json", "Content-Encoding: gzip\r\n", b"no", 400, "R1011", "unpacked as gzip"),
    ("application/json", "Content-Encoding: br\r\n", b"x", 400, "R1011", "'br' is not known"),
    (
        "application/json",
        "Content-Encoding: gzip\r\n",
        PACKERS["gzip"](b'{"a":1}')[:-9],
        400,
        "R1011",
        "ends too early",
    ),
    (
        "application/json",
        "Content-Encoding: gzip\r\n",
        PACKERS["gzip"](b" " * (1 << 20) + b"{}"),
        413,
        "R4003",
        "PayloadTooLargeError: request entity too large",
    ),
]  # fmt: skip


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize(("kind", "headers", "body", "status", "code", "text"), REFUSED)
def test_bad_body_is_refused(
    kind: str, headers: str, body: bytes, status: int, code: str, text: str, compat: bool
) -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        client.ask("/c/cA/event-wait/d/n", body, kind, headers=headers)
        reply = await client.reply()
        assert reply.status == (200 if compat else status)
        answer = reply.json()
        assert answer["code"] == code
        assert text in answer["error"]
        assert answer["hint"]
        # The connection stays usable, and nothing reached the engine.
        client.ask("/c/cA/event-wait/d/n")
        assert (await client.reply()).status == 200
        assert len(api.engine.calls) == 1

    run(check, compat_status=compat)


def test_too_many_query_parameters_are_refused() -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        client.ask(f"/c/cA/query/r/f?{MANY.decode()}")
        assert (await client.reply()).json()["code"] == "R1011"

    run(check)


def test_path_that_is_no_text_is_refused() -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        client.ask("/c/%ff/event-wait/d/n")
        reply = await client.reply()
        assert (reply.status, reply.json()["code"]) == (400, "R1011")

    run(check)


FAULTS = [
    (Fault("R1002", "Not allowed by channel policy"), 403, "Error: Not allowed by channel policy"),
    (Fault("R4002", "the inbox is full"), 429, "Error: the inbox is full"),
    (Fault("R3003", "the disk is gone"), 503, "Error: the disk is gone"),
    (
        Fault("R2001", "Cannot negate x", rid="r", rule_name="n", line=7, eid="cE"),
        500,
        "TypeError: Cannot negate x",
    ),
]
FAULT_PATHS = [
    "/c/cA/event/d/n", "/c/cA/event-wait/d/n", "/c/cA/query/r/n", "/c/cA/event/d/e/query/r/n",
    "/sky/event/cA/e/d/n", "/sky/cloud/cA/r/n", "/c/cA/query/r/n.html",
]  # fmt: skip


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("path", FAULT_PATHS)
@pytest.mark.parametrize(("fault", "status", "text"), FAULTS)
def test_fault_is_answered(fault: Fault, status: int, text: str, path: str, compat: bool) -> None:
    async def check(api: Served) -> None:
        api.engine.answers["n"] = fault
        client = await api.client()
        client.ask(path)
        reply = await client.reply()
        assert reply.status == (200 if compat else status)
        assert reply.header("retry-after") == ("1" if status in (429, 503) else None)
        assert reply.json() == fault.to_map()
        assert reply.json()["error"] == text

    run(check, compat_status=compat)


def test_unknown_eci_names_what_was_sent() -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        client.ask("/c/cNO/event/d/n")
        reply = await client.reply()
        assert reply.status == 404
        assert reply.json()["error"] == "Error: ECI not found cNO"

    run(check)


@pytest.mark.parametrize("compat", [False, True])
def test_faults_of_rules_come_with_what_worked(compat: bool) -> None:
    fault = Fault("R2001", "Cannot negate x", rid="r", line=7)
    answer = {"eid": "cE", "directives": [{"name": "ok"}], "errors": [fault.to_map()]}

    async def check(api: Served) -> None:
        api.engine.answers["n"] = answer
        client = await api.client()
        client.ask("/c/cA/event-wait/d/n")
        reply = await client.reply()
        assert reply.status == (200 if compat else 500)
        first = {"error": "TypeError: Cannot negate x", "code": "R2001"}
        assert reply.json() == {**answer, **first}

    run(check, compat_status=compat)


def test_bug_is_answered_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        client.ask("/c/cSECRET0123/event-wait/d/bug")
        reply = await client.reply()
        assert (reply.status, reply.json()["code"]) == (500, "R9001")

    run(check)
    assert "ZeroDivisionError" in caplog.text
    assert "cSECRET0123" not in caplog.text


# function value, suffix, status, content type, body
VALUES: list[tuple[Any, str, int, str, bytes]] = [
    ("<b>x</b>", ".html", 200, "text/html; charset=utf-8", b"<b>x</b>"),
    ("x\u00e9", ".txt", 200, "text/plain; charset=utf-8", "xé".encode()),
    ("x", "", 200, "application/json; charset=utf-8", b'"x"'),
    (None, "", 200, "application/json; charset=utf-8", b"null"),
    ({"a": [1, 2.5, True]}, ".json", 200, "application/json; charset=utf-8", b'{"a":[1,2.5,true]}'),
    ("half \ud83d", "", 200, "application/json; charset=utf-8", b'"half \\ud83d"'),
]  # fmt: skip


@pytest.mark.parametrize("form", ["/c/cA/query/r/f", "/sky/cloud/cA/r/f"])
@pytest.mark.parametrize(("value", "suffix", "status", "kind", "body"), VALUES)
def test_query_value(
    value: Any, suffix: str, status: int, kind: str, body: bytes, form: str
) -> None:
    async def check(api: Served) -> None:
        api.engine.answers["f"] = value
        client = await api.client()
        client.ask(form + suffix)
        reply = await client.reply()
        assert (reply.status, reply.header("content-type"), reply.body) == (status, kind, body)
        guards = reply.header("content-security-policy")
        assert guards.startswith(
            "default-src 'self'" if kind[:5] == "text/" else "default-src 'none'"
        )

    run(check)


@pytest.mark.parametrize(
    "path", ["/c/cA/query/r/f", "/sky/cloud/cA/r/f", "/c/cA/event/d/n/query/r/f"]
)
def test_value_of_an_earlier_state_says_so(path: str) -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        for is_stale in (True, False):
            api.engine.answers["f"] = Answer(5, stale=is_stale)
            client.ask(path)
            reply = await client.reply()
            assert reply.header("pico-stale") == ("true" if is_stale else None)
            assert reply.json() == 5

    run(check)


def test_query_value_that_is_no_page() -> None:
    async def check(api: Served) -> None:
        api.engine.answers["f"] = {"a": 1}
        client = await api.client()
        client.ask("/c/cA/query/r/f.html")
        reply = await client.reply()
        assert (reply.status, reply.json()["code"]) == (500, "R2001")

    run(check)


def directive(name: str, **options: Any) -> dict[str, Any]:
    return {"type": "directive", "name": name, "options": options, "meta": {}}


def test_sky_event_sets_cookies() -> None:
    async def check(api: Served) -> None:
        api.engine.answers["n"] = {
            "eid": "cE",
            "directives": [
                directive("_cookie", cookie="a=1; Path=/"),
                directive("_cookie", cookie="b=2\r\nEvil: yes"),
                directive("_cookie", cookie=5),
                directive("other"),
            ],
        }
        client = await api.client()
        client.ask("/sky/event/cA/e/d/n")
        client.ask("/c/cA/event-wait/d/n")
        reply = await client.reply()
        cookies = [value for name, value in reply.headers if name == "set-cookie"]
        assert cookies == ["a=1; Path=/", "b=2Evil: yes"]
        assert reply.header("evil") is None
        assert len(reply.json()["directives"]) == 4
        assert (await client.reply()).header("set-cookie") is None

    run(check)


def test_sky_event_redirects() -> None:
    async def check(api: Served) -> None:
        api.engine.answers["n"] = {
            "eid": "cE",
            "directives": [
                directive("_redirect", url="http://x/y?z=1 2#é%20"),
                directive("_cookie", cookie="a=1"),
            ],
        }
        client = await api.client()
        client.ask("/sky/event/cA/e/d/n")
        reply = await client.reply()
        assert reply.status == 302
        assert reply.header("location") == "http://x/y?z=1%202#%C3%A9%20"
        assert reply.header("set-cookie") == "a=1"
        assert reply.body.startswith(b"Found. Redirecting to http://x/y")

    run(check)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "PROPFIND"])
def test_any_method_works(method: str) -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        client.ask("/c/cA/event-wait/d/n?a=1", method=method)
        assert (await client.reply()).status == 200
        assert api.engine.calls[0][3] == "n"

    run(check)


def test_head_has_no_body() -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        client.ask("/c/cA/query/r/f", method="HEAD")
        client.ask("/c/cA/query/r/f")
        head = await client.reply(is_head=True)
        get = await client.reply()
        assert head.header("content-length") == get.header("content-length")
        assert get.json() == {"asked": "f"}

    run(check)


@pytest.mark.parametrize("path", ["/c/x/event/a/b", "/nope", "*", "/api/install"])
def test_options_answers_any_path(path: str) -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        client.ask(path, method="OPTIONS")
        reply = await client.reply()
        assert (reply.status, reply.body) == (200, b"")
        assert reply.header("allow") == "POST, GET, OPTIONS"
        assert reply.header("access-control-allow-methods") == "POST, GET, OPTIONS"

    run(check)


def test_headers_become_an_attribute() -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        lines = (
            "X-One: 1\r\nX-Two: a\r\nx-two: b\r\nCookie: c=1\r\nCOOKIE: d=2\r\nSet-Cookie: e\r\n"
            "User-Agent: first\r\nUser-Agent: second\r\nAuthorization: Basic abc\r\n"
            "Idempotency-Key: k7\r\n"
        )
        client.ask("/c/cA/event/d/n", headers=lines)
        client.ask("/c/cA/event-wait/d/n", headers=f"Authorization: Bearer {TOKEN}\r\n" + lines)
        await client.reply()
        await client.reply()
        expected = {
            "host": "h",
            "x-one": "1",
            "x-two": "a, b",
            "cookie": "c=1; d=2",
            "set-cookie": ["e"],
            "user-agent": "first",
            "authorization": "Basic abc",
            "idempotency-key": "k7",
        }
        signal, event = api.engine.calls
        assert signal[4]["_headers"] == expected
        assert event[4]["_headers"] == expected
        assert signal[5] == event[5] == "k7"

    run(check)


# ------------------------------------------------------------------------------------- admin

ADMIN = f"Authorization: Bearer {TOKEN}\r\n"


@pytest.mark.parametrize("path", ["/api/show", "/api/ui-context", "/api/install", "/api/nope"])
@pytest.mark.parametrize(
    "headers", ["", "Authorization: Bearer no\r\n", f"Authorization: Basic {TOKEN}\r\n", ADMIN * 2]
)
def test_admin_needs_the_token(path: str, headers: str) -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        client.ask(path, headers=headers)
        reply = await client.reply()
        assert (reply.status, reply.json()["code"]) == (401, "R1010")
        assert TOKEN not in reply.body.decode()
        assert ROOT not in reply.body.decode()

    run(check)


def test_admin_about_and_show() -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        for path in ["ui-context", "show", "show?eci=root", "show?eci=cA", "show?eci=cNO", "x"]:
            client.ask(f"/api/{path}", headers=ADMIN)
        client.ask("/api/show?eci=a&eci=b", headers=ADMIN)
        about = await client.reply()
        assert about.json()["eci"] == ROOT
        assert about.json()["version"]
        assert (await client.reply()).json() == {"shown": None}
        assert (await client.reply()).json() == {"shown": ROOT}
        assert (await client.reply()).json() == {"shown": "cA"}
        assert (await client.reply()).json()["code"] == "R1001"
        assert (await client.reply()).json()["code"] == "R1009"
        assert (await client.reply()).json()["code"] == "R1013"

    run(check)


INSTALLS: list[tuple[bytes, tuple[Any, ...]]] = [
    (b'{"source":"ruleset a.b {}"}', (ROOT, None, "ruleset a.b {}", None, None)),
    (b'{"url":"file:x","eci":"root","config":{"k":1}}', (ROOT, "file:x", None, None, {"k": 1})),
    (b'{"url":"file:x","source":"s"}', (ROOT, "file:x", "s", None, None)),
    (b'{"bundle":"AAEC","eci":"cA"}', ("cA", None, None, b"\0\1\2", None)),
]  # fmt: skip


@pytest.mark.parametrize(("body", "call"), INSTALLS)
def test_admin_install(body: bytes, call: tuple[Any, ...]) -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        client.ask("/api/install", body, headers=ADMIN)
        reply = await client.reply()
        assert (reply.status, reply.json()["rid"]) == (200, "a.b")
        assert api.engine.calls == [("install", *call)]

    run(check)


BAD_INSTALLS = [
    (b"", "R1013", "cannot be used"),
    (b"{}", "R1013", "needs url, source or bundle, and got none of them"),
    (b'{"url":"x","bundle":"AA=="}', "R1013", "got url and bundle"),
    (b'{"url":5}', "R1013", "`$.url`"),
    (b'{"url":"x","colour":"red"}', "R1013", "colour"),
    (b'{"bundle":"***"}', "R1013", "base64"),
    (b'{"url":"\xff"}', "R1013", "cannot be used"),
    (b'{"source":"bad"}', "R2007", "it does not compile"),
]


@pytest.mark.parametrize(("body", "code", "text"), BAD_INSTALLS)
def test_admin_install_refused(body: bytes, code: str, text: str) -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        client.ask("/api/install", body, method="POST", headers=ADMIN)
        reply = await client.reply()
        answer = reply.json()
        assert (reply.status, answer["code"]) == ({"R1013": 400, "R2007": 422}[code], code)
        assert text in answer["error"]

    run(check)


def test_admin_body_may_be_larger() -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        body = b'{"source":"' + b"x" * (2 << 20) + b'"}'
        client.ask("/api/install", body, headers=ADMIN)
        assert (await client.reply()).status == 200
        client.ask("/api/install", body)
        assert (await client.reply()).status == 413

    run(check)


def test_admin_body_has_its_own_bound() -> None:
    async def check(api: Served) -> None:
        client = await api.client()
        length = limits.http_admin_body_bytes_max + 1
        client.ask("/api/install", method="POST", headers=f"{ADMIN}Content-Length: {length}\r\n")
        reply = await client.reply()
        assert (reply.status, reply.json()["code"]) == (413, "R4003")
        assert str(limits.http_admin_body_bytes_max) in reply.json()["hint"]

    run(check)
