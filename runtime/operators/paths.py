"""Operators that follow a path into arrays and maps.

A path is one key, or an array of keys; each key is taken by its string conversion. What changes
copies the containers along the path and shares the rest: values are never changed in place.

Source: stdlib reference 9; oddities Q19 to Q21.
"""

from __future__ import annotations

from runtime.errors import Fault
from runtime.kinds import ABSENT, KrlMap, Value, check_elements, is_index, ordered, text
from runtime.limits import value_depth_max
from runtime.utf16 import units


def get(obj: Value = None, path: Value = None) -> Value:
    """What is at a path, or null: `obj{path}`."""
    t = type(obj)
    if t is dict:
        tp = type(path)
        if tp is str:
            return obj.get(path)
        if tp is not list:
            return obj.get(text(path))
    elif t is list:
        tp = type(path)
        if tp is int:
            return obj[path] if 0 <= path < len(obj) else None
        if tp is not list:
            return _step(obj, text(path))
    else:
        return None
    if not path:
        return None
    for key in path:
        t = type(key)
        if t is str:
            obj = obj.get(key) if type(obj) is dict else _step(obj, key)
        elif t is int and type(obj) is list:
            obj = obj[key] if 0 <= key < len(obj) else None
        else:
            obj = _step(obj, text(key))
        if obj is None:
            return None
    return obj


def item(obj: Value, index: Value) -> Value:
    """What is at one index or key, never a path of several: `obj[index]`."""
    return get(obj, "[Array]" if type(index) is list else index)


def _step(v: Value, key: str) -> Value:
    t = type(v)
    if t is dict:
        return v.get(key)
    if t is list:
        if is_index(key) and int(key) < len(v):
            return v[int(key)]
    elif t is str and is_index(key):
        in_units = units(v)
        return in_units[int(key)] if int(key) < len(in_units) else None
    return None


def _steps(path: Value) -> list[str]:
    """A path as keys.

    Raises: R4004 when it is longer than values may be deep.
    """
    if type(path) is not list:
        return [text(path)]
    if len(path) > value_depth_max:
        raise Fault("R4004", f"a path has at most {value_depth_max} steps")
    return [text(step) for step in path]


def _with(container: Value, key: str, value: Value) -> Value:
    """A copy of a container with one entry changed.

    An array is filled with nulls as far as an index needs; a key that is no index makes it a map.
    """
    if type(container) is list:
        if is_index(key):
            at = int(key)
            items = container.copy()
            if at < len(items):
                items[at] = value
                return items
            check_elements("the array", at + 1)
            items += [None] * (at - len(items))
            items.append(value)
            return items
        container = _as_map(container)
    elif key not in container:
        check_elements("the map", len(container) + 1)
    return {**container, key: value}


def _as_map(items: list[Value]) -> KrlMap:
    return {str(i): item for i, item in enumerate(items)}


def set_(obj: Value = None, path: Value = None, val: Value = None) -> Value:
    """A copy with a value at a path; what is missing on the way becomes an array before an index.

    Raises: R4004 when it would be too large.
    """
    if type(obj) is not list and type(obj) is not dict:
        obj = {}
    steps = _steps(path)
    return _set(obj, steps, 0, val) if steps else obj


def _set(container: Value, steps: list[str], at: int, val: Value) -> Value:
    key = steps[at]
    if at + 1 < len(steps):
        inner = _step(container, key)
        if type(inner) is not list and type(inner) is not dict:
            inner = [] if is_index(steps[at + 1]) else {}
        val = _set(inner, steps, at + 1, val)
    return _with(container, key, val)


def put(val: Value = None, path: Value = ABSENT, to_set: Value = ABSENT) -> Value:
    """A copy with a value at a path, or merged with a map or array when no path is given.

    What is missing on the way becomes a map; an array before a key beyond its end becomes one, too.

    Raises: R4004 when it would be too large.
    """
    t = type(val)
    if (t is not list and t is not dict) or path is ABSENT:
        return val
    if to_set is ABSENT:
        return _merged(val, path)
    steps = _steps(path)
    return _put(val, steps, 0, to_set) if steps else _merged(val, to_set)


def _merged(val: Value, other: Value) -> Value:
    t = type(other)
    if t is not type(val):
        return other
    check_elements("the merged collection", len(val) + len(other))
    if t is dict:
        return {**val, **other}
    return [*other, *val[len(other) :]]


def _put(container: Value, steps: list[str], at: int, val: Value) -> Value:
    key = steps[at]
    if at + 1 < len(steps):
        inner = _step(container, key)
        following = steps[at + 1]
        if type(inner) is list:
            if not is_index(following) or int(following) > len(inner):
                inner = _as_map(inner)
        elif type(inner) is not dict:
            inner = {}
        val = _put(inner, steps, at + 1, val)
    return _with(container, key, val)


def delete(val: Value = None, path: Value = None) -> Value:
    """A copy without what is at a path; an element of an array leaves a null."""
    if type(val) is not list and type(val) is not dict:
        return val
    steps = _steps(path)
    return _delete(val, steps, 0) if steps else val


def _delete(container: Value, steps: list[str], at: int) -> Value:
    key = steps[at]
    t = type(container)
    is_there = key in container if t is dict else is_index(key) and int(key) < len(container)
    if not is_there:
        return container
    if at + 1 < len(steps):
        inner = _step(container, key)
        if type(inner) is not list and type(inner) is not dict:
            return container
        return _with(container, key, _delete(inner, steps, at + 1))
    if t is list:
        return _with(container, key, None)
    return {own: item for own, item in container.items() if own != key}


def keys(val: Value = None, path: Value = None) -> list[Value]:
    """The keys of the collection, or of what is at a path in it; indexes are strings."""
    found = _collection(val, path)
    if type(found) is dict:
        return list(ordered(found))
    return [str(i) for i in range(len(found))]


def values(val: Value = None, path: Value = None) -> list[Value]:
    """The values of the collection, or of what is at a path in it."""
    found = _collection(val, path)
    return list(ordered(found).values()) if type(found) is dict else list(found)


def _collection(val: Value, path: Value) -> list[Value] | KrlMap:
    t = type(val)
    if t is not list and t is not dict:
        return []
    found = val if path in (None, "", 0, False) and type(path) is not list else get(val, path)
    t = type(found)
    if t is str:
        in_units = units(found)
        check_elements("the units of the string", len(in_units))
        return list(in_units)
    return found if t is list or t is dict else []
