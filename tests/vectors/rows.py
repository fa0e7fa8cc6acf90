"""Vector rows: reading the tables, expected values, and comparing.

In: `<id> TAB <expression> TAB <expected>` lines, with ⏎ for a line end. Expected is a JSON value,
a pattern `re#…#`, or `!! Class: message` for a fault. `deviations.tsv` says where we differ on
purpose (id, our value, reason), `elsewhere.tsv` which rows another test runs (id, what, which).
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from runtime import border
from runtime.patterns import Pattern

HERE = Path(__file__).parent
OBJ = {
    "colors": "many",
    "pi": [3, 1, 4, 1, 5, 9, 3],
    "foo": {"bar": {"10": "I like cheese"}},
}
VEG = ["corn", "tomato", "tomato", "tomato", "sprouts", "lettuce", "sprouts"]


class Row(NamedTuple):
    """One vector: its id, what is evaluated, and what must come out."""

    id: str
    expression: str
    expected: str


def table(name: str) -> list[tuple[str, str, str]]:
    """The lines of a table as three fields."""
    found = []
    for line in (HERE / name).read_text("utf-8").splitlines():
        first, second, third = line.split("\t")
        found.append((first, second, third))
    return found


DEVIATIONS = {key: ours for key, ours, _ in table("deviations.tsv")}
ELSEWHERE = {key: test for key, _, test in table("elsewhere.tsv")}


def rows(name: str) -> list[Row]:
    """The rows of a table that run here, with our value where it differs."""
    return [
        Row(key, expression.replace("⏎", "\n"), DEVIATIONS.get(key, expected))
        for key, expression, expected in table(name)
        if key not in ELSEWHERE
    ]


def expected_value(written: str) -> Any:
    """The value on the right side of a vector."""
    special = {"OBJ": OBJ, "VEG": VEG, "NaN": None, "Infinity": None, "-0": 0}
    if written in special:
        return special[written]
    if written.startswith("re#"):
        source, _, flags = written[3:].rpartition("#")
        return Pattern(source, flags)
    return border.from_json(json.loads(written))


def same(actual: Any, expected: Any) -> bool:
    """Whether two values are the same, kind by kind; the order of map keys does not count."""
    if isinstance(expected, bool) or expected is None:
        return actual is expected
    if isinstance(expected, int | float):
        return (
            isinstance(actual, int | float)
            and not isinstance(actual, bool)
            and (actual == expected)
        )
    if isinstance(expected, list):
        return (
            isinstance(actual, list)
            and len(actual) == len(expected)
            and all(map(same, actual, expected))
        )
    if isinstance(expected, dict):
        return (
            isinstance(actual, dict)
            and actual.keys() == expected.keys()
            and all(same(actual[key], expected[key]) for key in expected)
        )
    return type(actual) is type(expected) and bool(actual == expected)
