"""The parser: source text to nodes, or to everything that is wrong with its syntax.

In: a `Source`. Out: the tree (`Ruleset`, or `Fragment` for text without a ruleset) and diagnostics
K01xx and K02xx, sorted by place. With errors there is no tree.
Invariants: `parse` never raises for any text and never recurses; nesting and the depth of the tree
are bounded here, so that later passes may recurse. All state is in four stacks that run together
(values, their places, the depth of their trees); the state stack is one longer.
Not here: what a token is (`lexer.py`), what a node is made of (`builder.py`), what an error is
called (`faults.py`), where to go on after one (`recovery.py`).

lark makes the table (`grammar.py`); this loop runs it. Running lark's own driver was measured too:
it parses at half the speed, and importing it costs more than parsing most rulesets.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from krlc import faults, nodes, recovery
from krlc.builder import Builder, BuildFunction
from krlc.diagnostics import Diagnostic
from krlc.lexer import END, Lexer
from krlc.parse_table import BUILD, GATHER, LIST, PASS, TABLE
from krlc.source import Source

ERRORS_MAX = 20
"""Parsing stops after so many errors: nobody reads more at once."""

STACK_MAX = 2_000
"""Parser states on the stack: what is open is bounded before it closes and has a depth."""

TREE_DEPTH_MAX = 400
"""Nodes and brackets on the longest path: a pass may use two frames for each within Python's own
limit of 1,000."""

_ROWS = TABLE.rows
_PRODUCTIONS = TABLE.productions
_END_STATE = TABLE.end_state
_STATES, _SYMBOLS = len(TABLE.rows), TABLE.symbol_count
_pass_memo: dict[int, int] = {}


def _spreading(layout: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Say which child each slot takes its value, its start and its end from.

    A slot whose option is absent has the start of what follows and the end of what was before.
    """
    size = 1 + max(layout, default=-1)
    starts, ends, following = [], [], 0
    for place in layout:
        starts.append(place if place >= 0 else min(following, size - 1))
        ends.append(place if place >= 0 else max(following - 1, 0))
        following = max(following, place + 1)
    return layout, tuple(starts), tuple(ends)


_SPREADINGS = [_spreading(p.layout) if p.layout else () for p in _PRODUCTIONS]


def _bind(builder: Builder) -> list[tuple[int, int, int, Any, tuple[tuple[int, ...], ...]]]:
    """Put each production beside the method that builds it."""
    bound = []
    for production, spreading in zip(_PRODUCTIONS, _SPREADINGS, strict=True):
        left, size, kind, name, kept, _ = production
        build: BuildFunction | tuple[int, ...] = kept
        if kind == BUILD:
            build = getattr(builder, name, None) or getattr(builder, name + "_")
        bound.append((left, size, kind, build, spreading))
    return bound


def _pass_along(base: int, top: int, terminal: int) -> int:
    """Follow reductions that only rename their child, such as sum to comparison, to the last.

    They change nothing but the top state, and half of all reductions are such; so the outcome is
    remembered for each (state below, state, look-ahead).
    """
    key = (base * _STATES + top) * _SYMBOLS + terminal
    while True:
        action = _ROWS[top].get(terminal)
        if action is None or action >= 0:
            break
        production = _PRODUCTIONS[~action]
        if production.kind != PASS:
            break
        top = _ROWS[base][production.left]
    _pass_memo[key] = top
    return top


class Parser:
    """One parse. The stacks are public for `faults` and `recovery`, which read and cut them."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.lexer = Lexer(source.text)
        self.builder = Builder()
        self.states = [0]
        self.values: list[Any] = []
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.depths: list[int] = []
        self.errors: list[Diagnostic] = []
        self.tokens_since_error = 3
        self.recoveries = 0
        self.lost: list[tuple[int, int]] = []  # stretches of text that recovery cut out

    # The loop is one function, longer than we like, because a call for each of its steps would
    # cost as much as the steps.
    def run(self) -> Any:
        """Parse to the end of the text; give the tree's root, or None where parsing stopped."""
        lexer, states, values = self.lexer, self.states, self.values
        starts, ends, depths = self.starts, self.ends, self.depths
        rows, scan, memo = _ROWS, lexer.scan, _pass_memo
        productions = _bind(self.builder)
        top = 0
        while True:
            terminal = scan(states)
            while True:
                action = rows[top].get(terminal)
                if action is None:
                    if terminal == END and top == _END_STATE:
                        return values[0]
                    if not self._report(terminal) or not recovery.resume(self):
                        return None
                    top = states[-1]
                    break
                if action >= 0:
                    if len(states) > STACK_MAX:
                        self.errors.append(faults.too_deep(lexer.start, lexer.end))
                        return None
                    states.append(action)
                    values.append(lexer.value)
                    starts.append(lexer.start)
                    ends.append(lexer.end)
                    depths.append(0)
                    self.tokens_since_error += 1  # as yacc counts: three good ones end an error
                    top = action
                    break
                left, size, kind, build, layout = productions[~action]
                if kind == PASS:
                    base = states[-2]
                    key = (base * _STATES + top) * _SYMBOLS + terminal
                    top = memo[key] if key in memo else _pass_along(base, top, terminal)
                    states[-1] = top
                    continue
                if size == 0:
                    values.append(())
                    starts.append(ends[-1] if ends else 0)
                    ends.append(ends[-1] if ends else 0)
                    depths.append(0)
                else:
                    some = values[-size:]
                    if kind == BUILD:
                        s, e = starts[-size:], ends[-size:]
                        if layout:
                            slots, from_starts, from_ends = layout
                            some = [None if i < 0 else some[i] for i in slots]
                            s = [s[i] for i in from_starts]
                            e = [e[i] for i in from_ends]
                        value = build(some, s, e)
                        depth = 1 + (depths[-1] if size == 1 else max(depths[-size:]))
                        if depth > TREE_DEPTH_MAX:
                            self.errors.append(faults.too_deep(lexer.start, lexer.end))
                            return None
                    else:
                        value = _gather(some, build, kind)
                        depth = max(depths[-size:])
                    if size > 1:
                        cut = 1 - size
                        del states[cut:], values[cut:], starts[cut:], depths[cut:]
                        ends[-size:] = ends[-1:]
                    states.pop()
                    values[-1] = value
                    depths[-1] = depth
                top = rows[states[-1]][left]
                states.append(top)

    def _report(self, terminal: int) -> bool:
        """Note the error at the current token unless it follows from an earlier one.

        Returns whether to go on.
        """
        fault = faults.explain(self, terminal)
        is_new = self.tokens_since_error >= 3
        if self.errors and is_new:
            here = self.source.point(fault.span.start).line
            is_new = self.source.point(self.errors[-1].span.start).line != here
        if is_new:
            self.errors.append(fault)
        self.tokens_since_error = 0
        return terminal != END and len(self.errors) < ERRORS_MAX


def _gather(children: list[Any], kept: tuple[int, ...], kind: int) -> Any:
    """Collect the children of a list that count; nested parts of the same list are flattened.

    Cost: amortised constant for each element: the list on the stack grows in place.
    """
    first = children[kept[0]]
    if kind == GATHER:
        if type(first) is list:
            first.extend(children[i] for i in kept[1:])
            return first
        return [children[i] for i in kept]
    assert kind == LIST
    if type(first) is list:
        return tuple(first)
    if len(kept) == 1:
        return (first,)
    return (first, *children[kept[1]])


class Parsed(NamedTuple):
    """A tree, what is wrong with the text, and which stretches of it the tree leaves out."""

    tree: nodes.Ruleset | nodes.Fragment | None
    errors: list[Diagnostic]
    lost: list[tuple[int, int]]


def parse_partly(source: Source) -> Parsed:
    """Parse a whole source; one with errors gives the tree of what could be read, if any.

    Raises: nothing, whatever the text.
    Cost: linear; about 1 MB/s.
    """
    if not source.text.strip("\ufeff \t\r\n"):
        return Parsed(None, [faults.empty_source()], [])
    parser = Parser(source)
    root = parser.run()
    errors = parser.errors + parser.builder.faults
    errors.sort(key=lambda d: (d.span.start, d.span.end, d.code))
    return Parsed(root, errors[:ERRORS_MAX], parser.lost)


def parse(source: Source) -> tuple[nodes.Ruleset | nodes.Fragment | None, list[Diagnostic]]:
    """Parse a whole source; one with errors gives no tree.

    Raises: nothing, whatever the text.
    """
    tree, errors, _ = parse_partly(source)
    return (None, errors) if errors else (tree, [])
