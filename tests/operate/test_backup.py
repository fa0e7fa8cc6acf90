"""Backups: whole or not there; restored only unchanged, never over anything, in one step."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime import backup as backups
from runtime.backup import INDEX, read_index, restore, verify, write_backup
from runtime.errors import Fault
from runtime.home import RESTORED, Home, finish_restore
from runtime.rocks import RocksStore
from runtime.store import INCARNATION_KEY, decode_record

ROWS = {number.to_bytes(4, "big"): bytes(100) for number in range(2_000)}


def open_store(path: Path) -> RocksStore:
    return RocksStore(path, lambda call: call(), durability="os", memory_bytes=32 << 20)


def told(count: int) -> None:
    """A listener for progress that needs none."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data folder with something in its store."""
    folder = tmp_path / "home"
    held = Home.open(folder)
    store = open_store(held.db_path)
    store.write([("pico", key, value) for key, value in ROWS.items()])
    store.close()
    held.close()
    return folder


@pytest.fixture
def made(home: Path, tmp_path: Path) -> Path:
    """A backup of it."""
    write_backup(home / "db", tmp_path / "b", engine="1", made_ms=77, tell=told)
    return tmp_path / "b"


def content(folder: Path) -> dict[bytes, bytes]:
    store = open_store(folder / "db")
    try:
        return dict(store.scan("pico", b""))
    finally:
        store.close()


def test_checkpoint_is_what_was_written_then(tmp_path: Path) -> None:
    store = open_store(tmp_path / "db")
    store.write([("pico", key, value) for key, value in ROWS.items()])
    store.checkpoint(tmp_path / "copy")
    store.write([("pico", b"later", b"x")])
    assert store.keys_estimated("pico") == len(ROWS) + 1
    assert store.disk_bytes() > 0
    store.close()
    (tmp_path / "home").mkdir()
    (tmp_path / "copy").rename(tmp_path / "home" / "db")
    assert content(tmp_path / "home") == ROWS


def test_backup_restores_what_was_there(made: Path, tmp_path: Path) -> None:
    index = read_index(made)
    assert (index.made_ms, index.engine) == (77, "1")
    heard: list[int] = []
    done = restore(made, tmp_path / "new", replace=False, now_ms=5, tell=heard.append)
    assert sum(heard) == 3 * index.bytes
    assert done.replaced is None
    assert content(tmp_path / "new") == ROWS
    # The tokens are the folder's own, and no part of the backup.
    assert not list(made.glob("**/*.token"))
    assert (tmp_path / "new" / "admin.token").stat().st_mode & 0o777 == 0o600
    for file in made.glob("**/*"):
        assert file.stat().st_mode & 0o077 == 0


def test_every_restore_is_another_incarnation(made: Path, tmp_path: Path) -> None:
    """Other engines must not take new events for those that were sent after the backup."""
    words = []
    for name in ("one", "two"):
        restore(made, tmp_path / name, replace=False, now_ms=5, tell=told)
        store = open_store(tmp_path / name / "db")
        row = store.get("meta", INCARNATION_KEY)
        store.close()
        assert row is not None
        words.append(decode_record(row))
    assert words[0] != words[1]


def test_backup_goes_nowhere_where_something_is(home: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "x").write_text("mine")
    for dest in (tmp_path / "there", tmp_path / "there" / "x"):
        with pytest.raises(Fault, match="is there already") as caught:
            write_backup(home / "db", dest, engine="1", made_ms=1, tell=told)
        assert caught.value.code == "R3008"
    with pytest.raises(Fault, match="cannot be used: Not a directory") as caught:
        write_backup(home / "db", tmp_path / "there" / "x" / "y", engine="1", made_ms=1, tell=told)
    assert caught.value.code == "R3005"
    assert (tmp_path / "there" / "x").read_text() == "mine"


def test_interrupted_backup_is_none(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(backups.os, "fsync", full)
        with pytest.raises(Fault, match="no space is left") as caught:
            write_backup(home / "db", tmp_path / "b", engine="1", made_ms=1, tell=told)
    assert caught.value.code == "R3004"
    assert not (tmp_path / "b").exists()
    assert not (tmp_path / "b.part").exists()
    # One that was killed leaves its part, which the next one replaces, and is no backup.
    (tmp_path / "b.part" / "db").mkdir(parents=True)
    with pytest.raises(Fault, match="BACKUP cannot be read"):
        read_index(tmp_path / "b.part")
    write_backup(home / "db", tmp_path / "b", engine="1", made_ms=1, tell=told)
    assert not (tmp_path / "b.part").exists()
    assert read_index(tmp_path / "b").bytes > 0


# --- What is refused ------------------------------------------------------------------------------


def _table(made: Path) -> Path:
    return next((made / "db").glob("*.sst"))


def flip(made: Path) -> None:
    data = bytearray(_table(made).read_bytes())
    data[len(data) // 2] ^= 1
    _table(made).write_bytes(data)


def cut(made: Path) -> None:
    _table(made).write_bytes(_table(made).read_bytes()[:-1])


def lose(made: Path) -> None:
    _table(made).unlink()


def garble(made: Path) -> None:
    (made / INDEX).write_text("{")


def claim(made: Path, **fields: Any) -> None:
    said = json.loads((made / INDEX).read_text())
    (made / INDEX).write_text(json.dumps(said | fields))


def renew(made: Path) -> None:
    claim(made, format=9)


def renew_store(made: Path) -> None:
    claim(made, store_format=9)


def name_store(made: Path) -> None:
    claim(made, store_format="newest")


def escape(made: Path) -> None:
    claim(made, files=[{"name": "../x", "bytes": 1, "sha256": "0"}])


def misspell(made: Path) -> None:
    claim(made, files=3)


def call_otherwise(made: Path) -> None:
    claim(made, kind="cake")


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        (flip, "R3009", r"\.sst was changed: its hash differs"),
        (cut, "R3009", r"\.sst has [\d,]+ bytes, and had"),
        (lose, "R3009", r"\.sst cannot be read: No such file"),
        (garble, "R3009", "BACKUP is not what `pico backup` writes"),
        (call_otherwise, "R3009", "BACKUP is not what `pico backup` writes"),
        (name_store, "R3009", "BACKUP is not what `pico backup` writes"),
        (misspell, "R3009", "BACKUP is damaged"),
        (escape, "R3009", "outside of db/"),
        (renew, "R3002", "was made by version 1 of pico"),
        (renew_store, "R3002", "was made by version 1 of pico"),
    ],
)
def test_changed_backup_is_refused(
    made: Path, tmp_path: Path, change: Callable[[Path], None], code: str, text: str
) -> None:
    change(made)
    with pytest.raises(Fault, match=text) as caught:
        restore(made, tmp_path / "new", replace=False, now_ms=5, tell=told)
    assert caught.value.code == code
    assert not (tmp_path / "new").exists()


def test_folder_that_holds_something_is_left_alone(made: Path, home: Path, tmp_path: Path) -> None:
    before = content(home)
    with pytest.raises(Fault, match="is not empty") as caught:
        restore(made, home, replace=False, now_ms=5, tell=told)
    assert caught.value.code == "R3008"
    assert "--replace" in caught.value.hint
    held = Home.open(home)
    held.close()
    assert content(home) == before
    (tmp_path / "file").write_text("")
    with pytest.raises(Fault, match="is not empty"):
        restore(made, tmp_path / "file", replace=False, now_ms=5, tell=told)


def test_replaced_store_is_kept(made: Path, home: Path) -> None:
    store = open_store(home / "db")
    store.write([("pico", b"newer", b"x")])
    store.close()
    token = (home / "admin.token").read_text()
    done = restore(made, home, replace=True, now_ms=5, tell=told)
    assert content(home) == ROWS
    assert done.replaced == home / "db.replaced-5"
    done.replaced.rename(home / "old")
    old = open_store(home / "old")
    assert old.get("pico", b"newer") == b"x"
    old.close()
    assert (home / "admin.token").read_text() == token


# --- Kills ----------------------------------------------------------------------------------------


class Kill(BaseException):
    """The process stopped here."""


class Steps:
    """Counts the steps of a restore, and stops before one of them."""

    def __init__(self, last: int) -> None:
        self.left = last

    def before(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                raise Kill
            return real(*args)

        return step


def was_killed(made: Path, folder: Path, number: int, replace: bool) -> bool:
    """Restore, but stop at the n-th step; False when there were not so many."""
    steps = Steps(number)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(backups, "_copy", steps.before(backups._copy))
        patched.setattr(Path, "rename", steps.before(Path.rename))
        patched.setattr(Path, "replace", steps.before(Path.replace))
        try:
            restore(made, folder, replace=replace, now_ms=5, tell=told)
        except Kill:
            return True
    return False


@pytest.mark.parametrize("replace", [False, True])
def test_killed_restore_has_happened_or_not(made: Path, tmp_path: Path, replace: bool) -> None:
    """Stop at every file operation in turn; the next start finds the old store or the new one."""
    outcomes: list[bool] = []
    old = {b"old": b"x"} if replace else {}
    while True:
        folder = tmp_path / f"try{len(outcomes)}"
        if replace:
            held = Home.open(folder)
            store = open_store(held.db_path)
            store.write([("pico", b"old", b"x")])
            store.close()
            held.close()
        if not was_killed(made, folder, len(outcomes) + 1, replace):
            break
        held = Home.open(folder)
        found = content(folder) if (folder / "db").exists() else {}
        held.close()
        assert not (folder / RESTORED).exists()
        assert found in (ROWS, old)
        outcomes.append(found == ROWS)
    # What was left of the first does not stand in the way of another try.
    restore(made, tmp_path / "try0", replace=True, now_ms=6, tell=told)
    assert content(tmp_path / "try0") == ROWS
    assert outcomes.count(True) >= 1
    assert outcomes.count(False) >= 3
    assert outcomes == sorted(outcomes)


def test_nothing_to_finish_is_nothing(tmp_path: Path) -> None:
    assert finish_restore(tmp_path, 1) is None


def test_verify_hears_of_every_byte(made: Path) -> None:
    heard: list[int] = []
    index = read_index(made)
    verify(made, index, heard.append)
    assert sum(heard) == index.bytes
