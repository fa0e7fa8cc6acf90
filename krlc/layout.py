"""A layout engine: documents that know where they may break, laid out within a width.

In: documents made of text, `Group`, `Nest` and line breaks. Out: text.
Invariants: a group is laid out on one line if it fits there and holds no `HARD` break, else every
break directly in it is taken; rendering does not recurse; text may hold line ends of its own (a
chevron does), which are never indented.

Source: Wadler, "A prettier printer", in the strict form that a stack of (indent, mode, document)
needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Union

WIDTH = 100


class Break:
    """A place for a line end. Laid out flat it is `flat`; a hard one cannot be flat."""

    __slots__ = ("flat", "is_hard", "lines")

    def __init__(self, flat: str, is_hard: bool = False, lines: int = 1) -> None:
        self.flat = flat
        self.is_hard = is_hard
        self.lines = lines


LINE = Break(" ")
SOFT = Break("")
HARD = Break("", True)
BLANK = Break("", True, 2)


class Join:
    """Documents one after another."""

    __slots__ = ("is_hard", "parts")

    def __init__(self, parts: Iterable[Doc]) -> None:
        self.parts = tuple(parts)
        self.is_hard = any(is_hard(part) for part in self.parts)


class Nest:
    """A document whose line ends are followed by `indent` more blanks."""

    __slots__ = ("doc", "indent", "is_hard")

    def __init__(self, doc: Doc, indent: int = 2) -> None:
        self.doc = doc
        self.indent = indent
        self.is_hard = is_hard(doc)


class Group:
    """A document that stays on one line if it fits."""

    __slots__ = ("doc", "is_hard")

    def __init__(self, *parts: Doc) -> None:
        self.doc = join(*parts)
        self.is_hard = is_hard(self.doc)


Doc = Union[str, Break, Join, Nest, Group]  # noqa: UP007 - the classes name it before they exist


def is_hard(doc: Doc) -> bool:
    """Say whether a document holds a break that must be taken."""
    return not isinstance(doc, str) and doc.is_hard


def join(*parts: Doc) -> Doc:
    """Put documents one after another."""
    return parts[0] if len(parts) == 1 else Join(parts)


def separated(parts: Iterable[Doc], separator: Doc) -> Doc:
    """Put documents one after another with a separator between."""
    joined: list[Doc] = []
    for part in parts:
        if joined:
            joined.append(separator)
        joined.append(part)
    return Join(joined)


def first_text(doc: Doc) -> str:
    """Give the first piece of text in a document that is not empty, or ""."""
    pending = [doc]
    while pending:
        top = pending.pop()
        if isinstance(top, str):
            if top:
                return top
        elif isinstance(top, Join):
            pending.extend(reversed(top.parts))
        elif isinstance(top, Nest | Group):
            pending.append(top.doc)
        elif top.flat.strip():
            return top.flat
    return ""


def flat_width(doc: Doc) -> int:
    """Count the columns a document takes on one line."""
    width, pending = 0, [doc]
    while pending:
        top = pending.pop()
        if isinstance(top, str):
            width += len(top)
        elif isinstance(top, Join):
            pending.extend(top.parts)
        elif isinstance(top, Nest | Group):
            pending.append(top.doc)
        else:
            width += len(top.flat)
    return width


_Item = tuple[int, bool, Doc]  # indent, laid out flat, document


def _fits(room: int, first: _Item, rest: list[_Item]) -> bool:
    """Say whether what comes up to the next line end has room.

    Cost: O(room): it stops where the line is full.
    """
    pending, below = [first], len(rest)
    while room >= 0:
        if not pending:
            if below == 0:
                return True
            below -= 1
            pending.append(rest[below])
        indent, is_flat, doc = pending.pop()
        if isinstance(doc, str):
            head, newline, _ = doc.partition("\n")
            room -= len(head)
            if newline:
                return room >= 0
        elif isinstance(doc, Join):
            pending.extend((indent, is_flat, part) for part in reversed(doc.parts))
        elif isinstance(doc, Nest):
            pending.append((indent, is_flat, doc.doc))
        elif isinstance(doc, Group):
            pending.append((indent, is_flat and not doc.is_hard, doc.doc))
        elif is_flat and not doc.is_hard:
            room -= len(doc.flat)
        else:
            return True
    return False


def render(doc: Doc, width: int = WIDTH) -> str:
    """Lay a document out. Lines have no blanks at their ends, but for those inside text.

    Cost: O(size of the document × width) at worst.
    """
    out: list[str] = []
    column = 0
    pending: list[_Item] = [(0, False, doc)]
    while pending:
        indent, is_flat, top = pending.pop()
        if isinstance(top, str):
            out.append(top)
            newline = top.rfind("\n")
            column = column + len(top) if newline < 0 else len(top) - newline - 1
        elif isinstance(top, Join):
            pending.extend((indent, is_flat, part) for part in reversed(top.parts))
        elif isinstance(top, Nest):
            pending.append((indent + top.indent, is_flat, top.doc))
        elif isinstance(top, Group):
            flat = (indent, True, top.doc)
            may_be_flat = not top.is_hard and (is_flat or _fits(width - column, flat, pending))
            pending.append(flat if may_be_flat else (indent, False, top.doc))
        elif is_flat and not top.is_hard:
            out.append(top.flat)
            column += len(top.flat)
        else:
            out.append("\n" * top.lines + " " * indent)
            column = indent
    return "".join(out)
