"""What to say when the parser cannot go on.

In: the parser's stacks and the token it met. Out: one K01xx or K02xx diagnostic.
Invariants: the span starts where `spec` of the language, sections 4 and 18.4, says; what is
expected comes from the terminals that are really viable, never from a merged table row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from krlc import lexer, nodes, spell
from krlc.diagnostics import Diagnostic
from krlc.parse_table import TABLE
from krlc.source import Span

if TYPE_CHECKING:
    from krlc.parser import Parser

_Said = tuple[str, str, str, tuple[str, ...]]  # code, title, label, hints

_RULE_WORDS = lexer.words(
    "select foreach pre if every sample choose always fired notfired else finally"
)
_META_KEYS = lexer.words(
    "name description author version logging key keys use errors configure provides"
    " provide shares share"
)
_STATEMENTS = lexer.words("clear raise schedule log error last")
_LEVELS = lexer.words("error warn info debug")
_UNITS = tuple(unit + s for unit in lexer.TIME_UNITS for s in ("", "s"))

# What to name when several signs or words would do: the one that closes or goes on with the
# construct, in this order.
_LIKELY = lexer.words(
    ":= = | ) ] } >> event module to using between ( then setting on final when"
    " ruleset meta { => : ,"
)

_AFTER_EXPRESSION = (*_LIKELY[: _LIKELY.index("(")], "then")


def empty_source() -> Diagnostic:
    """Say that a source holds nothing."""
    return Diagnostic(
        "K0228",
        "source holds no ruleset",
        Span(0, 0),
        "nothing here",
        ("start with `ruleset my.ruleset { … }`",),
    )


def too_deep(start: int, end: int) -> Diagnostic:
    """Say that nesting or a chain of operators goes beyond the bound."""
    return Diagnostic(
        "K0227",
        "expression is nested too deeply",
        Span(start, end),
        "the limit is reached here",
        ("give a part of it a name and use the name",),
    )


class _Place:
    """Where the parser stands: the token met, the word before it, what could come."""

    def __init__(self, parser: Parser, terminal: int) -> None:
        scanner = parser.lexer
        self.parser = parser
        self.terminal = terminal
        self.text = scanner.value
        self.start, self.end = scanner.start, scanner.end
        self.viable = TABLE.viable_terminals(parser.states)
        start, end = (parser.starts[-1], parser.ends[-1]) if parser.values else (0, 0)
        self.previous = parser.source.text[start:end] if parser.values else ""
        self.previous_end = end

    @property
    def is_end(self) -> bool:
        return self.terminal == lexer.END

    @property
    def is_word(self) -> bool:
        return self.text[:1].isalpha() or self.text[:1] in ("_", "$")

    @property
    def found(self) -> str:
        """The token met, for a label."""
        if self.is_end:
            return "the source ends here"
        text = self.text if len(self.text) <= 24 else self.text[:21] + "…"
        return f"found `{text}`" if "\n" not in text and "\r" not in text else "found this"


def explain(parser: Parser, terminal: int) -> Diagnostic:
    """Describe the error at the parser's current token."""
    place = _Place(parser, terminal)
    code, title, label, hints = (
        _text_fault(place)
        or _after_ruleset(place)
        or _ruleset_id(place)
        or _missing_choice(place)
        or _end_of_source(place)
        or _block(place)
        or _expression(place)
        or _name(place)
        or _literal(place)
    )
    start, end = place.start, place.end
    if place.is_end:
        start = end = len(parser.source.text.rstrip())
    elif place.text == "returns" and code == "K0224":
        start = end = parser.lexer.after_blank(end)
    elif code == "K0211":
        start = min(place.end, len(parser.source.text))
        end = min(start + 1, len(parser.source.text))
    return Diagnostic(code, title, Span(start, end), label, hints)


def _text_fault(place: _Place) -> _Said | None:
    terminal, text = place.terminal, place.text
    if terminal == lexer.UNCLOSED_STRING:
        return "K0102", "string is not closed", "starts here", ('close it with `"`',)
    if terminal == lexer.UNCLOSED_REGEXP:
        place.end += 1
        hint = "close it with `#`; a `#` inside the pattern is written `\\#`"
        return "K0103", "regular expression is not closed", "starts here", (hint,)
    if terminal == lexer.UNCLOSED_COMMENT:
        return "K0105", "comment is not closed", "starts here", ("close it with `*/`",)
    if place.is_end and ">>" in place.viable:
        parser = place.parser
        opened = max(i for i, value in enumerate(parser.values) if value == "<<")
        line = parser.source.point(parser.starts[opened]).line
        label = f"the source ends inside the chevron that line {line} opens"
        return "K0104", "chevron is not closed", label, ("close it with `>>`",)
    if terminal != lexer.ILLEGAL:
        return None
    label = f"`{text}` is no part of KRL" if text.isprintable() else "no part of KRL"
    hints: tuple[str, ...] = ()
    if text in ("'", "‘", "’", "“", "”"):
        hints = ('strings stand between double quotes: `"…"`',)
    elif text == "&":
        hints = ("`and` of two conditions is written `&&`",)
    elif text == "!":
        hints = ("write `not …`, or `!=` for unequal",)
    elif text == "#":
        hints = ("comments start with `//`",)
    return "K0101", "character has no meaning here", label, hints


def _after_ruleset(place: _Place) -> _Said | None:
    if place.viable != {"$END"}:
        return None
    hint = "a file holds one ruleset; is a `}` too many above?"
    return "K0225", "text after the end of the ruleset", "nothing may follow here", (hint,)


def _ruleset_id(place: _Place) -> _Said | None:
    if "RID" in place.viable:
        hint = "a ruleset id is words joined by dots or dashes, such as `my.first-ruleset`"
        return "K0210", "expected a ruleset id", place.found, (hint,)
    parser = place.parser
    if place.start != place.previous_end or not _ends_with_rid(parser):
        return None
    if place.text in (".", "-"):
        hint = f"write `{place.previous}` without the `{place.text}`, or go on with a word"
        label = f"a word must follow the `{place.text}` at once"
        return "K0211", "ruleset id ends too early", label, (hint,)
    if place.text[:1] == ".":
        hint = "start the part with a letter"
        return "K0210", "expected a ruleset id", "a part of it starts with a digit", (hint,)
    return None


def _ends_with_rid(parser: Parser) -> bool:
    """Say whether the last thing read is a ruleset id, reduced to a node or still a token."""
    if not parser.values:
        return False
    is_node = isinstance(parser.values[-1], nodes.RulesetId)
    return is_node or "RID" in TABLE.viable_terminals(parser.states[:-1])


def _missing_choice(place: _Place) -> _Said | None:
    """One of a few words or a number must come."""
    viable, found = place.viable, place.found
    if {"when", "where"} <= viable and "setting" not in viable:
        return "K0214", "expected `when` or `where`", found, _near(place, ("when", "where"))
    if "TIMEUNIT" in viable:
        hints = _near(place, _UNITS) or (f"the units are {', '.join(lexer.TIME_UNITS)}",)
        return "K0215", "expected a unit of time", found, hints
    if {"at", "repeat"} <= viable and "any" not in viable:
        hint = 'write `at time` or `repeat "timespec"` after the event'
        return "K0216", "expected `at` or `repeat`", found, (hint,)
    if "warn" in viable:
        hints = _near(place, _LEVELS) or ('write a level first: `log info "…"`',)
        return "K0217", "expected a log level", found, hints
    if "off" in viable:
        return "K0218", "expected `on` or `off`", found, ()
    if "inactive" in viable:
        return "K0219", "expected `active` or `inactive`", found, ()
    if "INT" in viable:
        return "K0209", "expected a whole number", found, (f"write `{place.previous} 3 (…)`",)
    if "WORD" in viable:
        at = -2 if place.previous == ":" else -1
        domain = place.parser.source.text[place.parser.starts[at] : place.parser.ends[at]]
        hint = f"an event has a domain and a name: `{domain} name`"
        return "K0213", "event has no name", found, (hint,)
    if "any" in viable:
        hint = "write `domain name`, an operator such as `any 2 (…)`, or `(…)`"
        return "K0212", "expected an event expression", found, (hint,)
    if viable == {"DECLID"}:
        if place.previous == "with":
            hint = "write `with name = value`"
            return "K0223", "nothing is configured after `with`", found, (hint,)
        return "K0205", "expected a declaration", found, ("write `name = value`",)
    if "STRING" in viable and "NUMBER" not in viable:
        if place.previous == "version":
            return "K0207", "expected a string", found, ('write `version "1.0"`',)
        hint = f'write `"{place.text}"`' if place.is_word else 'write `"key": value`'
        return "K0208", "expected a string as map key", found, (hint,)
    return None


def _end_of_source(place: _Place) -> _Said | None:
    if not place.is_end or "}" not in place.viable:
        return None
    return _literal(place)


def _block(place: _Place) -> _Said | None:
    """A part of a ruleset, rule, meta block, postlude or action block must come."""
    viable, found = place.viable, place.found
    if "author" in viable:
        if not place.is_word:
            return None
        hints = _near(place, _META_KEYS) or (f"meta has {', '.join(_META_KEYS[:5])}, …",)
        return "K0222", f"unknown meta property `{place.text}`", "not a property", hints
    if "raise" in viable:
        hints = _near(place, _STATEMENTS) or ("write `name = value`, `ent:name := value`, …",)
        return "K0205", "expected a declaration or statement", found, hints
    if "every" in viable:
        return _action(place)
    is_returns = place.text == "returns" and "return" in viable
    if is_returns or (place.previous == "returns" and "=>" in viable) or _follows_result(place):
        hint = "return one array or map: `return [a, b]`"
        return "K0224", "an action returns only one value", found, (hint,)
    if "always" in viable and place.is_word:
        hints = _near(place, _RULE_WORDS) or ("put several actions in `every { … }`",)
        return "K0229", "a rule has one action block", found, hints
    if "DECLID" in viable and "}" in viable and not viable & {"NUMBER", "SYM"}:
        hint = f"write `{place.text} = value`" if place.is_word else "write `name = value`"
        if place.text == "=":
            hint = "`==` compares; or does the line before end with an operator?"
        return "K0205", "expected a declaration", found, (hint,)
    return None


def _follows_result(place: _Place) -> bool:
    """Say whether the token is a comma after `return value` of a defaction."""
    if place.text != "," or "}" not in place.viable or "," in place.viable:
        return False
    values = place.parser.values
    return "return" in [value for value in values[-3:] if isinstance(value, str)]


def _action(place: _Place) -> _Said | None:
    viable, found = place.viable, place.found
    if "if" not in viable:
        if place.text == "{":
            hint = "write `every {`, `sample {` or `choose … {`"
            return "K0221", "expected `every`, `sample` or `choose`", found, (hint,)
        hint = "`noop()` does nothing"
        return "K0220", "expected an action after `then`", found, (hint,)
    if place.text == "return":
        hint = "write an action first; `noop()` does nothing"
        return "K0220", "expected an action before `return`", "no action yet", (hint,)
    return None


def _expression(place: _Place) -> _Said | None:
    if "NUMBER" not in place.viable:
        return None
    text = place.text
    if text in ("return", "setting") and place.terminal >= 0:
        hint = "choose another name, such as `" + text + "_value`"
        return "K0204", f"`{text}` is a reserved word", "an expression must start here", (hint,)
    if place.is_word and text in lexer.OPERATOR_WORDS:
        return (
            "K0226",
            f"`{text}` is an operator and cannot be read as a name",
            "an expression must start here",
            (f"rename the variable; to call the operator write `value.{text}(…)`",),
        )
    if "return" in place.viable and (text == "}" or place.is_end):
        hint = "end the body with an expression; `(`, `[` and `{` go on with the line before"
        return "K0203", "function has no result", found_result(place), (hint,)
    hints: tuple[str, ...] = ()
    if text == ":=":
        hints = ("`:=` assigns entity variables in a postlude; names are declared with `=`",)
    return "K0202", "expected an expression", place.found, hints


def found_result(place: _Place) -> str:
    """The label of a missing result: the body ends where its value should stand."""
    return "the source ends here" if place.is_end else "the body ends here"


def _name(place: _Place) -> _Said | None:
    if "SYM" not in place.viable:
        return None
    if place.text in lexer.RESERVED:
        return (
            "K0206",
            "expected a name",
            f"`{place.text}` is a reserved word",
            (f"choose another name, such as `{place.text}_`",),
        )
    if place.viable - {"SYM"} and "DECLID" not in place.viable:
        return None
    return "K0206", "expected a name", place.found, ()


def _literal(place: _Place) -> _Said:
    viable = place.viable
    likely = _AFTER_EXPRESSION if "COMPARE" in viable else _LIKELY
    wanted = next((sign for sign in likely if sign in viable), None)
    if wanted is None:
        signs = sorted(name for name in viable if not name.isupper())
        wanted = signs[0] if signs else "the end of the source"
    hints = _opened(place, wanted)
    wanted = wanted if " " in wanted else f"`{wanted}`"
    if place.previous.isidentifier() and "=>" in viable:
        hints = spell.hint(place.previous, _RULE_WORDS)
        if not hints and place.previous == "rule":
            hints = ("is a `}` missing before this rule?",)
    elif wanted == "`:=`" and place.text == "=":
        hints = ("write `:=` to assign an entity variable",)
    elif place.text == "=" and "COMPARE" in viable:
        hints = ("`==` compares",)
    elif "$END" in viable and place.text in (")", "]", "}"):
        return "K0225", f"`{place.text}` closes nothing", "nothing is open here", ()
    return "K0201", f"expected {wanted}", place.found, hints


def _opened(place: _Place, close: str) -> tuple[str, ...]:
    """Name the line of the bracket that waits for `close`, where that is another line."""
    opens = {")": "(", "]": "[", "}": "{"}.get(close)
    parser = place.parser
    for value, start in zip(reversed(parser.values), reversed(parser.starts), strict=True):
        if opens and value == opens:
            line = parser.source.point(start).line
            if line != parser.source.point(place.start).line:
                return (f"it closes the `{opens}` of line {line}",)
            break
    return ()


def _near(place: _Place, words: tuple[str, ...]) -> tuple[str, ...]:
    return spell.hint(place.text, words) if place.is_word else ()
