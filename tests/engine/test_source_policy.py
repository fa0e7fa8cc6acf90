"""From where rules may have rulesets fetched: what is allowed, what is refused, how it is said."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import Fault
from runtime.source_policy import Guard, SourcePolicy, folder_of, place_of
from runtime.sources import fetch
from tests.harness.engine import TestEngine

ALLOWED = [
    ("file:/srv/krl/", "file:/srv/krl/a.krl"),
    ("file:/srv/krl/", "file:///srv/krl/deep/er/a.krl"),
    ("file:///srv/krl/", "file:/srv/krl/./x/../a.krl"),
    ("file:/srv/a.krl", "file:/srv/a.krl"),
    ("file:/srv/a%20b/", "file:/srv/a%20b/c.krl"),
    ("https://example.com/krl/", "https://example.com/krl/a.krl"),
    ("https://EXAMPLE.com:443/krl/", "HTTPS://example.com/krl/a.krl?x=1#y"),
    ("https://example.com/", "https://example.com/anything/a.krl"),
    ("http://localhost:8000/krl/", "http://localhost:8000/krl/a.krl"),
    ("https:", "https://example.com/a.krl"),
]
REFUSED = [
    ("file:/srv/krl/", "file:/srv/krl2/a.krl"),
    ("file:/srv/krl/", "file:/srv/krl/../other/a.krl"),
    ("file:/srv/krl/", "file:/srv/krl/%2e%2e/other/a.krl"),
    ("file:/srv/krl/", "file:/etc/passwd"),
    ("file:/srv/krl/", "file:/srv/krl/a\0.krl"),
    ("file:/srv/a.krl", "file:/srv/a.krl.old"),
    ("file:/srv/krl/", "https://example.com/srv/krl/a.krl"),
    ("https://example.com/krl/", "https://example.com/krl2/a.krl"),
    ("https://example.com/krl/", "https://example.com/krl/..%2fsecret/a.krl"),
    ("https://example.com/krl/", "http://example.com/krl/a.krl"),
    ("https://example.com/krl/", "https://example.com:444/krl/a.krl"),
    ("https://example.com/krl/", "https://example.com.evil.example/krl/a.krl"),
    ("https://example.com/krl/", "https://example.com@evil.example/krl/a.krl"),
    ("https:", "http://example.com/a.krl"),
    ("https:", "ftp://example.com/a.krl"),
    ("https:", "https://[::1"),
    ("https:", "a.krl"),
]


@pytest.mark.parametrize(("entry", "url"), ALLOWED)
def test_source_in_a_listed_place(entry: str, url: str) -> None:
    assert SourcePolicy([entry]).guard(url, is_beside=False).allows(url)


@pytest.mark.parametrize(("entry", "url"), REFUSED)
def test_source_outside_of_listed_places(entry: str, url: str) -> None:
    with pytest.raises(Fault, match="may not have rulesets fetched from") as caught:
        SourcePolicy([entry]).guard(url, is_beside=False)
    assert caught.value.code == "R5005"
    assert "--rulesets-from" in caught.value.hint


@pytest.mark.parametrize("entry", ["", "file:", "krl/", "ftp://x/", "https://", "http:///x", "::"])
def test_entry_that_names_no_place(entry: str) -> None:
    with pytest.raises(ValueError, match="names no place"):
        SourcePolicy([entry])


def test_folder_needs_no_slash_where_it_exists(tmp_path: Path) -> None:
    assert SourcePolicy([f"file:{tmp_path}"]).guard(f"file:{tmp_path}/a.krl", is_beside=False)


def test_link_leads_to_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "krl").mkdir()
    (tmp_path / "krl" / "out.krl").symlink_to(tmp_path / "secret")
    policy = SourcePolicy([f"file:{tmp_path}/krl/"])
    with pytest.raises(Fault):
        policy.guard(f"file:{tmp_path}/krl/out.krl", is_beside=False)


def test_only_rulesets_are_allowed_beside_others() -> None:
    policy = SourcePolicy()
    assert policy.guard("file:/srv/krl/b.krl", is_beside=True)
    for url in ("file:/srv/krl/passwords", "file:/srv/krl/..", "file:/srv/krl/x.krl/../../a"):
        with pytest.raises(Fault):
            policy.guard(url, is_beside=True)


def test_folder_has_one_name() -> None:
    names = {folder_of(url) for url in ("file:/srv/a.krl", "file:///srv/b.krl", "file:/srv/x/../c")}
    assert names == {"file:/srv/"}
    assert folder_of("HTTP://Example.com/a/b.krl") == "http://example.com:80/a/"
    assert folder_of("source:counter") == ""


# --- In an engine ---------------------------------------------------------------------------------

INSTALLER = """ruleset installer {
  rule go {
    select when installer go
    ctx:install(event:attrs{"url"})
  }
  rule again {
    select when installer again
    ctx:flush(event:attrs{"url"})
  }
  rule child {
    select when installer child
    ctx:newPico(rulesets=[{"url": event:attrs{"url"}}])
  }
}
"""
OTHER = """ruleset other { rule r { select when a b send_directive("%s") } }"""


class GuardedFetcher:
    """Serves texts, and keeps with what guard each was asked for."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.asked: list[tuple[str, Guard | None]] = []

    def fetch(self, url: str, done: Any, guard: Guard | None = None) -> None:
        self.asked.append((url, guard))
        done(self.texts.get(url) or Fault("R2012", f"{url} cannot be fetched: not there"))


@pytest.fixture
def engine() -> TestEngine:
    fetcher: Any = GuardedFetcher()
    made = TestEngine(fetcher=fetcher)
    made.core.registry._sources = SourcePolicy(["file:/srv/krl/"])
    made.install(INSTALLER)
    for url in ("file:/srv/krl/other.krl", "file:/home/me/other.krl", "file:/etc/other.krl"):
        fetcher.texts[url] = OTHER % "first"
    return made


@pytest.mark.parametrize("name", ["go", "child", "again"])
def test_rule_may_not_fetch_from_anywhere(engine: TestEngine, name: str) -> None:
    answer = engine.event("installer", name, {"url": "file:/etc/other.krl"})
    assert [error["code"] for error in answer["errors"]] == ["R5005"]
    assert engine.fetcher.asked == []  # type: ignore[attr-defined]


def test_rule_fetches_from_a_listed_place(engine: TestEngine) -> None:
    assert "errors" not in engine.event("installer", "go", {"url": "file:/srv/krl/other.krl"})
    assert engine.directives("a", "b") == [("first", {})]
    ((_, guard),) = engine.fetcher.asked  # type: ignore[attr-defined]
    assert guard.allows("file:/srv/krl/more.krl")
    assert not guard.allows("file:/etc/other.krl")


def test_owner_fetches_from_anywhere_and_rules_beside_it(engine: TestEngine) -> None:
    registry = engine.core.registry
    engine.fetcher.texts["file:/home/me/installed.krl"] = "ruleset installed { }"
    engine.wait(lambda done: registry.flush("file:/home/me/installed.krl", done))
    url = "file:/home/me/other.krl"
    assert "errors" in engine.event("installer", "go", {"url": url})
    registry.trust("file:/home/me/installed.krl")
    assert "errors" not in engine.event("installer", "go", {"url": url})


def test_rule_may_use_what_the_engine_has(engine: TestEngine) -> None:
    url = "file:/etc/other.krl"
    registry = engine.core.registry
    engine.wait(lambda done: registry.flush(url, done))
    assert "errors" not in engine.event("installer", "go", {"url": url})


def test_last_good_version_stays_and_the_reason_is_said(engine: TestEngine) -> None:
    url = "file:/srv/krl/other.krl"
    engine.event("installer", "go", {"url": url})
    texts = engine.fetcher.texts
    for text, code in ((None, "R2012"), ("ruleset other {", "R2007")):
        texts.pop(url, None)
        if text is not None:
            texts[url] = text
        (error,) = engine.event("installer", "again", {"url": url})["errors"]
        assert error["code"] == code
        assert url in error["error"] or code == "R2007"
        assert engine.directives("a", "b") == [("first", {})]
    texts[url] = OTHER % "second"
    assert "errors" not in engine.event("installer", "again", {"url": url})
    assert engine.directives("a", "b") == [("second", {})]


# --- Over a real socket ---------------------------------------------------------------------------


class Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        kind, _, rest = self.path.lstrip("/").partition("/")
        if kind == "to":
            self.send_response(302)
            self.send_header("Location", f"http://{rest}")
            self.end_headers()
            return
        self.send_response(200 if kind == "krl" else 404)
        self.end_headers()
        self.wfile.write(b"ruleset a { }")

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_owner_may_fetch_from_this_machine(port: int) -> None:
    assert fetch(f"http://127.0.0.1:{port}/krl/a.krl") == "ruleset a { }"
    with pytest.raises(Fault, match="Got a statusCode=404"):
        fetch(f"http://127.0.0.1:{port}/none")


def test_listed_host_may_be_on_this_machine(port: int) -> None:
    for host in ("127.0.0.1", "localhost"):
        url = f"http://{host}:{port}/krl/a.krl"
        guard = SourcePolicy([f"http://{host}:{port}/krl/"]).guard(url, is_beside=False)
        assert fetch(url, guard) == "ruleset a { }"
    with pytest.raises(Fault, match="Got a statusCode=404"):
        fetch(
            f"http://127.0.0.1:{port}/none",
            SourcePolicy([f"http://127.0.0.1:{port}/"]).guard(
                f"http://127.0.0.1:{port}/none", is_beside=False
            ),
        )


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "[::ffff:127.0.0.1]"])
def test_public_servers_do_not_mean_this_machine(port: int, host: str) -> None:
    url = f"http://{host}:{port}/krl/a.krl"
    guard = SourcePolicy(["http:"]).guard(url, is_beside=False)
    with pytest.raises(Fault) as caught:
        fetch(url, guard)
    assert caught.value.code == "R5005"


def test_redirect_is_checked_like_the_url(port: int) -> None:
    here = f"127.0.0.1:{port}"
    url = f"http://{here}/to/{here}/krl/a.krl"
    inside = SourcePolicy([f"http://{here}/"]).guard(url, is_beside=False)
    assert fetch(url, inside) == "ruleset a { }"
    outside = SourcePolicy([f"http://{here}/to/"]).guard(url, is_beside=False)
    with pytest.raises(Fault, match="may not have rulesets fetched from") as caught:
        fetch(url, outside)
    assert caught.value.code == "R5005"


def test_place_keeps_what_it_is() -> None:
    assert place_of("http://a.example/x/") == ("http", "a.example", 80, "/x/")
