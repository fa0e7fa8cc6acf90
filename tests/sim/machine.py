"""The simulated machine: an engine whose loop, disk, clock and rulesets a seed drives.

In: a generator of chance. Out: an engine that takes one step at a time, and dies when told to: at a
named crash point or between two steps, on a disk that kept what was durable and, by luck, some of
the batches after it. Invariants: what the engine asked the loop for runs in order; syncs report in
order, but as late as chance has it, fetched and compiled rulesets in any order. Nothing here knows
what the engine should do (model.py).
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from runtime.clock import SeededIds, SeededRandom, VirtualClock
from runtime.engine import Core
from runtime.errors import Fault
from runtime.limits import answer_bucket_ms, awake_pico_bytes
from runtime.memory import MemoryStore
from runtime.network import Envelope, Hear, Nowhere
from runtime.store import FAMILIES, Batch, Done, decode_record
from tests.harness.engine import compile_for_engine

Call = Callable[[], object]
SOURCES = {
    f"sim:{path.stem}": path.read_text() for path in sorted(Path(__file__).parent.glob("*.krl"))
}
# Shortly after a bucket of answers began, so that a clock set back comes into the one before.
START_MS = 80_000 * answer_bucket_ms + 1_200_000


class Crash(BaseException):
    """The machine stops here."""


class WanderingClock(VirtualClock):
    """A virtual clock that can also be set back, as people and time servers do."""

    def step_back(self, ms: int) -> None:
        """Set the clock back; alarms stay where they are."""
        self._now_ms = max(self._now_ms - ms, 0)


class Disk:
    """A `Store` over the one in memory, whose writes and syncs can fail."""

    def __init__(self, inner: MemoryStore) -> None:
        self.inner = inner
        self.fails_next = ""
        self.failure: Fault | None = None
        self.get = inner.get

    def scan(
        self, family: str, prefix: bytes, start: bytes = b"", reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return self.inner.scan(family, prefix, start, reverse)

    def write(self, batch: Batch) -> None:
        if self.fails_next == "write":
            self._fail()
        if self.failure is not None:
            raise self.failure
        self.inner.write(batch)

    def sync(self, done: Done) -> None:
        def reported(failure: BaseException | None) -> None:
            done(self.failure or failure)

        if self.fails_next == "sync":
            self._fail()
        self.inner.sync(reported)

    def erase(self, family: str, start: bytes, end: bytes) -> None:
        self.inner.erase(family, start, end)

    def close(self) -> None:
        self.inner.close()

    def _fail(self) -> None:
        self.fails_next = ""
        self.failure = Fault("R3004", "the simulated disk is full")


class SlowRulesets:
    """Fetches and compiles, and reports when chance has it.

    `edition` numbers what is published: the rulesets differ in a remark only, so nothing that they
    do may change when picos adopt another one.
    """

    version = "sim"

    def __init__(self, reports: list[Call], edition: int = 0) -> None:
        self._reports = reports
        self.edition = edition

    def fetch(self, url: str, done: Callable[[str | Fault], object]) -> None:
        text = SOURCES.get(url.partition("?")[0])
        if text is not None and self.edition:
            text += f"// edition {self.edition}\n"
        got = Fault("R2012", f"{url} is not there") if text is None else text
        self._reports.append(lambda: done(got))

    def compile(
        self, text: str, url: str, done: Callable[[dict[str, Any] | Fault], object]
    ) -> None:
        got = compile_for_engine(text, url)
        self._reports.append(lambda: done(got))


class Loop:
    """A network on which the engine is its own neighbour, `http://there`.

    What flies survives the machine. Chance delays, reorders, repeats and loses it, both ways.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.flying: list[tuple[Any, Hear, Core]] = []
        self.replies: list[Call] = []
        self.core: Core | None = None
        self.is_rough = chance.random() < 0.5

    def send(self, host: str, envelope: Envelope, done: Hear) -> None:
        assert host == "http://there"
        assert self.core is not None
        self.flying.append((envelope, done, self.core))

    def credit(self, host: str) -> int:
        return 8

    @property
    def is_empty(self) -> bool:
        return not (self.flying or self.replies)

    def step(self, *, calm: bool = False) -> None:
        """One thing arrives somewhere, or is lost, or arrives and stays on the way as well."""
        chance = self._chance
        at = chance.randrange(len(self.flying) + len(self.replies)) if not calm else 0
        fate = chance.random() if self.is_rough and not calm else 1.0
        if at < len(self.flying):
            envelope, done, asker = self.flying[at]
            if fate > 0.15:
                del self.flying[at]
            if fate > 0.3:
                self._arrive(envelope, done, asker)
        else:
            at -= len(self.flying)
            reply = self.replies[at]
            if fate > 0.15:
                del self.replies[at]
            if fate > 0.3:
                reply()

    def _arrive(self, envelope: Envelope, done: Hear, asker: Core) -> None:
        assert self.core is not None

        def hear(reply: Any) -> None:
            # An engine that has stopped hears nothing.
            self.replies.append(lambda: done(reply) if asker is self.core else None)

        self.core.arrivals.receive(envelope, hear)


class Machine:
    """One engine and all that drives it; `start` may be called again after a `stop`."""

    def __init__(self, chance: random.Random, *, awake_picos: int, crash_rate: float) -> None:
        self.chance = chance
        self.awake_picos = awake_picos
        self.crash_rate = crash_rate
        self.starts = 0
        self.now_ms = START_MS
        self.edition = 0
        self.points: dict[str, int] = {}
        self._forget()
        self.memory = MemoryStore(self._deliver, self._pass)
        self.network = Loop(chance)
        self.boot()

    def _forget(self) -> None:
        self.soon: deque[Call] = deque()
        self.syncs: deque[Call] = deque()
        self.reports: list[Call] = []

    def _deliver(self, call: Call) -> None:
        self.syncs.append(call)

    def _pass(self, point: str) -> None:
        self.points[point] = self.points.get(point, 0) + 1
        if self.crash_rate and self.chance.random() < self.crash_rate:
            raise Crash(point)

    def boot(self) -> None:
        """Make an engine over what is on the disk.

        Raises: Crash when the machine stops meanwhile.
        """
        self.starts += 1
        self.clock = WanderingClock(self.now_ms, self.soon.append)
        self.disk = Disk(self.memory)
        rulesets = self.rulesets = SlowRulesets(self.reports, self.edition)
        seed = self.chance.getrandbits(32)
        self.core = Core(
            self.disk,
            self.clock,
            SeededIds(seed),
            SeededRandom(seed),
            rulesets,
            rulesets,
            host="http://here",
            awake_bytes_max=self.awake_picos * awake_pico_bytes,
            network=self.network,
        )
        self.network.core = self.core
        self.core.start()

    def stop(self, surviving: int = 0) -> None:
        """The machine stops; `surviving` batches that were not durable are found again."""
        self.now_ms = self.clock.now_ms()
        self.core.drop()
        self._forget()
        self.memory = self.memory.crash(self._deliver, self._pass, surviving=surviving)

    def copy_durable(self, surviving: int = 0) -> MemoryStore:
        """What would be found if the machine stopped now, as a store of its own."""
        return copy_of(self.memory, surviving)

    def publish(self, edition: int) -> None:
        """Put another edition of a ruleset at its URL, and have the engine look there."""
        self.edition = self.rulesets.edition = edition
        url = self.chance.choice(sorted(SOURCES))
        self.core.registry.flush(url, lambda _: self.core.committer.flush())

    # --- Steps ------------------------------------------------------------------------------------

    def run_soon(self) -> None:
        """The loop runs the next call it was asked for."""
        self.soon.popleft()()

    def run_sync(self) -> None:
        """The oldest sync under way ends."""
        self.syncs.popleft()()

    def run_report(self) -> None:
        """Some fetch or compilation ends."""
        self.reports.pop(self.chance.randrange(len(self.reports)))()

    def settle(self) -> None:
        """Run until nothing is left to do, without chance.

        Raises: AssertionError when the engine does not come to rest.
        """
        for _ in range(200_000):
            if self.soon:
                self.run_soon()
            elif self.syncs:
                self.run_sync()
            elif self.reports:
                self.reports.pop(0)()
            elif not self.network.is_empty:
                self.network.step(calm=True)
            elif self._next_alarm():
                self.clock.advance_to(self._next_alarm())
            else:
                return
        raise AssertionError("the engine does not come to rest")

    def _next_alarm(self) -> int:
        """When the network's next retry is due, 0 when nothing waits for one."""
        return self.clock.next_due_ms() or 0


def copy_of(memory: MemoryStore, surviving: int = 0) -> MemoryStore:
    """A store with the rows of another that would survive a crash; the other one stays as it is."""
    rows = {family: dict(memory._tables[family].values) for family in FAMILIES}
    for undo in reversed(memory._undo[surviving:]):
        for family, key, before in reversed(undo):
            if before is None:
                rows[family].pop(key, None)
            else:
                rows[family][key] = before
    copy = MemoryStore(lambda call: call())
    for family, table in rows.items():
        kept = copy._tables[family]
        for key, value in table.items():
            kept.put(key, value)
    return copy


class Reader:
    """A second engine over a copy of a disk, run to rest and asked for everything it holds.

    Shapes: `states` are the answers of `state` by pico id, `extras` those of the extra ruleset,
    `children` the ids of each pico's children by the channel its parent uses, `rows` the keys of
    each family.
    """

    def __init__(self, memory: MemoryStore, now_ms: int, modules: dict[str, Any]) -> None:
        self.soon: deque[Call] = deque()
        self.memory = memory
        memory._deliver = self.soon.append
        reports: list[Call] = []
        rulesets = SlowRulesets(reports)
        clock = VirtualClock(now_ms, self.soon.append)
        self.core = Core(
            memory,
            clock,
            SeededIds(0, 7),
            SeededRandom(0),
            rulesets,
            rulesets,
            host="http://here",
            # What leaves stays in the outbox.
            network=Nowhere(),
        )
        # Loaded modules are the same for every engine; loading them takes longer than all the rest.
        self.core.registry._modules = modules
        self.core.start()
        self._run(reports)
        self.states: dict[str, dict[str, Any]] = {}
        self.extras: dict[str, dict[str, Any]] = {}
        self.children: dict[str, dict[str, str]] = {}
        self.read(reports)
        self.rows = {family: list(memory._tables[family].values) for family in FAMILIES}

    def children_named(self, pico_id: str) -> dict[str, str]:
        """The ids of a pico's children by what they call themselves."""
        return {self.states[child]["name"]: child for child in self.children[pico_id].values()}

    def eci_owners(self) -> dict[str, str]:
        """The pico ids in the channel index, without the tombstones."""
        found = {}
        for key, value in self.memory.scan("eci", b""):
            owner = decode_record(value)
            if isinstance(owner, str):
                found[key.decode()] = owner
        return found

    def _run(self, reports: list[Call]) -> None:
        for _ in range(200_000):
            if self.soon:
                self.soon.popleft()()
            elif reports:
                reports.pop(0)()
            else:
                return
        raise AssertionError("the engine does not come to rest after a restart")

    def read(self, reports: list[Call]) -> None:
        """Ask every pico that can be reached from the root."""
        core = self.core
        pending = [core.root_id]
        while pending:
            pico_id = pending.pop()
            pico = core.shelf.pico(pico_id)
            assert pico is not None, f"child {pico_id} has no record"
            children = dict(core.shelf.full(pico).children or ())
            self.children[pico_id] = dict(children)
            pending.extend(children.values())
            rids = [install.rid for install in pico.structure.installs]
            for rid, found in (("sim.node", self.states), ("sim.extra", self.extras)):
                if rid in rids:
                    answers: list[Any] = []
                    core.post_query(pico_id, rid, "state", {}, answers.append, sender=pico_id)
                    self._run(reports)
                    assert len(answers) == 1, "a query was not answered"
                    assert not isinstance(answers[0], Fault), answers[0]
                    found[pico_id] = answers[0].value
