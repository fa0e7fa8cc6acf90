"""Both stores keep the same protocol: what is read back, in which order, and what survives."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.errors import Fault
from runtime.memory import MemoryStore
from runtime.rocks import DURABILITIES, RocksStore
from runtime.store import CRASH_POINTS, FAMILIES, FORMAT_KEY, Store, encode_record


class Loop:
    """Stands in for the driving loop: runs what was delivered when asked to."""

    def __init__(self) -> None:
        self.calls: SimpleQueue[Callable[[], object]] = SimpleQueue()

    def deliver(self, fn: Callable[[], object]) -> None:
        self.calls.put(fn)

    def run_one(self) -> None:
        self.calls.get(timeout=10)()


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture(params=["memory", *DURABILITIES])
def store(request: pytest.FixtureRequest, tmp_path: Path, loop: Loop) -> Iterator[Store]:
    made: Store
    if request.param == "memory":
        made = MemoryStore(loop.deliver)
    else:
        made = RocksStore(tmp_path / "db", loop.deliver, durability=request.param)
    yield made
    made.close()


def filled(store: Store) -> Store:
    keys = [
        b"",
        b"a",
        b"a\0",
        b"a\0b",
        b"ab",
        b"b",
        b"b\xff",
        b"b\xff\xff",
        b"c",
        b"\xff",
        b"\xff\xff",
    ]
    store.write([("pico", key, b"v" + key) for key in reversed(keys)])
    return store


SCANS = [
    (b"a", b"", False, [b"a", b"a\0", b"a\0b", b"ab"]),
    (b"a", b"", True, [b"ab", b"a\0b", b"a\0", b"a"]),
    (b"a\0", b"", False, [b"a\0", b"a\0b"]),
    (b"a", b"a\0a", False, [b"a\0b", b"ab"]),
    (b"a", b"a\0a", True, [b"a\0", b"a"]),
    (b"a", b"a\0", True, [b"a\0", b"a"]),
    (b"a", b"0", False, [b"a", b"a\0", b"a\0b", b"ab"]),
    (b"a", b"0", True, []),
    (b"a", b"c", False, []),
    (b"a", b"c", True, [b"ab", b"a\0b", b"a\0", b"a"]),
    (b"b\xff", b"", False, [b"b\xff", b"b\xff\xff"]),
    (b"b\xff", b"", True, [b"b\xff\xff", b"b\xff"]),
    (b"\xff", b"", True, [b"\xff\xff", b"\xff"]),
    (b"\xff", b"\xff", True, [b"\xff"]),
    (b"d", b"", False, []),
    (b"d", b"", True, []),
    (b"", b"b\xff\xff", False, [b"b\xff\xff", b"c", b"\xff", b"\xff\xff"]),
    (b"", b"a\0", True, [b"a\0", b"a", b""]),
]


@pytest.mark.parametrize(("prefix", "start", "reverse", "expected"), SCANS)
def test_scan_order(
    store: Store, prefix: bytes, start: bytes, reverse: bool, expected: list[bytes]
) -> None:
    rows = list(filled(store).scan("pico", prefix, start, reverse))
    assert rows == [(key, b"v" + key) for key in expected]


def test_write_deletes_and_keeps_families_apart(store: Store) -> None:
    store.write([("inbox", b"k", b"1"), ("outbox", b"k", b"2"), ("eci", b"k", b"")])
    store.write([("inbox", b"k", None), ("inbox", b"never", None), ("outbox", b"k", b"3")])
    assert store.get("inbox", b"k") is None
    assert store.get("outbox", b"k") == b"3"
    assert store.get("eci", b"k") == b""
    assert list(store.scan("inbox", b"")) == []


def test_write_in_one_batch_takes_the_last(store: Store) -> None:
    store.write([("pico", b"k", b"1"), ("pico", b"k", None), ("pico", b"k", b"2")])
    assert list(store.scan("pico", b"k")) == [(b"k", b"2")]


def test_erase_takes_a_range(store: Store) -> None:
    filled(store).erase("pico", b"a\0", b"b\xff")
    assert [key for key, _ in store.scan("pico", b"")] == [
        b"", b"a", b"b\xff", b"b\xff\xff", b"c", b"\xff", b"\xff\xff",
    ]  # fmt: skip


def test_sync_reports_in_order_and_on_the_loop(store: Store, loop: Loop) -> None:
    told: list[tuple[str, BaseException | None]] = []
    store.write([("pico", b"k", b"1")])
    store.sync(lambda fault: told.append(("first", fault)))
    store.sync(lambda fault: told.append(("second", fault)))
    assert told == []
    while len(told) < 2:
        loop.run_one()
    assert told == [("first", None), ("second", None)]


def test_close_ends_scans_and_refuses_writes(store: Store) -> None:
    rows = filled(store).scan("pico", b"")
    next(rows)
    store.close()
    with pytest.raises(Fault) as caught:
        store.write([("pico", b"k", b"1")])
    assert caught.value.code == "R3003"
    store.close()


# ------------------------------------------------------------------------------ against a model

KEYS = st.binary(max_size=3) | st.sampled_from([b"a", b"a\0", b"a\0\xff", b"b", b"\xff\xff"])
WRITES = st.lists(st.tuples(KEYS, st.none() | st.binary(max_size=2)), max_size=6)
LOOKS = st.tuples(KEYS, KEYS | st.just(b""), st.booleans())


def model_scan(
    model: dict[bytes, bytes], prefix: bytes, start: bytes, reverse: bool
) -> list[tuple[bytes, bytes]]:
    rows = sorted(row for row in model.items() if row[0].startswith(prefix))
    if reverse:
        return [row for row in reversed(rows) if not start or row[0] <= start]
    return [row for row in rows if row[0] >= start]


@pytest.mark.parametrize("kind", ["memory", "rocks"])
def test_store_equals_a_dict(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    @settings(derandomize=True, max_examples=60, deadline=None)
    @given(st.lists(st.tuples(WRITES, LOOKS), max_size=8))
    def check(steps: list[tuple[Any, Any]]) -> None:
        store.erase("pico", b"", b"\xff" * 4)
        model: dict[bytes, bytes] = {}
        for writes, look in steps:
            store.write([("pico", key, value) for key, value in writes])
            for key, value in writes:
                if value is None:
                    model.pop(key, None)
                else:
                    model[key] = value
            assert [store.get("pico", key) for key, _ in writes] == [
                model.get(key) for key, _ in writes
            ]
            assert list(store.scan("pico", *look)) == model_scan(model, *look)

    store: Store
    if kind == "memory":
        store = MemoryStore(Loop().deliver)
    else:
        store = RocksStore(tmp_path_factory.mktemp("model") / "db", Loop().deliver)
    check()
    store.close()


def test_memory_holds_many_keys_in_order() -> None:
    store = MemoryStore(Loop().deliver)
    numbers = [n * 7919 % 10_007 for n in range(10_007)]
    for number in numbers:
        store.write([("pico", b"%05d" % number, b"")])
    for number in numbers[::2]:
        store.write([("pico", b"%05d" % number, None)])
    expected = sorted(b"%05d" % number for number in numbers[1::2])
    assert [key for key, _ in store.scan("pico", b"")] == expected
    assert [key for key, _ in store.scan("pico", b"", reverse=True)] == expected[::-1]
    for number in numbers[1::2]:
        store.write([("pico", b"%05d" % number, None)])
    assert list(store.scan("pico", b"")) == list(store.scan("pico", b"", reverse=True)) == []


# ----------------------------------------------------------------------------------- on disk


@pytest.mark.parametrize("durability", DURABILITIES)
def test_rocks_reopens_with_what_was_written(tmp_path: Path, loop: Loop, durability: str) -> None:
    store = RocksStore(tmp_path, loop.deliver, durability=durability)
    filled(store)
    before = list(store.scan("pico", b""))
    store.close()
    store = RocksStore(tmp_path, loop.deliver, durability=durability)
    assert list(store.scan("pico", b"")) == before
    store.close()


_KILLED = """
import os, sys, time
from runtime.rocks import RocksStore
store = RocksStore(sys.argv[1], lambda fn: fn(), durability=sys.argv[2])
for number in range(200):
    store.write([("inbox", b"%03d" % number, b"x"), ("pico", b"mark", b"%03d" % number)])
if sys.argv[2] == "none":
    os._exit(9)
store.sync(lambda fault: os._exit(9 if fault is None else 1))
time.sleep(60)
"""


@pytest.mark.parametrize("durability", DURABILITIES)
def test_rocks_after_a_kill(tmp_path: Path, loop: Loop, durability: str) -> None:
    command = [sys.executable, "-c", _KILLED, str(tmp_path), durability]
    assert subprocess.run(command, timeout=60).returncode == 9
    store = RocksStore(tmp_path, loop.deliver, durability=durability)
    inbox = [key for key, _ in store.scan("inbox", b"")]
    mark = store.get("pico", b"mark")
    store.close()
    if durability != "none":
        assert len(inbox) == 200
    # Whatever was lost, the families agree: no batch is there in part.
    assert mark == (inbox[-1] if inbox else None)


def test_rocks_in_use_is_told(tmp_path: Path, loop: Loop) -> None:
    store = RocksStore(tmp_path, loop.deliver)
    with pytest.raises(Fault, match=str(tmp_path)) as caught:
        RocksStore(tmp_path, loop.deliver)
    assert caught.value.code == "R3001"
    assert "--home" in caught.value.hint
    store.close()
    RocksStore(tmp_path, loop.deliver).close()


def test_rocks_of_a_newer_format_is_refused(tmp_path: Path, loop: Loop) -> None:
    store = RocksStore(tmp_path, loop.deliver)
    store.write([("meta", FORMAT_KEY, encode_record(99))])
    store.close()
    for _ in range(2):
        with pytest.raises(Fault, match="format 99") as caught:
            RocksStore(tmp_path, loop.deliver)
        assert caught.value.code == "R3002"


@pytest.mark.parametrize("inside", [False, True])
def test_rocks_where_no_folder_can_be(tmp_path: Path, loop: Loop, inside: bool) -> None:
    path = tmp_path / "file"
    path.write_text("this is no folder")
    with pytest.raises(Fault, match="cannot be used") as caught:
        RocksStore(path / "db" if inside else path, loop.deliver)
    assert caught.value.code == "R3005"


def test_rocks_checkpoint_is_a_store(tmp_path: Path, loop: Loop) -> None:
    store = filled(RocksStore(tmp_path / "db", loop.deliver))
    assert isinstance(store, RocksStore)
    store.checkpoint(tmp_path / "copy")
    expected = list(store.scan("pico", b""))
    store.write([("pico", b"later", b"1")])
    with pytest.raises(Fault) as caught:
        store.checkpoint(tmp_path / "copy")
    assert caught.value.code == "R3005"
    store.close()
    copy = RocksStore(tmp_path / "copy", loop.deliver)
    assert list(copy.scan("pico", b"")) == expected
    copy.close()


class BrokenDisk:
    """A database whose log cannot be written or synced any more."""

    def __init__(self, text: str) -> None:
        self.text = text

    def write(self, *_: object) -> None:
        raise Exception(self.text)

    def flush_wal(self, _: bool) -> None:
        raise Exception(self.text)


@pytest.mark.parametrize(
    ("text", "code"),
    [("IO error: No space left on device", "R3004"), ("IO error: Input/output error", "R3003")],
)
@pytest.mark.parametrize("first", ["write", "sync"])
def test_rocks_failure_is_final(
    tmp_path: Path, loop: Loop, text: str, code: str, first: str
) -> None:
    store = RocksStore(tmp_path, loop.deliver)
    real, store._db = store._db, BrokenDisk(text)
    told: list[BaseException | None] = []
    if first == "write":
        with pytest.raises(Fault, match="store cannot be written") as caught:
            store.write([("pico", b"k", b"1")])
        assert caught.value.code == code
    else:
        store.sync(told.append)
        loop.run_one()
    store._db = real
    with pytest.raises(Fault) as caught:
        store.write([("pico", b"k", b"1")])
    assert caught.value.code == code
    store.sync(told.append)
    loop.run_one()
    assert [fault.code for fault in told if isinstance(fault, Fault)] == [code] * len(told)
    assert told
    store.close()


# ------------------------------------------------------------------------------------- crashes


def written(store: MemoryStore, count: int) -> None:
    for number in range(count):
        store.write([("pico", b"k", b"%d" % number), ("inbox", b"%d" % number, b"x")])


@pytest.mark.parametrize("surviving", range(4))
def test_memory_crash_keeps_whole_batches_in_order(loop: Loop, surviving: int) -> None:
    store = MemoryStore(loop.deliver)
    written(store, 2)
    told: list[BaseException | None] = []
    store.sync(told.append)
    loop.run_one()
    assert told == [None]
    assert store.unsynced_batches == 0
    store.write([("pico", b"k", None)])
    store.write([("inbox", b"0", None), ("inbox", b"2", b"x")])
    store.write([("pico", b"k", b"new")])
    assert store.unsynced_batches == 3
    found = store.crash(surviving=surviving)
    expected = [
        (b"1", [b"0", b"1"]),
        (None, [b"0", b"1"]),
        (None, [b"1", b"2"]),
        (b"new", [b"1", b"2"]),
    ][surviving]
    assert (found.get("pico", b"k"), [key for key, _ in found.scan("inbox", b"")]) == expected
    assert found.unsynced_batches == 0
    with pytest.raises(Fault):
        store.write([("pico", b"k", b"1")])


def test_memory_sync_covers_only_what_was_written_before(loop: Loop) -> None:
    store = MemoryStore(loop.deliver)
    told: list[BaseException | None] = []
    written(store, 1)
    store.sync(told.append)
    store.write([("pico", b"k", b"late")])
    loop.run_one()
    assert told == [None]
    assert store.crash().get("pico", b"k") == b"0"


def test_memory_sync_in_flight_dies_with_the_crash(loop: Loop) -> None:
    store = MemoryStore(loop.deliver)
    told: list[BaseException | None] = []
    written(store, 1)
    store.sync(told.append)
    found = store.crash()
    loop.run_one()
    assert told == []
    assert found.get("pico", b"k") is None


class Killed(BaseException):
    """The simulated machine stopped."""


# What is found after stopping at each point of: write 0, sync, write 1, sync, erase.
FOUND_AFTER = {
    "write.before": b"0",
    "write.after": b"0",
    "sync.asked": b"0",
    "sync.before": b"0",
    "sync.after": b"1",
    "erase.before": b"1",
}


def test_memory_crash_points_are_all_tried() -> None:
    assert set(FOUND_AFTER) == set(CRASH_POINTS)


@pytest.mark.parametrize("point", CRASH_POINTS)
def test_memory_stops_at_a_crash_point(loop: Loop, point: str) -> None:
    times = 0

    def hook(name: str) -> None:
        nonlocal times
        times += name == point
        if name == point and (times == 2 or point == "erase.before"):
            raise Killed(point)

    store = MemoryStore(loop.deliver, hook)
    told: list[BaseException | None] = []

    def go() -> None:
        for number in range(2):
            store.write([("pico", b"k", b"%d" % number)])
            store.sync(told.append)
            loop.run_one()
        store.erase("pico", b"", b"z")

    with pytest.raises(Killed):
        go()
    assert store.crash().get("pico", b"k") == FOUND_AFTER[point]
    assert len(told) == (2 if point == "erase.before" else 1)


def test_families_are_those_of_the_key_table() -> None:
    import runtime.store

    table = (runtime.store.__doc__ or "").split("=\n")[2]
    assert {line.split()[0] for line in table.splitlines() if line[:1].isalpha()} == set(FAMILIES)


@pytest.mark.parametrize("name", ["CURRENT", "MANIFEST"])
def test_rocks_damaged_database_is_told(tmp_path: Path, loop: Loop, name: str) -> None:
    RocksStore(tmp_path, loop.deliver).close()
    [file] = tmp_path.glob(f"{name}*")
    file.write_bytes(b"\x00 this is no manifest \xff" * 20)
    with pytest.raises(Fault, match=str(tmp_path)) as caught:
        RocksStore(tmp_path, loop.deliver)
    assert caught.value.code in ("R3005", "R3006")


def test_rocks_damaged_block_is_told(tmp_path: Path, loop: Loop) -> None:
    store = RocksStore(tmp_path, loop.deliver)
    filled(store)
    store.close()
    RocksStore(tmp_path, loop.deliver).close()  # Opening it writes the log out, to a table.
    tables = list(tmp_path.glob("*.sst"))
    assert tables
    for table in tables:
        content = table.read_bytes()
        table.write_bytes(bytes(byte ^ 0x55 for byte in content[:-60]) + content[-60:])
    with pytest.raises(Fault, match="is damaged: Corruption") as caught:
        RocksStore(tmp_path, loop.deliver)
    assert caught.value.code == "R3006"
