"""Archives: picos as a file of blobs named by their hash, and a manifest that lists them.

In: records of picos and sources of rulesets. Out: a file, and the same records read back from one.
Invariants: the same content makes the same bytes; a blob is handed out only after its hash was
compared with its name; sizes are bounded before anything is unpacked; names of entries are compared
with what may be there and never used as paths; a file has the name it was asked for only when it is
whole. Nothing is executed. Not here: what the records mean (export.py, imports.py).

Layout: a zip file with `manifest.json` and `blobs/HASH`. A blob is the source of a ruleset, or a
record as in the store: its format version, then msgpack; an older one is migrated when it is read.
The manifest's own hash is the archive's identity: {kind, format, engine, root, picos: [{id, record,
parts}], rulesets: [{rid, url, hash}], blobs: {hash: bytes}}.
"""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from runtime.errors import Fault
from runtime.limits import (
    archive_blob_bytes_max,
    archive_manifest_bytes_max,
    archive_part_bytes,
    source_bytes_max,
)
from runtime.store import decode_record, encode_record

KIND = "pico archive"
FORMAT = 1
MANIFEST = "manifest.json"
_BLOBS = "blobs/"
# The time of all entries: the earliest that a zip can name, so that it says nothing.
# What the library raises for what is no archive, and beside that for entries that are damaged.
_NO_ARCHIVE = (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError)
_DAMAGES = (*_NO_ARCHIVE, zlib.error, OSError, RuntimeError)
_TIME = (1980, 1, 1, 0, 0, 0)
_is_hash = re.compile(r"[0-9a-f]{64}").fullmatch
_is_id = re.compile(r"[!-~]{1,200}").fullmatch


class ArchivedPico(msgspec.Struct, frozen=True):
    """One pico: the blob of its record, and those of its variables, timers and waiting events."""

    id: str
    record: str
    parts: tuple[str, ...] = ()


class ArchivedRuleset(msgspec.Struct, frozen=True):
    """One version of a ruleset; its hash is also the name of the blob with its source."""

    rid: str
    url: str
    hash: str


class Manifest(msgspec.Struct, frozen=True):
    """What an archive holds. Picos come after their parents; the first is the root of all."""

    kind: str
    format: int
    engine: str
    root: str
    picos: tuple[ArchivedPico, ...]
    rulesets: tuple[ArchivedRuleset, ...]
    blobs: dict[str, int]


_encode = msgspec.json.Encoder(order="deterministic").encode


# --- Writing --------------------------------------------------------------------------------------


class ArchiveWriter:
    """An archive in the making; `path` has it once `finish` has returned."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._blobs: dict[str, int] = {}
        self._picos: list[ArchivedPico] = []
        self._rulesets: list[ArchivedRuleset] = []
        descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._file = os.fdopen(descriptor, "wb")
        self._zip = zipfile.ZipFile(self._file, "w", zipfile.ZIP_DEFLATED, compresslevel=6)

    def add(self, content: bytes) -> str:
        """Keep a blob, once; its hash."""
        name = sha256(content).hexdigest()
        if name not in self._blobs:
            self._blobs[name] = len(content)
            self._write(_BLOBS + name, content)
        return name

    def add_record(self, record: Any) -> str:
        """Keep a record; the hash of its blob."""
        return self.add(encode_record(record))

    def add_pico(self, pico_id: str, record: Any, parts: Iterable[str]) -> None:
        """List a pico with its record, and the hashes of its parts."""
        self._picos.append(ArchivedPico(pico_id, self.add_record(record), tuple(parts)))

    def add_ruleset(self, rid: str, url: str, source: str) -> None:
        """Keep the source of a ruleset."""
        content = source.encode("utf-8", "surrogatepass")
        self._rulesets.append(ArchivedRuleset(rid, url, self.add(content)))

    def finish(self, root: str, engine: str) -> tuple[Manifest, str]:
        """Write the manifest and give the file its name; the manifest and its hash."""
        rulesets = tuple(sorted(self._rulesets, key=lambda item: (item.rid, item.url, item.hash)))
        made = Manifest(KIND, FORMAT, engine, root, tuple(self._picos), rulesets, self._blobs)
        content = _encode(made)
        self._write(MANIFEST, content)
        self._zip.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._part.replace(self._path)
        return made, sha256(content).hexdigest()

    def abandon(self) -> None:
        """Leave nothing behind; after `finish` this does nothing."""
        if not self._file.closed:
            self._zip.close()
            self._file.close()
            self._part.unlink(missing_ok=True)

    def _write(self, name: str, content: bytes) -> None:
        entry = zipfile.ZipInfo(name, _TIME)
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = 0o600 << 16
        self._zip.writestr(entry, content)


class Parts:
    """Gathers rows of one kind into blobs of a bounded size.

    Shapes: a blob is [kind, name, rows]; `name` is a ruleset id, or "" where there is none.
    """

    def __init__(self, writer: ArchiveWriter, kind: str, name: str = "") -> None:
        self._writer = writer
        self._head = [kind, name]
        self._rows: list[Any] = []
        self._size = 0
        self._hashes: list[str] = []

    def add(self, row: Any, size: int) -> None:
        """Add a row of about this size."""
        self._rows.append(row)
        self._size += size
        if self._size >= archive_part_bytes:
            self._close()

    def _close(self) -> None:
        if self._rows:
            self._hashes.append(self._writer.add_record([*self._head, self._rows]))
            self._rows = []
            self._size = 0

    def end(self) -> list[str]:
        """The hashes of all blobs."""
        self._close()
        return self._hashes


# --- Reading --------------------------------------------------------------------------------------


class Archive:
    """An archive that is open for reading."""

    def __init__(self, path: Path) -> None:
        """Open a file and read its manifest.

        Raises: R3009 for what is no archive, or damaged; R3002 for one of a newer version.
        """
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except OSError as error:
            hint = "name a file that `pico export` wrote, and that the engine may read"
            message = f"{path} cannot be read: {error.strerror or error}"
            raise Fault("R3009", message, hint) from None
        except _NO_ARCHIVE:
            hint = "an archive is what `pico export` writes"
            raise Fault("R3009", f"{path} is no archive, or not a whole one", hint) from None
        try:
            self.manifest, self.identity = self._read_manifest()
            self._check_entries()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let the file go."""
        self._zip.close()

    def _refuse(self, message: str) -> Fault:
        return Fault("R3009", f"{self._path.name}: {message}")

    def _read_manifest(self) -> tuple[Manifest, str]:
        content = self._unpack(MANIFEST, archive_manifest_bytes_max)
        try:
            head = msgspec.json.decode(content)
            kind, found = head["kind"], head["format"]
        except (msgspec.MsgspecError, TypeError, KeyError, RecursionError):
            kind, found = None, None
        if kind != KIND or type(found) is not int:
            raise self._refuse(f"{MANIFEST} is not what `pico export` writes")
        if found > FORMAT:
            message = f"the archive {self._path.name} has format {found}; this engine reads"
            hint = "import it with the version of pico that wrote it, or a newer one"
            raise Fault("R3002", f"{message} {FORMAT}", hint)
        try:
            return msgspec.json.decode(content, type=Manifest), sha256(content).hexdigest()
        except msgspec.MsgspecError as error:
            raise self._refuse(f"{MANIFEST} is damaged: {error}") from None

    def _check_entries(self) -> None:
        """Compare the entries with what the manifest lists; everything named must be listed."""
        listed = self.manifest.blobs
        for entry in self._zip.infolist():
            name = entry.filename.removeprefix(_BLOBS)
            if entry.filename != MANIFEST and (name not in listed or not _is_hash(name)):
                raise self._refuse(f"it holds a file that its manifest does not: {name[:80]!r}")
        for pico in self.manifest.picos:
            if not _is_id(pico.id):
                raise self._refuse(f"{pico.id[:40]!r} is no id of a pico")
            for name in (pico.record, *pico.parts):
                if name not in listed:
                    raise self._refuse(f"blob {name[:64]} of pico {pico.id} is not listed")
        for ruleset in self.manifest.rulesets:
            if ruleset.hash not in listed:
                raise self._refuse(f"the source of {ruleset.rid} is not listed")
        if not self.manifest.picos or self.manifest.picos[0].id != self.manifest.root:
            raise self._refuse("it does not begin with its root")

    def _unpack(self, name: str, bytes_max: int) -> bytes:
        try:
            entry = self._zip.getinfo(name)
        except KeyError:
            raise self._refuse(f"{name} is missing") from None
        if entry.file_size > bytes_max:
            raise self._refuse(f"{name} has {entry.file_size:,} bytes, and {bytes_max:,} may be")
        try:
            with self._zip.open(entry) as file:
                # A size in a zip is a claim; reading one byte more shows a false one.
                content = file.read(entry.file_size + 1)
        except _DAMAGES as error:
            raise self._refuse(f"{name} is damaged: {error}") from None
        if len(content) != entry.file_size:
            raise self._refuse(f"{name} has not the size that it claims")
        return content

    def blob(self, name: str) -> bytes:
        """One blob.

        Raises: R3009, naming the blob, when it is missing or not what it was.
        """
        content = self._unpack(_BLOBS + name, archive_blob_bytes_max)
        if sha256(content).hexdigest() != name:
            raise self._refuse(f"blob {name} was changed: its hash differs")
        return content

    def record(self, name: str) -> Any:
        """The record that a blob holds.

        Raises: R3009 naming the blob, R3002.
        """
        try:
            return decode_record(self.blob(name), "record of an archive")
        except Fault as fault:
            if fault.code != "R3006":
                raise
            raise self._refuse(f"blob {name} cannot be read: {fault.message}") from None

    def source(self, ruleset: ArchivedRuleset) -> str:
        """The source of a ruleset.

        Raises: R3009 naming the blob.
        """
        content = self.blob(ruleset.hash)
        if len(content) > source_bytes_max:
            raise self._refuse(f"blob {ruleset.hash} is too large for the source of a ruleset")
        try:
            return content.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise self._refuse(f"blob {ruleset.hash} is no text") from None

    def verify(self) -> None:
        """Read every blob.

        Raises: R3009 naming the first that is missing or not what it was.
        """
        for name in self.manifest.blobs:
            self.blob(name)
