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


ASKING = """ruleset a {
  meta { shares logs }
  global { logs = function() { ctx:logs() } }
  rule r { select when a say where event:attrs{"n"} > 0
    always { log info {"n": event:attrs{"n"}}; log warn "a\\"b"; ent:x := 5.klog("five") } }
  rule t { select when a say where event:attrs{"n"} > 1
    always { log error null; raise a event "again" } }
  rule u { select when a again always { log debug "long " + "y" } }
}"""


def test_a_pico_reads_what_its_rules_have_logged() -> None:
    engine = TestEngine()
    engine.install(ASKING)
    first = engine.event("a", "say", {"n": 1})
    second = engine.event("a", "say", {"n": 2})
    logs = engine.query("a", "logs")
    assert [(said["level"], said["msg"]) for said in logs] == [
        ("info", {"n": 1}),
        ("warn", 'a"b'),
        ("klog", "five 5"),
        ("info", {"n": 2}),
        ("warn", 'a"b'),
        ("klog", "five 5"),
        ("error", None),
        ("debug", "long y"),
    ]
    assert {said["txnId"] for said in logs} == {first["eid"], second["eid"]}
    assert {(said["rid"], said["time"]) for said in logs} == {("a", "1970-01-01T00:16:40.000Z")}
    engine.clock.advance(13 * 3600)
    assert engine.query("a", "logs") == []
