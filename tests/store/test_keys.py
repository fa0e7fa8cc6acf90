"""Keys sort as the engine needs them, and records read back as they were."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import store
from runtime.errors import Fault

IDS = ["c1", "c10", "c2"]


def test_numbers_sort_by_value() -> None:
    numbers = [0, 1, 255, 256, 1 << 32, (1 << 53) - 1, (1 << 64) - 1]
    keys = [store.number_key(number) for number in numbers]
    assert keys == sorted(keys)
    assert [store.key_number(key) for key in keys] == numbers


def test_inbox_rows_sort_by_number_over_all_picos() -> None:
    keys = [store.inbox_key(number, pico) for number in [0, 1, 300] for pico in IDS]
    assert sorted(keys, key=lambda key: key[:8]) == keys
    assert store.inbox_parts(store.inbox_key(300, "c10")) == (300, "c10")


def test_timers_sort_by_due_time() -> None:
    due = [-5, 0, 999, 1000, 1_700_000_000_000]
    keys = [store.timer_key(ms, number, "c1", "r", "t") for number, ms in enumerate(due)]
    assert keys == sorted(keys)
    assert [store.timer_due_ms(key) for key in keys] == [0, 0, 999, 1000, 1_700_000_000_000]
    assert store.timer_parts(keys[3]) == (3, "c1", "r", "t")
    assert store.timer_key(9, 1, "c9", "r", "t") < store.timer_key(9, 2, "c1", "a", "a")


# Each row: the prefix of a set of keys, and the keys that belong to it.
def _families(pico: str) -> list[tuple[bytes, list[bytes]]]:
    return [
        (store.channel_key(pico), [store.channel_key(pico, eci) for eci in IDS]),
        (store.child_key(pico), [store.child_key(pico, eci) for eci in IDS]),
        (store.variable_key(pico, "r"), [store.variable_key(pico, "r", name) for name in IDS]),
        (store.variable_key(pico, "rr"), [store.variable_key(pico, "rr", name) for name in IDS]),
        (
            store.entries_prefix(pico, "r", "m"),
            [store.entry_key(pico, "r", "m", key) for key in ["", "a", "a\0b", "\ud800", "é"]],
        ),
        (store.entries_prefix(pico, "r", "mm"), [store.entry_key(pico, "r", "mm", "a")]),
        (
            store.chunks_prefix(pico, "r", "m"),
            [store.chunk_key(pico, "r", "m", number) for number in [0, 1, 256]],
        ),
        (store.head_key(pico), [store.head_key(pico)]),
        (store.automata_key(pico), [store.automata_key(pico)]),
        (store.outbox_prefix(pico, "x"), [store.outbox_key(pico, "x", n) for n in [0, 300]]),
        (store.timer_owner_key(pico, "r"), [store.timer_owner_key(pico, "r", t) for t in IDS]),
    ]


def test_prefixes_select_exactly_their_keys() -> None:
    sets = [row for pico in IDS for row in _families(pico)]
    every = [key for _, keys in sets for key in keys]
    assert len(set(every)) == len(every)
    for prefix, keys in sets:
        assert {key for key in every if key.startswith(prefix)} == set(keys)


def test_pico_prefix_holds_everything_of_one_pico() -> None:
    mine = [key for _, keys in _families("c1")[:9] for key in keys]
    others = [key for pico in IDS[1:] for _, keys in _families(pico)[:10] for key in keys]
    prefix = store.pico_prefix("c1")
    assert all(key.startswith(prefix) for key in mine)
    assert not any(key.startswith(prefix) for key in others)


@pytest.mark.parametrize("map_key", ["", "a", "a\0b", "\ud800", "é😀"])
def test_entry_key_gives_its_map_key_back(map_key: str) -> None:
    key = store.entry_key("c1", "r", "m", map_key)
    assert store.entry_map_key(key, store.entries_prefix("c1", "r", "m")) == map_key


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=4), st.binary(max_size=3))
def test_after_prefix_bounds_the_prefix(prefix: bytes, rest: bytes) -> None:
    end = store.after_prefix(prefix)
    if end:
        assert prefix + rest < end
        assert not end.startswith(prefix)
    else:
        assert prefix.strip(b"\xff") == b""


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.just("half \ud83d"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(derandomize=True, deadline=None)
@given(VALUES)
def test_records_read_back(value: Any) -> None:
    back = store.decode_record(store.encode_record(value))
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "R3006"),
        (b"\x00\xc0", "R3006"),
        (b"\x01", "R3006"),
        (b"\x01\xc1", "R3006"),
        (b"\x01\x93\x01", "R3006"),
        (b"\x02\xc0", "R3002"),
    ],
)
def test_damaged_records_are_told(data: bytes, code: str) -> None:
    with pytest.raises(Fault, match="a timer row") as caught:
        store.decode_record(data, "timer row")
    assert caught.value.code == code


def test_too_deep_value_is_refused() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(Fault) as caught:
        store.encode_record(value)
    assert caught.value.code == "R4004"
