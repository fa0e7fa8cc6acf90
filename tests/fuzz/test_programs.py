"""Random rulesets compile, format, load and run without a fault of ours.

A fault of the ruleset is fine (operators refuse operands, names are unknown); K0901 and R9001 are
not. The engine runs in virtual time, in memory. PICOS_FUZZ_SECONDS=600 looks for longer, elsewhere.
"""

from __future__ import annotations

import ast
import os
import time
from collections.abc import Callable
from functools import partial
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import krlc
from krlc.printer import format_source
from krlc.source import Source
from runtime.errors import Fault
from tests.fuzz.programs import ProgramWriter
from tests.harness.engine import TestEngine

WIDTH = 100
EVENTS = (("e", "a"), ("e", "b"), ("f", "a"), ("e", "c"))
ATTRS = {"k": [1, "b"], "x": "ab1", "n": 5}
OURS = ("K0901", "R9001")
SECONDS = float(os.environ.get("PICOS_FUZZ_SECONDS", "0"))


def check_module(compiled: krlc.Compiled) -> None:
    """The module is Python of ours: it parses, imports the ABI only, and keeps the width."""
    tree = ast.parse(compiled.module)
    imports = [
        ast.unparse(s) for s in ast.walk(tree) if isinstance(s, (ast.Import, ast.ImportFrom))
    ]
    assert imports == ["from runtime.abi import v1 as krl"]
    for line in compiled.module.splitlines():
        # A line may be longer only where it holds no place to break: no bracket and no comma.
        assert len(line) <= WIDTH or not any(c in line.strip()[:-2] for c in "(["), line
    krlc.code_object(compiled)


def fault_of(ask: Callable[[], object]) -> Fault | None:
    """What went wrong, if anything."""
    try:
        ask()
    except Fault as fault:
        return fault
    return None


def check_run(text: str, shares: list[str]) -> None:
    """Install it, send events, ask all it shares."""
    engine = TestEngine()
    refusal = fault_of(lambda: engine.install(text))
    if refusal is not None:
        assert refusal.code not in OURS, refusal.text
        return
    for domain, name in EVENTS * 2:
        for error in engine.event(domain, name, ATTRS).get("errors", ()):
            assert error["code"] not in OURS, error
    for name in shares:
        fault = fault_of(partial(engine.query, "fuzz", name, {"a": 1, "x": "q"}))
        assert fault is None or fault.code not in OURS, fault.text


def check_program(text: str) -> bool:
    """Check everything about one text; whether it compiled."""
    compiled = krlc.compile_source(text, "fuzz.krl")
    errors = [d for d in compiled.diagnostics if d.severity == "error"]
    assert not [d for d in errors if d.code in OURS], errors
    assert not [d for d in errors if d.code < "K03"], errors  # what is written parses
    source = Source(text, "fuzz.krl")
    printed = format_source(source)  # refuses where meaning would change
    assert format_source(Source(printed, "fuzz.krl")) == printed
    if not compiled.ok:
        return False
    check_module(compiled)
    again = krlc.compile_source(printed, "fuzz.krl")
    shares = compiled.manifest["shares"]
    assert again.manifest["shares"] == shares
    check_run(text, [item["name"] for item in shares])
    return True


# The engine raises the recursion limit once, and hypothesis looks at it around every example.
@pytest.mark.filterwarnings("ignore:The recursion limit will not be reset")
@settings(max_examples=20)
@given(st.randoms(use_true_random=False))
def test_random_programs_run(chance: Random) -> None:
    check_program(ProgramWriter(chance).ruleset())


# Seeds that found something; each names what.
FOUND = {
    3: "`like` with one operand missing",
    275: "a defaction whose only action block is an empty `sample`",
}


@pytest.mark.parametrize("seed", [*FOUND, *range(1000, 1010)])
def test_seeded_programs_run(seed: int) -> None:
    check_program(ProgramWriter(Random(seed)).ruleset())


def test_most_programs_compile() -> None:
    texts = [ProgramWriter(Random(seed)).ruleset() for seed in range(2000, 2020)]
    compiled = sum(krlc.compile_source(text, "fuzz.krl").ok for text in texts)
    assert compiled >= 15


@pytest.mark.skipif(not SECONDS, reason="set PICOS_FUZZ_SECONDS to look for longer")
def test_programs_for_long() -> None:
    seed = time.time_ns()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        text = ProgramWriter(Random(seed)).ruleset()
        try:
            check_program(text)
        except BaseException:
            print(f"seed {seed}\n{text}")
            raise
        seed += 1
