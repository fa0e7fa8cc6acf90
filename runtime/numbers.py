"""KRL numbers: IEEE doubles in meaning, Python `int` while integral and exact.

In: Python numbers and texts. Out: normal numbers, their text, and numbers read from text.
Invariants: a normal number is an `int` with |x| ≤ 2^53 or a `float` that is finite and not such an
integer; NaN and the infinities are null; there is no −0 (it prints and compares as 0 anyway).

Source: stdlib reference 1.3 (text), 1.4 (reading), oddities Q2 and Q42.
"""

import re
from math import isfinite

from ecma.charsets import WHITE_SPACE as WHITE_SPACE

INTEGER_MAX = 1 << 53
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")
_HEX = re.compile(r"0[xX][0-9a-fA-F]+\Z")
_BASES = {"0x": (16, re.compile(r"[0-9a-fA-F]+\Z")), "0b": (2, re.compile(r"[01]+\Z"))}
_BASES["0o"] = (8, re.compile(r"[0-7]+\Z"))
# Digits beyond these cannot change a double, and reading them would take quadratic time.
_DIGITS_MAX = 800


def normal(x: float) -> int | float | None:
    """The KRL number with the value of a Python number; null for NaN and the infinities."""
    if x.is_integer():
        if -INTEGER_MAX <= x <= INTEGER_MAX:
            return int(x)
        return x
    return x if isfinite(x) else None


def from_int(n: int) -> int | float | None:
    """The KRL number nearest to an integer of any size; null where that is an infinity."""
    if -INTEGER_MAX <= n <= INTEGER_MAX:
        return n
    try:
        return float(n)
    except OverflowError:
        return None


def number_text(x: int | float) -> str:
    """The text of a number as ECMAScript writes it: shortest digits that read back the same."""
    if type(x) is int:
        return str(x)
    short = repr(x)
    mantissa, _, exponent_text = short.partition("e")
    if not exponent_text:
        # Python and ECMAScript agree here: 1e-4 ≤ |x| < 1e16.
        return short[:-2] if short.endswith(".0") else short
    sign = "-" if mantissa[0] == "-" else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits = whole + fraction
    # The decimal point stands after this many digits.
    point = len(whole) + int(exponent_text)
    if len(digits) <= point <= 21:
        return sign + digits + "0" * (point - len(digits))
    if -6 < point <= 0:
        return sign + "0." + "0" * -point + digits
    exponent = point - 1
    shown = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
    return f"{sign}{shown}e{'+' if exponent >= 0 else '-'}{abs(exponent)}"


def is_hex(s: str) -> bool:
    """Whether a string is of kind Hex: `0x` and one or more hexadecimal digits, nothing else."""
    return s[:2] in ("0x", "0X") and _HEX.match(s) is not None


def parse_number(s: str) -> int | float | None:
    """Read a string as a number the way arithmetic does; None when it is none.

    Cost: O(length); a string that begins with a letter is refused at its first character.
    """
    if len(s) < 16 and s.isdigit() and s.isascii():
        return int(s)
    s = s.strip(WHITE_SPACE)
    if not s:
        return 0
    if s[0] > "9":
        return None
    base = _BASES.get(s[:2].lower())
    if base is not None:
        digits = s[2:].lstrip("0") or s[2:3]
        if base[1].match(s, 2) is None or len(digits) > 1100:
            # More digits than a double's exponent has room for: not finite, so no number.
            return None
        return from_int(int(digits, base[0]))
    if _DECIMAL.match(s) is None:
        return None
    if len(s) > _DIGITS_MAX:
        s = _shortened(s)
    return normal(float(s))


def _shortened(s: str) -> str:
    """The same decimal with surplus digits folded into the exponent, so reading stays linear."""
    mantissa, _, exponent = s.lower().partition("e")
    sign = "-" if mantissa[0] == "-" else ""
    whole, _, fraction = mantissa.lstrip("+-").partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(digits) - len(fraction)
    kept = digits[:_DIGITS_MAX]
    # A last 1 keeps "above the half way" apart from "half way" when only zeros were kept before it.
    if digits[_DIGITS_MAX:].strip("0"):
        kept += "1"
    shift = point - len(kept)
    power = _bounded_exponent(exponent) + shift
    return f"{sign}{kept or '0'}e{power}"


def _bounded_exponent(exponent: str) -> int:
    """An exponent's value; beyond ±10^12 every mantissa of allowed length overflows or vanishes."""
    if not exponent:
        return 0
    sign = -1 if exponent[0] == "-" else 1
    digits = exponent.lstrip("+-").lstrip("0")
    return sign * (int(digits) if len(digits) < 13 else 10**12) if digits else 0
