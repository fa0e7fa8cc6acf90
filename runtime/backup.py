"""Backups: a still database to a folder with the hash of every file, and back into a data folder.

In: a checkpoint, or a database that nobody has open. Out: a folder `DEST` with `BACKUP` (what is in
it, as JSON) and `db/`; or a data folder that begins anew from one. Invariants: a folder with
`BACKUP` is whole, since it had another name until then; `restore` believes nothing before every
hash was checked, and takes nothing away: what was there lies beside it under another name; a
restore that was interrupted has happened, or not. The admin token is never part of a backup. Not
here: checkpoints of a running engine (rocks.py, library.py). Source: DESIGN.md, Operating.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec

from runtime.errors import Fault
from runtime.home import RESTORED, Home, finish_restore
from runtime.rocks import RocksStore
from runtime.store import INCARNATION_KEY, STORE_FORMAT, encode_record

INDEX = "BACKUP"
KIND = "pico backup"
# The format of the folder: of what BACKUP says and where files lie.
FORMAT = 1
_CHUNK_BYTES = 1 << 20
# Files of a database that say nothing about its content.
_NOT_CONTENT = ("LOCK", "LOG", "IDENTITY")

# Is told how many more bytes were dealt with.
Tell = Callable[[int], object]


class File(msgspec.Struct, frozen=True):
    """One file of a database in a backup."""

    name: str
    bytes: int
    sha256: str


class Index(msgspec.Struct, frozen=True):
    """What BACKUP says. `store_format` is that of the database, `engine` the version of pico."""

    kind: str
    format: int
    store_format: int
    engine: str
    made_ms: int
    files: tuple[File, ...]

    @property
    def bytes(self) -> int:
        """The size of the database."""
        return sum(file.bytes for file in self.files)


class Restored(NamedTuple):
    """What a restore did; `replaced` is where the database lies that was there before."""

    home: Path
    backup: Index
    replaced: Path | None


# --- Making ---------------------------------------------------------------------------------------


def database_files(database: Path) -> list[Path]:
    """The files of a still database that make its content."""
    found = sorted(file for file in database.iterdir() if file.is_file())
    return [file for file in found if file.name.partition(".")[0] not in _NOT_CONTENT]


def write_backup(database: Path, dest: Path, *, engine: str, made_ms: int, tell: Tell) -> Index:
    """Copy a still database into a new folder, with the hash of every file.

    Raises: R3008 when `dest` is there and not empty, R3005 when it cannot be written, R3004.
    Cost: reads the database once, and writes it once.
    """
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise Fault("R3008", f"{dest} is there already", "name a folder that does not exist yet")
    part = dest.with_name(dest.name + ".part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        (part / "db").mkdir(parents=True, mode=0o700)
        os.chmod(part, 0o700)
        files = tuple(
            File(file.name, *_copy(file, part / "db" / file.name, tell))
            for file in database_files(database)
        )
        index = Index(KIND, FORMAT, STORE_FORMAT, engine, made_ms, files)
        _write(part / INDEX, msgspec.json.format(msgspec.json.encode(index)) + b"\n")
        _sync_folder(part / "db")
        _sync_folder(part)
        part.replace(dest)
        _sync_folder(dest.parent)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise _unusable(dest, error) from error
    return index


def _copy(source: Path, dest: Path, tell: Tell) -> tuple[int, str]:
    """Copy one file so that it is on the disk; its size and hash."""
    digest = sha256()
    size = 0
    with source.open("rb") as reader, dest.open("xb") as writer:
        os.chmod(dest, 0o600)
        while chunk := reader.read(_CHUNK_BYTES):
            digest.update(chunk)
            writer.write(chunk)
            size += len(chunk)
            tell(len(chunk))
        writer.flush()
        os.fsync(writer.fileno())
    return size, digest.hexdigest()


def _write(file: Path, content: bytes) -> None:
    with file.open("xb") as writer:
        os.chmod(file, 0o600)
        writer.write(content)
        writer.flush()
        os.fsync(writer.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- Checking -------------------------------------------------------------------------------------


def read_index(backup: Path) -> Index:
    """What a backup says that it holds.

    Raises: R3009 for what is no whole backup, R3002 for one of a newer version.
    """
    try:
        data = (backup / INDEX).read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        hint = "name the folder that `pico backup` made; one that was interrupted is no backup"
        raise Fault("R3009", f"{backup / INDEX} cannot be read: {reason}", hint) from None
    try:
        head = msgspec.json.decode(data)
        kind, found, stored = head["kind"], head["format"], head["store_format"]
    except (msgspec.MsgspecError, TypeError, KeyError, RecursionError):
        kind, found, stored = None, None, None
    if kind != KIND or type(found) is not int or type(stored) is not int:
        raise Fault("R3009", f"{backup / INDEX} is not what `pico backup` writes")
    if found > FORMAT or stored > STORE_FORMAT:
        message = f"the backup {backup} was made by version {head.get('engine')} of pico"
        raise Fault("R3002", message, "restore it with that version, or a newer one")
    try:
        return msgspec.json.decode(data, type=Index)
    except msgspec.MsgspecError as error:
        raise Fault("R3009", f"{backup / INDEX} is damaged: {error}") from None


def verify(backup: Path, index: Index, tell: Tell) -> None:
    """Read every file of a backup, and compare it with what it was.

    Raises: R3009 naming the first file that is not as it was.
    """
    folder = backup / "db"
    for file in index.files:
        if not file.name or Path(file.name).name != file.name:
            raise Fault("R3009", f"{backup / INDEX} names a file {file.name!r} outside of db/")
        try:
            size, digest = _hash(folder / file.name, tell)
        except OSError as error:
            reason = error.strerror or str(error)
            raise Fault("R3009", f"{folder / file.name} cannot be read: {reason}") from None
        if size != file.bytes:
            message = f"{folder / file.name} has {size:,} bytes, and had {file.bytes:,}"
            raise Fault("R3009", message)
        if digest != file.sha256:
            raise Fault("R3009", f"{folder / file.name} was changed: its hash differs")


def _hash(file: Path, tell: Tell) -> tuple[int, str]:
    digest = sha256()
    size = 0
    with file.open("rb") as reader:
        while chunk := reader.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            tell(len(chunk))
    return size, digest.hexdigest()


# --- Restoring ------------------------------------------------------------------------------------


def restore(backup: Path, folder: Path, *, replace: bool, now_ms: int, tell: Tell) -> Restored:
    """Have a data folder begin anew with what a backup holds; `tell` gets its bytes three times.

    Raises: R3009, R3002 for the backup; R3001 when an engine runs in the folder, R3008 when it
    holds something and `replace` is false, R3005 when it cannot be written.
    """
    index = read_index(backup)
    verify(backup, index, tell)
    folder = folder.expanduser()
    has_content = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if has_content and not replace:
        hint = "name a new folder, or say --replace: then what is there is kept under another name"
        raise Fault("R3008", f"the data folder {folder} is not empty", hint)
    home = Home.open(folder)
    try:
        staged = home.path / "db.restoring"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(mode=0o700)
        for file in index.files:
            _, digest = _copy(backup / "db" / file.name, staged / file.name, tell)
            if digest != file.sha256:
                raise Fault("R3009", f"{file.name} of the backup changed while it was read")
        _begin_anew(staged)
        tell(index.bytes)
        _sync_folder(staged)
        # From here on it has happened: the next start ends what is left, if this process does not.
        staged.replace(home.path / RESTORED)
        _sync_folder(home.path)
        replaced = finish_restore(home.path, now_ms)
    except OSError as error:
        raise _unusable(folder, error) from error
    finally:
        home.close()
    return Restored(home.path, index, replaced)


def _begin_anew(database: Path) -> None:
    """See that a database opens, and let other engines take its sends for those of a new sender."""
    store = RocksStore(database, lambda call: call(), durability="os")
    try:
        word = secrets.token_hex(4)
        store.write([("meta", INCARNATION_KEY, encode_record(word))])
    finally:
        store.close()


def _unusable(place: Path, error: OSError) -> Fault:
    reason = error.strerror or str(error)
    if "space" in reason.lower():
        return Fault("R3004", f"no space is left for {place}")
    hint = "check that the path is a folder and belongs to you, or name another"
    return Fault("R3005", f"{place} cannot be used: {reason}", hint)
