"""Python text with a memory: documents, line breaking, and which KRL line each piece came from.

In: lines made of `Doc` values, each with the KRL line it stands for. Out: text of at most 100
columns where it can be broken, a line table, and marks (generated line, column) -> KRL line from
which `code_object` gives every instruction its KRL line. Not here: what the text means.
"""

from __future__ import annotations

import ast
import types
from typing import Any

import msgspec

WIDTH = 100
STEP = 4


class Doc:
    """A piece of Python text that may break inside brackets.

    `parts` are strings and inner documents. A group has `opening` and `closing` brackets and puts
    one part a line, each followed by `separator`, when it does not fit.
    """

    __slots__ = ("closing", "line", "opening", "parts", "separator", "width")

    def __init__(
        self,
        parts: tuple[str | Doc, ...],
        line: int = 0,
        opening: str = "",
        closing: str = "",
        separator: str = "",
    ) -> None:
        self.parts = parts
        self.line = line
        self.opening = opening
        self.closing = closing
        self.separator = separator
        width = len(opening) + len(closing)
        if len(parts) > 1:
            width += (len(separator) + (1 if opening else 0)) * (len(parts) - 1)
        for part in parts:
            width += len(part) if isinstance(part, str) else part.width
        self.width: int = width


def cat(*parts: str | Doc, line: int = 0) -> Doc:
    """Parts one after the other."""
    return Doc(parts, line)


def group(opening: str, parts: list[str | Doc], closing: str, line: int = 0) -> Doc:
    """Comma-separated parts in brackets; `opening` may carry what stands before, as in `f(`."""
    return Doc(tuple(parts), line, opening, closing, ",")


def words(parts: list[str | Doc], line: int = 0) -> Doc:
    """Parts in parentheses with blanks between, breakable between any two."""
    return Doc(tuple(parts), line, "(", ")", "")


class Line(msgspec.Struct):
    """One logical line: indentation in steps, what it says, its KRL line (0: none)."""

    indent: int
    doc: Doc
    line: int = 0


class Written(msgspec.Struct):
    """What `write` returns: text, line table and marks."""

    text: str
    lines: tuple[tuple[int, int], ...]
    marks: dict[tuple[int, int], int]


class _Page(msgspec.Struct):
    """The text under construction, and the (line, column) where pieces with a KRL line begin."""

    rows: list[str] = msgspec.field(default_factory=list)
    row: str = ""
    marks: dict[tuple[int, int], int] = msgspec.field(default_factory=dict)

    def put(self, doc: str | Doc, indent: int, after: int) -> None:
        """Write a document; `after` columns will follow it on the same row."""
        if isinstance(doc, str):
            self.row += doc
            return
        if doc.line:
            row = self.row
            column = len(row) if row.isascii() else len(row.encode())
            self.marks.setdefault((len(self.rows) + 1, column), doc.line)
        if not doc.opening:
            parts = doc.parts
            for index, part in enumerate(parts):
                if type(part) is str:
                    self.row += part
                    continue
                rest = sum([_least(p) for p in parts[index + 1 :]])
                self.put(part, indent, rest + after)
            return
        self.row += doc.opening
        if not doc.parts or len(self.row) + doc.width - len(doc.opening) + after <= WIDTH:
            for index, part in enumerate(doc.parts):
                if index:
                    self.row += doc.separator + " "
                self.put(part, indent, WIDTH * -9)
        else:
            # One-element tuples need their comma, so every part gets one.
            for part in doc.parts:
                self.turn(indent + 1)
                self.put(part, indent + 1, len(doc.separator))
                self.row += doc.separator
            self.turn(indent)
            if doc.closing == ",)":
                self.row += ")"
                return
        self.row += doc.closing

    def turn(self, indent: int) -> None:
        self.rows.append(self.row.rstrip())
        self.row = " " * (STEP * indent)


def _least(part: str | Doc) -> int:
    """The columns a part takes on its first row at least."""
    if isinstance(part, str):
        return len(part)
    return len(part.opening) if part.opening else part.width


def write(lines: list[Line]) -> Written:
    """Lay the lines out.

    Shapes: `lines` pairs are (generated line, KRL line), 1-based, both ascending in the first.
    """
    page = _Page()
    table: list[tuple[int, int]] = []
    shown = 0
    for line in lines:
        if not line.doc.parts and not line.doc.opening:
            page.rows.append("")
            continue
        first = len(page.rows)
        page.row = " " * (STEP * line.indent)
        if line.line:
            page.marks[(first + 1, len(page.row))] = line.line
        page.put(line.doc, line.indent, 0)
        page.rows.append(page.row)
        if line.line:
            if not table or table[-1][1] != line.line:
                table.append((first + 1, line.line))
            if line.line != shown and not page.rows[first].lstrip().startswith("#"):
                note = f"  # {line.line}"
                if len(page.rows[first]) + len(note) <= WIDTH:
                    page.rows[first] += note
                shown = line.line
    return Written("\n".join(page.rows) + "\n", tuple(table), page.marks)


def code_object(
    text: str, filename: str, marks: dict[tuple[int, int], int], lines: tuple[tuple[int, int], ...]
) -> types.CodeType:
    """Compile module text so that every instruction carries the KRL file and line.

    A node that a mark names gets that KRL line; another one gets the line of what encloses it, or
    of the table row that covers it. Generated lines with no KRL line keep line 1.
    """
    tree = ast.parse(text, filename)
    starts = dict(lines)
    by_row: list[int] = [1]
    current = 1
    for row in range(1, text.count("\n") + 2):
        current = starts.get(row, current)
        by_row.append(current)
    pending: list[tuple[ast.AST, int]] = [(tree, 1)]
    while pending:
        node, here = pending.pop()
        # Attributes and children together; `ast.iter_child_nodes` is far slower.
        fields: dict[str, Any] = node.__dict__
        at = fields.get("lineno")
        if at is not None:
            marked = marks.get((at, fields["col_offset"]))
            if marked is not None:
                here = marked
            elif isinstance(node, ast.stmt):
                here = by_row[at]
            fields["lineno"] = fields["end_lineno"] = here
            fields["col_offset"] = fields["end_col_offset"] = 0
        for value in fields.values():
            if type(value) is list:
                pending += [(item, here) for item in value if isinstance(item, ast.AST)]
            elif isinstance(value, ast.AST) and value.__dict__:
                pending.append((value, here))
    return compile(tree, filename, "exec", dont_inherit=True)
