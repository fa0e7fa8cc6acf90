"""The library as a table, callbacks, bounds, and what the vectors do not reach."""

import pytest

import krlc.library
from runtime.errors import Fault
from runtime.kinds import ActionFunction
from runtime.limits import LIMITS, value_bytes_max
from runtime.patterns import Pattern
from runtime.stdlib import OPERATORS

HALF = value_bytes_max // 2 + 1
ELEMENTS = value_bytes_max // 8


def call(name, *arguments):
    return OPERATORS[name].fn(*arguments)


EXPECTED = (None, "R2001", "R2003", "R2018")


def fault_of(fn, *arguments):
    """The code of the fault that a call ends with, or None."""
    try:
        fn(*arguments)
    except Fault as fault:
        return fault.code
    return None


def test_the_compiler_knows_the_same_operators():
    own = {"klog", "noop", "send_directive"}
    assert set(krlc.library.OPERATORS) - own == set(OPERATORS)
    for name, operator in OPERATORS.items():
        known = krlc.library.OPERATORS[name]
        assert (known.params, known.required, known.effect) == (
            operator.params,
            operator.required,
            operator.effect,
        ), name
        assert known.kind == "Function"


def test_every_module_has_what_the_compiler_believes():
    from runtime.abi import v1

    for domain, members in krlc.library.MODULES.items():
        for name in members:
            if domain != "stdlib":
                assert hasattr(v1, f"{domain}_{name}"), f"{domain}:{name}"


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_every_argument_of_an_operator_may_be_left_out(name):
    operator = OPERATORS[name]
    for count in range(len(operator.params) + 1):
        assert fault_of(operator.fn, *[None] * max(count, operator.required)) in EXPECTED


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_an_operator_as_a_callback_ignores_what_it_has_no_parameter_for(name):
    assert fault_of(OPERATORS[name].value, [1, 2], 0, [[1, 2]], *range(10)) in EXPECTED


CALLBACKS = [
    ("map", [["a"]], [("a", 0, ["a"])]),
    ("map", [{"k": "a"}], [("a", "k", {"k": "a"})]),
    ("filter", [["a"]], [("a", 0, ["a"])]),
    ("all", [["a"]], [("a", 0, ["a"])]),
    ("any", [["a"]], [("a", 0, ["a"])]),
    ("collect", [["a"]], [("a", 0, ["a"])]),
    ("reduce", [["a", "b"]], [("a", "b", 1, ["a", "b"])]),
    ("pairwise", [[["a"], "b"]], [("a", "b")]),
    ("sort", [["b", "a"]], [("b", "a")]),
]


@pytest.mark.parametrize(("name", "arguments", "calls"), CALLBACKS)
def test_a_callback_gets_all_its_arguments(name, arguments, calls):
    seen = []
    call(name, *arguments, lambda *got: seen.append(got))
    assert seen == calls


def test_map_entries_are_visited_in_the_order_krl_shows():
    seen = []
    call("map", {"b": 1, "10": 2, "9": 3}, lambda item, key, _: seen.append(key))
    assert seen == ["9", "10", "b"]


def test_an_action_function_can_be_a_callback():
    noop = ActionFunction("noop", (), lambda cx: None, lambda *_: None)
    assert call("map", [1, 2], noop) == [None, None]


UNCHANGED = [
    ("set", [{"a": {"b": 1}}, ["a", "b"], 2]),
    ("set", [[[1], 2], [0, 3], 9]),
    ("put", [{"a": [1]}, ["a", "x"], 2]),
    ("put", [[1, 2], [9]]),
    ("delete", [{"a": [1, {"b": 2}]}, ["a", 1, "b"]]),
    ("append", [[1], [2]]),
    ("sort", [[2, 1, None]]),
    ("reverse", [[1, 2]]),
    ("splice", [[1, 2, 3], 0, 2, [9]]),
]


@pytest.mark.parametrize(("name", "arguments"), UNCHANGED)
def test_no_operator_changes_what_it_was_given(name, arguments):
    before = repr(arguments)
    call(name, *arguments)
    assert repr(arguments) == before


SORTS = [
    ([3, None, 1], "numeric", [1, 3, None]),
    (["\ue000", "😀", "é", "z"], None, ["z", "é", "😀", "\ue000"]),
    ([[1, "a"], [0, "b"], [1, "c"]], lambda a, b: a[0] - b[0], None),
    ([2, 3, 1], lambda a, b: a < b, [3, 2, 1]),
    ([2, 3, 1], lambda a, b: "1", [1, 3, 2]),
    ([2, 3, 1], lambda a, b: None, [1, 3, 2]),
]


@pytest.mark.parametrize(("items", "by", "wanted"), SORTS)
def test_sort_orders_by_word_or_function(items, by, wanted):
    if wanted is None:
        wanted = [[0, "b"], [1, "a"], [1, "c"]]
    assert call("sort", items, by) == wanted


TEXTS = [
    (("length", "h😀llo"), 5),
    (("length", "e\u0301"), 1),
    (("length", "👩\u200d👩\u200d👧"), 1),
    (("length", "🇩🇪🇫🇷"), 2),
    (("substr", "h😀llo", 2, 1), "\ude00"),
    (("split", "a😀", ""), ["a", "\ud83d", "\ude00"]),
    (("join", ["\ud83d", "\ude00"], ""), "😀"),
    (("get", {"a": "😀x"}, ["a", 2]), "x"),
    (("keys", {"a": "😀"}, "a"), ["0", "1"]),
    (("capitalize", "😀a"), "😀a"),
    (("ord", "😀"), 0xD83D),
    (("decode", '"\\ud83d\\ude00"'), "😀"),
    (("decode", "[1.0,1e400,-0]"), [1, None, 0]),
    (("decode", "[" + "9" * 5000 + "]"), [None]),
    (("decode", "[NaN]"), "[NaN]"),
    (("decode", '"a\nb"'), '"a\nb"'),
    (("as", -255.5, "Hex"), "-ff.8"),
    (("as", 1 / 3, "Hex"), "0.55555555555554"),
    (("as", None, "Hex"), None),
    (("range", 0.5, -1), [0.5, -0.5, -1.5]),
    (("sprintf", "$&\\%s", "%s%s"), "$&\\%s$&\\%s"),
    (("sprintf", 7, "%d%%d"), "7%7"),
    (("set", {}, ["a", "01"], 1), {"a": {"01": 1}}),
    (("set", [1], ["x"], 2), {"0": 1, "x": 2}),
    (("delete", {"a": 1}, ["a", "b"]), {"a": 1}),
    (("keys", {"a": {"b": 1}}, 0), ["a"]),
    (("once", [{"a": 1}, {"a": 1}, {"b": 1}]), [{"b": 1}]),
    (("has", [True], 1), False),
    (("extract", "aXbX", Pattern("x", "gi")), ["X", "X"]),
]


@pytest.mark.parametrize(("row", "wanted"), TEXTS)
def test_an_operator_gives_its_value(row, wanted):
    assert call(*row) == wanted


GROWING = [
    ("range", 0, ELEMENTS),
    ("range", 0, 1e300),
    ("join", ["x" * HALF, "x" * HALF]),
    ("append", [0] * ELEMENTS, 1),
    ("split", "x" * (ELEMENTS + 1), ""),
    ("split", "," * (ELEMENTS + 1), ","),
    ("sprintf", "x" * HALF, "%s%s"),
    ("replace", "x" * HALF, "x", "$&$'$'"),
    ("union", [0] * ELEMENTS, 1),
    ("set", [], [ELEMENTS], 1),
    ("put", [], [4_294_967_294], 1),
    ("decode", "[" + "0," * ELEMENTS + "0]"),
    ("decode", "[" * 100_000 + "]" * 100_000),
    ("encode", ["x" * HALF, "x" * HALF]),
    ("set", {}, ["a"] * 1000, 1),
    ("keys", {"a": "x" * (ELEMENTS + 1)}, "a"),
    ("values", {"a": "x" * (ELEMENTS + 1)}, "a"),
    ("uc", "ß" * HALF),
    ("lc", "İ" * HALF),
]


@pytest.mark.parametrize("row", GROWING, ids=[f"{row[0]}{i}" for i, row in enumerate(GROWING)])
def test_what_would_grow_too_large_is_refused_before_it_is_made(row):
    with pytest.raises(Fault) as caught:
        call(*row)
    assert caught.value.code == "R4004"


def test_defaults_to_notes_its_message_where_someone_listens(monkeypatch):
    notes = []
    monkeypatch.setattr("runtime.kinds.debug_sink", notes.append)
    assert call("defaultsTo", None, 1, "used") == 1
    assert call("defaultsTo", 2, 1, "not used") == 2
    assert notes == ["[DEFAULTSTO] used"]


def test_every_limit_says_what_why_and_which_code():
    for name, limit in LIMITS.items():
        assert limit.value > 0, name
        assert limit.unit, name
        assert len(limit.reason) > 10, name
        assert limit.code, name
