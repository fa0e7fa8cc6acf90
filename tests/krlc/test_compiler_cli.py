"""The program `krlc`: commands, exit codes, what goes where, and files that are whole."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from krlc import cli
from krlc.version import VERSION
from runtime.bundle import read_bundle

ROOT = Path(__file__).resolve().parents[2]
GOOD = "ruleset test.good {\n  meta {\n    shares n\n  }\n\n  global {\n    n = 1\n  }\n}\n"
WARNS = "ruleset test.warns {\n  rule r is inactive {\n    select when a b\n  }\n}\n"
BAD = "ruleset test.bad {\n  global {\n    x = y\n  }\n}\n"
BROKEN = "ruleset test.broken {\n  global {\n    x = \n  }\n}\n"
UGLY = "ruleset test.ugly { global { x=1; y = 2 } }"
PRETTY = "ruleset test.ugly {\n  global {\n    x = 1\n    y = 2\n  }\n}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("GOOD", "WARNS", "BAD", "BROKEN", "UGLY"):
        (tmp_path / f"{name.lower()}.krl").write_text(globals()[name])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.main(list(arguments))
    out, err = capsys.readouterr()
    return code, out, err


def test_cli_build(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "build", "good.krl")
    assert (code, err) == (0, "")
    assert out.startswith("test.good.krlb: 1 ruleset, ")
    bundle = read_bundle((folder / "test.good.krlb").read_bytes())
    assert [(r.rid, r.url) for r in bundle.rulesets] == [("test.good", "good.krl")]
    assert bundle.identity[:16] in out


def test_cli_build_folder_and_place(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "build", "good.krl", "warns.krl", "-o", "out", "--quiet") == (0, "", "")
    made = {p.relative_to(folder / "out").as_posix() for p in (folder / "out").rglob("*.*")}
    assert {"bundle.json", "test.good/module.py", "test.warns/source.krl"} <= made
    run(capsys, "build", "good.krl", "-o", "one.krlb")
    run(capsys, "build", str(folder / "good.krl"), "-o", "two.krlb")
    assert (folder / "one.krlb").read_bytes() == (folder / "two.krlb").read_bytes()


def test_cli_build_refuses(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "build", "bad.krl", "good.krl", "-o", "x.krlb")
    assert (code, out) == (1, "")
    assert "bad.krl:3:9: error K0301" in err
    assert not (folder / "x.krlb").exists()
    code, _, err = run(capsys, "build", "good.krl", "warns.krl")
    assert (code, "-o FILE.krlb" in err) == (2, True)
    code, _, err = run(capsys, "build", "good.krl", "./good.krl", "-o", "x.krlb")
    assert (code, "both hold the ruleset test.good" in err) == (2, True)
    code, _, err = run(capsys, "build", "good.krl", "-o", "no/such/folder/x.krlb")
    assert (code, "cannot write" in err) == (2, True)
    assert not list(folder.glob("**/*.tmp"))


def test_cli_check(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "check", "good.krl") == (0, "", "")
    code, out, err = run(capsys, "check", "warns.krl")
    assert (code, "warning K0502" in out, err) == (0, True, "1 warning\n")
    code, out, err = run(capsys, "check", "bad.krl", "broken.krl", "good.krl")
    assert code == 1
    assert "bad.krl:3:9: error K0301" in out
    assert "broken.krl:4:3: error K0202" in out
    assert err.startswith("2 errors") and err.endswith(" in 3 files\n")  # noqa: PT018
    assert "\x1b" not in out


def test_cli_check_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "check", "--json", "good.krl") == (0, "[]\n", "")
    code, out, err = run(capsys, "check", "--json", "broken.krl", "warns.krl")
    rows = json.loads(out)
    assert (code, err) == (1, "")
    assert [(r["file"], r["line"], r["code"], r["severity"]) for r in rows] == [
        ("broken.krl", 4, "K0202", "error"),
        ("warns.krl", 2, "K0502", "warning"),
    ]


def test_cli_fmt(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ugly = folder / "ugly.krl"
    ugly.chmod(0o640)
    assert run(capsys, "fmt", "--check", "ugly.krl") == (
        1,
        "ugly.krl: not in canonical form\n",
        "",
    )
    assert run(capsys, "fmt", "--stdout", "ugly.krl") == (0, PRETTY, "")
    assert ugly.read_text() == UGLY
    assert run(capsys, "fmt", "ugly.krl", "good.krl") == (0, "", "")
    assert (ugly.read_text(), (folder / "good.krl").read_text()) == (PRETTY, GOOD)
    assert ugly.stat().st_mode & 0o777 == 0o640
    assert run(capsys, "fmt", "--check", "ugly.krl", "good.krl") == (0, "", "")


def test_cli_fmt_leaves_broken_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "fmt", "broken.krl", "ugly.krl")
    assert (code, "K0202" in err) == (1, True)
    assert (folder / "broken.krl").read_text() == BROKEN
    assert (folder / "ugly.krl").read_text() == PRETTY


def test_cli_fmt_keeps_line_ends_in_text(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = b"ruleset a {\r\n  global {\r\n    x = <<a\r\nb>>\r\n  }\r\n}\r\n"
    (folder / "crlf.krl").write_bytes(text)
    assert run(capsys, "fmt", "crlf.krl")[0] == 0
    assert (folder / "crlf.krl").read_bytes() == text.replace(b"\r\n", b"\n").replace(
        b"a\nb", b"a\r\nb"
    )


def test_cli_fmt_through_link(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    link = folder / "link.krl"
    link.symlink_to("ugly.krl")
    assert run(capsys, "fmt", "link.krl")[0] == 0
    assert link.is_symlink()
    assert (folder / "ugly.krl").read_text() == PRETTY


@pytest.mark.parametrize(
    ("stage", "part"),
    [("nodes", "(Ruleset 0:"), ("names", "n"), ("ir", "n"), ("py", 'RID = "test.good"')],
)
def test_cli_dump(stage: str, part: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "dump", stage, "good.krl")
    assert (code, err) == (0, "")
    assert part in out


def test_cli_dump_with_errors(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "dump", "py", "broken.krl")
    assert (code, out) == (1, "")
    assert "error K0202" in err


def test_cli_explain(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "explain", "k0301")
    assert (code, err) == (0, "")
    assert out.startswith("error K0301: unknown name")
    assert run(capsys, "explain", "K0310") == (
        2,
        "",
        "krlc: there is no code K0310; the nearest is K0301\n",
    )
    code, _, err = run(capsys, "explain", "r1001")
    assert code == 2
    assert err.startswith("krlc: R1001 is a code of the engine")


def test_cli_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def feed(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    feed(UGLY)
    assert run(capsys, "fmt", "-") == (0, PRETTY, "")
    feed(BAD)
    code, out, _ = run(capsys, "check", "-")
    assert (code, "stdin:3:9: error K0301" in out) == (1, True)


def test_cli_unreadable(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "latin.krl").write_bytes(b"ruleset a {\n // \xe9\n}")
    (folder / "huge.krl").write_bytes(b" " * (cli.SOURCE_BYTES_MAX + 1))
    for name, words in [
        ("none.krl", "cannot read none.krl: No such file"),
        (".", "cannot read .: Is a directory"),
        ("latin.krl", "latin.krl is not UTF-8: line 2"),
        ("huge.krl", "huge.krl is longer than"),
    ]:
        code, out, err = run(capsys, "check", name)
        assert (code, out) == (2, "")
        assert err.startswith(f"krlc: {words}")


@pytest.mark.parametrize("arguments", [[], ["nope"], ["check"], ["dump", "tree", "x.krl"]])
def test_cli_wrong_use(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert "usage: krlc" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["build", "check", "fmt", "dump", "explain"])
def test_cli_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([command, "--help"])
    out = capsys.readouterr().out
    assert caught.value.code == 0
    assert f"example:\n  krlc {command} " in out
    assert "exit codes:" in out


def test_cli_own_fault(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(source: object) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr("krlc.printer.format_source", fail)
    code, out, err = run(capsys, "fmt", "ugly.krl")
    assert (code, out) == (70, "")
    assert "K0901" in err
    assert "ZeroDivisionError: by nothing" in err
    assert "Traceback" not in err
    assert (folder / "ugly.krl").read_text() == UGLY


def test_cli_as_program(folder: Path) -> None:
    def program(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "krlc", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert program("--version").stdout == f"krlc {VERSION}\n"
    assert program("check", str(folder / "bad.krl")).returncode == 1


def test_cli_explain_starts_no_parser() -> None:
    script = (
        "import sys; from krlc.cli import main; main(['explain', 'K0101']);"
        "print('krlc.parser' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.endswith("\nFalse\n")


def test_automata_can_be_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "two.krl"
    path.write_text(
        "ruleset two { rule first { select when a b then a c } rule second { select when d e } }"
    )
    code, drawn, _ = run(capsys, "dump", "automata", "--dot", str(path))
    assert code == 0
    assert drawn.count("digraph") == 2
    assert 'digraph "first" {' in drawn
    assert 'c0 -> c1 [label="a:b"];' in drawn
    code, _, err = run(capsys, "dump", "py", "--dot", str(path))
    assert code == 2
    assert "--dot goes with the stage `automata`" in err
