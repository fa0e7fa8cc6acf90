"""Text and syntax codes: each has a failing file, and says about it what stands beside it."""

from pathlib import Path

import pytest

from krlc.codes import CODES
from krlc.diagnostics import render
from krlc.parser import parse
from krlc.source import Source

HERE = Path(__file__).resolve().parent
SYNTAX = [code for code in CODES if code.startswith(("K01", "K02")) and CODES[code].failing]


def test_syntax_codes_have_files() -> None:
    assert {path.stem for path in HERE.glob("K*.krl")} == set(SYNTAX)
    assert {path.stem for path in HERE.glob("K*.txt")} == set(SYNTAX)


@pytest.mark.parametrize("code", SYNTAX)
def test_syntax_code_message(code: str) -> None:
    text = HERE.joinpath(f"{code}.krl").read_text("utf-8")
    assert text == CODES[code].failing
    source = Source(text, f"{code}.krl")
    _, found = parse(source)
    assert [d.code for d in found] == [code]
    assert render(found, source) == HERE.joinpath(f"{code}.txt").read_text("utf-8")


@pytest.mark.parametrize("code", SYNTAX)
def test_syntax_code_title_belongs_to_page(code: str) -> None:
    _, found = parse(Source(CODES[code].failing, "x"))
    pattern = CODES[code].title.split("`…`")
    place = 0
    for part in pattern:
        place = found[0].title.find(part, place)
        assert place >= 0, (found[0].title, CODES[code].title)
        place += len(part)


# Other ways to the same codes: the token that is named, and what is proposed.
HINTS = [
    ("ruleset a { meta { shars x } }", "K0222", "shares"),
    ("ruleset a { rule r { selct when a b } }", "K0201", "select"),
    ("ruleset a { rule r { select when a b within 3 minuts } }", "K0215", "minute`"),
    ("ruleset a { rule r { fired { log wran x } } }", "K0217", "warn"),
    ("ruleset a { rule r { fired { ent:x = 1 } } }", "K0201", "`:=`"),
    ("ruleset a { global { x = y = 1 } }", "K0205", "=="),
    ("ruleset a { global { x := 1 } }", "K0205", "write `x = value`"),
    ("ruleset a { rule r { select when a b noop()\n rule s { } } }", "K0229", "every"),
    ("ruleset a {\n global {\n", "K0201", "line 2"),
    ("ruleset a { global { x = 1 # one\n } }", "K0101", "//"),
    ("ruleset a { global { x = a & b } }", "K0101", "&&"),
    ("ruleset a { global { x = !b } }", "K0101", "not"),
    ("ruleset a { global { f = function(return) { 1 } } }", "K0206", "return_"),
    ("ruleset a { global { d = defaction() { return 1 } } }", "K0220", "noop()"),
    ("ruleset a { global { d = defaction() { noop() returns 1 } } }", "K0224", "[a, b]"),
    ("ruleset a.7b { }", "K0210", "letter"),
    ("ruleset a { rule r { select when p: } }", "K0213", "`p name`"),
    ("x = any(y)", "K0226", ".any("),
    ("x = 1 )", "K0202", None),
    ("[1, 2", "K0201", None),
]


@pytest.mark.parametrize(("text", "code", "hint"), HINTS, ids=[h[0][:50] for h in HINTS])
def test_syntax_hint(text: str, code: str, hint: str | None) -> None:
    _, found = parse(Source(text, "a.krl"))
    assert found[0].code == code, found
    if hint is not None:
        assert hint in " ".join(found[0].hints), found
