"""The store on disk: one RocksDB with a column family for each family.

In and out: the `Store` protocol. Writes go to the write-ahead log unsynced; one flusher thread
syncs it (`flush_wal` releases the interpreter lock, writing does not) and tells the driving loop.
One request is in flight at a time; those that arrive meanwhile share the next one.

Durability, and what a stop may lose of what `done` was called for:

- `fsync`: nothing, whatever stops.
- `os`: nothing when the process is killed; the last seconds when the machine stops.
- `none`: everything since RocksDB last wrote its memory out; never a part of a batch.

Invariants: after the first write or sync that fails, every later one fails the same way. Column
families are written out together, so `none` too leaves a state that once was. Not here: what is
stored (store.py), and the folder around the database (home.py).
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from weakref import WeakSet

import rocksdict

from runtime.counts import SYNC_SECONDS, Histogram
from runtime.errors import Fault
from runtime.migrations import migrate_store
from runtime.store import (
    FAMILIES,
    FORMAT_KEY,
    STORE_FORMAT,
    Batch,
    Deliver,
    Done,
    after_prefix,
    decode_record,
    encode_record,
)

DURABILITIES = ("fsync", "os", "none")

_MIB = 1 << 20
# Bounds how much log has to be read at start: some 0.5 s.
_WAL_BYTES_MAX = 128 * _MIB
_FILES_OPEN_MAX = 512
# How long a checkpoint waits for memory to be written out before it does so itself.
_WRITE_OUT_SECONDS_MAX = 60.0
_WRITE_OUT_LOOK_SECONDS = 0.002


class _Flusher:
    """The thread that makes written batches durable and hands the news to the driving loop."""

    def __init__(
        self, flush: Callable[[], None], failed: Callable[[Fault], None], deliver: Deliver
    ):
        self._flush = flush
        self._failed = failed
        self._deliver = deliver
        self._wanted: queue.SimpleQueue[Done | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="pico-flusher", daemon=True)
        self._thread.start()

    def ask(self, done: Done) -> None:
        """Queue one request; every write before this call will be covered."""
        self._wanted.put(done)

    def stop(self) -> None:
        """Serve what is queued, then end the thread."""
        self._wanted.put(None)
        self._thread.join()

    def _run(self) -> None:
        wanted = self._wanted
        is_last = False
        while not is_last:
            asked = [wanted.get()]
            while not wanted.empty():
                asked.append(wanted.get())
            is_last = asked[-1] is None
            dones = [done for done in asked if done is not None]
            if not dones:
                continue
            fault: Fault | None = None
            try:
                self._flush()
            except Exception as error:
                fault = _write_fault(error)
                self._failed(fault)
            # A closed loop has nobody left who waits.
            try:
                self._deliver(_Report(dones, fault))
            except RuntimeError:
                continue


class _Report:
    """One flush's news for everybody who had asked, as a call for the driving loop."""

    __slots__ = ("_dones", "_fault")

    def __init__(self, dones: list[Done], fault: Fault | None) -> None:
        self._dones = dones
        self._fault = fault

    def __call__(self) -> None:
        for done in self._dones:
            done(self._fault)


class RocksStore:
    """A `Store` in one folder on disk. `deliver` is the loop's `call_soon_threadsafe`.

    Raises: R3001 when another process (or this one) has the folder open, R3002 when a newer engine
    wrote it, R3005 when it cannot be used at all.
    """

    def __init__(
        self,
        path: str | Path,
        deliver: Deliver,
        *,
        durability: str = "fsync",
        memory_bytes: int = 256 * _MIB,
    ) -> None:
        if durability not in DURABILITIES:
            raise ValueError(f"durability is one of {', '.join(DURABILITIES)}, not {durability!r}")
        self._path = str(path)
        self._deliver = deliver
        self._durability = durability
        self._failure: Fault | None = None
        self._is_closed = False
        self.sync_seconds = Histogram(SYNC_SECONDS)
        self._scans: WeakSet[Any] = WeakSet()
        self._db = _open(self._path, _options(memory_bytes, durability))
        families = {name: self._db.get_column_family(name) for name in FAMILIES}
        self._readers = families
        self._gets = {name: family.get for name, family in families.items()}
        self._handles = {name: self._db.get_column_family_handle(name) for name in FAMILIES}
        self._write_options = rocksdict.WriteOptions()
        # The stub calls it a method; it is a property.
        self._write_options.disable_wal = durability == "none"  # type: ignore
        self._flusher: _Flusher | None = None
        try:
            self._check_format()
        except Fault:
            self.close()
            raise
        if durability == "fsync":
            self._flusher = _Flusher(self._flush_wal, self._set_failure, deliver)

    def get(self, family: str, key: bytes) -> bytes | None:
        return self._gets[family](key)  # type: ignore[no-any-return]

    def scan(
        self, family: str, prefix: bytes, start: bytes = b"", reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        rows = self._rows(self._readers[family], prefix, start, reverse)
        # An open RocksDB iterator keeps the database, and its lock, alive: close() ends them.
        self._scans.add(rows)
        return rows

    def _rows(
        self, reader: Any, prefix: bytes, start: bytes, reverse: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        options = rocksdict.ReadOptions()
        end = after_prefix(prefix)
        # The upper bound keeps RocksDB from walking on over deleted rows. Its lower bound has no
        # effect in this binding, so a scan in reverse ends by looking at the prefix.
        if end:
            options.set_iterate_upper_bound(end)
        rows = reader.iter(options)
        if not reverse:
            rows.seek(max(start, prefix))
        elif start and (not end or start < end):
            rows.seek_for_prev(start)
        else:
            rows.seek_to_last()
        step = rows.prev if reverse else rows.next
        while rows.valid():
            key = rows.key()
            if not key.startswith(prefix):
                return
            yield key, rows.value()
            step()
        try:
            rows.status()
        except Exception as error:
            raise Fault("R3006", f"reading {self._path} failed: {error}") from error

    def write(self, batch: Batch) -> None:
        if self._failure is not None:
            raise _again(self._failure)
        rows = rocksdict.WriteBatch(raw_mode=True)
        handles = self._handles
        put = rows.put
        for family, key, value in batch:
            if value is None:
                rows.delete(key, handles[family])
            else:
                put(key, value, handles[family])
        self._apply(rows)

    def _apply(self, rows: Any) -> None:
        try:
            self._db.write(rows, self._write_options)
        except Exception as error:
            self._set_failure(_write_fault(error))
            raise _write_fault(error) from error

    def sync(self, done: Done) -> None:
        if self._failure is not None:
            self._deliver(_Report([done], _again(self._failure)))
        elif self._flusher is None:
            self._deliver(_Report([done], None))
        else:
            self._flusher.ask(done)

    def erase(self, family: str, start: bytes, end: bytes) -> None:
        if self._failure is not None:
            raise _again(self._failure)
        rows = rocksdict.WriteBatch(raw_mode=True)
        rows.delete_range(start, end, self._handles[family])
        self._apply(rows)

    def checkpoint(self, path: str | Path) -> None:
        """Make a consistent copy of the database in a new folder, by hard links where possible.

        To be called from a thread of its own: what is in memory is written out first, in the
        background, since making the copy would hold up everybody until that is done.
        Raises: R3005 when the folder exists or cannot be made.
        """
        readers = list(self._readers.values())
        try:
            for reader in readers:
                reader.flush(False)
            end = time.monotonic() + _WRITE_OUT_SECONDS_MAX
            while time.monotonic() < end and any(map(_is_writing_out, readers)):
                time.sleep(_WRITE_OUT_LOOK_SECONDS)
            rocksdict.Checkpoint(self._db).create_checkpoint(str(path))
        except Exception as error:
            raise Fault("R3005", f"no checkpoint can be made in {path}: {error}") from error

    def keys_estimated(self, family: str) -> int:
        """About how many keys a family has; what was deleted lately may still count."""
        found = self._readers[family].property_int_value("rocksdb.estimate-num-keys")
        return int(found or 0)

    def disk_bytes(self) -> int:
        """What the tables take on the disk, without the log."""
        readers = self._readers.values()
        return sum(reader.property_int_value("rocksdb.total-sst-files-size") for reader in readers)

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if self._flusher is not None:
            self._flusher.stop()
        for rows in list(self._scans):
            rows.close()
        if self._failure is None:
            try:
                # Without a log nothing but this keeps what was written.
                if self._durability == "none":
                    self._db.flush()
                else:
                    self._db.flush_wal(True)
            except Exception as error:
                self._failure = _write_fault(error)
        self._gets.clear()
        self._handles.clear()
        readers, self._readers = self._readers, {}
        for closed in (*readers.values(), self._db):
            try:
                closed.close()
            except Exception as error:
                # Closing flushes, which a disk that failed before refuses once more.
                if self._failure is None:
                    self._failure = _write_fault(error)
        if self._failure is None:
            self._failure = Fault("R3003", f"the store in {self._path} is closed")

    def _check_format(self) -> None:
        found = self.get("meta", FORMAT_KEY)
        if found is None:
            self.write([("meta", FORMAT_KEY, encode_record(STORE_FORMAT))])
            return
        version = decode_record(found, "format record")
        if not isinstance(version, int) or version > STORE_FORMAT:
            raise Fault(
                "R3002",
                f"the data in {self._path} has format {version}; this engine reads {STORE_FORMAT}",
            )
        if version < STORE_FORMAT:
            migrate_store(self, version)

    def _flush_wal(self) -> None:
        started = time.perf_counter()
        self._db.flush_wal(True)
        self.sync_seconds.note(time.perf_counter() - started)

    def _set_failure(self, fault: Fault) -> None:
        if self._failure is None:
            self._failure = fault


def _options(memory_bytes: int, durability: str) -> Any:
    """RocksDB's settings: one cache that also pays for the write buffers, and bounded recovery."""
    cache = rocksdict.Cache(memory_bytes)
    table = rocksdict.BlockBasedOptions()
    table.set_block_cache(cache)
    table.set_cache_index_and_filter_blocks(True)
    table.set_pin_l0_filter_and_index_blocks_in_cache(True)
    table.set_bloom_filter(10, False)
    buffers_bytes = max(memory_bytes // 4, 8 * _MIB)
    buffers = rocksdict.WriteBufferManager.new_write_buffer_manager_with_cache(
        buffers_bytes, False, cache
    )
    options = rocksdict.Options(raw_mode=True)
    options.create_if_missing(True)
    options.create_missing_column_families(True)
    options.set_block_based_table_factory(table)
    options.set_write_buffer_manager(buffers)
    options.set_write_buffer_size(max(buffers_bytes // 2, 4 * _MIB))
    options.set_max_total_wal_size(_WAL_BYTES_MAX)
    options.set_max_open_files(_FILES_OPEN_MAX)
    options.set_max_background_jobs(2)
    options.set_atomic_flush(durability == "none")
    options.set_compression_type(rocksdict.DBCompressionType.lz4())
    options.set_keep_log_file_num(2)
    options.set_max_log_file_size(4 * _MIB)
    options.set_stats_dump_period_sec(0)
    return options


def _open(path: str, options: Any) -> Any:
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        return rocksdict.Rdict(path, options, column_families=dict.fromkeys(FAMILIES, options))
    except OSError as error:
        raise Fault("R3005", f"the folder {path} cannot be used: {error.strerror}") from error
    except Exception as error:
        text = str(error)
        # A damaged block is a word with "lock" in it, so the file LOCK is what is looked for.
        if "Corruption" in text:
            raise Fault("R3006", f"the database in {path} is damaged: {text}") from error
        if f"{path}/LOCK: " in text:
            raise Fault("R3001", f"another engine has the folder {path} open") from error
        if _is_disk_full(text):
            raise Fault("R3004", f"no space is left for {path}") from error
        raise Fault("R3005", f"the folder {path} cannot be used: {text}") from error


def _is_writing_out(reader: Any) -> bool:
    waiting = reader.property_int_value("rocksdb.num-immutable-mem-table")
    return bool(waiting or reader.property_int_value("rocksdb.num-running-flushes"))


def _is_disk_full(text: str) -> bool:
    return "No space left" in text or "NoSpace" in text or "Disk quota" in text


def _write_fault(error: Exception) -> Fault:
    text = str(error)
    if _is_disk_full(text):
        return Fault("R3004", f"the store cannot be written, the disk is full: {text}")
    return Fault("R3003", f"the store cannot be written: {text}")


def _again(fault: Fault) -> Fault:
    """The same fault as a new object, so that tracebacks do not pile up on one."""
    return Fault(fault.code, fault.message, fault.hint)
