"""How the system rulesets come to an engine: first start, older homes, newer bundles, bad ones."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import krlc
import runtime
from krlc.bundle import identity, write_bundle
from runtime.bundle import BundledRuleset, read_bundle
from runtime.errors import Fault
from runtime.memory import MemoryStore
from runtime.system import PACKED, SystemRulesets, adopt, announce_start, packed_rulesets
from tests.harness.engine import InlineCompiler, TestEngine
from tests.harness.rulesets import compiled_rulesets, source_rulesets
from tests.system.spy import heard, put_spy
from tests.system.stage import PDS, UI, WRANGLER, Family

SUBSCRIPTION = "io.picolabs.subscription"
ALL = [UI, WRANGLER, SUBSCRIPTION, PDS]
COUNTING = """ruleset %s {
  meta { shares seen }
  global { seen = function() { [%d, ent:seen.defaultsTo([])] } }
  rule begin { select when wrangler ruleset_installed
    fired { ent:seen := ent:seen.defaultsTo([]).append([event:attrs{"rids"}]) } }
}"""


def bundled(*rulesets: tuple[str, int]) -> SystemRulesets:
    """System rulesets of a test: (rid, version)."""

    def read() -> tuple[BundledRuleset, ...]:
        compiled = [krlc.compile_source(COUNTING % one, f"{one[0]}.krl") for one in rulesets]
        return read_bundle(write_bundle(compiled)).rulesets

    return SystemRulesets(repr(rulesets), read)


def start(
    store: MemoryStore | None, system: SystemRulesets, before: TestEngine | None
) -> TestEngine:
    """An engine over a store, with these system rulesets."""
    clock = None if before is None else before.clock
    engine = TestEngine(store, seed=1 if before is None else 2, clock=clock)
    adopt(engine.core, system)
    engine.run()
    return engine


def again(engine: TestEngine, system: SystemRulesets) -> TestEngine:
    """The engine after a restart."""
    store = engine.store
    assert isinstance(store, MemoryStore)
    return start(store, system, engine)


def test_the_bundle_is_made_of_the_sources() -> None:
    assert PACKED.exists(), "`make rulesets` makes it"
    bundle = read_bundle(PACKED.read_bytes())
    assert bundle.identity == identity(compiled_rulesets()), "`make rulesets` brings it up to date"


def test_a_missing_bundle_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(Fault, match=r"lacks its system rulesets: none\.krlb") as caught:
        packed_rulesets(tmp_path / "none.krlb")
    assert caught.value.code == "R3010"
    assert "make rulesets" in str(caught.value.hint)


def test_a_first_start_gives_the_root_all_of_them_and_tells_it() -> None:
    engine = start(None, bundled(("b", 1), ("a", 1)), None)
    assert engine.query("a", "seen") == engine.query("b", "seen") == [1, [["a", "b"]]]


def test_the_root_is_told_of_every_start() -> None:
    family = Family()
    put_spy(family, "engine:started")
    for count in (1, 2):
        announce_start(family.engine.core)
        family.engine.run()
        assert heard(family) == [{"event": "engine:started"}] * count


def test_the_order_is_that_of_the_reference() -> None:
    assert Family().query("root", WRANGLER, "installedRIDs") == ALL


def test_a_second_start_does_nothing() -> None:
    engine = start(None, bundled(("a", 1)), None)
    store = engine.store
    assert isinstance(store, MemoryStore)
    before = dict(store.scan("meta", b""))

    def read() -> tuple[BundledRuleset, ...]:
        raise AssertionError("what is known is not read")

    engine = again(engine, SystemRulesets(bundled(("a", 1)).identity, read))
    assert dict(store.scan("meta", b"")) == before
    assert engine.query("a", "seen") == [1, [["a"]]]


def test_a_new_version_is_adopted_by_every_pico() -> None:
    engine = start(None, bundled(("a", 1)), None)
    engine.install(
        "ruleset maker { rule make { select when maker make"
        ' ctx:newPico([{"url": "system:/rulesets/a.krl"}]) } }'
    )
    engine.event("maker", "make")
    core = engine.core
    (child,) = (core.shelf.full(core.shelf.picos[core.root_id]).children or {}).values()
    engine = again(engine, bundled(("a", 2)))
    assert engine.query("a", "seen") == [2, [["a"]]]
    version = engine.wait(
        lambda done: engine.core.post_query(child, "a", "seen", {}, done, sender=child)
    )
    assert version == [2, []]


def test_a_ruleset_that_comes_later_is_given_then() -> None:
    engine = start(None, bundled(("a", 1)), None)
    engine = again(engine, bundled(("a", 1), ("b", 1)))
    assert engine.query("b", "seen") == [1, [["b"]]]
    assert engine.query("a", "seen") == [1, [["a"], ["b"]]]


def test_what_was_taken_off_the_root_does_not_come_back() -> None:
    engine = start(None, bundled(("a", 1), ("b", 1)), None)
    engine.install('ruleset off { rule off { select when off b ctx:uninstall("b") } }')
    engine.event("off", "b")
    engine = again(engine, bundled(("a", 2), ("b", 2)))
    with pytest.raises(Fault, match="doesn't have b installed"):
        engine.query("b", "seen")


def test_an_older_home_gets_them_beside_what_it_has() -> None:
    engine = TestEngine()
    engine.install("ruleset app {}")
    engine = again(engine, source_rulesets())
    family = Family(engine)
    assert family.query("root", WRANGLER, "installedRIDs") == ["app", *ALL]
    assert family.query("root", WRANGLER, "name") == "Pico"
    family.child("bob")


def test_another_python_compiles_them_again() -> None:
    system = source_rulesets()

    def read() -> tuple[BundledRuleset, ...]:
        return tuple(one._replace(bytecode={"cpython-20": b""}) for one in system.read())

    family = Family(start(None, SystemRulesets("other", read), None))
    assert family.query("root", WRANGLER, "installedRIDs") == ALL


@pytest.mark.parametrize(
    ("system", "is_given"), [(None, False), (True, True), (False, False)], ids=str
)
def test_an_engine_in_memory_has_them_when_asked(system: bool | None, is_given: bool) -> None:
    async def rulesets() -> list[str]:
        async with runtime.Engine.open(system=system) as engine:
            await engine.idle()
            found: list[str] = engine.describe()["root"]["rulesets"]
            return found

    assert asyncio.run(rulesets()) == (ALL if is_given else [])


def test_an_engine_over_a_folder_has_them(tmp_path: Path) -> None:
    async def rulesets(system: bool | None) -> list[str]:
        async with runtime.Engine.open(tmp_path, system=system) as engine:
            await engine.idle()
            found: list[str] = engine.describe()["root"]["rulesets"]
            return found

    assert asyncio.run(rulesets(False)) == []
    assert asyncio.run(rulesets(None)) == ALL
    assert asyncio.run(rulesets(False)) == ALL


def test_an_installation_by_the_owner_is_told_to_the_rules() -> None:
    """Rulesets that open their channels on `wrangler:ruleset_installed` do so after a deploy."""
    engine = TestEngine(system=True)
    engine.run()
    engine.install(
        """ruleset door {
          meta { shares told }
          global { told = function() { ent:told } }
          rule open { select when wrangler ruleset_installed where event:attrs{"rids"} >< meta:rid
            fired { ent:told := event:attrs } }
        }"""
    )
    engine.run()
    assert engine.query("door", "told") == {"rids": ["door"]}


def test_deploying_again_keeps_the_configuration_unless_another_is_given() -> None:
    source = "ruleset place { meta { shares c } global { c = function() { ctx:rid_config } } }"

    async def deploy() -> list[object]:
        seen = []
        async with runtime.Engine.open(compiler=InlineCompiler()) as engine:
            for config in ({"at": "Provo"}, None, {"at": "Lehi"}, {}):
                await engine.install(engine.root_eci, source=source, config=config)
                seen.append(await engine.query(engine.root_eci, "place", "c"))
        return seen

    assert asyncio.run(deploy()) == [{"at": "Provo"}, {"at": "Provo"}, {"at": "Lehi"}, {}]
