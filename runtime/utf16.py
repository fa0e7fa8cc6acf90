"""Strings as the UTF-16 units that KRL counts and orders by.

In and out: Python strings. A KRL string holds code points, and never a high surrogate followed by a
low one; its `units` hold one character for each UTF-16 unit. Up to U+FFFF both are the same string.
"""

import re

from ecma.charsets import units as units

_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def paired(s: str) -> str:
    """The string with surrogates that stand together joined to one character: `units` undone."""
    if s.isascii() or _PAIR.search(s) is None:
        return s
    return s.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def compare_texts(a: str, b: str) -> int:
    """-1, 0 or 1: the order of two strings by UTF-16 code unit."""
    if a == b:
        return 0
    if a.isascii() or b.isascii():
        return -1 if a < b else 1
    # Code points and UTF-16 units order differently only above U+FFFF; big-endian bytes decide.
    return -1 if utf16_key(a) < utf16_key(b) else 1


def utf16_key(s: str) -> bytes:
    """Bytes that order as the string's UTF-16 units do."""
    return s.encode("utf-16-be", "surrogatepass")
