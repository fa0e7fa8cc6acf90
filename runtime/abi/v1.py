"""Version 1 of the ABI between generated code and the engine.

In: calls from generated code; `cx` is the `Context` of the ruleset that runs. Out: KRL values, and
changes to the turn. Library operators stand here under their KRL names (with `_` behind a Python
keyword), members of built-in modules as `domain_member(cx, …)`. Invariant: names and meanings never
change within a version; new ones may be added.
"""

from __future__ import annotations

import keyword
import types
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from ext import LAST as LAST
from ext import Director
from ext import tick as tick
from runtime import observe
from runtime.border import to_json
from runtime.context import Context
from runtime.errors import Fault
from runtime.kinds import Action, ActionFunction, counted_rounds, ordered_items, text
from runtime.kinds import truth as truth
from runtime.module import UNSET, Global, Rule, Use
from runtime.module import action_value as action_value
from runtime.modules.ctx import *
from runtime.modules.event import *
from runtime.modules.http import *
from runtime.modules.math import *
from runtime.modules.meta import *
from runtime.modules.random import *
from runtime.modules.schedule import *
from runtime.modules.time import *
from runtime.operators.paths import item as item
from runtime.patterns import Pattern
from runtime.patterns import compile_pattern as pattern
from runtime.stdlib import OPERATORS
from runtime.turn import UNFIRED, UNFIRED_ROUND
from runtime.values import (
    add,
    cmp_text,
    div,
    ge,
    gt,
    le,
    like,
    lt,
    member,
    mod,
    mul,
    neg,
    sub,
)
from runtime.values import compare as spaceship
from runtime.values import concat as chevron
from runtime.values import equal as eq
from runtime.values import unequal as ne

rule = Rule
use = Use

for _name, _operator in OPERATORS.items():
    globals()[_name + "_" if keyword.iskeyword(_name) else _name] = _operator.fn

# --- Tables of a module ---------------------------------------------------------------------------


def function(name: str, fn: Callable[..., Any], params: tuple[str, ...], effect: str) -> Global:
    """A row of GLOBALS: a function."""
    return Global("function", name, fn=fn, params=params, effect=effect)


def action(name: str, fn: Callable[..., Any], params: tuple[str, ...], effect: str) -> Global:
    """A row of GLOBALS: an action."""
    return Global("action", name, fn=fn, params=params, effect=effect)


def constant(name: str, value: Any) -> Global:
    """A row of GLOBALS: a literal."""
    return Global("constant", name, value=value)


def computed(name: str, fn: Callable[..., Any], slot: int, effect: str) -> Global:
    """A row of GLOBALS: a value computed once."""
    return Global("computed", name, fn=fn, slot=slot, effect=effect)


def configured(name: str, fn: Callable[..., Any], slot: int, effect: str) -> Global:
    """A row of GLOBALS: a configured name; `fn` makes its default."""
    return Global("configured", name, fn=fn, slot=slot, effect=effect)


def global_value(cx: Context, slot: int) -> Any:
    """The value of a computed global: pure ones once a module, others once a context."""
    value = cx.values[slot]
    if value is UNSET:
        made = cx.module.computed[slot]
        if made.name in cx.configured and made.kind == "configured":
            value = cx.configured[made.name]
        elif made.effect == "pure":
            value = cx.module.values[slot]
        if value is UNSET:
            assert made.fn is not None
            value = made.fn(cx)
            if made.effect == "pure":
                cx.module.values[slot] = value
        cx.values[slot] = value
    return value


# --- Functions and actions as values --------------------------------------------------------------


class Bound(partial[Any]):
    """A global function together with its context: equal when function and context are."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bound) and self.func is other.func and self.args == other.args

    def __hash__(self) -> int:
        return hash(self.func)


def bound(cx: Context, fn: Callable[..., Any]) -> Bound:
    """A global function as a value."""
    return Bound(fn, cx)


class BoundAction(Action):
    """A global action with the context it belongs to, whoever performs it; equal when both are."""

    __slots__ = ("owner",)

    def __init__(self, owner: Context, made: Global) -> None:
        assert made.fn is not None
        super().__init__(made.name, made.params, made.fn)
        self.owner = owner

    def run(self, cx: object, *args: Any) -> Any:
        return self.fn(self.owner, *args)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BoundAction) and self.fn is other.fn and self.owner is other.owner

    def __hash__(self) -> int:
        return hash(self.fn)


def bound_action(cx: Context, fn: Callable[..., Any]) -> Action:
    """A global action as a value."""
    for made in cx.module.globals.values():
        if made.fn is fn:
            return BoundAction(cx, made)
    raise Fault("R9001", "an action that its module does not list")


def built_in_action(
    cx: Context, name: str, fn: Callable[..., Any], params: tuple[str, ...]
) -> Action:
    """An action of a built-in module as a value."""
    return Action(name, params, fn)


def built_in_actionfunction(
    cx: Context, name: str, fn: Callable[..., Any], params: tuple[str, ...]
) -> ActionFunction:
    """An action of a built-in module that is a function too, as a value."""
    return ActionFunction(name, params, fn, partial(fn, cx))


def operator(name: str) -> Any:
    """A library operator, or a library action, as a value."""
    if name == "noop":
        return NOOP
    if name == "send_directive":
        return SEND_DIRECTIVE
    return OPERATORS[name].value


def call(fn: Any, *args: Any) -> Any:
    """Call any value as a function.

    Raises: R2003 when it is none.
    """
    if not callable(fn):
        raise Fault("R2003", f"{text(fn)} is not a function")
    tick()
    return fn(*args)


def call_named(fn: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """Call any value as a function with named arguments.

    Raises: R2003 when it is none.
    """
    if not callable(fn):
        raise Fault("R2003", f"{text(fn)} is not a function")
    tick()
    return fn(*_placed(_parameters(fn), args, named))


def _parameters(fn: Any) -> tuple[str, ...]:
    """The KRL parameter names of a function value, as far as they are known."""
    if isinstance(fn, Bound):
        cx: Context = fn.args[0]
        for made in cx.module.globals.values():
            if made.fn is fn.func:
                return made.params
        return ()
    named: tuple[str, ...] | None = getattr(fn, "params", None)
    if named is not None:
        return named
    code: types.CodeType | None = getattr(fn, "__code__", None)
    if code is None:
        return ()
    return tuple(code.co_varnames[: code.co_argcount])


def _placed(params: tuple[str, ...], args: tuple[Any, ...], named: dict[str, Any]) -> list[Any]:
    """Arguments in parameter order; a named one beats the positional one of the same place."""
    placed = list(args)
    for index, name in enumerate(params):
        if name in named:
            placed.extend([None] * (index + 1 - len(placed)))
            placed[index] = named[name]
    return placed


def perform(cx: Context, value: Any, *args: Any) -> Any:
    """Run any value as an action.

    Raises: R2001 when it is none.
    """
    if not isinstance(value, Action):
        raise Fault("R2001", f"{text(value)} is not an action")
    return value.run(cx, *args)


def perform_named(cx: Context, value: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """Run any value as an action with named arguments.

    Raises: R2001 when it is none.
    """
    if not isinstance(value, Action):
        raise Fault("R2001", f"{text(value)} is not an action")
    return value.run(cx, *_placed(value.params, args, named))


# --- Used modules ---------------------------------------------------------------------------------


def _provided(cx: Context, alias: str, name: str) -> tuple[Context, Global]:
    """The context of a used module, and what it provides under a name.

    Raises: R2009 when the module is not installed on this pico, R2003 when it does not provide it.
    """
    context = cx.modules.get(alias)
    if context is None:
        turn = cx.turn
        assert turn is not None
        context = cx.modules[alias] = turn.used_module(cx, alias)
    found = context.module.globals.get(name) if name in context.module.provides else None
    if found is None:
        raise Fault("R2003", f"module {context.rid} does not provide {name}")
    return context, found


def module_value(cx: Context, alias: str, name: str) -> Any:
    """`alias:name` without a call: the value; a function or action as a value."""
    context, found = _provided(cx, alias, name)
    if found.kind == "function":
        assert found.fn is not None
        return bound(context, found.fn)
    if found.kind == "action":
        return BoundAction(context, found)
    return global_value(context, found.slot) if found.slot >= 0 else found.value


def module_call(cx: Context, alias: str, name: str, *args: Any) -> Any:
    """`alias:name(args)` in an expression."""
    context, found = _provided(cx, alias, name)
    if found.kind == "function":
        assert found.fn is not None
        return found.fn(context, *args)
    return call(module_value(cx, alias, name), *args)


def module_call_named(
    cx: Context, alias: str, name: str, args: tuple[Any, ...], named: dict[str, Any]
) -> Any:
    """`alias:name(args)` in an expression, with named arguments."""
    _, found = _provided(cx, alias, name)
    if found.kind == "function":
        return module_call(cx, alias, name, *_placed(found.params, args, named))
    return call_named(module_value(cx, alias, name), args, named)


def module_perform(cx: Context, alias: str, name: str, *args: Any) -> Any:
    """`alias:name(args)` as an action."""
    return perform(cx, module_value(cx, alias, name), *args)


def module_perform_named(
    cx: Context, alias: str, name: str, args: tuple[Any, ...], named: dict[str, Any]
) -> Any:
    """`alias:name(args)` as an action, with named arguments."""
    return perform_named(cx, module_value(cx, alias, name), args, named)


# --- Actions and statements -----------------------------------------------------------------------


def noop(*_: Any) -> None:
    """`noop()`."""


send_directive = Director(text, to_json).send
NOOP = ActionFunction("noop", (), lambda cx, *_: None, noop)
SEND_DIRECTIVE = Action("send_directive", ("name", "options"), send_directive)


def raise_event(
    cx: Context, domain: str | None, event: Any, attrs: Any = None, rid: Any = None
) -> None:
    """`raise domain event name` or, with domain None, `raise event "domain:name"`."""
    turn = cx.turn
    assert turn is not None
    name = event
    if domain is None:
        domain, _, name = "".join(text(event).split()).partition(":")
    turn.raise_event(domain, name, attrs, None if rid is None else text(rid))


def error(cx: Context, level: str, data: Any) -> Any:
    """`error level data`; what it returns ends the rule when the level is error."""
    turn = cx.turn
    assert turn is not None
    return turn.error(cx, level, data)


def log(cx: Context, level: str, value: Any) -> None:
    """`log level value`."""
    observe.logged(cx, level, "", value)


def klog(cx: Context, val: Any = None, message: Any = None, *_: Any) -> Any:
    """`val.klog(message)`: log and return the value."""
    observe.logged(cx, "klog", "klog" if message is None else text(message), val)
    return val


def sample(cx: Context, count: int) -> int:
    """Which of `count` actions of a `sample` block runs."""
    turn = cx.turn
    assert turn is not None
    return turn.world.random.below(count)


# --- Rule bodies ----------------------------------------------------------------------------------


def unfired(cx: Context, is_round: bool = False) -> None:
    """The condition of a rule is false, in one round of its loops or at all: for the history."""
    turn = cx.turn
    assert turn is not None
    turn.notes.append(UNFIRED_ROUND if is_round else UNFIRED)


def captures(
    attrs: dict[str, Any], patterns: tuple[tuple[str, Any], ...], count: int
) -> tuple[Any, ...] | None:
    """Match attributes against patterns: their captures, padded to `count`, or None.

    Source: an absent attribute matches as "", any other one as its string conversion.
    """
    found: list[Any] = []
    for name, pattern_ in patterns:
        value = attrs.get(name, "")
        groups = _as_pattern(pattern_).search(value if type(value) is str else text(value))
        if groups is None:
            return None
        found.extend(groups)
    short = count - len(found)
    return tuple(found[:count]) if short <= 0 else (*found, *(None,) * short)


def _as_pattern(value: Any) -> Pattern:
    if type(value) is Pattern:
        return value
    raise Fault("R2001", f"{text(value)} is not a regular expression")


def _entries(value: Any) -> Iterable[tuple[Any, Any]]:
    if type(value) is list:
        return ((element, index) for index, element in enumerate(value))
    if type(value) is dict:
        return ((element, key) for key, element in ordered_items(value))
    if type(value) is str:
        return ((character, str(index)) for index, character in enumerate(value))
    return ()


def pairs(value: Any) -> Iterable[tuple[Any, Any]]:
    """What `foreach` goes over: (element, index), (value, key), (character, index as text)."""
    entries = _entries(value)
    return counted_rounds(entries, len(value)) if entries else ()


def elements(value: Any) -> Iterable[Any]:
    """What `foreach` with one variable goes over."""
    items = value if type(value) is list else [element for element, _ in _entries(value)]
    return counted_rounds(items, len(items))


def rounds(value: Any) -> Iterator[tuple[Any, Any, bool]]:
    """As `pairs`, with whether it is the last."""
    found = list(_entries(value))
    last = len(found) - 1
    for number, (element, key) in enumerate(found):
        tick()
        yield element, key, number == last


def attribute(value: Any, key: Any) -> Any:
    """`value.key` without a call.

    Raises: R2001 for null.
    """
    if value is None:
        raise Fault("R2001", f"cannot read {text(key)} of null")
    return item(value, key)
