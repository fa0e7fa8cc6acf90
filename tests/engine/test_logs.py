"""What rulesets log, and what the engine says of itself: levels, contents, and no whole ECI."""

from __future__ import annotations

import logging

import pytest

from tests.harness.engine import TestEngine

LOGGING = """ruleset l {
  meta { shares f }
  global { f = function(x) { x.klog("seen") } }
  rule r { select when l l
    always { log info {"a": 1}; log warn "careful"; log debug f(2) } }
  rule send { select when l send
    event:send({"eci": "c00secretsecretsecretsecret0", "domain": "a", "type": "b"}) }
}"""


def test_log_statements_and_klog(caplog: pytest.LogCaptureFixture) -> None:
    engine = TestEngine()
    engine.install(LOGGING)
    with caplog.at_level(logging.DEBUG, "pico"):
        answer = engine.event("l", "l")
        assert engine.query("l", "f", {"x": [1]}) == [1]
    said = [(r.levelname, r.getMessage()) for r in caplog.records]
    assert [level for level, _ in said] == ["INFO", "WARNING", "KLOG", "DEBUG", "KLOG"]
    assert said[0][1] == f'{engine.core.root_id} {answer["eid"]} l {{"a":1}}'
    assert said[2][1].endswith("l seen 2")


def test_an_eci_is_never_logged_whole(caplog: pytest.LogCaptureFixture) -> None:
    engine = TestEngine()
    engine.install(LOGGING)
    with caplog.at_level(logging.DEBUG, "pico"):
        engine.event("l", "send")
    (record,) = caplog.records
    assert "c00sec…" in record.getMessage()
    assert "secretsecret" not in record.getMessage()
