"""Checks and copies of what crosses a border, pure twin of `border.pyx`.

In: names and values as a transport or a rule gives them. Out: whether they are as they should be,
or copies. Invariants: what is answered yes to, or copied, needs nothing more; whatever is not
simple is left to the slower functions of `runtime`, which know what is wrong with it.
"""

from __future__ import annotations

from typing import Any

# Units: characters, and 16 for each entry. Whoever goes over less than this need not count it as
# work, and it has a place in any message.
COST_MAX = 16_000
DEPTH_MAX = 16
_EXACT = 1 << 53


def are_names(first: object, second: object, third: object) -> bool:
    """Whether all are texts that say something, without white space around."""
    return _is_name(first) and _is_name(second) and _is_name(third)


def _is_name(value: object) -> bool:
    return type(value) is str and value != "" and not value[0].isspace() and not value[-1].isspace()


def is_plain(value: object) -> bool:
    """Whether a value is JSON as it stands, small, and nested a few levels only.

    Numbers must be finite.
    """
    return _cost(value, DEPTH_MAX) <= COST_MAX


def _cost(value: Any, depth: int) -> int:
    """What going over a value costs; more than all that is allowed for what is not plain."""
    t = type(value)
    if t is str:
        return len(value)
    if t is int or value is None or t is bool:
        return 0
    if t is float:
        return 0 if value - value == 0.0 else COST_MAX + 1
    cost = COST_MAX + 1
    if depth and (t is dict or t is list):
        cost = 16 * len(value)
        for item in value if t is list else value.values():
            if cost > COST_MAX:
                break
            cost += _cost(item, depth - 1)
        if t is dict and cost <= COST_MAX:
            for key in value:
                cost += len(key) if type(key) is str else COST_MAX + 1
    return cost


def own_plain(value: Any) -> dict[str, Any] | None:
    """A copy of a map with containers of its own, in KRL's values; None if it is not simple."""
    if type(value) is not dict or not is_plain(value):
        return None
    try:
        found: dict[str, Any] = _own(value)
    except ValueError:
        return None
    return found


def _own(value: Any) -> Any:
    """The value with containers of its own. Raises: ValueError for a number that KRL changes."""
    t = type(value)
    if t is dict:
        return {key: _own(item) for key, item in value.items()}
    if t is list:
        return [_own(item) for item in value]
    if (t is int and not -_EXACT <= value <= _EXACT) or (t is float and value.is_integer()):
        raise ValueError(value)
    return value


def cut(data: bytes, bytes_max: int) -> tuple[list[bytes], int, int]:
    """The contents of the whole frames in some bytes, where the rest begins, and its length.

    A frame is 4 bytes of length, big-endian, and so many bytes. The length is that of the next
    frame: one that is not whole, or, if it is 0 or more than `bytes_max`, not allowed; -1 when that
    is not known yet.
    """
    frames: list[bytes] = []
    at = 0
    end = len(data)
    while end - at >= 4:
        size = int.from_bytes(data[at : at + 4], "big")
        stop = at + 4 + size
        if not 0 < size <= bytes_max or stop > end:
            return frames, at, size
        frames.append(data[at + 4 : stop])
        at = stop
    return frames, at, -1
