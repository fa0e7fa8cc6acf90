"""examples/channels: each of the four ways works, and there is no fifth one."""

from __future__ import annotations

import json
from pathlib import Path

import krlc
from krlc.bundle import write_bundle
from krlc.picotypes import read_type
from runtime.authority import authority
from runtime.registry import Deployed
from tests.harness.engine import TestEngine

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "channels"


def engine_with_members(*names: str) -> TestEngine:
    """An engine to which the bundle was deployed, with members of these names."""
    compiled = [
        krlc.compile_source((FOLDER / name).read_text("utf-8"), name)
        for name in ("family.krl", "member.krl")
    ]
    text = (FOLDER / "member.picotype.json").read_text("utf-8")
    types = [read_type(text, "member.picotype.json", {one.rid for one in compiled})]
    engine = TestEngine()
    registry = engine.core.registry
    found: Deployed = engine.wait(
        lambda done: registry.add_bundle(write_bundle(compiled, types), done)
    )
    ((module, url),) = found.rulesets
    engine.wait(lambda done: engine.core.install(engine.root, module, url, {}, done))
    for name in names:
        assert "errors" not in engine.event("family", "new_member", {"name": name})
    return engine


def heard(engine: TestEngine) -> list[list[str]]:
    """What each member has heard, in the order of their making."""
    core = engine.core
    root = core.shelf.pico(core.root_id)
    assert root is not None
    found = []
    for pico_id in (core.shelf.full(root).children or {}).values():
        found.append(
            engine.wait(
                lambda done, p=pico_id: core.post_query(
                    p, "example.member", "heard", {}, done, sender=p
                )
            )
        )
    return found


def test_parenthood_childhood_and_endowment_come_with_birth() -> None:
    engine = engine_with_members("Ann")
    assert engine.query("example.family", "news") == ["Ann is born", "Ann is well"]
    ways = {(one["how"], tuple(one["tags"])) for one in authority(engine.core)["grants"]}
    assert ways == {
        ("parent", ("system", "child")),
        ("child", ("system", "parent")),
        ("outside", ("root",)),
        ("outside", ("news",)),
        ("outside", ("friends",)),
    }


def test_introduction_lets_one_talk_to_the_other_and_not_back() -> None:
    engine = engine_with_members("Ann", "Bo")
    engine.event("family", "talk", {"one": "Ann", "other": "Bo", "text": "too early"})
    assert heard(engine) == [[], []]
    engine.event("family", "introduce", {"one": "Ann", "other": "Bo"})
    engine.event("family", "talk", {"one": "Ann", "other": "Bo", "text": "hello"})
    engine.event("family", "talk", {"one": "Bo", "other": "Ann", "text": "who?"})
    assert heard(engine) == [[], ["Ann: hello"]]
    held = [one for one in authority(engine.core)["grants"] if one["how"] == "held"]
    assert [(one["tags"], one["where"]) for one in held] == [
        (["friends"], "example.member, ent:friends")
    ]


def test_the_readme_names_what_is_there() -> None:
    text = (FOLDER / "README.md").read_text("utf-8")
    rules = (FOLDER / "family.krl").read_text() + (FOLDER / "member.krl").read_text()
    for name in ("make_member", "born", "introduce"):
        assert f"`{name}`" in text
        assert f"rule {name} " in rules
    assert json.loads((FOLDER / "member.picotype.json").read_text())["name"] in rules
