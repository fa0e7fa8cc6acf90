"""Literals and spelling: what is written reads back; what is proposed is near."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krlc import nodes as n
from krlc.literals import chevron_text, number_text, string_text
from krlc.node_dump import dump_nodes
from krlc.parser import parse
from krlc.source import Source
from krlc.spell import distance, hint, nearest

texts = st.text(st.characters() | st.sampled_from('\\">#{\n'), max_size=20)


def read(text: str) -> n.Node:
    root, found = parse(Source(text, "x"))
    assert isinstance(root, n.Fragment), found
    return root.items[0]


@given(texts)
def test_string_reads_back(value: str) -> None:
    node = read(string_text(value))
    assert isinstance(node, n.String)
    assert node.value == value


@given(texts)
def test_chevron_reads_back(value: str) -> None:
    for before, after in (("", ""), ("#{a}", ""), ("", "#{a}")):
        node = read(f"<<{before}{chevron_text(value)}{after}>>")
        assert isinstance(node, n.Chevron)
        assert "".join(p.value for p in node.parts if isinstance(p, n.String)) == value
        assert len(node.parts) == bool(value) + bool(before + after)


@given(st.floats(min_value=0, allow_nan=False, allow_infinity=False))
def test_number_reads_back(value: float) -> None:
    node = read(number_text(value))
    assert isinstance(node, n.Number)
    assert node.value == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (2**53, "9007199254740992"),
        (0.5, "0.5"),
        (1e-7, "0.0000001"),
        (1e21, "1" + "0" * 21),
    ],
)
def test_number_text(value: float, text: str) -> None:
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [("a\\nb", '"a\\nb"'), ('say "hi"', '"say \\"hi\\""'), ("end\\", '"end\\\\"')],
)
def test_string_text(value: str, text: str) -> None:
    assert string_text(value) == text


WORDS = ("select", "sample", "setting", "fired", "finally")


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("selct", "select"),
        ("slect", "select"),
        ("Select", "select"),
        ("fierd", "fired"),
        ("finaly", "finally"),
        ("select", None),
        ("zzzzzz", None),
        ("", None),
        ("x" * 500, None),
    ],
)
def test_spell_nearest(word: str, found: str | None) -> None:
    assert nearest(word, WORDS) == found
    assert hint(word, WORDS) == ((f"did you mean `{found}`?",) if found else ())


def test_spell_of_single_letters() -> None:
    assert nearest("c", ["lc", "d", "cc"]) is None
    assert nearest("C", ["lc", "c"]) == "c"
    assert nearest("ab", ["abc"]) == "abc"


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("ab", "ba", 1), ("ab", "abc", 1), ("abc", "xyz", 3), ("", "a", 1)],
)
def test_spell_distance(one: str, other: str, expected: int) -> None:
    assert distance(one, other, 9) == distance(other, one, 9) == expected
    assert distance(one, other, expected - 1) == expected


def test_node_dump() -> None:
    root, _ = parse(Source('x = -f("é", a = [1])', "x"))
    assert root is not None
    assert dump_nodes(root) == (
        "(Fragment 0:20\n"
        "  items: (\n"
        "    (Declaration 0:20\n"
        '      name: (Identifier 0:1 name="x")\n'
        '      value: (Unary 4:20 operator="-" operator_span=4:5\n'
        "        operand: (Call 5:20 arguments_span=6:20\n"
        '          callee: (Identifier 5:6 name="f")\n'
        "          arguments: (\n"
        "            (Argument 7:10 name=null\n"
        '              value: (String 7:10 value="é"))\n'
        "            (Argument 12:19\n"
        '              name: (Identifier 12:13 name="a")\n'
        "              value: (Array 16:19\n"
        "                items: (\n"
        "                  (Number 17:18 value=1))))))))))\n"
    )
