"""How diagnostics look: the shape, the order, the limit, and hostile text."""

import msgspec
import pytest

from krlc.diagnostics import SNIPPET_COLUMNS_MAX, Diagnostic, render, to_json
from krlc.source import Source, Span

TEXT = "one\n  two three\n\tfour\n日本 five\n" + "x" * 300 + "\nlast"
SOURCE = Source(TEXT, "file:///somewhere/hello.krl")


def at(word: str, **fields: object) -> Diagnostic:
    start = TEXT.index(word)
    base = Diagnostic("K0301", "a title", Span(start, start + len(word)), "a label")
    return msgspec.structs.replace(base, **fields)


def test_render_shape() -> None:
    found = at("three", hints=("try this", "or that"))
    assert render([found], SOURCE) == (
        "hello.krl:2:7: error K0301: a title\n"
        "  |\n"
        "2 |   two three\n"
        "  |       ^^^^^ a label\n"
        "  = hint: try this\n"
        "  = hint: or that\n"
        "  = more: krlc explain K0301\n"
    )


def test_render_warning_and_order() -> None:
    text = render([at("last", severity="warning", code="K0305"), at("one")], SOURCE)
    assert [line for line in text.splitlines() if line.startswith("hello")] == [
        "hello.krl:1:1: error K0301: a title",
        "hello.krl:6:1: warning K0305: a title",
    ]


def test_render_limit() -> None:
    text = render([at("one")] * 23, SOURCE, limit=20)
    assert text.count("a title") == 20
    assert text.endswith("\n… and 3 more\n")


@pytest.mark.parametrize(
    ("word", "line", "carets"),
    [
        ("four", "3 | \tfour", "  | \t^^^^ a label"),
        ("five", "4 | 日本 five", "  |      ^^^^ a label"),
        ("日本", "4 | 日本 five", "  | ^^^^ a label"),
    ],
)
def test_render_alignment(word: str, line: str, carets: str) -> None:
    assert render([at(word)], SOURCE).splitlines()[2:4] == [line, carets]


def test_render_long_line() -> None:
    start = TEXT.index("xxx")
    found = Diagnostic("K0301", "t", Span(start + 150, start + 155), "here")
    snippet, carets = render([found], SOURCE).splitlines()[2:4]
    assert snippet.startswith("5 | …x")
    assert snippet.endswith("x…")
    assert len(snippet) == len("5 | ") + SNIPPET_COLUMNS_MAX
    assert snippet[carets.index("^") : carets.rindex("^") + 1] == "xxxxx"


def test_render_span_over_lines_and_at_end() -> None:
    over = Diagnostic("K0301", "t", Span(0, len(TEXT)), "all of it")
    assert render([over], SOURCE).splitlines()[3] == "  | ^^^ all of it"
    end = Diagnostic("K0301", "t", Span(len(TEXT), len(TEXT)), "end")
    assert render([end], SOURCE).splitlines()[2:4] == ["6 | last", "  |     ^ end"]


def test_render_hostile_text() -> None:
    source = Source("a \x1b[31m\x07 \u202e \ud800 b", "evil\x1b.krl")
    found = Diagnostic("K0101", "t \x1b", Span(2, 3), "l\nm", ("h\x1b",))
    text = render([found], source)
    assert all(c.isprintable() or c == "\n" for c in text)
    assert len(text.splitlines()) == 6
    text.encode("utf-8")


def test_render_color() -> None:
    plain, colored = render([at("two")], SOURCE), render([at("two")], SOURCE, color=True)
    assert "\x1b" not in plain
    assert "\x1b[1m\x1b[31merror K0301\x1b[0m" in colored
    for ansi in ("\x1b[31m", "\x1b[33m", "\x1b[34m", "\x1b[1m", "\x1b[0m"):
        colored = colored.replace(ansi, "")
    assert colored == plain


def test_render_nothing() -> None:
    assert render([], SOURCE) == ""


def test_to_json() -> None:
    assert to_json(at("three", hints=("h",)), SOURCE) == {
        "file": "file:///somewhere/hello.krl",
        "line": 2,
        "column": 7,
        "end_line": 2,
        "end_column": 12,
        "code": "K0301",
        "severity": "error",
        "title": "a title",
        "label": "a label",
        "hints": ["h"],
    }
