"""The temperature network: its merge keeps the laws, and whatever happens its sensors agree.

Simulated runs are two engines on virtual time, with what a seed lets go wrong; the last test is the
script itself, with two processes.
"""

from __future__ import annotations

import contextlib
import logging
import random
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import krlc
from examples.temperature import run
from examples.temperature.link import Link
from krlc.bundle import write_bundle
from krlc.picotypes import read_type
from runtime.clock import VirtualClock
from runtime.describe import describe
from runtime.errors import Fault
from runtime.system import adopt
from tests.harness.engine import TestEngine
from tests.harness.network import SimulatedNetwork, Site, Stop
from tests.harness.rulesets import source_rulesets

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "temperature"
GOSSIP = "example.gossip"
NEIGHBOURHOOD = "example.neighbourhood"
NOON = "2010/07/10 12:00"
State = dict[str, dict[str, Any]]
Merge = Callable[[State, State], State]


def text_of(name: str) -> str:
    """A ruleset without the remarks before it: the harness takes its second word for its id."""
    text = (FOLDER / name).read_text("utf-8")
    return text[text.index("\nruleset ") :]


# --- Merging --------------------------------------------------------------------------------------


def new_engine() -> TestEngine:
    """An engine whose root pico gossips."""
    engine = TestEngine(system=True)
    engine.install(text_of("gossip.krl"))
    engine.event("wrangler", "pico_initialized", {"name": "s", "threshold": 70})
    return engine


@pytest.fixture(scope="module")
def merge() -> Merge:
    """The ruleset's function."""
    engine = new_engine()
    return lambda some, others: engine.query(GOSSIP, "merge", {"some": some, "others": others})


HOURS = [f"2010/07/{day:02} {hour:02}:00" for day in (9, 10) for hour in (9, 10)]
ENTRIES = st.fixed_dictionaries({"time": st.sampled_from(HOURS), "is_hot": st.booleans()})
STATES = st.dictionaries(st.sampled_from("abcdef"), ENTRIES)


@given(one=STATES, other=STATES)
def test_merge_is_commutative(merge: Merge, one: State, other: State) -> None:
    assert merge(one, other) == merge(other, one)


@given(one=STATES, other=STATES, third=STATES)
def test_merge_is_associative(merge: Merge, one: State, other: State, third: State) -> None:
    assert merge(merge(one, other), third) == merge(one, merge(other, third))


@given(one=STATES, other=STATES)
def test_merge_is_idempotent(merge: Merge, one: State, other: State) -> None:
    assert merge(one, one) == one
    assert merge(merge(one, other), other) == merge(one, other)


@given(one=STATES, other=STATES)
def test_merge_keeps_the_later_entry_of_each_sensor(merge: Merge, one: State, other: State) -> None:
    def order(entry: dict[str, Any]) -> tuple[str, bool]:
        return entry["time"], entry["is_hot"]

    found = merge(one, other)
    assert found == {
        sensor: max((side[sensor] for side in (one, other) if sensor in side), key=order)
        for sensor in {*one, *other}
    }


# --- One sensor -----------------------------------------------------------------------------------


@pytest.fixture
def engine() -> TestEngine:
    return new_engine()


def summary(engine: TestEngine) -> dict[str, Any]:
    found: dict[str, Any] = engine.query(GOSSIP, "summary")
    return found


def read(engine: TestEngine, time: str, temperature: Any) -> None:
    answer = engine.event("sensor", "reading", {"time": time, "temperature": temperature})
    assert "errors" not in answer


def test_violation_is_current(engine: TestEngine) -> None:
    told = []
    for hour, temperature in enumerate([70, "70.1", 90, 69.9, -3]):
        read(engine, f"2010/07/10 {hour:02}:00", temperature)
        told.append(summary(engine)["violations"])
    assert told == [0, 1, 1, 0, 0]


@pytest.mark.parametrize(("time", "temperature"), [("", 80), (NOON, "hot"), (NOON, None)])
def test_reading_that_is_none_changes_nothing(
    engine: TestEngine, time: str, temperature: Any
) -> None:
    read(engine, time, temperature)
    assert engine.query(GOSSIP, "known") == {}


def test_late_and_repeated_readings_change_nothing(engine: TestEngine) -> None:
    read(engine, NOON, 80)
    before = engine.query(GOSSIP, "known")
    read(engine, NOON, 80)
    read(engine, "2010/07/10 11:00", 60)
    assert engine.query(GOSSIP, "known") == before
    assert summary(engine)["violations"] == 1


def hear(engine: TestEngine, state: Any) -> None:
    answer = engine.event("gossip", "state", {"state": state, "is_question": True})
    assert "errors" not in answer


def test_sensor_learns_what_it_hears(engine: TestEngine) -> None:
    hear(engine, {"x": {"time": NOON, "is_hot": True}, "y": {"time": NOON, "is_hot": False}})
    assert (summary(engine)["sensors"], summary(engine)["violations"]) == (2, 1)


def test_sensor_hears_nothing_while_all_is_lost(engine: TestEngine) -> None:
    engine.event("gossip", "loss", {"part": 1})
    hear(engine, {"x": {"time": NOON, "is_hot": True}})
    assert (summary(engine)["sensors"], summary(engine)["lost"]) == (0, 1)


@pytest.mark.parametrize(
    "state",
    [
        None,
        [],
        {"x": None},
        {"x": {"time": NOON}},
        {"x": {"is_hot": True}},
        {"x": {"time": 1, "is_hot": True}},
        {"x": {"time": NOON, "is_hot": "yes"}},
    ],
)
def test_what_is_no_state_is_not_learned(engine: TestEngine, state: Any) -> None:
    hear(engine, state)
    assert summary(engine)["sensors"] == 0


# --- The network, simulated -----------------------------------------------------------------------


@cache
def bundle(gossip: str) -> bytes:
    """What is deployed to both engines: two rulesets, one of which is given, and their types."""
    neighbourhood = (FOLDER / "neighbourhood.krl").read_text("utf-8")
    compiled = [
        krlc.compile_source(text, name)
        for name, text in (("gossip.krl", gossip), ("neighbourhood.krl", neighbourhood))
    ]
    assert all(one.ok for one in compiled)
    rids = {one.rid for one in compiled}
    files = [f"{name}.picotype.json" for name in ("gossip", "neighbourhood")]
    types = [read_type((FOLDER / file).read_text("utf-8"), file, rids) for file in files]
    return write_bundle(compiled, types)


def start_again(site: Site) -> None:
    """A site stops, and starts on what was durable, and perhaps some more."""
    while True:
        site.stop(site.network.chance.randint(0, site.store.unsynced_batches))
        try:
            site.start()
            return
        except Stop:
            continue


class Town:
    """An engine with a community of sensors; what it was told survives."""

    def __init__(self, wires: SimulatedNetwork, name: str, packed: bytes) -> None:
        self.name = name
        self.site = Site(wires, f"http://{name}")
        core = self.site.living
        adopt(core, source_rulesets())
        self.site.wait(lambda done: core.registry.add_bundle(packed, done))
        asked = {"name": name, "pico_type": NEIGHBOURHOOD}
        self.tell(self.site.root, "wrangler:new_child_request", asked)
        ((self.family_eci, _),) = self.children()
        channels = describe(core, self.family_eci)["channels"]
        (self.community,) = [one["id"] for one in channels if one["tags"] == ["operator"]]
        # Name -> ECI, and what each was told last: name -> (time, whether it was too hot).
        self.sensors: dict[str, str] = {}
        self.thresholds: dict[str, int] = {}
        self.last: dict[str, tuple[str, bool]] = {}

    def tell(self, eci: str, event: str, attrs: dict[str, Any]) -> None:
        """Have an event handled, starting the engine again if it stops meanwhile."""
        domain, _, name = event.partition(":")
        while True:
            try:
                assert "errors" not in self.site.event(domain, name, attrs, eci)
                return
            except Stop as stop:
                start_again(stop.site)

    def children(self) -> list[tuple[str, str]]:
        """ECI and name of each child of the root."""
        found = self.site.query("io.picolabs.wrangler", "children")
        return [(one["eci"], one["name"]) for one in found]

    def ask(self, name: str, function: str = "summary") -> Any:
        return self.site.query(GOSSIP, function, self.sensors[name])

    def read(self, name: str, time: str, temperature: float) -> None:
        self.tell(self.sensors[name], "sensor:reading", {"time": time, "temperature": temperature})
        self.last[name] = (time, temperature > self.thresholds[name])


class Network:
    """Two towns, and what goes wrong between them, by seed."""

    def __init__(self, seed: int, gossip: str = "", sensors: int = 3) -> None:
        self.chance = random.Random(f"temperatures {seed}")
        self.clock = VirtualClock(1_700_000_000_000)
        self.wires = SimulatedNetwork(self.clock, seed, delay_ms=(1, 300))
        packed = bundle(gossip or (FOLDER / "gossip.krl").read_text("utf-8"))
        self.towns = [Town(self.wires, name, packed) for name in ("here", "there")]
        for town in self.towns:
            for number in range(sensors):
                name = f"{town.name}-{number}"
                threshold = town.thresholds[name] = self.chance.randint(60, 80)
                attrs = {"name": name, "threshold": str(threshold)}
                town.tell(town.community, "community:new_sensor", attrs)
            self.pass_seconds(5)
            town.sensors = town.site.query(NEIGHBOURHOOD, "sensors", town.community)
            assert sorted(town.sensors) == sorted(town.thresholds)
        here, there = self.towns
        door = there.site.query(NEIGHBOURHOOD, "door", there.community)
        here.tell(here.community, "community:meet", {"door": door, "host": there.site.host})
        self.pass_seconds(10)
        self.hour = 0

    def stop_at_random(self, rate: float) -> None:
        """From now on each crash point stops its engine so often."""
        for town in self.towns:
            town.site.stop_rate = rate

    def pass_seconds(self, seconds: float) -> None:
        """Time passes; whoever stops on the way starts again."""
        end = self.clock.now_ms() + round(seconds * 1000)
        while self.clock.now_ms() < end:
            try:
                self.clock.advance_to(end)
            except Stop as stop:
                start_again(stop.site)

    def read(self, *towns: Town) -> None:
        """An hour passes for all sensors of some towns, whose readings may come twice."""
        self.hour += 1
        time = f"2010/07/{1 + self.hour // 24:02} {self.hour % 24:02}:00"
        for town in towns:
            for name in town.sensors:
                temperature = self.chance.randint(50, 90)
                for _ in range(self.chance.choice((1, 1, 2))):
                    town.read(name, time, temperature)
        self.pass_seconds(self.chance.random() * 2)

    def known(self) -> list[State]:
        """What each sensor knows."""
        return [town.ask(name, "known") for town in self.towns for name in town.sensors]

    @property
    def is_agreed(self) -> bool:
        """Whether all know what was told to each."""
        expected = sorted(entry for town in self.towns for entry in town.last.values())
        return all(
            sorted((entry["time"], entry["is_hot"]) for entry in state.values()) == expected
            for state in self.known()
        )

    def seconds_until_agreed(self, seconds_max: int) -> int:
        """How many seconds pass until all sensors know the same, and that is right."""
        for seconds in range(seconds_max):
            if self.is_agreed:
                return seconds
            self.pass_seconds(1)
        raise AssertionError(f"no agreement in {seconds_max} s: {self.known()}")

    def lose(self, part: float) -> None:
        """So much of what is said is not heard, and so much between the engines does not arrive."""
        self.wires.loses = part
        for town in self.towns:
            for eci in town.sensors.values():
                town.tell(eci, "gossip:loss", {"part": part})

    def delete_communities(self) -> None:
        """Both communities are gone, and their channels dead; all sensors live."""
        for town in self.towns:
            attrs = {"eci": town.family_eci}
            town.tell(town.site.root, "wrangler:child_deletion_request", attrs)
        self.pass_seconds(10)
        for town in self.towns:
            assert sorted(name for _, name in town.children()) == sorted(town.sensors)
            with pytest.raises(Fault) as told:
                town.site.query(NEIGHBOURHOOD, "sensors", town.community)
            assert told.value.code == "R1005"


@pytest.fixture
def _quiet() -> Iterator[None]:
    """Events that do not arrive are business as usual here."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def seconds_until_agreed_after_all(seed: int, gossip: str = "") -> int:
    """What the network goes through, and how many seconds its sensors take to agree after it."""
    network = Network(seed, gossip)
    here, there = network.towns
    network.read(here, there)
    network.lose(0.3)
    network.delete_communities()
    network.stop_at_random(0.003)
    for _ in range(4):
        network.read(here, there)
    # Each side goes on for itself, and one of them stops in the middle of it.
    network.wires.cut(here.site.host, there.site.host)
    network.read(here, there)
    start_again(there.site)
    network.read(here)
    network.read(there)
    network.pass_seconds(20)
    network.stop_at_random(0)
    assert not network.is_agreed
    # What is said is still lost as before, but the engines reach each other again.
    network.wires.heal()
    return network.seconds_until_agreed(300)


def test_sensors_agree_within_seconds_while_nothing_goes_wrong() -> None:
    network = Network(1)
    network.read(*network.towns)
    assert network.seconds_until_agreed(20) > 0


@pytest.mark.usefixtures("_quiet")
@pytest.mark.parametrize("seed", range(1, 5))
def test_sensors_agree_after_loss_partition_stops_and_without_communities(seed: int) -> None:
    assert seconds_until_agreed_after_all(seed) > 0


@pytest.mark.usefixtures("_quiet")
def test_seed_takes_the_same_steps_again() -> None:
    assert seconds_until_agreed_after_all(2) == seconds_until_agreed_after_all(2)


@pytest.mark.usefixtures("_quiet")
def test_sensors_that_believe_who_spoke_last_do_not_agree() -> None:
    right = (FOLDER / "gossip.krl").read_text("utf-8")
    wrong = right.replace("other.isnull() || order > 0 ||", "true ||")
    assert wrong != right
    with pytest.raises(AssertionError, match="no agreement in 300 s"):
        seconds_until_agreed_after_all(1, wrong)


# --- The script -----------------------------------------------------------------------------------


class Told:
    """A city as the script sees it: what its sensors know, and what they should."""

    def __init__(self, known: list[State], expected: list[tuple[str, bool]]) -> None:
        self._known = known
        self._expected = expected

    def ask(self, function: str) -> list[State]:
        assert function == "known"
        return self._known

    def expected(self) -> list[tuple[str, bool]]:
        return self._expected


def state_of(*heats: bool) -> State:
    return {str(n): {"time": NOON, "is_hot": is_hot} for n, is_hot in enumerate(heats)}


@pytest.mark.parametrize(
    ("states", "count"),
    [
        ([state_of(True, False), state_of(True, False)], 1),
        ([state_of(False, True), state_of(True, False)], None),
        ([state_of(True, False), state_of(True)], None),
        ([state_of(True, True), state_of(True, True)], None),
        ([state_of(True), state_of(True)], None),
    ],
    ids=["right", "different", "one knows less", "all wrong", "all know less"],
)
def test_agreement_is_that_all_know_the_same_and_it_is_right(
    states: list[State], count: int | None
) -> None:
    towns: Any = [Told(states[:1], [(NOON, True)]), Told(states[1:], [(NOON, False)])]
    assert run.agreed(towns) == count


def test_sensors_that_do_not_agree_end_the_script(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def story(*_: object) -> None:
        towns: Any = [Told([state_of(True)], [(NOON, False)])]
        run.wait_for_agreement(towns)

    monkeypatch.setattr(run, "AGREE_SECONDS", 0)
    monkeypatch.setattr(run, "network", story)
    assert run.main(["--small"]) == 1
    assert capsys.readouterr().err == "temperatures: all sensors agree: not within 0 seconds\n"


@pytest.fixture
def echoing() -> Iterator[tuple[Link, Callable[[], bytes]]]:
    """A link to a server that sends back what it gets, and a call that tries it once."""
    with socket.create_server(("127.0.0.1", 0)) as listening, Link(1) as link:
        link.target = listening.getsockname()[1]

        def serve() -> None:
            while True:
                connection, _ = listening.accept()
                with connection, contextlib.suppress(ConnectionError):
                    data = connection.recv(100)
                    connection.sendall(data)
                    if data == b"end":
                        return

        def call(data: bytes = b"hello") -> bytes:
            port = int(link.url.rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port), 30) as connection:
                try:
                    connection.sendall(data)
                    return connection.recv(100)
                except ConnectionError:
                    return b""

        server = threading.Thread(target=serve)
        server.start()
        yield link, call
        link.loses = 0
        link.heal()
        assert call(b"end") == b"end"
        server.join()


def test_link_is_cut_and_healed(echoing: tuple[Link, Callable[[], bytes]]) -> None:
    link, call = echoing
    assert call() == b"hello"
    link.cut()
    assert call() == b""
    link.heal()
    assert call() == b"hello"
    assert link.lost == 0


def test_link_loses_its_part(echoing: tuple[Link, Callable[[], bytes]]) -> None:
    link, call = echoing
    link.loses = 0.3
    answers = [call() for _ in range(60)]
    assert answers.count(b"") == link.lost
    # Both directions lose: about half of all calls come to nothing.
    assert 15 < link.lost < 45


def plain(text: str) -> list[str]:
    """Lines in which all numbers are one, so that runs can be compared."""
    return [re.sub(r"[\d.,:/]*\d", "#", " ".join(line.split())) for line in text.splitlines()]


def test_small_form_does_what_the_readme_shows() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.temperature.run", "--small"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    readme = (FOLDER / "README.md").read_text("utf-8")
    shown = readme.partition("examples.temperature.run --small\n")[2].partition("\n\nThe ")[0]
    assert plain(done.stdout) == plain("\n".join(line[4:] for line in shown.splitlines()))
