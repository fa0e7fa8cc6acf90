"""The tree as text: what `krlc dump nodes` prints.

In: a node. Out: an s-expression, one node a line, with its place as `start:end` (offsets).
Invariants: every field shows, fields without nodes on the node's own line; the same tree gives the
same text; printing does not recurse.
"""

from __future__ import annotations

import json
from typing import Any

from krlc.nodes import Node
from krlc.source import Span


def dump_nodes(node: Node) -> str:
    """Print a tree.

    Shapes: ends with a newline.
    """
    lines: list[str] = []
    pending: list[tuple[int, str, Any]] = [(0, "", node)]
    while pending:
        depth, name, value = pending.pop()
        if value is None:  # closes what was opened at this depth
            lines[-1] += ")"
            continue
        head = "  " * depth + (f"{name}: " if name else "")
        if isinstance(value, tuple):
            lines.append(f"{head}(")
            inside = [(depth + 1, "", item) for item in value]
        else:
            lines.append(f"{head}({_head(value)}")
            inside = [(depth + 1, field, part) for field, part in _parts(value)]
        pending.append((depth, "", None))
        pending.extend(reversed(inside))
    return "\n".join(lines) + "\n"


def _is_part(value: Any) -> bool:
    return isinstance(value, Node) or (isinstance(value, tuple) and bool(value))


def _parts(node: Node) -> list[tuple[str, Any]]:
    named = [(field, getattr(node, field)) for field in node.__struct_fields__]
    return [(field, value) for field, value in named if _is_part(value)]


def _head(node: Node) -> str:
    """The kind of a node, its place, and its fields that hold no nodes."""
    words = [type(node).__name__, f"{node.span.start}:{node.span.end}"]
    for field in node.__struct_fields__:
        value = getattr(node, field)
        if field == "span" or _is_part(value):
            continue
        if isinstance(value, Span):
            words.append(f"{field}={value.start}:{value.end}")
        elif value == ():
            words.append(f"{field}=()")
        else:
            words.append(f"{field}={json.dumps(value, ensure_ascii=False)}")
    return " ".join(words)
