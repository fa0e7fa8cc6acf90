"""A parsed pattern as text for other engines: Python's `re`, and RE2.

In: a parsed pattern without anything that has its own meaning in ECMAScript (cost.py).
Out: the text of a pattern that means the same there. Sets are written out unit by unit range, so no
flag of the other engine matters. For RE2, which reads UTF-8 and so no surrogates, the 2,048
surrogate units stand as private characters from U+10F000 on, in the pattern and in `re2_text`.
"""

from __future__ import annotations

from collections.abc import Callable

from ecma import charsets
from ecma.charsets import Ranges
from ecma.parser import Chars, Choice, Edge, Group, Look, Node, Repeat, Sequence

_MOVED = 0x10F000 - 0xD800
_TO_RE2 = {unit: unit + _MOVED for unit in range(0xD800, 0xE000)}
_FROM_RE2 = {moved: unit for unit, moved in _TO_RE2.items()}


def re_form(node: Node) -> str:
    """The pattern for Python's `re`, to be compiled with re.ASCII."""
    # `\B` of `re` does not match in the empty text; that of ECMAScript does.
    return _form(node, _re_set, {"^": r"\A", "$": r"\Z", "b": r"\b", "B": r"(?!\b)"})


def re2_form(node: Node) -> str:
    """The pattern for RE2, where `has_re2_form` says there is one."""
    return _form(node, _re2_set, {"^": r"\A", "$": r"\z", "b": r"\b"})


def has_re2_form(node: Node) -> bool:
    """Whether RE2 can run a pattern: no look-ahead, and no `\\B`, which it finds inside letters."""
    if isinstance(node, Edge):
        return node.kind != "B"
    if isinstance(node, Look):
        return False
    if isinstance(node, Group | Repeat):
        return has_re2_form(node.body)
    if isinstance(node, Sequence):
        return all(has_re2_form(item) for item in node.items)
    if isinstance(node, Choice):
        return all(has_re2_form(option) for option in node.options)
    return True


def re2_text(units: str) -> str:
    """A text in units as RE2 can read it: surrogates moved to where the pattern expects them."""
    return units if units.isascii() else units.translate(_TO_RE2)


def _form(node: Node, write_set: Callable[[Ranges], str], edges: dict[str, str]) -> str:
    if isinstance(node, Chars):
        return write_set(node.ranges)
    if isinstance(node, Edge):
        return edges[node.kind]
    if isinstance(node, Group):
        return f"({_form(node.body, write_set, edges)})"
    if isinstance(node, Look):
        return f"(?{'!' if node.is_negative else '='}{_form(node.body, write_set, edges)})"
    if isinstance(node, Sequence):
        return "".join(
            f"(?:{_form(item, write_set, edges)})"
            if isinstance(item, Choice)
            else _form(item, write_set, edges)
            for item in node.items
        )
    if isinstance(node, Choice):
        return "|".join(_form(option, write_set, edges) for option in node.options)
    if isinstance(node, Repeat):
        body = _form(node.body, write_set, edges)
        if not isinstance(node.body, Chars | Group):
            body = f"(?:{body})"
        return body + _counts(node) + ("?" if node.is_lazy else "")
    raise TypeError(f"{type(node).__name__} has no form outside ECMAScript")


def _counts(node: Repeat) -> str:
    if (node.low, node.high) == (0, None):
        return "*"
    if (node.low, node.high) == (1, None):
        return "+"
    if (node.low, node.high) == (0, 1):
        return "?"
    return f"{{{node.low},{'' if node.high is None else node.high}}}"


def _re_set(ranges: Ranges) -> str:
    if not ranges:
        return "(?!)"
    return _set(ranges, lambda unit: f"\\u{unit:04x}")


def _re2_set(ranges: Ranges) -> str:
    if not ranges:
        return r"[^\x00-\x{10FFFF}]"
    return _set(ranges, lambda unit: f"\\x{{{unit:x}}}", moves=True)


def _set(ranges: Ranges, escape: Callable[[int], str], *, moves: bool = False) -> str:
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        unit = ranges[0][0]
        plain = chr(unit).isalnum() and unit < 128
        return chr(unit) if plain else escape(_moved(unit) if moves else unit)
    mark = ""
    if ranges[-1][1] == charsets.UNIT_MAX:
        # The complement is the shorter text, and the one that engines have fast paths for.
        mark, ranges = "^", charsets.complement(ranges)
        if not ranges:
            return r"(?s:.)"
    parts = []
    for low, high in _split(ranges) if moves else ranges:
        parts.append(escape(low) if low == high else f"{escape(low)}-{escape(high)}")
    return f"[{mark}{''.join(parts)}]"


def _moved(unit: int) -> int:
    return unit + _MOVED if 0xD800 <= unit <= 0xDFFF else unit


def _split(ranges: Ranges) -> list[tuple[int, int]]:
    """The ranges with the surrogates among them moved."""
    parts: list[tuple[int, int]] = []
    for low, high in ranges:
        for start, end in ((0, 0xD7FF), (0xD800, 0xDFFF), (0xE000, charsets.UNIT_MAX)):
            first, last = max(low, start), min(high, end)
            if first <= last:
                parts.append((_moved(first), _moved(last)))
    return parts
