"""The canonical form of KRL: nodes to text (`krlc fmt`).

In: a tree, with its source where comments and blank lines shall stay. Out: text.
Invariants: parsing the output gives equal nodes (spans aside) and the same comments in the same
order; formatting twice changes nothing more; `format_source` checks the first of these itself and
refuses rather than spoil a file.

The form: two blanks of indentation, lines of at most 100 columns where something can break.
- One blank line between `meta`, `global` and each rule; inside blocks the author's blank lines
  stay, one at a time.
- No `;`, except where the next line would be read as going on: `a = m;` before `[i]`.
- `#{"text"}` in a chevron is text.
- `domain name` for events, `shares` and `provides` in full, no parentheses that change nothing, no
  trailing comma, `0.5` for `.5`.
- What does not fit breaks from the outside in: lists one item a line, operators and `|` at the
  start of their line, method chains of two and more calls before each dot. A map, array or function
  as the last argument opens on the line of its call.
- A function that is one short expression stays on one line; other bodies take a line each.
- A comment on the line of something stays behind it, one inside an expression moves behind the
  line's end, and every other one stands on a line of its own before what follows.
"""

from __future__ import annotations

from typing import Any

from krlc import nodes as n
from krlc.comments import Margin, read_with_comments
from krlc.layout import render
from krlc.node_layout import NodeLayout, merged_parts
from krlc.recursion import deep_recursion
from krlc.source import Source


class PrinterError(Exception):
    """The printed text would not mean the same: a fault of ours."""


def format_tree(node: n.Node) -> str:
    """Print a tree in canonical form, without the comments of its source.

    Shapes: ends with a newline.
    """
    with deep_recursion():
        return render(NodeLayout(Margin(None, [])).top(node)) + "\n"


def format_source(source: Source) -> str:
    """Bring a source into canonical form.

    Raises: ValueError when the source has syntax errors; PrinterError, a fault of ours, when the
    outcome would not mean the same.
    """
    root, comments = read_with_comments(source)
    if root is None:
        raise ValueError("a source with syntax errors has no canonical form")
    with deep_recursion():
        text = render(NodeLayout(Margin(source, comments)).top(root)) + "\n"
    again, comments_again = read_with_comments(Source(text, source.url))
    if again is None or not is_same(root, again):
        raise PrinterError("the formatted text would not mean the same")
    if [c.text for c in comments] != [c.text for c in comments_again]:
        raise PrinterError("the formatted text would lose a comment")
    return text


def is_same(one: n.Node, other: n.Node) -> bool:
    """Say whether two trees are equal but for the places they were read from."""
    pending: list[tuple[Any, Any]] = [(one, other)]
    while pending:
        a, b = pending.pop()
        if type(a) is not type(b):
            return False
        if isinstance(a, n.Chevron):
            pending.append((merged_parts(a), merged_parts(b)))
        elif isinstance(a, n.Node):
            pending.extend((getattr(a, f), getattr(b, f)) for f in _meaning(type(a)))
        elif isinstance(a, tuple):
            if len(a) != len(b):
                return False
            pending.extend(zip(a, b, strict=True))
        elif a != b:
            return False
    return True


def _meaning(kind: type[n.Node]) -> tuple[str, ...]:
    """The fields of a node that carry meaning: all but the places, and spellings we unify."""
    fields = (f for f in kind.__struct_fields__ if f != "span" and not f.endswith("_span"))
    if kind is n.MetaNames or kind is n.MetaProvidesKeys:
        return tuple(f for f in fields if f != "key")
    return tuple(fields)
