"""Conversions, equality, order, arithmetic and the JSON border, beyond what the vectors say."""

import json
import math
import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import values as v
from runtime.errors import Fault
from runtime.limits import value_bytes_max, value_depth_max
from runtime.numbers import INTEGER_MAX, from_int, normal, number_text, parse_number
from runtime.patterns import Pattern

FINITE = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.one_of(
    st.none(), st.booleans(), FINITE.map(normal), st.integers(-5, 5), st.text(max_size=3)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)

NUMBER_TEXTS = [
    (0.0, "0"),
    (-0.0, "0"),
    (1e21, "1e+21"),
    (123456789012345680000.0, "123456789012345680000"),
    (-1e20, "-100000000000000000000"),
    (0.000001, "0.000001"),
    (1e-7, "1e-7"),
    (-1.5e-9, "-1.5e-9"),
    (5e-324, "5e-324"),
    (1.7976931348623157e308, "1.7976931348623157e+308"),
    (0.1 + 0.2, "0.30000000000000004"),
    (2.0**53, "9007199254740992"),
    (1e16, "10000000000000000"),
    (1.5e-5, "0.000015"),
]


@pytest.mark.parametrize(("x", "text"), NUMBER_TEXTS)
def test_a_number_is_written_as_ecmascript_writes_it(x, text):
    assert number_text(normal(x)) == text


@given(FINITE)
def test_the_text_of_a_number_reads_back_as_the_same_number(x):
    assert parse_number(number_text(normal(x))) == normal(x)


NUMBERS_READ = [
    ("", 0),
    (" \ufeff\u2029 ", 0),
    ("\x85", None),
    ("1_000", None),
    ("١", None),
    ("²", None),
    ("+.5e1", 5),
    (".", None),
    ("e5", None),
    ("1e400", None),
    ("1e-400", 0),
    ("Infinity", None),
    ("0x", None),
    ("-0x10", None),
    ("0X1F", 31),
    ("0b102", None),
    ("0" * 1000 + "7", 7),
    ("9" * 400, None),
    ("0." + "0" * 900 + "1e901", 1),
    ("1" + "0" * 5000 + "e-5000", 1),
    ("0x" + "0" * 2000 + "ff", 255),
    ("9007199254740993", 9007199254740992),
    ("1e999999999999999999999", None),
    ("1e-999999999999999999999", 0),
]


@pytest.mark.parametrize(("text", "x"), NUMBERS_READ)
def test_a_string_is_read_as_a_number_or_not(text, x):
    assert parse_number(text) == x


@given(st.integers(0, 10**12), st.integers(1, 900))
def test_a_long_decimal_is_read_as_the_nearest_double(digits, zeros):
    text = f"{digits}{'0' * zeros}{digits}.{digits}e-{zeros}"
    nearest = Fraction(text.partition("e")[0]) / 10**zeros
    assert parse_number(text) == normal(float(nearest))


@given(st.integers())
def test_an_integer_is_kept_only_while_exact(n):
    found = from_int(n)
    assert found == float(n)
    assert (type(found) is int) == (abs(n) <= INTEGER_MAX)


ARITHMETIC = [
    (v.add, INTEGER_MAX, 1, 9007199254740992.0),
    (v.mul, 1e308, 10, None),
    (v.mul, INTEGER_MAX, INTEGER_MAX, 2.0**106),
    (v.div, 1, 3, 1 / 3),
    (v.div, 6, 3, 2),
    (v.div, 1e308, 1e-308, None),
    (v.mod, -5, 3, -2),
    (v.mod, 5, -3, 2),
    (v.mod, 1e300, 7, int(math.fmod(1e300, 7))),
    (v.sub, "0x10", True, 15),
    (v.add, True, 1, "true1"),
    (v.add, 0.5, 0.5, 1),
]


@pytest.mark.parametrize(("operation", "a", "b", "result"), ARITHMETIC)
def test_arithmetic_is_that_of_doubles(operation, a, b, result):
    found = operation(a, b)
    assert (found, type(found)) == (result, type(result))


@given(FINITE.map(normal), FINITE.map(normal))
def test_sums_and_products_are_the_doubles_nearest_to_them(a, b):
    for operation, exact in ((v.add, a + b), (v.mul, float(a) * float(b)), (v.sub, a - b)):
        wanted = float(exact) if math.isfinite(exact) else None
        assert operation(a, b) == wanted


def test_a_chain_of_additions_goes_from_the_left():
    assert v.add(1, 2, "a", 1, 2) == "3a12"
    assert v.add(1, 2, 3, 0.5) == 6.5
    assert v.add("a", 1, 2) == "a12"
    assert v.add(1, None, 2) == "1null2"


@given(VALUES, VALUES)
def test_equal_values_have_equal_keys_and_only_they(a, b):
    assert v.equal(a, b) == (v.hash_key(a) == v.hash_key(b))
    assert v.equal(a, a)


UNEQUAL = [
    (True, 1),
    (False, 0),
    ([True], [1]),
    ({"a": True}, {"a": 1}),
    (None, 0),
    ("1", 1),
    ({"a": None}, {}),
    ([1, 2], [2, 1]),
    (Pattern("a"), Pattern("a", "i")),
    (Pattern("a"), "a"),
    ([], {}),
]


@pytest.mark.parametrize(("a", "b"), UNEQUAL)
def test_values_of_different_kinds_are_never_equal(a, b):
    assert not v.equal(a, b)
    assert v.hash_key(a) != v.hash_key(b)


def test_strings_are_ordered_by_utf16_units():
    assert v.compare_texts("\ue000", "😀") == 1
    assert v.compare_texts("a😀", "a\ud83d") == 1
    assert v.lt("😀", "\uffff")
    assert not v.lt("a", "a")


def test_joined_surrogates_become_one_character():
    assert v.add("\ud83d", "\ude00") == "😀"
    assert v.concat("\ud83d", "\ude00") == "😀"


TRUE = ["0", "false", " ", [], {}, 1, -0.5, Pattern("a"), lambda *_: None]
FALSE = [None, False, 0, ""]


def test_only_four_values_are_false():
    assert [v.truth(value) for value in TRUE] == [True] * len(TRUE)
    assert [v.truth(value) for value in FALSE] == [False] * len(FALSE)


KINDS = [
    (None, "Null"),
    (True, "Boolean"),
    ("0xaF", "Hex"),
    ("0x", "String"),
    (1.5, "Number"),
    ([], "Array"),
    ({}, "Map"),
    (Pattern("a"), "RegExp"),
    (v.Action("a", (), lambda cx: None), "Action"),
    (v.ActionFunction("a", (), lambda cx: None, lambda: None), "ActionFunction"),
    (lambda *_: None, "Function"),
]


@pytest.mark.parametrize(("value", "kind"), KINDS)
def test_every_value_has_a_kind_and_a_text(value, kind):
    assert v.kind(value) == kind
    assert type(v.text(value)) is str


# --- The JSON border ------------------------------------------------------------------------------


def test_decoded_json_becomes_values():
    assert v.from_json(1.0) == 1
    assert type(v.from_json([1.0])[0]) is int
    assert type(v.from_json({"a": 2**60})["a"]) is float
    assert v.from_json([math.inf, math.nan, 10**400]) == [None, None, None]
    same = {"a": [1, "x", None, True, 0.5]}
    assert v.from_json(same) is same


def test_what_json_cannot_hold_changes_at_the_border():
    def fn(*_):
        return None

    action = v.Action("a", (), fn)
    given = {"f": fn, "a": [fn, action, 1], "p": Pattern("x"), "n": None, "m": {"g": fn}}
    assert v.to_json(given) == {"a": [None, None, 1], "p": {}, "n": None, "m": {}}
    assert given["f"] is fn
    same = {"a": [1, {"b": None}]}
    assert v.to_json(same) is same
    assert v.to_json(fn) is None


def test_a_function_cannot_be_stored():
    for value in (len, v.Action("a", (), len)):
        with pytest.raises(Fault) as caught:
            v.to_stored(value)
        assert caught.value.code == "R2001"
    assert v.to_stored({"f": len}) == {}


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def shared(depth):
    value = ["x" * 100]
    for _ in range(depth):
        value = [value, value]
    return value


BORDERS = [v.to_json, v.encode, v.hash_key, lambda value: v.equal(value, nested(400))]


@pytest.mark.parametrize("border", [*BORDERS, v.from_json])
def test_a_value_nested_too_deep_is_refused(border):
    with pytest.raises(Fault) as caught:
        border(nested(value_depth_max + 150))
    assert caught.value.code == "R4004"


@pytest.mark.parametrize("border", [v.to_json, v.encode, v.hash_key])
def test_a_value_that_shares_parts_without_end_is_refused(border, monkeypatch):
    monkeypatch.setattr(v, "compare_steps_max", 10_000)
    with pytest.raises(Fault) as caught:
        border(shared(60))
    assert caught.value.code == "R4004"


def test_comparing_what_shares_parts_without_end_is_refused(monkeypatch):
    assert v.compare_steps_max > value_bytes_max // 8
    monkeypatch.setattr(v, "compare_steps_max", 10_000)
    with pytest.raises(Fault) as caught:
        v.equal(shared(60), shared(60))
    assert caught.value.code == "R4004"
    one = shared(60)
    assert v.equal(one, one)


@given(VALUES, st.sampled_from([0, 1, 4]))
def test_encoded_json_reads_back_as_the_same_value(value, indent):
    text = v.encode(value, indent)
    assert v.equal(v.from_json(json.loads(text)), value)
    assert indent > 0 or v.equal(value, value)


ENCODED = [
    ({"b": 1, "10": 2, "9": 3}, 0, '{"9":3,"10":2,"b":1}'),
    ([1e21, 1e-7, 0.5], 0, "[1e+21,1e-7,0.5]"),
    ({"a": [1e-7, {}, []]}, 2, '{\n  "a": [\n    1e-7,\n    {},\n    []\n  ]\n}'),
    ("\ud800é\u2028\x7f\x01", 0, '"\\ud800é\u2028\x7f\\u0001"'),
    ({"f": len, "p": Pattern("a/b", "g")}, 0, '{"f":"[Function]","p":"re#a\\\\/b#g"}'),
]


@pytest.mark.parametrize(("value", "indent", "text"), ENCODED)
def test_json_is_written_as_ecmascript_writes_it(value, indent, text):
    assert v.encode(value, indent) == text


@given(st.text(max_size=5), st.text(max_size=5))
def test_utf16_units_order_as_their_bytes(a, b):
    def key(s):
        raw = s.encode("utf-16-be", "surrogatepass")
        return struct.unpack(f">{len(raw) // 2}H", raw)

    assert v.compare_texts(a, b) == (key(a) > key(b)) - (key(a) < key(b))


GROWING = [
    lambda big: v.add(big, big),
    lambda big: v.concat(big, big),
    lambda big: v.encode([big, big]),
]


@pytest.mark.parametrize("grow", GROWING)
def test_a_string_that_would_grow_too_large_is_refused(grow):
    with pytest.raises(Fault) as caught:
        grow("x" * (value_bytes_max // 2 + 1))
    assert caught.value.code == "R4004"
