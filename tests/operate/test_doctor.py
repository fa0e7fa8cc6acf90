"""The doctor: a sound store is sound; damage is found, named, and repaired where that is safe."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.doctor import examine, look_at_folder, repair
from runtime.doctor_checks import Finding
from runtime.store import (
    Store,
    child_key,
    chunks_prefix,
    decode_record,
    eci_key,
    encode_record,
    entries_prefix,
    head_key,
    inbox_key,
    number_key,
    outbox_key,
    timer_owner_key,
)
from runtime.timers import MARK as TIMER_MARK
from runtime.timers import NUMBERS, due_key_of
from tests.harness.engine import TestEngine
from tests.operate.stage import grown, rows

Damage = Callable[[TestEngine, Store, str, str], None]


def found(store: Store, tmp_path: Path) -> list[Finding]:
    return [each for each in examine(tmp_path, store).findings if each.check != "disk"]


def test_sound_store_is_sound(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    engine, _ = grown()
    before = rows(engine.store)
    report = examine(tmp_path, engine.store)
    assert [each for each in report.findings if each.check != "disk"] == []
    counts = report.counts
    assert (counts["picos"], counts["timers"], counts["rulesets installed"]) == (4, 6, 4)
    assert report.is_sound
    assert rows(engine.store) == before
    shown = report.to_map()
    assert shown["limits"]["inbox_events_max"]["value"] > 0
    assert "python" in shown["versions"]


def _first(store: Store, family: str, prefix: bytes = b"") -> tuple[bytes, bytes]:
    return next(store.scan(family, prefix))


def lose_index(engine: TestEngine, store: Store, pico_id: str, eci: str) -> None:
    store.write([("eci", eci_key(eci), None)])


def dangle_index(engine: TestEngine, store: Store, pico_id: str, eci: str) -> None:
    store.write([("eci", b"cNOBODY", encode_record(pico_id))])


def dangle_child(engine: TestEngine, store: Store, pico_id: str, eci: str) -> None:
    store.write([("pico", child_key(pico_id, "cX"), encode_record([9, "cNOBODY"]))])


def lose_due(engine: TestEngine, store: Store, pico_id: str, eci: str) -> None:
    store.write([("timer", due_key_of(*_first(store, "timer", b"o")), None)])


def lose_timer(engine: TestEngine, store: Store, pico_id: str, eci: str) -> None:
    store.write([("timer", _first(store, "timer", b"o")[0], None)])


def strand_timer(engine: TestEngine, store: Store, pico_id: str, eci: str) -> None:
    _, row = _first(store, "timer", b"o")
    nobody = timer_owner_key("cNOBODY", "a.b", "cT")
    store.write([("timer", nobody, row), ("timer", due_key_of(nobody, row), encode_record(None))])


def raise_timer_mark(engine: TestEngine, store: Store, pico_id: str, eci: str) -> None:
    store.write([("meta", TIMER_MARK, encode_record(b"d\xff"))])


def lower_numbers(engine: TestEngine, store: Store, pico_id: str, eci: str) -> None:
    store.write([("meta", NUMBERS, encode_record(1))])


def raise_inbox_mark(engine: TestEngine, store: Store, pico_id: str, eci: str) -> None:
    event = [eci, "nest", "ring", {}, 0, "cE", None]
    store.write(
        [
            ("inbox", inbox_key(5, pico_id), encode_record(event)),
            ("meta", b"inbox-mark", encode_record(100)),
        ]
    )


def lose_tombstone(engine: TestEngine, store: Store, pico_id: str, eci: str) -> None:
    store.write([("eci", b"cDEAD", encode_record(77))])


def unmark(engine: TestEngine, store: Store, pico_id: str, eci: str) -> None:
    store.write([("pico", pico_id.encode() + b"\0mpair", encode_record(None))])


@pytest.mark.parametrize(
    ("damage", "check", "text"),
    [
        (lose_index, "channels", "is not in the index"),
        (dangle_index, "channels", "the index has a channel cNOBOD… that pico"),
        (dangle_child, "family", "has a child cNOBODY that is not there"),
        (lose_due, "timers", "would never come due"),
        (lose_timer, "timers", "but not its timer"),
        (strand_timer, "timers", "belongs to pico cNOBODY, which is not there"),
        (raise_timer_mark, "timers", "timers lie where the engine does not look"),
        (lower_numbers, "timers", "the numbers of timers begin below one"),
        (raise_inbox_mark, "inbox", "accepted events lie where a start does not look"),
        (lose_tombstone, "channels", "nothing says when the tombstone"),
        (unmark, "marks", "should have a mark"),
    ],
)
def test_damage_is_repaired(tmp_path: Path, damage: Damage, check: str, text: str) -> None:
    tmp_path.chmod(0o700)
    engine, door = grown()
    channel = engine.core.shelf.channel(door)
    assert channel is not None
    damage(engine, engine.store, channel.pico_id, door)
    report = examine(tmp_path, engine.store)
    findings = [each for each in report.findings if each.check == check]
    assert any(text in each.message for each in findings)
    assert all(each.rows for each in findings)
    assert repair(engine.store, report) >= 1
    # What is repaired may show what lay behind it, as an index row does that points nowhere.
    again = examine(tmp_path, engine.store)
    if again.findings:
        repair(engine.store, again)
    assert found(engine.store, tmp_path) == []


def lose_head(engine: TestEngine, store: Store, pico_id: str, eci: str) -> None:
    store.write([("pico", head_key(pico_id), None)])


def lose_child(engine: TestEngine, store: Store, pico_id: str, eci: str) -> None:
    key, _ = _first(store, "pico", child_key(pico_id))
    store.write([("pico", key, None)])


def lose_entry(engine: TestEngine, store: Store, pico_id: str, eci: str) -> None:
    key, _ = _first(store, "pico", entries_prefix(pico_id, "nest", "large"))
    store.write([("pico", key, None)])


def lose_chunk(engine: TestEngine, store: Store, pico_id: str, eci: str) -> None:
    key, _ = _first(store, "pico", chunks_prefix(pico_id, "nest", "list"))
    store.write([("pico", key, None)])


def lose_source(engine: TestEngine, store: Store, pico_id: str, eci: str) -> None:
    store.write([("registry", _first(store, "registry", b"s")[0], None)])


def lose_root(engine: TestEngine, store: Store, pico_id: str, eci: str) -> None:
    store.write([("meta", b"root", None)])


def garble(engine: TestEngine, store: Store, pico_id: str, eci: str) -> None:
    store.write([("history", number_key(1) + b"x\0" + number_key(1), b"\1\xc1")])


def date(engine: TestEngine, store: Store, pico_id: str, eci: str) -> None:
    store.write([("answer", b"x", b"\x63\xc0")])


def lose_pair(engine: TestEngine, store: Store, pico_id: str, eci: str) -> None:
    row = encode_record(["cE", "a", "b", {}, 0])
    store.write([("outbox", outbox_key(pico_id, "http://h cX", 1), row)])


def steal_channel(engine: TestEngine, store: Store, pico_id: str, eci: str) -> None:
    store.write([("eci", eci_key(eci), encode_record("cOTHER"))])


@pytest.mark.parametrize(
    ("damage", "check", "text"),
    [
        (lose_head, "picos", "but not the one that makes it a pico"),
        (lose_child, "family", "is nobody's child"),
        (lose_entry, "variables", "ent:large should have 60 entries, 59 were found"),
        (lose_chunk, "variables", "ent:list"),
        (lose_source, "rulesets", "the source of nest"),
        (lose_root, "root", "does not say which pico is the root"),
        (garble, "records", "cannot be read"),
        (date, "records", "has format 99; this engine reads"),
        (lose_pair, "outbox", "has lost its order"),
        (steal_channel, "channels", "which has another pico there"),
    ],
)
def test_damage_that_needs_a_person_is_told(
    tmp_path: Path, damage: Damage, check: str, text: str
) -> None:
    engine, door = grown()
    channel = engine.core.shelf.channel(door)
    assert channel is not None
    damage(engine, engine.store, channel.pico_id, door)
    report = examine(tmp_path, engine.store)
    matching = [e for e in report.findings if e.check == check and text in e.message]
    assert matching
    assert not any(each.rows for each in matching)
    assert all(each.advice for each in report.findings)
    assert not report.is_sound


def test_what_a_crash_leaves_is_no_error(tmp_path: Path) -> None:
    engine, door = grown()
    channel = engine.core.shelf.channel(door)
    assert channel is not None
    store = engine.store
    (key,) = [
        key
        for key, row in store.scan("pico", child_key(engine.core.root_id))
        if decode_record(row)[1] == channel.pico_id
    ]
    store.write(
        [
            ("pico", key, None),
            ("meta", b"grave:" + channel.pico_id.encode(), encode_record(0)),
            ("meta", b"staged:cSTAGED", encode_record(None)),
            ("pico", b"cSTAGED\0cX", encode_record(None)),
        ]
    )
    report = examine(tmp_path, store)
    assert report.is_sound
    assert {each.level for each in report.findings if each.check in ("graves", "import")} == {
        "note"
    }


def test_many_findings_are_counted(tmp_path: Path) -> None:
    engine, _ = grown()
    batch: list[Any] = [("dead", number_key(number), b"\0") for number in range(150)]
    engine.store.write(batch)
    report = examine(tmp_path, engine.store)
    assert sum(each.check == "records" for each in report.findings) == 100
    assert report.counts["records: findings not listed"] == 50


def test_folder_is_looked_at(tmp_path: Path) -> None:
    tmp_path.chmod(0o722)
    (tmp_path / "admin.token").write_text("x")
    os.chmod(tmp_path / "admin.token", 0o644)
    (tmp_path / "db.replaced-1").mkdir()
    (tmp_path / "db.replaced-1" / "a").write_bytes(bytes(3 << 20))
    (tmp_path / "db.restoring").mkdir()
    (tmp_path / "db.restored").mkdir()
    said = [each.message for each in look_at_folder(tmp_path) if each.check != "disk"]
    assert said == [
        "others than the owner may write to the data folder",
        "others than the owner may read admin.token",
        "a restore was interrupted after it had happened",
        "db.replaced-1 was replaced by a restore, and takes 3 MiB",
        "db.restoring is half a restore, and takes 0 MiB",
    ]


def test_disk_without_space_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    tmp_path.chmod(0o700)
    usage = shutil.disk_usage(tmp_path)
    for free, level in ((1 << 20, "error"), (500 << 20, "warning")):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: usage._replace(free=free))
        (finding,) = look_at_folder(tmp_path)
        assert (finding.level, finding.check) == (level, "disk")
