"""The LALR(1) table of KRL, as the parser uses it.

In: `krl.table` beside this module, made by `python -m krlc.grammar`. Out: `TABLE`, loaded once when
this module is imported (about a millisecond).
Invariants: symbols are small numbers, terminals first; in a row a shift or goto is the number of
the next state, a reduction is the complement (`~`) of its production's number. `viable` gives the
exact answer of canonical LR(1), although rows come from merged states.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

PASS, GATHER, LIST, BUILD = range(4)
"""What a reduction does: hand on its one child, grow a list, close a list, call a builder."""

_KINDS = {"pass": PASS, "gather": GATHER, "list": LIST, "build": BUILD}


class Production(NamedTuple):
    """One production. `kept` are the children of a list that count; `layout` places options."""

    left: int
    size: int
    kind: int
    builder: str
    kept: tuple[int, ...]
    layout: tuple[int, ...]


class _File(msgspec.Struct):
    grammar: str
    end: int
    terminals: list[str]
    nonterminals: list[str]
    productions: list[tuple[int, int, str, str, list[int]]]
    states: list[list[int]]


class Table:
    """A parse table: `rows[state]` maps a symbol to a shift, a goto or a reduction."""

    def __init__(self, data: bytes) -> None:
        """Load the text that `grammar.make_table` gives."""
        file = msgspec.json.decode(data, type=_File)
        self.grammar_hash = file.grammar
        self.end_state = file.end
        self.terminals = file.terminals
        self.symbol_count = len(file.terminals) + len(file.nonterminals)
        self.end = file.terminals.index("$END")
        self.number = {name: i for i, name in enumerate(file.terminals)}
        self.rows = [dict(zip(row[::2], row[1::2], strict=True)) for row in file.states]
        self.productions = []
        for left, size, kind, builder, places in file.productions:
            is_list = kind != "build"
            kept, layout = (tuple(places), ()) if is_list else ((), tuple(places))
            self.productions.append(Production(left, size, _KINDS[kind], builder, kept, layout))

    def viable(self, states: list[int], terminal: int, depth: int = 0) -> bool:
        """Say whether the parser, after the reductions a terminal triggers, would shift it.

        This undoes the merging of look-aheads in LALR tables: a row may promise a terminal that
        another way into the same state allows.
        Shapes: a `depth` other than 0 looks at that many states from the bottom only.
        Cost: O(reductions); the state stack is only read.
        """
        rows, productions = self.rows, self.productions
        depth = depth or len(states)
        top = states[depth - 1]
        pushed: list[int] = []
        while True:
            action = rows[top].get(terminal)
            if action is None:
                return terminal == self.end and top == self.end_state
            if action >= 0:
                return True
            left, size = productions[~action][:2]
            over = size - len(pushed)
            if over <= 0:
                del pushed[len(pushed) - size :]
            else:
                pushed.clear()
                depth -= over
            top = rows[pushed[-1] if pushed else states[depth - 1]][left]
            pushed.append(top)

    def viable_terminals(self, states: list[int]) -> set[str]:
        """Name every terminal that could come next. Cost: for messages only."""
        count = len(self.terminals)
        return {
            self.terminals[symbol]
            for symbol in self.rows[states[-1]]
            if symbol < count and self.viable(states, symbol)
        }


TABLE = Table(Path(__file__).with_name("krl.table").read_bytes())
