"""Kinds of KRL values, their conversions, and the order of map keys.

In: Python objects that stand for KRL values: None, bool, int or float, str, `Pattern`, list, dict
with string keys, callables, `Action`. Out: kind names, strings, numbers, truth.

Invariants: a string holds code points, and never a high surrogate followed by a low one; positions
and string order are in UTF-16 units where KRL can see them, as in ECMAScript.
Not here: equality, order and arithmetic (`values.py`), JSON (`border.py`).

Source: stdlib reference 1; language reference 6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from ext import counted, spend
from runtime.errors import Fault
from runtime.limits import value_bytes_max, work_large_bytes, work_piece_bytes
from runtime.numbers import is_hex, number_text, parse_number
from runtime.patterns import Pattern
from runtime.utf16 import paired, units

__all__ = [
    "ABSENT",
    "ROUNDS_LONG",
    "Action",
    "ActionFunction",
    "KrlMap",
    "Value",
    "argument_fault",
    "charge_bytes",
    "charge_elements",
    "check_elements",
    "check_text",
    "counted_if_long",
    "counted_rounds",
    "is_function",
    "is_index",
    "kind",
    "not_a_function",
    "note_debug",
    "number",
    "ordered",
    "ordered_items",
    "paired",
    "text",
    "too_large",
    "truth",
    "type_fault",
    "units",
]

Value = Any
KrlMap = dict[str, Any]
_ELEMENTS_LARGE = work_large_bytes // 8
# Rounds of a loop that are counted together before it begins.
_ROUNDS_AT_ONCE = 64
# Rounds from which on a loop of the library itself is counted.
ROUNDS_LONG = 1_000


# --- Actions and functions ------------------------------------------------------------------------


class Action:
    """An action as a value: a defaction, or an action of the library or of a module.

    `run(cx, *args)` does it. `params` are its KRL parameter names, for named arguments.
    """

    __slots__ = ("fn", "name", "params")

    def __init__(self, name: str, params: tuple[str, ...], fn: Callable[..., Value]) -> None:
        self.name = name
        self.params = params
        self.fn = fn

    def run(self, cx: object, *args: Value) -> Value:
        """Do the action in a context, and give the value its `setting` binds."""
        return self.fn(cx, *args)


class ActionFunction(Action):
    """An action that may also be called in an expression, such as `noop` and `http:get`."""

    __slots__ = ("call",)

    def __init__(
        self,
        name: str,
        params: tuple[str, ...],
        fn: Callable[..., Value],
        call: Callable[..., Value],
    ) -> None:
        super().__init__(name, params, fn)
        self.call = call

    def __call__(self, *args: Value) -> Value:
        return self.call(*args)


def is_function(v: Value) -> bool:
    """Whether a value can be called in an expression."""
    return callable(v)


# --- Absence and notes ----------------------------------------------------------------------------


class Absent:
    """The type of `ABSENT`: an argument that was not given, where that differs from null."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Any = Absent()

# Where operators put the debug notes that the library promises; the engine sets it, or nobody does.
debug_sink: Callable[[str], None] | None = None


def note_debug(message: str) -> None:
    """Log a message at level debug, if anything listens."""
    if debug_sink is not None:
        debug_sink(message)


# --- Faults ---------------------------------------------------------------------------------------


def type_fault(message: str) -> Fault:
    """The fault that KRL calls a TypeError."""
    return Fault("R2001", message)


def argument_fault(message: str) -> Fault:
    """The fault of a library function whose class is plain Error."""
    return Fault("R2018", message)


def not_a_function(v: Value) -> Fault:
    """The fault of calling what cannot be called."""
    return Fault("R2003", f"{text(v)} is not a function")


def too_large(what: str, bytes_estimated: int) -> NoReturn:
    """Refuse a value before it is made.

    Raises: R4004.
    """
    raise Fault(
        "R4004",
        f"{what} would take about {bytes_estimated} bytes; the bound is {value_bytes_max}",
    )


def check_text(what: str, characters: int) -> None:
    """Refuse a string of so many characters if it is beyond the bound on one value.

    Raises: R4004.
    """
    if characters > work_large_bytes:
        if characters > value_bytes_max:
            too_large(what, characters)
        spend(characters // work_piece_bytes)


def check_elements(what: str, elements: int) -> None:
    """Refuse an array or map of so many elements (8 bytes each) if it is beyond the bound.

    Raises: R4004.
    """
    if elements > _ELEMENTS_LARGE:
        if elements * 8 > value_bytes_max:
            too_large(what, elements * 8)
        charge_elements(elements)


def charge_elements(elements: int) -> None:
    """Count going over so many elements as work, if they are many.

    Raises: R4024 and R4025, as all that counts work.
    """
    if elements > _ELEMENTS_LARGE:
        spend(elements * 8 // work_piece_bytes)


def counted_if_long(entries: Iterable[Any], size: int) -> Iterable[Any]:
    """The entries of a collection for a loop that calls nothing of KRL; counted when it is long.

    Raises: as `charge_elements`, while they are gone over.
    """
    return entries if size <= ROUNDS_LONG else counted(entries)


def charge_bytes(size: int) -> None:
    """Count going over so many bytes or characters as work, if they are many.

    Raises: as `charge_elements`.
    """
    if size > work_large_bytes:
        spend(size // work_piece_bytes)


def counted_rounds(entries: Iterable[Any], size: int) -> Iterable[Any]:
    """The entries of a collection, each counted as work, for something that calls KRL with them.

    Raises: as `charge_elements`, at once or while they are gone over.
    """
    if size > _ROUNDS_AT_ONCE:
        return counted(entries)
    spend(size)
    return entries


# --- Kinds and conversions ------------------------------------------------------------------------


def kind(v: Value) -> str:
    """The name that `typeof` gives a value."""
    t = type(v)
    if t is str:
        return "Hex" if is_hex(v) else "String"
    if v is None:
        return "Null"
    if t is int or t is float:
        return "Number"
    if t is bool:
        return "Boolean"
    if t is dict:
        return "Map"
    if t is list:
        return "Array"
    if t is Pattern:
        return "RegExp"
    if isinstance(v, Action):
        return "ActionFunction" if isinstance(v, ActionFunction) else "Action"
    return "Function" if callable(v) else "JSObject"


def text(v: Value) -> str:
    """The string conversion of a value: what `+`, chevrons, keys and most operators see."""
    t = type(v)
    if t is str:
        return v  # type: ignore[no-any-return]
    if t is int:
        return str(v)
    if v is None:
        return "null"
    if t is bool:
        return "true" if v else "false"
    if t is float:
        return number_text(v)
    if t is dict:
        return "[Map]"
    if t is list:
        return "[Array]"
    if t is Pattern:
        return v.text()  # type: ignore[no-any-return]
    return f"[{kind(v)}]"


def number(v: Value) -> int | float | None:
    """The number conversion of a value; None when it has none."""
    t = type(v)
    if t is int or t is float:
        return v  # type: ignore[no-any-return]
    if t is str:
        return parse_number(v)
    if v is None:
        return 0
    if t is bool:
        return 1 if v else 0
    if t is list or t is dict:
        return len(v)
    return None


def truth(v: Value) -> bool:
    """Whether a value counts as true: all but false, null, 0 and ""."""
    if v:
        return True
    t = type(v)
    return t is list or t is dict


# --- Map order ------------------------------------------------------------------------------------


def is_index(key: str) -> bool:
    """Whether a key is a canonical array index: digits without leading zero, below 2^32 - 1."""
    return (
        key.isdigit()
        and key.isascii()
        and (key[0] != "0" or key == "0")
        and len(key) <= 10
        and int(key) < 0xFFFFFFFF
    )


def ordered(m: KrlMap) -> KrlMap:
    """The map in the order KRL shows: index keys first, ascending, then the others as they came.

    Cost: one pass; the map itself when no key is an index.
    """
    for key in counted_if_long(m, len(m)):
        if "0" <= key[:1] <= "9":
            break
    else:
        return m
    indexes = sorted((key for key in m if is_index(key)), key=int)
    if not indexes:
        return m
    return {**{key: m[key] for key in indexes}, **m}


def ordered_items(m: KrlMap) -> Any:
    """The entries of a map in the order KRL shows."""
    return ordered(m).items()
