"""What the language accepts and refuses, and where: the reference's own vectors.

In: `rejections.tsv`, lines of id, source and outcome. Offsets count characters from 0; all sources
are one line, so a column is an offset.
Source: acceptance and rejection vectors of the language reference, D1 to D79.
"""

import re
from pathlib import Path

import pytest

from krlc import compile_source
from krlc.parser import parse
from krlc.source import Source

ROWS = [
    line.split("\t")
    for line in (Path(__file__).parent / "rejections.tsv").read_text("utf-8").splitlines()
]
# Where we differ on purpose: what we say, and why.
DEVIATIONS = {
    "D18": ("accepted", "`errors to` works here"),
    "D38": ("compile error at 15", "the caret stands under the rule's name, not at `rule`"),
}


def outcome(text: str) -> str:
    """Say what the compiler makes of a source, in the words of the table."""
    _, found = parse(Source(text, "row.krl"))
    if found:
        return f"parse error at {found[0].span.start}"
    diagnostics = compile_source(text, "row.krl").diagnostics
    errors = [d for d in diagnostics if d.severity == "error"]
    if errors:
        return f"compile error at {errors[0].span.start}"
    warnings = sum(d.severity == "warning" and d.code != "K0305" for d in diagnostics)
    return f"accepted with {warnings} warning(s)" if warnings else "accepted"


def test_rejections_are_complete() -> None:
    assert [row[0] for row in ROWS] == [f"D{i}" for i in range(1, 80)]


@pytest.mark.parametrize(("row", "text", "expected"), ROWS, ids=[row[0] for row in ROWS])
def test_rejection(row: str, text: str, expected: str) -> None:
    if row in DEVIATIONS:
        expected = DEVIATIONS[row][0]
    if not text.startswith("ruleset"):  # declarations and expressions alone: tools parse them
        found = parse(Source(text, "row.krl"))[1]
        at = re.fullmatch(r"parse error at (\d+)", expected)
        assert bool(found) == (at is not None)
        assert at is None or found[0].span.start == int(at[1])
    elif expected == "compile error":
        assert outcome(text).startswith("compile error")
    else:
        assert outcome(text) == expected
