"""A slow, plain reading of the language reference on event expressions, to test tables against.

In: an expression, matchers, events one at a time. Out: what the rule binds when it is selected. No
tables: lists of transitions, sets of live states, every order of `and` and `any` written out.
It shares no code with `krlc.machine` or `ext`. Fixes of the reference's section 17 are marked Q.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count, permutations
from typing import Any

from krlc import nodes

START, END = "start", "end"
_names = count()


def fresh() -> str:
    return f"t{next(_names)}"


class Net:
    """start, end and ordered transitions (from, guard, to)."""

    def __init__(self, start: str, end: str, transitions: list[tuple]) -> None:
        self.start, self.end, self.transitions = start, end, transitions

    def renamed(self, names: dict[str, str]) -> Net:
        return Net(
            names.get(self.start, self.start),
            names.get(self.end, self.end),
            [(names.get(a, a), g, names.get(b, b)) for a, g, b in self.transitions],
        )

    def copy(self) -> Net:
        states = {state for a, _, b in self.transitions for state in (a, b)}
        return self.renamed({state: fresh() for state in sorted(states | {self.start, self.end})})


def net_of(expression: nodes.EventExpression, occurrences: dict[int, int]) -> Net:
    """Build the machine of an expression; `occurrences` maps id(base event) to its matcher."""
    if isinstance(expression, nodes.BaseEvent):
        guard = (
            "base",
            expression.domain.name,
            expression.name.name,
            occurrences.get(id(expression)),
        )
        start, end = fresh(), fresh()
        return Net(start, end, [(start, guard, end)])
    if isinstance(expression, nodes.EventGroup):
        base = net_of(expression.event, occurrences)
        net = chain([base.copy() for _ in range(expression.count)])
        if expression.operator == "repeat":
            net.transitions.append((net.end, base.transitions[0][1], net.end))
        return simplify(net)
    operands = [net_of(operand, occurrences) for operand in expression.operands]
    return simplify(combine(expression, operands))


def combine(expression: nodes.EventOperator, operands: list[Net]) -> Net:
    operator = expression.operator
    if operator == "or":
        start, end = fresh(), fresh()
        placed = [net.renamed({net.start: start, net.end: end}) for net in operands]
        return union(start, end, placed)
    if operator == "before":
        return chain(operands)
    if operator == "after":
        return chain(operands[::-1])
    if operator == "then":
        return strict_chain(operands)
    if operator in ("and", "any"):
        size = len(operands) if operator == "and" else expression.count
        start, end = fresh(), fresh()
        chains = []
        for order in dict.fromkeys(p[:size] for p in permutations(range(len(operands)))):
            if order:
                net = chain([operands[at].copy() for at in order])
                chains.append(net.renamed({net.start: start, net.end: end}))
        return union(start, end, chains)
    what, opening, closing = operands
    if operator == "between":
        return chain([opening, what, closing])
    start, middle, end = fresh(), fresh(), fresh()
    return union(
        start,
        end,
        [
            opening.renamed({opening.start: start, opening.end: middle}),
            closing.renamed({closing.start: middle, closing.end: end}),
            what.renamed({what.start: middle, what.end: start}),
        ],
    )


def union(start: str, end: str, nets: Sequence[Net]) -> Net:
    return Net(start, end, [t for net in nets for t in net.transitions])


def chain(operands: list[Net]) -> Net:
    if not operands:
        return Net(fresh(), fresh(), [])
    start, at, transitions = operands[0].start, operands[0].start, []
    for operand in operands:
        placed = operand.renamed({operand.start: at})
        transitions += placed.transitions
        at = placed.end
    return Net(start, at, transitions)


def strict_chain(operands: list[Net]) -> Net:
    net = chain(operands)
    junctions = [operand.end for operand in operands[:-1]]
    back = []
    for junction in junctions:
        guards = list(dict.fromkeys(g for a, g, _ in net.transitions if a == junction))
        if not guards:
            continue
        guard = ("not", guards[0])
        for other in guards[1:]:
            guard = ("or", guard, ("not", other))
        back.append((junction, guard, net.start))
    return Net(net.start, net.end, net.transitions + back)


def simplify(net: Net) -> Net:
    while True:
        seen, noted = {}, []
        for a, guard, b in net.transitions:
            if (a, guard) not in seen:
                seen[a, guard] = b
            elif seen[a, guard] != b:
                noted.append((b, seen[a, guard]))
        changed = False
        names: dict[str, str] = {}
        for former, latter in noted:
            while former in names:
                former = names[former]
            while latter in names:
                latter = names[latter]
            if former == latter or {former, latter} == {net.start, net.end}:
                continue
            if incoming(net, former) == incoming(net, latter):
                net = net.renamed({former: latter})
                names[former] = latter
                changed = True
        if not changed:
            return Net(net.start, net.end, list(dict.fromkeys(net.transitions)))


def incoming(net: Net, state: str) -> set[tuple]:
    return {(a, guard) for a, guard, b in net.transitions if b == state}


class Oracle:
    """One rule's event expression and its whole state, fed event by event."""

    def __init__(
        self,
        event: nodes.EventExpression,
        matchers: Sequence[Callable],
        settings: Sequence[str],
        within_ms: float | None = None,
        to_number: Callable = lambda value: value,
    ) -> None:
        self.bases = [base for base in base_events(event) if has_matcher(base)]
        self.pairs = {(b.domain.name, b.name.name) for b in base_events(event)}
        self.sizes = group_sizes(event)
        net = net_of(event, {id(base): at for at, base in enumerate(self.bases)})
        net = net.renamed({net.start: START, net.end: END})
        self.transitions = net.transitions
        self.matchers, self.settings = matchers, list(settings)
        self.within_ms, self.to_number = within_ms, to_number
        self.forget()

    def forget(self) -> None:
        self.states: set[str] = set()
        self.values: dict[str, Any] = {}
        self.lists: dict[tuple[int, int], list] = {}
        self.started_ms: float | None = None

    def live(self) -> set[str]:
        return {s for s in self.states if any(a == s for a, _, _ in self.transitions)} or {START}

    def feed(self, event: Any) -> dict[str, Any] | None:
        """Return what the rule body sees, or None when the rule is not selected."""
        if not self.transitions or (event.domain, event.name) not in self.pairs:
            return None
        self.look_at_clock(event.time_ms)
        live = self.live()
        tried = [(a, g, b) for a, g, b in self.transitions if a in live]
        saved = tuple(self.values.get(name) for name in self.settings)
        results = {}  # each matcher once, in source order, all of them seeing the same settings
        for at in sorted({m for _, g, _ in tried for m in matchers_of(g, event)}):
            results[at] = self.matchers[at](None, event, saved)
        collected = {b for _, g, b in tried if holds(g, event, results)}
        if not collected:
            if results:
                self.forget()  # 14.6: a failed matcher discards everything
            return None
        for at, values in results.items():
            if values is not None:
                self.keep(at, values, live)
        selected = END in collected
        self.states = {END} if selected else collected
        bound = {name: self.values.get(name) for name in self.settings} if selected else None
        if selected:
            self.values = {}
        if START in self.live():
            self.lists = {}  # Q22: a list does not outlive its run
        return bound

    def look_at_clock(self, now_ms: float) -> None:
        if self.within_ms is None:
            return
        started = now_ms if self.started_ms is None else self.started_ms
        if now_ms - started > self.within_ms:
            self.states, self.values = {START}, {}
        if START in self.states:
            started = now_ms
        self.started_ms = started

    def keep(self, at: int, values: tuple, live: set[str]) -> None:
        base = self.bases[at]
        names = [name.name for name in base.setting]
        self.values.update(zip(names, values, strict=False))
        if base.aggregator is None:
            return
        for place, name in enumerate(base.aggregator.names):
            capture = values[len(names) + place]
            if START in live:
                window = [capture]
            else:
                window = [*self.lists.get((at, place), []), capture]
            window = window[-self.sizes[id(base)] :]  # Q22
            self.lists[at, place] = window
            self.values[name.name] = aggregate(base.aggregator.operator, window, self.to_number)


def aggregate(operator: str, window: list, to_number: Callable) -> Any:
    if operator == "push":
        return window
    numbers = [to_number(one) or 0 for one in window]
    if operator in ("max", "min"):
        return {"max": max, "min": min}[operator](numbers)
    total = sum(numbers)
    if operator == "avg":
        total = total / len(numbers)
    return int(total) if total == int(total) else total


def base_events(event: nodes.EventExpression) -> list[nodes.BaseEvent]:
    if isinstance(event, nodes.BaseEvent):
        return [event]
    if isinstance(event, nodes.EventGroup):
        return [event.event]
    return [base for operand in event.operands for base in base_events(operand)]


def group_sizes(event: nodes.EventExpression) -> dict[int, int]:
    if isinstance(event, nodes.EventGroup):
        return {id(event.event): event.count}
    if isinstance(event, nodes.BaseEvent):
        return {}
    return {key: size for one in event.operands for key, size in group_sizes(one).items()}


def has_matcher(base: nodes.BaseEvent) -> bool:
    return bool(base.matches or base.setting or base.where or base.aggregator)


def matchers_of(guard: tuple, event: Any) -> set[int]:
    kind = guard[0]
    if kind == "base":
        named = guard[1:3] == (event.domain, event.name)
        return {guard[3]} if named and guard[3] is not None else set()
    return {matcher for one in guard[1:] for matcher in matchers_of(one, event)}


def holds(guard: tuple, event: Any, results: dict[int, Any]) -> bool:
    kind = guard[0]
    if kind == "not":
        return not holds(guard[1], event, results)
    if kind == "or":
        return holds(guard[1], event, results) or holds(guard[2], event, results)
    if guard[1:3] != (event.domain, event.name):
        return False
    return guard[3] is None or results[guard[3]] is not None
