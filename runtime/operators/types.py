"""Operators on values of any kind: as, isnull, typeof, sprintf, defaultsTo.

Source: stdlib reference 4 and oddities Q1, Q9, Q10.
"""

from __future__ import annotations

import re

from runtime.kinds import (
    ABSENT,
    Value,
    check_text,
    kind,
    note_debug,
    number,
    text,
    truth,
    type_fault,
)
from runtime.patterns import Pattern, compile_pattern


def as_(val: Value = None, type: Value = ABSENT) -> Value:
    """The value converted to the kind of that name; the value itself where it is of that kind.

    Raises: R2001 for a name that is no target; R2017 for a text that is no pattern.
    """
    if type is ABSENT:
        return val
    own = kind(val)
    if type == own and type.__class__ is str:
        return val
    convert = _CONVERSIONS.get(type) if type.__class__ is str else None
    if convert is None:
        shown = "undefined" if type is None else text(type)
        if isinstance(type, Pattern):
            shown = f"/{type.source}/{type.flags}"
        raise type_fault(f'Cannot use the .as("{shown}") operator with {text(val)} (type {own})')
    return convert(val)


def _as_boolean(val: Value) -> bool:
    if val.__class__ is str:
        return val not in ("", "false")
    return truth(val)


def _as_regexp(val: Value) -> Pattern:
    shown = text(val)
    if val.__class__ is not str and shown[:1] == "[":
        # Only what is no string can look like this without meaning a class of characters.
        shown = f"\\{shown[:-1]}\\]"
    return compile_pattern(shown)


def _as_hex(val: Value) -> str | None:
    t = val.__class__
    if t is str or t is bool:
        return text(val)
    if t is int or t is float:
        return hex_text(val)
    return None


_CONVERSIONS = {
    "String": text,
    "Number": number,
    "Boolean": _as_boolean,
    "RegExp": _as_regexp,
    "Hex": _as_hex,
}


def hex_text(x: int | float) -> str:
    """A number in base 16, lower case, without prefix; a double's fraction is exact there."""
    sign = "-" if x < 0 else ""
    whole = int(abs(x))
    fraction = abs(x) - whole
    digits = ""
    while fraction:
        fraction *= 16
        digits += f"{int(fraction):x}"
        fraction -= int(fraction)
    return f"{sign}{whole:x}" + (f".{digits}" if digits else "")


def isnull(val: Value = None) -> bool:
    """Whether the value is null."""
    return val is None


def typeof(val: Value = None) -> str:
    """The name of the value's kind."""
    return kind(val)


_DIRECTIVES = {
    "d": re.compile(r"\\\\|\\%d|%d"),
    "s": re.compile(r"\\\\|\\%s|%s"),
}


def sprintf(val: Value = None, template: Value = None) -> str:
    """The template with `%d` (a number) or `%s` (a string) replaced by the value.

    A backslash protects a directive of the value's kind, two make one.

    Raises: R4004 when the text would be too large.
    """
    if template is None:
        return ""
    shape = text(template)
    t = val.__class__
    if t is int or t is float:
        letter = "d"
    elif t is str:
        letter = "s"
    else:
        return shape
    shown = text(val)
    check_text("the formatted text", len(shape) + shape.count("%" + letter) * len(shown))
    by_mark = {"\\\\": "\\", "\\%" + letter: "%" + letter, "%" + letter: shown}
    return _DIRECTIVES[letter].sub(lambda found: by_mark[found[0]], shape)


def defaults_to(val: Value = None, default_val: Value = None, message: Value = None) -> Value:
    """The value, or the default when it is null; then a message is noted at level debug."""
    if val is not None:
        return val
    if message is not None:
        note_debug(f"[DEFAULTSTO] {text(message)}")
    return default_val
