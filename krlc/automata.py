"""Event expressions as automata: tables that all picos share.

In: the `select` of a rule. Out: an `Automaton` whose `table` stands as a literal in the generated
module and is loaded by `ext.Machine` (layout: `ext/DESIGN.md`), or diagnostics. Passes:
`machine.py` builds the machine of the language reference, `determinise.py` makes one control state
of each set of live states. Not here: matchers, which are ordinary generated functions; `bases` says
which base events need one, in the order of the table.
"""

from __future__ import annotations

from hashlib import sha256

import msgspec

from krlc import nodes
from krlc.determinise import REFERENCES, RESET, SELECT, STAY, Control, Row, determinise
from krlc.diagnostics import Diagnostic
from krlc.machine import (
    Guards,
    Occurrences,
    TooLargeError,
    build_machine,
    each_inside,
    find_occurrences,
)

TABLE_VERSION = 1
"""Raised when tables or control state numbers change meaning: it is part of every hash."""

Capture = tuple[tuple[int, ...], tuple[tuple[int, str, int], ...]]
"""(registers of the settings, ((register, operator, list size) of the aggregators, …))."""

Table = tuple[
    int,  # TABLE_VERSION
    int,  # 1: a `within` clock runs
    int,  # registers
    tuple[tuple[str, str], ...] | None,  # symbols; None listens to every event
    tuple[Capture, ...],  # one for each matcher
    tuple[int, ...],  # flags of each control state
    int,  # control state after a selection
    int,  # control state after a passed time limit
    tuple[Row, ...],
    tuple[tuple[tuple[int, ...], int], ...],  # guards
    tuple[tuple[int, int, int], ...],  # decisions
]


class Automaton(msgspec.Struct, frozen=True):
    """One rule's event expression, compiled.

    `salience`: the distinct (domain, name) pairs in first-appearance order; None is every event.
    `bases`: the base events that need a matcher; matcher i of the table is for bases[i]. A
    `select where` has no base event but one matcher: its condition.
    `settings`: the names bound in the rule body; also the order of the registers.
    `states`: for people, the machine states behind each control state.
    `hash`: equal for expressions whose stored states mean the same, whatever their layout.
    """

    salience: tuple[tuple[str, str], ...] | None
    bases: tuple[nodes.BaseEvent, ...]
    settings: tuple[str, ...]
    table: Table
    is_trivial: bool
    hash: str
    states: tuple[str, ...]


def build(
    select: nodes.SelectWhen | nodes.SelectWhere,
) -> tuple[Automaton | None, list[Diagnostic]]:
    """Compile a rule's `select`; without an automaton there is at least one error.

    Raises: nothing; K0505, K0506, K0508 and the warning K0510 come as diagnostics.
    """
    if isinstance(select, nodes.SelectWhere):
        return _build_where(select), []
    found = [
        finding
        for expression in each_inside(select.event)
        if (finding := _check(expression)) is not None
    ]
    if found:
        return None, found
    occurrences = find_occurrences(select.event)
    guards = Guards()
    try:
        machine = build_machine(select.event, occurrences, guards)
        control = determinise(machine, occurrences, guards, select.within is not None)
    except TooLargeError:
        return None, [_too_large(select.event)]
    automaton = _assemble(select, occurrences, control, bool(machine.transitions))
    warnings = [] if _can_select(control) else [_never(select.event)]
    return automaton, warnings


def dump(automaton: Automaton) -> str:
    """Render an automaton as text: matchers, then one line for each move."""
    lines = [f"automaton {automaton.hash}"]
    if automaton.salience is None:
        lines.append("listens: every event")
    else:
        pairs = ", ".join(f"{domain}:{name}" for domain, name in automaton.salience)
        lines.append(f"listens: {pairs or 'nothing'}")
        if automaton.is_trivial:
            lines[-1] += "  (every one selects)"
    if automaton.settings:
        lines.append(f"registers: {', '.join(automaton.settings)}")
    lines += [f"m{at}: {text}" for at, text in enumerate(_matcher_texts(automaton))]
    view = _View(automaton)
    for number, label in enumerate(view.labels):
        lines.append(label)
        moves = view.moves(number)
        width = max((len(event) for event, _, _ in moves), default=0)
        lines += [
            f"  {event:<{width}}  {condition + '  ' if condition else ''}-> {target}"
            for event, condition, target in moves
        ]
    return "\n".join(lines) + "\n"


def dot(automaton: Automaton, name: str = "automaton") -> str:
    """Render an automaton as a Graphviz digraph of this name."""
    view = _View(automaton)
    lines = [
        f"digraph {_quoted(name)} {{",
        "  rankdir=LR;",
        '  node [shape=circle, fontname="monospace"];',
    ]
    lines.append('  selected [label="selected", shape=doublecircle];')
    lines += [f"  c{number} [label={_quoted(label)}];" for number, label in enumerate(view.labels)]
    for number in range(len(view.labels)):
        for event, condition, target in view.moves(number):
            goal = "selected" if target == "selected" else f"c{view.number(target)}"
            label = f"{event} {condition}".rstrip()
            lines.append(f"  c{number} -> {goal} [label={_quoted(label)}];")
    return "\n".join([*lines, "}"]) + "\n"


# --- Diagnostics ----------------------------------------------------------------------------------


def _check(expression: nodes.EventExpression) -> Diagnostic | None:
    """Return what is wrong with the numbers of one operator."""
    if isinstance(expression, nodes.EventGroup):
        if expression.operator == "repeat" and expression.count == 0:
            return Diagnostic(
                "K0506",
                "`repeat 0` never completes",
                expression.operator_span,
                "needs at least 1",
                ("write `repeat 1 (…)` to select on every such event",),
            )
        return None
    if isinstance(expression, nodes.EventOperator) and expression.operator == "any":
        total, count = len(expression.operands), expression.count or 0
        if count >= total:
            if total == 1:
                hint = "write the event on its own, or list more events"
            elif count == total:
                hint = f"write `and(…)` to wait for all {total} of them"
            else:
                hint = f"use a number below {total}, or list more events"
            return Diagnostic(
                "K0505",
                f"`any {count}` needs more than {count} events to choose from",
                expression.operator_span,
                f"only {total} given",
                (hint,),
            )
    return None


def _too_large(event: nodes.EventExpression) -> Diagnostic:
    return Diagnostic(
        "K0508",
        "event expression is too large",
        event.span,
        "it has too many combinations of events seen and not yet seen",
        (
            "split it: let several rules raise events of their own, and one rule select on those",
            "count long runs in an entity variable instead of `count n` or `repeat n`",
        ),
    )


def _never(event: nodes.EventExpression) -> Diagnostic:
    return Diagnostic(
        "K0510",
        "rule can never fire",
        event.span,
        "no sequence of events completes this expression",
        ("`count 0 (…)` and `any 0 (…)` never complete",),
        "warning",
    )


# --- Tables ---------------------------------------------------------------------------------------


def _assemble(
    select: nodes.SelectWhen, occurrences: Occurrences, control: Control, is_salient: bool
) -> Automaton:
    settings = setting_names(select.event)
    registers = {name: at for at, name in enumerate(settings)}
    captures = tuple(
        (
            tuple(registers[name.name] for name in base.setting),
            tuple(
                (registers[name.name], base.aggregator.operator, count)
                for name in base.aggregator.names
            )
            if base.aggregator
            else (),
        )
        for base, count in zip(occurrences.bases, occurrences.repeats, strict=True)
    )
    is_timed = select.within is not None
    salience = occurrences.symbols if is_salient else ()
    return Automaton(
        salience=salience,
        bases=occurrences.bases,
        settings=settings,
        table=(
            TABLE_VERSION,
            int(is_timed),
            len(settings),
            salience,
            captures,
            control.flags,
            control.end,
            control.timeout,
            control.rows,
            control.guards,
            control.decisions,
        ),
        is_trivial=not is_timed and is_salient and _selects_always(control, len(salience)),
        hash=_hash(select),
        states=control.names,
    )


def _build_where(select: nodes.SelectWhere) -> Automaton:
    """Make the table of a `select where`: one state, one matcher, any event."""
    return Automaton(
        salience=None,
        bases=(),
        settings=(),
        table=(
            TABLE_VERSION,
            0,
            0,
            None,
            (((), ()),),
            (2,),
            0,
            0,
            ((REFERENCES, ()),),
            (((0,), REFERENCES),),
            ((0, RESET, SELECT),),
        ),
        is_trivial=False,
        hash=_hash(select),
        states=("start",),
    )


def setting_names(event: nodes.EventExpression) -> tuple[str, ...]:
    """Return the names that an expression binds, in the order of its registers."""
    names: dict[str, None] = {}
    for expression in each_inside(event):
        if isinstance(expression, nodes.BaseEvent):
            for name in expression.setting:
                names.setdefault(name.name)
            for name in expression.aggregator.names if expression.aggregator else ():
                names.setdefault(name.name)
    return tuple(names)


def _selects_always(control: Control, symbols: int) -> bool:
    return all(
        len(moves) == symbols and all(move == SELECT for _, move in moves)
        for _, moves in control.rows
    )


def _can_select(control: Control) -> bool:
    """Tell whether any reachable move selects: unreachable control states are never made."""
    moves = {move for other, row in control.rows for move in (other, *(move for _, move in row))}
    leaves = {leaf for _, failed, held in control.decisions for leaf in (failed, held)}
    roots = {root for _, root in control.guards}
    return SELECT in moves | leaves | roots


def _hash(select: nodes.SelectWhen | nodes.SelectWhere) -> str:
    """Hash the expression's canonical text: its nodes without spans and without layout."""
    digest = sha256(f"event expression {TABLE_VERSION}".encode())
    pending: list[object] = [select]
    while pending:
        item = pending.pop()
        if isinstance(item, nodes.Node):
            fields = [
                field
                for field in item.__struct_fields__
                if not field.endswith("span") and field not in ("prefix", "where_before_setting")
            ]
            digest.update(f"\n{type(item).__name__} {len(fields)}".encode())
            pending.extend(getattr(item, field) for field in reversed(fields))
        elif isinstance(item, tuple):
            digest.update(f"\n[{len(item)}".encode())
            pending.extend(reversed(item))
        else:
            digest.update(f"\n{item!r}".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:32]


# --- For people -----------------------------------------------------------------------------------


class _View:
    """The moves of a table in words."""

    def __init__(self, automaton: Automaton) -> None:
        self._automaton = automaton
        self.labels = [f"{at} {{{name}}}" for at, name in enumerate(automaton.states)]
        self._rows, self._guards, self._decisions = automaton.table[8:]
        self._symbols = automaton.salience or ()

    def number(self, label: str) -> int:
        """Return the control state that a label of `moves` stands for."""
        return self.labels.index(label)

    def moves(self, number: int) -> list[tuple[str, str, str]]:
        """Return (event, condition over matchers, target) for all moves out of a control state."""
        other, row = self._rows[number]
        listed = dict(row)
        found: list[tuple[str, str, str]] = []
        for at, (domain, name) in enumerate(self._symbols):
            found += self._branches(number, f"{domain}:{name}", listed.get(at, other))
        if self._automaton.salience is None:
            found += self._branches(number, "*", other)
        return found

    def _branches(self, number: int, event: str, move: int) -> list[tuple[str, str, str]]:
        if move > REFERENCES:
            target = self._target(number, move)
            return [] if target is None else [(event, "", target)]
        found: list[tuple[str, str, str]] = []
        pending = [(self._guards[REFERENCES - move][1], "")]
        while pending:
            decision, condition = pending.pop()
            if decision > REFERENCES:
                target = self._target(number, decision)
                if target is not None:
                    found.append((event, condition, target))
                continue
            matcher, failed, held = self._decisions[REFERENCES - decision]
            joined = f"{condition} and " if condition else ""
            pending.append((failed, f"{joined}not m{matcher}"))
            pending.append((held, f"{joined}m{matcher}"))
        return found

    def _target(self, number: int, move: int) -> str | None:
        if move == SELECT:
            return "selected"
        if move == RESET:
            return self.labels[0]
        if move in (STAY, number):
            return None
        return self.labels[move]


def _matcher_texts(automaton: Automaton) -> list[str]:
    if automaton.salience is None:
        return ["the condition is true"]
    texts = []
    for base in automaton.bases:
        parts = [base.domain.name, base.name.name]
        for match in base.matches:
            pattern = match.value.pattern if isinstance(match.value, nodes.Regexp) else "…"
            flags = match.value.flags if isinstance(match.value, nodes.Regexp) else ""
            parts.append(f"{match.key.name} re#{pattern}#{flags}")
        if base.where is not None:
            parts.append("where …")
        if base.setting:
            parts.append(f"setting({', '.join(name.name for name in base.setting)})")
        if base.aggregator:
            names = ", ".join(name.name for name in base.aggregator.names)
            parts.append(f"{base.aggregator.operator}({names})")
        texts.append(" ".join(parts))
    return texts


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
