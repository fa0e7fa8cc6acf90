"""Sends between an engine of ours and the Node engine over HTTP, in both directions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.channels.stage import run
from tests.peer.node import NodeEngine, find_node_engine
from tests.peer.sequences import SEQUENCES, have_nothing
from tests.peer.sides import NodeSide, OurSide
from tests.peer.stage import Town, town, until

NOTES = list(range(100))


@pytest.fixture(scope="module", autouse=True)
def node_folder() -> Path:
    return find_node_engine()


class Both(NamedTuple):
    """An engine of ours and one of theirs; `eci` is a channel of theirs that allows everything."""

    ours: Town
    theirs: NodeEngine
    eci: str

    async def heard(self) -> list[Any]:
        """The notes that came to theirs."""
        found: list[Any] = await asyncio.to_thread(self.theirs.query, self.eci, "talk", "heard")
        return found


@asynccontextmanager
async def both(folder: Path) -> AsyncIterator[Both]:
    """Both engines with the ruleset `talk`."""
    with NodeEngine(folder / "node") as theirs:
        await asyncio.to_thread(theirs.start)
        theirs.install("talk")
        eci = theirs.channel("all")
        async with town() as ours:
            yield Both(ours, theirs, eci)


def test_ours_sends_in_order_and_waits_for_each_answer(tmp_path: Path) -> None:
    async def go() -> None:
        async with both(tmp_path) as one:
            await one.ours.say(one.theirs.url, one.eci, *NOTES)
            await one.ours.until_quiet()
            assert await one.heard() == NOTES
            assert one.ours.framed() == []
            last = await asyncio.to_thread(one.theirs.query, one.eci, "talk", "last")
            assert last["note"] == NOTES[-1]
            assert last["_headers"]["idempotency-key"].endswith(f"-{len(NOTES)}")
            assert last["__eid"].startswith("c")
            requests = one.theirs.requests()
            sent = [each for each in requests if each["url"].startswith("/sky/event/")]
            assert [each["attrs"] for each in sent] == [{"note": note} for note in NOTES]

    run(go, 60)


def test_theirs_sends_to_ours(tmp_path: Path) -> None:
    async def go() -> None:
        async with both(tmp_path) as one:
            ours = one.ours
            for note in NOTES[:20]:
                attrs = {"host": ours.url, "eci": ours.root, "notes": [note]}
                await asyncio.to_thread(one.theirs.event, one.eci, "talk", "say", attrs)
            # It neither orders what it sends nor waits for answers.
            await until_count(ours, 20)
            assert sorted(await ours.heard()) == NOTES[:20]

    run(go, 60)


async def until_count(there: Town, count: int) -> None:
    while len(await there.heard()) < count:
        await asyncio.sleep(0.001)


def test_what_theirs_refuses_comes_back(tmp_path: Path) -> None:
    async def go() -> None:
        async with both(tmp_path) as one:
            ours, url = one.ours, one.theirs.url
            made = await asyncio.to_thread(one.theirs.event, one.eci, "talk", "narrow", {})
            narrow = made["directives"][0]["options"]["eci"]
            attrs = {"host": url, "eci": narrow, "notes": [1, 2], "domain": "told"}
            await ours.engine.event(ours.root, "talk", "say", attrs)
            await ours.say(url, "cNOBODY", 3)
            large = {"host": url, "eci": one.eci, "notes": [4], "more": {"x": "x" * 200_000}}
            await ours.engine.event(ours.root, "talk", "say", large)
            await ours.say(url, narrow, 5)
            await ours.until_quiet()
            back = await ours.engine.query(ours.root, "talk", "given_back")
            codes = {each["attrs"]["note"]: each["code"] for each in back}
            assert codes == {1: "R1002", 2: "R1002", 3: "R1001", 4: "R5001"}
            assert await one.heard() == [5]

    run(go, 60)


def test_a_rule_that_fails_there_has_been_reached(tmp_path: Path) -> None:
    async def go() -> None:
        async with both(tmp_path) as one:
            ours = one.ours
            attrs = {"host": one.theirs.url, "eci": one.eci, "notes": [1], "domain": "broken"}
            await ours.engine.event(ours.root, "talk", "say", attrs)
            await ours.say(one.theirs.url, one.eci, 2)
            await ours.until_quiet()
            assert await one.heard() == [2]
            assert await ours.engine.query(ours.root, "talk", "given_back") == []

    run(go, 60)


def test_all_arrive_in_order_when_theirs_is_killed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least once: what it did not answer before it was killed comes again."""
    monkeypatch.setattr("runtime.outbox.outbox_retry_ms", 5)
    monkeypatch.setattr("runtime.outbox.outbox_retry_ms_max", 50)

    async def go() -> None:
        async with both(tmp_path) as one:
            await one.ours.say(one.theirs.url, one.eci, *NOTES)
            await until(lambda: one.ours.waiting < len(NOTES) - 20)
            one.theirs.kill()
            await one.ours.say(one.theirs.url, one.eci, "after")
            await asyncio.to_thread(one.theirs.start)
            await one.ours.until_quiet()
            heard = await one.heard()
            assert list(dict.fromkeys(heard)) == [*NOTES, "after"]
            assert len(heard) <= len(NOTES) + 2

    run(go, 60)


@pytest.mark.parametrize("proposer", ["ours", "theirs"])
def test_relationships_with_the_node_engine(proposer: str, tmp_path: Path) -> None:
    async def go() -> None:
        with NodeEngine(tmp_path / "node") as engine:
            await asyncio.to_thread(engine.start)
            async with town(system=True) as place:
                ours, theirs = OurSide(place), NodeSide(engine)
                await theirs.do("need_wellKnown_Rx", {})
                for sequence in SEQUENCES.values():
                    await sequence(*((ours, theirs) if proposer == "ours" else (theirs, ours)))
                    await have_nothing(ours, theirs)

    run(go, 60)
