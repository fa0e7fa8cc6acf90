"""`pico backup`, `restore`, `doctor`, `export`, `import` over real folders and a real process."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.cli import main
from runtime.home import Home
from runtime.rocks import RocksStore
from runtime.store import FAMILIES
from tests.harness.process import Served

SOURCE = """ruleset keep {
  meta { shares value, door }
  global { value = function() { ent:value } door = function() { ent:door } }
  rule set { select when keep set fired { ent:value := event:attr("to") } }
  rule grow { select when keep grow
    every { ctx:newPico([]) setting(eci)
            ctx:newChannel(["x"], null, null) setting(channel) }
    fired { ent:door := eci } }
}"""


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A running engine with a little in it."""
    with Served(tmp_path_factory.mktemp("kept") / "home") as served:
        served.start()
        served.install("test:keep", SOURCE)
        root = served.root_eci()
        served.event(root, "keep", "set", {"to": "one"})
        served.event(root, "keep", "grow", {})
        yield served


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def pico(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.delenv("PICO_URL", raising=False)
    monkeypatch.delenv("PICO_HOME", raising=False)

    def run(*argv: str | Path) -> tuple[int, str, str]:
        code = main([str(word) for word in argv])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_running_engine_is_backed_up_and_restored(kept: Served, pico: Run, tmp_path: Path) -> None:
    code, out, err = pico("backup", tmp_path / "b", "--home", kept.home)
    assert (code, err) == (0, "")
    assert out.startswith(f"backup of {kept.home} in {tmp_path / 'b'}\n")
    assert os.listdir(kept.home / "checkpoints") == []
    code, out, _ = pico("backup", tmp_path / "c", "--home", kept.home, "--json")
    assert code == 0
    assert json.loads(out)["backup"] == str(tmp_path / "c")
    code, _, err = pico("backup", tmp_path / "b", "--home", kept.home)
    assert (code, err.splitlines()[0]) == (1, f"error R3008: {tmp_path / 'b'} is there already")

    new = tmp_path / "new"
    code, out, err = pico("restore", tmp_path / "b", "--home", new)
    assert (code, err) == (0, "")
    assert out.startswith(f"{new} holds what the backup of 20")
    code, _, err = pico("restore", tmp_path / "b", "--home", new)
    assert code == 1
    assert "is not empty" in err
    assert "--replace" in err
    code, out, _ = pico("restore", tmp_path / "b", "--home", new, "--replace", "--json")
    assert code == 0
    replaced = json.loads(out)["replaced"]
    code, out, _ = pico("doctor", "--home", new)
    assert code == 0
    assert f"{Path(replaced).name} was replaced" in out
    code, _, err = pico("restore", tmp_path / "b", "--home", kept.home, "--replace")
    assert (code, "error R3001" in err) == (3, True)
    with Served(new) as served:
        served.start()
        assert served.root_eci() == kept.root_eci()
        assert served.query(served.root_eci(), "keep", "value") == "one"


def test_stopped_engine_is_backed_up(pico: Run, tmp_path: Path) -> None:
    held = Home.open(tmp_path / "home")
    RocksStore(held.db_path, lambda call: call()).close()
    held.close()
    assert pico("backup", tmp_path / "b", "--home", tmp_path / "home")[0] == 0
    assert (tmp_path / "b" / "BACKUP").exists()


def test_doctor_looks_at_a_running_engine(kept: Served, pico: Run) -> None:
    code, out, err = pico("doctor", "--home", kept.home)
    assert (code, err) == (0, "")
    assert "2 picos" in out
    assert out.endswith("sound: nothing is wrong\n")
    code, out, _ = pico("doctor", "--home", kept.home, "--json")
    report = json.loads(out)
    assert (code, report["sound"], report["counts"]["picos"]) == (0, True, 2)
    code, _, err = pico("doctor", "--home", kept.home, "--repair")
    assert code == 3
    assert "stop the engine first" in err


def test_doctor_prints_limits(pico: Run) -> None:
    code, out, _ = pico("doctor", "--limits")
    assert code == 0
    assert "inbox_events_max = 10,000\n    events and queries waiting in one pico\n" in out
    assert json.loads(pico("doctor", "--limits", "--json")[1])["value_bytes_max"]["value"] > 0


def test_doctor_repairs_what_it_can(kept: Served, pico: Run, tmp_path: Path) -> None:
    assert pico("backup", tmp_path / "b", "--home", kept.home)[0] == 0
    home = tmp_path / "home"
    assert pico("restore", tmp_path / "b", "--home", home)[0] == 0
    store = RocksStore(home / "db", lambda call: call(), durability="os")
    store.write([("eci", key, None) for key, _ in store.scan("eci", b"")])
    store.close()
    code, out, _ = pico("doctor", "--home", home)
    assert code == 1
    assert "error: channels: channel c" in out
    assert out.splitlines()[-1].endswith("errors found")
    code, out, _ = pico("doctor", "--home", home, "--repair")
    assert code == 0
    assert out.endswith("what could be put right was put right\nsound: nothing is wrong\n")
    assert pico("doctor", "--home", home)[0] == 0


def test_doctor_tells_of_a_store_that_does_not_open(
    kept: Served, pico: Run, tmp_path: Path
) -> None:
    assert pico("backup", tmp_path / "b", "--home", kept.home)[0] == 0
    home = tmp_path / "home"
    assert pico("restore", tmp_path / "b", "--home", home)[0] == 0
    for file in (home / "db").glob("MANIFEST-*"):
        file.write_bytes(b"nothing that RocksDB knows")
    code, out, _ = pico("doctor", "--home", home)
    assert code == 1
    assert "error: store: the database" in out
    assert "restore a backup" in out
    code, _, err = pico("backup", tmp_path / "c", "--home", home)
    assert (code, "error R3006" in err) == (3, True)


def test_picos_move(kept: Served, pico: Run, tmp_path: Path) -> None:
    file = tmp_path / "a.pico"
    code, out, err = pico("export", "root", file, "--home", kept.home)
    assert (code, err) == (0, "")
    assert "2 picos" in out
    assert file.stat().st_mode & 0o777 == 0o600
    code, out, _ = pico("export", "root", file, "--home", kept.home, "--alone", "--json")
    said = json.loads(out)
    assert (code, said["picos"], said["file"]) == (0, 1, str(file))
    with Served(tmp_path / "new") as served:
        served.start()
        code, out, err = pico("import", file, "--home", served.home)
        assert (code, err) == (0, "")
        assert out.startswith("imported pico c")
        assert "\n  channel  c" in out
        assert served.query(kept.root_eci(), "keep", "value") == "one"
        code, _, err = pico("import", file, "--home", served.home, "--json")
        assert code == 1
        file.write_bytes(file.read_bytes()[:-10])
        code, _, err = pico("import", file, "--home", served.home)
        assert code == 1
        assert "is no archive, or not a whole one" in err
        # What was imported is there after a kill, too.
        served.kill()
        served.start()
        assert served.query(kept.root_eci(), "keep", "value") == "one"


@pytest.mark.parametrize(
    ("argv", "code", "text"),
    [
        (["backup", "X/b", "--home", "X/none"], 3, "X/none is no data folder"),
        (["doctor", "--home", "X/none"], 3, "is no data folder"),
        (["export", "root", "X/a", "--home", "X/none"], 3, "is no data folder"),
        (["import", "X/a", "--home", "X/none"], 3, "no engine is running"),
        (["restore", "X/none", "--home", "X/new"], 1, "X/none/BACKUP cannot be read: No such file"),
        (["export", "cNO", "X/a", "--home", "KEPT"], 1, "no pico has a channel cNO…"),
        (["export", "root", "X/no/a", "--home", "KEPT"], 3, "X/no/a cannot be written"),
        (["import", "X/a", "--home", "KEPT"], 1, "X/a cannot be read: No such file"),
        (["import", "X/a", "--home", "KEPT", "--parent", "cNO"], 1, "cannot be read"),
        (["backup"], 2, "the following arguments are required: DEST"),
    ],
)
def test_mistakes_are_told(
    kept: Served, pico: Run, tmp_path: Path, capsys: Any, argv: list[str], code: int, text: str
) -> None:
    words = [w.replace("X", str(tmp_path)).replace("KEPT", str(kept.home)) for w in argv]
    if code == 2:
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == code
        assert text in capsys.readouterr().err
        return
    found, out, err = pico(*words)
    assert (found, out) == (code, "")
    assert text.replace("X", str(tmp_path)) in err.splitlines()[0]
    assert not (tmp_path / "new").exists()


def test_start_removes_what_killed_commands_left(tmp_path: Path) -> None:
    with Served(tmp_path / "home") as served:
        served.start()
        left = served.home / "checkpoints" / "1"
        left.mkdir(parents=True)
        served.kill()
        served.start()
        assert not left.exists()
        assert served.stop()[0] == 0


def test_families_of_the_store_are_all_looked_at() -> None:
    """A family that is new needs a check of its own, or a word that it needs none."""
    text = (Path(__file__).parents[2] / "runtime" / "doctor_checks.py").read_text()
    assert [family for family in FAMILIES if f'"{family}"' not in text] == []


def test_progress_is_shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    import io
    import sys

    from runtime.commands import progress

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(progress, "_DELAY_SECONDS", 0)
    with progress.progress("copy", 10, "B") as tell:
        for _ in range(10):
            tell(1)
    assert "copy" in screen.getvalue()
    screen.truncate(0)
    monkeypatch.setattr(progress, "_DELAY_SECONDS", 1000)
    with progress.progress("copy", 10, "B") as tell:
        tell(10)
    assert screen.getvalue().strip("\0\r ") == ""


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (1, "1 byte"),
        (900, "900 bytes"),
        (1536, "1.5 KiB"),
        (5 << 20, "5.0 MiB"),
        (3 << 30, "3.0 GiB"),
    ],
)
def test_sizes_are_for_people(size: int, shown: str) -> None:
    from runtime.commands.progress import counted, shown_bytes

    assert shown_bytes(size) == shown
    assert (counted(1, "pico"), counted(1200, "pico")) == ("1 pico", "1,200 picos")
