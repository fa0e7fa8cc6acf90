"""The commands that talk to an engine: what they send, print and return."""

import asyncio
import http.server
import json
import threading
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from runtime.cli import main
from runtime.commands.arguments import complain, parse_value
from runtime.errors import Fault
from runtime.home import Home
from tests.api.fake import FakeEngine, Served, start


class Engine:
    """A fake engine in a thread, announced in a data folder."""

    def __init__(
        self, home: Home, served: Served, port: int, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.home = str(home.path)
        self.token = home.token
        self.fake: FakeEngine = served.engine
        self.port = port
        self.loop = loop

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def running(path: Path, compat_status: bool = False) -> Iterator[Engine]:
    home = Home.open(path)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def call(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(10)

    served = call(start(compat_status=compat_status, token=home.token))
    home.announce(served.server.url)
    try:
        yield Engine(home, served, int(served.server.url.rsplit(":", 1)[1]), loop)
    finally:
        call(served.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        home.close()


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    for name in ("PICO_URL", "PICO_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PICO_HOME", str(tmp_path / "home"))
    with running(tmp_path / "home") as made:
        yield made


Output = tuple[int, str, str]


def pico(capsys: pytest.CaptureFixture[str], *argv: str) -> Output:
    code = main(argv)
    out, err = capsys.readouterr()
    return code, out, err


ANSWER = {
    "eid": "cE",
    "directives": [
        {"name": "hello", "options": {"to": "Zoë"}, "meta": {"rid": "a.b", "rule_name": "greet"}},
        {"name": "bare", "options": {}, "meta": {"rid": "a.b", "rule_name": "greet"}},
    ],
}


def call_without_headers(call: tuple[Any, ...]) -> tuple[Any, ...]:
    plain = []
    for part in call:
        if isinstance(part, dict):
            part = {key: value for key, value in part.items() if key != "_headers"}
        plain.append(part)
    return tuple(plain)


# arguments, what the engine must be asked, what is printed
DONE: list[tuple[list[str], tuple[Any, ...], str]] = [
    (
        ["event", "cA", "say", "hello", "n=2", "who=Zoë"],
        ("event", "cA", "say", "hello", {"n": 2, "who": "Zoë"}, None),
        'eid cE\n  hello {"to": "Zoë"}  (a.b: greet)\n  bare  (a.b: greet)\n',
    ),
    (
        ["event", "root", "d/e", "é f", "--json-attrs", '{"a":{"b":[1]},"n":1}', "n=2"],
        ("event", "cROOT", "d/e", "é f", {"a": {"b": [1]}, "n": 2}, None),
        "eid cE\n",
    ),
    (["event", "cA", "d", "n", "--async"], ("signal", "cA", "d", "n", {}, None), "cE\n"),
    (["query", "cA", "a.b", "f", "x=[1]"], ("query", "cA", "a.b", "f", {"x": [1]}), "plain\n"),
    (["query", "root", "a.b", "g"], ("query", "cROOT", "a.b", "g", {}), '{\n  "asked": "g"\n}\n'),
    (
        ["deploy", "https://x/y.krl", "--pico", "cA", "--config", '{"k":1}'],
        ("install", "cA", "https://x/y.krl", None, None, {"k": 1}),
        "installed a.b\n  url      https://x/y.krl\n  hash     00\n  channel  cA\n",
    ),
    (
        ["deploy", "file:/x.krl"],
        ("install", "cROOT", "file:/x.krl", None, None, None),
        "installed a.b\n  url      file:/x.krl\n  hash     00\n  channel  cROOT\n",
    ),
]


@pytest.mark.parametrize(("argv", "call", "printed"), DONE)
def test_command_asks_and_prints(
    engine: Engine,
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
    call: tuple[Any, ...],
    printed: str,
) -> None:
    engine.fake.answers = {"hello": ANSWER, "f": "plain"}
    assert pico(capsys, *argv) == (0, printed, "")
    assert [call_without_headers(one) for one in engine.fake.calls] == [call]
    if call[0] in ("event", "signal", "query"):
        assert "authorization" not in engine.fake.calls[0][4]["_headers"]


JSON_DONE: list[tuple[list[str], Any]] = [
    (["event", "cA", "say", "hello"], ANSWER),
    (["event", "cA", "say", "hello", "--async"], {"eid": ANSWER}),
    (["query", "cA", "a.b", "f"], "plain"),
    (["show"], {"shown": None}),
    (["show", "cA"], {"shown": "cA"}),
    (["deploy", "file:/x"], {"rid": "a.b", "url": "file:/x", "hash": "00", "eci": "cROOT"}),
]


@pytest.mark.parametrize(("argv", "document"), JSON_DONE)
def test_command_prints_one_json_document(
    engine: Engine, capsys: pytest.CaptureFixture[str], argv: list[str], document: Any
) -> None:
    engine.fake.answers = {"hello": ANSWER, "f": "plain"}
    code, out, err = pico(capsys, *argv, "--json")
    assert (code, json.loads(out), err) == (0, document, "")


def test_deploy_sends_files(
    engine: Engine, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    source = tmp_path / "a b.krl"
    source.write_text("ruleset a.b {}")
    bundle = tmp_path / "a.krlb"
    bundle.write_bytes(b"\0\1\2")
    assert pico(capsys, "deploy", str(source))[0] == 0
    assert pico(capsys, "deploy", str(bundle))[0] == 0
    url = source.as_uri()
    assert url.endswith("/a%20b.krl")
    assert engine.fake.calls == [
        ("install", "cROOT", url, "ruleset a.b {}", None, None),
        ("install", "cROOT", None, None, b"\0\1\2", None),
    ]


TREE = {
    "root": {
        "id": "p1",
        "eci": "c1",
        "rulesets": ["a.b", "c.d"],
        "waiting": 0,
        "children": [
            {"id": "p2", "eci": None, "rulesets": [], "waiting": 3, "children": []},
            {"id": "p3", "eci": "c3", "rulesets": ["a.b"], "waiting": 0, "children": []},
        ],
    },
    "failure": "the disk is full",
}
DETAIL = {
    "id": "p1",
    "parent": None,
    "channels": [{"id": "c1", "tags": ["x"], "eventPolicy": {"allow": []}}],
    "children": [],
}


def test_show_prints_the_tree(
    engine: Engine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.fake, "describe", lambda eci: DETAIL if eci else TREE)
    assert pico(capsys, "show") == (
        0,
        "the engine has stopped: the disk is full\n"
        "pico p1  channel c1\n"
        "  a.b c.d\n"
        "    pico p2  channel -, 3 waiting\n"
        "      no rulesets\n"
        "    pico p3  channel c3\n"
        "      a.b\n",
        "",
    )
    assert pico(capsys, "show", "root") == (
        0,
        "id: p1\nparent: null\nchannels:\n"
        '  id c1  tags ["x"]  eventPolicy {"allow": []}\n'
        "children: none\n",
        "",
    )


RULE_FAULTS = {
    "eid": "cE",
    "directives": [],
    "errors": [
        Fault("R2001", "Cannot negate x", rid="a.b", rule_name="r", line=7).to_map(),
        Fault("R2002", "too long").to_map(),
    ],
}

# arguments, exit code, what the error output holds
REFUSED: list[tuple[list[str], int, list[str]]] = [
    (["event", "cNO", "d", "n"], 1, ["error R1001: ECI not found cNO", "= hint: check the ECI"]),
    (["query", "cA", "a.b", "bad"], 1, ["a.b:7: error R2001: TypeError: Cannot negate x"]),
    (
        ["event", "cA", "d", "faults"],
        1,
        [
            "a.b:7: error R2001 in rule r: TypeError: Cannot negate x",
            "error R2002: RangeError: too long",
        ],
    ),
    (["show", "cNO"], 1, ["error R1001: ECI not found cNO"]),
]


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize(("argv", "code", "texts"), REFUSED)
def test_refusal_is_told(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
    code: int,
    texts: list[str],
    compat: bool,
) -> None:
    with running(tmp_path, compat) as engine:
        engine.fake.answers = {
            "bad": Fault("R2001", "Cannot negate x", rid="a.b", line=7),
            "faults": RULE_FAULTS,
        }
        found, out, err = pico(capsys, *argv, "--home", engine.home)
        # A rule failed in an event that was evaluated: what the others did is told all the same.
        assert (found, out) == (code, "eid cE\n" if "faults" in argv else "")
        assert all(text in err for text in texts)
        found, out, err = pico(capsys, *argv, "--home", engine.home, "--json")
        assert (found, err) == (code, "")
        assert json.loads(out)["code"].startswith("R")


def test_ruleset_answer_with_an_error_member_is_an_answer(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.fake.answers["f"] = {"error": "none of the paints is red", "code": 5}
    assert pico(capsys, "query", "cA", "a.b", "f")[0] == 0


USAGE = [
    (["event", "cA", "d", "n", "oops"], "'oops' is not of the form name=value"),
    (["event", "cA", "d", "n", "=1"], "'=1' is not of the form name=value"),
    (["event", "cA", "d", "n", "--json-attrs", "{"], "--json-attrs is not JSON"),
    (["event", "cA", "d", "n", "--json-attrs", "[1]"], "--json-attrs is no JSON map"),
    (["deploy", "/no/such.krl"], "/no/such.krl cannot be read: No such file"),
    (["deploy", "file:x", "--config", "[]"], "--config is no JSON map"),
]


@pytest.mark.parametrize(("argv", "text"), USAGE)
def test_usage_is_explained(
    engine: Engine, capsys: pytest.CaptureFixture[str], argv: list[str], text: str
) -> None:
    code, out, err = pico(capsys, *argv)
    assert (code, out) == (2, "")
    assert err.startswith("pico: ")
    assert text in err
    assert engine.fake.calls == []


def test_deploy_of_a_file_that_is_no_text(
    engine: Engine, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "x.krl").write_bytes(b"abc\xff")
    code, _, err = pico(capsys, "deploy", str(tmp_path / "x.krl"))
    assert code == 2
    assert "not UTF-8 text: invalid start byte at 3" in err


ARGPARSE = [
    ["serve", "--port", "70000"],
    ["serve", "--memory", "lots"],
    ["serve", "--memory", "1M"],
    ["serve", "--durability", "maybe"],
    ["serve", "--allow-host", "http://x/"],
    ["event", "cA"],
    ["event", "cA", "d", "n", "--nope", "a=1"],
    ["serve", "--base-url", "picos.example.com"],
    ["serve", "--base-url", "http://"],
    ["serve", "--base-url", "http://x:99999"],
    ["serve", "--base-url", "https://x/?a=1"],
    ["show", "root", "more"],
    ["show", "--timeout", "0"],
    ["show", "--timeout", "-1"],
    ["show", "--timeout", "nan"],
    ["show", "--timeout", "soon"],
    ["log", "--limit", "-1"],
    ["log", "--limit", "0"],
    ["log", "--limit", "some"],
    ["nope"],
]


@pytest.mark.parametrize("argv", ARGPARSE)
def test_argparse_exits_with_2(capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert "usage: pico" in capsys.readouterr().err


def test_missing_arguments_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["event", "root", "counter"])
    assert capsys.readouterr().err.endswith("arguments are required: NAME\n")


def test_report_of_a_compiler_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    report = "a.krl:1:1: error K0415: no ruleset\n   |\n 1 | x\n   = more: krlc explain K0415\n\n"
    answer = {"error": "Error: a.krl does not compile", "code": "R2007", "hint": report}
    complain(Namespace(json=False), answer)
    said = capsys.readouterr().err
    assert said == f"error R2007: a.krl does not compile\n\n{report.rstrip()}\n"


@pytest.mark.parametrize("command", ["serve", "deploy", "event", "query", "show"])
def test_help_has_an_example_and_the_exit_codes(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert f"example:  pico {command}" in out
    assert "exit codes: 0 done" in out


def test_no_command_prints_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = pico(capsys)
    assert (code, out) == (2, "")
    assert "serve" in err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = pico(capsys, "--version")
    assert (code, out.split()[0]) == (0, "pico")


VALUES = [
    ("1", 1), ("-1.5e3", -1500.0), ("true", True), ("null", None), ("[1,2]", [1, 2]),
    ('{"a":1}', {"a": 1}), ("text", "text"), ("", ""), ('"quoted"', '"quoted"'), ("007", "007"),
    ("1.2.3", "1.2.3"), ("NaN", "NaN"), ("-Infinity", "-Infinity"), ("[NaN]", "[NaN]"),
    ("nullify", "nullify"), ("9007199254740993", "9007199254740993"), ("{", "{"), ("١", "١"),
    ("[" * 100_000, "[" * 100_000),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_values_on_the_command_line(text: str, value: Any) -> None:
    found = parse_value(text)
    assert (found, type(found)) == (value, type(value))


# ------------------------------------------------------------------------- finding the engine


def test_engine_is_found_by_environment_and_port(
    engine: Engine,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    assert pico(capsys, "show")[0] == 0
    assert pico(capsys, "show", "--port", str(engine.port))[0] == 0
    monkeypatch.setenv("PICO_URL", engine.url + "/")
    assert pico(capsys, "show")[0] == 0
    # From here on the default folder is not the engine's, so its token is not known.
    monkeypatch.setenv("PICO_HOME", str(tmp_path / "other"))
    code, _, err = pico(capsys, "show")
    assert code == 3
    assert "admin token" in err
    assert "PICO_TOKEN" in err
    assert pico(capsys, "query", "cA", "r", "f")[0] == 0
    assert pico(capsys, "show", "--home", engine.home)[0] == 0
    monkeypatch.setenv("PICO_TOKEN", engine.token)
    assert pico(capsys, "show")[0] == 0
    monkeypatch.setenv("PICO_TOKEN", "wrong")
    code, _, err = pico(capsys, "show")
    assert code == 1
    assert "R1010" in err


def test_token_goes_to_no_other_engine(
    engine: Engine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PICO_URL", f"http://pico.example:{engine.port}")
    code, _, err = pico(capsys, "show")
    assert code == 3
    assert "admin token" in err


class Stranger(http.server.BaseHTTPRequestHandler):
    """Answers like no pico engine."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>hello</html>")

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        return


UNREACHABLE = [
    ("http://127.0.0.1:9", "cannot be reached", "pico serve"),
    ("ftp://127.0.0.1:9", "no address of an engine", "PICO_URL"),
    ("localhost:3000", "no address of an engine", "PICO_URL"),
    ("http://127.0.0.1:port", "cannot be reached", "--port"),
]


@pytest.mark.parametrize(("url", "text", "hint"), UNREACHABLE)
def test_unreachable_engine_is_told(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    url: str,
    text: str,
    hint: str,
) -> None:
    monkeypatch.setenv("PICO_HOME", str(tmp_path))
    monkeypatch.setenv("PICO_URL", url)
    code, out, err = pico(capsys, "query", "cA", "r", "f")
    assert (code, out) == (3, "")
    assert text in err
    assert hint in err
    code, out, err = pico(capsys, "query", "cA", "r", "f", "--json")
    assert (code, err) == (3, "")
    assert text in json.loads(out)["error"]


def test_no_engine_in_the_folder_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, _, err = pico(capsys, "show", "--home", str(tmp_path))
    assert code == 3
    assert f"no engine is running with the data folder {tmp_path}" in err
    assert "pico serve" in err


def test_stranger_is_recognised(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as stranger:
        thread = threading.Thread(target=stranger.serve_forever)
        thread.start()
        code, _, err = pico(
            capsys, "query", "cA", "r", "f", "--port", str(stranger.server_address[1])
        )
        stranger.shutdown()
        thread.join()
    assert code == 3
    assert "is no pico engine" in err


def test_patience_ends(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = pico(capsys, "query", "cA", "r", "held", "--timeout", "0.05")
    assert code == 3
    assert "did not answer within 0.05 seconds" in err
    assert "--timeout" in err
    engine.loop.call_soon_threadsafe(engine.fake.release, "held")
