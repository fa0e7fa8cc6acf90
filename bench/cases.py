"""Which cases are measured: each workload in its variants, with limit rows and peers.

In: nothing. Out: `CASES`. A case whose `size` is set is also a point of a chart of cost against
size. Those that the short form can do without are `is_extra`. Not here: what a case does
(workloads.py), what it asks and what its limit row stores (requests.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

import msgspec

from bench import plans, workloads
from bench.limit import Plan, Request
from bench.measure import Subject
from bench.requests import (
    HOPS,
    KIDS,
    accepted_rows,
    all_request,
    automata_rows,
    burst_requests,
    chain_requests,
    child_rows,
    counter_rows,
    create_requests,
    delete_requests,
    entries,
    entry_requests,
    entry_rows,
    expression_requests,
    gone_rows,
    hello_requests,
    inc_requests,
    level_rows,
    one_request,
    plan,
    salience_requests,
    spread_rows,
    start_requests,
)
from runtime import Engine

ALL = ("fsync", "os", "memory")
FSYNC = ("fsync",)


class Size(NamedTuple):
    """A point of a chart: how much there is of what grows along its axis."""

    axis: str
    value: int


class Measured(msgspec.Struct, frozen=True):
    """One measured row: a workload in one variant.

    `count` operations a repeat (`quick` in the short form), `flight` of them under way; one
    operation is `units` times the thing that `unit` names. `peer` is what another engine is told;
    `grows` says that operations leave picos.
    """

    workload: str
    variant: str
    count: int
    quick: int
    flight: int
    storages: tuple[str, ...]
    limits: dict[str, Callable[[], Plan]]
    unit: str = "events"
    units: int = 1
    peer: Callable[[], plans.Plan] | None = None
    grows: bool = False
    size: Size | None = None
    is_extra: bool = False

    @property
    def name(self) -> str:
        return f"{self.workload}/{self.variant}"


class Case(Measured, frozen=True, kw_only=True):
    """A row whose engine is a library; with `counts_ids` it needs CountingIds."""

    ours: Callable[[Engine], Awaitable[Subject]]
    counts_ids: bool = False


def _again(
    case: Case, variant: str, count: int, quick: int, flight: int = 1, is_on_all: bool = False
) -> Case:
    """A case in another variant."""
    return msgspec.structs.replace(
        case,
        variant=variant,
        count=count,
        quick=quick,
        flight=flight,
        storages=ALL if is_on_all else FSYNC,
    )


# --- One pico -------------------------------------------------------------------------------------

COUNTED = ("bench.counter", "n")


def _hello() -> list[Case]:
    first = Case(
        *("W1", "sequential", 2000, 300, 1, FSYNC),
        ours=workloads.hello,
        limits={"limit": plan(hello_requests)},
        peer=partial(plans.events_plan, "bench.hello", hello_requests),
    )
    return [first, _again(first, "64-in-flight", 10_000, 4000, 64)]


def _counter() -> list[Case]:
    first = Case(
        *("W2", "sequential", 800, 100, 1, ALL),
        ours=workloads.counter,
        limits={
            "limit": plan(inc_requests, counter_rows),
            "limit, merged rows": plan(inc_requests, counter_rows, merge=True),
        },
        peer=partial(plans.events_plan, "bench.counter", inc_requests, counter=COUNTED),
        size=Size("in flight", 1),
    )
    more = []
    for flight, count, quick in (
        (64, 10_000, 4000),
        (4, 1000, 200),
        (16, 4000, 800),
        (256, 10_000, 4000),
    ):
        case = _again(first, f"{flight}-in-flight", count, quick, flight, is_on_all=flight == 64)
        size = Size("in flight", flight)
        more.append(msgspec.structs.replace(case, size=size, is_extra=flight != 64))
    return [first, *more, *(_spread(picos) for picos in (1, 10, KIDS, 1000))]


def _spread(picos: int) -> Case:
    """W2 on so many picos."""
    is_extra = picos != KIDS
    return Case(
        *("W2", f"{picos}-pico{'s' if picos > 1 else ''}/64-in-flight", 10_000, 4000, 64),
        FSYNC if is_extra else ALL,
        ours=partial(workloads.counters, picos),
        limits={"limit": plan(inc_requests, partial(spread_rows, picos))},
        peer=partial(
            plans.events_plan, "bench.counter", inc_requests, picos=picos, counter=COUNTED
        ),
        size=Size("picos", picos),
        is_extra=is_extra,
    )


def _salience(rules: int) -> Case:
    """W3."""
    requests = partial(salience_requests, rules)
    return Case(
        *("W3", f"{rules}-rules/64-in-flight", 10_000, 3000, 64, FSYNC),
        ours=partial(workloads.salience, rules),
        limits={"limit": plan(requests)},
        peer=partial(plans.events_plan, f"bench.salience{rules}", requests),
        is_extra=rules == 100,
        size=Size("rules", rules),
    )


def _expressions() -> list[Case]:
    first = Case(
        *("W4", "sequential", 800, 96, 1, FSYNC),
        ours=workloads.expressions,
        limits={
            "limit": plan(expression_requests, automata_rows),
            "limit, merged rows": plan(expression_requests, automata_rows, merge=True),
        },
        peer=partial(plans.events_plan, "bench.expr", expression_requests, has_times=True),
    )
    return [first, _again(first, "64-in-flight", 9600, 3200, 64, is_on_all=True)]


def _entries(size: int) -> Case:
    """One entry of a stored map of so many is changed by each event."""
    requests = partial(entry_requests, size)
    counted = ("bench.entries", "n")
    return Case(
        *("entries", f"set-one-of-{size}/64-in-flight", 10_000, 3000, 64, FSYNC),
        ours=partial(workloads.entries, size),
        limits={"limit": plan(requests, entry_rows)},
        peer=lambda: plans.events_plan(
            "bench.entries",
            requests,
            before=[("entries", "fill", {"map": entries(size)})],
            counter=counted,
        ),
        size=Size("entries", size),
        is_extra=size != KIDS,
    )


def _raises(variant: str, requests: Callable[[str], list[Request]]) -> Case:
    """W7: ten raises an operation."""
    return Case(
        *("W7", variant, 1000, 200, 1, FSYNC),
        ours=partial(workloads.raises, requests),
        limits={"limit": plan(requests, inner=10)},
        unit="raises",
        units=10,
        peer=partial(plans.events_plan, "bench.chain", requests),
    )


def _asked(request: Callable[[str], Request]) -> Case:
    """W8: one query."""
    return Case(
        *("W8", "all/sequential", 1000, 200, 1, FSYNC),
        ours=partial(workloads.queries, request),
        limits={"limit": plan(lambda eci: [request(eci)])},
        peer=partial(plans.query_plan, "bench.query", [("q", "fill", {})], request("")),
    )


def _queries() -> list[Case]:
    whole, entry = _asked(all_request), _asked(one_request)
    return [
        msgspec.structs.replace(whole, is_extra=True),
        _again(whole, "all/64-in-flight", 4000, 1000, 64),
        _again(entry, "one/64-in-flight", 10_000, 3000, 64),
    ]


# --- Several picos --------------------------------------------------------------------------------


def _broadcast() -> Case:
    return Case(
        *("W5", "one-broadcast", 60, 15, 1, ALL),
        ours=workloads.broadcast,
        limits={"limit": plan(start_requests("control", "broadcast", 1), level_rows, inner=KIDS)},
        unit="sends",
        units=KIDS,
        counts_ids=True,
        peer=plans.broadcast_plan,
    )


def _ring(variant: str, starts: int, hops: int, count: int, storages: tuple[str, ...]) -> Case:
    """W6: events from so many picos at once."""
    steps = starts * hops
    limit = plan(start_requests("ring", "hop", HOPS), accepted_rows, inner=steps - (starts == 1))
    return Case(
        *("W6", variant, count, max(1, count // 3), 1, storages),
        ours=partial(workloads.ring, starts, hops),
        limits={"limit": limit},
        unit="hops",
        units=steps,
        counts_ids=True,
        peer=partial(plans.ring_plan, starts, hops),
        is_extra=starts > 1,
    )


def _family() -> list[Case]:
    create = Case(
        *("W9", "create", 100, 30, 1, ALL),
        ours=partial(workloads.family, False),
        limits={"limit": plan(create_requests, child_rows, inner=1)},
        peer=partial(plans.family_plan, False),
        grows=True,
    )
    delete = Case(
        *("W9", "delete", 100, 30, 1, ALL),
        ours=partial(workloads.family, True),
        limits={"limit": plan(delete_requests, gone_rows)},
        peer=partial(plans.family_plan, True),
    )
    return [create, delete]


CASES = (
    *_hello(),
    *_counter(),
    *(_salience(rules) for rules in (10, 100, 1000)),
    *_expressions(),
    _broadcast(),
    _ring("10-laps-of-100", 1, HOPS, 6, ALL),
    _ring("one-lap-from-each-of-64", 64, KIDS, 2, FSYNC),
    _raises("chain-of-10", chain_requests),
    _raises("burst-of-10", burst_requests),
    *_queries(),
    *(_entries(size) for size in (10, KIDS, 1000, 10_000)),
    *_family(),
)
