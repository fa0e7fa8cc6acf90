"""Bundles: what is written is read back, and whatever was touched is refused by name."""

import io
import json
import marshal
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from krlc import Compiled, compile_source
from krlc import bundle as writing
from runtime import bundle as reading
from runtime.errors import Fault

ROOT = Path(__file__).resolve().parents[2]
ONE = 'ruleset test.one {\n  meta { shares n }\n  global { n = function() { "é" } }\n}\n'
TWO = 'ruleset test.two {\n  rule r {\n    select when a b\n    send_directive("x")\n  }\n}\n'


def compiled(*texts: str) -> list[Compiled]:
    made = [compile_source(text, text.split()[1] + ".krl") for text in texts]
    assert all(one.ok for one in made)
    return made


@pytest.fixture(scope="module")
def data() -> bytes:
    return writing.write_bundle(compiled(TWO, ONE))


def files_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def refused(data: bytes) -> Fault:
    with pytest.raises(reading.BundleError) as caught:
        reading.read_bundle(data)
    return caught.value


def test_bundle_round_trip(data: bytes) -> None:
    one, two = compiled(ONE, TWO)
    read = reading.read_bundle(data)
    assert [r.rid for r in read.rulesets] == ["test.one", "test.two"]
    assert read.identity == writing.identity([two, one])
    first = read.rulesets[0]
    assert (first.source, first.module) == (ONE, one.module)
    assert first.manifest == json.loads(json.dumps(one.manifest))
    assert first.source_hash == one.source.hash
    code = marshal.loads(first.bytecode[sys.implementation.cache_tag])
    assert code.co_consts is not None


def test_bundle_order_does_not_matter(data: bytes) -> None:
    assert writing.write_bundle(compiled(ONE, TWO)) == data


@pytest.mark.parametrize("seed", ["3", "4"])
def test_bundle_bytes_ignore_hash_seed(seed: str, data: bytes) -> None:
    program = (
        "import sys; from krlc import compile_source; from krlc.bundle import write_bundle;"
        f"texts = {[TWO, ONE]!r};"
        "made = [compile_source(t, t.split()[1] + '.krl') for t in texts];"
        "sys.stdout.buffer.write(write_bundle(made))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": "Pacific/Auckland"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True)
    assert done.stdout == data


def test_bundle_refuses_what_cannot_be_packed() -> None:
    good = compiled(ONE)[0]
    with pytest.raises(ValueError, match="at least one"):
        writing.write_bundle([])
    with pytest.raises(ValueError, match=r"bad\.krl has errors"):
        writing.write_bundle([compile_source("ruleset a {", "bad.krl")])
    with pytest.raises(ValueError, match=r"both hold the ruleset test\.one"):
        writing.write_bundle([good, good])


def replaced(name: str, content: bytes) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    return lambda files: {**files, name: content}


def without(name: str) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    return lambda files: {n: c for n, c in files.items() if n != name}


def index_with(change: Callable[[dict[str, object]], object]) -> Callable[..., dict[str, bytes]]:
    def edit(files: dict[str, bytes]) -> dict[str, bytes]:
        index = json.loads(files["bundle.json"])
        change(index)
        return {**files, "bundle.json": json.dumps(index).encode()}

    return edit


def rehashed(name: str, key: str, content: bytes) -> Callable[..., dict[str, bytes]]:
    def edit(files: dict[str, bytes]) -> dict[str, bytes]:
        def change(index: dict[str, object]) -> None:
            index["rulesets"][0][key] = sha256(content).hexdigest()  # type: ignore[index]

        return index_with(change)({**files, name: content})

    return edit


TOUCHED = [
    (replaced("test.one/source.krl", b"ruleset test.one {}"), "test.one/source.krl was changed"),
    (replaced("test.two/module.py", b""), "test.two/module.py was changed"),
    (replaced("test.one/manifest.json", b"{}"), "test.one/manifest.json was changed"),
    (without("test.one/module.py"), "test.one/module.py is missing"),
    (without("bundle.json"), "bundle.json is missing"),
    (replaced("bundle.json", b"{"), "bundle.json is not JSON"),
    (replaced("bundle.json", b"[" * 100_000), "bundle.json is not JSON"),
    (replaced("bundle.json", b"[]"), "does not say which format"),
    (index_with(lambda i: i.update(format=2)), "has format 2, and this engine reads format 1"),
    (index_with(lambda i: i.update(format=True)), "has format True"),
    (index_with(lambda i: i.update(rulesets=[])), "does not list the rulesets"),
    (index_with(lambda i: i.update(rulesets=["a"])), "a ruleset that is no map"),
    (index_with(lambda i: i["rulesets"][0].update(rid="../x")), "without a proper id"),
    (index_with(lambda i: i["rulesets"][0].pop("source_hash")), "no source_hash for test.one"),
    (index_with(lambda i: i["rulesets"].append(i["rulesets"][0])), "the ruleset test.one twice"),
    (index_with(lambda i: i["rulesets"].pop(0)), "does not belong there: 'test.one/"),
    (replaced("../../evil.py", b""), "does not belong there: '../../evil.py'"),
    (replaced("/etc/passwd", b""), "does not belong there"),
    (replaced("test.one/../x/source.krl", b""), "does not belong there"),
    (replaced("test.one\\source.krl", b""), "does not belong there"),
    (replaced("test.one/module.a b.marshal", b""), "does not belong there"),
    (rehashed("test.one/source.krl", "source_hash", b"\xff"), "source.krl is not UTF-8: byte 0"),
    (rehashed("test.one/manifest.json", "manifest_hash", b"[]"), "is not the manifest of test.one"),
]  # fmt: skip


@pytest.mark.parametrize(("touch", "message"), TOUCHED, ids=[t[1][:40] for t in TOUCHED])
def test_bundle_touched(
    touch: Callable[[dict[str, bytes]], dict[str, bytes]], message: str, data: bytes
) -> None:
    fault = refused(zipped(touch(files_of(data))))
    assert fault.code == "R2008"
    assert message in fault.message
    assert fault.hint


@pytest.mark.parametrize("text", [b"", b"ruleset a {}", b"PK\x03\x04", b"\x00" * 1_000])
def test_bundle_no_zip(text: bytes) -> None:
    assert "no bundle" in refused(text).message


def test_bundle_cut_or_damaged(data: bytes) -> None:
    assert refused(data[:-30]).code == "R2008"
    at = data.index(ONE.encode()) + 9
    damaged = data[:at] + b"?" + data[at + 1 :]
    assert "damaged" in refused(damaged).message


def test_bundle_any_byte_changed(data: bytes) -> None:
    """Whatever byte is changed: the same content comes out, or a refusal, and nothing else."""
    content = {r.rid: (r.source, r.module) for r in reading.read_bundle(data).rulesets}
    for at in range(0, len(data), 7):
        changed = data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]
        try:
            read = reading.read_bundle(changed)
        except reading.BundleError:
            continue
        assert {r.rid: (r.source, r.module) for r in read.rulesets} == content


def test_bundle_entry_twice(data: bytes) -> None:
    out = io.BytesIO(data)
    with zipfile.ZipFile(out, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("test.one/source.krl", ONE)
    assert "'test.one/source.krl' twice" in refused(out.getvalue()).message


def test_bundle_too_large(data: bytes) -> None:
    assert refused(b"x" * (reading.BUNDLE_BYTES_MAX + 1)).code == "R4003"
    bomb = zipped({**files_of(data), "test.one/module.py": bytes(reading.ENTRY_BYTES_MAX + 1)})
    fault = refused(bomb)
    assert len(bomb) < 100_000
    assert (fault.code, "test.one/module.py" in fault.message) == ("R4003", True)


def test_bundle_false_size(data: bytes) -> None:
    """A zip that claims a small size for a large entry is caught when it is unpacked."""
    files = files_of(data)
    big = zipped({**files, "test.one/module.py": bytes(1_000_000)})
    claim = (1_000_000).to_bytes(4, "little")
    assert refused(big.replace(claim, (10).to_bytes(4, "little"))).code == "R2008"


def test_bundle_reading_needs_no_compiler() -> None:
    program = "import sys, runtime.bundle; print([m for m in sys.modules if m.startswith('krlc')])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[]\n"
