"""KRL expressions through the compiler and the engine: language.tsv, reference.tsv, measured.tsv.

Many expressions share one ruleset, each as a function of its own; what must not compile gets a
ruleset to itself, and so does every expression of a ruleset that is refused.
"""

from functools import cache
from typing import Any

import pytest
from harness.engine import TestEngine

import krlc
from runtime.errors import Fault

from .rows import Row, expected_value, rows, same

TABLES = ("language.tsv", "reference.tsv", "measured.tsv")
CHUNK = 200
ALL = [row for name in TABLES for row in rows(name)]
COMPILING = [row for row in ALL if row.expected != "!! compile"]
REFUSED = [row for row in ALL if row.expected == "!! compile"]


def ruleset(rid: str, some: list[Row]) -> str:
    """A ruleset that shares one function for each row."""
    names = ", ".join(f"f_{row.id}" for row in some)
    functions = "\n".join(f"f_{row.id} = function() {{ {row.expression} }}" for row in some)
    return f"ruleset {rid} {{ meta {{ shares {names} }} global {{\n{functions}\n}} }}"


@cache
def engine() -> TestEngine:
    return TestEngine()


@cache
def installed(chunk: int) -> dict[str, str | Fault]:
    """The ruleset that each row of a chunk is in, or why it is in none."""
    some = COMPILING[chunk * CHUNK : (chunk + 1) * CHUNK]
    try:
        rid = engine().install(ruleset(f"chunk{chunk}", some))
        return {row.id: rid for row in some}
    except Fault:
        found: dict[str, str | Fault] = {}
        for row in some:
            try:
                found[row.id] = engine().install(ruleset(f"row{row.id}", [row]))
            except Fault as fault:
                found[row.id] = fault
        return found


def evaluated(index: int) -> Any:
    row = COMPILING[index]
    rid = installed(index // CHUNK)[row.id]
    if isinstance(rid, Fault):
        pytest.fail(f"{row.expression} is refused: {rid.message}")
    return engine().query(rid, f"f_{row.id}")


@pytest.mark.parametrize("index", range(len(COMPILING)), ids=lambda i: COMPILING[i].id)
def test_an_expression_gives_its_value(index: int) -> None:
    row = COMPILING[index]
    wanted = row.expected
    if wanted == "runtime error" or wanted.startswith("!! "):
        with pytest.raises(Fault) as caught:
            evaluated(index)
        found = caught.value.text
        if wanted.startswith("!! "):
            kind, _, message = wanted[3:].partition(": ")
            assert found.partition(": ")[0] == kind
            assert not message or found == wanted[3:]
        assert caught.value.code != "R9001", found
    else:
        actual = evaluated(index)
        assert same(actual, expected_value(wanted)), f"{row.expression} gave {actual!r}"


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.id)
def test_an_expression_that_makes_no_sense_does_not_compile(row: Row) -> None:
    compiled = krlc.compile_source(ruleset("t", [row]), "t.krl")
    assert [d for d in compiled.diagnostics if d.severity == "error"]
