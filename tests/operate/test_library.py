"""Operating an engine from Python: still copies, exports of them, imports."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from runtime import Engine
from runtime.doctor import examine
from runtime.errors import Fault
from runtime.export import export, find_pico
from runtime.rocks import RocksStore
from tests.harness.engine import InlineCompiler, TextFetcher

KEEP = """ruleset keep {
  meta { shares value }
  global { value = function() { ent:value } }
  rule set { select when keep set fired { ent:value := event:attr("to") } }
}"""
SETTINGS: dict[str, Any] = {"system": False, "network": None}


def opened(home: Path | None) -> Any:
    return Engine.open(home, compiler=InlineCompiler(), fetcher=TextFetcher(), **SETTINGS)


def test_picos_go_from_a_folder_to_memory(tmp_path: Path) -> None:
    async def go() -> None:
        async with opened(tmp_path / "home") as engine:
            await engine.install(engine.root_eci, source=KEEP, url="test:keep")
            await engine.event(engine.root_eci, "keep", "set", {"to": [1, {"a": None}]})
            copy = Path(await engine.checkpoint())
            await engine.event(engine.root_eci, "keep", "set", {"to": "later"})
            store = RocksStore(copy, lambda call: call(), durability="os")
            try:
                assert examine(tmp_path / "home", store).is_sound
                pico_id = find_pico(store, engine.root_eci)
                export(store, pico_id, tmp_path / "a.pico", engine="0")
                with pytest.raises(Fault, match="no pico has a channel cNO"):
                    find_pico(store, "cNO")
            finally:
                store.close()
                shutil.rmtree(copy)
            eci = engine.root_eci
        async with opened(None) as other:
            found = await other.import_archive(tmp_path / "a.pico", other.root_eci)
            assert (found["id"], found["picos"]) == (pico_id, 1)
            assert await other.query(eci, "keep", "value") == [1, {"a": None}]
            with pytest.raises(Fault, match="already") as caught:
                await other.import_archive(tmp_path / "a.pico", other.root_eci)
            assert caught.value.code == "R3008"
            with pytest.raises(Fault, match="this engine is in memory") as caught:
                await other.checkpoint()
            assert caught.value.code == "R1013"
            # What runs when the engine stops is ended, too.
            again = asyncio.ensure_future(other.import_archive(tmp_path / "a.pico", other.root_eci))
            await asyncio.sleep(0)
        with pytest.raises(Fault):
            await again

    asyncio.run(go())
