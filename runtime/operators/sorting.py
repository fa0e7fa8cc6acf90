"""The operator sort: stable, never by locale.

The words order by text or by `<=>`, nulls last; a function decides by its sign, where only a result
above zero puts the right one first, so that a function that gives a Boolean works.

Source: stdlib reference 10; oddity Q3 (b).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cmp_to_key
from typing import Any

from ext import tick
from runtime.kinds import Value, counted_if_long, number, text
from runtime.utf16 import utf16_key
from runtime.values import compare


def sort(val: Value = None, sort_by: Value = None) -> Value:
    """A sorted copy: by text, "reverse", "numeric", "ciremun" (numeric, down) or a function."""
    if type(val) is not list or len(val) < 2:
        return val
    if callable(sort_by):
        return _sort_with(val, sort_by)
    known = [item for item in counted_if_long(val, len(val)) if item is not None]
    word = sort_by if type(sort_by) is str else ""
    descends = word in ("reverse", "ciremun")
    if word in ("numeric", "ciremun"):
        _sort_numbers(known, descends)
    else:
        _sort_texts(known, descends)
    known += [None] * (len(val) - len(known))
    return known


def _sort_texts(items: list[Value], descends: bool) -> None:
    texts = [text(item) for item in counted_if_long(items, len(items))]
    if all(map(str.isascii, texts)):
        items.sort(key=text, reverse=descends)
    else:
        items.sort(key=lambda item: utf16_key(text(item)), reverse=descends)


def _sort_numbers(items: list[Value], descends: bool) -> None:
    key: Any = number
    if any(number(item) is None for item in counted_if_long(items, len(items))):
        # Some have no number: each pair decides for itself, by number or by text.
        key = cmp_to_key(_compare)
    items.sort(key=key, reverse=descends)


def _compare(a: Value, b: Value) -> int:
    tick()
    return compare(a, b)


class _Decided:
    """An element under a function's order. The sort only asks whether a later one goes before."""

    __slots__ = ("decide", "item")

    def __init__(self, item: Value, decide: Callable[..., Value]) -> None:
        self.item = item
        self.decide = decide

    def __lt__(self, earlier: _Decided) -> bool:
        tick()
        result = self.decide(earlier.item, self.item)
        t = type(result)
        if t is int or t is float or t is bool:
            return bool(result > 0)
        sign = number(result) if t is str else None
        return sign is None or sign > 0


def _sort_with(items: list[Value], decide: Callable[..., Value]) -> list[Value]:
    return sorted(items, key=lambda item: _Decided(item, decide))
