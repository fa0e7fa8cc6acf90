"""A ruleset that remembers the attributes of chosen events, for tests to ask."""

from __future__ import annotations

from typing import Any

from tests.system.stage import Family

RID = "spy"


def spy(*events: str) -> str:
    """The source of a ruleset that hears these events (`domain:name`)."""
    rules = "\n".join(
        f"""  rule hear_{number} {{
    select when {event.replace(":", " ")}
    fired {{ ent:heard := heard().append({{"event": "{event}"}}.put(event:attrs)) }}
  }}"""
        for number, event in enumerate(events)
    )
    return f"""ruleset {RID} {{
  meta {{ shares heard }}
  global {{ heard = function() {{ ent:heard.defaultsTo([]) }} }}
{rules}
}}"""


def put_spy(family: Family, *events: str) -> None:
    """Have the root hear these events from now on."""
    family.engine.install(spy(*events))


def heard(family: Family) -> list[dict[str, Any]]:
    """What the root's spy has heard: the events' attributes, with the event itself as `event`."""
    found: list[dict[str, Any]] = family.query("root", RID, "heard")
    return found
