"""The authority graph: who can reach whom, and that nothing outside it is ever reached."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.authority import as_dot, as_text, authority
from runtime.errors import Fault
from runtime.limits import call_depth_max
from tests.harness.engine import TestEngine, TextFetcher
from tests.system.stage import Family

# An engine needs this limit, and hypothesis minds when it changes within an example.
sys.setrecursionlimit(max(sys.getrecursionlimit(), 3 * call_depth_max))

RELAY = """ruleset relay {
  meta { shares heard }
  global { heard = function() { ent:heard.defaultsTo(0) } }
  rule meet { select when relay meet
    fired { ent:peers := ent:peers.defaultsTo([]).append(event:attrs{"eci"}) } }
  rule hear { select when relay pass or relay other or else pass
    fired { ent:heard := heard() + 1 } }
  rule pass { select when relay pass or relay other or else pass
    foreach ent:peers.defaultsTo([]).append(ctx:children) setting(eci)
    if event:attrs{"hops"} > 0 then event:send({
      "eci": eci, "domain": event:domain, "name": event:name,
      "attrs": {"hops": event:attrs{"hops"} - 1} }) }
}"""
MAKER = """ruleset maker {
  rule make { select when maker make
    ctx:newPico([{"url": "mem:relay"}], {"channels": event:attrs{"channels"}}) }
}"""
EVENTS = (("relay", "pass"), ("relay", "other"), ("else", "pass"))
RULES = st.lists(
    st.sampled_from([*EVENTS, ("relay", "*"), ("*", "pass"), ("*", "*")]), max_size=2, unique=True
)


@st.composite
def networks(draw: st.DrawFn) -> dict[str, Any]:
    """Picos with channels of random policies, random acquaintances, and random calls."""
    count = draw(st.integers(2, 4))
    channels = [
        draw(st.lists(st.tuples(RULES, RULES), min_size=1, max_size=2)) for _ in range(count)
    ]
    places = [(i, j) for i in range(count) for j in range(len(channels[i]))]
    meetings = draw(
        st.lists(st.tuples(st.integers(0, count - 1), st.sampled_from(places)), max_size=6)
    )
    return {
        "channels": channels,
        "meetings": meetings,
        "start": draw(st.sampled_from(places)),
        "event": draw(st.sampled_from(EVENTS)),
        "hops": draw(st.integers(0, 4)),
    }


class Network:
    """An engine with the picos of a drawn network; `picos[i]` is an id, `ecis[i][j]` a channel."""

    def __init__(self, drawn: dict[str, Any]) -> None:
        fetcher = TextFetcher()
        fetcher.texts["mem:relay"] = RELAY
        self.engine = engine = TestEngine(fetcher=fetcher)
        engine.install(MAKER)
        for policies in drawn["channels"]:
            channels = [
                {
                    "tags": [f"n{number}"],
                    "eventPolicy": policy("domain", *pairs),
                    "queryPolicy": policy("rid", *reversed(pairs)),
                }
                for number, pairs in enumerate(policies)
            ]
            assert "errors" not in engine.event("maker", "make", {"channels": channels})
        shelf = engine.core.shelf
        root = shelf.pico(engine.core.root_id)
        assert root is not None
        family = dict(shelf.full(root).children or {})
        self.picos = list(family.values())
        self.family = list(family)
        self.ecis = [[self._eci(pico, f"n{n}") for n in range(2)] for pico in self.picos]
        for who, (whom, channel) in drawn["meetings"]:
            attrs = {"eci": self.ecis[whom][channel]}
            engine.event("relay", "meet", attrs, self.family[who], sender=root.id)

    def _eci(self, pico_id: str, tag: str) -> str:
        pico = self.engine.core.shelf.pico(pico_id)
        assert pico is not None
        channels = self.engine.core.shelf.full(pico).channels or {}
        return next((eci for eci, one in channels.items() if one.tags == (tag,)), "")

    def heard(self) -> set[str]:
        """Who heard anything."""
        core = self.engine.core
        found = set()
        for pico_id in self.picos:
            count = self.engine.wait(
                lambda done, p=pico_id: core.post_query(p, "relay", "heard", {}, done, sender=p)
            )
            if count:
                found.add(pico_id)
        return found


def policy(first: str, allow: list[tuple[str, str]], deny: list[tuple[str, str]]) -> dict[str, Any]:
    return {
        "allow": [{first: a, "name": b} for a, b in allow],
        "deny": [{first: a, "name": b} for a, b in deny],
    }


def matches(pairs: list[str], call: tuple[str, str]) -> bool:
    split = (one.replace("/", ":").split(":") for one in pairs)
    return any(a in ("*", call[0]) and b in ("*", call[1]) for a, b in split)


def allows(grant: dict[str, Any], call: tuple[str, str], kind: str = "events") -> bool:
    policy = grant[kind]
    return matches(policy["allow"], call) and not matches(policy["deny"], call)


def reached(graph: dict[str, Any], eci: str, event: tuple[str, str]) -> set[str]:
    """Everybody whom an event from outside over one channel can lead to, over what picos hold."""
    pending = [
        grant["to"]
        for grant in graph["grants"]
        if grant["eci"] == eci and grant["how"] == "outside" and allows(grant, event)
    ]
    found: set[str] = set()
    while pending:
        pico_id = pending.pop()
        if pico_id not in found:
            found.add(pico_id)
            pending += [
                grant["to"]
                for grant in graph["grants"]
                if grant["from"] == pico_id and allows(grant, event)
            ]
    return found


@settings(max_examples=60, deadline=None)
@given(networks())
def test_an_event_reaches_nobody_outside_the_graph(drawn: dict[str, Any]) -> None:
    network = Network(drawn)
    graph = authority(network.engine.core)
    who, channel = drawn["start"]
    eci = network.ecis[who][channel]
    expected = reached(graph, eci, drawn["event"])
    try:
        network.engine.event(*drawn["event"], {"hops": drawn["hops"]}, eci)
    except Fault:
        assert expected == set()
    heard = network.heard()
    assert heard <= expected
    # With hops enough for every path, the graph says no more than what is true, either.
    if drawn["hops"] == 4:
        assert heard == expected


@settings(max_examples=60, deadline=None)
@given(networks(), st.data())
def test_a_call_is_taken_only_where_the_graph_has_a_grant(
    drawn: dict[str, Any], data: st.DataObject
) -> None:
    network = Network(drawn)
    core = network.engine.core
    graph = authority(core)
    every = sorted({grant["eci"] for grant in graph["grants"]} | set(network.picos))
    eci = data.draw(st.sampled_from(every))
    sender = data.draw(st.sampled_from([None, core.root_id, *network.picos]))
    kind = data.draw(st.sampled_from(["events", "queries"]))
    granted = any(
        grant["eci"] == eci
        and (grant["how"] == "outside" or (grant["from"] == sender and grant["how"] != "held"))
        and allows(grant, drawn["event"], kind)
        for grant in graph["grants"]
    )
    # To itself a pico can always send.
    granted = granted or sender == eci
    refusal = None
    try:
        if kind == "events":
            network.engine.event(*drawn["event"], {"hops": 0}, eci, sender=sender)
        else:
            ask = partial(core.post_query, eci, *drawn["event"], {}, sender=sender)
            network.engine.wait(lambda done: ask(done))
    except Fault as fault:
        refusal = fault.code
    # A query that a channel lets in may ask for what is not there.
    taken = (None,) if kind == "events" else (None, "R2005", "R2006")
    assert refusal in (taken if granted else ("R1002", "R1003", "R1004"))


# --- What it shows --------------------------------------------------------------------------------


def grants_to(graph: dict[str, Any], pico_id: str) -> Iterator[tuple[Any, ...]]:
    for one in graph["grants"]:
        if one["to"] == pico_id:
            yield one["how"], one["from"], tuple(one["tags"]), one["where"]


def test_it_finds_what_picos_keep_wherever_they_keep_it() -> None:
    keeper = """ruleset keeper {
      rule keep { select when k keep
        fired {
          ent:plain := "http://x/c/" + event:attrs{"eci"} + "/event"
          ent:many := 0.range(50).map(function(n) { {"n": n}.put(["e"], event:attrs{"eci"}) })
          ent:map{[event:attrs{"eci"}]} := 1
          schedule k event "later" at time:add(time:now(), {"days": 1}) attributes event:attrs
        } }
      rule both { select when k one eci re#(.+)# setting(e) before k two
        send_directive("e", {"e": e}) } }"""
    family = Family()
    family.child("bob")
    family.child("carl")
    bob, carl = family["bob"], family["carl"]
    eci = family.eci("carl", "engine", "ui")
    core = family.engine.core
    module = family.engine.wait(lambda done: core.registry.add_source(keeper, "mem:keeper", done))
    family.engine.wait(
        lambda done: core.install(bob.id, module, "mem:keeper", {"friend": eci}, done)
    )
    family.tell("bob", "k", "keep", {"eci": eci})
    family.tell("bob", "k", "one", {"eci": eci})
    family.engine.run()
    found = {where for how, who, _, where in grants_to(authority(core), carl.id) if who == bob.id}
    assert found == {
        "keeper, configuration",
        *(f"keeper, ent:{name}" for name in ("plain", "many", "map")),
        "keeper, timers",
        "event expressions",
    }


def test_text_and_dot_say_who_reaches_whom() -> None:
    family = Family()
    family.child("bob", pico_ceiling={"eventPolicy": policy("domain", [("engine_ui", "*")], [])})
    family.child("carl", "bob")
    core = family.engine.core
    graph = authority(core)
    root, bob, carl = (family[name].id for name in ("root", "bob", "carl"))
    assert [one["name"] for one in graph["picos"]] == ["Pico", "bob", "carl"]
    assert ("parent", root, ("system", "child"), "") in set(grants_to(graph, bob))
    assert ("child", carl, ("system", "parent"), "") in set(grants_to(graph, bob))
    text = as_text(graph)
    lines = text.splitlines()
    at = lines.index(f"bob ({bob[:6]}…)")
    assert lines[at + 1] == "  ceiling: events engine_ui:*; all queries"
    assert f"  its parent Pico ({root[:6]}…): everything" in lines[at:]
    assert f"  its child carl ({carl[:6]}…): everything" in lines[at:]
    assert any(line.startswith("  the outside over ") and "[engine ui]" in line for line in lines)
    dot = as_dot(graph)
    assert dot.startswith("digraph authority {\n")
    assert dot.count(" -> ") == len(graph["grants"])
    assert f'"{root}" -> "{bob}" [label="system child\\neverything", color=grey]' in dot
    # Of a subtree, with those beyond it as strangers.
    below = authority(core, family.eci("bob", "engine", "ui"))
    assert [one["name"] for one in below["picos"]] == ["bob", "carl"]
    assert root in as_dot(below)
    assert as_text(below).startswith("bob (")
