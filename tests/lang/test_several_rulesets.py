"""Several rulesets on one pico, and modules that change: vectors M14 to M20.

Source: language reference 18.5; M16 and M17 as the engine's rollback of faults decides.
"""

from __future__ import annotations

from typing import Any

import pytest

from runtime.errors import Fault
from tests.harness.engine import TestEngine

X = """ruleset x {
  rule a { select when e a send_directive("x", {"on": "a"}) EXTRA }
  rule b { select when e b send_directive("x", {"on": "b"}) }
  rule error { select when system error send_directive("x", {"on": "error"}) }
}"""
Y = """ruleset y {
  rule first { select when e a send_directive("y", {"on": "a"}) EXTRA }
  rule second { select when e a send_directive("y", {"on": "a, later"}) }
  rule b { select when e b send_directive("y", {"on": "b"}) }
  rule error { select when system error send_directive("y", {"on": "error"}) }
}"""
RAISE = 'fired { raise e event "b" }'


def answers(x: str, y: str, *events: str) -> list[list[str]]:
    """Install x and y in this order; what each event's directives say, faults last."""
    engine = TestEngine()
    engine.install(X.replace("EXTRA", x))
    engine.install(Y.replace("EXTRA", y))
    found = []
    for name in events:
        answer: dict[str, Any] = engine.event("e", name)
        said = [f"{d['name']}({d['options']['on']})" for d in answer["directives"]]
        found.append(said + ["fault of " + e["rid"] for e in answer.get("errors", ())])
    return found


@pytest.mark.parametrize(
    ("row", "x", "y", "expected"),
    [
        ("M14", RAISE, "", ["x(a)", "y(a)", "y(a, later)", "x(b)", "y(b)"]),
        ("M15", RAISE, "fired { last }", ["x(a)", "y(a)", "x(b)", "y(b)"]),
        (
            "M16",
            'fired { raise e event "b"; error error "stop" }',
            "",
            ["x(a)", "x(error)"],
        ),
        (
            "M17",  # here the fault takes back its own rule only, and the turn goes on
            'fired { raise e event "b"; ent:v := "v" - 1 }',
            "",
            ["y(a)", "y(a, later)", "x(error)", "fault of x"],
        ),
        ("M18", "fired { last }", "", ["x(a)", "y(a)", "y(a, later)"]),
    ],
)
def test_vector(row: str, x: str, y: str, expected: list[str]) -> None:
    assert answers(x, y, "a") == [expected], row


def test_vector_m17_nothing_comes_out_with_the_next_event() -> None:
    assert answers('fired { ent:v := "v" - 1 }', "", "a", "b")[1] == ["x(b)", "y(b)"]


MODULE = """ruleset m {
  meta { provides greet configure using cname = "Bob" }
  global { greet = function() { BODY } }
}"""
USER = """ruleset u {
  meta { use module m with cname = "Alice" shares greet }
  global { greet = function() { m:greet() } }
}"""


def test_vector_m19_a_new_body_with_the_users_configuration() -> None:
    engine = TestEngine()
    engine.fetcher.texts["mem:m"] = MODULE.replace("BODY", '"hi " + cname')
    module = engine.wait(lambda done: engine.core.registry.load("mem:m", done))
    engine.wait(lambda done: engine.core.install(engine.root, module, "mem:m", {}, done))
    engine.install(USER)
    assert engine.query("u", "greet") == "hi Alice"
    engine.fetcher.texts["mem:m"] = MODULE.replace("BODY", '"bye " + cname')
    engine.wait(lambda done: engine.core.registry.flush("mem:m", done))
    assert engine.query("u", "greet") == "bye Alice"
    engine.fetcher.texts["mem:m"] = MODULE.replace("BODY", '"oops " - cname {')
    with pytest.raises(Fault):
        engine.wait(lambda done: engine.core.registry.flush("mem:m", done))
    assert engine.query("u", "greet") == "bye Alice"


def test_vector_m20_a_variable_decides_what_is_selected() -> None:
    engine = TestEngine()
    engine.install(
        'ruleset w { rule set { select when w set fired { ent:w := event:attrs{"w"} } }'
        " rule all { select where event:domain == ent:w"
        ' send_directive("seen", {"n": event:name}) } }'
    )
    assert engine.directives("foo", "one") == []
    engine.event("w", "set", {"w": "foo"})
    assert engine.directives("foo", "one") == [("seen", {"n": "one"})]
    assert engine.directives("foo", "two") == [("seen", {"n": "two"})]
    assert engine.directives("bar", "one") == []


GIVER = """ruleset giver {
  meta { use module taker alias t }
  global { mark = defaction(x) {
    send_directive("mark", {"x": x, "rid": meta:rid, "mine": ent:mine}) return [x, ent:mine] } }
  rule keep { select when g keep fired { ent:mine := "giver's" } }
  rule go { select when g go
    pre { literal = defaction(x) { send_directive("literal", {"x": x, "mine": ent:mine}) } }
    every { t:twice(mark, 1) setting(r) t:twice(literal, 5) send_directive("r", {"r": r}) } }
}"""
TAKER = """ruleset taker {
  meta { provides twice }
  global { twice = defaction(act, x) { every { act(x) setting(a) act(x + 1) setting(b) }
    return [a, b] } }
  rule keep { select when g keep fired { ent:mine := "taker's" } }
}"""


def test_an_action_keeps_its_own_ruleset_wherever_it_is_performed() -> None:
    engine = TestEngine()
    engine.install(TAKER)
    engine.install(GIVER)
    engine.event("g", "keep")
    mine = "giver's"
    assert engine.directives("g", "go") == [
        ("mark", {"x": 1, "rid": "giver", "mine": mine}),
        ("mark", {"x": 2, "rid": "giver", "mine": mine}),
        ("literal", {"x": 5, "mine": mine}),
        ("literal", {"x": 6, "mine": mine}),
        ("r", {"r": [[1, mine], [2, mine]]}),
    ]


def test_actions_are_equal_to_themselves_only() -> None:
    engine = TestEngine()
    engine.install(
        "ruleset q { meta { shares f } global {"
        " a = defaction() { noop() } b = defaction() { noop() }"
        " g = function() { 1 } f = function() {"
        " [a == a, a == b, g == g, noop == noop, send_directive == send_directive, a == g] } } }"
    )
    assert engine.query("q", "f") == [True, False, True, True, True, False]
