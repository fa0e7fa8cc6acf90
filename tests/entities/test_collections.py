"""Collections cost what they should, and leave nothing behind.

In: variables with small bounds over a store that notes what is read and written. Out: which rows
that is, when a variable changes its form, how order is kept, what is refused.
"""

import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from runtime.errors import Fault
from runtime.limits import LIMITS
from runtime.store import encode_record
from runtime.stored import BOUNDS, Bounds
from runtime.stored_map import place
from tests.entities.stage import Stage

HEAD = b"cabc\0vr.id\0"
ENTRY = b"cabc\0wr.id\0m\0"
CHUNK = b"cabc\0xr.id\0a\0"


def large(bounds: Bounds | None = None) -> Stage:
    """A map `m` of 100 entries and an array `a` of 100 elements, stored and asleep."""
    stage = Stage() if bounds is None else Stage(bounds)
    stage.ent["m"] = {f"k{i}": {"a": i, "b": [i]} for i in range(100)}
    stage.ent["a"] = list(range(100))
    stage.commit()
    stage.reload()
    return stage


def chunk(number: int) -> bytes:
    return CHUNK + number.to_bytes(8, "big")


ROWS: list[tuple[str, Callable[[Any], object], set[bytes]]] = [
    ("entry set", lambda e: e.set_at("m", "k7", 1), {ENTRY + b"k7", HEAD + b"m"}),
    ("entry set to the same size", lambda e: e.set_at("a", 4, 9), {chunk(1)}),
    ("entry set deep", lambda e: e.set_at("m", ["k7", "b", 0], 5), {ENTRY + b"k7"}),
    ("entry new", lambda e: e.put("m", "new", 1), {ENTRY + b"new", HEAD + b"m"}),
    ("entry put deep", lambda e: e.put("m", ["k7", "c"], 1), {ENTRY + b"k7", HEAD + b"m"}),
    ("entry deleted", lambda e: e.delete("m", "k7"), {ENTRY + b"k7", HEAD + b"m"}),
    ("entry deleted deep", lambda e: e.delete("m", ["k7", "b"]), {ENTRY + b"k7", HEAD + b"m"}),
    ("entry cleared", lambda e: e.clear_at("m", "k7"), {ENTRY + b"k7", HEAD + b"m"}),
    ("nothing deleted", lambda e: e.delete("m", "no"), set()),
    ("map merged", lambda e: e.put("m", [], {"k7": 1, "k8": 2, "new": 3}),
     {ENTRY + b"k7", ENTRY + b"k8", ENTRY + b"new", HEAD + b"m"}),
    ("appended", lambda e: e.append("a", 1), {chunk(33), HEAD + b"a"}),
    ("appended several", lambda e: e.append("a", [1, 2, 3]), {chunk(33), chunk(34), HEAD + b"a"}),
    ("set behind the end", lambda e: e.set_at("a", 100, 1), {chunk(33), HEAD + b"a"}),
    ("element deleted", lambda e: e.delete("a", 4), {chunk(1)}),
]  # fmt: skip


@pytest.mark.parametrize(("what", "change", "rows"), ROWS, ids=[row[0] for row in ROWS])
def test_points_touch_only_their_rows(
    what: str, change: Callable[[Any], object], rows: set[bytes]
) -> None:
    stage = large()
    change(stage.ent)
    stage.commit()
    assert set(stage.writes) == rows, what
    assert len(stage.writes) == len(rows)
    assert stage.scans == []


def kept(value: Any, *gone: str) -> Any:
    return {key: item for key, item in value.items() if key not in gone}


ASSIGNED: list[tuple[str, Callable[[Any], Any], set[bytes]]] = [
    ("itself", lambda m: m, set()),
    ("an equal one", lambda m: {k: {"a": v["a"], "b": list(v["b"])} for k, v in m.items()}, set()),
    ("one entry more", lambda m: {**m, "new": 1}, {ENTRY + b"new", HEAD + b"m"}),
    ("one entry less", lambda m: kept(m, "k7"), {ENTRY + b"k7", HEAD + b"m"}),
    ("one value changed", lambda m: {**m, "k7": 1}, {ENTRY + b"k7", HEAD + b"m"}),
    ("order inside a value", lambda m: {**m, "k7": {"b": [7], "a": 7}}, {ENTRY + b"k7"}),
    ("one entry in front", lambda m: {"new": 1, **m}, {ENTRY + b"new", HEAD + b"m"}),
    ("the last one in front", lambda m: {"k99": m["k99"], **m}, {ENTRY + b"k99", HEAD + b"m"}),
    ("the first one behind", lambda m: {**kept(m, "k0"), "k0": m["k0"]},
     {ENTRY + b"k0", HEAD + b"m"}),
]  # fmt: skip


@pytest.mark.parametrize(("what", "made", "rows"), ASSIGNED, ids=[row[0] for row in ASSIGNED])
def test_a_whole_map_writes_the_difference(
    what: str, made: Callable[[Any], Any], rows: set[bytes]
) -> None:
    stage = large()
    value = made(stage.ent["m"])
    stage.ent["m"] = value
    stage.commit()
    assert set(stage.writes) <= rows | {HEAD + b"m"}, what
    assert set(stage.writes) >= rows - {HEAD + b"m"}
    stage.reload()
    assert list(stage.ent["m"].items()) == list(value.items())
    assert stage.ent.at("m", "k7") == value.get("k7")


def test_a_whole_array_writes_the_difference() -> None:
    stage = large()
    value = [*stage.ent["a"][:50], True, *stage.ent["a"][51:99]]
    stage.ent["a"] = value
    stage.commit()
    assert stage.writes == [chunk(16), chunk(33), HEAD + b"a"]
    stage.reload()
    assert repr(stage.ent["a"]) == repr(value)


def test_chunks_follow_the_size_of_elements_when_that_is_quite_another() -> None:
    bounds = Bounds(3, 60, 16, 160)
    few, many = ["x" * 90] * 20, list(range(20))
    for before, after, rows in ((many, few, 21), (few, many, 3), (many, [*many[:19], "x"], 3)):
        stage = Stage(bounds)
        stage.ent["a"] = before
        stage.commit()
        stage.ent["a"] = after
        stage.commit()
        assert len(stage.stored()) == rows
        stage.reload()
        assert stage.ent["a"] == after


def test_a_value_assigned_back_is_what_it_was() -> None:
    stage = large()
    held = stage.ent["m"]
    stage.ent["m"] = held
    assert stage.ent.settle() == []
    stage.ent.set_at("m", "k7", 1)
    stage.ent["m"] = held
    assert stage.ent.at("m", "k7") == {"a": 7, "b": [7]}
    stage.commit()
    assert set(stage.writes) <= {HEAD + b"m"}


def test_true_is_not_one_in_a_difference() -> None:
    stage = Stage()
    stage.ent["m"] = {"a": 1, "b": 1, "c": 1, "d": 1}
    stage.commit()
    stage.ent["m"] = {"a": 1, "b": True, "c": 1, "d": 1}
    stage.commit()
    assert stage.writes == [ENTRY + b"b"]


def test_a_point_read_reads_its_row_only() -> None:
    stage = large()
    assert stage.ent.at("m", ["k7", "b", 0]) == 7
    assert stage.ent.at("a", 50) == 50
    assert stage.reads == [HEAD + b"m", ENTRY + b"k7", HEAD + b"a", chunk(16)]
    assert stage.ent.at("m", "no") is None
    assert stage.ent.at("a", 100) is None
    assert stage.scans == []


def test_the_whole_is_changed_in_place_while_nobody_holds_it() -> None:
    stage = large()
    first = id(stage.ent["m"])
    stage.ent.set_at("m", "k7", 1)
    stage.ent.append("a", 5)
    assert id(stage.ent["m"]) == first
    held = stage.ent["m"]
    stage.ent.set_at("m", "k7", 2)
    assert stage.ent["m"] is not held
    assert (held["k7"], stage.ent["m"]["k7"]) == (1, 2)


def test_a_value_in_two_variables_is_two_values() -> None:
    stage = large()
    stage.ent["n"] = stage.ent["m"]
    stage.ent.set_at("m", "k7", 1)
    assert stage.ent["m"]["k7"] == 1
    assert stage.ent["n"]["k7"] == {"a": 7, "b": [7]}


def test_rows_show_the_settled_state_while_a_turn_is_under_way() -> None:
    stage = large()
    stage.ent.set_at("m", "k7", 1)
    stage.settle()
    stage.ent.set_at("m", "k7", 2)
    stage.ent.set_at("m", "k8", 2)
    stage.write()
    stage.ent.discard()
    assert stage.ent.at("m", "k7") == 1
    stage.reload()
    assert stage.ent.at("m", "k7") == 1
    assert stage.ent.at("m", "k8") == {"a": 8, "b": [8]}


# --- Form -----------------------------------------------------------------------------------------


def test_a_variable_has_parts_beyond_either_bound() -> None:
    for value, is_divided in (
        ({"a": 1, "b": 1, "c": 1}, False),
        ({"a": 1, "b": 1, "c": 1, "d": 1}, True),
        ({"a": "x" * 100, "b": 1}, True),
        ({"a": "x" * 100}, False),
        ([1, 2, 3], False),
        ([1, 2, 3, 4], True),
        (["x" * 100, 1], True),
        (["x" * 100], False),
        ("x" * 1000, False),
    ):
        stage = Stage()
        stage.ent["m"] = value
        stage.commit()
        assert (len(stage.stored()) > 1) == is_divided, value
        stage.reload()
        assert stage.ent["m"] == value


def test_a_growing_variable_is_divided_and_joined_when_much_smaller() -> None:
    stage = Stage()
    sizes = []
    for i in range(6):
        stage.ent.set_at("m", f"k{i}", i)
        stage.commit()
        sizes.append(len(stage.stored()))
    assert sizes == [1, 1, 1, 5, 6, 7]
    for length in (3, 2):
        stage.ent["m"] = {f"k{i}": i for i in range(length)}
        stage.commit()
    assert len(stage.stored()) == 3
    stage.ent["m"] = {"k0": 0}
    stage.commit()
    assert stage.stored() == [HEAD + b"m"]


def test_clearing_removes_all_rows() -> None:
    stage = large()
    del stage.ent["m"]
    stage.ent["a"] = {"now": "a map"}
    stage.commit()
    assert stage.stored() == [HEAD + b"a"]


def test_large_elements_make_small_chunks() -> None:
    stage = Stage()
    stage.ent["a"] = ["x" * 30] * 10
    stage.commit()
    assert len(stage.stored()) == 11


def test_rows_of_a_ruleset_are_deleted_and_no_others() -> None:
    stage = large()
    stage.ent["s"] = 1
    stage.commit()
    others = [("pico", b"cabc\0vr.id2\0m", b"x"), ("pico", b"cabc\0wr.id2\0m\0k", b"x")]
    stage.store.write(others)
    stage.ent.set_at("m", "unwritten", 1)
    stage.settle()
    stage.store.write(stage.ent.delete_rows())
    stage.write()
    assert stage.stored() == [key for _, key, _ in others]


def test_memory_is_given_back() -> None:
    stage = large()
    asleep = stage.ent.bytes_estimated()
    stage.ent["m"]
    stage.ent["a"]
    assert stage.ent.bytes_estimated() > asleep + 100 * 300
    stage.ent.set_at("m", "k7", 1)
    stage.settle()
    stage.ent.trim()
    assert stage.ent["m"]["k7"] == 1
    stage.write()
    stage.ent.trim()
    assert stage.ent.bytes_estimated() < asleep + 2000
    assert stage.ent.at("m", "k7") == 1


# --- Order ----------------------------------------------------------------------------------------


def test_places_keep_as_many_ordinals_as_possible() -> None:
    old: dict[str, int | float] = {key: i for i, key in enumerate("abcde")}
    for keys, expected in (
        ("abcde", [0, 1, 2, 3, 4]),
        ("abde", [0, 1, 3, 4]),
        ("abcdexy", [0, 1, 2, 3, 4, 9, 10]),
        ("xyabcde", [-2, -1, 0, 1, 2, 3, 4]),
        ("abxcde", [0, 1, 1.5, 2, 3, 4]),
        ("eabcd", [-1, 0, 1, 2, 3]),
        ("bcdea", [1, 2, 3, 4, 9]),
        ("xyz", [9, 10, 11]),
        ("", []),
    ):
        assert place(keys, old, 9) == expected, keys


def test_places_are_made_anew_when_a_gap_is_used_up() -> None:
    placed: dict[str, int | float] = {"a": 1, "b": 2}
    after = 3
    widest: int | float = 1
    for i in range(100):
        keys = ["a", f"new{i}", *list(placed)[1:]]
        ordinals = place(keys, placed, after)
        assert all(low < high for low, high in pairwise(ordinals))
        placed = dict(zip(keys, ordinals, strict=True))
        widest = max(widest, ordinals[0])
        after = max(after, int(ordinals[-1]) + 1)
    assert widest > 1


def test_places_rise_for_any_order() -> None:
    rng = random.Random(1)
    for _ in range(300):
        old = {str(i): ordinal for i, ordinal in enumerate(rng.sample(range(40), 12))}
        keys = [*rng.sample(list(old), rng.randrange(13)), *map(chr, range(97, 97 + 4))]
        rng.shuffle(keys)
        ordinals = place(keys, old, 40)
        assert all(low < high for low, high in pairwise(ordinals))


# --- What is refused ------------------------------------------------------------------------------


def refused(stage: Stage, change: Callable[[Any], object], code: str = "R4015") -> None:
    """The change faults, and once it is rolled back all is as before."""
    before = {name: stage.ent[name] for name in "ma"}
    with pytest.raises(Fault) as info:
        change(stage.ent)
    assert info.value.code == code
    stage.ent.roll_back()
    assert {name: stage.ent[name] for name in "ma"} == before
    assert stage.ent.settle() == []


def test_a_row_is_bounded() -> None:
    bounds = Bounds(3, 60, 3, 40, row_bytes=200)
    text = "x" * 201
    for change in (
        lambda e: e.set_at("m", "k7", text),
        lambda e: e.set_at("m", "new", [text]),
        lambda e: e.put("m", ["k7", "c"], text),
        lambda e: e.append("a", text),
        lambda e: e.append("a", [1, 2, [text]]),
        lambda e: e.set_at("a", 7, text),
        lambda e: e.__setitem__("s", text),
        lambda e: e.__setitem__("s", {"a": text}),
        lambda e: e.__setitem__("s", {"a": 1, "b": text}),
        lambda e: e.__setitem__("s", [1, 2, text]),
    ):
        refused(large(bounds), change)


def test_a_variable_is_bounded() -> None:
    bounds = Bounds(3, 60, 3, 40, bytes=4000)
    text = "x" * 3500
    for change in (
        lambda e: e.set_at("m", "k7", text),
        lambda e: e.append("a", text),
        lambda e: e.set_at("a", 7, text),
        lambda e: e.append("a", [0] * 1000),
        lambda e: e.__setitem__("s", ["x" * 2000, "y" * 2000]),
        lambda e: e.__setitem__("s", {"a": "x" * 2000, "b": "y" * 2000}),
    ):
        refused(large(bounds), change)
    refused(large(bounds), lambda e: e.__setitem__("s", len), "R2001")


def test_the_bounds_are_those_of_the_table() -> None:
    names = (
        "entity_record_elements_max",
        "entity_record_bytes_max",
        "entity_chunk_elements_max",
        "entity_chunk_bytes",
        "entity_row_bytes_max",
        "entity_bytes_max",
    )
    assert tuple(BOUNDS) == tuple(LIMITS[name].value for name in names)


@pytest.mark.parametrize(
    ("key", "row", "read"),
    [
        (ENTRY + b"k7", None, lambda e: e["m"]),
        (chunk(3), None, lambda e: e["a"]),
        (chunk(3), None, lambda e: e.at("a", 10)),
        (ENTRY + b"k7", b"\x01\xc1", lambda e: e.at("m", "k7")),
        (HEAD + b"m", encode_record(encode_record((9, 1))), lambda e: e["m"]),
    ],
)
def test_damaged_rows_are_reported(
    key: bytes, row: bytes | None, read: Callable[[Any], object]
) -> None:
    stage = large()
    stage.store.write([("pico", key, row)])
    with pytest.raises(Fault) as info:
        read(stage.ent)
    assert info.value.code == "R3006"
