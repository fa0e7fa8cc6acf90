"""Tokens of KRL: a scanner with three modes, and the typing of words.

In: source text and the parser's state stack. Out: one token at a time, as the number of a terminal
and the place it stands. Scanning never fails: what is no token becomes a number below zero, which
no state accepts, so it is an error only when the parser reaches it.
Invariants: the mode (default, chevron text, ruleset id) follows from the parser's state alone, so a
chevron resumes by itself after a beesting, at true positions and to any depth. KRL has hardly a
reserved word; what a word is depends on what the parser could shift: see `Lexer.type_word`.
Not here: values of tokens (`builder.py`), messages (`faults.py`).

Source: `spec` of the language, sections 1.1 to 1.6.
"""

from __future__ import annotations

import re

from krlc.parse_table import TABLE

_NUMBER_OF = TABLE.number

ILLEGAL, UNCLOSED_STRING, UNCLOSED_REGEXP, UNCLOSED_COMMENT = -1, -2, -3, -4
END = _NUMBER_OF["$END"]


def words(text: str) -> tuple[str, ...]:
    """Split a list of words, written as one string."""
    return tuple(text.split())


RESERVED = frozenset(words("defaction function return not setting null true false"))
OPERATOR_WORDS = frozenset(
    words("like cmp and or before then after between any count repeat")
)  # may be declared, but cannot begin an expression
POSTLUDE_WORDS = frozenset(words("always fired notfired else finally"))
STATEMENT_WORDS = frozenset(words("clear raise schedule log error last"))
TIME_UNITS = words("second minute hour day week month year")

_BLANK = (
    r"(?:[\t-\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]++"
    r"|//[^\n\r]*+|/\*[\s\S]*?\*/)*+"
)
_SIGNS = sorted(
    words("<=> <= < || | == => = := : >= >< > && != ( ) { } [ ] , / . - % + ; * <<"),
    key=len,
    reverse=True,
)
_SYMBOL = r"[A-Za-z_$][A-Za-z0-9_$]*+"

skip_blank = re.compile(_BLANK).match
_scan_default = re.compile(
    _BLANK
    + r"(?:(re#(?:[^#\\]++|\\[\s\S])*+#[gim]*+)"  # 1 regexp
    + rf"|({_SYMBOL})"  # 2 word; before numbers and strings, with which it shares no start
    + rf"|((?!/\*)(?:{'|'.join(map(re.escape, _SIGNS))})(?<!\.(?=[0-9])))"  # 3 sign
    + r'|("(?:[^"\\]++|\\[\s\S])*+")'  # 4 string
    + r"|([0-9]++(?:\.[0-9]++)?+|\.[0-9]++)"  # 5 number
    + r"|(\Z)"  # 6 end
    + r'|(")'  # 7 unclosed string
    + r"|(/\*)"  # 8 unclosed comment
    + r"|([\s\S]))"  # 9 illegal
).match
_WORD_GROUP, _SIGN_GROUP, _NUMBER_GROUP = 2, 3, 5
_scan_chevron = re.compile(r"((?:[^\\>#]++|\\[\s\S]|>(?!>)|#(?!\{)|\\\Z)++)|(>>)|(#\{)|(\Z)").match
_scan_rid = re.compile(rf"{_BLANK}({_SYMBOL}(?:[.-]{_SYMBOL})*+)").match
_is_equals_ahead = re.compile(_BLANK + r"=(?![=>])").match
_is_colon_ahead = re.compile(_BLANK + r":(?!=)").match
_is_regexp_ahead = re.compile(_BLANK + r"re#").match

_GROUP_KIND = (
    ILLEGAL,
    _NUMBER_OF["REGEXP"],
    0,  # a word: typed by the parser's state
    0,  # a sign: by its text
    _NUMBER_OF["STRING"],
    _NUMBER_OF["NUMBER"],
    END,
    UNCLOSED_STRING,
    UNCLOSED_COMMENT,
    ILLEGAL,
)
_CHEVRON_KIND = (ILLEGAL, _NUMBER_OF["CHEVRON_TEXT"], _NUMBER_OF[">>"], _NUMBER_OF["#{"], END)
_SIGN_KIND = {
    sign: _NUMBER_OF[
        "MULTIPLY"
        if sign in {"*", "/", "%"}
        else "COMPARE"
        if sign in {"==", "!=", "<=>", "<=", ">=", "><", "<", ">"}
        else sign
    ]
    for sign in _SIGNS
}
_KEYWORD = {name: i for name, i in _NUMBER_OF.items() if name.isalpha() and name.islower()}
_KEYWORD |= {unit + s: _NUMBER_OF["TIMEUNIT"] for unit in TIME_UNITS for s in ("", "s")}
_KEYWORD |= dict.fromkeys(["max", "min", "sum", "avg", "push"], _NUMBER_OF["AGGREGATOR"])

_SYM, _DECLID, _ATTRKEY, _DOMID, _WORD, _INT, _NUMBER, _RID, _ANY, _EVERY = (
    _NUMBER_OF[n] for n in words("SYM DECLID ATTRKEY DOMID WORD INT NUMBER RID any every")
)
_DEFAULT, _CHEVRON, _RULESET_ID = range(3)
_MODE = [
    _CHEVRON if _NUMBER_OF[">>"] in row else _RULESET_ID if _RID in row else _DEFAULT
    for row in TABLE.rows
]


class Lexer:
    """The scanner over one text. After `scan`, `start` and `end` are the token's place."""

    __slots__ = ("end", "start", "text", "value")

    def __init__(self, text: str) -> None:
        self.text = text
        self.start = 0
        self.end = 0
        self.value = ""

    def after_blank(self, place: int) -> int:
        """Find where the next token starts, from a place on."""
        blank = skip_blank(self.text, place)
        return blank.end() if blank else place

    def scan(self, states: list[int]) -> int:
        """Find the next token from `end` on and give its terminal (below zero: an error).

        Cost: one or two regular-expression matches.
        """
        mode = _MODE[states[-1]]
        if mode == _CHEVRON:
            found = _scan_chevron(self.text, self.end)
            assert found is not None  # its last alternative matches anywhere
            group = found.lastindex or 0
            self.start, self.end = found.span()
            self.value = found[0]
            return _CHEVRON_KIND[group]
        if mode == _RULESET_ID:
            found = _scan_rid(self.text, self.end)
            if found is not None:
                self.start, self.end = found.span(1)
                self.value = found[1]
                return _RID
        found = _scan_default(self.text, self.end)
        assert found is not None
        group = found.lastindex or 0
        self.start, self.end = found.span(group)
        self.value = value = found[group]
        if group == _WORD_GROUP:
            if value == "re" and self.text.startswith("#", self.end):
                return UNCLOSED_REGEXP
            return self.type_word(value, states)
        if group == _SIGN_GROUP:
            return _SIGN_KIND[value]
        if group == _NUMBER_GROUP and _INT in TABLE.rows[states[-1]] and value.isdigit():
            return _INT
        return _GROUP_KIND[group]

    def type_word(self, word: str, states: list[int]) -> int:
        """Decide what a word is where the parser stands.

        The order matters: an event's name is any word at all; the words that open a postlude
        statement win over declarations; a name before `=` is declared, one before `re#` is an
        attribute, one before `:` may be assigned to; then come keywords, where the parser would
        really shift them; an operator word that would begin an expression stays an operator, and a
        postlude word that would begin an action block stays one (both fail there); everything
        else is a plain symbol.
        """
        row = TABLE.rows[states[-1]]
        if _WORD in row:
            return _WORD
        viable = TABLE.viable
        keyword = _KEYWORD.get(word)
        if keyword is not None:
            if word in RESERVED:
                return keyword
            is_viable = keyword in row and viable(states, keyword)
            if is_viable and word in STATEMENT_WORDS:
                return keyword
        text, end = self.text, self.end
        if _DECLID in row and _is_equals_ahead(text, end) and viable(states, _DECLID):
            return _DECLID
        if _ATTRKEY in row and _is_regexp_ahead(text, end) and viable(states, _ATTRKEY):
            return _ATTRKEY
        if _DOMID in row and _is_colon_ahead(text, end) and viable(states, _DOMID):
            return _DOMID
        if keyword is None:
            return _SYM
        if is_viable:
            return keyword
        if word in POSTLUDE_WORDS and _EVERY in row and viable(states, _EVERY):
            return keyword
        if word in OPERATOR_WORDS:
            if _NUMBER in row and viable(states, _NUMBER):
                return keyword
            if _ANY in row and word in {"like", "cmp", "between"} and viable(states, _ANY):
                return keyword
        return _SYM
