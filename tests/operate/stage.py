"""Engines with something in them, for the tests of backup, doctor, export and import.

In: seeds. Out: `TestEngine`s over memory, with a subtree that has some of everything, and what of
it an import has to bring back.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime.archive import Archive
from runtime.describe import describe
from runtime.entities import Entities
from runtime.export import Exported, export
from runtime.limits import call_depth_max
from runtime.store import (
    FAMILIES,
    Store,
    automata_key,
    decode_record,
    pico_prefix,
    timer_owner_key,
)
from runtime.stored import Reader
from runtime.timers import job_from_row
from tests.harness.engine import TestEngine

# An engine raises the limit; hypothesis wants it raised before its tests begin.
sys.setrecursionlimit(max(sys.getrecursionlimit(), 3 * call_depth_max))
NEST = (Path(__file__).parent / "nest.krl").read_text()


def nest(**settings: Any) -> TestEngine:
    """An engine with the ruleset `nest` on its root, from which rulesets of children come."""
    engine = TestEngine(**settings)
    engine.fetcher.texts["test:nest"] = NEST
    core = engine.core
    module = engine.wait(lambda done: core.registry.load("test:nest", done))
    config = {"colour": "red"}
    engine.wait(lambda done: core.install(engine.root, module, "test:nest", config, done))
    return engine


def grown(**settings: Any) -> tuple[TestEngine, str]:
    """A nest with a child and grandchildren that have some of everything; the child's own ECI."""
    engine = nest(**settings)
    engine.event("nest", "grow", {"name": "child"})
    door: str = engine.query("nest", "door", {"name": "child"})
    for name in ("one", "two"):
        engine.event("nest", "grow", {"name": name}, eci=door)
    engine.event("nest", "fill", {"count": 60}, eci=door)
    for number in range(3):
        engine.event("nest", "plan", {"after_s": 100 + number}, eci=door)
    engine.event("nest", "half", {}, eci=door)
    return engine, door


def archived(engine: TestEngine, eci: str, path: Path, **settings: Any) -> Exported:
    """Export a channel's pico."""
    channel = engine.core.shelf.channel(eci)
    assert channel is not None
    return export(engine.store, channel.pico_id, path, engine="0", **settings)


def take_in(engine: TestEngine, path: Path, parent: str | None = None) -> dict[str, Any]:
    """Import an archive under the root, or the pico of a channel."""
    archive = Archive(path)
    try:
        found: dict[str, Any] = engine.wait(
            lambda done: engine.core.imports.begin(archive, parent or engine.root, done)
        )
        return found
    finally:
        archive.close()


def picture(store: Store, pico_id: str) -> dict[str, Any]:
    """All that a pico is beside its structure: values, automata, timers, by name."""
    reader = Reader(store.get, store.scan)
    prefix = pico_prefix(pico_id) + b"v"
    values: dict[str, Any] = {}
    for key, _ in store.scan("pico", prefix):
        rid, _, name = key[len(prefix) :].decode().partition("\0")
        value = Entities(reader, pico_id, rid)[name]
        values[f"{rid}/{name}"] = list(value.items()) if isinstance(value, dict) else value
    row = store.get("pico", automata_key(pico_id))
    jobs = [job_from_row(*row) for row in store.scan("timer", timer_owner_key(pico_id))]
    return {
        "values": values,
        "automata": None if row is None else decode_record(row, "automata"),
        "timers": [job.to_record()[2:] for job in sorted(jobs, key=lambda job: job.number)],
    }


def everything(engine: TestEngine, eci: str) -> list[dict[str, Any]]:
    """What `describe` and the store say of a channel's pico and all below it."""
    core = engine.core
    channel = core.shelf.channel(eci)
    assert channel is not None
    pending = [channel.pico_id]
    found = []
    for pico_id in pending:
        pico = core.shelf.pico(pico_id)
        assert pico is not None
        structure = core.shelf.full(pico)
        assert structure.channels is not None
        shown = describe(core, min(structure.channels))
        # The family channel to another parent names that parent.
        if pico_id == channel.pico_id:
            for each in shown["channels"]:
                if each["tags"] == ["system", "child"]:
                    each["familyChannelPicoID"] = "PARENT"
        found.append({"described": shown, **picture(engine.store, pico_id)})
        pending.extend((structure.children or {}).values())
    return found


def rows(store: Store, *but: str) -> dict[tuple[str, bytes], bytes]:
    """All rows of a store, without those of some families."""
    return {
        (family, key): value
        for family in FAMILIES
        if family not in but
        for key, value in store.scan(family, b"")
    }


def crashing_at(number: int) -> Callable[[str], None]:
    """A hook of the memory store that stops at the n-th crash point."""
    passed = [0]

    def hook(name: str) -> None:
        passed[0] += 1
        if passed[0] == number:
            raise Crash(name)

    return hook


class Crash(BaseException):
    """The machine stopped here."""
