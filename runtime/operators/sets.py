"""Operators that treat arrays as sets. What is no array counts as an array of one.

Elements are the same when they are `==`; for `once` and `duplicates`, when their texts are (arrays
and maps still by `==`). All take linear time.

Source: stdlib reference 8; oddity Q14.
"""

from __future__ import annotations

from collections.abc import Iterable

from runtime.kinds import ABSENT, Value, check_elements, counted_if_long, is_index, text
from runtime.values import hash_key


def _wrapped(v: Value) -> list[Value]:
    return v if type(v) is list else [v]


def _members(v: Value) -> Iterable[Value]:
    """The elements, for one walk."""
    return counted_if_long(v, len(v)) if type(v) is list else [v]


def intersection(a: Value = None, b: Value = ABSENT) -> list[Value]:
    """The distinct elements of a that are in b."""
    if b is ABSENT:
        return []
    others = {hash_key(item) for item in _members(b)}
    return [item for key, item in _distinct(_wrapped(a)).items() if key in others]


def union(a: Value = None, b: Value = ABSENT) -> Value:
    """The distinct elements of both; a itself without b.

    Raises: R4004 when there would be too many.
    """
    if b is ABSENT:
        return a
    left, right = _wrapped(a), _wrapped(b)
    check_elements("the union", len(left) + len(right))
    return list(_distinct([*left, *right]).values())


def difference(a: Value = None, b: Value = ABSENT) -> Value:
    """The elements of a that are not in b, repeated ones kept; a itself without b."""
    if b is ABSENT:
        return a
    others = {hash_key(item) for item in _members(b)}
    return [item for item in _members(a) if hash_key(item) not in others]


def has(val: Value = None, other: Value = None) -> bool:
    """Whether every element of the other is in the receiver."""
    own = {hash_key(item) for item in _members(val)}
    return all(hash_key(item) in own for item in _members(other))


def unique(val: Value = None) -> Value:
    """The first of each class of equal elements."""
    return list(_distinct(val).values()) if type(val) is list else val


def once(val: Value = None) -> Value:
    """The elements that occur exactly once."""
    if type(val) is not list:
        return val
    return [group[0] for group in _groups(val) if len(group) == 1]


def duplicates(val: Value = None) -> list[Value]:
    """One of each group of elements that occur more than once."""
    if type(val) is not list:
        return []
    return [group[0] for group in _groups(val) if len(group) > 1]


def _distinct(items: list[Value]) -> dict[object, Value]:
    first: dict[object, Value] = {}
    for item in counted_if_long(items, len(items)):
        first.setdefault(hash_key(item), item)
    return first


def _groups(items: list[Value]) -> list[list[Value]]:
    """Elements with the same text together; texts that are indexes first, ascending."""
    groups: dict[object, list[Value]] = {}
    for item in counted_if_long(items, len(items)):
        t = type(item)
        key = hash_key(item) if t is list or t is dict else text(item)
        groups.setdefault(key, []).append(item)
    indexes = [key for key in groups if type(key) is str and is_index(key)]
    if not indexes:
        return list(groups.values())
    first = sorted(indexes, key=lambda key: int(str(key)))
    taken = set(first)
    return [
        *(groups[key] for key in first),
        *(group for key, group in groups.items() if key not in taken),
    ]
