"""The JSON border: what happens to a value when it becomes JSON, and when JSON becomes a value.

In: KRL values, or what a JSON decoder made. Out: the same object where nothing needs to change, or
JSON text. Invariants: nothing given is changed; what is nested too deep or too large is refused
before it is copied, also where parts are shared so often that the whole would explode.

Source: stdlib reference 1.8, 6.1 and oddities Q2, Q3, Q6, Q11; one null (design, section 4).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from ext import counted, is_plain
from runtime.errors import Fault
from runtime.kinds import (
    ROUNDS_LONG,
    Action,
    Value,
    charge_bytes,
    counted_if_long,
    ordered,
    text,
    type_fault,
)
from runtime.limits import value_bytes_max, value_depth_max
from runtime.numbers import INTEGER_MAX, from_int, normal, number_text
from runtime.patterns import Pattern


def from_json(value: Value) -> Value:
    """The KRL value of decoded JSON; the same object when nothing needs to change.

    Raises: R4004 when it is nested too deep; R2001 for what JSON cannot hold.
    """
    t = type(value)
    if t is str or value is None or t is bool:
        return value
    return _from_json(value, value_depth_max)


def _from_json(value: Value, depth: int) -> Value:
    t = type(value)
    if t is str or value is None or t is bool:
        return value
    if t is int:
        return value if -INTEGER_MAX <= value <= INTEGER_MAX else from_int(value)
    if t is float:
        return normal(value)
    if depth == 0:
        raise Fault("R4004", f"a value is nested deeper than {value_depth_max}")
    if t is not dict and t is not list:
        raise type_fault(f"a value of the host type {t.__name__} is not JSON")
    changed: Any = None
    entries: Iterable[Any] = value.items() if t is dict else enumerate(value)
    if len(value) > ROUNDS_LONG:
        entries = counted(entries)
    for key, item in entries:
        ti = type(item)
        if ti is str or item is None or ti is bool:
            continue
        if ti is int and -9007199254740992 <= item <= 9007199254740992:
            continue
        new = _from_json(item, depth - 1)
        if new is not item:
            if changed is None:
                changed = value.copy()
            changed[key] = new
    return value if changed is None else changed


def to_json(value: Value) -> Value:
    """The value as it crosses a JSON border; the same object when nothing needs to change.

    A pattern becomes {}; a function or action disappears from a map and is null elsewhere; a map
    entry that is null stays.

    Raises: R4004 when it is too large or nested too deep.
    """
    t = type(value)
    if t is str or t is int or value is None or t is bool or t is float:
        return value
    # Most values that cross are small and plain: nothing to change, nothing to count.
    if is_plain(value):
        return value
    return measured_json(value)[0]


_GONE = object()


def _to_json(value: Value, left: list[int], depth: int) -> Value:
    t = type(value)
    if t is not dict and t is not list:
        return {} if t is Pattern else None
    left[0] -= 8 * len(value)
    if left[0] < 0 or depth == 0:
        raise _too_much()
    changed: Any = None
    entries: Iterable[Any] = value.items() if t is dict else enumerate(value)
    if len(value) > ROUNDS_LONG:
        entries = counted(entries)
    for key, item in entries:
        ti = type(item)
        if ti is str:
            left[0] -= len(item)
            continue
        if ti is int or item is None or ti is bool or ti is float:
            continue
        if ti is dict or ti is list:
            new = _to_json(item, left, depth - 1)
            if new is item:
                continue
        else:
            new = {} if ti is Pattern else _GONE
        if changed is None:
            changed = value.copy()
        if new is not _GONE:
            changed[key] = new
        elif t is dict:
            del changed[key]
        else:
            changed[key] = None
    if left[0] < 0:
        raise _too_much()
    return value if changed is None else changed


def to_stored(value: Value) -> Value:
    """The value as an entity variable keeps it.

    Raises: R2001 for a function or action; R4004 as `to_json`.
    """
    if callable(value) or isinstance(value, Action):
        raise type_fault(f"an entity variable cannot hold {text(value)}")
    return to_json(value)


def measured(value: Value) -> tuple[Value, int]:
    """A value as an entity variable keeps it, and its estimated bytes.

    Units:  characters of a string; 8 for each element of a container, and what is in them.
    Raises: as `to_stored`.
    Cost:   the walk that `to_stored` does.
    """
    t = type(value)
    if t is not dict and t is not list:
        return to_stored(value), len(value) if t is str else 0
    return measured_json(value)


def measured_json(value: Value) -> tuple[Value, int]:
    """An array or map as `to_json` makes it, and its estimated bytes."""
    left = [value_bytes_max]
    plain = _to_json(value, left, value_depth_max)
    size = value_bytes_max - left[0]
    charge_bytes(size)
    return plain, size


def _too_much() -> Fault:
    return Fault(
        "R4004",
        f"a value is nested deeper than {value_depth_max} or larger than {value_bytes_max} bytes",
    )


_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)
_SURROGATE = re.compile("[\ud800-\udfff]")


def encode(value: Value, indent: int = 0) -> str:
    """The JSON text of a value, formatted as ECMAScript does; what has no JSON is its text.

    Raises: R4004 when the text would be too large or the value is nested too deep.
    Cost:   one walk, then the C encoder, unless a float needs digits that Python writes otherwise.
    """
    left = [value_bytes_max]
    is_odd: list[bool] = []
    plain = _encodable(value, left, is_odd, value_depth_max, indent)
    if left[0] < 0:
        raise _too_much()
    charge_bytes(value_bytes_max - left[0])
    if is_odd:
        written = "".join(_pieces(plain, " " * indent, "\n"))
    elif indent:
        written = json.JSONEncoder(
            ensure_ascii=False, separators=(",", ": "), indent=indent, check_circular=False
        ).encode(plain)
    else:
        written = _COMPACT.encode(plain)
    if written.isascii():
        return written
    return _SURROGATE.sub(lambda unit: f"\\u{ord(unit[0]):04x}", written)


def _encodable(v: Value, left: list[int], is_odd: list[bool], depth: int, indent: int) -> Value:
    """The value with all that JSON lacks as text; `left` counts down the characters allowed."""
    t = type(v)
    if t is str:
        left[0] -= len(v) + 3
        return v
    left[0] -= 8
    if t is int or v is None or t is bool:
        return v
    if t is float:
        if not 1e-4 <= abs(v) < 1e16:
            is_odd.append(True)
        return v
    if t is not dict and t is not list:
        return text(v)
    left[0] -= len(v) * (1 + indent * (value_depth_max + 1 - depth))
    if left[0] < 0 or depth == 0:
        raise _too_much()
    if t is list:
        items = v if len(v) <= ROUNDS_LONG else counted(v)
        return [_encodable(item, left, is_odd, depth - 1, indent) for item in items]
    plain = {}
    for key, item in counted_if_long(ordered(v).items(), len(v)):
        left[0] -= len(key) + 3
        plain[key] = _encodable(item, left, is_odd, depth - 1, indent)
    return plain


def _pieces(v: Value, step: str, line: str) -> Iterator[str]:
    """JSON text in pieces, with numbers as KRL writes them; `line` starts an indented line."""
    t = type(v)
    if t is float:
        yield number_text(v)
        return
    if not v or (t is not dict and t is not list):
        yield _COMPACT.encode(v)
        return
    inner = line + step
    is_map = t is dict
    yield "{" if is_map else "["
    between = ""
    for item in v.items() if is_map else v:
        yield between
        if step:
            yield inner
        if is_map:
            yield _COMPACT.encode(item[0]) + (": " if step else ":")
            item = item[1]
        yield from _pieces(item, step, inner)
        between = ","
    if step:
        yield line
    yield "}" if is_map else "]"
