"""W1 to W9: what one operation of each is for our engine.

In: an open engine. Out: subjects to be measured, whose answers and end state are checked. The
rulesets are those that other engines are timed with, byte for byte. Not here: which cases there are
(cases.py), what is asked (requests.py), timing (measure.py), and the start-up part of W9
(stored.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from bench import requests
from bench.limit import Request
from bench.measure import Done, Subject, ask
from bench.requests import (
    KIDS,
    entry_requests,
    expression_requests,
    hello_requests,
    salience_requests,
    url_of,
)
from runtime import Engine
from runtime.clock import RealIds
from runtime.structure import new_channel, new_pico

RULESETS = Path(__file__).parent / "rulesets"


class CountingIds(RealIds):
    """Real identifiers, counted: each send takes one, so hops can be told from answers."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = 0

    def eid(self) -> str:
        self.taken += 1
        return super().eid()


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


async def hello(engine: Engine) -> Subject:
    """W1."""
    await install(engine, "bench.hello")
    return Events(engine, hello_requests(engine.root_eci))


async def counter(engine: Engine) -> Subject:
    """W2 on one pico."""
    await install(engine, "bench.counter")
    return Events(
        engine,
        [Request(engine.root_eci, "counter", "inc", {})],
        partial(_counted, engine, [engine.root_eci]),
    )


async def counters(picos: int, engine: Engine) -> Subject:
    """W2 spread over so many picos."""
    await know(engine, "bench.counter")
    ecis = [await make_child(engine, "bench.counter") for _ in range(picos)]
    requests = [Request(eci, "counter", "inc", {}) for eci in ecis]
    return Events(engine, requests, partial(_counted, engine, ecis))


async def _counted(engine: Engine, ecis: list[str], count: int) -> str | None:
    found = [await engine.query(eci, "bench.counter", "n") or 0 for eci in ecis]
    if sum(found) != count or max(found) - min(found) > 1:
        return f"the counters sum up to {sum(found)}, and should to {count}, evenly"
    return None


async def salience(rules: int, engine: Engine) -> Subject:
    """W3: so many rules, each concerned by another event."""
    await install(engine, f"bench.salience{rules}")
    return Events(engine, salience_requests(rules, engine.root_eci))


async def expressions(engine: Engine) -> Subject:
    """W4."""
    await install(engine, "bench.expr")
    # The clock of `within` is not renewed by a match, so by the wall clock a p and its q would now
    # and then stand on both sides of a limit. At a millisecond an event they never do: 16 events
    # make a cycle, p and q are 3 apart, and 5,000 = 312 * 16 + 8.
    return Events(engine, expression_requests(engine.root_eci), start_ms=1_700_000_000_000)


async def broadcast(engine: Engine) -> Subject:
    """W5."""
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


async def ring(starts: int, hops: int, engine: Engine) -> Subject:
    """W6: events that hop round a ring."""
    await know(engine, "bench.ring")
    ecis = [await make_child(engine, "bench.ring") for _ in range(KIDS)]
    for eci, after in zip(ecis, ecis[1:] + ecis[:1], strict=True):
        await engine.event(eci, "ring", "link", {"next": after})
    attrs = {"left": hops}
    return Cascade(engine, ecis[:starts], ("ring", "hop"), lambda _: attrs, starts * hops)


async def raises(requests: Callable[[str], list[Request]], engine: Engine) -> Subject:
    """W7."""
    await install(engine, "bench.chain")
    return Events(engine, requests(engine.root_eci))


async def queries(request: Callable[[str], Request], engine: Engine) -> Subject:
    """W8."""
    await install(engine, "bench.query")
    await engine.event(engine.root_eci, "q", "fill")
    return Queries(engine, request(engine.root_eci))


async def entries(size: int, engine: Engine) -> Subject:
    """One entry of a stored map of so many is changed by each event."""
    await install(engine, "bench.entries")
    eci = engine.root_eci
    await engine.event(eci, "entries", "fill", {"map": requests.entries(size)})

    async def final(count: int) -> str | None:
        done = await engine.query(eci, "bench.entries", "n")
        last = await engine.query(eci, "bench.entries", "one", {"key": "key1"})
        if done != count or last["name"] != "changed":
            return f"{done} entries were changed, and should be {count}; the first is {last}"
        return None

    return Events(engine, entry_requests(size, eci), final)


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


async def family(deletes: bool, engine: Engine) -> Subject:
    """W9."""
    await install(engine, "bench.family")
    for name in ("bench.hello", "bench.counter"):
        await know(engine, name)
    return Family(engine, deletes)
