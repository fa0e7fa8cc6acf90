"""The client against a real engine: answers, keys, cuts, stalls, repetitions, restarts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from runtime import client as sync
from runtime.client import Client, Patience
from runtime.client_link import parse_url
from runtime.errors import Fault
from runtime.server import ChannelServer, bind
from tests.channels.stage import HASTY, TOKEN, Fate, Proxy, is_fault, run, served, until


@pytest.mark.parametrize("is_unix", [False, True])
def test_all_ways_to_ask(tmp_path: Path, is_unix: bool) -> None:
    async def go() -> None:
        path = tmp_path / "s" if is_unix else None
        async with served(path) as place, Client.connect(place.url) as client:
            answer = await client.event(place.eci, "number", "got", {"n": 1})
            assert [d["options"] for d in answer["directives"]] == [{"n": 1}]
            assert (await client.signal(place.eci, "number", "got", {"n": 2})).startswith("c")
            assert await client.query(place.eci, "numbers", "order") == [1, 2]
            asked = (place.eci, "number", "got", {"n": 3}, "numbers", "order")
            assert await client.event_query(*asked) == [1, 2, 3]
            told: list[Any] = []
            client.post(place.eci, "number", "got", {"n": 4}, told.append)
            await client.idle()
            assert told[0]["directives"][0]["options"] == {"n": 4}
            assert client.options["engine"].startswith("picos ")

    run(go)


# what is asked, the code that comes back
REFUSED = [
    (("event", "cNobody", "number", "got"), "R1001"),
    (("signal", "cNobody", "number", "got"), "R1001"),
    (("event", "ROOT", " ", "got"), "R1007"),
    (("query", "ROOT", "nowhere", "f"), "R2005"),
    (("query", "ROOT", "numbers", "nothing"), "R2006"),
    (("event_query", "cNobody", "number", "got", {}, "numbers", "order"), "R1001"),
    (("event_query", "ROOT", "number", "got", {"n": 1}, "numbers", "nothing"), "R2006"),
    (("event_query", "ROOT", "number", "broken", {"n": 1}, "numbers", "order"), "R2001"),
]


@pytest.mark.parametrize("exactly_once", [True, False])
@pytest.mark.parametrize(("asked", "code"), REFUSED)
def test_faults_arrive(asked: tuple[Any, ...], code: str, exactly_once: bool) -> None:
    async def go() -> None:
        settings: dict[str, Any] = {"exactly_once": exactly_once}
        async with served() as place, Client.connect(place.url, **settings) as client:
            how, eci, *rest = asked
            eci = place.eci if eci == "ROOT" else eci
            with pytest.raises(Fault) as caught:
                await getattr(client, how)(eci, *rest)
            assert caught.value.code == code
            # The connection goes on.
            assert await client.query(place.eci, "numbers", "seen") in ({}, {"1": 1})

    run(go)


def test_faults_of_rules_come_with_the_answer() -> None:
    async def go() -> None:
        async with served() as place, Client.connect(place.url) as client:
            answer = await client.event(place.eci, "number", "broken", {"n": "a"})
            assert answer["directives"] == []
            assert [error["rule"] for error in answer["errors"]] == ["broken"]

    run(go)


def test_same_key_is_done_once() -> None:
    async def go() -> None:
        async with served() as place, Client.connect(place.url) as client:
            first, second = [
                await client.event(place.eci, "number", "got", {"n": 1}, key="k") for _ in range(2)
            ]
            assert first == second
            with pytest.raises(Fault) as caught:
                await client.event(place.eci, "number", "got", {"n": 2}, key="k")
            assert caught.value.code == "R1008"
            eids = {
                await client.signal(place.eci, "number", "got", {"n": 3}, key="s") for _ in "ab"
            }
            assert len(eids) == 1
            asked = (place.eci, "number", "got", {"n": 4}, "numbers", "seen")
            for _ in range(2):
                assert await client.event_query(*asked, key="q") == {"1": 1, "3": 1, "4": 1}

    run(go)


# Each list is one run: what happens to its first, second, … connection.
JOURNEYS = {
    "cut on the way there": [Fate(cut=n) for n in (1, 2, 5, 9, 14, 20, 27, 35)],
    "cut on the way back": [Fate(cut_back=n) for n in (1, 2, 5, 9, 14, 20, 27, 35)],
    "stalled there": [Fate(stall=9), Fate(stall=30)],
    "stalled back": [Fate(stall_back=9), Fate(stall_back=30)],
    "repeated": [Fate(twice=frozenset(range(1, 2000)))],
    "all of it": [
        Fate(cut=20, twice=frozenset(range(3, 20, 2))),
        Fate(cut_back=17),
        Fate(stall_back=5),
        Fate(twice=frozenset({1, 2, 3}), cut=40),
        Fate(cut=1),
        Fate(cut_back=60),
    ],
}


@pytest.mark.parametrize("journey", JOURNEYS)
@pytest.mark.parametrize("kind", ["event", "signal", "event_query"])
def test_nothing_is_lost_or_doubled(journey: str, kind: str) -> None:
    """A rule counts each number; after any journey every count is 1, and the order is kept."""
    count = 200

    async def go() -> None:
        async with served() as place:
            async with Proxy(place.port, JOURNEYS[journey]) as proxy:
                async with Client.connect(proxy.url, window=32, patience=HASTY) as client:
                    ask = getattr(client, kind)
                    rest = ("numbers", "seen") if kind == "event_query" else ()
                    await asyncio.gather(
                        *(ask(place.eci, "number", "got", {"n": n}, *rest) for n in range(count))
                    )
                assert proxy.connections >= len(JOURNEYS[journey])
            await place.engine.idle()
            assert await place.engine.query(place.eci, "numbers", "order") == list(range(count))

    run(go)


def test_posts_survive_cuts_and_window_is_kept() -> None:
    async def go() -> None:
        async with served() as place:
            fates = [Fate(cut=10 * n, cut_back=7 * n) for n in range(1, 8)]
            async with Proxy(place.port, fates) as proxy:
                answers: list[Any] = []
                async with Client.connect(proxy.url, window=16, patience=HASTY) as client:
                    for n in range(150):
                        await client.room()
                        client.post(place.eci, "number", "got", {"n": n}, answers.append)
                        assert client.waiting <= 16
                assert [a["directives"][0]["options"]["n"] for a in answers] == list(range(150))
            assert await place.engine.query(place.eci, "numbers", "order") == list(range(150))

    run(go)


def test_full_window_refuses_posts() -> None:
    async def go() -> None:
        async with served() as place, Client.connect(place.url, window=2) as client:
            told: list[Any] = []
            for n in range(2):
                client.post(place.eci, "number", "got", {"n": n}, told.append)
            with pytest.raises(Fault) as caught:
                client.post(place.eci, "number", "got", {"n": 2}, told.append)
            assert caught.value.code == "R4019"

    run(go)


def test_without_keys_what_was_under_way_fails() -> None:
    async def go() -> None:
        async with served() as place, Proxy(place.port, [Fate(cut_back=1)]) as proxy:
            settings: dict[str, Any] = {"exactly_once": False, "patience": HASTY}
            async with Client.connect(proxy.url, **settings) as client:
                with pytest.raises(Fault) as caught:
                    await client.event(place.eci, "number", "got", {"n": 1})
                assert caught.value.code == "R5004"
                assert "done or not" in caught.value.message
                await client.event(place.eci, "number", "got", {"n": 2})
                seen = await client.query(place.eci, "numbers", "seen")
                assert seen == {"1": 1, "2": 1}

    run(go)


def test_client_outlives_a_restart_of_the_server() -> None:
    async def go() -> None:
        async with served() as place:
            async with Client.connect(place.url, patience=HASTY) as client:
                await client.event(place.eci, "number", "got", {"n": 1})
                await place.server.stop(5)
                asked = asyncio.create_task(client.event(place.eci, "number", "got", {"n": 2}))
                await until(lambda: client.waiting)
                bound = bind("127.0.0.1", place.port)
                again = await ChannelServer.start(place.engine, [bound], "127.0.0.1", token=TOKEN)
                assert (await asked)["directives"]
                await client.idle()
            await again.stop(5)

    run(go)


def test_gives_up_in_the_end() -> None:
    async def go() -> None:
        async with served() as place:
            patience = Patience(retry_s=0.001, retry_s_max=0.001, give_up_s=0.01)
            async with Client.connect(place.url, patience=patience) as client:
                await place.server.stop(5)
                with pytest.raises(Fault) as caught:
                    await client.event(place.eci, "number", "got", {"n": 2})
                assert caught.value.code == "R5004"
                assert client.waiting == 0

    run(go)


def test_token_and_time() -> None:
    async def go() -> None:
        async with served() as place:
            async with Client.connect(place.url, token=TOKEN) as client:
                assert client.options["trusts_time"]
                for name, at in (
                    ("early", 1_000),
                    ("late", 6_001),
                    ("early", 7_000),
                    ("late", 8_000),
                ):
                    answer = await client.event(place.eci, "number", name, time_ms=at)
                    fired = [d["name"] for d in answer["directives"]]
                    assert fired == (["late"] if at == 8_000 else [])
            async with Client.connect(place.url) as client:
                with pytest.raises(Fault) as caught:
                    await client.event(place.eci, "number", "early", time_ms=1)
                assert caught.value.code == "R1016"
            with pytest.raises(Fault) as caught:
                async with Client.connect(place.url, token="wrong"):
                    pass
            assert caught.value.code == "R1010"

    run(go)


VALUES = [
    {"text": "ä \x00 \U0001f600", "empty": "", "none": None, "yes": True, "no": False},
    {"zero": 0, "small": -1, "large": 2**53, "half": 0.5, "tiny": 5e-324, "huge": 1.5e300},
    {"list": [1, [2, [3, {}]], []], "map": {"a": {"b": {"c": [None]}}}},
]


@pytest.mark.parametrize("values", VALUES)
def test_values_come_back_as_they_went(values: dict[str, Any]) -> None:
    async def go() -> None:
        async with served() as place, Client.connect(place.url) as client:
            answer = await client.event(place.eci, "number", "told", values)
            assert answer["directives"][0]["options"]["attrs"] == values

    run(go)


UNUSABLE = [
    {"a": b"bytes"},
    {"a": float("nan")},
    {"a": [float("inf")]},
    {"a": {1: 2}},
    {"a": (1, 2)},
    {"a": {"b": {1, 2}}},
    {"a": 2**70},
    {"a": object()},
]


@pytest.mark.parametrize("values", UNUSABLE)
def test_values_that_are_no_json_are_refused_here(values: dict[str, Any]) -> None:
    async def go() -> None:
        async with served() as place, Client.connect(place.url) as client:
            with pytest.raises(Fault) as caught:
                await client.event(place.eci, "number", "told", values)
            assert caught.value.code == "R1014"
            with pytest.raises(Fault) as caught:
                await client.event(place.eci, "number", "told", {"a": "x" * (2 << 20)})
            assert caught.value.code == "R4018"

    run(go)


def test_callback_that_raises_is_reported_and_ends_nothing() -> None:
    async def go() -> None:
        reports: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: reports.append(what))

        def fail(answer: Any) -> None:
            raise ZeroDivisionError

        async with served() as place, Client.connect(place.url) as client:
            client.post(place.eci, "number", "got", {"n": 1}, fail)
            await client.event(place.eci, "number", "got", {"n": 2})
        assert [type(what["exception"]) for what in reports] == [ZeroDivisionError]

    run(go)


def test_leaving_with_an_exception_gives_up_what_waits() -> None:
    async def go() -> None:
        told: list[Any] = []
        async with served() as place, Proxy(place.port, [Fate(stall=1)]) as proxy:
            opened = Client.connect(proxy.url)
            client = await opened.__aenter__()
            client.post(place.eci, "number", "got", {"n": 1}, told.append)
            assert not await opened.__aexit__(KeyError, KeyError(), None)
        assert len(told) == 1
        assert is_fault(told[0], "R5004")
        with pytest.raises(Fault):
            await client.event("c", "d", "n")

    run(go)


def test_synchronous_face() -> None:
    async def go() -> None:
        async with served() as place:
            await asyncio.to_thread(use, place.url, place.eci)

    def use(url: str, eci: str) -> None:
        with sync.connect(url, window=4) as client:
            assert client.event(eci, "number", "got", {"n": 1})["directives"]
            assert client.signal(eci, "number", "got", {"n": 2})
            assert client.event_query(eci, "number", "got", {"n": 3}, "numbers", "order") == [
                1,
                2,
                3,
            ]
            assert client.query(eci, "numbers", "order") == [1, 2, 3]
            with pytest.raises(Fault):
                client.query(eci, "numbers", "nothing")

    run(go)


@pytest.mark.parametrize(
    "url",
    ["http://h:1", "pico://", "pico://h:x", "pico://h:99999", "pico+unix:s", "pico://h/x", ""],
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(Fault) as caught, sync.connect(url):
        pass
    assert caught.value.code == "R5004"


def test_addresses() -> None:
    assert parse_url("pico://example.org")[1:] == ("example.org", 3001, "")
    assert parse_url("pico://[::1]:7")[1:] == ("::1", 7, "")
    assert parse_url("pico+unix:/run/a%20b")[1:] == ("", 0, "/run/a b")


def test_nobody_listens(tmp_path: Path) -> None:
    bound = bind("127.0.0.1", 0)
    bound.close()
    urls = (f"pico://127.0.0.1:{bound.fileno() or 1}", f"pico+unix:{tmp_path}/none")
    for url in urls[1:]:
        with pytest.raises(Fault) as caught, sync.connect(url):
            pass
        assert caught.value.code == "R5004"
        assert "cannot be reached" in caught.value.message
