"""Rules that would run for ever, or take all memory: each faults in time, and others go on."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.clock import VirtualClock
from runtime.errors import Fault
from runtime.limits import (
    rule_memory_bytes_max,
    rule_time_ms,
    turn_time_ms,
    turn_yield_ms,
    work_between_looks,
)
from tests.harness.engine import TestEngine

MS = 1_000_000

HOSTILE = """ruleset hostile {
  meta {
    provides fib
    shares fib, same
  }
  global {
    fib = function(n) { n < 2 => n | fib(n - 1) + fib(n - 2) }
    same = function(x) { x }
    none0 = function(x) { x }
    %(chain)s
    omega = function(f, n) { n == 0 => 1 | f(f, n - 1) + f(f, n - 1) }
    numbers = function(n) { 1.range(n) }
  }
  rule hostile {
    select when hostile go
    pre {
      x = %(value)s
    }
    send_directive("done")
    always { ent:count := ent:count.defaultsTo(0) + 1 }
  }
  rule after {
    select when hostile go
    send_directive("after", {"count": ent:count})
  }
  rule told {
    select when system error
    send_directive("told", event:attrs.delete("msg").delete("eid"))
  }
}
"""
CHAIN = "\n    ".join(
    f"none{n} = function(x) {{ none{n - 1}(x) + none{n - 1}(x) }}" for n in range(1, 61)
)
LINE = (HOSTILE % {"value": "HERE", "chain": CHAIN}).partition("HERE")[0].count("\n") + 1

# Never done by themselves: what the rule computes, and the code of its fault.
ENDLESS = {
    "exponential recursion": ("fib(60)", "R4024"),
    "exponential without recursion": ("none60(1)", "R4024"),
    "functions as values": ("omega(omega, 60)", "R4024"),
    "maps inside each other": (
        "numbers(10000).map(function(x) { numbers(10000).map(function(y) { x * y }).length() })",
        "R4024",
    ),
    "filters inside each other": (
        "numbers(100000).filter(function(x) { numbers(100000).any(function(y) { y < 0 }) })",
        "R4024",
    ),
    "reductions inside each other": (
        "numbers(9999).reduce(function(s, x) { numbers(9999).reduce(function(t, y) { t }) })",
        "R4024",
    ),
    "maps of maps": (
        'numbers(9999).map(function(x) { {"a": 1, "b": 2}.map(function(v) { fib(20) }) })',
        "R4024",
    ),
    "sorting by a slow function": (
        "numbers(9999).sort(function(a, b) { numbers(9999).all(function(y) { y > 0 }) => 1 | 0 })",
        "R4024",
    ),
    "replacing by a slow function": (
        '"x".sprintf().split("").append(numbers(9999)).join("").replace(re#.#g, '
        'function(m) { fib(18).as("String") })',
        "R4024",
    ),
    "large values over and over": (
        "numbers(99999).map(function(x) { numbers(2000000).reverse().tail().length() })",
        "R4024",
    ),
    "large texts searched over and over": (
        'numbers(99999).map(function(x) { numbers(300000).join("") like re#y#.length() })',
        "R4024",
    ),
    "large values compared over and over": (
        "numbers(99999).map(function(x) { numbers(99999) == numbers(99999) })",
        "R4024",
    ),
    "a range without end": ("1.range(1000000000)", "R4004"),
    "a string that doubles": ('numbers(60).reduce(function(s, x) { s + s }, "ab")', "R4004"),
    "an array that doubles": ("numbers(60).reduce(function(s, x) { s.append(s) }, [1])", "R4004"),
}


def engine_with(value: str, look_ms: float = 10) -> TestEngine:
    """An engine in which a look at the clock takes so long, and the hostile rule."""
    engine = TestEngine()
    engine.install(HOSTILE % {"value": value, "chain": CHAIN})
    engine.clock.look_ns = int(look_ms * MS)
    return engine


@pytest.mark.parametrize(("value", "code"), ENDLESS.values(), ids=ENDLESS)
def test_endless_rule_faults_and_leaves_nothing(value: str, code: str) -> None:
    engine = engine_with(value)
    answer = engine.event("hostile", "go")
    (error,) = answer["errors"]
    assert error["code"] == code
    assert (error["rid"], error["rule"]) == ("hostile", "hostile")
    assert [d["name"] for d in answer["directives"]] == ["after", "told"]
    assert answer["directives"][0]["options"] == {"count": None}
    told = answer["directives"][1]["options"]
    assert (told["rule_name"], told["rid"], told["genus"]) == ("hostile", "hostile", "system")


def test_endless_rule_is_named_with_its_line() -> None:
    value = "1.range(9999).map(function(x) { 1.range(9999).all(function(y) { y > 0 }) })"
    answer = engine_with(value).event("hostile", "go")
    assert answer["errors"][0]["line"] == LINE
    assert str(rule_time_ms) in answer["errors"][0]["error"]


def test_query_has_the_same_time() -> None:
    engine = engine_with("1")
    assert engine.query("hostile", "fib", {"n": 12}) == 144
    with pytest.raises(Fault, match="the query ran for more than") as caught:
        engine.query("hostile", "fib", {"n": 60})
    assert (caught.value.code, caught.value.rid) == ("R4024", "hostile")
    assert engine.query("hostile", "same", {"x": 7}) == 7


ACTIONS = "\n".join(
    f"twice{n} = defaction() {{ every {{ twice{n - 1}() twice{n - 1}() }} }}" for n in range(1, 61)
)
BODIES = {
    "a loop over large arrays": """
      select when hostile go
      foreach 1.range(100000) setting(x)
      foreach 1.range(100000) setting(y)
      noop()""",
    "a loop with a last round": """
      select when hostile go
      foreach 1.range(100000) setting(x)
      foreach 1.range(100000) setting(y)
      noop()
      always { ent:last := x on final }""",
    "a loop over a text": """
      select when hostile go
      foreach 1.range(100000) setting(x, i)
      foreach "abcdefghij" setting(y, j)
      noop()""",
    "actions that perform each other": """
      select when hostile go
      twice60()""",
    "a condition of an event expression": """
      select when hostile go where fib(60) > 1
      noop()""",
    "a limit of an event expression": """
      select when hostile go then hostile gone within fib(60) seconds
      noop()""",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_endless_parts_of_rules(body: str) -> None:
    engine = TestEngine()
    engine.install(
        "ruleset hostile { global { fib = function(n) { n < 2 => n | fib(n - 1) + fib(n - 2) }\n"
        f"twice0 = defaction() {{ noop() }}\n{ACTIONS} }}\n"
        f'rule r {{ {body} }} rule s {{ select when hostile go send_directive("s") }} }}'
    )
    engine.clock.look_ns = 10 * MS
    answer = engine.event("hostile", "go")
    assert [error["code"] for error in answer["errors"]] == ["R4024"]
    assert [d["name"] for d in answer["directives"]] == ["s"]


def test_each_rule_has_its_own_time() -> None:
    """Two thirds of a rule's time, several times in a turn, are no fault."""
    calls = int(rule_time_ms * 0.66) // 10 * work_between_looks
    rounds = f"1.range({calls}).map(function(x) {{ x }}).length()"
    engine = engine_with("1")
    engine.install(
        f"""ruleset busy {{
          rule one {{ select when hostile go pre {{ x = {rounds} }} send_directive("one") }}
          rule two {{ select when hostile go pre {{ x = {rounds} }} send_directive("two") }}
        }}"""
    )
    assert [name for name, _ in engine.directives("hostile", "go")][-2:] == ["one", "two"]


def test_all_rules_of_a_turn_have_a_time_together() -> None:
    calls = int(rule_time_ms * 0.66) // 10 * work_between_looks
    engine = engine_with("1")
    engine.install(
        f"""ruleset busy {{
          rule again {{
            select when busy go
            pre {{ x = 1.range({calls}).map(function(x) {{ x }}).length() }}
            always {{ raise busy event "go" if event:attrs{{"n"}} < 100
                      ent:n := ent:n.defaultsTo(0) + 1 }}
          }}
          rule last {{ select when busy go send_directive("quick") }}
        }}""".replace('"go" if', '"go" attributes {"n": event:attrs{"n"} + 1} if')
    )
    answer = engine.event("busy", "go", {"n": 0})
    assert [error["code"] for error in answer["errors"]] == ["R4024"]
    assert str(turn_time_ms) in answer["errors"][0]["error"]
    # The rules that were done stay done, and those that need little time still run.
    names = [d["name"] for d in answer["directives"]]
    assert len(names) == turn_time_ms // (int(rule_time_ms * 0.66) // 10 * 10) + 1


class GrowingClock(VirtualClock):
    """A process that grows whenever somebody looks."""

    def __init__(self, bytes_per_look: int) -> None:
        super().__init__(1_000_000)
        self.bytes_per_look = bytes_per_look

    def resident_bytes(self) -> int:
        self.resident += self.bytes_per_look
        return self.resident


def test_rule_may_not_take_all_memory() -> None:
    clock = GrowingClock(0)
    engine = TestEngine(clock=clock)
    engine.install(HOSTILE % {"value": "fib(60)", "chain": CHAIN})
    clock.look_ns, clock.bytes_per_look = 2 * turn_yield_ms * MS, rule_memory_bytes_max // 4
    (error,) = engine.event("hostile", "go")["errors"]
    assert error["code"] == "R4025"
    assert error["rule"] == "hostile"


def test_memory_that_others_take_is_not_the_rules() -> None:
    """It grows only while the turn makes way; the rule still ends by its time."""

    class Others(VirtualClock):
        def call_soon(self, fn: Any) -> None:
            self.resident += rule_memory_bytes_max
            super().call_soon(fn)

    clock = Others(1_000_000)
    engine = TestEngine(clock=clock)
    engine.install(HOSTILE % {"value": "fib(60)", "chain": CHAIN})
    clock.look_ns = 10 * MS
    assert [e["code"] for e in engine.event("hostile", "go")["errors"]] == ["R4024"]


def test_neighbours_go_on_meanwhile() -> None:
    """A rule that uses up all its time lets others run every few milliseconds."""
    engine = engine_with("fib(60)", look_ms=turn_yield_ms)
    engine.install(
        """ruleset parent { rule r { select when parent go
             every {
               ctx:newPico(rulesets=[{"url": "source:neighbour", "config": {}}]) setting(child)
               send_directive("child", {"eci": child})
             } } }"""
    )
    neighbour = """ruleset neighbour { rule r { select when a b send_directive("here") } }"""
    engine.wait(lambda done: engine.core.registry.add_source(neighbour, "source:neighbour", done))
    child = engine.directives("parent", "go")[0][1]["eci"]
    order: list[str] = []
    left = [20]

    def answered(_answer: Any) -> None:
        order.append("neighbour")
        left[0] -= 1
        if left[0]:
            engine.core.post(child, "a", "b", {}, answered)

    def ended(answer: Any) -> None:
        order.append("hostile" if not isinstance(answer, Fault) else "refused")

    engine.core.post(engine.root, "hostile", "go", {}, ended)
    engine.core.post(engine.root, "hostile", "nothing", {}, lambda _: order.append("behind"))
    engine.core.post(child, "a", "b", {}, answered)
    engine.run()
    assert order == ["neighbour"] * 20 + ["hostile", "behind"]


PATTERN = """ruleset patterns {
  rule slow {
    select when hostile go
    foreach 1.range(100) setting(x)
    if "aa".match(re#(.)\\1#) then noop()
  }
  rule after { select when hostile go send_directive("after") }
}
"""


class SlowHelper:
    """A helper process that takes its time, as it says, and then finds nothing."""

    def __init__(self, took_ms: int) -> None:
        self.took_ms = took_ms
        self.asked = 0

    def ask(self, request: Any) -> tuple[Any, int]:
        self.asked += 1
        return [], self.took_ms * MS


def test_time_of_the_pattern_helper_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    helper = SlowHelper(rule_time_ms // 4)
    monkeypatch.setattr("runtime.pattern_helper._helper", helper)
    engine = TestEngine()
    engine.install(PATTERN)
    answer = engine.event("hostile", "go")
    assert [(e["code"], e["rule"]) for e in answer["errors"]] == [("R4024", "slow")]
    assert [d["name"] for d in answer["directives"]] == ["after"]
    assert helper.asked == 5


def test_failure_of_the_pattern_helper_is_the_rules_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dead:
        def ask(self, request: Any) -> Any:
            raise Fault("R9001", "the pattern helper process does not start")

    monkeypatch.setattr("runtime.pattern_helper._helper", Dead())
    engine = TestEngine()
    engine.install(PATTERN)
    assert [e["code"] for e in engine.event("hostile", "go")["errors"]] == ["R9001"]


def test_others_run_while_the_pattern_helper_works(monkeypatch: pytest.MonkeyPatch) -> None:
    class Apart(VirtualClock):
        def run_aside(self, job: Any, done: Any) -> None:
            self.call_at(self.now_ms() + 100, lambda: done(job()))

    monkeypatch.setattr("runtime.pattern_helper._helper", SlowHelper(1))
    clock = Apart(1_000_000)
    engine = TestEngine(clock=clock)
    engine.install(PATTERN.replace("1.range(100)", "[1, 2]"))
    order: list[str] = []
    engine.core.post(engine.root, "hostile", "go", {}, lambda _: order.append("slow"))
    engine.run()
    assert order == []
    # The loop is free: a query is answered from the pico's last state.
    assert engine.query("patterns", "__testing")["events"]
    clock.advance(0.1)
    engine.run()
    assert order == []
    clock.advance(0.1)
    engine.run()
    assert order == ["slow"]


def test_deep_recursion_is_still_its_own_fault() -> None:
    engine = engine_with("fib(100000)", look_ms=0.001)
    assert [e["code"] for e in engine.event("hostile", "go")["errors"]] == ["R4010"]
