"""Bundles, the reading side: the bytes of a `.krlb` to rulesets that are what they claim to be.

In: bytes from anywhere. Out: a `Bundle`, or a `BundleError` that names the file that is wrong.
Invariants: every hash in `bundle.json` has been checked; sizes are bounded before anything is
unpacked; names of entries are compared with the few that may exist and never used as paths. Nothing
is executed: bytecode is handed on as bytes, under the Python it is for.
Not here: whether the module is what its source compiles to (`registry.py`), and writing.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from hashlib import sha256
from typing import Any, NamedTuple

from runtime.errors import Fault
from runtime.limits import source_bytes_max
from runtime.picotypes import read_types

FORMAT = 1
INDEX = "bundle.json"
TYPES = "types.json"
RULESETS_MAX = 1_000
"""Rulesets in one bundle: far more than an application has."""
ENTRY_BYTES_MAX = 8 * source_bytes_max
"""One file: a module is a few times as long as its source, bytecode about as long as both."""
BUNDLE_BYTES_MAX = 4 * ENTRY_BYTES_MAX
"""All files together, unpacked; also the longest file that is looked at."""

_is_rid = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*(?:[.-][A-Za-z_$][A-Za-z0-9_$]*)*").fullmatch
_is_cache = re.compile(r"module\.([A-Za-z0-9_.-]+)\.marshal").fullmatch
_is_hash = re.compile(r"[0-9a-f]{64}").fullmatch
_FILES = ("source.krl", "module.py", "manifest.json")
_HASHES = ("source_hash", "module_hash", "manifest_hash")


class BundleError(Fault):
    """A bundle is refused; the message names the first file that is not as it should be."""


class BundledRuleset(NamedTuple):
    """One ruleset of a bundle. `bytecode` maps cache tags of Pythons to marshalled code."""

    rid: str
    url: str
    source: str
    module: str
    manifest: dict[str, Any]
    source_hash: str
    module_hash: str
    manifest_hash: str
    bytecode: dict[str, bytes]


class Bundle(NamedTuple):
    """The rulesets of a bundle, in the order of their ids, and the compiler that made it.

    `types` are the pico types that it declares; `types_hash` is empty when there are none.
    """

    compiler: str
    rulesets: tuple[BundledRuleset, ...]
    types: tuple[dict[str, Any], ...] = ()
    types_hash: str = ""

    @property
    def identity(self) -> str:
        """What makes two bundles the same: SHA-256 over ids, sources and manifests."""
        lines = sorted(f"{r.rid} {r.source_hash} {r.manifest_hash}\n" for r in self.rulesets)
        if self.types_hash:
            lines.append(f"types {self.types_hash}\n")
        return sha256("".join(lines).encode()).hexdigest()


def _refuse(message: str, hint: str | None = None) -> BundleError:
    return BundleError("R2008", message, hint)


def read_bundle(data: bytes) -> Bundle:
    """Read and check a whole bundle.

    Raises: BundleError: R2008 for what is no bundle or not what it says, R4003 for one too large.
    Cost: linear in the unpacked size, which is bounded.
    """
    files = _unpack(data)
    index = _index(files)
    rulesets = []
    known = {INDEX}
    for row in index["rulesets"]:
        ruleset = _ruleset(row, files)
        if f"{ruleset.rid}/source.krl" in known:
            raise _refuse(f"{INDEX} lists the ruleset {ruleset.rid} twice")
        names = (*_FILES, *(f"module.{tag}.marshal" for tag in ruleset.bytecode))
        known |= {f"{ruleset.rid}/{name}" for name in names}
        rulesets.append(ruleset)
    types, types_hash = _types(index, files)
    if types:
        known.add(TYPES)
    for name in files:
        if name not in known:
            raise _refuse(f"the bundle holds a file that does not belong there: {name!r}")
    rulesets.sort(key=lambda ruleset: ruleset.rid)
    return Bundle(index["compiler"], tuple(rulesets), types, types_hash)


def _types(
    index: dict[str, Any], files: dict[str, bytes]
) -> tuple[tuple[dict[str, Any], ...], str]:
    """The pico types of a bundle, with the hash of their file."""
    wanted = index.get("types_hash")
    if wanted is None:
        return (), ""
    if TYPES not in files:
        raise _refuse(f"{TYPES} is missing")
    if sha256(files[TYPES]).hexdigest() != wanted:
        raise _refuse(f"{TYPES} was changed after the bundle was built: its hash differs")
    try:
        return tuple(read_types(_json(TYPES, files[TYPES]))), wanted
    except BundleError:
        raise
    except Fault as fault:
        raise _refuse(fault.message, fault.hint) from None


def _unpack(data: bytes) -> dict[str, bytes]:
    """Unzip within bounds; names are checked before anything is unpacked."""
    if len(data) > BUNDLE_BYTES_MAX:
        raise _too_large("the bundle", len(data), BUNDLE_BYTES_MAX)
    files: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_entries(entries)
            for entry in entries:
                with archive.open(entry) as file:
                    # A size in a zip is a claim; reading one byte more shows a false one.
                    files[entry.filename] = content = file.read(entry.file_size + 1)
                if len(content) != entry.file_size:
                    raise _refuse(f"{entry.filename!r} has not the size that the bundle says")
    except zipfile.BadZipFile as error:
        text = str(error)
        if "CRC" in text:
            raise _refuse(f"the bundle is damaged: {text}") from None
        hint = "a bundle is what `krlc build` writes; it ends in .krlb"
        raise _refuse("this is no bundle: not a zip file, or not a whole one", hint) from None
    except (NotImplementedError, RuntimeError, EOFError, zlib.error, OSError, ValueError) as error:
        raise _refuse(f"the bundle cannot be unpacked: {error}") from None
    return files


def _check_entries(entries: list[zipfile.ZipInfo]) -> None:
    """Refuse names that are paths to somewhere else, doubles, and too much content."""
    if len(entries) > RULESETS_MAX * 8:
        raise _too_large("the number of files in the bundle", len(entries), RULESETS_MAX * 8)
    seen: set[str] = set()
    total = 0
    for entry in entries:
        name = entry.filename
        rid, slash, rest = name.partition("/")
        is_file = bool(slash) and bool(_is_rid(rid)) and (rest in _FILES or bool(_is_cache(rest)))
        if name not in (INDEX, TYPES) and not is_file:
            raise _refuse(f"the bundle holds a file that does not belong there: {name!r}")
        if name in seen:
            raise _refuse(f"the bundle holds {name!r} twice")
        seen.add(name)
        if entry.file_size > ENTRY_BYTES_MAX:
            raise _too_large(repr(name), entry.file_size, ENTRY_BYTES_MAX)
        total += entry.file_size
    if total > BUNDLE_BYTES_MAX:
        raise _too_large("the bundle, unpacked,", total, BUNDLE_BYTES_MAX)


def _too_large(what: str, size: int, limit: int) -> BundleError:
    return BundleError(
        "R4003", f"{what} has {size:,}, and {limit:,} is the limit", "make several smaller bundles"
    )


def _index(files: dict[str, bytes]) -> dict[str, Any]:
    if INDEX not in files:
        raise _refuse(f"{INDEX} is missing")
    index = _json(INDEX, files[INDEX])
    if not isinstance(index, dict) or "format" not in index:
        raise _refuse(f"{INDEX} does not say which format the bundle has")
    if index["format"] != FORMAT or isinstance(index["format"], bool):
        raise _refuse(
            f"the bundle has format {index['format']!r}, and this engine reads format {FORMAT}",
            "build it with the krlc that belongs to this engine, or upgrade the engine",
        )
    rows = index.get("rulesets")
    if not isinstance(rows, list) or not rows or not isinstance(index.get("compiler"), str):
        raise _refuse(f"{INDEX} does not list the rulesets and the compiler")
    if len(rows) > RULESETS_MAX:
        raise _too_large("the number of rulesets", len(rows), RULESETS_MAX)
    return index


def _json(name: str, data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _refuse(f"{name} is not JSON: {error}") from None


def _ruleset(row: Any, files: dict[str, bytes]) -> BundledRuleset:
    """Check one row of the index and its files, in a fixed order."""
    if not isinstance(row, dict):
        raise _refuse(f"{INDEX} has a ruleset that is no map")
    rid, url = row.get("rid"), row.get("url")
    if not isinstance(rid, str) or not _is_rid(rid) or not isinstance(url, str):
        raise _refuse(f"{INDEX} has a ruleset without a proper id and url: {rid!r}")
    contents = []
    for file, key in zip(_FILES, _HASHES, strict=True):
        name = f"{rid}/{file}"
        if name not in files:
            raise _refuse(f"{name} is missing")
        wanted = row.get(key)
        if not isinstance(wanted, str) or not _is_hash(wanted):
            raise _refuse(f"{INDEX} has no {key} for {rid}")
        if sha256(files[name]).hexdigest() != wanted:
            raise _refuse(f"{name} was changed after the bundle was built: its hash differs")
        try:
            contents.append(files[name].decode("utf-8"))
        except UnicodeDecodeError as error:
            raise _refuse(f"{name} is not UTF-8: byte {error.start}") from None
    source, module, manifest_text = contents
    manifest = _json(f"{rid}/manifest.json", manifest_text.encode())
    if not isinstance(manifest, dict) or manifest.get("rid") != rid:
        raise _refuse(f"{rid}/manifest.json is not the manifest of {rid}")
    caches = {}
    for name, content in files.items():
        folder, _, file = name.partition("/")
        cache = _is_cache(file) if folder == rid else None
        if cache:
            caches[cache[1]] = content
    hashes = (row["source_hash"], row["module_hash"], row["manifest_hash"])
    return BundledRuleset(rid, url, source, module, manifest, *hashes, caches)
