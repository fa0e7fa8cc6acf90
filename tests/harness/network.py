"""Several engines on one virtual clock, and a network between them that a seed makes unreliable.

In: a shared clock, a seed, how often what goes wrong. Out: `Site` objects, each an engine under an
address, that can be stopped at any moment and started again on what was durable; between them a
network that loses, repeats, delays, reorders, and is cut, replies as well as events. Envelopes and
replies cross it as bytes. Nothing here knows what should arrive.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgspec

from runtime.clock import Handle, SeededIds, SeededRandom, VirtualClock
from runtime.engine import Core
from runtime.errors import Fault
from runtime.inbox import Answer
from runtime.memory import MemoryStore
from runtime.network import Envelope, Hear, Reply, later
from tests.harness.engine import InlineCompiler, TextFetcher

_to_wire = msgspec.msgpack.encode
_envelope = msgspec.msgpack.Decoder(Envelope).decode
_reply = msgspec.msgpack.Decoder(Reply).decode
# Loaded modules, shared by all engines of all runs in this process.
_MODULES: dict[str, Any] = {}


class Stop(BaseException):
    """A site stops here."""

    def __init__(self, site: Site, point: str) -> None:
        super().__init__(site.host, point)
        self.site = site


class SiteClock:
    """The shared clock, as one life of one engine has it: nothing of it runs after its end."""

    def __init__(self, shared: VirtualClock) -> None:
        self._shared = shared
        self.is_alive = True

    def now_ms(self) -> int:
        return self._shared.now_ms()

    def call_soon(self, fn: Callable[[], object]) -> None:
        self._shared.call_soon(lambda: self.is_alive and fn())

    def call_at(self, ms: int, fn: Callable[[], object]) -> Handle:
        return self._shared.call_at(ms, lambda: self.is_alive and fn())

    def call_after(self, ms: int, fn: Callable[[], object]) -> Handle:
        return self._shared.call_after(ms, lambda: self.is_alive and fn())

    def running_ns(self, work: int) -> int:
        return self._shared.running_ns(work)

    def resident_bytes(self) -> int:
        return self._shared.resident_bytes()

    def run_aside(self, job: Callable[[], Any], done: Callable[[Any], object]) -> None:
        self._shared.run_aside(job, lambda result: self.is_alive and done(result))


class SimulatedNetwork:
    """What lies between the sites.

    Units: `loses` and `doubles` are chances for each thing that crosses; delays in milliseconds.
    """

    def __init__(
        self,
        clock: VirtualClock,
        seed: int = 1,
        *,
        loses: float = 0.0,
        doubles: float = 0.0,
        delay_ms: tuple[int, int] = (1, 1),
        window: int = 16,
    ) -> None:
        self.clock = clock
        self.chance = random.Random(f"network {seed}")
        self.loses = loses
        self.doubles = doubles
        self.delay_ms = delay_ms
        self.window = window
        self.sites: dict[str, Site] = {}
        self.cuts: set[frozenset[str]] = set()
        # (when, sender's host, receiver's host, envelope) of everything that was handed over.
        self.tries: list[tuple[int, str, str, Envelope]] = []
        # Called with the sender's host and the envelope just before it is handed over.
        self.watch: Callable[[str, Envelope], object] = lambda host, envelope: None

    def cut(self, one: str, other: str) -> None:
        """Let nothing pass between two hosts."""
        self.cuts.add(frozenset((one, other)))

    def heal(self) -> None:
        """All hosts can be reached again, and nothing goes wrong any more."""
        self.cuts.clear()
        self.loses = self.doubles = 0.0

    def cross(self, one: str, other: str, arrive: Callable[[], object]) -> None:
        """Something goes from one host to another, perhaps."""
        chance = self.chance
        for _ in range(2 if chance.random() < self.doubles else 1):
            if chance.random() >= self.loses:
                due = self.clock.now_ms() + chance.randint(*self.delay_ms)
                self.clock.call_at(due, lambda: frozenset((one, other)) in self.cuts or arrive())

    def carry(self, one: str, other: str, data: bytes, hear: Callable[[bytes], object]) -> None:
        """An envelope arrives at a host: somebody is there, or not."""

        def answer(reply: Reply) -> None:
            wire = _to_wire(reply)
            self.cross(other, one, lambda: hear(wire))

        site = self.sites.get(other)
        if site is not None and site.core is not None:
            site.core.receive(_envelope(data), answer)
        elif self.chance.random() < 0.5:
            answer(later("R5004", f"{other} cannot be reached"))


class Endpoint:
    """One engine's way into the network, for one life of it."""

    def __init__(self, network: SimulatedNetwork, host: str, clock: SiteClock) -> None:
        self._network = network
        self._host = host
        self._clock = clock

    def send(self, host: str, envelope: Envelope, done: Hear) -> None:
        network, data = self._network, _to_wire(envelope)
        network.watch(self._host, envelope)
        network.tries.append((network.clock.now_ms(), self._host, host, envelope))

        def hear(wire: bytes) -> None:
            if self._clock.is_alive:
                done(_reply(wire))

        network.cross(self._host, host, lambda: network.carry(self._host, host, data, hear))

    def credit(self, host: str) -> int:
        return self._network.window


class Site:
    """One engine under an address, over a disk that survives it.

    `stop_rate` is how often it stops at a named crash point; syncs take up to `sync_ms`.
    """

    def __init__(
        self,
        network: SimulatedNetwork,
        host: str,
        *,
        is_connected: bool = True,
        sync_ms: int = 0,
        awake_bytes_max: int = 64 << 20,
    ) -> None:
        self.network = network
        self.host = host
        self.is_connected = is_connected
        self.sync_ms = sync_ms
        self.awake_bytes_max = awake_bytes_max
        self.stop_rate = 0.0
        self.lives = 0
        self.core: Core | None = None
        self._synced_ms = 0
        self.life = SiteClock(network.clock)
        self.store = MemoryStore(self._deliver, self._pass)
        network.sites[host] = self
        self.start()

    def _deliver(self, call: Callable[[], object]) -> None:
        """A sync ends, after all those before it."""
        now = self.network.clock.now_ms()
        wait = self.network.chance.randint(0, self.sync_ms)
        self._synced_ms = max(self._synced_ms, now + wait)
        if wait == 0 and self._synced_ms == now:
            self.life.call_soon(call)
        else:
            self.life.call_at(self._synced_ms, call)

    def _pass(self, point: str) -> None:
        if self.stop_rate and self.network.chance.random() < self.stop_rate:
            raise Stop(self, point)

    def start(self) -> None:
        """An engine over what is on the disk.

        Raises: Stop when it stops meanwhile.
        """
        self.lives += 1
        life = self.life = SiteClock(self.network.clock)
        seed = self.network.chance.getrandbits(32)
        core = Core(
            self.store,
            life,
            SeededIds(seed),
            SeededRandom(seed),
            InlineCompiler(),
            TextFetcher(),
            host=self.host,
            awake_bytes_max=self.awake_bytes_max,
            network=Endpoint(self.network, self.host, life) if self.is_connected else None,
        )
        core.registry._modules = _MODULES
        core.start()
        self._root = core.root_eci
        self.core = core

    def stop(self, surviving: int = 0) -> None:
        """The machine stops; `surviving` batches that were not durable are found again."""
        self.life.is_alive = False
        self.core = None
        self._synced_ms = 0
        self.store = self.store.crash(self._deliver, self._pass, surviving=surviving)

    # --- Asking -----------------------------------------------------------------------------------

    def wait(self, begin: Callable[[Callable[[Any], object]], object]) -> Any:
        """Start something and let time pass until it is answered; a Fault is raised."""
        answers: list[Any] = []
        begin(answers.append)
        clock = self.network.clock
        clock.run()
        for _ in range(10_000):
            if answers:
                break
            clock.advance_to(clock.now_ms() + 1)
        assert len(answers) == 1, "answered exactly once"
        if isinstance(answers[0], Fault):
            raise answers[0]
        return answers[0].value if isinstance(answers[0], Answer) else answers[0]

    @property
    def living(self) -> Core:
        """The engine, which has to run."""
        assert self.core is not None, f"{self.host} is down"
        return self.core

    @property
    def root(self) -> str:
        """A channel of the root pico that allows everything; also while the engine is down."""
        return self._root

    def install(self, source: str) -> None:
        """Install a ruleset on the root pico from its text."""
        url = "source:" + source.split(None, 2)[1].rstrip("{")
        module = self.wait(lambda done: self.living.registry.add_source(source, url, done))
        self.wait(lambda done: self.living.install(self.root, module, url, {}, done))

    def event(
        self, domain: str, name: str, attrs: dict[str, Any] | None = None, eci: str = ""
    ) -> dict[str, Any]:
        """Send an event and wait for {eid, directives, errors?}."""
        answer: dict[str, Any] = self.wait(
            lambda done: self.living.post(eci or self.root, domain, name, attrs, done)
        )
        return answer

    def query(self, rid: str, name: str, eci: str = "") -> Any:
        """Ask a shared function."""
        return self.wait(lambda done: self.living.post_query(eci or self.root, rid, name, {}, done))

    def rows(self, family: str) -> int:
        """How many rows a family has."""
        return sum(1 for _ in self.store.scan(family, b""))
