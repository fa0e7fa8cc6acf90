"""`pico serve` as a process: start, stop, and what keeps it from starting."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.cli import main
from runtime.client_http import Target, ask
from runtime.home import Home, read_address

SERVE = [sys.executable, "-m", "runtime", "serve"]


@contextmanager
def serving(home: Path, *options: str) -> Iterator["subprocess.Popen[str]"]:
    command = [*SERVE, "--home", str(home), "--port", "0", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def first_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.stderr.read() if process.stderr else ""
    return line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_starts_and_stops(tmp_path: Path, number: int) -> None:
    home = tmp_path / "home"
    with serving(home, "--json") as process:
        told = json.loads(first_line(process))
        assert told["home"] == str(home)
        address = read_address(home)
        assert address is not None
        assert (address.url, address.pid) == (told["url"], process.pid)
        about = ask(Target(address.url, address.token), "/api/ui-context", needs_token=True)
        assert about["eci"].startswith("c")
        process.send_signal(number)
        assert process.wait(20) == 0
        assert process.stderr is not None
        said = process.stderr.read().splitlines()
        assert f"listens at {told['url']}" in said[0]
        assert said[-1].endswith("INFO pico: the engine has stopped; everything is written")
    assert read_address(home) is None
    assert not (home / "engine.json").exists()
    # The same folder serves again, with the same root pico.
    with serving(home) as process:
        assert "listens at http://127.0.0.1:" in first_line(process)
        again = read_address(home)
        assert again is not None
        assert again.token == address.token
        assert ask(again, "/api/ui-context", needs_token=True) == about
        process.terminate()
        assert process.wait(20) == 0


def test_quiet_serve_says_nothing(tmp_path: Path) -> None:
    with serving(tmp_path, "--quiet") as process:
        while read_address(tmp_path) is None:
            assert process.poll() is None
        process.terminate()
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out, err) == (0, "", "")


def test_port_in_use_is_told_before_anything_is_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code = main(["serve", "--home", str(tmp_path / "home"), "--port", str(port)])
    out, err = capsys.readouterr()
    assert (code, out) == (3, "")
    assert f"error R5006: port {port} of 127.0.0.1 is in use" in err
    assert "--port" in err
    assert not (tmp_path / "home").exists()


def test_folder_in_use_is_told(tmp_path: Path) -> None:
    home = Home.open(tmp_path)
    with serving(tmp_path) as process:
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (3, "")
    assert f"another engine (process {os.getpid()}) has the data folder {tmp_path} open" in err
    assert "--home" in err
    home.close()


def test_folder_that_is_a_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "home").write_text("")
    code = main(["serve", "--home", str(tmp_path / "home"), "--port", "0", "--json"])
    out, err = capsys.readouterr()
    assert (code, err) == (3, "")
    assert json.loads(out)["code"] == "R3005"


@pytest.mark.parametrize("place", ["krl", "ftp://example.com/", "file:"])
def test_serve_wants_places_for_rulesets(
    place: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["serve", "--home", str(tmp_path / "home"), "--rulesets-from", place])
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert "--rulesets-from" in said
    assert "names no place" in said
    assert not (tmp_path / "home").exists()
