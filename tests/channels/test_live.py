"""Being shown what happens: over frames made by hand, and with the client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from runtime import client_live, limits
from runtime.client import Client
from runtime.errors import Fault
from tests.channels.stage import HASTY, TOKEN, Fate, Place, Proxy, Raw, run, served, until


@asynccontextmanager
async def raw_client(place: Place, **options: Any) -> AsyncIterator[Raw]:
    raw = Raw(*await asyncio.open_connection("127.0.0.1", place.port))
    try:
        await raw.greet(**options)
        yield raw
    finally:
        raw.writer.transport.abort()


def listeners(place: Place) -> int:
    return len(place.engine._live._listeners)


async def got(place: Place, *numbers: int) -> None:
    for number in numbers:
        await place.engine.event(place.eci, "number", "got", {"n": number})


def test_entries_come_while_there_is_room() -> None:
    async def go() -> None:
        async with served() as place, raw_client(place, token=TOKEN) as raw:
            raw.send([11, 5, {"event": "number:got", "entries": 3}])
            assert await raw.heard() == [6, 5, {"entries": 3}]
            await place.engine.event(place.eci, "number", "told", {})
            await got(place, 1, 2, 3, 4, 5)
            seen: list[Any] = []
            while len(seen) < 3:
                kind, ident, entries, dropped = await raw.heard()
                assert (kind, ident, dropped) == (13, 5, 0)
                seen += entries
            [kept] = place.engine.log(eid=seen[0]["eid"])
            assert {**seen[0], "written_ms": 0} == {**kept, "written_ms": 0}
            # No room is left, so nothing comes before the answer to something else.
            raw.send([9, 9])
            assert await raw.heard() == [10, 9]
            raw.send([14, 5, 1])
            assert [entry["attrs"]["n"] for entry in (await raw.heard())[2]] == [4]
            raw.send([14, 5, 0], [14, 77, 1], [14, 5, 1], [9, 10])
            assert await raw.heard() == [10, 10]
            assert listeners(place) == 0
            assert [entry["attrs"]["n"] for entry in seen] == [1, 2, 3]

    run(go)


def test_what_has_no_room_is_bounded_and_counted() -> None:
    async def go() -> None:
        async with served() as place, raw_client(place, token=TOKEN) as raw:
            raw.send([11, 1, {"entries": 1}])
            await raw.heard()
            await got(place, 0)
            assert (await raw.heard())[2][0]["attrs"] == {"n": 0}
            over = 7
            done: list[Any] = []
            for number in range(limits.live_entries_max + over):
                place.engine.post(place.eci, "number", "told", {"n": number}, done.append)
            await place.engine.idle()
            raw.send([14, 1, limits.live_entries_max])
            kind, ident, entries, dropped = await raw.heard()
            assert (kind, ident, dropped) == (13, 1, over)
            assert entries[0]["attrs"] == {"n": over}
            seen = len(entries)
            while seen < limits.live_entries_max:
                _, _, entries, dropped = await raw.heard()
                assert dropped == 0
                seen += len(entries)
            assert entries[-1]["attrs"] == {"n": limits.live_entries_max + over - 1}

    run(go)


# options of a live, the code that answers it; the connection goes on
REFUSED: list[tuple[Any, str]] = [
    ({"eci": "cNO"}, "R1001"),
    ({"eci": 5}, "R1014"),
    ({"event": "nocolon"}, "R1013"),
    ({"level": "loud"}, "R1013"),
    ({"entries": 0}, "R1014"),
    ({"entries": limits.live_entries_max + 1}, "R1014"),
    ({"entries": True}, "R1014"),
    ("text", "R1014"),
]


@pytest.mark.parametrize(("options", "code"), REFUSED)
def test_unusable_live_is_refused(options: Any, code: str) -> None:
    async def go() -> None:
        async with served() as place, raw_client(place, token=TOKEN) as raw:
            raw.send([11, 3, options])
            kind, ident, fault = await raw.heard()
            assert (kind, ident, fault["code"]) == (7, 3, code)
            raw.send([9, 1])
            assert await raw.heard() == [10, 1]
            assert listeners(place) == 0

    run(go)


def test_live_needs_the_token() -> None:
    async def go() -> None:
        async with served() as place, raw_client(place) as raw:
            raw.send([11, 3, {"eci": place.eci}])
            kind, ident, fault = await raw.heard()
            assert (kind, ident, fault["code"]) == (7, 3, "R1010")
            assert "hello" in fault["hint"]

    run(go)


def test_id_has_one_subscription() -> None:
    async def go() -> None:
        async with served() as place, raw_client(place, token=TOKEN) as raw:
            raw.send([11, 3], [11, 3])
            assert (await raw.heard())[0] == 6
            assert (await raw.heard())[2]["code"] == "R1014"

    run(go)


@pytest.mark.parametrize("room", [-1, limits.live_entries_max])
def test_impossible_room_ends_the_connection(room: int) -> None:
    async def go() -> None:
        async with served() as place, raw_client(place, token=TOKEN) as raw:
            raw.send([11, 3], [14, 3, room])
            await raw.heard()
            assert (await raw.heard())[2]["code"] == "R1014"
            assert await raw.ended()
            await until(lambda: listeners(place) == 0)

    run(go)


def test_lost_connection_ends_its_subscriptions() -> None:
    async def go() -> None:
        async with served() as place, raw_client(place, token=TOKEN) as raw:
            raw.send([11, 3], [11, 4, {"rule": "got"}])
            await raw.heard()
            await raw.heard()
            assert listeners(place) == 2
            raw.writer.transport.abort()
            await until(lambda: listeners(place) == 0)
            await got(place, 1)

    run(go)


def test_engine_without_history_offers_none() -> None:
    async def go() -> None:
        async with served() as place, raw_client(place, token=TOKEN) as raw:
            place.engine.core.history.is_on = False
            raw.send([11, 3])
            assert (await raw.heard())[2]["code"] == "R1017"

    run(go)


# ------------------------------------------------------------------------------------- the client


def test_client_yields_entries_and_leaves() -> None:
    async def go() -> None:
        async with served() as place, Client.connect(place.url, token=TOKEN) as client:
            seen = []
            total = 3 * client_live.ROOM
            live = client.live(place.eci, event="number:told", whole=True)
            begun = asyncio.ensure_future(anext(live))
            await until(lambda: listeners(place))
            done: list[Any] = []
            for number in range(total):
                place.engine.post(place.eci, "number", "told", {"n": number}, done.append)
            seen.append(await begun)
            while len(seen) < total:
                seen.append(await anext(live))
            assert [entry["attrs"]["n"] for entry in seen] == list(range(total))
            assert seen[0]["eci"] == place.eci
            await live.aclose()
            await until(lambda: listeners(place) == 0)
            assert client.waiting == 0

    run(go)


def test_client_is_refused_without_the_token() -> None:
    async def go() -> None:
        async with served() as place, Client.connect(place.url) as client:
            with pytest.raises(Fault) as caught:
                await anext(client.live())
            assert caught.value.code == "R1010"
            assert not client._watches

    run(go)


def test_client_goes_on_after_a_cut_and_says_so() -> None:
    async def go() -> None:
        # The first connection ends in the middle of the third frame from the engine.
        async with served() as place, Proxy(place.port, [Fate(cut_back=3)]) as proxy:
            settings: dict[str, Any] = {"token": TOKEN, "patience": HASTY}
            async with Client.connect(proxy.url, **settings) as client:
                live = client.live()
                begun = asyncio.ensure_future(anext(live))
                await until(lambda: listeners(place))
                await got(place, 1)
                assert (await begun)["attrs"] == {"n": 1}
                await got(place, 2)
                assert await anext(live) == {"missed": None}
                await until(lambda: proxy.connections == 2 and listeners(place) == 1)
                await got(place, 3)
                assert (await anext(live))["attrs"] == {"n": 3}
                await live.aclose()
                await until(lambda: listeners(place) == 0)

    run(go)


def test_client_that_ends_ends_what_it_is_shown() -> None:
    async def go() -> None:
        async with served() as place:
            async with Client.connect(place.url, token=TOKEN) as client:
                live = client.live()
                begun = asyncio.ensure_future(anext(live))
                await until(lambda: listeners(place))
            with pytest.raises(Fault, match="closed"):
                await begun
            await until(lambda: listeners(place) == 0)

    run(go)


def test_watch_holds_no_more_than_twice_the_room() -> None:
    async def go() -> None:
        watch = client_live.Watch(1, {}, asyncio.get_running_loop())
        for _ in range(4):
            watch.is_on = True
            watch.happened([{"n": 1}] * client_live.ROOM, 5)
            watch.cut()
            assert len(watch._queue) <= 2 * client_live.ROOM + 2
        # Only what a living connection showed makes room on it.
        watch.is_on = True
        rooms = 0
        while watch._queue:
            rooms += (await watch.next())[1]
        assert rooms == 0

    run(go)
