"""Where the parser goes on after an error.

In: a parser that stands at a token it cannot use. Out: the same parser with its stacks cut and its
lexer moved to a place from which it can go on, or False when there is none.
Invariants: the lexer always moves on, so recovery ends; what is cut is lost, and a source with
errors yields no tree. Places to go on: `rule name {` at any depth, `name =` where no bracket is
open, and a closing brace that nothing after the error opened.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from krlc import lexer
from krlc.parse_table import TABLE

if TYPE_CHECKING:
    from krlc.parser import Parser

_RULE = TABLE.number["rule"]
_DECLID = TABLE.number["DECLID"]
_END = TABLE.end
_CLOSE = TABLE.number["}"]

RECOVERIES_MAX = 200
"""A source that needs more of them is no KRL; what was found so far says enough."""

_is_rule = re.compile(r"rule\s+[A-Za-z_$][A-Za-z0-9_$]*+\s*+(?:is\s+(?:in)?active\s*+)?\{").match
# Strings end with their line here, so that one that is not closed costs a line and no more.
_piece = re.compile(
    r're#(?:[^#\\\n\r]|\\.)*+#|([A-Za-z_$][A-Za-z0-9_$]*+)|"(?:[^"\\\n\r]|\\.)*+"|([{}])|<<|[\s\S]'
).match
_is_equals_ahead = re.compile(r"[ \t\r\n]*+=(?![=>])").match


def resume(parser: Parser) -> bool:
    """Cut the parser back to a state that fits the next place to go on, and move there.

    Cost: O(text skipped + depth of the stack).
    """
    scanner = parser.lexer
    text, first = scanner.text, scanner.start
    parser.recoveries += 1
    if parser.recoveries > RECOVERIES_MAX or scanner.end == first:
        return False
    position = first
    if parser.starts and _is_rule(text, parser.starts[-1]):
        position = parser.starts[-1]  # the rule's own `rule` was taken for the name of an action
    fits: dict[int, int] = {}
    depth = 0
    while True:
        position = scanner.after_blank(position)
        found = _piece(text, position)
        if found is None or text.startswith("/*", position):
            return False
        terminal = None
        word, brace = found.groups()
        if word == "rule" and _is_rule(text, position):
            terminal = _RULE
        elif word and depth == 0 and position > first and word not in lexer.RESERVED:
            if _is_equals_ahead(text, found.end()) and _is_first(text, position):
                terminal = _DECLID
        elif brace == "{":
            depth += 1
        elif brace == "}":
            if depth:
                depth -= 1
            else:
                terminal = _CLOSE
        if terminal is not None:
            if terminal not in fits:
                fits[terminal] = _fitting(parser.states, terminal)
            if fits[terminal]:
                kept = fits[terminal]
                cut = parser.starts[kept - 1 :]
                if not cut and kept > 1:
                    # An error shows at the first token that cannot be: what stands before it is
                    # whole, but may have swallowed a piece of what was meant.
                    cut = [parser.ends[kept - 2] - 1]
                parser.lost.append((min([first, *cut]), position))
                _cut(parser, kept)
                scanner.end = position
                return True
        position = _skip(text, found.end(), found.group())


def _is_first(text: str, position: int) -> bool:
    """Say whether a declaration can start here: on a new line, or after `;` or a brace."""
    before = position - 1
    while before >= 0 and text[before] in " \t":
        before -= 1
    return before < 0 or text[before] in "\r\n;{}"


def _skip(text: str, end: int, piece: str) -> int:
    """Go past a piece; a chevron counts as one, and an open string ends with its line."""
    if piece == "<<":
        close = text.find(">>", end)
        return len(text) if close < 0 else close + 2
    if piece == '"':
        line_end = text.find("\n", end)
        return len(text) if line_end < 0 else line_end
    return end


def _fitting(states: list[int], terminal: int) -> int:
    """Count the states to keep so that a terminal becomes possible: as many as can be, or 0.

    A name before `=` must be a declaration's: parameters and arguments look the same, and going on
    inside their open parenthesis would only bring more errors.
    """
    for kept in range(len(states), 0, -1):
        if TABLE.viable(states, terminal, kept) and (
            terminal != _DECLID or any(TABLE.viable(states, end, kept) for end in (_CLOSE, _END))
        ):
            return kept
    return 0


def _cut(parser: Parser, kept: int) -> None:
    """Drop all states but the lowest, with the values that stand on them."""
    del parser.states[kept:]
    for stack in (parser.values, parser.starts, parser.ends, parser.depths):
        del stack[kept - 1 :]
