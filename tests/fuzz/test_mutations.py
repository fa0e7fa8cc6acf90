"""No text makes the compiler or the formatter crash; every diagnostic has a place in the text."""

from __future__ import annotations

import os
import time
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import krlc
from krlc.printer import format_source
from krlc.source import Source
from tests.fuzz.mutations import mutate

ROOT = Path(__file__).resolve().parents[2]
SECONDS = float(os.environ.get("PICOS_FUZZ_SECONDS", "0"))
LONGEST = 20_000


def _texts() -> list[str]:
    """All KRL of the repository: files, and the bodies in tables of tests."""
    files = sorted(path for path in ROOT.rglob("*.krl") if ".venv" not in path.parts)
    texts = [path.read_text("utf-8")[:LONGEST] for path in files]
    rows = (ROOT / "tests/behaviour/rules.tsv").read_text("utf-8").splitlines()
    texts += [f"ruleset t {{{row.split(chr(9))[1]}}}" for row in rows if not row.startswith("#")]
    return texts


TEXTS = _texts()


def check_text(text: str) -> krlc.Compiled:
    """Compile, render, and format where it parses."""
    compiled = krlc.compile_source(text, "mutated.krl")
    for diagnostic in compiled.diagnostics:
        assert diagnostic.code != "K0901", diagnostic.title
        assert 0 <= diagnostic.span.start <= diagnostic.span.end <= len(text), diagnostic
    if not any(d.code < "K03" for d in compiled.diagnostics):
        source = Source(text, "mutated.krl")
        printed = format_source(source)  # refuses where meaning would change
        assert format_source(Source(printed, "mutated.krl")) == printed
    if compiled.ok:
        krlc.code_object(compiled)
    return compiled


@settings(max_examples=150)
@given(st.randoms(use_true_random=False))
def test_mutated_texts_are_refused_or_compiled(chance: Random) -> None:
    check_text(mutate(chance, chance.choice(TEXTS), TEXTS))


@settings(max_examples=150)
@given(st.text())
def test_any_text_is_refused_or_compiled(text: str) -> None:
    check_text(text)
    check_text("ruleset t { global { a = " + text)


@pytest.mark.skipif(not SECONDS, reason="set PICOS_FUZZ_SECONDS to look for longer")
def test_mutations_for_long() -> None:
    seed = time.time_ns()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        chance = Random(seed)
        text = mutate(chance, chance.choice(TEXTS), TEXTS)
        try:
            check_text(text)
        except BaseException:
            print(f"seed {seed}\n{text!r}")
            raise
        seed += 1
