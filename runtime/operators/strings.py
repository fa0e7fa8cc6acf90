"""Operators on strings; most take any receiver by its string conversion.

Positions and lengths of slices are in UTF-16 units; `length` counts symbols as people see them.

Source: stdlib reference 6 and its vectors; oddities Q2, Q5, Q11, Q12, Q13, Q19.
"""

from __future__ import annotations

import json
import re
from math import trunc
from typing import NoReturn

from runtime import border, patterns
from runtime.errors import Fault
from runtime.kinds import ABSENT, Value, check_elements, check_text, counted_if_long, number, text
from runtime.limits import value_depth_max
from runtime.numbers import WHITE_SPACE
from runtime.patterns import Pattern, compile_pattern
from runtime.utf16 import paired, units


def capitalize(val: Value = None) -> str:
    """The string with its first unit in upper case."""
    s = text(val)
    # A unit of a pair has no upper case of its own.
    return s[:1].upper() + s[1:] if s[:1] <= "\uffff" else s


def lc(val: Value = None) -> str:
    """The string in lower case, in no language in particular.

    Raises: R4004 as `uc`.
    """
    lower = text(val).lower()
    check_text("the string in lower case", len(lower))
    return lower


def uc(val: Value = None) -> str:
    """The string in upper case, in no language in particular.

    Raises: R4004 when it grew too large; it grows at most threefold, so it is made first.
    """
    upper = text(val).upper()
    check_text("the string in upper case", len(upper))
    return upper


def trim(val: Value = None) -> str:
    """The string without white space at both ends."""
    return text(val).strip(WHITE_SPACE)


def trim_leading(val: Value = None) -> str:
    """The string without white space at its start."""
    return text(val).lstrip(WHITE_SPACE)


def trim_trailing(val: Value = None) -> str:
    """The string without white space at its end."""
    return text(val).rstrip(WHITE_SPACE)


def starts_with(val: Value = None, target: Value = None) -> bool:
    """Whether the string begins with the target."""
    return text(val).startswith(text(target))


def ends_with(val: Value = None, target: Value = None) -> bool:
    """Whether the string ends with the target."""
    return text(val).endswith(text(target))


def contains(val: Value = None, target: Value = None) -> bool:
    """Whether the target is somewhere in the string."""
    return text(target) in text(val)


def ord_(val: Value = None) -> int | None:
    """The number of the first UTF-16 unit; null for the empty string."""
    first = text(val)[:1]
    return ord(units(first)[0]) if first else None


# --- Lengths and slices ---------------------------------------------------------------------------

# What the reference counts as one symbol: a character with the marks, joiners and skin tones after
# it; two regional letters make a flag.
_MARK = "[\u0300-\u036f\ufe20-\ufe2f\u20d0-\u20ff\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]"
_JOINED = "\u200d(?:[\U0001f1e6-\U0001f1ff]{2}|[^\ud800-\udfff])"
_SYMBOL = re.compile(f"(?:[\U0001f1e6-\U0001f1ff]{{2}}|.){_MARK}*(?:{_JOINED}{_MARK}*)*", re.DOTALL)
_HAS_SYMBOLS = re.compile(f"{_MARK}|\u200d|[\U0001f1e6-\U0001f1ff]")


def length(val: Value = None) -> int:
    """The symbols of a string, the elements of an array, the keys of a map; else 0."""
    t = type(val)
    if t is list or t is dict:
        return len(val)
    if t is not str:
        return 0
    if val.isascii() or _HAS_SYMBOLS.search(val) is None:
        return len(val)
    return sum(1 for _ in _SYMBOL.finditer(val))


def substr(val: Value = None, start: Value = None, len: Value = None) -> str:
    """The part from start on: len units, to the end without len, or short of the end by -len.

    Both ends are then brought into the string, and swapped when they are in the wrong order.
    """
    s = text(val)
    begin = number(start)
    if begin is None:
        return s
    in_units = units(s)
    size = in_units.__len__()
    if begin > size:
        return ""
    count = number(len) or 0
    if count > 0:
        end = begin + count
    elif count < 0:
        end = size + count
    else:
        end = size
    low = trunc(min(max(begin, 0), size))
    high = trunc(min(max(end, 0), size))
    return paired(in_units[min(low, high) : max(low, high)])


# --- Patterns -------------------------------------------------------------------------------------


def _pattern(regex: Value) -> Pattern:
    return regex if type(regex) is Pattern else compile_pattern(text(regex))


def extract(val: Value = None, regex: Value = None) -> list[Value]:
    """The captures of the first match, or every match with flag g.

    Raises: R2017 for a text that is no pattern; as `Pattern.find_all`.
    """
    if regex is None:
        return []
    pattern = _pattern(regex)
    if pattern.is_global:
        return list(pattern.find_all(text(val)))
    return list(pattern.search(text(val)) or ())


def match(val: Value = None, regex: Value = None) -> bool:
    """Whether a pattern, or a string read as one, is found; false for anything else.

    Raises: R2017 for a text that is no pattern; as `Pattern.test`.
    """
    t = type(regex)
    if t is Pattern:
        return bool(regex.test(text(val)))
    return t is str and compile_pattern(regex).test(text(val))


def split(val: Value = None, split_on: Value = None) -> list[Value]:
    """The pieces between separators; captures of a pattern are pieces too.

    Raises: R4004 for too many pieces; as `Pattern.split`.
    """
    s = text(val)
    if type(split_on) is Pattern:
        return list(split_on.split(s))
    separator = text(split_on)
    if not separator:
        in_units = units(s)
        check_elements("the pieces", len(in_units))
        return list(in_units)
    check_elements("the pieces", s.count(separator) + 1)
    return list(s.split(separator))


def replace(val: Value = None, regex: Value = ABSENT, replacement: Value = None) -> Value:
    """The string with a match replaced: the first, or all with flag g; a string is taken literally.

    A function is called with the match, its groups, its position and the whole string; then a
    string is read as a pattern, too.

    Raises: R2017 for a text that is no pattern; R4004 when the result would be too large.
    """
    if regex is ABSENT:
        return val
    s = text(val)
    if callable(replacement):
        return _pattern(regex).replace_with(s, lambda *found: text(replacement(*found)))
    template = "" if replacement is None else text(replacement)
    if type(regex) is Pattern:
        return regex.replace(s, template)
    return patterns.replace_literal(s, text(regex), template)


# --- JSON -----------------------------------------------------------------------------------------


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _long_integer(digits: str) -> float:
    return int(digits) if len(digits) < 16 else float(digits)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
_DECODER_OF_LONG = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_long_integer)
# More digits than these Python refuses to read as an integer.
_LONG_DIGITS = re.compile(r"[0-9]{4000}")


def decode(val: Value = None) -> Value:
    """The value of a JSON text; a string that is none, and what is no string, as it is.

    Raises: R4004 for JSON with too many elements or nested too deep.
    """
    if type(val) is not str:
        return val
    check_elements("the decoded value", val.count(",") + val.count("[") + val.count("{"))
    decoder = _DECODER_OF_LONG if _LONG_DIGITS.search(val) else _DECODER
    try:
        value = decoder.decode(val)
    except ValueError:
        return val
    except RecursionError:
        raise Fault("R4004", f"a JSON text is nested deeper than {value_depth_max}") from None
    if type(value) is str:
        return paired(value)
    return border.from_json(value)


_LEADING_INTEGER = re.compile(rf"[{WHITE_SPACE}]*([+-]?[0-9]{{1,9}})")


def encode(val: Value = None, indent: Value = None) -> str:
    """The JSON text of a value, on lines of their own with an indent of 1 to 10 spaces.

    Raises: R4004 when it would be too large or the value is nested too deep.
    """
    step = 0
    if indent is not None:
        found = _LEADING_INTEGER.match(text(indent))
        step = min(max(int(found[1]), 0), 10) if found else 0
    return border.encode(val, step)


def join(val: Value = None, str: Value = None) -> Value:
    """The string conversions of the elements with a separator, "," by default, between them.

    Raises: R4004 when the result would be too large.
    """
    if type(val) is not list:
        return text(val)
    separator = "," if str is None else text(str)
    texts = [text(item) for item in counted_if_long(val, len(val))]
    check_text("the joined text", sum(map(len, texts)) + len(separator) * len(texts))
    joined = separator.join(texts)
    return joined if joined.isascii() else paired(joined)
