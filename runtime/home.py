"""The data folder of an engine: what lies in it, who may use it, and where the engine listens.

In: a path. Out: a locked `Home`, or an `Address` for a command that wants to talk to the engine.

==============  ===========================================================================
db/             the store (rocks.py)
db.replaced-N   a store that a restore has replaced
checkpoints/    still copies of the store that commands read (backup.py, doctor.py)
FORMAT          the format of the folder, one number
LOCK            locked while an engine runs; holds its process id
admin.token     the admin token, made at first start, readable by the owner only
metrics.token   the token for /metrics, and for nothing else
engine.json     {"pid", "url", "channels"} of the running engine; removed at stop
==============  ===========================================================================

Invariants: one process holds a folder at a time, and the lock ends with the process, however that
ends. The token never appears in a message. Not here: opening the store.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from runtime.errors import Fault
from runtime.store import STORE_FORMAT

DEFAULT_HOME = "~/.picos"
# A database that takes the place of db/ at the next opening: what a restore ends with.
RESTORED = "db.restored"
_TOKEN_BYTES = 32


class Address(NamedTuple):
    """Where a running engine can be reached; `token` is "" when this user cannot read it.

    `url` is for HTTP, `channels` are the addresses for channel clients.
    """

    url: str
    token: str
    pid: int
    channels: tuple[str, ...] = ()


def default_home() -> Path:
    """The data folder to use when none is named: PICO_HOME, else `~/.picos`."""
    return Path(os.environ.get("PICO_HOME") or DEFAULT_HOME).expanduser()


class Home:
    """A data folder that this process holds.

    Opening a folder twice in one process gives the same object; it is let go when it has been
    closed as often as opened.
    """

    def __init__(self, path: Path, lock: int, token: str, metrics_token: str) -> None:
        self.path = path
        self.token = token
        self.metrics_token = metrics_token
        self._lock = lock
        self._holders = 1
        self._has_announced = False

    @classmethod
    def open(cls, path: str | Path) -> "Home":
        """Make the folder if need be, lock it, and give it.

        Raises: R3001 when another process holds it, R3002 when a newer engine wrote it, R3005 when
        it cannot be used.
        """
        folder = Path(path).expanduser()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder = folder.resolve()
            held = _HELD.get(folder)
            if held is not None:
                held._holders += 1
                return held
            lock = _lock(folder)
        except OSError as error:
            raise _unusable(folder, error) from error
        try:
            _check_format(folder)
            finish_restore(folder, time.time_ns() // 1_000_000)
            tokens = _token(folder, "admin.token"), _token(folder, "metrics.token")
            home = cls(folder, lock, *tokens)
        except OSError as error:
            os.close(lock)
            raise _unusable(folder, error) from error
        except BaseException:
            os.close(lock)
            raise
        _HELD[folder] = home
        return home

    @property
    def db_path(self) -> Path:
        """Where the store lies."""
        return self.path / "db"

    def checkpoint_path(self) -> Path:
        """A new place for a still copy of the store.

        Raises: R3005 when the folder cannot be written.
        """
        folder = self.path / "checkpoints"
        try:
            folder.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise _unusable(self.path, error) from error
        return folder / secrets.token_hex(8)

    def sweep(self) -> None:
        """Remove the still copies that killed commands left; for a start, before there are any."""
        shutil.rmtree(self.path / "checkpoints", ignore_errors=True)

    def announce(self, url: str, channels: tuple[str, ...] = ()) -> None:
        """Write down where the engine listens, for the commands that look for it.

        Raises: R3005 when the folder cannot be written.
        """
        text = msgspec.json.encode({"pid": os.getpid(), "url": url, "channels": channels})
        try:
            _write_whole(self.path / "engine.json", text, 0o600)
        except OSError as error:
            raise _unusable(self.path, error) from error
        self._has_announced = True

    def close(self) -> None:
        """Let the folder go, once every holder in this process has closed it."""
        if self._holders == 0:
            return
        self._holders -= 1
        if self._holders:
            return
        _HELD.pop(self.path, None)
        if self._has_announced:
            with contextlib.suppress(OSError):
                (self.path / "engine.json").unlink()
        with contextlib.suppress(OSError):
            os.ftruncate(self._lock, 0)
        os.close(self._lock)


_HELD: dict[Path, Home] = {}


def read_address(path: str | Path) -> Address | None:
    """Where the engine of this folder listens; None when none is running there."""
    folder = Path(path).expanduser()
    try:
        found = msgspec.json.decode((folder / "engine.json").read_bytes(), type=_Announced)
    except (OSError, msgspec.MsgspecError):
        return None
    # A killed engine leaves its file behind; then nobody holds the lock.
    if not _is_locked(folder):
        return None
    return Address(found.url, read_token(folder), found.pid, found.channels)


def read_token(path: str | Path, name: str = "admin.token") -> str:
    """The admin (or another) token of a folder, "" when there is none that this user may read."""
    try:
        return (Path(path).expanduser() / name).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def finish_restore(folder: Path, now_ms: int) -> Path | None:
    """Put a restored database in place, if there is one; return where the one before lies now.

    It may be called again after it was interrupted anywhere. The caller holds the folder.
    """
    restored, current = folder / RESTORED, folder / "db"
    if not restored.exists():
        return None
    kept: Path | None = None
    if current.exists():
        kept = folder / f"db.replaced-{now_ms}"
        current.rename(kept)
    restored.rename(current)
    return kept


class _Announced(msgspec.Struct):
    pid: int
    url: str
    channels: tuple[str, ...] = ()


def _lock(folder: Path) -> int:
    lock = os.open(folder / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
        os.close(lock)
        who = f" (process {pid})" if pid else ""
        raise Fault("R3001", f"another engine{who} has the data folder {folder} open") from None
    except OSError:
        os.close(lock)
        raise
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock


def _is_locked(folder: Path) -> bool:
    try:
        lock = os.open(folder / "LOCK", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _check_format(folder: Path) -> None:
    file = folder / "FORMAT"
    if not file.exists():
        _write_whole(file, f"{STORE_FORMAT}\n".encode(), 0o600)
        return
    text = file.read_text("ascii", "replace").strip()
    if not text.isdecimal():
        raise Fault("R3006", f"{file} should hold a number, but holds {text[:40]!r}")
    if int(text) > STORE_FORMAT:
        message = f"the data folder {folder} has format {text}; this engine reads {STORE_FORMAT}"
        raise Fault("R3002", message)
    if int(text) < STORE_FORMAT:
        # The store is migrated when it is opened; from here on no older engine may touch it.
        _write_whole(file, f"{STORE_FORMAT}\n".encode(), 0o600)


def _token(folder: Path, name: str) -> str:
    token = read_token(folder, name)
    if not token:
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        _write_whole(folder / name, f"{token}\n".encode(), 0o600)
    return token


def _write_whole(file: Path, content: bytes, mode: int) -> None:
    """Write a file so that a reader finds the old content or the new one, never a part."""
    part = file.with_name(file.name + ".new")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        os.fchmod(descriptor, mode)
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    part.replace(file)


def _unusable(folder: Path, error: OSError) -> Fault:
    return Fault("R3005", f"the data folder {folder} cannot be used: {error.strerror or error}")
