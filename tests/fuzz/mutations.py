"""Texts that are nearly KRL: rulesets with pieces cut out, doubled, exchanged, or junk put in.

In: a text, other texts to take pieces from, and a source of chance. Out: a mutated text, of bounded
size. Not here: rulesets that compile (`programs.py`).
"""

from __future__ import annotations

import re
from random import Random

from krlc.lexer import words

PIECE = re.compile(r"\s+|[A-Za-z_$][\w$]*|[0-9.]+|<<|>>|#\{|:=|=>|.", re.S)
JUNK = words(
    "\0 \ud800 \udfff \ufeff \u2028 \U0001f600 é ' @ ` ~ ^ & ! # \\ \" << >> #{ } { ( ) [ ] re# // "
    "/* */ ; , . : := = => | || && not + - -- * 1e9 9999999999999999999999 0x1f .. <=> >< null "
    "return function(){ defaction(){ ruleset rule meta global select when within foreach setting "
    "pre every choose fired else finally raise clear ent:x event:attrs last on final if then any 2 "
    "count 3 repeat schedule log error"
)


def pieces(text: str) -> list[str]:
    """Cut a text into words, numbers, signs and blanks."""
    return PIECE.findall(text)


def _exchange(chance: Random, found: list[str], others: list[str]) -> None:
    """Put another word for a word, or another sign for a sign: often still KRL."""
    for _ in range(1 + chance.randrange(3)):
        donor = pieces(chance.choice(others)) if chance.randrange(2) else found
        if not donor or not found:
            return
        at, piece = chance.randrange(len(found)), chance.choice(donor)
        if found[at][0].isalpha() == piece[0].isalpha() and not piece.isspace():
            found[at] = piece


def mutate(chance: Random, text: str, others: list[str], size_max: int = 4_000) -> str:
    """Change a text in up to four ways."""
    found = pieces(text)
    if len(found) > size_max // 4:
        start = chance.randrange(len(found) - size_max // 4)
        found = found[: size_max // 8] + found[start : start + size_max // 8]
    for _ in range(chance.choice((1, 1, 2, 4))):
        way = chance.randrange(11)
        at = chance.randrange(len(found) + 1)
        to = min(len(found), at + 1 + chance.randrange(6))
        if way == 0:
            del found[at:to]
        elif way == 1:
            found[at:at] = found[at:to] * (1 + chance.randrange(3))
        elif way == 2:
            other = chance.randrange(len(found) + 1)
            found[at : at + 1], found[other : other + 1] = (
                found[other : other + 1],
                found[at : at + 1],
            )
        elif way <= 4:
            found.insert(at, chance.choice(JUNK) + chance.choice(("", " ")))
        elif way == 5:
            donor = pieces(chance.choice(others))
            start = chance.randrange(len(donor) + 1)
            found[at:at] = donor[start : start + 1 + chance.randrange(12)]
        elif way == 6:
            del found[at:]
        elif way <= 9:
            _exchange(chance, found, others)
        else:
            found[at:at] = [chance.choice(JUNK)] * chance.randrange(300)
    return "".join(found)
