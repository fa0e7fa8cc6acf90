"""Rules end to end: a ruleset, events and queries, and what comes of them.

Rows are data (rules.tsv). `name{attrs} → directives` sends `e:name`; `?f{args} → value` asks the
shared function f. A row that differs from the reference on purpose carries what we do, and why.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from runtime.errors import Fault
from tests.harness.engine import TestEngine, compile_for_engine

ROWS = [
    line.split("\t")
    for line in Path(__file__).with_name("rules.tsv").read_text().splitlines()
    if not line.startswith("#")
]
STEP = re.compile(r"(\??)(\w+)(\{.*\})?$")


def outcome(engine: TestEngine, step: str) -> str:
    """What one step gives, in the notation of the rows."""
    match = STEP.match(step)
    assert match is not None, step
    attrs = json.loads(match[3]) if match[3] else None
    if match[1]:
        try:
            return json.dumps(engine.query("t", match[2], attrs))
        except Fault:
            return "runtime error"
    answer = engine.event("e", match[2], attrs)
    if "errors" in answer:
        return "runtime error"
    shown = [
        d["name"] + (json.dumps(d["options"], separators=(",", ":")) if d["options"] else "")
        for d in answer["directives"]
    ]
    return " ".join(shown) or "(none)"


def read_steps(text: str) -> list[tuple[str, str]]:
    """The (step, outcome) pairs of an interaction; what stands in brackets is a remark."""
    pairs = []
    for part in text.split(";  "):
        step, _, wanted = part.partition(" → ")
        pairs.append((step.strip(), re.sub(r"^runtime error .*", "runtime error", wanted.strip())))
    return pairs


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_rule(row: list[str]) -> None:
    _, body, reference, own, reason = row
    source = "ruleset t{" + body + "}"
    wanted = own or reference
    assert bool(own) == bool(reason), "a deviation has a reason, and only a deviation"
    if wanted.startswith("refused ") or wanted in ("load error", "compile/load error"):
        fault = compile_for_engine(source, "t.krl")
        assert isinstance(fault, Fault)
        assert wanted.removeprefix("refused ").split()[0] in (
            fault.message[:5],
            "load",
            "compile/load",
        )
        return
    engine = TestEngine()
    engine.install(source)
    if wanted == "accepted":
        return
    for step, expected in read_steps(wanted):
        assert outcome(engine, step) == expected, step
