"""The workloads for a running engine: what is asked, and what the answers have to be.

In: a way to the engine, and ECIs of picos made for the workload. Out: operations to be started one
after the other, and a last look at what they left behind. The rulesets and requests are those of
W1, W2, W4 and W8 of bench/, and a ring like W6's. Not here: making the picos (stage.py), timing
(drive.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from runtime.errors import Fault
from runtime.load.drive import Done
from runtime.load.links import Links

Values = dict[str, Any]
RING_PICOS, RING_HOPS = 100, 1000
ENTRIES = {f"key{i}": {"id": i, "name": f"entry {i}", "on": True} for i in range(1, 101)}
# Event times, a millisecond apart; any moment does.
_START_MS = 1_700_000_000_000
_LOOK_S = 0.001


class Running:
    """A workload under way: `count` operations were started."""

    def __init__(self, links: Links, ecis: list[str]) -> None:
        self.links = links
        self.ecis = ecis
        self.count = 0

    async def prepare(self) -> None:
        """Make ready."""

    def start(self, done: Done) -> None:
        """Start the next operation."""
        raise NotImplementedError

    async def verify(self) -> str | None:
        """What is wrong with the state left behind, if anything is."""
        return None

    async def event(self, eci: str, domain: str, name: str, attrs: Values) -> Any:
        """An event, and its answer."""
        return await _answer(lambda done: self.links.event(eci, domain, name, attrs, done))

    async def query(self, eci: str, rid: str, name: str, args: Values) -> Any:
        """A query, and its answer."""
        return await _answer(lambda done: self.links.query(eci, rid, name, args, done))


async def _answer(start: Callable[[Callable[[Any], object]], object]) -> Any:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    start(future.set_result)
    return await future


def problem_of(answer: Any, expected: list[tuple[str, Values]]) -> str | None:
    """What is wrong with the answer to an event, if anything is."""
    if type(answer) is dict and not answer.get("errors"):
        if [(each["name"], each["options"]) for each in answer["directives"]] == expected:
            return None
        return f"the directives are {str(answer['directives'])[:300]}, and should be {expected}"
    return f"an event was answered with {str(answer)[:300]}"


_NAME: Values = {"name": "Bob"}
_NOTHING: Values = {}
_KEY: Values = {"key": "key50"}


class _Hello(Running):
    def start(self, done: Done) -> None:
        self.count += 1
        self.links.event(
            *(self.ecis[0], "echo", "hello", _NAME),
            lambda answer: done(problem_of(answer, [("hello", _NAME)])),
        )


class _Counter(Running):
    def start(self, done: Done) -> None:
        self.count += 1
        self.links.event(
            *(self.ecis[0], "counter", "inc", _NOTHING),
            lambda answer: done(problem_of(answer, [])),
        )

    async def verify(self) -> str | None:
        found = await self.query(self.ecis[0], "bench.counter", "n", {})
        if found == self.count:
            return None
        return f"the counter is {found}, and should be {self.count}"


class _Query(Running):
    """The whole map of 100 entries, or one of them."""

    _name = "all"
    _args = _NOTHING
    _value: Any = ENTRIES

    async def prepare(self) -> None:
        await self.event(self.ecis[0], "q", "fill", {})

    def start(self, done: Done) -> None:
        self.count += 1
        self.links.query(
            *(self.ecis[0], "bench.query", self._name, self._args),
            lambda answer: done(
                None if answer == self._value else f"a query gave {str(answer)[:300]}"
            ),
        )


class _QueryOne(_Query):
    _name = "one"
    _args = _KEY
    _value = ENTRIES["key50"]


_GOOD = {"amount": "42", "sku": "AB-1234"}
_ORDER = [("order", {"amount": "42", "kind": "AB", "num": "1234"})]
_BAD = {"amount": "x", "sku": "AB-1234"}
# Names of events, what they carry, and the rules that they select.
_CYCLE: list[tuple[str, Values, list[tuple[str, Values]]]] = [
    (name, {"order": _GOOD, "bad": _BAD}.get(name, {}), [(rule, {})] if rule else [])
    for name, rule in (
        *(("a", ""), ("tick", ""), ("x", ""), ("order", "order"), ("b", "a_then_b"), ("p", "")),
        *(("tick", ""), ("bad", ""), ("q", "p_before_q"), ("z", "any2of3"), ("tick", "")),
        *(("a", ""), ("tick", ""), ("b", "a_then_b"), ("tick", "count5"), ("order", "order")),
    )
]


def expression(number: int) -> tuple[str, Values, list[tuple[str, Values]]]:
    """The event of this number in the cycle: name, attributes, and the directives it leads to."""
    name, attrs, expected = _CYCLE[number % len(_CYCLE)]
    if attrs:
        return "order", attrs, _ORDER if attrs is _GOOD else []
    return name, attrs, expected


class _Expressions(Running):
    """A fixed cycle of 16 events, each with a time of its own."""

    def start(self, done: Done) -> None:
        name, attrs, expected = expression(self.count)
        self.count += 1
        self.links.event(
            *(self.ecis[0], "ex", name, attrs),
            lambda answer: done(problem_of(answer, expected)),
            _START_MS + self.count,
        )


class _Ring(Running):
    """One event hops round the picos; over when the last of them has counted it."""

    async def prepare(self) -> None:
        for eci, after in zip(self.ecis, self.ecis[1:] + self.ecis[:1], strict=True):
            await self.event(eci, "lap", "link", {"next": after})

    def start(self, done: Done) -> None:
        self.count += 1

        def accepted(answer: Any) -> None:
            problem = problem_of(answer, [])
            if problem is not None:
                done(problem)
            else:
                self._look(self.count, done)

        self.links.event(self.ecis[0], "lap", "hop", {"left": RING_HOPS}, accepted)

    def _look(self, wanted: int, done: Done) -> None:
        def seen(ended: Any) -> None:
            if type(ended) is not int:
                said = ended.message if isinstance(ended, Fault) else repr(ended)[:300]
                done(f"the count of laps is {said}")
            elif ended >= wanted:
                done(None)
            else:
                asyncio.get_running_loop().call_later(_LOOK_S, self._look, wanted, done)

        self.links.query(self.ecis[-1], "bench.lap", "ended", {}, seen)


class Play(msgspec.Struct, frozen=True):
    """A workload: its ruleset, on how many picos, and how many operations a stretch has.

    One operation is `units` of what `unit` names. With `has_times` events need times of their own,
    which only channels can give them; `flight` bounds what is under way.
    """

    name: str
    says: str
    rid: str
    make: Callable[[Links, list[str]], Running]
    count: int
    picos: int = 1
    unit: str = "events"
    units: int = 1
    has_times: bool = False
    flight: int = 1_000_000


PLAYS = (
    Play("hello", "one directive, nothing stored", "bench.hello", _Hello, 10_000),
    Play("counter", "one variable read and written", "bench.counter", _Counter, 10_000),
    Play(
        *("expr", "five event expressions", "bench.expr", _Expressions, 9600),
        has_times=True,
    ),
    Play("all", "a query: a map of 100 entries", "bench.query", _Query, 4000, unit="queries"),
    Play("one", "a query: one entry of it", "bench.query", _QueryOne, 10_000, unit="queries"),
    Play(
        *("ring", f"{RING_HOPS} hops round {RING_PICOS} picos", "bench.lap", _Ring, 5),
        *(RING_PICOS, "hops", RING_HOPS),
        flight=1,
    ),
)
