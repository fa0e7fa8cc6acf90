"""The vectors of the language reference, both twins; refusals; what people are shown."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from expressions import (
    Event,
    base,
    condition_of,
    matcher_of,
    operator,
    select_of,
    to_number,
    when,
    within_ms,
)
from oracle import Oracle

import ext.automaton
import ext.automaton_py
from krlc import automata, determinise, nodes
from krlc.diagnostics import Diagnostic

ROWS = tomllib.loads(Path(__file__).with_name("expressions.toml").read_text("utf-8"))["row"]
STEP = re.compile(
    r"(?P<name>\w+)(?P<attrs>\{.*\})?(@(?P<time>\d+))?→(?P<mark>[✓·])(?P<seen>\{.*\})?"
)


def steps_of(row: dict[str, str]) -> list[tuple[Event, bool, dict[str, Any] | None]]:
    found = []
    for at, text in enumerate(row["events"].split("  ")):
        step = STEP.fullmatch(text)
        assert step, f"{row['id']}: {text!r} is not an event with its outcome"
        event = Event("e", step["name"], json.loads(step["attrs"] or "{}"), int(step["time"] or at))
        seen = json.loads(step["seen"]) if step["seen"] else None
        found.append((event, step["mark"] == "✓", seen))
    return found


@cache
def compiled_of(
    select: nodes.SelectWhen | nodes.SelectWhere,
) -> tuple[automata.Automaton | None, list[Diagnostic]]:
    return automata.build(select)


def load(module: ModuleType, select: nodes.SelectWhen | nodes.SelectWhere) -> tuple[Any, Any]:
    """Return (automaton, machine) of a select that compiles."""
    compiled, diagnostics = compiled_of(select)
    assert compiled is not None, diagnostics
    if isinstance(select, nodes.SelectWhere):
        matchers = [condition_of(select)]
    else:
        matchers = [matcher_of(one, compiled.settings) for one in compiled.bases]
    return compiled, module.Machine(compiled.table, matchers, to_number)


@pytest.mark.parametrize("row", [r for r in ROWS if "events" in r], ids=lambda r: r["id"])
def test_vector(automaton: ModuleType, row: dict[str, str]) -> None:
    select = select_of(row["select"])
    compiled, machine = load(automaton, select)
    limit, state = within_ms(select), machine.start
    for event, is_selected, seen in steps_of(row):
        settings, state = machine.step(state, None, event, event.time_ms, limit)
        assert (settings is not None) == is_selected, event
        if seen is not None:
            assert dict(zip(compiled.settings, settings, strict=True)) == seen
        state = machine.unpack(state.pack())


@pytest.mark.parametrize("row", [r for r in ROWS if "events" in r], ids=lambda r: r["id"])
def test_vector_oracle_agrees(row: dict[str, str]) -> None:
    select = select_of(row["select"])
    if isinstance(select, nodes.SelectWhere):
        pytest.skip("the oracle reads event expressions")
    compiled, _ = automata.build(select)
    assert compiled is not None
    matchers = [matcher_of(one, compiled.settings) for one in compiled.bases]
    oracle = Oracle(select.event, matchers, compiled.settings, within_ms(select), to_number)
    for event, is_selected, seen in steps_of(row):
        bound = oracle.feed(event)
        assert (bound is not None) == is_selected, event
        assert seen is None or bound == seen


@pytest.mark.parametrize("row", [r for r in ROWS if "refused" in r], ids=lambda r: r["id"])
def test_vector_refused(row: dict[str, str]) -> None:
    compiled, diagnostics = automata.build(select_of(row["select"]))
    assert compiled is None
    assert [finding.code for finding in diagnostics] == [row["refused"]]


REFUSED = [
    ("any 3 (e p, e q)", ["K0505"]),
    ("any 1 (e p)", ["K0505"]),
    ("repeat 0 (e p)", ["K0506"]),
    ("repeat 0 (e p) or any 2 (e q, e r)", ["K0506", "K0505"]),
    ("count 100000 (e p)", ["K0508"]),
    ("count 999999999 (e p)", ["K0508"]),
    ("and(" + ", ".join(f"e p{at}" for at in range(20)) + ")", ["K0508"]),
    ("and(" + ", ".join(f"repeat 2 (e p{at})" for at in range(9)) + ")", ["K0508"]),
    (" or ".join(f"e p x re#{at}# before e q{at}" for at in range(16)), ["K0508"]),
    ("before(" + ", ".join(f"e p{at}" for at in range(600)) + ")", ["K0508"]),
    (" or ".join(f"e p x re#{at}#" for at in range(300)), ["K0508"]),
    (" or ".join(["count 900 (e p)"] * 3), ["K0508"]),
]


@pytest.mark.parametrize(("text", "codes"), REFUSED, ids=[text[:40] for text, _ in REFUSED])
def test_expression_refused(text: str, codes: list[str]) -> None:
    compiled, diagnostics = automata.build(select_of(f"when {text}"))
    assert compiled is None
    assert [finding.code for finding in diagnostics] == codes
    assert all(finding.label and finding.hints for finding in diagnostics)


@pytest.mark.parametrize("text", ["any 0 (e p, e q)", "count 0 (e p)", "e p before count 0 (e q)"])
def test_expression_without_end(automaton: ModuleType, text: str) -> None:
    compiled, diagnostics = automata.build(select_of(f"when {text}"))
    assert [finding.code for finding in diagnostics] == ["K0510"]
    assert diagnostics[0].severity == "warning"
    assert compiled is not None
    assert not compiled.is_trivial
    machine = automaton.Machine(compiled.table)
    state = machine.start
    for name in "pqpq":
        settings, state = machine.step(state, None, Event("e", name, {}, 0), 0, None)
        assert settings is None


LARGE = [
    "and(" + ", ".join(f"e p{at}" for at in range(12)) + ")",
    "any 3 (" + ", ".join(f"e p{at}" for at in range(25)) + ")",
    " and ".join(f"e p{at}" for at in range(9)),
    " or ".join(f"e p x re#{at}#" for at in range(150)),
    " or ".join(f"e p{at}" for at in range(200)),
    "count 1000 (e p)",
    "repeat 4000 (e p)",
    "then(" + ", ".join(f"e p{at}" for at in range(500)) + ")",
    "and(" + ", ".join(f"e p x re#{at}#" for at in range(5)) + ")",
]


@pytest.mark.parametrize("text", LARGE, ids=[text[:40] for text in LARGE])
def test_expression_large(text: str) -> None:
    select = select_of(f"when {text}")
    for module in (ext.automaton_py, ext.automaton):
        compiled, machine = load(module, select)
        assert machine.unpack(machine.start.pack()) == machine.start
    assert eval(compile(repr(compiled.table), "table", "eval")) == compiled.table


BUILD = """
import sys
sys.path.insert(0, {folder!r})
from expressions import select_of
from krlc import automata
for text in {texts!r}:
    print(automata.build(select_of(text))[0])
"""


def test_same_table_under_any_hash_seed() -> None:
    texts = [row["select"] for row in ROWS if "events" in row]
    code = BUILD.format(folder=str(Path(__file__).parent), texts=texts)
    shown = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert shown[0] == shown[1]
    assert shown[0].count("Automaton(") == len(texts)


def test_table_codes_are_shared() -> None:
    assert determinise.STAY == ext.automaton_py.STAY
    assert determinise.RESET == ext.automaton_py.RESET
    assert determinise.SELECT == ext.automaton_py.SELECT
    assert determinise.REFERENCES == ext.automaton_py.REFERENCES
    assert automata.TABLE_VERSION == ext.automaton_py.TABLE_VERSION


def test_and_of_ten_events(automaton: ModuleType) -> None:
    names = [f"p{at}" for at in range(10)]
    _, machine = load(automaton, when(operator("and", *map(base, names))))
    for order in (names, names[::-1], names[3:] + names[:3]):
        state = machine.start
        for at, name in enumerate(order):
            again = Event("e", order[0], {}, 0)
            settings, state = machine.step(state, None, Event("e", name, {}, 0), 0, None)
            assert (settings is not None) == (at == 9)
            if at < 9:
                assert machine.step(state, None, again, 0, None) == (None, state)


SALIENCE = [
    ("when e p", (("e", "p"),), True),
    ("when e q or e p or e q", (("e", "q"), ("e", "p")), True),
    ("when f:p or e p", (("f", "p"), ("e", "p")), True),
    ("when count 1 (e p)", (("e", "p"),), True),
    ("when any 1 (e p, e q)", (("e", "p"), ("e", "q")), True),
    ("when e p or e p where 1", (("e", "p"),), False),
    ("when e p within 1 second", (("e", "p"),), False),
    ("when e p before e q", (("e", "p"), ("e", "q")), False),
    ("when e p setting(v)", (("e", "p"),), False),
    ("when any 0 (e p, e q) or e r", (("e", "p"), ("e", "q"), ("e", "r")), False),
    ("when any 0 (e p, e q)", (), False),
    ("where true", None, False),
]


@pytest.mark.parametrize(("text", "pairs", "is_trivial"), SALIENCE, ids=[s[0] for s in SALIENCE])
def test_salience(text: str, pairs: Any, is_trivial: bool) -> None:
    compiled, _ = automata.build(select_of(text))
    assert compiled is not None
    assert compiled.salience == pairs
    assert compiled.is_trivial is is_trivial


def test_names_in_order() -> None:
    text = "when e p x re#(.)# setting(b, a) or count 2 (e q y re#(.)# setting(a, c)) max(d, b)"
    compiled, _ = automata.build(select_of(text))
    assert compiled is not None
    assert compiled.settings == ("b", "a", "c", "d")
    assert [one.name.name for one in compiled.bases] == ["p", "q"]


SAME_HASH = [
    ("when e p and e q", "when (e:p) and  (e q)", True),
    ("when e p and e q", "when and(e p, e q)", True),
    ("when e p x re#(a)# setting(v) where v", "when e p x re#(a)# where v setting(v)", True),
    ("when e p and e q", "when e q and e p", False),
    ("when e p x re#a#", "when e p x re#a#i", False),
    ("when e p where 1", "when e p where 2", False),
    ("when e p within 1 second", "when e p within 1 minute", False),
    ("when e p within 1 second", "when e p", False),
    ("when count 2 (e p)", "when repeat 2 (e p)", False),
    ("when e p", "when e p where true", False),
    ("when e p where true", "where true", False),
    ("when e p and e q and e r", "when and(e p, e q, e r)", False),
]


@pytest.mark.parametrize(("left", "right", "is_same"), SAME_HASH)
def test_hash(left: str, right: str, is_same: bool) -> None:
    one, other = (automata.build(select_of(text))[0] for text in (left, right))
    assert one is not None
    assert other is not None
    assert (one.hash == other.hash) == is_same


def test_table_is_a_literal() -> None:
    compiled, _ = automata.build(
        select_of("when repeat 2 (e p x re#(.)#) max(m) and e q within 1 minute")
    )
    assert compiled is not None
    pending: list[object] = [compiled.table]
    while pending:
        item = pending.pop()
        if isinstance(item, tuple):
            pending.extend(item)
        else:
            assert item is None or type(item) in (int, str)


DUMP = """\
automaton {hash}
listens: e:p, e:q
registers: v
m0: e q who re#(.*)# setting(v)
0 {{start}}
  e:p  -> 1 {{s0}}
1 {{s0}}
  e:p  -> 0 {{start}}
  e:q  m0  -> selected
  e:q  not m0  -> 0 {{start}}
"""


def test_dump_shows_moves() -> None:
    compiled, _ = automata.build(select_of("when e p then e q who re#(.*)# setting(v)"))
    assert compiled is not None
    assert automata.dump(compiled) == DUMP.format(hash=compiled.hash)
    drawn = automata.dot(compiled)
    assert 'c1 -> selected [label="e:q m0"];' in drawn
    assert 'c1 -> c0 [label="e:q not m0"];' in drawn


@pytest.mark.parametrize("row", [r for r in ROWS if "events" in r], ids=lambda r: r["id"])
def test_dump_every_vector(row: dict[str, str]) -> None:
    compiled, _ = automata.build(select_of(row["select"]))
    assert compiled is not None
    assert automata.dump(compiled).count("\n") > 2
    assert automata.dot(compiled).endswith("}\n")


def test_select_where(automaton: ModuleType) -> None:
    compiled, machine = load(automaton, select_of('where event:attrs{"x"}'))
    assert "*" in automata.dump(compiled)
    for value, is_selected in ((True, True), (1, False), ("yes", False), (None, False)):
        event = Event("any", "thing", {"x": value}, 0)
        settings, state = machine.step(machine.start, None, event, 0, None)
        assert (settings == ()) == is_selected
        assert state is machine.start
