"""The command that turns `krl.lark` into the parse table the compiler ships.

In: the grammar. Out: `krl.table`, JSON with one line for each production and each state.
Invariants: the same grammar gives the same bytes under any hash seed (states are numbered in the
order a walk from the start reaches them); the number of shift/reduce conflicts is the one below.
This is the only module that needs lark, and nothing imports it at run time: the table is all the
parser reads, so starting a compiler costs no lark import and no grammar analysis.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

GRAMMAR_PATH = Path(__file__).with_name("krl.lark")
TABLE_PATH = Path(__file__).with_name("krl.table")
CONFLICTS = 11
"""`( { [` after a postfix expression, and `+ -` after each of the four shapes of a sum."""


class GrammarError(Exception):
    """The grammar is not the LALR(1) grammar that the parser was written for."""


class _ConflictLog(logging.Handler):
    """Counts the conflicts that lark settles by shifting; it only mentions them to its log."""

    def __init__(self) -> None:
        super().__init__()
        self.conflicts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message.startswith("Shift/Reduce conflict"):
            self.conflicts.append(message)


def _analyse(grammar: str) -> tuple[Any, list[str]]:
    """Let lark build the LALR(1) table of a grammar; give it and the conflicts met.

    Raises: GrammarError when lark cannot (reduce/reduce conflicts included).
    """
    import lark
    from lark.lexer import Lexer

    class NoLexer(Lexer):
        def __init__(self, conf: object) -> None: ...

        def lex(self, state: object, parser_state: object) -> Iterator[Any]:
            return iter(())

    log = _ConflictLog()
    level = lark.logger.level
    lark.logger.addHandler(log)
    lark.logger.setLevel(logging.DEBUG)
    propagate, lark.logger.propagate = lark.logger.propagate, False
    handlers = [h for h in lark.logger.handlers if h is not log]
    for handler in handlers:
        lark.logger.removeHandler(handler)
    try:
        built = lark.Lark(
            grammar, parser="lalr", lexer=NoLexer, keep_all_tokens=True, maybe_placeholders=True
        )
    except lark.exceptions.LarkError as fault:
        raise GrammarError(str(fault)) from fault
    finally:
        lark.logger.removeHandler(log)
        for handler in handlers:
            lark.logger.addHandler(handler)
        lark.logger.setLevel(level)
        lark.logger.propagate = propagate
    return built, log.conflicts


def _layout(rule: Any) -> list[int]:
    """Where a production's children go: -1 for an absent option, else the child's number.

    Shapes: empty when every child is present, which needs no rearranging.
    """
    marks = rule.options.empty_indices
    if not any(marks):
        return []
    layout, child = [], 0
    for is_absent in marks:
        layout.append(-1 if is_absent else child)
        child += not is_absent
    return layout


def _production(rule: Any, symbols: dict[str, int], lists: set[str]) -> list[Any]:
    """Describe one production: left side, length, kind, builder, layout or kept children."""
    origin: str = rule.origin.name
    left, size = symbols[origin], len(rule.expansion)
    kept = [i for i, symbol in enumerate(rule.expansion) if not symbol.is_term]
    if origin.startswith("__"):
        return [left, size, "gather", "", kept]
    if origin in lists:
        return [left, size, "list", "", kept]
    if rule.alias is None and size == 1 and (rule.options.expand1 or origin == "start"):
        return [left, size, "pass", "", []]
    return [left, size, "build", rule.alias or origin, _layout(rule)]


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def make_table(grammar: str) -> str:
    """Compile a grammar to the text of its table.

    Raises: GrammarError when the grammar is not LALR(1) but for the conflicts we mean.
    """
    built, conflicts = _analyse(grammar)
    if len(conflicts) != CONFLICTS:
        listing = "\n".join(conflicts)
        raise GrammarError(f"{len(conflicts)} conflicts, expected {CONFLICTS}:\n{listing}")
    table = built.parser.parser._parse_table
    literals = {t.name: t.pattern.value for t in built.terminals}
    terminals = sorted({s.name for r in built.rules for s in r.expansion if s.is_term} | {"$END"})
    nonterminals = sorted({r.origin.name for r in built.rules})
    symbols = {name: i for i, name in enumerate(terminals + nonterminals)}
    lists = {n[2:].rpartition("_star_")[0] for n in nonterminals if n.startswith("__")}
    rules = sorted(built.rules, key=lambda r: (r.origin.name, r.order, str(r), str(r.alias)))
    numbers = {rule: number for number, rule in enumerate(rules)}

    start = table.start_states["start"]
    order, seen = [start], {start}
    for state in order:  # grows while we walk it
        for name in sorted(table.states[state]):
            action, target = table.states[state][name]
            if str(action) == "Shift" and target not in seen:
                seen.add(target)
                order.append(target)
    renumbered = {state: number for number, state in enumerate(order)}
    rows = []
    for state in order:
        row: list[int] = []
        for name, (action, target) in sorted(table.states[state].items()):
            if name in symbols:
                is_shift = str(action) == "Shift"
                row += [symbols[name], renumbered[target] if is_shift else ~numbers[target]]
        rows.append(row)

    lines = [
        f'"grammar":"{sha256(grammar.encode()).hexdigest()}"',
        f'"end":{renumbered[table.end_states["start"]]}',
        f'"terminals":{_compact([literals.get(name, name) for name in terminals])}',
        f'"nonterminals":{_compact(nonterminals)}',
        '"productions":[\n'
        + ",\n".join(_compact(_production(rule, symbols, lists)) for rule in rules)
        + "]",
        '"states":[\n' + ",\n".join(_compact(row) for row in rows) + "]",
    ]
    return "{" + ",\n".join(lines) + "}\n"


def main(arguments: list[str]) -> int:
    """Write the table, or with `--check` only say whether it is current."""
    try:
        table = make_table(GRAMMAR_PATH.read_text("utf-8"))
    except GrammarError as fault:
        print(f"krl.lark: {fault}", file=sys.stderr)
        return 1
    if "--check" in arguments:
        is_current = TABLE_PATH.exists() and TABLE_PATH.read_text("utf-8") == table
        if not is_current:
            print("krl.table is not current; run python -m krlc.grammar", file=sys.stderr)
        return 0 if is_current else 1
    TABLE_PATH.write_text(table, "utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
