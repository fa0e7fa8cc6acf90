"""A ruleset that schedules what it is told to and writes down what comes, and its engine.

In: times relative to START. Out: what came, and how many rows there are. The engine runs in virtual
time, so a test states when things are due and moves the clock there.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from runtime.memory import MemoryStore
from tests.harness.engine import TestEngine

START = 1_000_000
CLOCK = """ruleset clock {
  meta { shares jobs, job, came, set }
  global {
    jobs = function() { schedule:list() }
    job = function(id) { schedule:get(id) }
    came = function() { ent:came.defaultsTo([]) }
    set = function() { ent:set.defaultsTo([]) }
  }
  rule at { select when t at
    fired {
      schedule t event "due" at event:attrs{"time"} attributes {"n": event:attrs{"n"}} setting(j);
      ent:set := set().append(j);
      ent:x := 1 - "x" if event:attrs{"fault"};
      ent:seen := schedule:list();
      ent:one := schedule:get(j{"id"}) } }
  rule repeat { select when t repeat
    fired { schedule t event "due" repeat event:attrs{"spec"} setting(j); ent:set := [j] } }
  rule dynamic { select when t dynamic
    fired { schedule event event:attrs{"event"} at event:attrs{"time"} } }
  rule bare { select when t bare where event:attrs{"n"}.isnull()
    fired { schedule t event "due" at 0 } }
  rule with { select when t with
    fired { schedule t event "due" at 0 attributes event:attrs{"attrs"} } }
  rule many { select when t many
    foreach 1.range(event:attrs{"count"}) setting(n)
    fired { schedule t event "due" at event:attrs{"time"} attributes {"n": n} } }
  rule remove { select when t remove
    schedule:remove(event:attrs{"id"})
    fired { ent:x := 1 - "x" if event:attrs{"fault"}; ent:seen := schedule:list() } }
  rule clear { select when t clear schedule:clear()
    fired { schedule t event "due" at event:attrs{"time"} attributes {"n": "kept"}
              if event:attrs{"time"};
            ent:seen := schedule:list() } }
  rule seen { select when t seen send_directive("seen", {"jobs": ent:seen, "one": ent:one}) }
  rule due { select when t due
    fired { ent:came := [] if ent:came.isnull();
            ent:came := ent:came.append([[event:attrs{"n"}, event:time]]) } }
  rule channel { select when t channel
    ctx:newChannel(["extra"], {"allow": [{"domain": "t", "name": "at"}], "deny": []},
                   {"allow": [], "deny": []}) setting(c)
    fired { raise t event "made" attributes c } }
  rule made { select when t made send_directive("made", event:attrs) }
  rule drop { select when t drop ctx:delChannel(event:attrs{"eci"}) }
}"""
OWNER = """ruleset owner {
  meta { shares children }
  global { children = function() { ctx:children } }
  rule make { select when o make
    ctx:newPico([{"url": "mem:clock"}, {"url": "mem:told"}]) }
  rule tell { select when o tell
    event:send({"eci": ctx:children[0], "domain": "t", "name": "at", "attrs": event:attrs}) }
  rule unmake { select when o unmake ctx:delPico(ctx:children[0]) }
  rule install { select when o install ctx:install(event:attrs{"url"}) }
  rule uninstall { select when o uninstall ctx:uninstall(event:attrs{"rid"}) }
  rule told { select when o told fired { raise o event "heard" attributes event:attrs } }
  rule heard { select when o heard fired { ent:heard := ent:heard.defaultsTo(0) + 1 } }
}"""
TOLD = """ruleset told {
  rule due { select when t due
    event:send({"eci": ctx:parent, "domain": "o", "name": "told", "attrs": event:attrs}) }
}"""


def clock(**options: Any) -> TestEngine:
    engine = TestEngine(start_ms=START, **options)
    engine.install(CLOCK)
    return engine


def again(engine: TestEngine, *, crash: bool = False, seed: int = 9) -> TestEngine:
    """The engine after a stop (or a crash) and a start."""
    engine.core.is_closing = True
    store = engine.store
    assert isinstance(store, MemoryStore)
    if crash:
        store = store.crash()
    return TestEngine(store, clock=engine.clock, seed=seed)


def at(engine: TestEngine, time: Any, n: Any = None, **more: Any) -> str:
    """Schedule one event; return the id of its job."""
    answer = engine.event("t", "at", {"time": time, "n": n, **more})
    assert "errors" not in answer, answer
    job: dict[str, Any] = engine.query("clock", "set")[-1]
    return str(job["id"])


def wait(engine: TestEngine, ms: int) -> None:
    """Let virtual time reach START + ms."""
    engine.clock.advance_to(START + ms)
    engine.run()


def came(engine: TestEngine) -> list[list[Any]]:
    """The (n, time - START) of the events that came."""
    return [[n, time - START] for n, time in engine.query("clock", "came")]


def numbers(engine: TestEngine) -> list[Any]:
    return [n for n, _ in engine.query("clock", "came")]


def rows(engine: TestEngine) -> Counter[bytes]:
    """How many rows there are by due time and by owner."""
    return Counter(key[:1] for key, _ in engine.store.scan("timer", b""))


def utc(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)
