"""Children, channels, rulesets: the structure of picos, and its commit with the turn."""

from __future__ import annotations

import pytest

from runtime.errors import Fault
from tests.harness.engine import TestEngine

PARENT = """ruleset parent {
  meta { shares children, channels, rulesets }
  global {
    children = function() { ctx:children }
    channels = function() { ctx:channels }
    rulesets = function() { ctx:rulesets.map(function(r) { r{"rid"} }) }
  }
  rule make { select when p make
    ctx:newPico(rulesets = [{"url": event:attrs{"url"}, "config": {"a": 1}}]) setting(eci)
    always { ent:child := eci; raise p event "made" attributes {"eci": eci}
             ent:x := 1 - "x" if event:attrs{"fault"} } }
  rule made { select when p made send_directive("made", event:attrs) }
  rule unmake { select when p unmake ctx:delPico(event:attrs{"eci"}) }
  rule tell { select when p tell
    event:send({"eci": event:attrs{"eci"}, "domain": "c", "type": "told", "attrs": event:attrs}) }
  rule channel { select when p channel
    ctx:newChannel(event:attrs{"tags"}, event:attrs{"events"}, event:attrs{"queries"}) setting(c)
    always { raise p event "channel_made" attributes c } }
  rule channel_made { select when p channel_made send_directive("channel", event:attrs) }
  rule drop { select when p drop ctx:delChannel(event:attrs{"eci"}) }
  rule install { select when p install ctx:install(event:attrs{"url"}) }
  rule uninstall { select when p uninstall ctx:uninstall(event:attrs{"rid"}) }
  rule lost { select when system undeliverable fired { ent:lost := event:attrs } }
}"""
CHILD = """ruleset child {
  meta { shares told, config }
  global {
    told = function() { ent:told.defaultsTo([]) }
    config = function() { meta:rulesetConfig }
  }
  rule told { select when c told
    fired { ent:told := ent:told.defaultsTo([]).append(event:attrs{"n"}) } }
  rule open { select when c open
    ctx:newChannel(["open"], null, null) setting(c)
    fired { raise c event "opened" attributes c } }
  rule opened { select when c opened
    event:send({"eci": ctx:parent, "domain": "p", "type": "channel_made", "attrs": event:attrs}) }
  rule tell { select when c told where event:attrs{"open"} fired { raise c event "open" } }
}"""


def family() -> tuple[TestEngine, str]:
    """An engine whose root has one child, and the parent's channel to it."""
    engine = TestEngine()
    engine.fetcher.texts["mem:child"] = CHILD
    engine.install(PARENT)
    answer = engine.event("p", "make", {"url": "mem:child"})
    assert "errors" not in answer, answer
    (made,) = answer["directives"]
    return engine, made["options"]["eci"]


def outside_channel(engine: TestEngine, eci: str) -> str:
    """A channel on the child that works from outside, made by the child itself."""
    engine.event("p", "tell", {"eci": eci, "open": True})
    shelf = engine.core.shelf
    channel = shelf.channel(eci)
    assert channel is not None
    pico = shelf.pico(channel.pico_id)
    assert pico is not None
    channels = engine.core.shelf.full(pico).channels
    assert channels is not None
    return next(c.eci for c in channels.values() if "open" in c.tags)


def test_a_child_is_made_with_its_rulesets_and_configuration() -> None:
    engine, eci = family()
    assert engine.query("parent", "children") == [eci]
    own = outside_channel(engine, eci)
    assert engine.query("child", "config", eci=own) == {"a": 1}
    assert engine.query("child", "told", eci=own) == [None]


def test_family_channels_do_not_work_from_outside() -> None:
    engine, eci = family()
    for channel in (eci, engine.core.root_id):
        with pytest.raises(Fault, match="family channel") as caught:
            engine.event("c", "told", eci=channel)
        assert caught.value.code == "R1004"


def test_a_faulting_rule_makes_no_child() -> None:
    engine = TestEngine()
    engine.fetcher.texts["mem:child"] = CHILD
    engine.install(PARENT)
    assert "errors" in engine.event("p", "make", {"url": "mem:child", "fault": True})
    assert engine.query("parent", "children") == []
    assert not list(engine.store.scan("eci", b""))[2:]


@pytest.mark.parametrize(
    ("url", "code"), [("mem:none", "R2012"), ("mem:bad", "R2007"), ("mem:fails", "R2010")]
)
def test_a_ruleset_that_cannot_be_had_makes_no_child(url: str, code: str) -> None:
    engine = TestEngine()
    engine.fetcher.texts["mem:bad"] = "ruleset bad { rule r { select when } }"
    engine.fetcher.texts["mem:fails"] = 'ruleset fails { global { x = ["a"].map(lc) - "b" } }'
    engine.install(PARENT)
    answer = engine.event("p", "make", {"url": url})
    assert answer["errors"][0]["code"] == code
    assert engine.query("parent", "children") == []


def test_sends_arrive_in_order_and_once() -> None:
    engine, eci = family()
    for n in range(5):
        engine.event("p", "tell", {"eci": eci, "n": n})
    own = outside_channel(engine, eci)
    assert engine.query("child", "told", eci=own)[:5] == [0, 1, 2, 3, 4]


def test_a_send_to_nowhere_is_a_dead_letter_and_the_sender_is_told() -> None:
    engine = TestEngine()
    engine.install(
        PARENT.replace("shares children", "shares lost, children").replace(
            "global {", "global { lost = function() { ent:lost }"
        )
    )
    answer = engine.event("p", "tell", {"eci": "nowhere", "n": 7})
    assert "errors" not in answer
    lost = engine.query("parent", "lost")
    assert (lost["eci"], lost["domain"], lost["name"], lost["code"]) == (
        "nowhere",
        "c",
        "told",
        "R1001",
    )
    (letter,) = engine.core.letters.recent()
    assert (letter["sender"], letter["attrs"]["n"]) == (engine.core.root_id, 7)


def test_deleting_a_child_takes_everything_below_it() -> None:
    engine, eci = family()
    own = outside_channel(engine, eci)
    assert engine.event("p", "unmake", {"eci": eci})["directives"] == []
    assert engine.query("parent", "children") == []
    for channel in (own, eci):
        with pytest.raises(Fault) as caught:
            engine.event("c", "told", eci=channel)
        assert caught.value.code == "R1005"
    engine.run()
    child_rows = [
        key for key, _ in engine.store.scan("pico", b"") if engine.core.root_id.encode() not in key
    ]
    assert child_rows == []
    again = TestEngine(engine.store, clock=engine.clock, seed=5)
    with pytest.raises(Fault) as caught:
        again.event("c", "told", eci=own)
    assert caught.value.code == "R1005"


def test_the_sender_is_told_of_what_waited_in_a_pico_that_died() -> None:
    engine, eci = family()
    engine.install(
        """ruleset burst { meta { shares lost } global { lost = function() { ent:lost } }
      rule burst { select when p burst foreach [1, 2, 3] setting(n)
        event:send({"eci": event:attrs{"eci"}, "domain": "c", "type": "told", "attrs": {"n": n}}) }
      rule lost { select when system undeliverable
        fired { ent:lost := ent:lost.defaultsTo([]).append(event:attrs{["attrs", "n"]}) } }
    }"""
    )
    answers: list[object] = []
    engine.core.post(engine.root, "p", "burst", {"eci": eci}, answers.append)
    engine.core.post(engine.root, "p", "unmake", {"eci": eci}, answers.append)
    engine.run()
    # The child ran one of the three before its parent's next turn deleted it.
    assert engine.query("burst", "lost") == [2, 3]
    assert [letter["code"] for letter in engine.core.letters.recent()] == ["R1005", "R1005"]
    assert list(engine.store.scan("inbox", b"")) == []


def test_only_the_family_channel_of_an_own_child_deletes_it() -> None:
    engine, eci = family()
    own = outside_channel(engine, eci)
    for wrong in (own, None, engine.root):
        (error,) = engine.event("p", "unmake", {"eci": wrong})["errors"]
        assert error["code"] == "R2016"
    assert engine.query("parent", "children") == [eci]


def test_channels_have_policies_that_are_checked_at_the_border() -> None:
    engine = TestEngine()
    engine.install(PARENT)
    policy = {"allow": [{"domain": "p", "name": "*"}], "deny": [{"domain": "*", "name": "drop"}]}
    queries = {"allow": [{"rid": "parent", "name": "children"}], "deny": []}
    (made,) = engine.event(
        "p", "channel", {"tags": ["My Tag"], "events": policy, "queries": queries}
    )["directives"]
    eci = made["options"]["id"]
    assert made["options"]["tags"] == ["my-tag"]
    engine.event("p", "other", eci=eci)
    with pytest.raises(Fault, match="Denied by channel policy"):
        engine.event("p", "drop", eci=eci)
    with pytest.raises(Fault, match="Not allowed by channel policy"):
        engine.event("q", "x", eci=eci)
    assert engine.query("parent", "children", eci=eci) == []
    with pytest.raises(Fault, match="Not allowed by channel policy"):
        engine.query("parent", "channels", eci=eci)
    engine.event("p", "drop", {"eci": eci})
    with pytest.raises(Fault, match="ECI not found"):
        engine.event("p", "other", eci=eci)


def test_rulesets_installed_and_removed_in_a_turn() -> None:
    engine = TestEngine()
    engine.fetcher.texts["mem:child"] = CHILD
    engine.install(PARENT)
    engine.event("p", "install", {"url": "mem:child"})
    assert engine.query("parent", "rulesets") == ["parent", "child"]
    engine.event("c", "told", {"n": 1})
    assert engine.query("child", "told") == [1]
    engine.event("p", "uninstall", {"rid": "child"})
    assert engine.query("parent", "rulesets") == ["parent"]
    engine.event("p", "install", {"url": "mem:child"})
    assert engine.query("child", "told") == []


def test_a_ruleset_may_uninstall_itself_while_it_runs() -> None:
    engine = TestEngine()
    engine.install(
        "ruleset s { meta { shares v } global { v = function() { ent:v } }"
        " rule go { select when s go ctx:uninstall(meta:rid) fired { ent:v := 1 } } }"
    )
    assert "errors" not in engine.event("s", "go")
    with pytest.raises(Fault, match="installed"):
        engine.query("s", "v")
    engine.install("ruleset s { meta { shares v } global { v = function() { ent:v } } }")
    assert engine.query("s", "v") is None
