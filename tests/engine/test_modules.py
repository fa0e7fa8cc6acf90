"""Modules: private instances with their own configuration over the same variables."""

from __future__ import annotations

import pytest

from runtime.errors import Fault
from tests.harness.engine import TestEngine

B = """ruleset b {
  meta {
    provides fn, act, pev, k
    shares conf
    configure using cname = "Bob" other = cname + "!"
  }
  global {
    k = {"key": 1}
    fn = function(a = 1) { [cname, other, a, ent:x] }
    conf = function() { [cname, other] }
    pev = function() { [event:attrs.typeof(), meta:rid, meta:inEvent] }
    hidden = function() { 1 }
    act = defaction(n) {
      send_directive(n, {"c": cname}) setting(d)
      return d{["meta"]}
    }
  }
  rule setx { select when b setx fired { ent:x := event:attrs{"x"} } }
}"""
A = """ruleset a {
  meta {
    use module b
    use module b alias bb with cname = "Jim"
    shares one, two, three, four, bare, constant, hidden
  }
  global {
    one = function() { b:fn() }
    two = function() { bb:fn(2) }
    three = function() { bb:fn(a = 3) }
    four = function() { 4.bb:fn() }
    bare = function() { [5, 6].map(bb:fn) }
    constant = function() { b:k{"key"} }
    hidden = function() { b:hidden() }
  }
  rule r { select when a r
    pre { seen = b:pev() }
    bb:act("hi") setting(meta)
    fired { raise a event "done" attributes {"seen": seen, "meta": meta} } }
  rule done { select when a done send_directive("done", event:attrs) }
}"""


def pair() -> TestEngine:
    engine = TestEngine()
    engine.install(B)
    engine.install(A)
    return engine


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("one", ["Bob", "Bob!", 1, None]),
        ("two", ["Jim", "Jim!", 2, None]),
        ("three", ["Jim", "Jim!", 3, None]),
        ("four", ["Jim", "Jim!", 4, None]),
        ("bare", [["Jim", "Jim!", 5, None], ["Jim", "Jim!", 6, None]]),
        ("constant", 1),
    ],
)
def test_a_use_has_its_own_configuration(name: str, value: object) -> None:
    engine = pair()
    assert engine.query("a", name) == value
    assert engine.query("b", "conf") == ["Bob", "Bob!"]


def test_a_module_reads_the_variables_of_its_own_ruleset() -> None:
    engine = pair()
    engine.event("b", "setx", {"x": 9})
    assert engine.query("a", "two") == ["Jim", "Jim!", 2, 9]
    again = TestEngine(engine.store, clock=engine.clock, seed=2)
    assert again.query("a", "two") == ["Jim", "Jim!", 2, 9]


def test_module_code_sees_no_event_and_acts_for_its_user() -> None:
    hi, done = pair().event("a", "r")["directives"]
    assert (hi["name"], hi["options"]) == ("hi", {"c": "Jim"})
    assert (hi["meta"]["rid"], hi["meta"]["rule_name"]) == ("a", "r")
    assert done["options"]["seen"] == ["Null", "b", False]
    assert done["options"]["meta"]["rid"] == "a"


def test_only_what_is_provided_can_be_used() -> None:
    with pytest.raises(Fault, match="does not provide hidden"):
        pair().query("a", "hidden")


def test_an_unknown_module_is_refused() -> None:
    engine = TestEngine()
    with pytest.raises(Fault, match="Dependant module not loaded: b"):
        engine.install(A)


def test_a_module_must_be_installed_on_the_same_pico() -> None:
    engine = TestEngine()
    engine.wait(lambda done: engine.core.registry.add_source(B, "source:b", done))
    with pytest.raises(Fault, match="Module not found: b"):
        engine.install(A)


def test_a_used_module_cannot_be_uninstalled() -> None:
    engine = pair()
    engine.install('ruleset u { rule u { select when u u ctx:uninstall(event:attrs{"rid"}) } }')
    (error,) = engine.event("u", "u", {"rid": "b"})["errors"]
    assert error["error"] == "Error: Cannot uninstall b because a depends on it"


def test_circles_are_refused_and_the_old_version_stays() -> None:
    engine = pair()
    circle = B.replace("meta {", "meta { use module a")
    with pytest.raises(Fault, match="Dependency Cycle Found: b -> a -> b"):
        engine.install(circle)
    assert engine.query("a", "one") == ["Bob", "Bob!", 1, None]


def test_a_new_version_of_a_module_keeps_the_users_configuration() -> None:
    engine = pair()
    engine.install(B.replace("[cname, other, a, ent:x]", '["new", cname]'))
    assert engine.query("a", "two") == ["new", "Jim"]


STEPS = """ruleset s {
  meta { shares v }
  global { v = function() { [ent:n, VERSION] } }
  rule both { select when e p then e q
    fired { ent:n := ent:n.defaultsTo(0) + 1 } }
  rule other { select when e x FORM e y
    fired { ent:n := ent:n.defaultsTo(0) + 10 } }
}"""


def version(number: int, form: str = "before") -> str:
    return STEPS.replace("VERSION", str(number)).replace("FORM", form)


def test_a_new_version_reaches_every_pico_at_its_next_turn() -> None:
    engine = TestEngine()
    engine.fetcher.texts["mem:s"] = version(1)
    engine.install(
        "ruleset p { rule make { select when p make"
        ' ctx:newPico([{"url": "mem:s"}]) }'
        " rule all { select when p all foreach ctx:children setting(eci)"
        ' event:send({"eci": eci, "domain": "e", "type": event:attrs{"type"}}) } }'
    )
    for _ in range(3):
        engine.event("p", "make")
    for name in ("p", "x"):
        engine.event("p", "all", {"type": name})
    engine.fetcher.texts["mem:s"] = version(2, "and")
    engine.wait(lambda done: engine.core.registry.flush("mem:s", done))
    for name in ("q", "y"):
        engine.event("p", "all", {"type": name})
    for pico in list(engine.core.shelf.picos.values()):
        if pico.id == engine.core.root_id:
            continue
        assert pico.view is not None
        (cx,) = pico.view.contexts
        # `p then q` is the same expression in both versions, `x … y` is another one.
        assert cx.ent["n"] == 1
        assert cx.module.hash == pico.structure.installs[0].hash
    again = TestEngine(engine.store, clock=engine.clock, seed=9, fetcher=engine.fetcher)
    for eci in [e for e, _ in engine.store.scan("eci", b"")]:
        channel = again.core.shelf.channel(eci.decode())
        assert channel is not None


def test_a_version_that_does_not_compile_is_never_adopted() -> None:
    engine = TestEngine()
    engine.fetcher.texts["mem:s"] = version(1)
    module = engine.wait(lambda done: engine.core.registry.load("mem:s", done))
    engine.wait(lambda done: engine.core.install(engine.root, module, "mem:s", {}, done))
    engine.fetcher.texts["mem:s"] = "ruleset s { rule"
    with pytest.raises(Fault) as caught:
        engine.wait(lambda done: engine.core.registry.flush("mem:s", done))
    assert caught.value.code == "R2007"
    assert engine.query("s", "v") == [None, 1]


def test_reinstalling_drops_the_states_of_changed_expressions_only() -> None:
    engine = TestEngine()
    engine.install(version(1))
    engine.event("e", "p")
    engine.event("e", "x")
    engine.install(version(2, "and"))
    engine.event("e", "q")
    engine.event("e", "y")
    assert engine.query("s", "v") == [1, 2]
    again = TestEngine(engine.store, clock=engine.clock, seed=9)
    again.event("e", "x")
    assert again.query("s", "v") == [11, 2]
