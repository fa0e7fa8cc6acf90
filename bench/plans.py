"""What other engines are told to do: each workload as data, for the drivers in peers/.

In: the requests that ours and the limit row share. Out: plans, which are JSON. Invariant: a peer
gets the same rulesets, the same requests and the same expected answers as ours. Not here: how a
driver carries a plan out.

==========  ====================================================================================
kind        what else a plan has
==========  ====================================================================================
events      ruleset, picos (0: the root pico), requests, before, counter, has_times
queries     ruleset, before, name, args, value
broadcast   kids
ring        size, starts (how many picos begin at once), hops
family      deletes
==========  ====================================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.limit import Request
from bench.requests import KIDS

Plan = dict[str, Any]


def events_plan(
    ruleset: str,
    requests: Callable[[str], list[Request]],
    *,
    picos: int = 0,
    before: list[tuple[str, str, dict[str, Any]]] | None = None,
    counter: tuple[str, str] | None = None,
    has_times: bool = False,
) -> Plan:
    """Events that are waited for; `counter` is a query whose values sum up to their number."""
    return {
        "kind": "events",
        "ruleset": ruleset,
        "picos": picos,
        "before": before or [],
        "counter": counter,
        "has_times": has_times,
        "requests": [
            {
                "domain": request.domain,
                "name": request.name,
                "attrs": request.attrs,
                "expected": request.expected,
            }
            for request in requests("")
        ],
    }


def query_plan(
    ruleset: str, before: list[tuple[str, str, dict[str, Any]]], request: Request
) -> Plan:
    """One query, over and over, after some events."""
    return {
        "kind": "queries",
        "ruleset": ruleset,
        "before": before,
        "name": request.name,
        "args": request.attrs,
        "value": request.value,
    }


def broadcast_plan() -> Plan:
    """W5."""
    return {"kind": "broadcast", "kids": KIDS}


def ring_plan(starts: int, hops: int) -> Plan:
    """W6."""
    return {"kind": "ring", "size": KIDS, "starts": starts, "hops": hops}


def family_plan(deletes: bool) -> Plan:
    """W9."""
    return {"kind": "family", "deletes": deletes}
