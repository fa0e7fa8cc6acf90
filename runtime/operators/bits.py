"""Operators on numbers: chr, range, and the bitwise ones, which work on 32 signed bits.

Source: stdlib reference 5 and oddity Q43 (the same text for and, or, xor).
"""

from __future__ import annotations

from math import ceil, trunc

from runtime.kinds import ABSENT, Value, check_elements, counted_if_long, number, text, type_fault
from runtime.numbers import normal


def chr_(val: Value = None) -> str | None:
    """The string of one UTF-16 unit with this number, modulo 65,536; null without a number."""
    n = number(val)
    return None if n is None else chr(trunc(n) & 0xFFFF)


def range_(val: Value = None, end: Value = ABSENT) -> list[Value]:
    """The numbers from the receiver to the end, both in, by steps of 1 up or down.

    Raises: R4004 when there would be too many.
    """
    if end is ABSENT:
        return []
    first, last = number(val), number(end)
    if first is None or last is None:
        return []
    step = 1 if first <= last else -1
    size = ceil(abs(last - first) + 1)
    check_elements("the range", size)
    if type(first) is int:
        return list(range(first, first + step * size, step))
    numbers: list[Value] = []
    for _ in counted_if_long(range(size), size):
        numbers.append(first)
        first = normal(first + step) or 0
    return numbers


def _bits(n: int | float) -> int:
    """A number's lowest 32 bits, signed."""
    low = trunc(n) & 0xFFFFFFFF
    return low - 0x100000000 if low & 0x80000000 else low


def _both(left: Value, right: Value, what: str) -> tuple[int, int]:
    a, b = number(left), number(right)
    if a is None or b is None:
        raise type_fault(f"{text(left)} cannot be {what} {text(right)}")
    return _bits(a), _bits(b)


def band(left: Value = None, right: Value = None) -> int:
    """Bitwise and.

    Raises: R2001 without two numbers.
    """
    a, b = _both(left, right, "bitwise anded")
    return a & b


def bor(left: Value = None, right: Value = None) -> int:
    """Bitwise or.

    Raises: R2001 without two numbers.
    """
    a, b = _both(left, right, "bitwise anded")
    return a | b


def bxor(left: Value = None, right: Value = None) -> int:
    """Bitwise exclusive or.

    Raises: R2001 without two numbers.
    """
    a, b = _both(left, right, "bitwise anded")
    return a ^ b


def bnot(left: Value = None) -> int:
    """Bitwise complement.

    Raises: R2001 without a number.
    """
    n = number(left)
    if n is None:
        raise type_fault(f"{text(left)} cannot be inverted ")
    return ~_bits(n)


def shift_left(left: Value = None, right: Value = None) -> int:
    """The bits moved up by right modulo 32.

    Raises: R2001 without two numbers.
    """
    a, b = _both(left, right, "shifted by")
    return _bits(a << (b & 31))


def shift_right(left: Value = None, right: Value = None) -> int:
    """The bits moved down by right modulo 32, keeping the sign.

    Raises: R2001 without two numbers.
    """
    a, b = _both(left, right, "shifted by")
    return a >> (b & 31)
