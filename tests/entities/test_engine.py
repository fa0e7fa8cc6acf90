"""Collections under real rules: what the compiler recognises, faults, crashes, waking again."""

from typing import Any

from runtime.memory import MemoryStore
from tests.harness.engine import TestEngine

SOURCE = """ruleset test.collections {
  meta { shares all, one, size }
  global {
    all = function() { {"m": ent:m, "a": ent:a} }
    one = function(key) { ent:m{key} }
    size = function() { ent:m.length() }
  }
  rule fill {
    select when do fill
    foreach 0.range(event:attr("upto")) setting (i)
    fired {
      ent:m{"k" + i} := {"n": i};
      ent:a := ent:a.defaultsTo([]).append(i);
    }
  }
  rule set { select when do set fired { ent:m{[event:attr("key"), "n"]} := event:attr("value") } }
  rule add { select when do add fired { ent:a := ent:a.append(event:attr("value")) } }
  rule put { select when do put fired { ent:m := ent:m.put(event:attr("key"), "put") } }
  rule drop { select when do drop fired { ent:m := ent:m.delete(event:attr("key")) } }
  rule fail {
    select when do fail
    pre { old = ent:m }
    fired {
      ent:m{"k3"} := "lost";
      ent:m := ent:m.delete("k4");
      ent:a := old.values();
      ent:a := ent:a.append(old{"k3"});
      ent:a := "text" - 1
    }
  }
  rule swap {
    select when do swap
    pre { old = ent:m }
    fired {
      ent:m{"k5"} := "new";
      ent:was := old{"k5"};
      ent:m{"was"} := ent:was
    }
  }
  rule clear { select when do clear fired { clear ent:m; clear ent:a } }
}
"""
REMOVER = """ruleset test.remover {
  rule remove { select when do remove every { ctx:uninstall("test.collections") } }
}
"""
ID = "test.collections"


def filled() -> TestEngine:
    """An engine with 61 entries and elements."""
    made = TestEngine()
    made.install(SOURCE)
    assert "errors" not in made.event("do", "fill", {"upto": 60})
    return made


def rows(made: TestEngine) -> list[bytes]:
    """The keys of all rows of the ruleset's variables."""
    return [key for key, _ in made.store.scan("pico", b"") if ID.encode() + b"\0" in key]


def test_changes_survive_sleep() -> None:
    made = filled()
    made.event("do", "set", {"key": "k7", "value": "set"})
    made.event("do", "add", {"value": ["x", "y"]})
    made.event("do", "put", {"key": "new"})
    made.event("do", "drop", {"key": "k8"})
    made.event("do", "swap")
    expected: dict[str, Any] = {f"k{i}": {"n": i} for i in range(61) if i != 8}
    expected["k7"] = {"n": "set"}
    expected["new"] = "put"
    expected["k5"] = "new"
    expected["was"] = {"n": 5}
    both = {"m": expected, "a": [*range(61), "x", "y"]}
    assert made.query(ID, "all") == both
    again = TestEngine(made.store)
    assert again.query(ID, "one", {"key": "k7"}) == {"n": "set"}
    assert again.query(ID, "size") == len(expected)
    found = again.query(ID, "all")
    assert found == both
    assert list(found["m"]) == list(expected)


def test_a_faulting_rule_leaves_collections_alone() -> None:
    made = filled()
    before = made.query(ID, "all")
    for _ in range(2):
        assert made.event("do", "fail")["errors"]
        assert made.query(ID, "all") == before
    assert list(made.query(ID, "all")["m"]) == list(before["m"])


def test_a_crash_loses_whole_events_only() -> None:
    made = filled()
    before = made.query(ID, "all")
    assert isinstance(made.store, MemoryStore)
    core = made.core
    for i in range(20):
        core.post(made.root, "do", "set", {"key": f"k{i}", "value": "lost"}, lambda _: None)
        core.post(made.root, "do", "add", {"value": i}, lambda _: None)
    core.committer.flush()
    again = TestEngine(made.store.crash())
    assert again.query(ID, "all") == before


def test_clearing_and_uninstalling_leave_no_rows() -> None:
    made = filled()
    assert len(rows(made)) > 61
    made.event("do", "clear")
    assert rows(made) == []
    made.event("do", "fill", {"upto": 60})
    made.install(REMOVER)
    assert "errors" not in made.event("do", "remove")
    assert rows(made) == []
    made.install(SOURCE)
    assert made.query(ID, "all") == {"m": None, "a": None}
