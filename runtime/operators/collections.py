"""Operators that go over arrays and maps.

A callback gets (value, key or index, whole collection); what is given as a callback but cannot be
called faults at the first element, so an empty collection never complains.

Source: stdlib reference 7; oddities Q8, Q14 to Q18.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import trunc

from runtime import border
from runtime.kinds import (
    ABSENT,
    Action,
    KrlMap,
    Value,
    argument_fault,
    charge_elements,
    check_elements,
    counted_if_long,
    counted_rounds,
    not_a_function,
    number,
    ordered,
    text,
    truth,
    type_fault,
)
from runtime.values import equal


def _callable(iter: Value) -> Callable[..., Value]:
    if not callable(iter):
        raise not_a_function(iter)
    call: Callable[..., Value] = iter
    return call


def _array(val: Value) -> list[Value]:
    if type(val) is list:
        return val
    raise type_fault("only works on Arrays")


def _results(val: Value, iter: Value) -> Iterator[Value]:
    """What the callback gives for each entry, one at a time."""
    t = type(val)
    if t is not list and t is not dict:
        raise type_fault("only works on collections")
    if val:
        call = _callable(iter)
        entries = enumerate(val) if t is list else ordered(val).items()
        for key, item in counted_rounds(entries, len(val)):
            yield call(item, key, val)


def map_(val: Value = None, iter: Value = None) -> Value:
    """The collection of results, with the same keys.

    Raises: R2001 for no collection; R2003 for no function.
    """
    t = type(val)
    if t is list:
        if iter is None or not val:
            return val
        call = _callable(iter)
        return [call(item, i, val) for i, item in counted_rounds(enumerate(val), len(val))]
    if t is not dict:
        raise type_fault("only works on collections")
    if iter is None or not val:
        return val
    call = _callable(iter)
    entries = counted_rounds(ordered(val).items(), len(val))
    return {key: call(item, key, val) for key, item in entries}


def filter_(val: Value = None, iter: Value = None) -> Value:
    """The entries whose result is true; without a callback, those that are true themselves.

    Raises: R2001 for no collection; R2003 for no function.
    """
    t = type(val)
    if t is list:
        if iter is None:
            return [item for item in counted_if_long(val, len(val)) if truth(item)]
        if not val:
            return val
        call = _callable(iter)
        rounds = counted_rounds(enumerate(val), len(val))
        return [item for i, item in rounds if truth(call(item, i, val))]
    if t is not dict:
        raise type_fault("only works on collections")
    entries = ordered(val).items()
    if iter is None:
        long = counted_if_long(entries, len(val))
        return {key: item for key, item in long if truth(item)}
    if not val:
        return val
    call = _callable(iter)
    rounds = counted_rounds(entries, len(val))
    return {key: item for key, item in rounds if truth(call(item, key, val))}


def group_text(v: Value) -> str:
    """The map key that a value groups under: its text, or the JSON text of an array or map."""
    t = type(v)
    return border.encode(v) if t is list or t is dict else text(v)


def collect(val: Value = None, iter: Value = None) -> KrlMap:
    """The values as arrays in a map, by the key that the callback gives each of them.

    Raises: R2001 for no collection; R2003 for no function.
    """
    t = type(val)
    if t is not list and t is not dict:
        raise type_fault("only works on collections")
    values = val if t is list else list(ordered(val).values())
    keys: Iterable[Value] = values if iter is None else _results(val, iter)
    groups: KrlMap = {}
    if iter is None:
        keys = counted_if_long(values, len(values))
    for key, item in zip(keys, values, strict=True):
        groups.setdefault(group_text(key), []).append(item)
    return groups


def all_(val: Value = None, iter: Value = None) -> bool:
    """Whether every result is true; stops at the first that is not.

    Raises: R2001 for no collection; R2003 for no function.
    """
    return all(truth(result) for result in _results(val, iter))


def notall(val: Value = None, iter: Value = None) -> bool:
    """Whether some result is not true.

    Raises: as `all`.
    """
    return not all_(val, iter)


def any_(val: Value = None, iter: Value = None) -> bool:
    """Whether some result is true; stops at the first that is.

    Raises: as `all`.
    """
    return any(truth(result) for result in _results(val, iter))


def none(val: Value = None, iter: Value = None) -> bool:
    """Whether no result is true.

    Raises: as `all`.
    """
    return not any_(val, iter)


def reduce(val: Value = None, iter: Value = None, dflt: Value = ABSENT) -> Value:
    """The results of `iter(so far, value, index, array)` folded from the left.

    Without a default an array of one gives its element, an empty one 0.

    Raises: R2001 for no array; R2018 or R2003 for no function.
    """
    items = _array(val)
    if not items:
        return 0 if dflt is ABSENT else dflt
    if not callable(iter):
        if dflt is not ABSENT and len(items) == 1:
            raise not_a_function(iter)
        raise argument_fault(f"The .reduce() operator cannot use {text(iter)} as a function")
    begin = 0
    so_far = dflt
    if dflt is ABSENT:
        begin = 1
        so_far = items[0]
    for i in counted_rounds(range(begin, len(items)), len(items)):
        so_far = iter(so_far, items[i], i, items)
    return so_far


def pairwise(val: Value = None, iter: Value = None) -> list[Value]:
    """The results of calling with the first members of all lists, then the second ones, and so on.

    Raises: R2001 unless it is an array of two or more, and a function.
    """
    if type(val) is not list:
        raise type_fault(f"The .pairwise() operator cannot be called on {text(val)}")
    if len(val) < 2:
        raise type_fault("The .pairwise() operator needs a longer array")
    if not callable(iter):
        raise type_fault(f"The .pairwise() operator cannot use {text(iter)} as a function")
    lists = [item if type(item) is list else [item] for item in val]
    longest = max(map(len, lists))
    check_elements("the pairs", longest)
    return [
        iter(*[members[i] if i < len(members) else None for members in lists])
        for i in counted_rounds(range(longest), longest)
    ]


def append(val: Value = None, *values: Value) -> list[Value]:
    """The receiver and all arguments as one array; each that is an array by its elements.

    Raises: R4004 when it would be too large.
    """
    parts = (val, *values)
    check_elements("the array", sum([len(p) if type(p) is list else 1 for p in parts]))
    joined: list[Value] = []
    for part in parts:
        if type(part) is list:
            joined += part
        else:
            joined.append(part)
    return joined


def head(val: Value = None) -> Value:
    """The first element, or null; what is no array itself."""
    if type(val) is not list:
        return val
    return val[0] if val else None


def tail(val: Value = None) -> list[Value]:
    """All elements but the first; none of what is no array."""
    if type(val) is not list:
        return []
    charge_elements(len(val))
    return val[1:]


def index(val: Value = None, elm: Value = None) -> int:
    """The position of the first element that is `==`, or -1.

    Raises: R2001 for no array.
    """
    items = _array(val)
    for i, item in enumerate(counted_if_long(items, len(items))):
        if equal(item, elm):
            return i
    return -1


def is_empty(val: Value = None) -> bool:
    """Whether it has nothing in it; true for numbers, booleans, null and patterns."""
    t = type(val)
    if t is str or t is list or t is dict:
        return not val
    return not (callable(val) or isinstance(val, Action))


def reverse(val: Value = None) -> list[Value]:
    """The elements from last to first.

    Raises: R2001 for no array.
    """
    charge_elements(len(_array(val)))
    reversed_: list[Value] = val[::-1]
    return reversed_


def slice_(val: Value = None, start: Value = ABSENT, end: Value = ABSENT) -> list[Value]:
    """Elements start to end, both in; with one index, elements 0 to there; [] when out of range.

    Raises: R2001 for no array, or no index.
    """
    items = _array(val)
    charge_elements(len(items))
    if not items or start is ABSENT:
        return items
    first = number(start)
    if first is None:
        raise type_fault(f"The .slice() operator cannot use {text(start)} as an index")
    if end is ABSENT:
        return [] if first > len(items) else items[: trunc(first + 1)]
    last = number(end)
    if last is None:
        raise type_fault(f"The .slice() operator cannot use {text(end)} as the other index")
    if first > last:
        first, last = last, first
    if first < 0 or last >= len(items):
        return []
    return items[trunc(first) : trunc(last + 1)]


def splice(
    val: Value = None, start: Value = None, n_elements: Value = None, value: Value = ABSENT
) -> list[Value]:
    """The array with n elements from start on replaced by a value, or by the elements of an array.

    A count that is negative or too large goes to the end.

    Raises: R2001 for no array, or no number; R4004 when it would be too large.
    """
    items = _array(val)
    if not items:
        return items
    # Two texts lack a space, as in the reference: programs may look for them.
    first = number(start)
    if first is None:
        raise type_fault(f"The .splice() operator cannot use {text(start)}as an index")
    begin = trunc(min(max(first, 0), len(items) - 1))
    count = number(n_elements)
    if count is None:
        raise type_fault(
            f"The .splice() operator cannot use {text(n_elements)}as a number of elements"
        )
    end = len(items) if count < 0 or begin + count > len(items) else begin + trunc(count)
    new = [] if value is ABSENT else value if type(value) is list else [value]
    check_elements("the array", len(items) + len(new))
    return [*items[:begin], *new, *items[end:]]
