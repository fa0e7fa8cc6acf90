"""The folder built by writing rows directly is one that the engine takes for its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bench.measure import WrongAnswer
from bench.stored import CHILDREN, Tree, build, open_and_wake, store_alone
from runtime import Engine
from tests.harness.engine import InlineCompiler

COUNT = 20_000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored")
    build(COUNT, folder, InlineCompiler())
    return folder


def test_stored_picos_answer(home: Path) -> None:
    found = asyncio.run(open_and_wake(COUNT, home, InlineCompiler()))
    assert found["wake_p50_us"] > 0
    assert store_alone(home)["store_ms"] > 0


def test_wrong_pico_is_noticed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Tree.open_eci
    monkeypatch.setattr(Tree, "open_eci", lambda self, number: right(self, number % COUNT + 1))
    with pytest.raises(WrongAnswer, match="pico 1 answered 2"):
        asyncio.run(open_and_wake(COUNT, home, InlineCompiler()))


def test_engine_sees_the_tree(home: Path) -> None:
    async def look() -> tuple[int, int]:
        async with Engine.open(home, compiler=InlineCompiler()) as engine:
            pending = [engine.describe()["root"]]
            widest = len(pending[0]["children"])
            found = 0
            while pending:
                pico = pending.pop()
                found += 1
                assert pico["rulesets"] == ["bench.hello", "bench.counter"]
                pending += pico["children"]
            return found, widest

    assert asyncio.run(look()) == (COUNT + 1, CHILDREN)


def test_stored_pico_takes_events(home: Path) -> None:
    async def add() -> int:
        async with Engine.open(home, compiler=InlineCompiler()) as engine:
            eci = Tree(COUNT, engine.core.root_id).open_eci(COUNT)
            await engine.event(eci, "counter", "inc")
            value: int = await engine.query(eci, "bench.counter", "n")
            return value

    assert asyncio.run(add()) == COUNT + 1
