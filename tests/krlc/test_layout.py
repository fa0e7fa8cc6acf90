"""The layout engine: what fits stays on a line, what does not breaks from the outside in."""

import pytest

from krlc.layout import (
    BLANK,
    HARD,
    LINE,
    SOFT,
    Doc,
    Group,
    Join,
    Nest,
    first_text,
    flat_width,
    render,
    separated,
)


def call(name: str, *arguments: Doc) -> Doc:
    inside = separated(arguments, Join((",", LINE)))
    return Group(name, "(", Nest(Join((SOFT, inside))), SOFT, ")")


CASES = [
    (call("f", "a", "b"), 20, "f(a, b)"),
    (call("f", "a", "b"), 7, "f(a, b)"),
    (call("f", "a", "b"), 6, "f(\n  a,\n  b\n)"),
    (call("f", call("g", "a", "b"), "c"), 10, "f(\n  g(a, b),\n  c\n)"),
    (Join((call("f", "a"), "xxx")), 6, "f(\n  a\n)xxx"),
    (Group("{", Nest(Join((HARD, "a"))), HARD, "}"), 80, "{\n  a\n}"),
    (Group("a", LINE, Group("b", HARD, "c")), 80, "a\nb\nc"),
    (Nest(Join(("a", BLANK, "b"))), 80, "a\n\n  b"),
    (Nest(Join(("a\nb", HARD, "c"))), 80, "a\nb\n  c"),
    (Group("xxxxxx\nyy", LINE, "z"), 6, "xxxxxx\nyy z"),
    ("", 80, ""),
]


@pytest.mark.parametrize(("doc", "width", "expected"), CASES, ids=range(len(CASES)))
def test_layout_render(doc: Doc, width: int, expected: str) -> None:
    assert render(doc, width) == expected


def test_layout_renders_deep_documents() -> None:
    doc: Doc = "x"
    for _ in range(50_000):
        doc = Group("(", doc, ")")
    assert len(render(doc)) == 100_001


@pytest.mark.parametrize(
    ("doc", "first", "width"),
    [("", "", 0), (Join(("", Nest(Group("ab", LINE, "c")))), "ab", 4), (Join((SOFT, "x")), "x", 1)],
)
def test_layout_measures(doc: Doc, first: str, width: int) -> None:
    assert (first_text(doc), flat_width(doc)) == (first, width)
