"""Sets of UTF-16 units as sorted ranges, and ECMAScript's folding of case over them.

In: ranges `(low, high)`, both ends in. Out: sorted tuples of ranges that neither touch nor overlap.
Invariant: a set is within 0…0xFFFF, the units that a pattern without the `u` flag sees.

Source: ECMAScript, Canonicalize without the u flag: upper case where that is one unit, and never
from beyond ASCII into ASCII.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable
from functools import cache, lru_cache

Ranges = tuple[tuple[int, int], ...]

UNIT_MAX = 0xFFFF
EMPTY: Ranges = ()
# The white space that `\s` means: ECMAScript's, which is not Python's (no U+0085, no U+001C…1F).
WHITE_SPACE = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
FULL: Ranges = ((0, UNIT_MAX),)

_ASTRAL = re.compile("[\U00010000-\U0010ffff]")


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


def of_ranges(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The set of all units in the ranges."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            if high > merged[-1][1]:
                merged[-1] = (merged[-1][0], high)
        else:
            merged.append((low, high))
    return tuple(merged)


def of_unit(unit: int) -> Ranges:
    """The set of one unit."""
    return ((unit, unit),)


def of_text(units: str) -> Ranges:
    """The set of the units of a text."""
    return of_ranges((ord(unit), ord(unit)) for unit in units)


def union(a: Ranges, b: Ranges) -> Ranges:
    """All units of either set."""
    if not a or a == b:
        return b
    return of_ranges(a + b) if b else a


def complement(a: Ranges) -> Ranges:
    """All units that are not in the set."""
    gaps: list[tuple[int, int]] = []
    start = 0
    for low, high in a:
        if low > start:
            gaps.append((start, low - 1))
        start = high + 1
    if start <= UNIT_MAX:
        gaps.append((start, UNIT_MAX))
    return tuple(gaps)


def is_disjoint(a: Ranges, b: Ranges) -> bool:
    """Whether no unit is in both sets."""
    i = j = 0
    while i < len(a) and j < len(b):
        if a[i][1] < b[j][0]:
            i += 1
        elif b[j][1] < a[i][0]:
            j += 1
        else:
            return False
    return True


def has(a: Ranges, unit: int) -> bool:
    """Whether a unit is in the set."""
    at = bisect_right(a, (unit, UNIT_MAX)) - 1
    return at >= 0 and a[at][1] >= unit


@lru_cache(maxsize=64)
def folded(a: Ranges) -> Ranges:
    """The set with every unit that differs from one of its units only in case.

    Cost: constant for ASCII and for sets asked for lately; else one pass over the some 2,800 units
    that have another case.
    """
    if not a:
        return a
    if a[-1][1] < 128:
        extra = [*a]
        for low, high in a:
            for first, last, shift in ((65, 90, 32), (97, 122, -32)):
                start, end = max(low, first), min(high, last)
                if start <= end:
                    extra.append((start + shift, end + shift))
        return of_ranges(extra)
    if a == FULL:
        return a
    others: list[tuple[int, int]] = []
    for unit, peers in _peers().items():
        if has(a, unit):
            others.extend((peer, peer) for peer in peers)
    return of_ranges((*a, *others))


def _canonical(unit: int) -> int:
    upper = chr(unit).upper()
    if len(upper) != 1 or ord(upper) > UNIT_MAX or (unit >= 128 > ord(upper)):
        return unit
    return ord(upper)


@cache
def _peers() -> dict[int, tuple[int, ...]]:
    """For each unit that shares its canonical form with others: all of them."""
    groups: dict[int, list[int]] = {}
    for unit in range(UNIT_MAX + 1):
        if not 0xD800 <= unit <= 0xDFFF:
            groups.setdefault(_canonical(unit), []).append(unit)
    return {unit: tuple(group) for group in groups.values() if len(group) > 1 for unit in group}
