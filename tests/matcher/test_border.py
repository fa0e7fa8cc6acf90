"""Small plain values and names at a border: both twins judge, copy and cut alike."""

import json
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ext import border, border_py
from runtime.errors import Fault
from runtime.event import own_map
from runtime.frames import check_plain

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 54), 1 << 54),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from([b"x", (), object()]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.text(max_size=3), st.integers()), inner, max_size=4),
    ),
    max_leaves=12,
)


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"in": value}
    return value


@pytest.mark.parametrize(
    ("value", "is_plain"),
    [
        (None, True),
        ("x" * 16_000, True),
        ("x" * 16_001, False),
        (1 << 70, True),
        (1.5, True),
        (float("nan"), False),
        (float("-inf"), False),
        ({"a": [1, "b", None, True, {"c": 2.5}]}, True),
        ({1: 2}, False),
        ({"a": {1: 2}}, False),
        ([b"x"], False),
        ((1,), False),
        ([0] * 1000, True),
        ([0] * 1001, False),
        (nested(16), True),
        (nested(17), False),
        ({"a": lambda: None}, False),
    ],
)
def test_border_plain(border_twin: ModuleType, value: Any, is_plain: bool) -> None:
    assert border_twin.is_plain(value) is is_plain


@pytest.mark.parametrize(
    ("name", "is_name"),
    [("a", True), ("", False), (" a", False), ("a\u2003", False), ("a b", True), (5, False)],
)
def test_border_names(border_twin: ModuleType, name: Any, is_name: bool) -> None:
    for given_names in ((name, "b", "c"), ("a", name, "c"), ("a", "b", name)):
        assert border_twin.are_names(*given_names) is is_name


def test_border_names_are_those_that_trimming_leaves(border_twin: ModuleType) -> None:
    for code in range(0x3100):
        name = chr(code)
        assert border_twin.are_names("a", "b", name) is (name.strip() == name)


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1.0},
        {"a": [float("nan")]},
        {"a": 1 << 60},
        {"a": (1,)},
        {1: "a"},
        nested(17),
        {"a": "x" * 20_000},
        [],
        None,
    ],
)
def test_border_leaves_to_others_what_is_not_simple(border_twin: ModuleType, value: Any) -> None:
    assert border_twin.own_plain(value) is None


@given(VALUES)
def test_border_twins_agree(value: Any) -> None:
    assert border.is_plain(value) == border_py.is_plain(value)
    one, other = border.own_plain(value), border_py.own_plain(value)
    assert (one is None) == (other is None)
    if one is not None:
        assert json.dumps(one) == json.dumps(other)


@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=4))
def test_border_copies_share_nothing_and_are_what_was_given(value: dict[str, Any]) -> None:
    found = border.own_plain(value)
    if found is None:
        return
    assert json.dumps(found) == json.dumps(value) == json.dumps(own_map(value, "x"))
    containers = {id(part) for part in walk(value)}
    assert all(id(part) not in containers for part in walk(found))


def walk(value: Any) -> list[Any]:
    """All maps and arrays in a value."""
    if type(value) is dict:
        return [value, *(part for item in value.values() for part in walk(item))]
    if type(value) is list:
        return [value, *(part for item in value for part in walk(item))]
    return []


@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=4))
def test_border_plain_needs_no_other_check(value: dict[str, Any]) -> None:
    """What is plain passes the check that says what is wrong."""
    for twin in (border, border_py):
        if twin.is_plain(value):
            try:
                check_plain(dict(value), "x")
                json.dumps(value, allow_nan=False)
            except (Fault, TypeError, ValueError) as error:
                pytest.fail(f"{value!r}: {error}")


def frame(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


@pytest.mark.parametrize(
    ("data", "cut"),
    [
        (b"", ([], 0, -1)),
        (b"\0\0\0", ([], 0, -1)),
        (frame(b"ab"), ([b"ab"], 6, -1)),
        (frame(b"ab") + frame(b"c") + b"\0", ([b"ab", b"c"], 11, -1)),
        (frame(b"ab") + frame(b"cde")[:-1], ([b"ab"], 6, 3)),
        (frame(b"ab") + frame(b""), ([b"ab"], 6, 0)),
        (frame(b"a" * 10), ([b"a" * 10], 14, -1)),
        (frame(b"a" * 11), ([], 0, 11)),
        (b"\xff\xff\xff\xff", ([], 0, 0xFFFFFFFF)),
    ],
)
def test_border_cuts_frames(border_twin: ModuleType, data: bytes, cut: Any) -> None:
    assert border_twin.cut(data, 10) == cut
