"""The printer: canonical form, meaning kept, comments kept, nothing left to do the second time."""

from pathlib import Path

import pytest
import trees
from hypothesis import given, settings
from hypothesis import strategies as st

from krlc.comments import read_with_comments
from krlc.lexer import Lexer
from krlc.nodes import Fragment, Node, Ruleset
from krlc.parser import Parser, parse
from krlc.printer import format_source, format_tree, is_same
from krlc.source import Source

ROOT = Path(__file__).resolve().parents[2]
PAIRS = sorted((Path(__file__).parent / "printer").glob("*.krl"))
VALID = [
    path
    for path in sorted(ROOT.rglob("*.krl"))
    if ".venv" not in path.parts and parse(Source(path.read_text("utf-8"), path.name))[0]
]


def check(tree: Node) -> str:
    """Print a tree, parse it, print it again."""
    text = format_tree(tree)
    again, found = parse(Source(text, "printed.krl"))
    assert again is not None, (text, found)
    assert is_same(tree, again), text
    assert format_tree(again) == text
    return text


@trees.FEW
@given(trees.rulesets())
def test_printer_ruleset_means_the_same(tree: Ruleset) -> None:
    check(tree)


@trees.FEW
@given(trees.fragments)
def test_printer_fragment_means_the_same(tree: Fragment) -> None:
    check(tree)


class _Tokens(Lexer):
    """Notes where tokens stand, and which gaps may hold comments."""

    __slots__ = ("gaps",)

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.gaps: list[int] = []

    def scan(self, states: list[int]) -> int:
        end = self.end
        terminal = super().scan(states)
        # Where blanks are, a comment may stand too; ids and chevrons hold none inside.
        if end < self.start:
            self.gaps.append(end)
        return terminal


COMMENTS = (
    "// one\n",
    "/* two */",
    "\n// three\n\n",
    "/* four\n   five */",
    "\n\n\n/**/ ",
    "//\r\n",
)


@settings(trees.FEW, max_examples=15)  # each is parsed five times
@given(trees.rulesets() | trees.fragments, st.data())
def test_printer_keeps_comments(tree: Node, data: st.DataObject) -> None:
    text = format_tree(tree)
    parser = Parser(Source(text, "printed.krl"))
    tokens = _Tokens(text)
    parser.lexer = tokens
    parser.run()
    for gap in reversed(tokens.gaps):
        if data.draw(st.integers(0, 3)) == 0:
            comment = data.draw(st.sampled_from(COMMENTS))
            text = text[:gap] + " " + comment + text[gap:]
    source = Source(text, "commented.krl")
    root, comments = read_with_comments(source)
    assert root is not None
    assert is_same(tree, root)
    printed = format_source(source)  # compares meaning and comments itself
    assert len(read_with_comments(Source(printed, "x"))[1]) == len(comments)
    assert format_source(Source(printed, "commented.krl")) == printed


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.name)
def test_printer_file_round_trip(path: Path) -> None:
    source = Source(path.read_bytes().decode("utf-8"), path.name)
    printed = format_source(source)
    assert format_source(Source(printed, path.name)) == printed


@pytest.mark.parametrize("path", PAIRS, ids=lambda path: path.stem)
def test_printer_canonical_form(path: Path) -> None:
    expected = path.with_suffix(".txt").read_bytes().decode("utf-8")
    assert format_source(Source(path.read_bytes().decode("utf-8"), path.name)) == expected


def test_printer_refuses_source_with_errors() -> None:
    with pytest.raises(ValueError, match="syntax errors"):
        format_source(Source("ruleset a {", "a.krl"))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("x", "(x)", True),
        ("a - b - c", "a - (b - c)", False),
        ("<<a#{'b'}>>".replace("'", '"'), "<<ab>>", True),
        ("[1]", "[1, 1]", False),
        ("1", "x", False),
    ],
)
def test_printer_is_same(one: str, other: str, same: bool) -> None:
    a, b = parse(Source(one, "x"))[0], parse(Source(other, "x"))[0]
    assert a is not None
    assert b is not None
    assert is_same(a, b) is same
