"""KRL values: equality, order, membership and arithmetic; and the one place to import values from.

In: values as `kinds.py` describes them. Out: the same.

Invariants: one null; no NaN, no infinity, no −0; nothing here changes a list or dict it was given;
what would grow beyond `value_bytes_max` is refused before it is made.
Not here: named operators (`operators/`), patterns (`patterns.py`).

Source: stdlib reference 1.5 and 3; language reference 7.
"""

from __future__ import annotations

import math
from itertools import repeat

from ext import counted
from runtime.border import encode, from_json, to_json, to_stored
from runtime.errors import Fault
from runtime.kinds import (
    ABSENT,
    ROUNDS_LONG,
    Action,
    ActionFunction,
    KrlMap,
    Value,
    argument_fault,
    check_elements,
    check_text,
    counted_if_long,
    is_function,
    is_index,
    kind,
    not_a_function,
    note_debug,
    number,
    ordered,
    ordered_items,
    paired,
    text,
    too_large,
    truth,
    type_fault,
    units,
)
from runtime.limits import compare_steps_max, value_depth_max, work_large_bytes
from runtime.numbers import from_int, normal
from runtime.patterns import Pattern, compile_pattern
from runtime.utf16 import compare_texts, utf16_key

__all__ = [
    "ABSENT",
    "Action",
    "ActionFunction",
    "KrlMap",
    "Value",
    "add",
    "argument_fault",
    "check_elements",
    "check_text",
    "cmp_text",
    "compare",
    "compare_texts",
    "concat",
    "div",
    "encode",
    "equal",
    "from_json",
    "ge",
    "gt",
    "hash_key",
    "is_function",
    "is_index",
    "kind",
    "le",
    "like",
    "lt",
    "member",
    "mod",
    "mul",
    "neg",
    "normal",
    "not_a_function",
    "note_debug",
    "number",
    "ordered",
    "ordered_items",
    "paired",
    "spaceship",
    "sub",
    "text",
    "to_json",
    "to_stored",
    "too_large",
    "truth",
    "type_fault",
    "unequal",
    "units",
    "utf16_key",
]


# --- Equality and order ---------------------------------------------------------------------------


def equal(a: Value, b: Value) -> bool:
    """Whether two values are `==`: deep, by value, without any conversion between kinds."""
    ta = type(a)
    tb = type(b)
    if ta is tb:
        if ta is list or ta is dict:
            if a is b:
                return True
            return _equal_containers(a, b, [compare_steps_max], value_depth_max)
        return bool(a == b)
    if (ta is int or ta is float) and (tb is int or tb is float):
        return bool(a == b)
    return False


def _equal_containers(a: Value, b: Value, left: list[int], depth: int) -> bool:
    size = len(a)
    if size != len(b):
        return False
    left[0] -= size + 1
    if left[0] < 0 or depth == 0:
        raise _unwalkable()
    others = b
    if type(a) is dict:
        # A key that b lacks pairs with what no value is equal to.
        others = map(b.get, a, repeat(ABSENT))
        a = a.values()
    for x, y in zip(a if size <= ROUNDS_LONG else counted(a), others, strict=True):
        if x is y:
            continue
        tx = type(x)
        if tx is type(y):
            if tx is list or tx is dict:
                if not _equal_containers(x, y, left, depth - 1):
                    return False
            elif x != y:
                return False
        elif tx is bool or type(y) is bool or x != y:
            return False
    return True


def unequal(a: Value, b: Value) -> bool:
    """`a != b`."""
    return not equal(a, b)


def compare(a: Value, b: Value) -> int:
    """`a <=> b`: by number when both have one, else by string conversion."""
    ta = type(a)
    tb = type(b)
    if (ta is int or ta is float) and (tb is int or tb is float):
        return -1 if a < b else int(a > b)
    x = number(a)
    if x is not None:
        y = number(b)
        if y is not None:
            return -1 if x < y else int(x > y)
    return compare_texts(text(a), text(b))


spaceship = compare


def cmp_text(a: Value, b: Value) -> int:
    """`a cmp b`: the order of the string conversions, always."""
    return compare_texts(text(a), text(b))


def lt(a: Value, b: Value) -> bool:
    """`a < b`."""
    ta = type(a)
    tb = type(b)
    if (ta is int or ta is float) and (tb is int or tb is float):
        return bool(a < b)
    return compare(a, b) < 0


def le(a: Value, b: Value) -> bool:
    """`a <= b`."""
    ta = type(a)
    tb = type(b)
    if (ta is int or ta is float) and (tb is int or tb is float):
        return bool(a <= b)
    return compare(a, b) <= 0


def gt(a: Value, b: Value) -> bool:
    """`a > b`."""
    ta = type(a)
    tb = type(b)
    if (ta is int or ta is float) and (tb is int or tb is float):
        return bool(a > b)
    return compare(a, b) > 0


def ge(a: Value, b: Value) -> bool:
    """`a >= b`."""
    ta = type(a)
    tb = type(b)
    if (ta is int or ta is float) and (tb is int or tb is float):
        return bool(a >= b)
    return compare(a, b) >= 0


def member(a: Value, b: Value) -> bool:
    """`a >< b`: an element of an array, a key of a map, or a path into one.

    A string that is no key is followed as a path split at its dots, as the reference does.
    """
    t = type(a)
    if t is list:
        if type(b) is str or b is None:
            return b in a
        return any(equal(item, b) for item in counted_if_long(a, len(a)))
    if t is not dict:
        return False
    if type(b) is list:
        return bool(b) and _has_path(a, [text(step) for step in b])
    key = text(b)
    return key in a or ("." in key and _has_path(a, key.split(".")))


def _has_path(v: Value, steps: list[str]) -> bool:
    for step in steps:
        if type(v) is dict and step in v:
            v = v[step]
        elif type(v) is list and is_index(step) and int(step) < len(v):
            v = v[int(step)]
        else:
            return False
    return True


def like(val: Value, regex: Value) -> bool:
    """`val like regex`: whether the pattern is found in the string conversion of val.

    Raises: R2017 when regex is no pattern and its string conversion is none either.
    """
    if type(regex) is Pattern:
        return regex.test(text(val))
    return compile_pattern(text(regex), "").test(text(val))


def hash_key(v: Value) -> object:
    """A hashable object that is equal for two values exactly when the values are `==` in KRL.

    Raises: R4004 for values that share parts so often that they cannot be walked.
    Cost:   O(size); scalars but booleans are their own key.
    """
    t = type(v)
    if t is str or t is int or t is float or v is None:
        return v
    if t is list or t is dict:
        return _container_key(v, [compare_steps_max], value_depth_max)
    if t is bool:
        return (bool, v)
    return v


def _container_key(v: Value, left: list[int], depth: int) -> object:
    t = type(v)
    if t is bool:
        return (bool, v)
    if t is not list and t is not dict:
        return v
    left[0] -= len(v) + 1
    if left[0] < 0 or depth == 0:
        raise _unwalkable()
    if t is list:
        items = counted_if_long(v, len(v))
        return (list, tuple([_container_key(item, left, depth - 1) for item in items]))
    return (dict, frozenset([(k, _container_key(item, left, depth - 1)) for k, item in v.items()]))


def _unwalkable() -> Fault:
    return Fault(
        "R4004",
        f"a value is nested deeper than {value_depth_max}"
        f" or holds more than {compare_steps_max} elements",
    )


# --- Arithmetic -----------------------------------------------------------------------------------


def add(a: Value, b: Value, *more: Value) -> Value:
    """`a + b`: the sum of two numbers, else both string conversions joined; `a + b + c` likewise.

    Raises: R4004 when the string would be too large.
    """
    if more:
        return _add_all((a, b, *more))
    ta = type(a)
    tb = type(b)
    if ta is int and tb is int:
        total = a + b
        # ±2^53 in figures: a constant of the code is quicker than a name.
        return total if -9007199254740992 <= total <= 9007199254740992 else float(total)
    if (ta is int or ta is float) and (tb is int or tb is float):
        return normal(a + b)
    x = a if ta is str else text(a)
    y = b if tb is str else text(b)
    if len(x) + len(y) > work_large_bytes:
        check_text("the joined string", len(x) + len(y))
    joined: str = x + y
    return joined if joined.isascii() else paired(joined)


def _add_all(parts: tuple[Value, ...]) -> Value:
    """The parts added from the left; from the first string on they are joined at once."""
    total = parts[0]
    for i in range(1, len(parts)):
        part = parts[i]
        t = type(part)
        if type(total) not in _NUMBERS or (t is not int and t is not float):
            return concat(total, *parts[i:])
        total = add(total, part)
    return total


_NUMBERS = (int, float)


def concat(*parts: Value) -> str:
    """The string conversions of the parts, joined: a chevron.

    Raises: R4004 when the string would be too large.
    """
    texts = [part if type(part) is str else text(part) for part in parts]
    if sum(map(len, texts)) > work_large_bytes:
        check_text("the string", sum(map(len, texts)))
    joined = "".join(texts)
    return joined if joined.isascii() else paired(joined)


def sub(a: Value, b: Value) -> int | float | None:
    """`a - b`.

    Raises: R2001 when a side has no number conversion.
    """
    if type(a) is int and type(b) is int:
        total = a - b
        return total if -9007199254740992 <= total <= 9007199254740992 else float(total)
    x = number(a)
    y = number(b)
    if x is None or y is None:
        raise type_fault(f"{text(b)} cannot be subtracted from {text(a)}")
    return _exact(x - y)


def mul(a: Value, b: Value) -> int | float | None:
    """`a * b`.

    Raises: R2001 when a side has no number conversion.
    """
    if type(a) is int and type(b) is int:
        total = a * b
        return total if -9007199254740992 <= total <= 9007199254740992 else from_int(total)
    x = number(a)
    y = number(b)
    if x is None or y is None:
        raise type_fault(f"{text(a)} cannot be multiplied by {text(b)}")
    return _exact(x * y)


def div(a: Value, b: Value) -> int | float | None:
    """`a / b`; a divisor that converts to 0 gives 0.

    Raises: R2001 when a side has no number conversion.
    """
    x = number(a)
    y = number(b)
    if x is None or y is None:
        raise type_fault(f"{text(a)} cannot be divided by {text(b)}")
    if y == 0:
        note_debug(f"[DIVISION BY ZERO] {text(a)} / 0")
        return 0
    try:
        return normal(x / y)
    except OverflowError:
        return None


def mod(a: Value, b: Value) -> int | float | None:
    """`a % b`: the remainder with the sign of a; a divisor that converts to 0 gives 0.

    Raises: R2001 when a side has no number conversion.
    """
    x = number(a)
    y = number(b)
    if x is None or y is None:
        raise type_fault(f"Cannot calculate {text(a)} modulo {text(b)}")
    return normal(math.fmod(x, y)) if y else 0


def neg(a: Value) -> int | float | None:
    """`-a`.

    Raises: R2001 when a has no number conversion.
    """
    x = number(a)
    if x is None:
        raise type_fault(f"Cannot negate {text(a)}")
    return -x


def _exact(total: int | float) -> int | float | None:
    return from_int(total) if type(total) is int else normal(total)
