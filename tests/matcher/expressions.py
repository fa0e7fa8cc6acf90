"""Expressions for matcher tests: parsed from text or built by hand, with matchers from their nodes.

The evaluator here covers the few forms of `where` that the tests use; it is not the language.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from krlc import nodes
from krlc.parser import parse
from krlc.source import Source, Span

NOWHERE = Span(0, 0)
UNITS_MS = {"second": 1000, "minute": 60_000, "hour": 3_600_000}


class Event(NamedTuple):
    """What a machine and its matchers look at."""

    domain: str
    name: str
    attrs: dict[str, Any]
    time_ms: int


def select_of(text: str) -> nodes.SelectWhen | nodes.SelectWhere:
    """Parse the words after `select` and return the node."""
    source = Source(f"ruleset t {{ rule r {{ select {text} }} }}", "t.krl")
    tree, diagnostics = parse(source)
    assert not diagnostics, diagnostics
    return tree.rules[0].select


def matcher_of(base: nodes.BaseEvent, settings: tuple[str, ...]) -> Callable:
    """Return the matcher of a base event, as generated code would define it."""
    patterns = [
        (match.key.name, re.compile(match.value.pattern, re.I if "i" in match.value.flags else 0))
        for match in base.matches
    ]
    names = [name.name for name in base.setting]
    aggregated = [name.name for name in base.aggregator.names] if base.aggregator else []

    def match(cx: Any, event: Event, saved: tuple) -> tuple | None:
        captures: list[str | None] = []
        for key, pattern in patterns:
            found = pattern.search(text_of(event.attrs[key]) if key in event.attrs else "")
            if found is None:
                return None
            captures += found.groups()
        own = [captures[at] if at < len(captures) else None for at in range(len(names))]
        scope = dict(zip(settings, saved, strict=True)) | dict(zip(names, own, strict=True))
        if base.where is not None and evaluate(base.where, event, scope) in (None, False, 0, ""):
            return None
        extra = [captures[at] if at < len(captures) else None for at in range(len(aggregated))]
        return (*own, *extra)

    return match


def condition_of(select: nodes.SelectWhere) -> Callable:
    """Return the matcher of a `select where`."""

    def match(cx: Any, event: Event, saved: tuple) -> tuple | None:
        return () if evaluate(select.condition, event, {}) is True else None

    return match


def evaluate(node: nodes.Expression, event: Event, scope: dict[str, Any]) -> Any:
    """Evaluate `==`, `event:attrs{…}`, names and literals."""
    match node:
        case nodes.Infix(operator="==", left=left, right=right):
            return evaluate(left, event, scope) == evaluate(right, event, scope)
        case nodes.Path(object=nodes.DomainIdentifier(domain="event", name="attrs"), path=path):
            return event.attrs.get(path.value)
        case nodes.Identifier(name=name):
            return scope.get(name)
        case nodes.String(value=value) | nodes.Number(value=value) | nodes.Boolean(value=value):
            return value
    raise NotImplementedError(type(node).__name__)


def text_of(value: Any) -> str:
    """Convert an attribute to text for the values that the rows use."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "[Array]"
    if isinstance(value, dict):
        return "[Map]"
    return json.dumps(value)


def within_ms(select: nodes.SelectWhen | nodes.SelectWhere) -> int | None:
    """Return the limit of a `within` made of numbers and `+`."""
    if isinstance(select, nodes.SelectWhere) or select.within is None:
        return None

    def number(node: nodes.Expression) -> int:
        if isinstance(node, nodes.Infix):
            return number(node.left) + number(node.right)
        return node.value

    return number(select.within.limit) * UNITS_MS[select.within.unit]


def to_number(value: Any) -> int | float | None:
    """Convert a capture of digits."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


# --- Nodes by hand --------------------------------------------------------------------------------


def name(text: str) -> nodes.Identifier:
    return nodes.Identifier(NOWHERE, text)


def base(
    event: str,
    keys: tuple[str, ...] = (),
    setting: tuple[str, ...] = (),
    aggregator: tuple[str, tuple[str, ...]] | None = None,
) -> nodes.BaseEvent:
    """Return `e event key re#([^a].*)# … setting(…)`: a key matches all but what starts with a."""
    return nodes.BaseEvent(
        NOWHERE,
        name("e"),
        name(event),
        tuple(
            nodes.AttributeMatch(NOWHERE, name(key), nodes.Regexp(NOWHERE, "^([^a].*)$", ""))
            for key in keys
        ),
        tuple(map(name, setting)),
        None,
        None
        if aggregator is None
        else nodes.Aggregator(NOWHERE, aggregator[0], tuple(map(name, aggregator[1]))),
        False,
    )


def operator(
    word: str, *operands: nodes.EventExpression, count: int | None = None
) -> nodes.EventOperator:
    return nodes.EventOperator(NOWHERE, word, operands, count, True, NOWHERE)


def group(word: str, count: int, event: nodes.BaseEvent) -> nodes.EventGroup:
    return nodes.EventGroup(NOWHERE, word, count, event, NOWHERE)


def when(event: nodes.EventExpression, limit_s: int | None = None) -> nodes.SelectWhen:
    """Return `select when event within limit_s seconds`."""
    if limit_s is None:
        return nodes.SelectWhen(NOWHERE, event, None)
    limit = nodes.Within(NOWHERE, nodes.Number(NOWHERE, limit_s), "second")
    return nodes.SelectWhen(NOWHERE, event, limit)
