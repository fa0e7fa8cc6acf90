"""The `http:` module over a scripted web: what is asked, what comes back, what follows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness.engine import TestEngine
from harness.web import ScriptedWeb, reply

from runtime.clock import VirtualClock
from runtime.errands import PREFIX
from runtime.errors import Fault
from runtime.memory import MemoryStore
from runtime.store import Store, encode_record
from runtime.web import Request

A = "http://a.example/x"
ARGUMENTS = (
    'a{"url"}, a{"qs"}, a{"headers"}, a{"body"}, a{"auth"}, a{"json"}, a{"form"}, '
    'a{"parseJSON"}, a{"autoraise"}, a{"autosend"}, a{"dontFollowRedirect"}'
)
CHOICES = "\n".join(
    f"{method} => http:{method}({ARGUMENTS}) setting(got)"
    for method in ("get", "head", "post", "put", "patch", "delete")
)
RULES = f"""
ruleset t.http {{
  meta {{ shares get, typed, raising, sending, heard }}
  global {{
    get = function(url, qs, headers) {{ http:get(url, qs, headers) }}
    typed = function() {{ http:get.typeof() }}
    raising = function(url) {{ http:get(url, autoraise="x") }}
    sending = function(url) {{
      http:get(url, autosend={{"eci": "e", "domain": "d", "name": "n"}})
    }}
    heard = function() {{ ent:heard }}
    posting = defaction(url) {{
      http:post(url, json={{"in": "defaction"}}) setting(got)
      return got{{"content"}}
    }}
  }}
  rule ask {{
    select when do ask
    pre {{
      a = event:attrs
      method = a{{"method"}}
    }}
    choose method {{ {CHOICES} }}
    fired {{ raise test event "asked" attributes {{"got": got}} }}
  }}
  rule asked {{ select when test asked send_directive("got", event:attrs) }}
  rule raised {{
    select when http get or http head or http post
    send_directive("raised", event:attrs)
  }}
  rule heard {{
    select when foo bar
    always {{ ent:heard := ent:heard.defaultsTo([]).append([event:attrs]) }}
  }}
  rule count {{
    select when do count
    http:post(event:attrs{{"url"}}) setting(got)
    always {{ ent:heard := ent:heard.defaultsTo([]).append(got{{"status_code"}}) }}
  }}
  rule late {{
    select when do late
    every {{
      http:post(event:attrs{{"url"}}, autosend=event:attrs{{"autosend"}})
      ctx:delPico("nobody")
    }}
  }}
  rule broken {{ select when system error send_directive("fault", event:attrs) }}
  rule indirect {{
    select when do indirect
    pre {{
      verb = http:put
      kinds = [verb, ctx:newPico, http:get].map(function(v) {{ v.typeof() }})
      asked = [event:attrs{{"url"}}].map(http:get)
    }}
    every {{
      posting(event:attrs{{"url"}}) setting(one)
      verb(json={{"a": 1}}, url=event:attrs{{"url"}}) setting(two)
    }}
    fired {{
      raise test event "asked" attributes {{
        "got": [one, two{{"content"}}, asked[0]{{"content"}}, kinds]
      }}
    }}
  }}
}}
"""


class Stage:
    """An engine with the ruleset, and a web that answers from a table."""

    def __init__(self, store: Store | None = None, clock: VirtualClock | None = None) -> None:
        self.clock = clock or VirtualClock(1_000_000)
        self.web = ScriptedWeb(
            self.clock, {A: reply("hello", content_type="text/plain", content_length="5")}
        )
        self.engine = TestEngine(store, clock=self.clock, web=self.web)

    def installed(self) -> Stage:
        self.engine.install(RULES)
        return self

    def ask(self, method: str = "get", url: Any = A, **attrs: Any) -> Any:
        """What one call gives; the fault of the rule is raised."""
        answer = self.engine.event("do", "ask", {"method": method, "url": url, **attrs})
        if "errors" in answer:
            raise AssertionError(answer["errors"][0]["error"])
        found = {d["name"]: d["options"] for d in answer["directives"]}
        return found["got"]["got"]

    def sent(self, method: str = "get", url: Any = A, **attrs: Any) -> tuple[Request, dict]:
        """The last request of one call, and its headers."""
        self.ask(method, url, **attrs)
        request = self.web.asked[-1]
        return request, dict(request.headers)


@pytest.fixture
def stage() -> Stage:
    return Stage().installed()


# --- What is asked --------------------------------------------------------------------------------

STANDARD = {
    "accept": "*/*",
    "accept-encoding": "gzip,deflate",
    "user-agent": "pico-engine-core-http",
}


def test_a_plain_get_says_what_the_reference_says(stage: Stage) -> None:
    request, headers = stage.sent(qs={"a": 1})
    assert request == Request("GET", A + "?a=1", tuple(STANDARD.items()), None)
    assert headers == STANDARD


@pytest.mark.parametrize(
    ("url", "qs", "expected"),
    [
        ("http://a.example/x", {"a": "b c/ü"}, "http://a.example/x?a=b%20c%2F%C3%BC"),
        ("http://a.example/x?z=1", {"a": 1}, "http://a.example/x?z=1&a=1"),
        ("http://a.example/x?", {"a": 1}, "http://a.example/x?a=1"),
        ("http://a.example/x", {}, "http://a.example/x"),
        ("http://a.example/x", "a=1", "http://a.example/x"),
        ("http://a.example/x#f", {"a": 1}, "http://a.example/x?a=1"),
        (
            "http://a.example/x",
            {"b": [1, {"c": 2}]},
            "http://a.example/x?b%5B0%5D=1&b%5B1%5D%5Bc%5D=2",
        ),
        ("http://a.example/x", {"b": None, "c": True, "d": 1.5}, "http://a.example/x?c=true&d=1.5"),
        (" HTTP://A.Example:80/x ", {"~-_.": "!*'()"}, "http://a.example/x?~-_.=%21%2A%27%28%29"),
        ("http://a.example/x", {"b": 1, "10": 2, "9": 3}, "http://a.example/x?9=3&10=2&b=1"),
        ("http://a.example/x?q=ü b", None, "http://a.example/x?q=%C3%BC%20b"),
        ("http://a.example/x?q=%41", None, "http://a.example/x?q=%41"),
    ],
)
def test_query_strings(stage: Stage, url: str, qs: Any, expected: str) -> None:
    assert stage.sent("get", url, qs=qs)[0].url == expected


FORM = {"formkey": "formval", "foo": ["bar", "baz"]}


@pytest.mark.parametrize(
    ("attrs", "body", "content_type"),
    [
        ({"body": "some text", "json": {}, "form": FORM}, b"some text", "text/plain;charset=UTF-8"),
        ({"body": {"a": 1}}, b"[Map]", "text/plain;charset=UTF-8"),
        ({"body": "", "form": FORM}, b"formkey=formval&foo%5B0%5D=bar&foo%5B1%5D=baz",
         "application/x-www-form-urlencoded"),
        ({"json": FORM}, b'{"formkey":"formval","foo":["bar","baz"]}', "application/json"),
        ({"json": FORM, "headers": {"Content-Type": "a/b"}},
         b'{"formkey":"formval","foo":["bar","baz"]}', "a/b"),
        ({"json": []}, b"[]", "application/json"),
        ({"form": {}}, b"", "application/x-www-form-urlencoded"),
        ({"json": 0, "form": "x"}, b"", "application/x-www-form-urlencoded"),
        ({"json": None}, None, None),
        ({"body": False, "json": ""}, None, None),
    ],
)  # fmt: skip
def test_bodies(stage: Stage, attrs: dict, body: bytes | None, content_type: str | None) -> None:
    request, headers = stage.sent("post", **attrs)
    assert request.body == body
    assert headers.get("content-type") == content_type


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X-A": 1, "x-b": None, "x-c": ["a"]}, {"x-a": "1", "x-b": "null", "x-c": "[Array]"}),
        ({"User-Agent": "me"}, {"user-agent": "me"}),
        ({"Content-Length": "3", "Connection": "close", "Host": "h"}, {"host": "h"}),
        ({"x": "\ud800é"}, {"x": "?é"}),
        ("X-A: 1", {}),
    ],
)
def test_headers(stage: Stage, headers: Any, expected: dict[str, str]) -> None:
    assert stage.sent(headers=headers)[1] == {**STANDARD, **expected}


@pytest.mark.parametrize(
    ("auth", "url", "expected"),
    [
        ({"username": "bob", "password": "nopass"}, A, "Basic Ym9iOm5vcGFzcw=="),
        ({"username": "bob", "password": 5}, A, "Basic Ym9iOg=="),
        ({"username": 5, "password": "x"}, A, "mine"),
        ("bob", A, "mine"),
        (None, "http://bob:no%70ass@a.example/x", "mine"),
    ],
)
def test_auth(stage: Stage, auth: Any, url: str, expected: str) -> None:
    request, headers = stage.sent("get", url, auth=auth, headers={"authorization": "mine"})
    assert headers["authorization"] == expected
    assert request.url == A


def test_credentials_in_a_url_are_auth(stage: Stage) -> None:
    request, headers = stage.sent("get", "http://bob:no%70ass@a.example/x")
    assert headers["authorization"] == "Basic Ym9iOm5vcGFzcw=="
    assert request.url == A


def test_what_is_not_safe_carries_a_key_of_its_own(stage: Stage) -> None:
    keys = {}
    for method in ("get", "head", "post", "put", "patch", "delete"):
        keys[method] = stage.sent(method)[1].get("idempotency-key")
    assert keys.pop("get") is keys.pop("head") is None
    assert all(keys.values())
    assert len(set(keys.values())) == 4
    given = stage.sent("post", headers={"Idempotency-KEY": "mine"})[1]
    assert given["idempotency-key"] == "mine"


@pytest.mark.parametrize(
    ("attrs", "error"),
    [
        ({"url": None}, "Error: http:get needs a url string"),
        ({"url": ""}, "Error: http:get needs a url string"),
        ({"url": {"one": 1}}, "TypeError: http:get was given [Map] instead of a url string"),
        ({"url": "/x"}, "Error: /x is not a URL that can be requested: it is not absolute"),
        ({"url": "http:///x"}, "Error: http:///x is not a URL that can be requested: it names no"),
        ({"url": "http://a.example:99999/"}, "Error: http://a.example:99999/ is not a URL that"),
        ({"url": "http://a%2e/"}, "Error: http://a%2e/ is not a URL that can be requested: it na"),
        ({"url": "file:///etc/passwd"}, "Error: file:///etc/passwd cannot be reached by rulesets"),
        ({"url": A, "headers": {"a b": 1}}, "Error: 'a b' cannot be the name of a header"),
        ({"url": A, "headers": {"a": "1\r\nb: 2"}}, "Error: the value of the header a has a line"),
        ({"url": A, "body": "x"}, "TypeError: Request with GET/HEAD method cannot have body"),
        ({"url": A, "json": {}}, "TypeError: Request with GET/HEAD method cannot have body"),
        ({"url": "http://b.example/y?secret=1"},
         "Error: request to http://b.example/y failed, reason: connection refused"),
        ({"url": A, "autosend": "x"}, "Error: missing event.eci"),
        ({"url": A, "autosend": {"eci": "e"}}, "Error: missing event.domain"),
        ({"url": A, "autosend": {"eci": "e", "domain": "d"}}, "Error: missing event.name"),
    ],
)  # fmt: skip
def test_what_makes_no_request_faults_the_rule(stage: Stage, attrs: dict, error: str) -> None:
    answer = stage.engine.event("do", "ask", {"method": "get", **attrs})
    assert answer["errors"][0]["error"].startswith(error)
    assert [d["name"] for d in answer["directives"]] == ["fault"]


# --- What comes back ------------------------------------------------------------------------------


def test_a_response_is_a_map(stage: Stage) -> None:
    stage.web.replies[A] = reply(
        "héllo", 404, "Not Found", content_type="text/html", content_length="6", x="1"
    )
    assert stage.ask() == {
        "content": "héllo",
        "content_type": "text/html",
        "content_length": 6,
        "headers": {"content-type": "text/html", "content-length": "6", "x": "1"},
        "status_code": 404,
        "status_line": "Not Found",
    }


def test_repeated_headers_are_joined_and_missing_ones_have_defaults(stage: Stage) -> None:
    response = reply("x")._replace(headers=(("set-cookie", "a=1"), ("set-cookie", "b=2")))
    stage.web.replies[A] = response
    got = stage.ask()
    assert got["headers"] == {"set-cookie": "a=1, b=2"}
    assert (got["content_type"], got["content_length"]) == (None, 0)


@pytest.mark.parametrize(
    ("content", "parse", "expected"),
    [
        ('{"a": [1]}', True, {"a": [1]}),
        ('{"a": [1]}', "true", '{"a": [1]}'),
        ("this is not json", True, "this is not json"),
        ("", True, ""),
    ],
)
def test_json_is_parsed_when_asked_for(
    stage: Stage, content: str, parse: Any, expected: Any
) -> None:
    stage.web.replies[A] = reply(content)
    assert stage.ask(parseJSON=parse)["content"] == expected


def test_bytes_that_are_no_text_are_replaced(stage: Stage) -> None:
    stage.web.replies[A] = reply()._replace(body=b"a\xff")
    assert stage.ask()["content"] == "a\ufffd"


def test_redirects_are_followed_unless_they_should_not_be(stage: Stage) -> None:
    stage.web.replies[A] = reply("", 302, "Found", location="other?q=1")
    stage.web.replies["http://a.example/other"] = reply("there")
    assert stage.ask()["content"] == "there"
    got = stage.ask(dontFollowRedirect=True)
    assert (got["status_code"], got["status_line"]) == (302, "Found")
    assert got["headers"]["location"] == "http://a.example/other?q=1"


# --- What follows ---------------------------------------------------------------------------------


def test_autoraise_raises_the_response_in_the_same_turn(stage: Stage) -> None:
    answer = stage.engine.event("do", "ask", {"method": "post", "url": A, "autoraise": ["l"]})
    found = {d["name"]: d["options"] for d in answer["directives"]}
    assert found["raised"] == {**found["got"]["got"], "label": "[Array]"}
    assert found["raised"]["content"] == "hello"


def autosend(stage: Stage, **data: Any) -> dict[str, Any]:
    return {"eci": stage.engine.root, "domain": "foo", "name": "bar", **data}


def test_autosend_gives_null_now_and_an_event_later(stage: Stage) -> None:
    event = autosend(stage, data={"attrs": {"some": "data", "content": "mine"}})
    stage.web.replies[A] = reply('{"a":1}')
    assert stage.ask("post", autosend=event, parseJSON=True) is None
    (heard,) = stage.engine.query("t.http", "heard")
    assert heard == {
        "some": "data",
        "content": {"a": 1},
        "content_type": None,
        "content_length": 0,
        "headers": {},
        "status_code": 200,
        "status_line": "OK",
    }
    assert stage.engine.core.errands.is_idle


def test_autosend_accepts_the_short_form(stage: Stage) -> None:
    event = {"eci": stage.engine.root, "domain": "foo", "type": "bar", "attrs": {"some": "data"}}
    stage.ask("get", autosend=event)
    assert stage.engine.query("t.http", "heard")[0]["some"] == "data"


def test_autosend_of_a_rule_that_faults_never_leaves(stage: Stage) -> None:
    answer = stage.engine.event("do", "late", {"url": A, "autosend": autosend(stage)})
    assert answer["errors"][0]["code"] == "R2016"
    assert stage.web.asked == []
    assert stage.engine.query("t.http", "heard") is None


@pytest.mark.parametrize(
    ("eci", "url", "code"),
    [(None, "http://b.example/", "R5004"), ("cnobody", A, "R1001")],
)
def test_autosend_that_fails_is_logged(
    stage: Stage, caplog: pytest.LogCaptureFixture, eci: str | None, url: str, code: str
) -> None:
    event = autosend(stage) if eci is None else autosend(stage, eci=eci)
    stage.ask("get", url, autosend=event)
    assert stage.engine.core.errands.is_idle
    assert f"http autosend error: GET {url}" in caplog.text
    assert code in caplog.text
    assert len(stage.engine.core.letters) == (eci is not None)


def test_autosend_survives_the_end_of_the_engine() -> None:
    clock = VirtualClock(1_000_000)
    store = MemoryStore(clock.call_soon)
    first = Stage(store, clock).installed()
    first.web.replies[A] = None
    first.ask("post", autosend=autosend(first))
    assert len(first.web.asked) == 1
    second = Stage(store, clock)
    second.engine.run()
    assert second.web.asked == first.web.asked
    assert dict(second.web.asked[0].headers)["idempotency-key"]
    assert len(second.engine.query("t.http", "heard")) == 1
    third = Stage(store, clock)
    third.engine.run()
    assert third.web.asked == []


def test_too_many_errands_fault_the_rule(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.errands.errands_waiting_max", 2)
    monkeypatch.setattr("runtime.errands.errands_flying_max", 1)
    stage.web.replies[A] = None
    stage.ask("get", autosend=autosend(stage))
    stage.ask("get", autosend=autosend(stage))
    assert len(stage.web.asked) == 1
    answer = stage.engine.event(
        "do", "ask", {"method": "get", "url": A, "autosend": autosend(stage)}
    )
    assert answer["errors"][0]["code"] == "R5002"


# --- Where it may stand ---------------------------------------------------------------------------


def test_queries_may_get(stage: Stage) -> None:
    assert stage.engine.query("t.http", "get", {"url": A})["content"] == "hello"
    assert stage.engine.query("t.http", "typed") == "ActionFunction"


@pytest.mark.parametrize("name", ["raising", "sending"])
def test_queries_may_not_cause_events(stage: Stage, name: str) -> None:
    with pytest.raises(Fault) as caught:
        stage.engine.query("t.http", name, {"url": A})
    assert caught.value.code == "R2011"
    assert stage.web.asked == []


def test_members_are_values_and_parts_of_actions(stage: Stage) -> None:
    answer = stage.engine.event("do", "indirect", {"url": A})
    assert "errors" not in answer
    assert answer["directives"][0]["options"] == {
        "got": ["hello", "hello", "hello", ["Action", "Action", "ActionFunction"]]
    }
    assert [(r.method, r.body) for r in stage.web.asked] == [
        ("GET", None),
        ("POST", b'{"in":"defaction"}'),
        ("PUT", b'{"a":1}'),
    ]


def test_an_engine_without_a_web_says_so() -> None:
    engine = TestEngine()
    engine.install(RULES)
    answer = engine.event("do", "ask", {"method": "get", "url": A})
    assert answer["errors"][0]["code"] == "R5007"
    attrs = {
        "method": "get",
        "url": A,
        "autosend": {"eci": engine.root, "domain": "a", "name": "b"},
    }
    assert "errors" not in engine.event("do", "ask", attrs)
    assert engine.core.errands.is_idle


# --- Waiting --------------------------------------------------------------------------------------


def test_the_event_is_durable_before_the_request_leaves() -> None:
    """Killed while a server keeps it waiting, the turn runs again and asks under the same key."""
    clock = VirtualClock(1_000_000)
    store = MemoryStore(clock.call_soon)
    first = Stage(store, clock).installed()
    first.web.replies[A] = None
    first.engine.core.post(
        first.engine.root, "do", "ask", {"method": "post", "url": A}, lambda answer: None
    )
    first.engine.run()
    second = Stage(store, clock)
    second.engine.run()
    assert second.web.asked == first.web.asked
    assert len(second.web.asked) == 1


@pytest.mark.parametrize("is_lucky", [False, True])
@pytest.mark.parametrize("kind", ["wait", "errand"])
def test_a_crash_anywhere_asks_under_one_key_and_counts_once(kind: str, is_lucky: bool) -> None:
    """Stop after each step of the loop; when lucky, the disk has all that it had not promised."""
    steps, was_asked = 0, set()
    while True:
        first = Stage().installed()
        root, clock = first.engine.root, first.clock
        attrs: dict[str, Any] = {"url": A}
        if kind == "errand":
            attrs.update(method="post", autosend=autosend(first))
        name = "ask" if kind == "errand" else "count"
        taken: list[Any] = []
        first.engine.core.post_signal(root, "do", name, attrs, taken.append)
        first.engine.core.committer.flush()
        done = 0
        while done < steps and clock._soon:
            clock._soon.popleft()()
            done += 1
        store = first.engine.store
        assert isinstance(store, MemoryStore)
        clock._soon.clear()
        clock._timers.clear()
        second = Stage(store.crash(surviving=store.unsynced_batches if is_lucky else 0), clock)
        second.engine.run()
        asked = first.web.asked + second.web.asked
        assert len({dict(request.headers)["idempotency-key"] for request in asked}) <= 1
        heard = second.engine.query("t.http", "heard") or []
        assert len(heard) == bool(asked), steps
        assert asked or not taken, "what was acknowledged happens"
        was_asked.add((len(first.web.asked), len(second.web.asked)))
        if done < steps:
            break
        steps += 1
    assert was_asked >= {(0, 1), (1, 1), (1, 0)}


def test_a_server_that_never_answers_is_given_up(stage: Stage) -> None:
    stage.web.replies[A] = None
    answers: list[Any] = []
    attrs = {"method": "get", "url": A}
    stage.engine.core.post(stage.engine.root, "do", "ask", attrs, answers.append)
    stage.engine.run()
    assert answers == []
    stage.clock.advance(3600)
    assert answers[0]["errors"][0]["code"] == "R4021"
    assert stage.web.given_up == stage.web.asked


GLOBAL = """
ruleset t.global {
  meta { shares zone }
  global { zone = http:get("http://a.example/x"){"content"} }
}
"""


def test_a_global_may_ask_when_the_ruleset_is_installed() -> None:
    stage = Stage()
    stage.engine.install(GLOBAL)
    assert stage.engine.query("t.global", "zone") == "hello"
    assert len(stage.web.asked) == 1
    other = Stage()
    other.web.replies.clear()
    with pytest.raises(Fault) as caught:
        other.engine.install(GLOBAL)
    assert caught.value.code == "R2010"
    assert "request to http://a.example/x failed" in caught.value.message


def test_a_damaged_errand_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    clock = VirtualClock(1_000_000)
    store = MemoryStore(clock.call_soon)
    first = Stage(store, clock).installed()
    first.web.replies[A] = None
    first.ask("get", autosend=autosend(first))
    first.ask("get", autosend=autosend(first))
    (key, _), _ = store.scan("meta", PREFIX)
    store.write([("meta", key, encode_record(["no", "errand"]))])
    second = Stage(store, clock)
    second.engine.run()
    assert "R3006" in caplog.text
    assert len(second.web.asked) == 1
    assert len(second.engine.query("t.http", "heard")) == 1


# --- The example ----------------------------------------------------------------------------------


def test_the_example_asks_and_reports() -> None:
    stage = Stage()
    engine, web = stage.engine, stage.web
    source = (Path(__file__).parents[2] / "examples/forecast/forecast.krl").read_text()
    engine.install(source, config={"service": "http://w.example/v1"})
    web.replies = {
        "http://w.example/v1/forecast": reply('{"sky": "clear"}'),
        "http://w.example/v1/readings": reply("", 201, "Created"),
    }
    assert engine.query("example.forecast", "forecast", {"place": "Provo"}) == {"sky": "clear"}
    engine.event("forecast", "wanted", {"place": "Provo"})
    web.replies["http://w.example/v1/forecast"] = reply("", 404, "Not Found")
    engine.event("forecast", "wanted", {"place": "Nowhere"})
    assert engine.query("example.forecast", "last") == {"Provo": {"sky": "clear"}}
    engine.event("sensor", "reading", {"celsius": 21})
    assert web.asked[-1].body == b'{"celsius":21}'
    assert engine.query("example.forecast", "reported") == 1
    del web.replies["http://w.example/v1/forecast"]
    assert engine.event("forecast", "wanted", {"place": "x"})["errors"][0]["code"] == "R5004"
