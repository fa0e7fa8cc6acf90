"""Bundles, the writing side: compiled rulesets to one `.krlb` file.

In: `Compiled` values. Out: the bytes of a zip: `bundle.json`, then for each ruleset, in the order
of their ids, `<rid>/source.krl`, `module.py`, `manifest.json` and `module.<cache tag>.marshal`.
Invariants: the same rulesets give the same bytes on every machine with the same Python (entries
are stored, not deflated, with one date and one mode); the identity of a bundle, a hash over ids,
sources and manifests, does not depend on the Python either: bytecode is a cache, no part of it.
Not here: reading, which engines do without this package (`bundle.py` of `runtime`).
"""

from __future__ import annotations

import io
import json
import marshal
import sys
import zipfile
from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import pairwise
from typing import Any

from krlc import Compiled, code_object
from krlc.version import VERSION

FORMAT = 1
MARSHAL_VERSION = 2
"""The last version without back-references, whose bytes depend on nothing but the code."""

_DATE = (1980, 1, 1, 0, 0, 0)


def write_bundle(rulesets: Iterable[Compiled], types: Sequence[dict[str, Any]] = ()) -> bytes:
    """Pack compiled rulesets, and the pico types that name them.

    Raises: ValueError for a ruleset with errors, for two rulesets or types with one name, and for
    no ruleset at all.
    """
    ordered = sorted(rulesets, key=lambda compiled: compiled.rid)
    if not ordered:
        raise ValueError("a bundle holds at least one ruleset")
    for compiled in ordered:
        if not compiled.ok:
            raise ValueError(f"{compiled.source.name} has errors")
    for one, other in pairwise(ordered):
        if one.rid == other.rid:
            names = f"{one.source.name} and {other.source.name}"
            raise ValueError(f"{names} both hold the ruleset {one.rid}")
    files: dict[str, bytes] = {}
    rows = []
    for compiled in ordered:
        parts = ruleset_files(compiled)
        rows.append(
            {
                "rid": compiled.rid,
                "url": compiled.source.url,
                "source_hash": _hash(parts["source.krl"]),
                "manifest_hash": _hash(parts["manifest.json"]),
                "module_hash": _hash(parts["module.py"]),
            }
        )
        files |= {f"{compiled.rid}/{name}": data for name, data in parts.items()}
    index: dict[str, Any] = {"format": FORMAT, "compiler": VERSION, "rulesets": rows}
    if types:
        files["types.json"] = _types_file(types)
        index["types_hash"] = _hash(files["types.json"])
    return _zip({"bundle.json": canonical_json(index), **files})


def _types_file(types: Sequence[dict[str, Any]]) -> bytes:
    ordered = sorted(types, key=lambda one: str(one["name"]))
    for one, other in pairwise(ordered):
        if one["name"] == other["name"]:
            raise ValueError(f"two pico types are called {one['name']}")
    return canonical_json(ordered)


def ruleset_files(compiled: Compiled) -> dict[str, bytes]:
    """Make the files of one ruleset, by name."""
    code = marshal.dumps(code_object(compiled), MARSHAL_VERSION)
    return {
        "source.krl": compiled.source.text.encode("utf-8"),
        "module.py": compiled.module.encode("utf-8"),
        "manifest.json": canonical_json(compiled.manifest),
        f"module.{sys.implementation.cache_tag}.marshal": code,
    }


def identity(rulesets: Iterable[Compiled], types: Sequence[dict[str, Any]] = ()) -> str:
    """Compute a bundle's identity: lower-case hex SHA-256 over (id, source, manifest) hashes.

    Shapes: the lines that are hashed are `rid source_hash manifest_hash`, sorted, each with its LF;
    with pico types one more, `types hash`, stands at the end.
    """
    lines = []
    for compiled in rulesets:
        manifest_hash = _hash(canonical_json(compiled.manifest))
        lines.append(f"{compiled.rid} {compiled.source.hash} {manifest_hash}\n")
    lines.sort()
    if types:
        lines.append(f"types {_hash(_types_file(types))}\n")
    return _hash("".join(lines).encode())


def canonical_json(value: Any) -> bytes:
    """Write JSON in the one form that is hashed: sorted keys, no blanks, LF at the end."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8") + b"\n"


def _hash(data: bytes) -> str:
    return sha256(data).hexdigest()


def _zip(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, _DATE)
            entry.create_system = 3  # as on Unix, wherever it is made
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, data)
    return out.getvalue()
