"""Pico types and ceilings: from a file over a bundle to children; what no channel exceeds."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import krlc
from krlc.bundle import identity, write_bundle
from krlc.cli import main
from krlc.picotypes import PicoTypeError, read_type
from runtime import Engine
from runtime.bundle import read_bundle
from runtime.channel import ALLOW_ALL, Policy
from runtime.errors import Fault
from runtime.memory import MemoryStore
from runtime.registry import TYPE as TYPE_ROW
from runtime.registry import Deployed
from runtime.store import registry_key
from tests.harness.engine import InlineCompiler, TestEngine
from tests.system.spy import heard, put_spy
from tests.system.stage import PDS, UI, WRANGLER, Family

SENSOR = """ruleset shop.sensor {
  meta { use module io.picolabs.wrangler alias wrangler shares told, limit, open }
  global {
    told = function() { ent:told }
    limit = function() { ctx:rid_config{"limit"} }
    open = function() { wrangler:channels("open").head() }
  }
  rule begin { select when wrangler ruleset_installed where event:attrs{"rids"} >< meta:rid
    fired { ent:told := event:attrs{"rids"} } }
  rule reading { select when sensor reading send_directive("read") }
  rule make { select when sensor make_channel
    ctx:upsertChannel(["open"], event:attrs{"events"}, event:attrs{"queries"}) }
}"""
ONLY_READINGS = {"allow": [{"domain": "sensor", "name": "reading"}], "deny": []}
ALL_OF_IT = {"allow": [{"rid": "shop.sensor", "name": "*"}], "deny": []}
TYPE = {
    "name": "shop.sensor_pico",
    "rulesets": [{"rid": "shop.sensor", "config": {"limit": 70}}],
    "channels": [{"tags": ["readings"], "eventPolicy": ONLY_READINGS, "queryPolicy": ALL_OF_IT}],
    "ceiling": {"eventPolicy": {"allow": [{"domain": "sensor", "name": "*"}], "deny": []}},
}
OPEN = {
    "events": {"allow": [{"domain": "*", "name": "*"}], "deny": []},
    "queries": {"allow": [{"rid": "*", "name": "*"}], "deny": []},
}


def typed(data: Any = TYPE) -> dict[str, Any]:
    return read_type(json.dumps(data), "a.picotype.json", {"shop.sensor"})


def bundle(*types: dict[str, Any]) -> bytes:
    return write_bundle([krlc.compile_source(SENSOR, "sensor.krl")], types)


def deploy(family: Family, data: bytes) -> Deployed:
    registry = family.engine.core.registry
    found: Deployed = family.engine.wait(lambda done: registry.add_bundle(data, done))
    return found


def with_type() -> Family:
    family = Family()
    deploy(family, bundle(typed()))
    return family


# --- The file -------------------------------------------------------------------------------------


def test_a_type_goes_with_its_bundle() -> None:
    read = read_bundle(bundle(typed()))
    (found,) = read.types
    assert found["name"] == "shop.sensor_pico"
    assert found["rulesets"] == [{"rid": "shop.sensor", "url": None, "config": {"limit": 70}}]
    compiled = [krlc.compile_source(SENSOR, "sensor.krl")]
    assert read.identity == identity(compiled, [typed()]) != identity(compiled)
    assert read_bundle(bundle()).identity == identity(compiled)


def changed(**parts: Any) -> str:
    return json.dumps({**TYPE, **parts})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "a.picotype.json:1:2: Expecting property name"),
        ("[]", "a.picotype.json: this should be a map"),
        ("[" * 100_000, "nested too deeply"),
        (changed(ceiling=float("nan")), "NaN is no JSON value"),
        (changed(name=""), "name: give the type a name"),
        (changed(colour=1), "nothing is called `colour` here; there may be `ceiling`, `channels`"),
        (changed(rulesets=[]), "rulesets: list at least one ruleset"),
        (changed(rulesets=[{"rid": 1}]), "rulesets[0].rid: name a ruleset by its id"),
        (
            changed(rulesets=[{"rid": "x"}]),
            "rulesets[0].rid: x is not in this bundle: add its file",
        ),
        (changed(rulesets=[{"rid": "x", "url": 1}]), "rulesets[0].url: a URL is a string"),
        (
            changed(rulesets=[{"rid": "shop.sensor", "config": []}]),
            "rulesets[0].config: a configuration is a map",
        ),
        (changed(channels={}), "channels: this should be an array"),
        (changed(channels=[{}]), "channels[0].tags: a channel is found by its tags"),
        (changed(channels=[{"tags": [" "]}]), "channels[0].tags: tags are strings"),
        (
            changed(channels=[{"tags": ["a"], "eventPolicy": {"allow": [{"domain": "a"}]}}]),
            'channels[0].eventPolicy.allow[0].name: a string, or "*" for any',
        ),
        (
            changed(ceiling={"queryPolicy": {"alow": []}}),
            "ceiling.queryPolicy: nothing is called `alow` here; there may be `allow`, `deny`",
        ),
    ],
)
def test_a_type_that_cannot_be_is_told_of(text: str, message: str) -> None:
    with pytest.raises(PicoTypeError) as caught:
        read_type(text, "a.picotype.json", {"shop.sensor"})
    assert message in str(caught.value)


def test_krlc_builds_bundles_with_types(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sensor.krl").write_text(SENSOR)
    (tmp_path / "a.picotype.json").write_text(json.dumps(TYPE))
    files = [str(tmp_path / name) for name in ("sensor.krl", "a.picotype.json")]
    out = tmp_path / "app.krlb"
    assert main(["build", *files, "-o", str(out)]) == 0
    assert "1 ruleset, 1 pico type, " in capsys.readouterr().out
    assert [one["name"] for one in read_bundle(out.read_bytes()).types] == ["shop.sensor_pico"]
    assert main(["build", *files, files[1], "-o", str(out)]) == 2
    assert "two pico types are called shop.sensor_pico" in capsys.readouterr().err
    (tmp_path / "a.picotype.json").write_text("{}")
    assert main(["build", *files, "-o", str(out)]) == 2
    assert "a.picotype.json: name: give the type a name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("types", "message"),
    [
        ([], "it lists no types"),
        ([{}], "a type has not the parts that it should have"),
        ([typed(), typed()], "shop.sensor_pico is there twice"),
        ([typed() | {"rulesets": 1}], "`rulesets` is no array of maps"),
        ([typed() | {"rulesets": [{}]}], "a ruleset has no id or no configuration"),
        ([typed() | {"channels": [{"tags": ["system"]}]}], 'Cannot tag channel as "system".'),
        ([typed() | {"ceiling": {"eventPolicy": {"allow": 1}}}], "EventPolicy expects"),
        ([typed() | {"ceiling": []}], "the ceiling is no map"),
    ],
)
def test_a_type_that_came_over_the_wire_is_checked_again(types: list[Any], message: str) -> None:
    from runtime.picotypes import read_types

    with pytest.raises(Fault, match=r"types\.json: ") as caught:
        read_types(types)
    assert caught.value.code == "R2008"
    assert message in caught.value.message


# --- Children -------------------------------------------------------------------------------------


def test_who_deploys_a_type_need_not_have_its_rulesets() -> None:
    family = Family()
    found = deploy(family, bundle(typed()))
    assert found.rulesets == ()
    assert [module.rid for module, _ in found.owned] == ["shop.sensor"]
    assert found.types == ("shop.sensor_pico",)


def test_a_child_of_a_type_has_all_of_it_at_once() -> None:
    family = with_type()
    family.child("bob", pico_type="shop.sensor_pico")
    assert family.query("bob", WRANGLER, "installedRIDs")[:3] == [UI, WRANGLER, "shop.sensor"]
    assert family.query("bob", "shop.sensor", "limit") == 70
    assert family.query("bob", "shop.sensor", "told") == ["shop.sensor"]
    assert family.query("bob", UI, "name") == "bob"
    eci = family.eci("bob", "readings")
    engine = family.engine
    assert engine.query("shop.sensor", "limit", {}, eci) == 70
    answer = engine.event("sensor", "reading", {}, eci)
    assert [one["name"] for one in answer["directives"]] == ["read"]
    with pytest.raises(Fault, match="Not allowed by channel policy"):
        engine.event("sensor", "make_channel", {}, eci)


def test_no_channel_of_it_exceeds_its_ceiling() -> None:
    family = with_type()
    family.child("bob", pico_type="shop.sensor_pico")
    top = [{"domain": "sensor", "name": "*"}]
    for attrs in ({}, OPEN):
        family.tell("bob", "sensor", "make_channel", attrs)
        made = family.query("bob", "shop.sensor", "open")
        assert made["eventPolicy"]["allow"] == top
        assert made["queryPolicy"]["allow"] == [{"rid": "*", "name": "*"}]
    other = {"allow": [{"domain": "other", "name": "*"}, {"domain": "sensor", "name": "a"}]}
    family.tell("bob", "sensor", "make_channel", {"events": {**other, "deny": []}})
    made = family.query("bob", "shop.sensor", "open")
    assert made["eventPolicy"]["allow"] == [{"domain": "sensor", "name": "a"}]
    for channel in family.query("bob", WRANGLER, "channels"):
        if channel["familyChannelPicoID"] is None:
            assert all(rule["domain"] == "sensor" for rule in channel["eventPolicy"]["allow"])


def test_the_ceiling_stays_and_holds_for_children() -> None:
    family = with_type()
    family.child("bob", pico_type="shop.sensor_pico")
    family.child("carl", "bob")
    engine = family.engine
    engine = TestEngine(engine.store, clock=engine.clock, seed=2)
    family = Family(engine)
    family.tell("carl", "wrangler", "new_channel_request", {"tags": ["x"], **policies()})
    for name in ("bob", "carl"):
        (own,) = family.query(name, WRANGLER, "channels", tags="system,self")
        assert own["eventPolicy"]["allow"] == [{"domain": "sensor", "name": "*"}]
    (made,) = family.query("carl", WRANGLER, "channels", tags="x")
    assert made["eventPolicy"]["allow"] == [{"domain": "sensor", "name": "*"}]


def policies() -> dict[str, Any]:
    return {"eventPolicy": OPEN["events"], "queryPolicy": OPEN["queries"]}


def test_a_parent_may_set_a_ceiling_without_a_type() -> None:
    family = Family()
    ceiling = {
        "eventPolicy": {
            "allow": [{"domain": "*", "name": "*"}],
            "deny": [{"domain": "wrangler", "name": "*"}],
        }
    }
    family.child("bob", pico_ceiling=ceiling)
    family.tell("bob", "wrangler", "new_channel_request", {"tags": ["x"], **policies()})
    engine, eci = family.engine, family.eci("bob", "x")
    assert engine.event("a", "b", {}, eci)["directives"] == []
    with pytest.raises(Fault, match="Denied by channel policy"):
        engine.event("wrangler", "new_child_request", {"name": "x"}, eci)
    with pytest.raises(Fault, match="Denied by channel policy"):
        engine.event("wrangler", "subscription", {}, family.eci("bob", "engine", "ui"))


@pytest.mark.parametrize(
    ("endowment", "reason"),
    [
        ({"pico_type": "none"}, "no pico type is called none"),
        ({"pico_ceiling": 1}, "a ceiling is a map of eventPolicy and queryPolicy"),
        ({"pico_ceiling": {"x": 1}}, "a ceiling is a map of eventPolicy and queryPolicy"),
        ({"pico_ceiling": {"eventPolicy": 1}}, "EventPolicy expects"),
        ({"pico_type": "shop.broken"}, "global x of shop.broken failed"),
    ],
)
def test_a_child_that_cannot_be_had_whole_is_not_made(
    endowment: dict[str, Any], reason: str
) -> None:
    family = with_type()
    broken = 'ruleset shop.broken { global { x = ["a"].map(lc) - "b" } }'
    data = {"name": "shop.broken", "rulesets": [{"rid": "shop.sensor"}, {"rid": "shop.broken"}]}
    compiled = [
        krlc.compile_source(broken, "broken.krl"),
        krlc.compile_source(SENSOR, "sensor.krl"),
    ]
    assert all(one.ok for one in compiled)
    rids = {one.rid for one in compiled}
    deploy(family, write_bundle(compiled, [read_type(json.dumps(data), "b.picotype.json", rids)]))
    put_spy(family, "wrangler:new_child_request_failed", "wrangler:new_child_created")
    family.tell("root", "wrangler", "new_child_request", {"name": "bob", **endowment})
    (failure,) = heard(family)
    assert failure["event"] == "wrangler:new_child_request_failed"
    assert reason in failure["reason"]
    assert [family.name(pico) for pico in family.picos()] == ["root"]


def test_a_type_deployed_again_changes_children_to_come() -> None:
    family = with_type()
    family.child("bob", pico_type="shop.sensor_pico")
    rulesets = [{"rid": "shop.sensor", "config": {"limit": 80}}, {"rid": PDS, "url": pds_url()}]
    deploy(family, bundle(typed({**TYPE, "rulesets": rulesets})))
    family.child("carl", pico_type="shop.sensor_pico")
    assert family.query("bob", "shop.sensor", "limit") == 70
    assert family.query("carl", "shop.sensor", "limit") == 80


def pds_url() -> str:
    return f"system:/rulesets/{PDS}.krl"


# --- Policies under policies ----------------------------------------------------------------------

WORDS = ("*", "a", "b")
PAIRS = st.tuples(st.sampled_from(WORDS), st.sampled_from(WORDS))
POLICIES = st.builds(
    Policy,
    st.lists(PAIRS, max_size=4).map(tuple) | st.just(ALLOW_ALL),
    st.lists(PAIRS, max_size=2).map(tuple),
)


def allows(policy: Policy, pair: tuple[str, str]) -> bool:
    try:
        policy.check(*pair)
    except Fault:
        return False
    return True


@given(POLICIES, POLICIES, st.tuples(st.sampled_from("abc"), st.sampled_from("abc")))
def test_what_is_within_a_ceiling_is_what_both_allow(
    own: Policy, ceiling: Policy, pair: tuple[str, str]
) -> None:
    both = allows(own, pair) and allows(ceiling, pair)
    assert allows(own.within(ceiling), pair) == both


def test_what_a_deploy_made_known_is_durable_when_it_is_answered() -> None:
    """Nothing is installed, so no turn carries what the registry has learned."""

    async def deploy_and_look() -> None:
        async with Engine.open(compiler=InlineCompiler(), system=True) as engine:
            await engine.idle()
            answer = await engine.install(engine.root_eci, bundle=bundle(typed()))
            assert (answer["eci"], answer["types"]) == (None, ["shop.sensor_pico"])
            assert engine.core.committer.is_idle
            store = engine.core.store
            assert isinstance(store, MemoryStore)
            found = store.crash()
            row = found.get("registry", registry_key(TYPE_ROW, "shop.sensor_pico"))
            engine.core.committer.fail(Fault("R3003", "the machine stopped"))
            assert row is not None

    asyncio.run(deploy_and_look())
