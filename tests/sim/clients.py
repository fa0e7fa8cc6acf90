"""One simulated run: clients, faults and the machine, as one seed has it.

In: a seed. Out: a `Report`, or an AssertionError that names the seed and the last steps. Each step
is one of: the loop runs a call, a sync ends, a ruleset arrives, a client sends or asks, the clock
moves, the disk fails, the machine stops and starts again. Seeds differ in what they favour, so that
each of them looks into a corner of its own. Invariants: the same seed takes the same steps.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple

from runtime.errors import Fault
from runtime.inbox import Answer
from tests.sim.machine import Crash, Machine, Reader
from tests.sim.model import Model, Sent

# Faults that say for certain that the event was not and will not be applied.
REFUSALS = frozenset(("R1001", "R1005", "R1008"))
# The engine stopped, or stops: the event may have been applied.
STOPPED = frozenset(("R3003", "R3004", "R3007"))
# Kinds of events of which a rule can fail; for an event-query the answer is then that fault.
FAULTING = frozenset(("fail", "gamma", "equip", "call", "ask"))
# Rules of these wait for a ruleset or a pico, so that queries may overtake them.
WAITING = frozenset(("equip", "call", "ask"))
# Loaded modules, shared by all engines of all runs in this process.
MODULES: dict[str, Any] = {}


class Report(NamedTuple):
    """What one run did: how often each kind of step, and a digest of all of them in order."""

    seed: int
    steps: int
    events: int
    starts: int
    checks: int
    points: dict[str, int]
    digest: str


class Simulation:
    """Everything about one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        chance = self.chance = random.Random(f"picos {seed}")
        self.trace: list[str] = []
        self.model = Model()
        self.numbers = 0
        self.run_number = 0
        self.checks = 0
        self.outstanding: dict[int, str] = {}
        self.posts = 0
        self.failures: list[Exception] = []
        self.has_waited = False
        self.steps_left = chance.choice((150, 300, 600))
        self.check_rate = 0.15
        self.clock_wanders = chance.random() < 0.4
        self.weights = {
            "soon": 12.0,
            "sync": chance.choice((0.5, 3.0, 12.0)),
            "report": chance.choice((0.3, 4.0)),
            "client": chance.choice((2.0, 6.0, 20.0)),
            "clock": 0.4,
            "crash": chance.choice((0.0, 0.05, 0.2, 0.5)),
            "fail": chance.choice((0.0, 0.03, 0.1)),
            "close": chance.choice((0.0, 0.0, 0.1)),
            "evict": 0.2,
            "net": chance.choice((0.5, 4.0)),
            "publish": chance.choice((0.0, 0.0, 0.1)),
        }
        kinds = {
            "note": 4,
            "send": 4,
            "far_send": 3,
            "later": 2,
            "spawn": 2,
            "prune": 1,
            "grow": 2,
            "shrink": 1,
            "wipe": 1,
            "fail": 2,
            "chain": 1,
            "alpha": 2,
            "beta": 2,
            "gamma": 1,
            "equip": 2,
            "strip": 2,
            "call": 3,
            "ask": 3,
        }
        # Each seed leaves some kinds out and favours others.
        self.kinds = {kind: weight * chance.choice((0, 1, 1, 4)) for kind, weight in kinds.items()}
        self.kinds["note"] += 1
        self.kinds["spawn"] += 1
        self.keyed = chance.choice((0.0, 0.3, 0.8))
        self.signals = chance.choice((0.1, 0.5, 0.9))
        self.machine: Machine
        self._start_machine()

    # --- The run ----------------------------------------------------------------------------------

    def run(self) -> Report:
        """Take all steps, then let everything come to rest and look at what is there.

        Raises: AssertionError with the seed and the last steps.
        """
        try:
            self._set_up()
            while self.steps_left > 0:
                self.steps_left -= 1
                self._step()
                self._raise_noted()
            self._finish()
            self._raise_noted()
        except Exception as error:
            shown = "\n  ".join(self.trace[-40:])
            raise AssertionError(
                f"seed {self.seed} fails after {len(self.trace)} steps: {error!r}\n  {shown}\n"
                f"again: python -m tests.sim --seed {self.seed}"
            ) from error
        digest = sha256("\n".join(self.trace).encode()).hexdigest()
        machine, points = self.machine, self.machine.points
        events = len(self.model.events)
        return Report(
            self.seed, len(self.trace), events, machine.starts, self.checks, points, digest
        )

    def _raise_noted(self) -> None:
        if self.failures:
            raise self.failures[0]

    def _start_machine(self) -> None:
        """The first start is without faults, so that there is a root pico with its ruleset."""
        awake = self.chance.choice((3, 6, 1000))
        self.machine = Machine(self.chance, awake_picos=awake, crash_rate=0.0)
        self.machine.core.registry._modules = MODULES
        self.machine.settle()

    def _set_up(self) -> None:
        core = self.machine.core
        got: list[Any] = []
        core.registry.load("sim:node", got.append)
        self.machine.settle()
        core.install(core.root_eci, got[0], "sim:node", {}, got.append)
        core.post(core.root_eci, "sim", "init", {"name": "root"}, got.append)
        self.machine.settle()
        assert len(got) == 3, got
        assert got[1] == "sim.node"
        self.root_eci = core.root_eci
        self.model.names[core.root_eci] = "root"
        # How often the machine stops at one of the named points.
        self.machine.crash_rate = self.chance.choice((0.0, 0.002, 0.01, 0.03))

    def _step(self) -> None:
        machine = self.machine
        weights = self.weights
        steps: list[tuple[float, Callable[[], object], str]] = [
            (weights["client"], self._client, ""),
            (weights["clock"], self._move_clock, "clock"),
            (weights["crash"], partial(self._crash, "between two steps"), ""),
            (weights["fail"], self._fail_disk, ""),
            (weights["close"], self._close, ""),
            (weights["evict"], machine.core.shelf.make_room, "evict"),
        ]
        if weights["publish"]:
            steps.append((weights["publish"], self._publish, ""))
        if not machine.network.is_empty:
            steps.append((weights["net"], machine.network.step, "net"))
        if machine.soon:
            steps.append((weights["soon"], machine.run_soon, "soon"))
        if machine.syncs:
            steps.append((weights["sync"], self._sync, "sync"))
        if machine.reports:
            steps.append((weights["report"], machine.run_report, "report"))
        _, take, name = self.chance.choices(steps, [weight for weight, _, _ in steps])[0]
        if name:
            self.trace.append(name)
        try:
            take()
        except Crash as crash:
            self._crash(str(crash))

    def _sync(self) -> None:
        self.machine.run_sync()
        # A commit: what is durable now must be a state that keeps every promise.
        if self.chance.random() < self.check_rate:
            self._check()

    def _publish(self) -> None:
        edition = self.chance.randrange(3)
        self.trace.append(f"publish edition {edition}")
        self.machine.publish(edition)

    def _move_clock(self) -> None:
        clock = self.machine.clock
        if self.clock_wanders and self.chance.random() < 0.4:
            clock.step_back(self.chance.choice((1, 1_000, 3_600_000)))
        else:
            clock.advance_to(clock.now_ms() + self.chance.choice((1, 50, 5_000, 600_000)))

    def _fail_disk(self) -> None:
        how = self.chance.choice(("write", "sync"))
        self.trace.append(f"disk fails at the next {how}")
        self.machine.disk.fails_next = how
        # The engine must stop by itself and tell everybody who waits.
        self._count()
        self._drain()
        if self.machine.core.committer.failure is not None:
            assert not self.outstanding, f"never told of the failure: {self.outstanding}"
            refused: list[Any] = []
            core = self.machine.core
            core.post(self.root_eci, "sim", "note", {"n": self.numbers}, refused.append)
            self._drain()
            assert len(refused) == 1, "posted after the failure"
            assert isinstance(refused[0], Fault), "posted after the failure"
            self._crash("after a failed disk")

    def _close(self) -> None:
        """The engine is closed in good order: what it accepted ends, and nothing is lost."""
        self.trace.append("close")
        core = self.machine.core
        core.is_closing = True
        self._drain()
        if core is self.machine.core:
            assert core.is_idle, "the engine has nothing to do, and is not idle"
            assert not self.outstanding, f"not answered before the end: {self.outstanding}"
            assert not self.machine.memory.unsynced_batches, "closed with something not durable"
            self._crash("after closing")

    def _count(self) -> int:
        self.numbers += 1
        return self.numbers

    def _drain(self) -> None:
        """Run to rest; a crash on the way is one more step."""
        try:
            self.machine.settle()
        except Crash as crash:
            self._crash(str(crash))

    # --- Stops and looks --------------------------------------------------------------------------

    def _crash(self, where: str) -> None:
        machine = self.machine
        surviving = self.chance.randint(0, machine.memory.unsynced_batches)
        self.trace.append(f"crash {where}; {surviving} batches more are found")
        self.outstanding.clear()
        for sent in self.model.events.values():
            if sent.fate == "open":
                sent.fate = "unknown"
        machine.stop(surviving)
        self._check()
        while True:
            try:
                machine.boot()
                break
            except Crash as crash:
                self.trace.append(f"crash at start, {crash}")
                machine.stop(self.chance.randint(0, machine.memory.unsynced_batches))
        machine.core.registry._modules = MODULES
        self.run_number += 1

    def _check(self, *, is_settled: bool = False) -> None:
        self.checks += 1
        machine = self.machine
        surviving = self.chance.randint(0, machine.memory.unsynced_batches)
        reader = Reader(machine.copy_durable(surviving), machine.clock.now_ms(), MODULES)
        self.model.check(reader, is_settled=is_settled)

    def _finish(self) -> None:
        """No more faults: everything must be answered, and all that was promised be there."""
        self.trace.append("finish")
        machine = self.machine
        machine.crash_rate = 0.0
        machine.settle()
        if machine.core.committer.failure is None:
            assert machine.core.is_idle, "the engine has nothing to do, and is not idle"
        assert not self.outstanding, f"never answered: {self.outstanding}"
        self._check(is_settled=machine.core.committer.failure is None)
        self._crash("at the end")
        machine.settle()
        self._check(is_settled=True)

    # --- Clients ----------------------------------------------------------------------------------

    def _client(self) -> None:
        chance = self.chance
        what = chance.random()
        eci = self._some_door()
        if what < 0.12:
            self._ask(eci)
        elif what < 0.15:
            self._ask_through(eci)
        elif what < 0.25 and self.keyed and self.model.events:
            self._repeat()
        elif what < 0.3 and self.kinds["prune"]:
            self._prune_and_post()
        else:
            self._send_new(eci)

    def _prune_and_post(self) -> None:
        """Delete a pico, and right behind that have it, and those below it, do things."""
        kids = [kid for kid in self.model.parents if not self.model.is_dead(kid)]
        doors = {name: eci for eci, name in self.model.names.items()}
        if not kids:
            return
        kid = self.chance.choice(kids)
        parent = doors.get(self.model.parents[kid])
        if parent is None:
            return
        n = self._count()
        prune = Sent(n, "prune", {"n": n, "name": kid}, parent, self.model.parents[kid])
        before = self.chance.random() < 0.3
        if not before:
            self._post(self._known(prune))
        for name, eci in doors.items():
            if name == kid or self.model.parents.get(name) == kid:
                self._send_new(eci)
                self._ask(eci)
        if before:
            self._post(self._known(prune))

    def _known(self, sent: Sent) -> Sent:
        sent.run = self.run_number
        sent.doomed = self.model.is_dead(sent.target)
        self.model.events[sent.n] = sent
        return sent

    def _some_door(self) -> str:
        doors = list(self.model.names)
        # Mostly the living: the root, and those heard of last.
        return self.chance.choice((*doors, *doors[-4:], self.root_eci))

    def _send_new(self, eci: str) -> None:
        chance = self.chance
        kind = chance.choices(list(self.kinds), list(self.kinds.values()))[0]
        n = self._count()
        target = self.model.names[eci]
        attrs = self._attrs(kind, n, target)
        key = None
        if chance.random() < self.keyed:
            key = f"key{chance.choice((n, n, n, chance.randint(1, n)))}"
        sent = Sent(n, kind, attrs, eci, target, key)
        names = self.model.names
        sent.dead_to = frozenset(
            to
            for to in attrs.get("to", ())
            if kind not in ("fail", "call") and self.model.is_dead(names[to])
        )
        self._post(self._known(sent))

    def _attrs(self, kind: str, n: int, target: str) -> dict[str, Any]:
        chance = self.chance
        attrs: dict[str, Any] = {"n": n}
        if kind == "send":
            attrs["to"] = [self._some_door() for _ in range(chance.choice((1, 1, 2, 6)))]
            attrs["path"] = [self._some_door() for _ in range(chance.choice((0, 0, 2, 8)))]
        elif kind == "far_send":
            attrs["to"] = [self._some_door() for _ in range(chance.choice((1, 1, 2, 12)))]
        elif kind == "call":
            attrs["to"] = self._some_door()
        elif kind == "ask":
            attrs["path"] = [self._some_door() for _ in range(chance.choice((1, 1, 2, 4)))]
        elif kind == "later":
            wait_ms = chance.choice((-1_000, 0, 1, 50, 5_000, 600_000))
            attrs["at"] = self.machine.clock.now_ms() + wait_ms
        elif kind == "equip":
            number = chance.randrange(40)
            attrs["url"] = f"sim:extra?{number}" if number else "sim:missing"
        elif kind == "spawn":
            attrs["names"] = [f"p{n}.{i}" for i in range(chance.choice((1, 1, 3)))]
        elif kind == "prune":
            kids = [kid for kid, parent in self.model.parents.items() if parent == target]
            attrs["name"] = chance.choice(kids) if kids else "nobody"
        elif kind in ("grow", "shrink"):
            count = chance.choice((1, 2, 10, 80))
            attrs["keys"] = [f"k{chance.randint(0, 2 * count)}" for _ in range(count)]
        elif kind == "fail":
            attrs["to"] = self._some_door()
        elif kind == "chain":
            attrs["depth"] = chance.choice((0, 1, 5, 40))
        return attrs

    def _repeat(self) -> None:
        """A client that does not know sends again under the same key; or somebody reuses a key."""
        chance = self.chance
        keyed = [sent for sent in self.model.events.values() if sent.key is not None]
        if not keyed:
            return
        sent = chance.choice(keyed)
        if chance.random() < 0.7:
            self._post(sent)
        else:
            n = self._count()
            other = Sent(n, "note", {"n": n}, sent.eci, sent.target, sent.key)
            self._post(self._known(other))

    def _post(self, sent: Sent) -> None:
        core = self.machine.core
        chance = self.chance
        sent.posts += 1
        if sent.fate == "refused":
            sent.fate = "open"
        post = self.posts = self.posts + 1
        how = "signal" if chance.random() < self.signals else "event"
        if sent.key is None and chance.random() < 0.1:
            how = "event-query"
        # The answer to a key is that of the way in which it was used first.
        sent.how = how if sent.posts == 1 else sent.how
        how = sent.how
        key = "" if sent.key is None else f" key {sent.key}"
        self.trace.append(f"{how} {sent.n} {sent.kind} to {sent.target}{key} {sent.attrs}")
        self.outstanding[post] = f"{how} {sent.n}"
        done = self._noting(partial(self._answered, sent, post, how, self.machine.starts))
        attrs = dict(sent.attrs)
        if how == "signal":
            core.post_signal(sent.eci, "sim", sent.kind, attrs, done, key=sent.key)
        elif how == "event":
            core.post(sent.eci, "sim", sent.kind, attrs, done, key=sent.key)
        else:
            core.post_event_query(sent.eci, "sim", sent.kind, attrs, "sim.node", "state", {}, done)
        if chance.random() < 0.3:
            core.committer.flush()

    def _noting(self, done: Callable[[Any], object]) -> Callable[[Any], object]:
        """The engine protects itself from callbacks that raise; this run must hear of it."""

        def noted(got: Any) -> None:
            try:
                done(got)
            except Exception as failure:
                self.failures.append(failure)

        return noted

    def _answered(self, sent: Sent, post: int, how: str, start: int, got: Any) -> None:
        assert start == self.machine.starts, "an engine that was stopped answered"
        assert self.outstanding.pop(post, None), f"{how} {sent.n} was answered twice"
        if isinstance(got, Fault):
            self.trace.append(f"  {sent.n} → {got.code}")
            self._refused(sent, got)
            return
        self.trace.append(f"  {sent.n} → done")
        model = self.model
        assert not sent.doomed, f"{sent.target} is gone, and answered event {sent.n}"
        # What is remembered under a key was answered by the living.
        is_kept = (sent.eci, sent.key) in model.answers
        assert how == "signal" or is_kept or not model.is_dead(sent.target), (
            f"{sent.target} is gone, and answered event {sent.n}"
        )
        if sent.key is not None:
            known = model.answers.setdefault((sent.eci, sent.key), (sent.n, got))
            assert known == (sent.n, got), f"key {sent.key}: answered {got}, before {known}"
        if isinstance(got, Answer):
            model.learn(got.value, sent.eci)
            model.done(sent, [], None)
            kinds = [entry["attrs"].get("n") for entry in got.value["log"]]
            assert sent.n in kinds, f"the query behind event {sent.n} did not see it"
        elif isinstance(got, str):
            sent.fate = "done"
        else:
            model.done(sent, got["directives"], len(got.get("errors", ())))

    def _refused(self, sent: Sent, fault: Fault) -> None:
        model = self.model
        if fault.code.startswith("R9"):
            raise RuntimeError(f"the engine failed: {fault!r}")
        is_fault_of_event = sent.how == "event-query" and sent.kind in FAULTING
        # What a pico that was asked is told by those it asks may be a refusal of theirs.
        is_of_others = is_fault_of_event and sent.kind in ("call", "ask")
        if fault.code == "R1005" and not is_of_others:
            # Somebody was told that it is gone, so it stays gone.
            model.dead.add(sent.target)
        if fault.code in REFUSALS and not is_of_others:
            if sent.fate == "open" and sent.posts == 1:
                sent.fate = "refused"
        elif is_of_others:
            sent.fate = "unknown"
        else:
            assert is_fault_of_event or fault.code in STOPPED, f"{sent.n}: {fault!r}"
            if is_fault_of_event and fault.code not in STOPPED:
                sent.fate = "done"
            elif sent.fate == "open":
                sent.fate = "unknown"

    def _ask(self, eci: str) -> None:
        post = self.posts = self.posts + 1
        name = self.model.names[eci]
        self.trace.append(f"query {name}")
        self.outstanding[post] = f"query {name}"
        # Everything accepted before the query must show in its answer.
        before = [
            sent
            for sent in self.model.events.values()
            if sent.target == name
            and (sent.fate == "done" or (sent.fate == "open" and sent.run == self.run_number))
        ]
        # Where a turn waits for something, at least what was evaluated.
        evaluated = {sent.n for sent in before if sent.fate == "done" and sent.how == "event"}
        is_dead = self.model.is_dead(name)
        done = self._noting(partial(self._shown, eci, post, before, evaluated, is_dead))
        self.machine.core.post_query(eci, "sim.node", "state", {}, done)

    def _ask_through(self, eci: str) -> None:
        """Ask a pico how many events another one has handled."""
        post = self.posts = self.posts + 1
        path = [self._some_door() for _ in range(self.chance.choice((1, 1, 3)))]
        name = self.model.names[path[-1]]
        self.trace.append(f"query {self.model.names[eci]} about {name}")
        self.outstanding[post] = f"query about {name}"
        self.has_waited = True
        done = self._noting(partial(self._told, name, post))
        self.machine.core.post_query(eci, "sim.node", "handled", {"path": path}, done)

    def _told(self, name: str, post: int, got: Any) -> None:
        assert self.outstanding.pop(post, None), f"a query about {name} was answered twice"
        if isinstance(got, Fault):
            assert got.code in STOPPED | {"R1001", "R1005", "R2005", "R4021"}, repr(got)
            return
        self.model.counts[name] = max(self.model.counts.get(name, 0), got.value)

    def _shown(
        self,
        eci: str,
        post: int,
        before: list[Sent],
        evaluated: set[int],
        is_dead: bool,
        got: Any,
    ) -> None:
        name = self.model.names[eci]
        assert self.outstanding.pop(post, None), f"a query of {name} was answered twice"
        if isinstance(got, Fault):
            self.trace.append(f"  query {name} → {got.code}")
            assert got.code in STOPPED | {"R1005"}, f"query of {name}: {got!r}"
            if got.code == "R1005":
                self.model.dead.add(name)
            return
        self.trace.append(f"  query {name} → {len(got.value['log'])} events")
        assert not is_dead, f"{name} is gone, and answered a query"
        self.model.learn(got.value, eci)
        seen = {entry["attrs"].get("n") for entry in got.value["log"]}
        if got.stale:
            assert self.has_waited or any(e.kind in WAITING for e in self.model.events.values())
            assert evaluated <= seen, f"{name}: a query did not see {evaluated - seen}"
            return
        for sent in before:
            # What is open under a key may still be refused for that key.
            if sent.fate == "done" or (sent.fate == "open" and sent.key is None):
                assert sent.n in seen, f"{name}: a query did not see event {sent.n} before it"


def simulate(seed: int) -> Report:
    """Run one seed.

    Raises: AssertionError when an invariant does not hold.
    """
    return Simulation(seed).run()
