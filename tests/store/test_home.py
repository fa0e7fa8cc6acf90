"""The data folder: one engine at a time, a token for its owner, an address while it runs."""

import subprocess
import sys
from pathlib import Path

import pytest

from runtime.errors import Fault
from runtime.home import Home, default_home, read_address, read_token

_HOLDER = """
import sys
from runtime.home import Home
home = Home.open(sys.argv[1])
home.announce("http://127.0.0.1:1")
print(home.token, flush=True)
sys.stdin.read(1)
sys.exit(0) if sys.argv[2] == "exit" else __import__("os")._exit(9)
"""


def start_holder(path: Path, end: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(path), end],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_home_is_held_by_one_process(tmp_path: Path) -> None:
    path = tmp_path / "new" / "home"
    with start_holder(path, "kill") as other:
        assert other.stdout is not None
        token = other.stdout.readline().strip()
        with pytest.raises(Fault, match=f"process {other.pid}.*{path}") as caught:
            Home.open(path)
        assert caught.value.code == "R3001"
        assert token not in str(caught.value)
        address = read_address(path)
        assert address == ("http://127.0.0.1:1", token, other.pid, ())
    assert other.returncode == 9
    # The killed engine's address file is still there, and means nothing any more.
    assert (path / "engine.json").exists()
    assert read_address(path) is None
    home = Home.open(path)
    assert home.token == token
    home.close()


def test_home_makes_what_it_needs(tmp_path: Path) -> None:
    home = Home.open(tmp_path / "h")
    home.announce("http://127.0.0.1:3000")
    assert len(home.token) >= 40
    assert read_token(home.path) == home.token
    for name in ("admin.token", "engine.json", "FORMAT", "LOCK"):
        assert (home.path / name).stat().st_mode & 0o777 == 0o600
    assert home.path.stat().st_mode & 0o777 == 0o700
    assert home.db_path == home.path / "db"
    home.close()
    home.close()
    assert not (home.path / "engine.json").exists()
    assert read_address(home.path) is None


def test_home_opened_twice_in_a_process_is_one(tmp_path: Path) -> None:
    first = Home.open(tmp_path)
    second = Home.open(tmp_path / "." / ".." / tmp_path.name)
    assert first is second
    first.announce("http://x")
    first.close()
    assert read_address(tmp_path) is not None
    second.close()
    assert read_address(tmp_path) is None


@pytest.mark.parametrize(
    ("content", "code"), [("99\n", "R3002"), ("", "R3006"), ("one\n", "R3006")]
)
def test_home_of_another_format_is_refused(tmp_path: Path, content: str, code: str) -> None:
    (tmp_path / "FORMAT").write_text(content)
    for _ in range(2):
        with pytest.raises(Fault, match=str(tmp_path)) as caught:
            Home.open(tmp_path)
        assert caught.value.code == code


@pytest.mark.parametrize("blocked", ["", "LOCK", "FORMAT", "admin.token"])
def test_home_that_cannot_be_used_is_told(tmp_path: Path, blocked: str) -> None:
    if blocked:
        (tmp_path / "h" / blocked).mkdir(parents=True)
    else:
        (tmp_path / "h").write_text("a file")
    with pytest.raises(Fault, match="cannot be used") as caught:
        Home.open(tmp_path / "h")
    assert caught.value.code == "R3005"


def test_address_of_no_engine_is_none(tmp_path: Path) -> None:
    assert read_address(tmp_path) is None
    (tmp_path / "engine.json").write_text("{")
    assert read_address(tmp_path) is None
    assert read_token(tmp_path) == ""


def test_default_home_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PICO_HOME", str(tmp_path))
    assert default_home() == tmp_path
    monkeypatch.delenv("PICO_HOME")
    assert default_home() == Path.home() / ".picos"
