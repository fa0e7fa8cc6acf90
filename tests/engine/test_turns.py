"""Turns over several rulesets: order, raise, last, error, faults and what they leave behind."""

from __future__ import annotations

import pytest

from runtime.errors import Fault
from tests.harness.engine import TestEngine

X = """ruleset x {
  meta { shares n }
  global { n = function() { ent:n } }
  rule first { select when e a
    send_directive("x first")
    fired { raise e event "b"; ent:n := ent:n.defaultsTo(0) + 1 } }
  rule b { select when e b send_directive("x b") }
}"""
Y = """ruleset y {
  rule first { select when e a send_directive("y first") }
  rule second { select when e a send_directive("y second") }
  rule b { select when e b send_directive("y b") }
}"""


def names(answer: dict) -> list[str]:  # type: ignore[type-arg]
    return [d["name"] for d in answer["directives"]]


def test_raised_events_run_after_all_rulesets_in_installation_order() -> None:
    engine = TestEngine()
    engine.install(X)
    engine.install(Y)
    assert names(engine.event("e", "a")) == ["x first", "y first", "y second", "x b", "y b"]


def test_installation_order_survives_a_restart() -> None:
    engine = TestEngine()
    engine.install(Y)
    engine.install(X)
    again = TestEngine(engine.store, clock=engine.clock, seed=2)
    assert names(again.event("e", "a")) == ["y first", "y second", "x first", "y b", "x b"]


def test_last_stops_the_own_ruleset_only() -> None:
    engine = TestEngine()
    engine.install(X)
    engine.install(Y.replace('send_directive("y first")', 'send_directive("y first") fired {last}'))
    assert names(engine.event("e", "a")) == ["x first", "y first", "x b", "y b"]


def test_error_error_clears_the_schedule_and_tells_its_own_ruleset() -> None:
    engine = TestEngine()
    engine.install(
        X.replace("ent:n := ent:n.defaultsTo(0) + 1", 'error error "stop"').replace(
            "rule b {",
            'rule e { select when system error send_directive("err", event:attrs) } rule b {',
        )
    )
    engine.install(Y.replace("when e b", "when system error"))
    assert names(engine.event("e", "a")) == ["x first", "err"]


FAULTY = """ruleset f {
  meta { shares v, errors }
  global { v = function() { ent:v } errors = function() { ent:errors } }
  rule before { select when e a send_directive("before") fired { ent:v := "before" } }
  rule bad { select when e a
    send_directive("bad")
    fired { ent:v := "bad"; raise e event "never"; ent:w := "x" - 1 } }
  rule after { select when e a send_directive("after") fired { ent:u := 1 } }
  rule never { select when e never send_directive("never") }
  rule on_error { select when system error
    fired { ent:errors := ent:errors.defaultsTo([]).append(event:attrs) } }
}"""


def test_a_faulting_rule_leaves_nothing_and_the_turn_goes_on() -> None:
    engine = TestEngine()
    engine.install(FAULTY)
    answer = engine.event("e", "a")
    assert names(answer) == ["before", "after"]
    assert engine.query("f", "v") == "before"
    (error,) = answer["errors"]
    assert (error["rid"], error["rule"], error["line"]) == ("f", "bad", 7)
    (attrs,) = engine.query("f", "errors")
    assert attrs["rule_name"] == "bad"
    assert attrs["genus"] == "system"
    assert attrs["line"] == 7
    assert attrs["eid"] == answer["eid"]


def test_errors_to_names_the_handler() -> None:
    engine = TestEngine()
    engine.install(
        "ruleset handler { meta { shares seen } global { seen = function() { ent:seen } }"
        ' rule r { select when system error fired { ent:seen := event:attrs{"rid"} } } }'
    )
    engine.install(FAULTY.replace("meta {", "meta { errors to handler"))
    engine.event("e", "a")
    assert engine.query("handler", "seen") == "f"
    assert engine.query("f", "errors") is None


def test_a_fault_while_handling_an_error_raises_nothing_further() -> None:
    engine = TestEngine()
    engine.install(
        'ruleset f { rule bad { select when e a always { ent:x := 1 - "x" } }'
        ' rule worse { select when system error always { ent:x := 2 - "y" } } }'
    )
    assert [e["rule"] for e in engine.event("e", "a")["errors"]] == ["bad", "worse"]


def test_the_automaton_of_a_faulting_rule_keeps_its_advance() -> None:
    engine = TestEngine()
    engine.install(
        "ruleset f { rule r { select when e p then e q"
        ' if event:attrs{"bad"} then noop() fired { ent:x := 1 - "x" }'
        ' else { raise e event "done" } }'
        ' rule done { select when e done send_directive("done") } }'
    )
    engine.event("e", "p")
    assert "errors" in engine.event("e", "q", {"bad": True})
    assert names(engine.event("e", "q")) == []
    engine.event("e", "p")
    assert names(engine.event("e", "q")) == ["done"]


def test_raising_without_end_is_a_fault_of_the_rule() -> None:
    engine = TestEngine()
    engine.install('ruleset f { rule r { select when e a fired { raise e event "a" } } }')
    (error,) = engine.event("e", "a")["errors"]
    assert error["code"] == "R4011"


def test_endless_recursion_is_a_fault() -> None:
    engine = TestEngine()
    engine.install("ruleset f { meta { shares f } global { f = function(n) { f(n + 1) } } }")
    with pytest.raises(Fault) as caught:
        engine.query("f", "f", {"n": 1})
    assert caught.value.code == "R4010"


def test_raise_for_another_ruleset_reaches_only_that_one() -> None:
    engine = TestEngine()
    engine.install(X.replace('raise e event "b"', 'raise e event "b" for "y"'))
    engine.install(Y)
    assert names(engine.event("e", "a")) == ["x first", "y first", "y second", "y b"]


def test_select_where_reads_entity_variables() -> None:
    engine = TestEngine()
    engine.install(
        "ruleset f { rule w { select where event:domain == ent:w"
        ' send_directive("hit") } rule s { select when set w fired { ent:w := "foo" } } }'
    )
    assert names(engine.event("foo", "x")) == []
    engine.event("set", "w")
    assert names(engine.event("foo", "y")) == ["hit"]


def test_queries_change_nothing_and_know_it() -> None:
    engine = TestEngine()
    engine.install(
        "ruleset q { meta { shares what } global {"
        " what = function(a) { [meta:inQuery, meta:inEvent, event:attrs, a, meta:rid] } } }"
    )
    assert engine.query("q", "what", {"a": 1}) == [True, False, None, 1, "q"]
    with pytest.raises(Fault, match="does not have query function"):
        engine.query("q", "nope")
    with pytest.raises(Fault, match="doesn't have z installed"):
        engine.query("z", "what")


def test_testing_schema_is_there_without_being_shared() -> None:
    engine = TestEngine()
    engine.install(X)
    assert engine.query("x", "__testing") == {
        "queries": [{"name": "n", "args": []}],
        "events": [
            {"domain": "e", "name": "a", "attrs": []},
            {"domain": "e", "name": "b", "attrs": []},
        ],
    }
