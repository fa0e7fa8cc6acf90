"""Recursion through every operator that takes a function ends in R4010, not in a crash.

A crash would take the test run with it, so they run in a process of their own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEPTH = 300  # at least this many levels must work, through every operator
WAYS = {
    "call": "f(x - 1)",
    "value": "g(f, x - 1)",
    "chevron": "<<#{f(x - 1)}>>",
    "map": "[x].map(function(y) { f(y - 1) }).length()",
    "map of a map": '{"a": x}.map(function(y) { f(y - 1) }).length()',
    "filter": "[x].filter(function(y) { f(y - 1) })",
    "filter of a map": '{"a": x}.filter(function(y) { f(y - 1) })',
    "reduce": "[x, x].reduce(function(a, y) { f(y - 1) })",
    "sort": "[x, x].sort(function(a, y) { f(y - 1) => 1 | 0 })",
    "pairwise": "[[x], [x]].pairwise(function(a, y) { f(y - 1) }).length()",
    "collect": "[x].collect(function(y) { f(y - 1) => 1 | 0 }).length()",
    "all": "[x].all(function(y) { f(y - 1) })",
    "any": "[x].any(function(y) { f(y - 1) })",
    "none": "[x].none(function(y) { f(y - 1) })",
    "notall": "[x].notall(function(y) { f(y - 1) })",
    "replace": "<<#{x}>>.replace(re#.+#, function(y) { f(y - 1) })",
}
PROGRAM = """
import json, sys
from runtime.errors import Fault
from tests.harness.engine import TestEngine

for source in json.loads(sys.argv[1]):
    engine = TestEngine()
    engine.install(source)
    found = []
    for depth in json.loads(sys.argv[2]):
        try:
            engine.query("t", "f", {"x": depth})
            found.append("fine")
        except Fault as fault:
            found.append(fault.code)
        answer = engine.event("e", "a", {"x": depth})
        found.append(answer["errors"][0]["code"] if "errors" in answer else "fine")
    print(json.dumps(found), flush=True)
"""


def ruleset(body: str, action: str) -> str:
    return (
        "ruleset t { meta { shares f } global {"
        f" f = function(x) {{ x <= 0 => 1 | {body} }}"
        " g = function(h, x) { h(x) }"
        " act = defaction(do, x) { if x > 0 then do(do, x - 1) }"
        f" }} rule r {{ select when e a {action} }} }}"
    )


def test_recursion_is_bounded() -> None:
    query = 'send_directive("d", {"f": f(event:attrs{"x"})})'
    sources = [ruleset(body, query) for body in WAYS.values()]
    sources.append(ruleset("f(x - 1)", 'act(act, event:attrs{"x"})'))
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(sources), json.dumps([DEPTH, 1_000_000])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    found = [json.loads(line) for line in run.stdout.splitlines()]
    names = [*WAYS, "action"]
    assert run.returncode == 0, (names[len(found) :][:1], run.stderr[-2000:])
    wanted = ["fine", "fine", "R4010", "R4010"]
    assert dict(zip(names, found, strict=True)) == dict.fromkeys(names, wanted)
