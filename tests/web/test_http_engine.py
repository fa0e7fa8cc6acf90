"""Rules of a whole engine and real servers: who waits, who does not, and where they may go."""

from __future__ import annotations

import asyncio
from typing import Any

from harness.engine import InlineCompiler
from harness.web import read_request, serving

from runtime import Engine

RULES = """
ruleset t.outside {
  meta { shares fetch, heard }
  global {
    fetch = function(url) { http:get(url, parseJSON=true){"content"} }
    heard = function() { ent:heard }
  }
  rule post {
    select when do post
    http:post(event:attrs{"url"}, json=event:attrs{"json"}, parseJSON=true) setting(got)
    fired {
      ent:heard := got{["content", "n"]}
      raise done event "post" attributes {"got": got}
    }
  }
  rule posted { select when done post send_directive("got", event:attrs{"got"}) }
  rule later {
    select when do later
    http:get(event:attrs{"url"}, parseJSON=true,
      autosend={"eci": event:eci, "domain": "late", "name": "news"})
  }
  rule news {
    select when late news
    always { ent:heard := event:attrs{["content", "n"]} }
  }
  rule quick { select when do quick send_directive("quick", {}) }
}
"""


class Site:
    """A server that answers `{"n": count}`, each request when it is let go."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self.arrived = asyncio.Semaphore(0)
        self.gate = asyncio.Event()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            self.seen.append(await read_request(reader))
            body = b'{"n": %d}' % len(self.seen)
            self.arrived.release()
            await self.gate.wait()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)


def scenario(play: Any, allow_hosts: tuple[str, ...] = ("127.0.0.1",)) -> Any:
    """Run `play(engine, site, url)` with an engine in memory and a server."""

    async def run() -> Any:
        site = Site()
        async with (
            serving(site.handle) as port,
            Engine.open(compiler=InlineCompiler(), allow_hosts=allow_hosts) as engine,
        ):
            await engine.install(engine.root_eci, source=RULES)
            return await asyncio.wait_for(play(engine, site, f"http://127.0.0.1:{port}/x"), 20)

    return asyncio.run(run())


def test_a_slow_server_holds_up_the_events_of_one_pico_only() -> None:
    async def play(engine: Engine, site: Site, url: str) -> None:
        root = engine.root_eci
        waiting = asyncio.ensure_future(
            engine.event(root, "do", "post", {"url": url, "json": {"a": 1}})
        )
        behind = asyncio.ensure_future(engine.event(root, "do", "quick"))
        await site.arrived.acquire()
        # Its own pico answers queries meanwhile, from its last state.
        assert await engine.query(root, "t.outside", "heard") is None
        assert not waiting.done()
        assert not behind.done()
        site.gate.set()
        answer = await waiting
        assert answer["directives"][0]["options"]["content"] == {"n": 1}
        assert (await behind)["directives"][0]["name"] == "quick"
        assert await engine.query(root, "t.outside", "heard") == 1
        line, headers, body = site.seen[0]
        assert line == "POST /x HTTP/1.1"
        assert headers["content-type"] == "application/json"
        assert headers["idempotency-key"] == answer["eid"] + ".1"
        assert body == b'{"a":1}'

    scenario(play)


def test_many_turns_wait_at_once_and_queries_wait_too() -> None:
    async def play(engine: Engine, site: Site, url: str) -> None:
        root = engine.root_eci
        asked = [
            asyncio.ensure_future(engine.query(root, "t.outside", "fetch", {"url": url}))
            for _ in range(3)
        ]
        await site.arrived.acquire()
        site.gate.set()
        found = await asyncio.gather(*asked)
        assert sorted(item["n"] for item in found) == [1, 2, 3]

    scenario(play)


def test_an_errand_comes_back_as_an_event() -> None:
    async def play(engine: Engine, site: Site, url: str) -> None:
        root = engine.root_eci
        site.gate.set()
        answer = await engine.event(root, "do", "later", {"url": url})
        assert answer["directives"] == []
        while not engine.core.errands.is_idle:
            await asyncio.sleep(0)
        assert await engine.query(root, "t.outside", "heard") == 1

    scenario(play)


def test_loopback_is_closed_unless_the_owner_opens_it() -> None:
    async def play(engine: Engine, site: Site, url: str) -> None:
        answer = await engine.event(engine.root_eci, "do", "post", {"url": url})
        (error,) = answer["errors"]
        assert error["code"] == "R5005"
        assert "127.0.0.1" in error["error"]
        assert "--allow-host" in error["hint"]
        assert site.seen == []

    scenario(play, allow_hosts=())


def test_an_engine_can_stop_while_a_server_is_silent() -> None:
    async def play(engine: Engine, site: Site, url: str) -> None:
        await engine.event(engine.root_eci, "do", "later", {"url": url})
        await site.arrived.acquire()

    scenario(play)
