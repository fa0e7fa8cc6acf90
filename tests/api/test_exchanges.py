"""Requests and answers as data (exchanges.toml), against a whole engine behind a socket."""

from __future__ import annotations

import asyncio
import json
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import h11
import pytest
import uvloop

from runtime import Engine, limits
from runtime.errors import CODES
from runtime.http_admin import _ROUTES
from runtime.http_answers import STALE_LINE
from runtime.http_follow import HEARTBEAT_SECONDS
from runtime.server import HttpServer, bind
from tests.api.fake import PACKERS, TOKEN
from tests.harness.engine import InlineCompiler, TextFetcher

EXCHANGES = tomllib.loads(Path(__file__).with_name("exchanges.toml").read_text("utf-8"))["exchange"]
KRL = """
ruleset test.t {
  meta { shares hi, page, map, nothing, headers, broken, counted, channels }
  global {
    hi = function(name) { "Hello " + name }
    page = function() { "<html>ö</html>" }
    map = function() { {"a": 1} }
    nothing = function() { null }
    headers = function(_headers) { _headers }
    broken = function() { -"x" }
    counted = function() { ent:n }
    channels = function() { {"NARROW": ent:narrow, "FAMILY": meta:picoId, "GONE": ent:gone} }
  }
  rule ok { select when t ok send_directive("ok", event:attrs.delete("_headers")) }
  rule red {
    select when t red
    every {
      send_directive("_cookie", {"cookie": "a=1; Path=/"})
      send_directive("_redirect", {"url": "http://example.com/x"})
    }
  }
  rule before { select when t boom send_directive("before") }
  rule boom { select when t boom send_directive("never", {"x": -"x"}) }
  rule count {
    select when t count
    send_directive("count", {"n": ent:n.defaultsTo(0) + 1})
    always { ent:n := ent:n.defaultsTo(0) + 1 }
  }
  rule channel {
    select when t setup
    every {
      ctx:newChannel(["narrow"], {"allow": [{"domain": "*", "name": "*"}],
        "deny": [{"domain": "t", "name": "ok"}]}, {"allow": [], "deny": []}) setting(made)
      ctx:newPico() setting(child)
    }
    always {
      ent:narrow := made{"id"}
      ent:gone := child
    }
  }
  rule bury { select when t bury ctx:delPico(ent:gone) }
}
"""


def fits(wanted: Any, found: Any) -> bool:
    """Whether a value is as wanted, where "*" stands for anything."""
    if wanted == "*":
        return True
    if isinstance(wanted, dict) and isinstance(found, dict):
        return wanted.keys() == found.keys() and all(fits(wanted[k], found[k]) for k in wanted)
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) == len(found) and all(map(fits, wanted, found))
    return bool(wanted == found) and type(wanted) is type(found)


@asynccontextmanager
async def served(compat: bool) -> AsyncIterator[tuple[int, dict[str, str]]]:
    """A whole engine behind a port, and what the capital words in paths stand for."""
    fetcher = TextFetcher()
    fetcher.texts["mem:test.t"] = KRL
    async with Engine.open(compiler=InlineCompiler(), fetcher=fetcher) as engine:
        eci = engine.root_eci
        await engine.install(eci, url="mem:test.t")
        for name in ("setup", "bury"):
            assert "errors" not in await engine.event(eci, "t", name)
        words = {"ECI": eci, **await engine.query(eci, "test.t", "channels")}
        bound = bind("127.0.0.1", 0)
        server = await HttpServer.start(
            engine, bound, "127.0.0.1", token=TOKEN, compat_status=compat
        )
        try:
            yield bound.getsockname()[1], words
        finally:
            await server.stop(5)


def request_of(row: dict[str, Any], words: dict[str, str]) -> bytes:
    """The bytes of a row's request."""
    line = row["ask"]
    for word, eci in words.items():
        line = line.replace(f"/{word}/", f"/{eci}/")
    fields = ["Host: h", *row.get("headers", ())]
    if row.get("token"):
        fields.append(f"Authorization: Bearer {TOKEN}")
    body = row.get("send", "").encode()
    if body:
        if "packing" in row:
            body = PACKERS[row["packing"]](body)
            fields.append(f"Content-Encoding: {row['packing']}")
        fields.append(f"Content-Type: {row.get('kind', 'application/json')}")
        fields.append(f"Content-Length: {len(body)}")
    return "\r\n".join([f"{line} HTTP/1.1", *fields, "", ""]).encode() + body


async def exchanged(port: int, method: str, data: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes on a connection of their own, and read the answer with another's parser."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method=method, target="/", headers=[("Host", "h")]))
    parser.send(h11.EndOfMessage())
    writer.write(data)
    status, headers, body = 0, {}, b""
    while True:
        event = parser.next_event()
        if event is h11.NEED_DATA:
            parser.receive_data(await reader.read(1 << 16))
        elif isinstance(event, h11.Response):
            status = event.status_code
            headers = {name.decode(): value.decode() for name, value in event.headers}
            assert len(headers) == len(event.headers)
        elif isinstance(event, h11.Data):
            body += event.data
        else:
            assert isinstance(event, h11.EndOfMessage)
            writer.close()
            return status, headers, body


@pytest.mark.parametrize("compat", [False, True])
def test_exchanges(compat: bool) -> None:
    async def go() -> None:
        async with served(compat) as (port, words):
            for row in EXCHANGES:
                if compat and row.get("only") == "strict":
                    continue
                data = request_of(row, words)
                for _ in range(1 + row.get("twice", False)):
                    answer = await exchanged(port, row["ask"].split()[0], data)
                check(row, *answer, compat)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(go())


def check(
    row: dict[str, Any], status: int, headers: dict[str, str], body: bytes, compat: bool
) -> None:
    """Compare an answer with its row."""
    told = (row["spec"], status, headers, body)
    assert status == (row.get("compat", row["status"]) if compat else row["status"]), told
    for name, wanted in row.get("says", {}).items():
        assert fnmatchcase(headers[name].replace("[", "("), wanted.replace("[", "(")), (name, told)
    assert not headers.keys() & set(row.get("lacks", ())), told
    if "json" in row:
        assert fits(json.loads(row["json"]), json.loads(body)), told
    else:
        assert fnmatchcase(body.decode(), row["body"]), told


def test_every_part_of_the_reference_has_exchanges() -> None:
    parts = {row["spec"].split()[0] for row in EXCHANGES}
    assert parts >= {f"5.{number}" for number in range(1, 7)}
    assert len({row["spec"] for row in EXCHANGES}) == len(EXCHANGES)


def test_manual_names_the_bounds_and_codes() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "http.md").read_text("utf-8")
    text = " ".join(text.split())
    for said in (
        f"{limits.http_url_bytes_max >> 10} KiB of address",
        f"{limits.http_head_bytes_max >> 10} KiB of headers",
        f"{limits.http_body_bytes_max >> 20} MiB of body",
        f"{limits.http_parameters_max:,} parameters",
        f"{limits.http_request_seconds_max} seconds for a request",
        f"{limits.http_pipelined_max} pipelined",
        f"every {HEARTBEAT_SECONDS:.0f} seconds",
        STALE_LINE.decode().strip(),
    ):
        assert said in text
    for status in {CODES[code].status for code in CODES if code[:2] == "R1"} - {426, 501}:
        assert str(status) in text
    for (_, name), handle in _ROUTES.items():
        # Those for operating an engine are told in another manual.
        assert f"/api/{name}" in text or handle.__module__ != "runtime.http_admin"
