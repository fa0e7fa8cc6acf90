"""W1 to W9: what one operation of each is for our engine, and which cases are measured.

In: an open engine. Out: subjects to be measured, whose answers and end state are checked; `CASES`,
each with the plans of its limit rows. The rulesets are those that other engines are timed with,
byte for byte. Not here: what is asked (requests.py), timing (measure.py), and the start-up part of
W9 (stored.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from bench.limit import Plan, Request
from bench.measure import Done, Subject, ask
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
    url_of,
)
from runtime.clock import RealIds
from runtime.library import Engine
from runtime.structure import new_channel, new_pico

RULESETS = Path(__file__).parent / "rulesets"
ALL = ("fsync", "os", "memory")
FSYNC = ("fsync",)


class CountingIds(RealIds):
    """Real identifiers, counted: each send takes one, so hops can be told from answers."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = 0

    def eid(self) -> str:
        self.taken += 1
        return super().eid()


class Case(msgspec.Struct, frozen=True):
    """One measured row: a workload in one variant.

    `count` operations a repeat (`quick` in the short form), `flight` of them under way; one
    operation is `units` times the thing that `unit` names. With `counts_ids` the engine needs
    CountingIds.
    """

    workload: str
    variant: str
    count: int
    quick: int
    flight: int
    storages: tuple[str, ...]
    ours: Callable[[Engine], Awaitable[Subject]]
    limits: dict[str, Callable[[], Plan]]
    unit: str = "events"
    units: int = 1
    counts_ids: bool = False

    @property
    def name(self) -> str:
        return f"{self.workload}/{self.variant}"


# --- Setting up -----------------------------------------------------------------------------------


def source_of(name: str) -> str:
    """The text of a ruleset of the benchmark."""
    return (RULESETS / f"{name}.krl").read_text(encoding="utf-8")


async def know(engine: Engine, name: str) -> None:
    """Compile a ruleset, so that picos can be made with it."""
    await ask(partial(engine.core.registry.add_source, source_of(name), url_of(name)))


async def install(engine: Engine, name: str) -> None:
    """Install a ruleset on the root pico."""
    await engine.install(engine.root_eci, source=source_of(name), url=url_of(name))


async def make_child(engine: Engine, ruleset: str) -> str:
    """Make a child of the root pico with one ruleset; return a channel on it that allows all."""
    core = engine.core
    wanted = [{"url": url_of(ruleset), "config": {}}]
    family = await ask(partial(core.post_task, core.root_eci, lambda turn: new_pico(turn, wanted)))
    eci: str = await ask(
        partial(core.post_task, family, lambda turn: new_channel(turn, ["bench"], None, None).eci)
    )
    return eci


# --- Subjects -------------------------------------------------------------------------------------


class Events(Subject):
    """Posts one event after the other and checks each answer.

    `final(count)` says what is wrong after `count` operations, if anything is. With `start_ms` the
    events have times of their own, a millisecond apart, instead of the clock's.
    """

    def __init__(
        self,
        engine: Engine,
        requests: list[Request],
        final: Callable[[int], Awaitable[str | None]] | None = None,
        start_ms: int | None = None,
    ) -> None:
        self._post = engine.post
        self._time_ms = start_ms
        self._requests = requests
        self._final = final
        self._count = 0

    def start(self, done: Done) -> None:
        request = self._requests[self._count % len(self._requests)]
        self._count += 1
        if self._time_ms is not None:
            self._time_ms += 1
        self._post(
            request.eci,
            request.domain,
            request.name,
            request.attrs,
            lambda answer: done(request.problem(answer)),
            time_ms=self._time_ms,
        )

    async def verify(self) -> str | None:
        return None if self._final is None else await self._final(self._count)


class Queries(Subject):
    """Asks one query after the other and checks each answer."""

    def __init__(self, engine: Engine, request: Request) -> None:
        self._post = engine.post_query
        self._request = request

    def start(self, done: Done) -> None:
        request = self._request
        self._post(
            request.eci,
            request.domain,
            request.name,
            request.attrs,
            lambda answer: done(request.problem(answer)),
        )


class Cascade(Subject):
    """Starts some events that make picos send to each other; done when the engine is idle again.

    `attrs(count)` are the attributes of the operation with this number; `sends` is how many
    identifiers one operation must have taken: one for each event, started or sent.
    """

    def __init__(
        self,
        engine: Engine,
        starts: list[str],
        names: tuple[str, str],
        attrs: Callable[[int], dict[str, Any]],
        takes: int,
        final: Callable[[int], Awaitable[str | None]] | None = None,
    ) -> None:
        self._core = engine.core
        self._starts = starts
        self._names = names
        self._attrs = attrs
        self._takes = takes
        self._final = final
        self._count = 0

    def start(self, done: Done) -> None:
        core = self._core
        ids = core.ids
        assert isinstance(ids, CountingIds)
        self._count += 1
        before = ids.taken
        refused: list[Any] = []

        def accepted(eid: Any) -> None:
            if isinstance(eid, Exception):
                refused.append(eid)

        def quiet() -> None:
            taken = ids.taken - before
            if refused:
                done(f"an event was refused: {refused[0]}")
            elif taken != self._takes:
                done(f"{taken} events ran, and {self._takes} should have")
            else:
                done(None)

        attrs = self._attrs(self._count)
        for eci in self._starts:
            core.post_signal(eci, *self._names, attrs, accepted)
        core.when_idle(quiet)

    async def verify(self) -> str | None:
        dead = sum(1 for _ in self._core.store.scan("dead", b""))
        if dead:
            return f"{dead} events were not delivered"
        return None if self._final is None else await self._final(self._count)


# --- Ours -----------------------------------------------------------------------------------------


async def _hello(engine: Engine) -> Subject:
    await install(engine, "bench.hello")
    return Events(engine, hello_requests(engine.root_eci))


async def _counter(engine: Engine) -> Subject:
    await install(engine, "bench.counter")
    return Events(
        engine,
        [Request(engine.root_eci, "counter", "inc", {})],
        partial(_counted, engine, [engine.root_eci]),
    )


async def _counters(engine: Engine) -> Subject:
    await know(engine, "bench.counter")
    ecis = [await make_child(engine, "bench.counter") for _ in range(KIDS)]
    requests = [Request(eci, "counter", "inc", {}) for eci in ecis]
    return Events(engine, requests, partial(_counted, engine, ecis))


async def _counted(engine: Engine, ecis: list[str], count: int) -> str | None:
    found = [await engine.query(eci, "bench.counter", "n") or 0 for eci in ecis]
    if sum(found) != count or max(found) - min(found) > 1:
        return f"the counters sum up to {sum(found)}, and should to {count}, evenly"
    return None


async def _salience(rules: int, engine: Engine) -> Subject:
    await install(engine, f"bench.salience{rules}")
    return Events(engine, salience_requests(rules, engine.root_eci))


async def _expressions(engine: Engine) -> Subject:
    await install(engine, "bench.expr")
    # The clock of `within` is not renewed by a match, so by the wall clock a p and its q would now
    # and then stand on both sides of a limit. At a millisecond an event they never do: 16 events
    # make a cycle, p and q are 3 apart, and 5,000 = 312 * 16 + 8.
    return Events(engine, expression_requests(engine.root_eci), start_ms=1_700_000_000_000)


async def _broadcast(engine: Engine) -> Subject:
    await install(engine, "bench.controller")
    await know(engine, "bench.controlled")
    ecis = [await make_child(engine, "bench.controlled") for _ in range(KIDS)]

    async def final(count: int) -> str | None:
        levels = {await engine.query(eci, "bench.controlled", "level") for eci in ecis}
        return None if levels == {count} else f"the levels are {levels}, and should all be {count}"

    return Cascade(
        engine,
        [engine.root_eci],
        ("control", "broadcast"),
        lambda count: {"level": count},
        KIDS + 1,
        final,
    )


async def _ring(starts: int, hops: int, engine: Engine) -> Subject:
    await know(engine, "bench.ring")
    ecis = [await make_child(engine, "bench.ring") for _ in range(KIDS)]
    for eci, after in zip(ecis, ecis[1:] + ecis[:1], strict=True):
        await engine.event(eci, "ring", "link", {"next": after})
    attrs = {"left": hops}
    return Cascade(engine, ecis[:starts], ("ring", "hop"), lambda _: attrs, starts * hops)


async def _raises(requests: Callable[[str], list[Request]], engine: Engine) -> Subject:
    await install(engine, "bench.chain")
    return Events(engine, requests(engine.root_eci))


async def _queries(request: Callable[[str], Request], engine: Engine) -> Subject:
    await install(engine, "bench.query")
    await engine.event(engine.root_eci, "q", "fill")
    return Queries(engine, request(engine.root_eci))


class Family(Subject):
    """Creates children by a rule or, when `deletes`, deletes what was created for that."""

    def __init__(self, engine: Engine, deletes: bool) -> None:
        self._engine = engine
        self._deletes = deletes
        self._made: list[str] = []
        self._attrs = {"url1": url_of("bench.hello"), "url2": url_of("bench.counter")}

    async def prepare(self, count: int) -> None:
        """Have children to delete."""
        while self._deletes and len(self._made) < count:
            await ask(self._create)

    def start(self, done: Done) -> None:
        if self._deletes:
            if not self._made:
                done("there are no children left to delete")
                return
            eci = self._made.pop()
            self._engine.post(
                self._engine.root_eci,
                "family",
                "delete",
                {"eci": eci},
                lambda answer: done(_fault(answer)),
            )
        else:
            self._create(done)

    def _create(self, done: Done) -> None:
        def created(answer: Any) -> None:
            problem = _fault(answer)
            if problem is None:
                self._made.append(answer["directives"][0]["options"]["eci"])
            done(problem)

        self._engine.post(self._engine.root_eci, "family", "create", self._attrs, created)

    async def verify(self) -> str | None:
        core = self._engine.core
        await self._engine.idle()
        root = core.shelf.pico(core.root_id)
        assert root is not None
        there = set(core.shelf.full(root).children or ())
        if there != set(self._made):
            return f"the root has {len(there)} children, and should have {len(self._made)}"
        for eci in self._made[-3:]:
            names = await ask(
                partial(core.post_task, eci, lambda turn: [i.rid for i in turn.now().installs])
            )
            if names != ["bench.hello", "bench.counter"]:
                return f"a child has the rulesets {names}"
        return None


def _fault(answer: Any) -> str | None:
    if isinstance(answer, Exception):
        return f"an event was refused: {answer}"
    errors = answer.get("errors")
    return None if errors is None else f"a rule failed: {errors[0]}"


async def _family(deletes: bool, engine: Engine) -> Subject:
    await install(engine, "bench.family")
    for name in ("bench.hello", "bench.counter"):
        await know(engine, name)
    return Family(engine, deletes)


# --- All of them ----------------------------------------------------------------------------------


def _one_pico() -> list[Case]:
    hello = {"limit": plan(hello_requests)}
    counter = {
        "limit": plan(inc_requests, counter_rows),
        "limit, merged rows": plan(inc_requests, counter_rows, merge=True),
    }
    spread = {"limit": plan(inc_requests, spread_rows)}
    expressions = {
        "limit": plan(expression_requests, automata_rows),
        "limit, merged rows": plan(expression_requests, automata_rows, merge=True),
    }
    return [
        Case("W1", "sequential", 2000, 300, 1, FSYNC, _hello, hello),
        Case("W1", "64-in-flight", 10_000, 4000, 64, FSYNC, _hello, hello),
        Case("W2", "sequential", 800, 100, 1, ALL, _counter, counter),
        Case("W2", "64-in-flight", 10_000, 4000, 64, ALL, _counter, counter),
        Case("W2", "100-picos/64-in-flight", 10_000, 4000, 64, ALL, _counters, spread),
        *(
            Case(
                "W3",
                f"{rules}-rules/64-in-flight",
                10_000,
                3000,
                64,
                FSYNC,
                partial(_salience, rules),
                {"limit": plan(partial(salience_requests, rules))},
            )
            for rules in (10, 100, 1000)
        ),
        Case("W4", "sequential", 800, 96, 1, FSYNC, _expressions, expressions),
        Case("W4", "64-in-flight", 9600, 3200, 64, ALL, _expressions, expressions),
    ]


def _cascades() -> list[Case]:
    broadcast = {"limit": plan(start_requests("control", "broadcast", 1), level_rows, inner=KIDS)}
    hop = start_requests("ring", "hop", HOPS)
    one = {"limit": plan(hop, accepted_rows, inner=HOPS - 1)}
    lap = 64 * KIDS
    many = {"limit": plan(hop, accepted_rows, inner=lap)}
    ring, rings = partial(_ring, 1, HOPS), partial(_ring, 64, KIDS)
    chain, burst = partial(_raises, chain_requests), partial(_raises, burst_requests)
    chained = {"limit": plan(chain_requests, inner=10)}
    bursting = {"limit": plan(burst_requests, inner=10)}
    return [
        Case("W5", "one-broadcast", 60, 15, 1, ALL, _broadcast, broadcast, "sends", KIDS, True),
        Case("W6", "10-laps-of-100", 6, 2, 1, ALL, ring, one, "hops", HOPS, True),
        Case("W6", "one-lap-from-each-of-64", 2, 1, 1, FSYNC, rings, many, "hops", lap, True),
        Case("W7", "chain-of-10", 1000, 200, 1, FSYNC, chain, chained, "raises", 10),
        Case("W7", "burst-of-10", 1000, 200, 1, FSYNC, burst, bursting, "raises", 10),
    ]


def _queries_and_family() -> list[Case]:
    whole, entry = partial(_queries, all_request), partial(_queries, one_request)
    ready = {"limit": plan(lambda eci: [all_request(eci)])}
    ready_entry = {"limit": plan(lambda eci: [one_request(eci)])}
    create = {"limit": plan(create_requests, child_rows, inner=1)}
    delete = {"limit": plan(delete_requests, gone_rows)}
    return [
        Case("W8", "all/sequential", 1000, 200, 1, FSYNC, whole, ready),
        Case("W8", "all/64-in-flight", 4000, 1000, 64, FSYNC, whole, ready),
        Case("W8", "one/64-in-flight", 10_000, 3000, 64, FSYNC, entry, ready_entry),
        Case("W9", "create", 100, 30, 1, ALL, partial(_family, False), create),
        Case("W9", "delete", 100, 30, 1, ALL, partial(_family, True), delete),
    ]


CASES = (*_one_pico(), *_cascades(), *_queries_and_family())
