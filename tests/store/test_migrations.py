"""Older formats are migrated step by step; newer and unknown ones are refused.

No older format exists yet, so these tests make some up: they are what the first real one will use.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime import home, migrations, rocks, store
from runtime.errors import Fault
from runtime.home import Home
from runtime.memory import MemoryStore
from runtime.migrations import migrate_store
from runtime.rocks import RocksStore
from runtime.store import FORMAT_KEY, Batch, Store, decode_record, encode_record


def _add_a_field(what: str, record: Any) -> Any:
    return [*record, "new"] if what == "timer" else record


def _name_the_fields(what: str, record: Any) -> Any:
    return {"fields": record} if what == "timer" else record


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A record of now, seen by an engine two formats later."""
    old = encode_record([1, 2])
    monkeypatch.setattr(store, "RECORD_FORMAT", 3)
    monkeypatch.setattr(store, "_FORMAT_BYTE", b"\3")
    steps = {1: _add_a_field, 2: _name_the_fields}
    monkeypatch.setattr(migrations, "RECORD_STEPS", steps)
    return old


def test_older_record_is_migrated_step_by_step(later: bytes) -> None:
    assert decode_record(later, "timer") == {"fields": [1, 2, "new"]}
    assert decode_record(later, "channel") == [1, 2]
    assert decode_record(b"\2" + later[1:], "timer") == {"fields": [1, 2]}
    # What is written now is of the new format, and read as it is.
    assert encode_record([1, 2])[0] == 3
    assert decode_record(encode_record([1, 2]), "timer") == [1, 2]


def test_newer_and_unknown_records_are_refused(
    later: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Fault, match="a timer has format 4; this engine reads 3") as caught:
        decode_record(b"\4" + later[1:], "timer")
    assert caught.value.code == "R3002"
    for data in (b"", b"\0", b"\0\xc0"):
        with pytest.raises(Fault, match="does not begin with a format number") as caught:
            decode_record(data, "timer")
        assert caught.value.code == "R3006"
    monkeypatch.delitem(migrations.RECORD_STEPS, 2)
    with pytest.raises(Fault, match="format 2, which no engine ever wrote"):
        decode_record(later, "timer")


def _rename(found: Store) -> Iterator[Batch]:
    """A step for a whole store: keys change. Run again, it goes on where it was stopped."""
    for key, value in list(found.scan("dead", b"old")):
        yield [("dead", key, None), ("dead", b"new" + key[3:], value)]


@pytest.fixture
def next_format(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (store, home, rocks):
        monkeypatch.setattr(module, "STORE_FORMAT", 2)
    monkeypatch.setattr(migrations, "STORE_STEPS", {1: _rename})


def _rows() -> Batch:
    return [("dead", b"old%d" % number, encode_record(number)) for number in range(5)]


@pytest.mark.usefixtures("next_format")
def test_interrupted_migration_goes_on() -> None:
    for stop in range(1, 8):
        found = MemoryStore(lambda call: call())
        found.write([*_rows(), ("meta", FORMAT_KEY, encode_record(1))])
        passed: list[str] = []

        def hook(name: str, passed: list[str] = passed, stop: int = stop) -> None:
            passed.append(name)
            if passed.count("write.before") == stop:
                raise InterruptedError

        found._hook = hook
        try:
            migrate_store(found, 1)
            was_stopped = False
        except InterruptedError:
            was_stopped = True
        found._hook = None
        assert was_stopped == (stop < 7)
        row = found.get("meta", FORMAT_KEY)
        assert row is not None
        assert decode_record(row) == (1 if was_stopped else 2)
        if was_stopped:
            migrate_store(found, 1)
        keys = [key for key, _ in found.scan("dead", b"")]
        assert keys == [b"new%d" % number for number in range(5)]


def test_store_on_disk_is_migrated_once(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    held = Home.open(tmp_path)
    first = RocksStore(held.db_path, lambda call: call(), durability="os")
    first.write(_rows())
    first.close()
    held.close()
    assert (tmp_path / "FORMAT").read_text() == "1\n"
    request.getfixturevalue("next_format")
    for _ in range(2):
        held = Home.open(tmp_path)
        # From the first opening on an older engine refuses the folder.
        assert (tmp_path / "FORMAT").read_text() == "2\n"
        later = RocksStore(held.db_path, lambda call: call(), durability="os")
        assert next(key for key, _ in later.scan("dead", b"")) == b"new0"
        row = later.get("meta", FORMAT_KEY)
        assert row is not None
        assert decode_record(row) == 2
        later.close()
        held.close()


@pytest.mark.usefixtures("next_format")
def test_store_of_no_known_format_is_refused() -> None:
    with pytest.raises(Fault, match="format 0, which no engine ever wrote"):
        migrate_store(MemoryStore(lambda call: call()), 0)
