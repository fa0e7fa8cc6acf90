"""Engines of ours that send to each other, over HTTP and over frames, in one process."""

from __future__ import annotations

import asyncio
import json
import re
from http.client import HTTPConnection
from typing import Any

import pytest

from runtime.network import TAKEN
from runtime.network_peers import Peers
from runtime.web_policy import Policy
from tests.channels.stage import Fate, Proxy, run
from tests.peer.fake_node import fake_node
from tests.peer.stage import Town, town, until
from tests.peer.test_forms import ENVELOPE, Wire, response

NOTES = list(range(200))


async def framed(here: Town, there: Town) -> None:
    """Send one event, and wait for the framed connection that follows from it."""
    await here.say(there, there.root, "first")
    await until(lambda: here.framed() == [there.url])
    await there.until_heard(["first"])


def test_the_first_goes_over_http_and_the_next_in_frames() -> None:
    async def go() -> None:
        async with town() as here, town() as there:
            await framed(here, there)
            assert here.peers.credit(there.url) > 1
            await here.say(there, there.root, *NOTES)
            await there.until_heard(["first", *NOTES])
            await here.until_quiet()

    run(go)


def test_without_frames_all_goes_over_http() -> None:
    async def go() -> None:
        async with town() as here, town(frames=False) as there:
            await here.say(there, there.root, *NOTES)
            await there.until_heard(NOTES)
            await here.until_quiet()
            assert (here.framed(), here.peers.credit(there.url)) == ([], 1)

    run(go)


def test_both_may_send_at_the_same_time() -> None:
    async def go() -> None:
        async with town() as one, town() as other:
            for _ in range(3):
                await one.say(other, other.root, *NOTES)
                await other.say(one, one.root, *NOTES)
            await one.until_heard(NOTES * 3)
            await other.until_heard(NOTES * 3)

    run(go)


@pytest.mark.parametrize("is_other", [True, False])
def test_frames_go_only_to_the_engine_that_answered_over_http(is_other: bool) -> None:
    """Another engine listens at the port that was told, or nobody does: HTTP does the work."""

    async def go() -> None:
        async with town() as wrong:
            assert wrong.channels is not None
            port = int(wrong.channels.urls[0].rpartition(":")[2])
            if not is_other:
                await wrong.channels.stop(0)
            async with town() as here, town(frames=False, told=f"{port} somebody") as there:
                await here.say(there, there.root, *NOTES)
                await there.until_heard(NOTES)
                assert here.framed() == []
                assert failures(here, there) > 0
                assert await wrong.heard() == []

    run(go)


def failures(here: Town, there: Town) -> int:
    """How often in a row a framed connection could not be had."""
    peer = here.peers._peers.get(there.url)
    return 0 if peer is None else peer.failures


def test_a_host_that_becomes_another_kind_of_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours, then a Node engine, then ours again, all at one address."""
    monkeypatch.setattr("runtime.outbox.outbox_retry_ms", 5)

    async def go() -> None:
        async with town() as here:
            async with town() as there:
                await framed(here, there)
                port = int(there.url.rpartition(":")[2])
            async with fake_node(port) as other:
                await here.say(other.url, "cTheirs", 1, 2)
                for note in (1, 2):
                    came = await other.requests.get()
                    assert came.attrs == {"note": note}
                    assert other.requests.empty()
                    came.say(200, '{"eid":"x","directives":[]}')
                await here.until_quiet()
                assert here.framed() == []
            async with town(port=port) as there:
                await framed(here, there)

    run(go)


def test_a_frame_port_that_opens_later_is_found() -> None:
    async def go() -> None:
        async with town() as here, town(told="", ident="i") as there:
            assert there.channels is not None
            there.tell("1 i")
            await here.say(there, there.root, 0)
            await until(lambda: failures(here, there) == 1)
            there.tell(f"{there.channels.urls[0].rpartition(':')[2]} i")
            here.peers._peers[there.url].again_s = 0.0
            await here.say(there, there.root, 1)
            await until(lambda: here.framed() == [there.url])
            assert failures(here, there) == 0

    run(go)


def test_what_is_known_about_other_engines_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.network_peers.peers_known_max", 1)

    async def go() -> None:
        async with town() as here, town(told="") as there:
            there.tell("1 nobody")
            peers = here.peers._peers
            for host in (there.url.replace("127.0.0.1", "localhost"), there.url):
                await here.say(host, there.root, host)
                await until(lambda host=host: host in peers and peers[host].opening is None)
                assert list(peers) == [host]

    run(go)


ODD: dict[str, Any] = {
    "": None,
    "a.b": [True, False, 2**53, -1.5, 1e300, {}],
    "text": "a\x00\u2028\U0001f600/?#%&",
    "deep": {"a": [{"b": [None]}]},
    "_eid": "x",
}


@pytest.mark.parametrize("frames", [True, False])
def test_attributes_are_the_same_in_both_forms(frames: bool) -> None:
    async def go() -> None:
        async with town() as here, town(frames=frames) as there:
            if frames:
                await framed(here, there)
            attrs = {"host": there.url, "eci": there.root, "notes": [1], "more": ODD}
            await here.engine.event(here.root, "talk", "say", attrs)
            await here.until_quiet()
            last = await there.engine.query(there.root, "talk", "last")
            assert last == {**ODD, "note": 1}

    run(go)


@pytest.mark.parametrize("frames", [True, False])
@pytest.mark.parametrize(
    ("eci", "domain", "code"), [("cNOBODY", "talk", "R1001"), ("", " told", "R1002")]
)
def test_what_is_refused_comes_back_and_holds_nothing_up(
    frames: bool, eci: str, domain: str, code: str
) -> None:
    async def go() -> None:
        async with town() as here, town(frames=frames) as there:
            if frames:
                await framed(here, there)
            narrow = eci or await there.narrow()
            attrs = {"host": there.url, "eci": narrow, "notes": [1, 2], "domain": domain}
            await here.engine.event(here.root, "talk", "say", attrs)
            await here.say(there, there.root, 3)
            await here.until_quiet()
            back = await here.engine.query(here.root, "talk", "given_back")
            assert [(one["code"], one["attrs"]["note"]) for one in back] == [(code, 1), (code, 2)]
            assert (await there.heard())[-1] == 3

    run(go)


@pytest.mark.parametrize(
    ("host", "hint"),
    [
        ("http://127.0.0.1:9", "--allow-host 127.0.0.1:9"),
        ("http://localhost:9", "--allow-host localhost:9"),
        ("http://2130706433", "all four numbers"),
    ],
)
def test_rules_reach_no_engine_that_the_owner_did_not_allow(host: str, hint: str) -> None:
    async def go() -> None:
        async with town(allow_hosts=[]) as here:
            await here.say(host, "cX", 1)
            await here.until_quiet()
            back = await here.engine.query(here.root, "talk", "given_back")
            assert [one["code"] for one in back] == ["R5005"]
            assert hint in back[0]["msg"]

    run(go)


def test_frames_do_not_take_the_place_of_what_is_encrypted() -> None:
    async def go() -> None:
        wire = Wire(response(200, '["taken"]', pico_reply="1", pico_channel="1 x"))
        peers = Peers(wire, Policy(["127.0.0.1"]))
        heard: list[Any] = []
        peers.send("https://127.0.0.1:3000", ENVELOPE, heard.append)
        assert peers._peers == {}
        peers.send("http://127.0.0.1:3000", ENVELOPE, heard.append)
        assert list(peers._peers) == ["http://127.0.0.1:3000"]
        await peers.close()
        peers.send("http://127.0.0.1:3000", ENVELOPE, heard.append)
        assert heard == [TAKEN, TAKEN]

    run(go)


def test_without_a_network_the_rule_faults() -> None:
    async def go() -> None:
        async with town(network=None) as here:
            [error] = (await here.say("http://127.0.0.1:9", "cX", 1))["errors"]
            assert error["code"] == "R5001"
            assert "not connected" in error["error"]

    run(go)


@pytest.mark.parametrize(
    ("host", "code", "hint"),
    [
        ("ftp://127.0.0.1", "R5005", "http or https"),
        ("http://127.0.0.1:99999", "R2018", "give the whole URL"),
        ("http://[127.0.0.1", "R2018", "give the whole URL"),
        ("http://:80", "R2018", "give the whole URL"),
    ],
)
def test_what_is_no_address_of_an_engine_comes_back(host: str, code: str, hint: str) -> None:
    async def go() -> None:
        async with town() as here:
            await here.say(host, "cX", 1)
            await here.until_quiet()
            [back] = await here.engine.query(here.root, "talk", "given_back")
            assert back["code"] == code
            assert hint in back["msg"]

    run(go)


FATES = [
    [Fate(cut=40), Fate(cut=90)],
    [Fate(cut_back=30), Fate(cut_back=1)],
    [Fate(twice=frozenset(range(3, 60)))],
    [Fate(stall=40), Fate(stall_back=20)],
]


@pytest.mark.parametrize("fates", FATES, ids=["cut", "cut back", "twice", "stall"])
def test_all_arrive_once_and_in_order_through_a_bad_network(
    fates: list[Fate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.outbox.outbox_retry_ms", 5)
    monkeypatch.setattr("runtime.network_frames.peer_silence_seconds_max", 0.2)

    async def go() -> None:
        ident = "other-engine"
        async with town() as here, town(ident=ident, told="") as there:
            assert there.channels is not None
            async with Proxy(int(there.channels.urls[0].rpartition(":")[2]), list(fates)) as proxy:
                there.tell(f"{proxy.url.rpartition(':')[2]} {ident}")
                await framed(here, there)
                for _ in range(3):
                    await here.say(there, there.root, *NOTES)
                await there.until_heard(["first", *NOTES * 3])
                await here.until_quiet()
                assert proxy.connections >= len(fates)

    run(go)


@pytest.mark.parametrize(
    ("stamp", "body", "status", "told"),
    [
        ("pair 1 1 1", b'{"note": 1}', 200, ["taken", 0, "", "", 0]),
        ("pair 3 1 1", b'{"note": 1}', 200, ["resend", 1, "", "", 0]),
        ("pair 1 2 1", b"{}", 200, ["refused", 0, "R1007", "the envelope has no usable", 0]),
        ("pair one 1 1", b"{}", 400, "R1007"),
        ("pair 1 1 1", b"{", 400, "R1011"),
        ("pair 1 1 1", b"x" * (1 << 20) + b"x", 413, "R4003"),
    ],
)
def test_envelopes_over_http_are_checked(stamp: str, body: bytes, status: int, told: Any) -> None:
    async def go() -> None:
        async with town() as there:
            path = f"/sky/event/{there.root}/e1/talk/hear"
            found, heads, data = await asyncio.to_thread(posted, there.url, path, stamp, body)
            assert found == status
            if status == 200:
                assert heads["Pico-Reply"] == "1"
                assert re.fullmatch(r"\d+ \S+", heads["Pico-Channel"])
                assert data[3].startswith(told[3])
                assert data[:3] + data[4:] == told[:3] + told[4:]
            else:
                assert data["code"] == told

    run(go)


def posted(url: str, path: str, stamp: str, body: bytes) -> tuple[int, Any, Any]:
    connection = HTTPConnection(url.removeprefix("http://"))
    headers = {"Pico-Envelope": stamp, "Content-Type": "application/json"}
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    found = answer.status, answer.headers, json.loads(answer.read())
    connection.close()
    return found
