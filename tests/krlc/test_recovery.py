"""Going on after an error: every fault is found once, and nothing follows from it."""

import pytest

from krlc.parser import ERRORS_MAX, parse
from krlc.source import Source

GOOD = """ruleset a.b {
  meta {
    shares f
  }
  global {
    f = function(x) { x + 1 }
    g = {"a": [1, 2]}
  }
  rule one {
    select when a b
    if f(1) > 0 then
      send_directive("x", {"a": g})
    fired {
      ent:x := 1
      raise a event "c"
    }
  }
  rule two is active {
    select when c d
    foreach g setting(v)
    every {
      noop()
      noop()
    }
  }
  rule three {
    select when e f k re#(.)# setting(k)
    noop()
    always {
      log info "done"
    }
  }
}
"""

# Each breaks the text in one place: what is replaced, by what, and the codes this must give.
FAULTS = [
    ("shares f", "shars f", ["K0222"]),
    ("function(x)", "function(x", ["K0201"]),
    ("x + 1", "x + ", ["K0202"]),
    ("[1, 2]", "[1,, 2]", ["K0202"]),
    ('{"a": [1', "{a: [1", ["K0208"]),
    ("select when a b", "selct when a b", ["K0201"]),
    ("> 0 then", "> 0", ["K0201"]),
    ('"done"', '"done', ["K0102"]),
    ("ent:x := 1", "ent:x = 1", ["K0201"]),
    ('event "c"', "event 'c'", ["K0101"]),
    ("foreach g setting(v)", "foreach g", ["K0201"]),
    ("      noop()\n      noop()", "      noop(\n      noop()", ["K0201"]),
    ("re#(.)#", "re#(.#", ["K0106"]),
    ("log info", "log", ["K0217"]),
    ("rule three", "rule", ["K0206"]),
    ("is active", "is on", ["K0219"]),
]


@pytest.mark.parametrize(("old", "new", "codes"), FAULTS, ids=[fault[1] for fault in FAULTS])
def test_recovery_one_fault(old: str, new: str, codes: list[str]) -> None:
    text = GOOD.replace(old, new, 1)
    assert text != GOOD
    _, found = parse(Source(text, "a.krl"))
    assert [d.code for d in found] == codes, found


def test_recovery_finds_faults_of_all_rules() -> None:
    text = GOOD.replace("x + 1", "x + ").replace("> 0 then", "> 0").replace("log info", "log")
    _, found = parse(Source(text.replace("foreach g", "foreach"), "a.krl"))
    lines = [Source(text, "a").point(d.span.start).line for d in found]
    assert lines == [6, 12, 20, 30]


def test_recovery_stops_at_limit() -> None:
    rules = "\n".join(f"rule r{i} {{\n  select a\n}}" for i in range(50))
    _, found = parse(Source(f"ruleset a {{\n{rules}\n}}", "a.krl"))
    assert len(found) == ERRORS_MAX
    assert {d.code for d in found} == {"K0214"}


def test_recovery_one_error_a_line() -> None:
    _, found = parse(Source("ruleset a { global { x = ; y = ; z = } }", "a.krl"))
    assert [d.span.start for d in found] == [25]


HOSTILE = [
    "}" * 50_000,
    "(" * 1_500 + "}" * 50_000,
    '\\"\n' * 20_000,
    "/* " * 50_000,
    "x = = \n" * 20_000,
    "<< " * 50_000,
    "rule r {\n" * 10_000,
    "ruleset a { global { " + "x = 'a'\n" * 10_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_recovery_ends(text: str) -> None:
    root, found = parse(Source(text, "hostile.krl"))
    assert root is None
    assert 1 <= len(found) <= ERRORS_MAX
