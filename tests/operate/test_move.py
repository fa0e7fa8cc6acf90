"""Export and import: what comes back is what went, whole or not at all."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import archive as archives
from runtime import imports
from runtime.archive import MANIFEST, Archive
from runtime.clock import VirtualClock
from runtime.errors import Fault
from runtime.graves import BURIED
from runtime.memory import MemoryStore
from runtime.store import encode_record
from tests.harness.engine import TestEngine
from tests.operate.stage import (
    Crash,
    archived,
    crashing_at,
    everything,
    grown,
    nest,
    rows,
    take_in,
)


@pytest.fixture
def archive(tmp_path: Path) -> tuple[TestEngine, str, Path]:
    engine, door = grown()
    path = tmp_path / "child.pico"
    archived(engine, door, path)
    return engine, door, path


Made = tuple[TestEngine, str, Path]


def test_import_restores_everything(archive: Made) -> None:
    engine, door, path = archive
    before = everything(engine, door)
    assert len(before) == 3
    assert before[0]["timers"]
    assert before[0]["automata"]
    other = TestEngine(seed=7)
    found = take_in(other, path)
    assert (found["picos"], found["timers"], found["waiting"]) == (3, 6, 0)
    assert found["eci"] == door
    assert everything(other, door) == before


def test_imported_picos_go_on(archive: Made) -> None:
    engine, door, path = archive
    other = TestEngine(seed=7)
    take_in(other, path)
    for each in (engine, other):
        # The other half of an event expression, a timer, a module's configuration, the children.
        each.event("nest", "whole", {}, eci=door)
        each.clock.advance(101)
        each.run()
        assert each.query("nest", "values", eci=door)["colour"] == "grey"
        inner = each.query("nest", "door", {"name": "one"}, eci=door)
        each.event("nest", "fill", {"count": 3}, eci=inner)
    assert other.query("nest", "fired", eci=door) == ["pair", 100, 101]
    assert everything(other, door) == everything(engine, door)


def test_same_picos_make_the_same_bytes(archive: Made, tmp_path: Path) -> None:
    engine, door, path = archive
    again = tmp_path / "again.pico"
    archived(engine, door, again)
    assert again.read_bytes() == path.read_bytes()
    other = TestEngine(seed=7)
    take_in(other, path)
    archived(other, door, again)
    # The parent is another one, which the root's own record names; nothing else differs.
    with zipfile.ZipFile(path) as one, zipfile.ZipFile(again) as two:
        assert len(set(one.namelist()) ^ set(two.namelist())) == 2


def test_pico_goes_alone(archive: Made, tmp_path: Path) -> None:
    engine, door, _ = archive
    path = tmp_path / "alone.pico"
    assert len(archived(engine, door, path, is_alone=True).manifest.picos) == 1
    other = TestEngine(seed=7)
    assert take_in(other, path)["picos"] == 1
    (alone,) = everything(other, door)
    (whole, *_) = everything(engine, door)
    assert alone["values"] == whole["values"]
    assert alone["described"]["children"] == []
    tags = [channel["tags"] for channel in alone["described"]["channels"]]
    assert ["system", "parent"] not in tags


def test_root_comes_as_a_child(archive: Made, tmp_path: Path) -> None:
    engine, door, _ = archive
    path = tmp_path / "root.pico"
    archived(engine, engine.root, path)
    other = TestEngine(seed=7)
    found = take_in(other, path)
    assert found["picos"] == 4
    root = other.core.shelf.pico(other.core.root_id)
    assert root is not None
    assert list((other.core.shelf.full(root).children or {}).values()) == [found["id"]]
    assert other.query("nest", "door", {"name": "child"}, eci=engine.root) == door
    other.event("nest", "grow", {"name": "more"}, eci=engine.root)


def test_waiting_events_and_unfired_timers_come_along(tmp_path: Path) -> None:
    engine, door = grown()
    clock = engine.clock
    # Accepted, durable, and the engine stops before they run.
    for number in range(3):
        engine.core.post_signal(door, "nest", "ring", {"after": number}, lambda answer: None)
    engine.core.committer.flush()
    engine.core.committer._store.sync(lambda failure: None)
    path = tmp_path / "a.pico"
    found = archived(engine, door, path)
    assert len(found.manifest.picos) == 3
    other = TestEngine(seed=7, clock=VirtualClock(clock.now_ms()))
    assert take_in(other, path)["waiting"] == 3
    assert other.query("nest", "fired", eci=door) == [0, 1, 2]


def test_picos_that_are_here_are_refused(archive: Made) -> None:
    engine, door, path = archive
    before = rows(engine.store)
    with pytest.raises(Fault, match=r"there is a pico c.* in this engine already") as caught:
        take_in(engine, path)
    assert caught.value.code == "R3008"
    assert rows(engine.store, "registry") == {
        key: value for key, value in before.items() if key[0] != "registry"
    }
    assert everything(engine, door)


def test_deleted_pico_comes_back(archive: Made) -> None:
    engine, door, path = archive
    before = everything(engine, door)
    root = engine.core.shelf.pico(engine.core.root_id)
    assert root is not None
    (child_eci,) = engine.core.shelf.full(root).children or {}
    engine.wait(
        lambda done: engine.core.post_task(engine.root, lambda turn: _delete(turn, child_eci), done)
    )
    with pytest.raises(Fault, match="was deleted"):
        engine.query("nest", "values", eci=door)
    take_in(engine, path)
    assert everything(engine, door) == before
    # Its channels outlive the tombstones that they had.
    buried = [key for key, _ in engine.store.scan("meta", BURIED)]
    assert not [key for key in buried if key.endswith(door.encode())]


def _delete(turn: Any, eci: str) -> None:
    from runtime.structure import delete_pico

    delete_pico(turn, eci)


def test_known_ruleset_stays_in_the_engines_version(archive: Made) -> None:
    _, door, path = archive
    other = TestEngine(seed=7)
    newer = (Path(__file__).parent / "nest.krl").read_text().replace('"grey"', '"blue"')
    core = other.core
    other.wait(lambda done: core.registry.add_source(newer, "test:nest", done))
    take_in(other, path)
    other.event("nest", "whole", {}, eci=door)
    (top, *_) = everything(other, door)
    (install,) = top["described"]["rulesets"]
    hash_ = other.core.registry.by_url("test:nest").hash
    assert install["hash"] == hash_
    # The state of the half-matched event expression went over to the other version.
    assert other.query("nest", "fired", eci=door) == ["pair"]


# --- Refusals -------------------------------------------------------------------------------------


def _rewritten(path: Path, change: Any) -> Path:
    """A copy of an archive with its files changed by `change(files)`."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    made = path.with_name("changed.pico")
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made


def _blob(files: dict[str, bytes]) -> str:
    return next(name for name in files if name.startswith("blobs/"))


def _tamper(files: dict[str, bytes]) -> None:
    name = _blob(files)
    files[name] = files[name][:-1] + bytes((files[name][-1] ^ 1,))


def _lose(files: dict[str, bytes]) -> None:
    del files[_blob(files)]


def _add(files: dict[str, bytes]) -> None:
    files["../etc"] = b"x"


def _renumber(files: dict[str, bytes]) -> None:
    files[MANIFEST] = files[MANIFEST].replace(b'"format":1', b'"format":9')


def _mistake(files: dict[str, bytes]) -> None:
    files[MANIFEST] = json.dumps({"kind": "pico archive", "format": 1, "picos": 3}).encode()


def _strange(files: dict[str, bytes]) -> None:
    files[MANIFEST] = b"[]"


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        (_tamper, "R3009", "blob [0-9a-f]{64} was changed: its hash differs"),
        (_lose, "R3009", "blobs/[0-9a-f]{64} is missing"),
        (_add, "R3009", "holds a file that its manifest does not"),
        (_renumber, "R3002", "has format 9"),
        (_mistake, "R3009", "manifest.json is damaged"),
        (_strange, "R3009", "is not what `pico export` writes"),
    ],
)
def test_tampered_archives_are_refused(archive: Made, change: Any, code: str, text: str) -> None:
    path = _rewritten(archive[2], change)
    with pytest.raises(Fault, match=text) as caught:
        _verify(path)
    assert caught.value.code == code


def _verify(path: Path) -> None:
    opened = Archive(path)
    try:
        opened.verify()
    finally:
        opened.close()


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip at all" * 100])
def test_other_files_are_no_archives(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pico").write_bytes(content)
    with pytest.raises(Fault, match=r"a\.pico is no archive") as caught:
        Archive(tmp_path / "a.pico")
    assert caught.value.code == "R3009"
    with pytest.raises(Fault, match="cannot be read: No such file"):
        Archive(tmp_path / "b.pico")


def test_refused_import_leaves_nothing(archive: Made) -> None:
    """A blob that is damaged behind those that were written already."""
    _, _, path = archive
    other = TestEngine(seed=7)
    before = rows(other.store, "registry")
    opened = Archive(path)
    last = opened.manifest.picos[-1].record
    opened.close()

    def damage(files: dict[str, bytes]) -> None:
        files["blobs/" + last] = b"\1\0"

    with pytest.raises(Fault, match=f"blob {last} was changed"):
        take_in(other, _rewritten(path, damage))
    assert rows(other.store, "registry") == before
    assert take_in(other, path)["picos"] == 3


def _with_record(path: Path, change: Callable[[Any], Any], kind: str = "") -> Path:
    """A copy of an archive whose hashes are right, but whose root says something else.

    `change` gets the root's record, or with a kind its part of this kind.
    """
    opened = Archive(path)
    root = opened.manifest.picos[0]
    records = {name: opened.record(name) for name in (root.record, *root.parts)}
    opened.close()
    old = next(n for n, r in records.items() if kind == (r[0] if isinstance(r, list) else ""))
    content = encode_record(change(records[old]))
    new = sha256(content).hexdigest()

    def replace(files: dict[str, bytes]) -> None:
        del files["blobs/" + old]
        files["blobs/" + new] = content
        files[MANIFEST] = files[MANIFEST].replace(old.encode(), new.encode())

    return _rewritten(path, replace)


def _timer_at(due_ms: Any) -> Callable[[Any], Any]:
    def change(part: Any) -> Any:
        rid, timer_id, record = part[2][0]
        return ["timers", "", [[rid, timer_id, [record[0], due_ms, *record[2:]]]]]

    return change


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda record: {}, ""),
        (lambda record: record | {"children": [[0, "cX", "cNOT"]]}, ""),
        (lambda record: record | {"children": record["children"][:1]}, ""),
        (lambda record: record | {"children": record["children"][:1] * 2}, ""),
        (lambda record: record | {"channels": [["c\0X", record["channels"][0][1]]]}, ""),
        (lambda record: record | {"channels": [["cX", 3]]}, ""),
        (lambda record: record | {"installs": [["a", "0" * 64, "u", {}]]}, ""),
        (lambda record: record | {"parent": 7}, ""),
        (lambda part: ["cake", "", []], "timers"),
        (lambda part: ["timers", "", [["a", "b\0c", part[2][0][2]]]], "timers"),
        (lambda part: ["timers", "", [["a", "b", []]]], "timers"),
        (_timer_at(1.5), "timers"),
        (_timer_at("soon"), "timers"),
        (lambda part: ["inbox", "", [["cE", "a"]]], "timers"),
        (lambda part: ["variables", "nest", [["a\0b", 1]]], "variables"),
        (lambda part: ["variables", "nest", [["a", b"bytes"]]], "variables"),
        (lambda part: ["variables", "nest", [["a", [{"b": b"bytes"}]]]], "variables"),
        (lambda part: ["variables", "nest", [["a", {1: 2}]]], "variables"),
        (lambda part: ["variables", "nest", [["a", float("nan")]]], "variables"),
        (lambda part: ["variables", "nest", 3], "variables"),
    ],
)
def test_records_that_are_none_are_refused(
    archive: Made, change: Callable[[Any], Any], kind: str
) -> None:
    other = TestEngine(seed=7)
    before = rows(other.store, "registry")
    with pytest.raises(Fault) as caught:
        take_in(other, _with_record(archive[2], change, kind))
    assert caught.value.code in ("R3009", "R3006", "R2001")
    assert other.core.committer.failure is None
    assert rows(other.store, "registry") == before
    assert take_in(other, archive[2])["picos"] == 3


def test_unknown_parent_is_refused(archive: Made) -> None:
    with pytest.raises(Fault, match="ECI not found cNO"):
        take_in(TestEngine(seed=7), archive[2], "cNO")


@pytest.mark.parametrize(
    ("module", "limit", "value", "code", "text"),
    [
        (archives, "archive_blob_bytes_max", 100, "R3009", "and 100 may be"),
        (archives, "archive_manifest_bytes_max", 100, "R3009", "manifest.json has"),
        (archives, "source_bytes_max", 100, "R3009", "too large for the source of a ruleset"),
        (imports, "import_rows_max", 10, "R4023", "more than 10 of them are in the archive"),
    ],
)
def test_archives_are_bounded(
    archive: Made,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    limit: str,
    value: int,
    code: str,
    text: str,
) -> None:
    other = TestEngine(seed=7)
    before = rows(other.store, "registry")
    with monkeypatch.context() as patched:
        patched.setattr(module, limit, value)
        with pytest.raises(Fault, match=text) as caught:
            take_in(other, archive[2])
    assert caught.value.code == code
    assert rows(other.store, "registry") == before


def test_large_parts_are_cut(archive: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, door, path = archive
    whole = everything(engine, door)
    opened = Archive(path)
    count = len(opened.manifest.blobs)
    opened.close()
    monkeypatch.setattr(archives, "archive_part_bytes", 50)
    assert len(archived(engine, door, path).manifest.blobs) > count + 3
    other = TestEngine(seed=7)
    take_in(other, path)
    assert everything(other, door) == whole


def test_engine_that_stops_gives_an_import_up(archive: Made) -> None:
    other = TestEngine(seed=7)
    before = rows(other.store, "registry", "meta")
    opened = Archive(archive[2])
    answers: list[Any] = []
    other.core.imports.begin(opened, other.root, answers.append)
    other.core.imports.begin(opened, other.root, answers.append)
    for _ in range(3):
        other.clock._soon.popleft()()
    assert not other.core.is_idle
    other.core.is_closing = True
    other.run()
    opened.close()
    assert sorted(answer.code for answer in answers) == ["R3007", "R3008"]
    assert other.core.is_idle
    assert rows(other.store, "registry", "meta") == before


# --- Crashes --------------------------------------------------------------------------------------


def _count_points(path: Path) -> int:
    """How many crash points one import passes."""
    passed: list[str] = []
    engine = TestEngine(seed=7)
    assert isinstance(engine.store, MemoryStore)
    engine.store._hook = passed.append
    take_in(engine, path)
    return len(passed)


def test_crash_within_an_import_leaves_all_or_nothing(archive: Made) -> None:
    first, door, path = archive
    whole = everything(first, door)
    points = _count_points(path)
    assert points > 10
    outcomes = set()
    for surviving in (0, 100):
        for number in range(1, points + 1):
            engine = TestEngine(seed=7)
            store = engine.store
            assert isinstance(store, MemoryStore)
            before = rows(store, "registry", "meta")
            store._hook = crashing_at(number)
            with pytest.raises(Crash):
                take_in(engine, path)
            clock = VirtualClock(engine.clock.now_ms())
            found = store.crash(clock.call_soon, surviving=surviving)
            again = TestEngine(found, seed=8, clock=clock)
            assert not list(found.scan("meta", b"staged:"))
            is_there = again.core.shelf.channel(door) is not None
            outcomes.add(is_there)
            if is_there:
                assert everything(again, door) == whole
            else:
                assert rows(found, "registry", "meta") == before
                assert take_in(again, path)["picos"] == 3
                assert everything(again, door) == whole
    assert outcomes == {True, False}


# --- Any values -----------------------------------------------------------------------------------

_KEYS = st.text(max_size=6)
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(_KEYS, inner, max_size=5),
    max_leaves=6,
)


def _repeated(values: list[Any], count: int, is_map: bool) -> Any:
    """A collection that is stored in parts when it is large enough."""
    many = [values[at % len(values)] for at in range(count)]
    return {f"{at % 7} {at}": value for at, value in enumerate(many)} if is_map else many


_LARGE = st.builds(
    _repeated, st.lists(_VALUES, min_size=1, max_size=4), st.integers(20, 80), st.booleans()
)
KEEPER = """ruleset keeper {
  meta { shares all }
  global { all = function() { {"one": ent:one, "two": ent:two, "three": ent:three} } }
  rule keep { select when keep all
    noop()
    fired { ent:one := event:attrs{"one"}; ent:two := event:attrs{"two"}
      ent:three := event:attrs{"three"} } }
  rule pair { select when keep first before keep second }
}"""


@settings(max_examples=25)
@given(
    one=_VALUES,
    two=_LARGE,
    three=_LARGE,
    has_begun=st.booleans(),
    plans=st.lists(st.integers(1, 10**7), max_size=3),
)
def test_any_values_come_back(
    tmp_path_factory: pytest.TempPathFactory,
    one: Any,
    two: Any,
    three: Any,
    has_begun: bool,
    plans: list[int],
) -> None:
    engine = nest()
    engine.event("nest", "grow", {"name": "child"})
    door: str = engine.query("nest", "door", {"name": "child"})
    engine.install(KEEPER, door)
    channel = engine.wait(
        lambda done: engine.core.post_task(door, lambda turn: _open_channel(turn), done)
    )
    engine.event("keep", "all", {"one": one, "two": two, "three": three}, eci=channel)
    if has_begun:
        engine.event("keep", "first", {}, eci=channel)
    for after_s in plans:
        engine.event("nest", "plan", {"after_s": after_s}, eci=door)
    path = tmp_path_factory.mktemp("any") / "a.pico"
    archived(engine, door, path)
    other = TestEngine(seed=7)
    take_in(other, path)
    assert everything(other, door) == everything(engine, door)
    assert other.query("keeper", "all", eci=door) == engine.query("keeper", "all", eci=door)


def _open_channel(turn: Any) -> str:
    from runtime.structure import new_channel

    return new_channel(turn, ["open"], None, None).eci
