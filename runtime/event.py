"""Events, queries and directives: what enters a pico, checked at the border.

In: whatever a transport decoded. Out: `Event` and `Query` values that the core can trust: trimmed
non-blank names, attributes that are a JSON map of the engine's own (nobody else holds it), within
their bound. Invariant: a malformed input raises here and goes no further.
Not here: which channel allows what (channel.py).
"""

from __future__ import annotations

from typing import Any

from ext import Event as Event
from ext import own_plain
from runtime.border import from_json
from runtime.errors import Fault, missing_part, no_map
from runtime.limits import attrs_bytes_max, value_depth_max

Attrs = dict[str, Any]


class Query:
    """One query: ruleset, function name, arguments."""

    __slots__ = ("args", "eci", "name", "qid", "rid")

    def __init__(self, eci: str, rid: str, name: str, args: Attrs, qid: str) -> None:
        self.eci = eci
        self.rid = rid
        self.name = name
        self.args = args
        self.qid = qid


def part(value: Any, what: str) -> str:
    """A name trimmed; `what` is a path such as `event.domain`.

    Raises: R1007 when it is missing, blank or no string.
    """
    if type(value) is not str:
        raise missing_part(what)
    text = value.strip()
    if not text:
        raise missing_part(what)
    return text


def own_map(value: Any, what: str) -> Attrs:
    """A map that shares nothing with the caller's, in KRL's values.

    Raises: R1007 when it is no map, R4001 when it is larger than `attrs_bytes_max` or nested
    too deep.
    Cost: one pass.
    """
    if value is None:
        return {}
    plain = own_plain(value)
    return _own_map(value, what) if plain is None else plain


def _own_map(value: Any, what: str) -> Attrs:
    """As `own_map`, for what is large, nested, or not as it should be."""
    if type(value) is not dict:
        raise no_map(what)
    left = attrs_bytes_max
    plain: Attrs = {}
    for key, item in value.items():
        if type(key) is not str:
            raise no_map(what)
        t = type(item)
        left -= len(key) + 8
        if t is str:
            left -= len(item)
            plain[key] = item
        elif t is bool or item is None:
            plain[key] = item
        elif t is int or t is float:
            plain[key] = from_json(item)
        else:
            budget = [left]
            plain[key] = _own(item, budget, value_depth_max, what)
            left = budget[0]
        if left < 0:
            raise _too_large(what)
    return plain


def _own(value: Any, left: list[int], depth: int, what: str) -> Any:
    t = type(value)
    if t is str:
        left[0] -= len(value)
        return value
    if depth == 0:
        raise Fault("R4001", f"{what} is nested deeper than {value_depth_max}")
    if t is dict:
        left[0] -= 8 * len(value)
        if left[0] < 0:
            raise _too_large(what)
        found: Attrs = {}
        for key, item in value.items():
            if type(key) is not str:
                raise no_map(what)
            left[0] -= len(key)
            found[key] = _own(item, left, depth - 1, what)
        return found
    if t is list:
        left[0] -= 8 * len(value)
        if left[0] < 0:
            raise _too_large(what)
        return [_own(item, left, depth - 1, what) for item in value]
    if t is tuple or callable(value):
        raise no_map(what)
    left[0] -= 8
    return from_json(value)


def _too_large(what: str) -> Fault:
    return Fault("R4001", f"{what} is larger than {attrs_bytes_max} bytes")
