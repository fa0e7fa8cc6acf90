"""Strings as the UTF-16 units that KRL counts and orders by.

In and out: Python strings. A KRL string holds code points, and never a high surrogate followed by a
low one; its `units` hold one character for each UTF-16 unit. Up to U+FFFF both are the same string.
"""

import re

_ASTRAL = re.compile("[\U00010000-\U0010ffff]")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def units(s: str) -> str:
    """The string as UTF-16 units, one character each: what positions in KRL count.

    Cost: nothing for ASCII; one scan, and no copy, when all is below U+10000.
    """
    if s.isascii() or _ASTRAL.search(s) is None:
        return s
    return "".join(
        [
            c if c <= "\uffff" else chr(0xD7C0 + (ord(c) >> 10)) + chr(0xDC00 + (ord(c) & 0x3FF))
            for c in s
        ]
    )


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
