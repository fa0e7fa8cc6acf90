"""What the compiler has to say about a source: values, not text.

In: passes make `Diagnostic` values. Out: `render` and `to_json`, the only two forms people see.
Invariant: a diagnostic names a code of `codes.py`, a span of the source, and one label about this
very text; its title comes from the pass in KRL words. What is printed holds no control characters
of the source, so a hostile ruleset cannot write to somebody's terminal.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from unicodedata import east_asian_width

import msgspec

from krlc.source import Source, Span

SNIPPET_COLUMNS_MAX = 100
"""A longer line shows only the part around the caret."""


class Diagnostic(msgspec.Struct, frozen=True):
    """One finding. `severity` is "error" or "warning"; `label` stands beside the caret."""

    code: str
    title: str
    span: Span
    label: str
    hints: tuple[str, ...] = ()
    severity: str = "error"


_RED, _YELLOW, _BLUE, _BOLD, _PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[34m", "\x1b[1m", "\x1b[0m"


def in_order(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Sort diagnostics by place; of two at one place the lower code comes first."""
    return sorted(diagnostics, key=lambda d: (d.span.start, d.span.end, d.code, d.title))


def render(
    diagnostics: Iterable[Diagnostic], source: Source, color: bool = False, limit: int = 20
) -> str:
    """Lay out diagnostics for people, sorted by place, with a snippet each.

    Shapes: "" for none; else lines ending with a newline, an empty line between findings, and a
    count of those beyond `limit`.
    """
    found = in_order(diagnostics)
    # Where not all can be shown, no warning takes the place of an error.
    first = sorted(found, key=lambda d: d.severity != "error")[:limit]
    parts = [_render_one(diagnostic, source, color) for diagnostic in in_order(first)]
    if len(found) > limit:
        parts.append(f"… and {len(found) - limit} more\n")
    return "\n".join(parts)


def _render_one(diagnostic: Diagnostic, source: Source, color: bool) -> str:
    point = source.point(diagnostic.span.start)
    before, marked, after = _window(source.line(point.line), point.column - 1, diagnostic.span)
    number = str(point.line)
    margin = " " * (len(number) + 1)
    indent = "".join(c if c == "\t" else " " * _columns(c) for c in before)
    carets = "^" * max(1, sum(_columns(c) for c in marked))
    tint = _RED if diagnostic.severity == "error" else _YELLOW

    def paint(text: str, ansi: str) -> str:
        return f"{ansi}{text}{_PLAIN}" if color else text

    head = f"{_clean(source.name)}:{point.line}:{point.column}: "
    kind = paint(f"{diagnostic.severity} {diagnostic.code}", _BOLD + tint)
    bar = paint("|", _BLUE)
    caret_line = f"{margin}{bar} {indent}{paint(f'{carets} {_clean(diagnostic.label)}', tint)}"
    lines = [
        f"{head}{kind}: {paint(_clean(diagnostic.title), _BOLD)}",
        f"{margin}{bar}",
        f"{paint(number, _BLUE)} {bar} {before}{marked}{after}".rstrip(),
        caret_line.rstrip(),
        *(f"{margin}{paint('=', _BLUE)} hint: {_clean(hint)}" for hint in diagnostic.hints),
        f"{margin}{paint('=', _BLUE)} more: krlc explain {diagnostic.code}",
    ]
    return "\n".join(lines) + "\n"


def _window(line: str, column: int, span: Span) -> tuple[str, str, str]:
    """Cut a line into what stands before, under and after the carets, shortened if it is long."""
    length = min(span.end - span.start, len(line) - column)
    first, last = 0, len(line)
    if last > SNIPPET_COLUMNS_MAX:
        first = max(0, min(column - SNIPPET_COLUMNS_MAX // 3, last - SNIPPET_COLUMNS_MAX))
        last = min(last, first + SNIPPET_COLUMNS_MAX)
    end = min(column + max(length, 0), last)
    before, marked, after = line[first:column], line[column:end], line[end:last]
    if first:
        before = "…" + before[1:]
    if last < len(line) and after:
        after = after[:-1] + "…"
    return _clean(before), _clean(marked), _clean(after)


def _clean(text: str) -> str:
    """Replace what a terminal might obey or cannot show."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _columns(character: str) -> int:
    return 2 if east_asian_width(character) in ("W", "F") else 1


def to_json(diagnostic: Diagnostic, source: Source) -> dict[str, Any]:
    """Give one diagnostic as data for tools: the same fields, places 1-based, end exclusive."""
    start, end = source.point(diagnostic.span.start), source.point(diagnostic.span.end)
    return {
        "file": source.url,
        "line": start.line,
        "column": start.column,
        "end_line": end.line,
        "end_column": end.column,
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "title": diagnostic.title,
        "label": diagnostic.label,
        "hints": list(diagnostic.hints),
    }
