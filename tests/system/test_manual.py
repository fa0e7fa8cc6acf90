"""docs/system-rulesets.md names what there is: every ruleset, every request, and its rule works."""

from __future__ import annotations

import re
from pathlib import Path

import krlc
from tests.harness.engine import TestEngine
from tests.harness.rulesets import compiled_rulesets

MANUAL = (Path(__file__).parents[2] / "docs" / "system-rulesets.md").read_text("utf-8")
OURS = ("io.picolabs.wrangler", "io.picolabs.pds", "io.picolabs.pico-engine-ui")


def ours() -> list[krlc.Compiled]:
    return [one for one in compiled_rulesets() if one.rid in OURS]


def test_every_ruleset_is_named() -> None:
    assert {one.rid for one in compiled_rulesets()} == set(
        re.findall(r"^\| `([^`]+)` ", MANUAL, re.M)
    )


def test_every_request_that_can_fail_by_its_rules_is_named() -> None:
    """What raises `x_failed` itself is a request; the manual has its name."""
    for compiled in ours():
        text = compiled.source.text
        failing = set(re.findall(r'event "(\w+)_failed"', text))
        assert failing
        for name in failing:
            assert f"`{name}`" in MANUAL, (compiled.rid, name)


def test_every_named_event_is_selected_or_raised_somewhere() -> None:
    texts = "\n".join(one.source.text for one in compiled_rulesets())
    named = set(re.findall(r"`(?:wrangler|pds|engine_ui):(\w+)`", MANUAL))
    assert len(named) > 10
    for name in named:
        assert name.removesuffix("_failed") in texts, name


def test_every_ruleset_of_ours_tells_of_rules_that_the_engine_took_back() -> None:
    for compiled in ours():
        assert "select when system error" in compiled.source.text
        assert '"_failed"' in compiled.source.text


def test_its_rule_hears_of_a_failure() -> None:
    rule = "\n".join(line for line in MANUAL.splitlines() if line.startswith("    "))
    engine = TestEngine(system=True)
    engine.install(f"ruleset app {{\n{rule}\n}}")
    answer = engine.event("wrangler", "install_ruleset_request", {"url": "mem:/none"})
    (told,) = answer["directives"]
    assert told["name"] == "not installed"
    assert told["options"]["why"] == "mem:/none cannot be fetched: not there"
