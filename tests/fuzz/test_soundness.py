"""All errors of a text in one run, and none that another one caused.

In a ruleset that compiles, junk makes syntax errors and nothing else; so whatever later passes say
of the junked text would be a consequence. In texts with errors of both kinds, all are found.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random

from hypothesis import assume, given, settings
from hypothesis import strategies as st

import krlc
from krlc.lexer import words
from tests.fuzz.mutations import pieces
from tests.fuzz.programs import ProgramWriter

ROOT = Path(__file__).resolve().parents[2]
# Signs that no place takes twice; words or comments could change what is right about a text.
JUNK = words('@ ) ( { } [ ] , ; >> := => == * . : #{ re# " ~')


@cache
def good_texts() -> list[list[str]]:
    """Rulesets that compile, in pieces."""
    files = sorted(path for path in ROOT.rglob("*.krl") if ".venv" not in path.parts)
    texts = [path.read_text("utf-8") for path in files if path.stat().st_size < 6_000]
    texts += [ProgramWriter(Random(seed)).ruleset() for seed in range(12)]
    return [pieces(text) for text in texts if krlc.compile_source(text, "good.krl").ok]


@settings(max_examples=120)
@given(st.randoms(use_true_random=False), st.integers(1, 2))
def test_nothing_follows_from_a_syntax_error(chance: Random, count: int) -> None:
    found = list(chance.choice(good_texts()))
    for _ in range(count):
        found.insert(chance.randrange(len(found)), f" {chance.choice(JUNK)} ")
    compiled = krlc.compile_source("".join(found), "junk.krl")
    errors = [d for d in compiled.diagnostics if d.severity == "error"]
    assume(any(d.code < "K03" for d in errors))
    assert [d for d in errors if d.code >= "K03"] == []


MIXED = """ruleset mixed {
  meta { shares f, nowhere }
  global {
    f = function(a) { a + unknown1 }
    g = function(b { b + 1 }
    h = g(1)
  }
  rule one { select when e a pre { c = ; d = 3 } send_directive("d", {"d": d, "c": c}) }
  rule two { select when e b f("x") fired { app:q := unknown2 } }
  rule three { select when e c send_directve("d") }
  rule three { select when e d noop() always { v = 1 if true } }
  rule four { select whn e d noop() }
  rule five { select when e d foo:bar() fired { ent:q := g(1) + h } }
}
"""
EXPECTED = [
    (2, "K0404"),
    (4, "K0301"),
    (5, "K0201"),
    (8, "K0202"),
    (9, "K0605"),
    (9, "K0601"),
    (9, "K0301"),
    (10, "K0301"),
    (11, "K0401"),
    (11, "K0602"),
    (12, "K0214"),
    (13, "K0412"),
]


def test_errors_of_both_kinds_are_found_in_one_run() -> None:
    compiled = krlc.compile_source(MIXED, "mixed.krl")
    point = compiled.source.point
    assert [(point(d.span.start).line, d.code) for d in compiled.diagnostics] == EXPECTED


def test_mending_the_syntax_leaves_the_other_errors() -> None:
    mended = MIXED.replace("b {", "b) {").replace("c = ;", "c = 1;").replace("whn", "when")
    compiled = krlc.compile_source(mended, "mixed.krl")
    point = compiled.source.point
    errors = [
        (point(d.span.start).line, d.code) for d in compiled.diagnostics if d.severity == "error"
    ]
    assert errors == [(line, code) for line, code in EXPECTED if code >= "K03"]
