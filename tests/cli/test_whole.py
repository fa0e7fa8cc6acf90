"""The whole way: `pico serve`, deploy, events and queries by command, a kill, and what is left."""

import json
from pathlib import Path

import pytest

from runtime.cli import main
from tests.cli.test_serve import first_line, serving

COUNTER = """
ruleset test.counter {
  meta { shares value }
  global { value = function() { ent:n.defaultsTo(0) } }
  rule bump {
    select when counter bump
    pre { by = event:attr("by").defaultsTo(1) }
    send_directive("bumped", {"by": by})
    fired { ent:n := ent:n.defaultsTo(0) + by }
  }
}
"""


def pico(capsys: pytest.CaptureFixture[str], home: Path, *argv: str) -> tuple[int, str, str]:
    code = main([*argv, "--home", str(home)])
    out, err = capsys.readouterr()
    return code, out, err


def value(capsys: pytest.CaptureFixture[str], home: Path) -> str:
    return pico(capsys, home, "query", "root", "test.counter", "value")[1].strip()


def test_deployed_ruleset_keeps_acknowledged_events_through_a_kill(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    source = tmp_path / "counter.krl"
    source.write_text(COUNTER)
    with serving(home) as process:
        first_line(process)
        code, out, err = pico(capsys, home, "deploy", str(source), "--json")
        assert (code, err) == (0, "")
        assert json.loads(out)["rid"] == "test.counter"
        code, out, _ = pico(capsys, home, "event", "root", "counter", "bump", "by=2")
        assert code == 0
        assert 'bumped {"by": 2}' in out
        assert value(capsys, home) == "2"
        for _ in range(5):
            assert pico(capsys, home, "event", "root", "counter", "bump", "--async")[0] == 0
        process.kill()
        process.wait(20)
    code, _, err = pico(capsys, home, "show")
    assert code == 3
    assert "no engine is running" in err
    with serving(home) as process:
        first_line(process)
        assert value(capsys, home) == "7"
        assert "test.counter" in pico(capsys, home, "show")[1]
        process.terminate()
        assert process.wait(20) == 0


def test_ruleset_that_does_not_compile_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    source = tmp_path / "bad.krl"
    source.write_text("ruleset test.bad {\n  global { x = }\n}\n")
    with serving(home) as process:
        first_line(process)
        code, out, err = pico(capsys, home, "deploy", str(source))
        assert (code, out) == (1, "")
        assert "R2007" in err
        assert "bad.krl:2:16" in err
        process.terminate()
        assert process.wait(20) == 0
