"""Engines whose root picos talk to each other: what tests of sends between engines share.

In: a simulated network. Out: sites with the ruleset `talk`, which numbers what it sends for each
tag and keeps what it hears and what comes back.
"""

from __future__ import annotations

from typing import Any

from runtime.clock import VirtualClock
from tests.harness.network import SimulatedNetwork, Site

START_MS = 1_700_000_000_000
TALK = """ruleset talk {
  meta { shares log, sent, lost, kids }
  global {
    log = function() { ent:log.defaultsTo({}) }
    sent = function() { ent:sent.defaultsTo({}) }
    lost = function() { ent:lost.defaultsTo([]) }
    kids = function() { ctx:children }
  }
  rule say { select when t say
    foreach event:attrs{"to"} setting(to)
      pre { tag = to{"tag"} n = ent:sent{tag}.defaultsTo(0) + 1 }
      event:send({"eci": to{"eci"}, "domain": "t", "type": to{"type"}.defaultsTo("heard"),
                  "attrs": {"from": tag, "n": n, "_headers": {"x": 1}}}, to{"host"})
      fired { ent:sent{tag} := n } }
  rule fail { select when t say where event:attrs{"fail"}
    foreach event:attrs{"to"} setting(to)
      event:send({"eci": to{"eci"}, "domain": "t", "type": "heard", "attrs": {}}, to{"host"})
      always { ent:x := 1 - "x" on final } }
  rule heard { select when t heard or t denied
    fired { ent:log{event:attrs{"from"}} :=
              ent:log{event:attrs{"from"}}.defaultsTo([]).append(event:attrs{"n"});
            ent:headers := event:attrs{"_headers"} } }
  rule heads { select when t heads send_directive("heads", {"h": ent:headers, "at": event:eid}) }
  rule lost { select when system undeliverable
    fired { ent:lost := ent:lost.defaultsTo([]).append(event:attrs) } }
  rule open { select when t open
    ctx:newChannel(["t"], event:attrs{"policy"}, null) setting(c)
    fired { raise t event "opened" attributes c } }
  rule opened { select when t opened send_directive("opened", event:attrs) }
  rule shut { select when t shut ctx:delChannel(event:attrs{"eci"}) }
  rule bear { select when t bear ctx:newPico([]) setting(c) }
  rule prune { select when t prune foreach ctx:children setting(c) ctx:delPico(c) }
}"""
ONLY_HEARD = {"allow": [{"domain": "t", "name": "heard"}], "deny": []}


def sites(count: int = 2, *, network: SimulatedNetwork | None = None, **how: Any) -> list[Site]:
    """Some engines with the ruleset on their roots, and a network between them."""
    network = network or SimulatedNetwork(VirtualClock(START_MS))
    found = [Site(network, f"http://{name}", **how) for name in "abcdef"[:count]]
    for site in found:
        site.install(TALK)
    return found


def to(site: Site, tag: str = "x", *, eci: str = "", **more: Any) -> dict[str, Any]:
    """One thing that `say` sends."""
    return {"eci": eci or site.root, "host": site.host, "tag": tag, **more}


def channel(site: Site, policy: Any = None) -> str:
    """A new channel on the site's root."""
    (made,) = site.event("t", "open", {"policy": policy})["directives"]
    eci: str = made["options"]["id"]
    return eci


def pass_time(site: Site, seconds: float = 1.0) -> None:
    site.network.clock.advance(seconds)
