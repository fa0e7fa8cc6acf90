"""What an engine of ours said to the Node engine, and heard from it, said and heard again."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from runtime.client_http import Target, ask
from tests.channels.stage import run
from tests.peer.exchanges import FILE, WELL_KNOWN, Names, filled, fits
from tests.peer.fake_node import FakeNode, fake_node
from tests.peer.sequences import RID, SEQUENCES, bundles
from tests.peer.sides import OurSide
from tests.peer.stage import town

EXCHANGES = json.loads(FILE.read_text(encoding="utf-8"))


class Replay:
    """One exchange being repeated; `values` are what its names stand for now."""

    def __init__(self, ours: OurSide, theirs: FakeNode, values: Names) -> None:
        self._ours = ours
        self._theirs = theirs
        self._values = values

    def _mint(self) -> str:
        return f"c{'theirs':0<20}{len(self._values):04}"

    async def do(self, step: dict[str, Any]) -> None:
        """Ours is asked to do something."""
        await self._ours.do(step["do"], filled(step["attrs"], self._values, self._mint))

    async def sent(self, step: dict[str, Any]) -> None:
        """Ours sends, and gets the answer of then."""
        came = await self._theirs.requests.get()
        assert fits(step["sent"], came.path, self._values), (step, came)
        assert fits(step["attrs"], came.attrs, self._values), (step, came)
        came.say(step["status"], filled(step["answer"], self._values, self._mint))

    async def came(self, step: dict[str, Any]) -> None:
        """Theirs sends."""
        path, attrs = filled([step["came"], step["attrs"]], self._values, self._mint)
        assert step["status"] == 200
        await asyncio.to_thread(ask, Target(self._ours.host, ""), path, attrs)

    async def bundles(self, step: dict[str, Any]) -> None:
        """Ours comes to know just these bundles."""
        while True:
            found = await bundles(self._ours)
            values = dict(self._values)
            if fits(step["bundles"], found, values):
                assert filled(step["bundles"], values, self._mint) == found
                self._values |= values
                return
            await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    "exchange", EXCHANGES, ids=[f"{one['proposer']}: {one['sequence']}" for one in EXCHANGES]
)
def test_recorded_exchanges_are_the_same_without_the_node_engine(exchange: dict[str, Any]) -> None:
    async def go() -> None:
        async with fake_node() as theirs, town(system=True) as place:
            ours = OurSide(place)
            well_known = await place.engine.query(place.root, RID, "wellKnown_Rx")
            values = {"<ours>": ours.host, "<theirs>": theirs.url, WELL_KNOWN: well_known["id"]}
            replay = Replay(ours, theirs, values)
            for step in exchange["steps"]:
                kind = next(key for key in ("do", "sent", "came", "bundles") if key in step)
                await getattr(replay, kind)(step)
            await place.until_quiet()
            assert theirs.requests.empty()

    run(go, 30)


def test_every_sequence_is_recorded_in_both_roles() -> None:
    recorded = [(one["proposer"], one["sequence"]) for one in EXCHANGES]
    assert recorded == [(who, name) for who in ("ours", "theirs") for name in SEQUENCES]
