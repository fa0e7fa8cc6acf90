"""A city: its engine, its community of sensors, and the readings that they get.

In: a data file, and how many sensors. Out: sensors that were told of some hours, and what each of
them then has to find, worked out here without picos.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from examples.demo.processes import DemoError
from examples.demo.readings import Reading, load_readings
from examples.demo.stream import Cut, Message, Stream
from examples.temperature.engine import Engine, until
from examples.temperature.link import Link

FOLDER = Path(__file__).parent
NEIGHBOURHOOD = "example.neighbourhood"
GOSSIP = "example.gossip"
WRANGLER = "io.picolabs.wrangler"
# Every sensor of a city measures the same, so each finds another temperature too high.
THRESHOLD_LOWEST = 58.0
THRESHOLD_HIGHEST = 74.0
SETTLE_SECONDS = 30


class Sensor(NamedTuple):
    """A sensor, by the channel that takes its readings."""

    name: str
    eci: str
    threshold: float


class Town:
    """One city; `link` is the way by which the other one reaches its engine."""

    def __init__(self, name: str, file: str, folder: Path, link: Link) -> None:
        self.name = name
        self.readings = load_readings(FOLDER / file)
        self.link = link
        self.engine = Engine(folder / name, link.url)
        self.sensors: list[Sensor] = []
        # What all its sensors were told last.
        self.last: Reading | None = None
        self._root = ""
        self._community = ""
        self._family = ""

    def open(self, bundle: Path) -> None:
        """Let the other engine in, have the rulesets, and make a community."""
        self.link.target = self.engine.port
        self.engine.deploy(bundle)
        self._root = self.engine.root()
        asked = {"name": self.name, "pico_type": NEIGHBOURHOOD}
        self.engine.event(self._root, "wrangler", "new_child_request", asked)
        ((self._family, _),) = self._children()
        channels = self.engine.show(self._family)["channels"]
        self._community = next(one["id"] for one in channels if one["tags"] == ["operator"])

    def make_sensors(self, count: int) -> None:
        """Have the community make sensors, and wait until they are at home."""
        step = (THRESHOLD_HIGHEST - THRESHOLD_LOWEST) / (count - 1)
        thresholds = {
            f"{self.name}-{number + 1}": THRESHOLD_LOWEST + number * step for number in range(count)
        }
        for name, threshold in thresholds.items():
            asked = {"name": name, "threshold": str(threshold)}
            self.engine.event(self._community, "community", "new_sensor", asked)
        found = until(f"{self.name}'s sensors join", SETTLE_SECONDS, lambda: self._joined(count))
        self.sensors = [Sensor(name, found[name], thresholds[name]) for name in thresholds]

    def _joined(self, count: int) -> dict[str, str] | None:
        found: dict[str, str] = self.engine.query(self._community, NEIGHBOURHOOD, "sensors")
        return found if len(found) == count else None

    def meet(self, other: Town) -> None:
        """Have this community and another one know each other."""
        door = other.engine.query(other._community, NEIGHBOURHOOD, "door")
        asked = {"door": door, "host": other.link.url}
        self.engine.event(self._community, "community", "meet", asked)

    def _children(self) -> list[tuple[str, str]]:
        found = self.engine.query(self._root, WRANGLER, "children")
        return [(child["eci"], child["name"]) for child in found]

    def delete_community(self) -> None:
        """Delete the community's pico; wait until its channels are dead.

        Raises: DemoError when one of the sensors went with it.
        """
        asked = {"eci": self._family}
        self.engine.event(self._root, "wrangler", "child_deletion_request", asked)
        until(f"{self.name}'s community goes", SETTLE_SECONDS, self._has_no_community)
        left = {name for _, name in self._children()}
        if left != {sensor.name for sensor in self.sensors}:
            raise DemoError(f"{self.name}: with the community went more than it")

    def _has_no_community(self) -> bool:
        return self.engine.status_of(self._community, NEIGHBOURHOOD, "sensors") == 410

    # --- Readings ---------------------------------------------------------------------------------

    def messages(self, times: Sequence[str]) -> list[Message]:
        """One event for each sensor and hour."""
        at = {reading.time: reading for reading in self.readings}
        self.last = at[times[-1]]
        return [
            Message(
                f"/c/{sensor.eci}/event/sensor/reading",
                {"time": time, "temperature": at[time].temperature},
                key=time,
            )
            for time in times
            for sensor in self.sensors
        ]

    def feed(self, times: Sequence[str]) -> None:
        """Tell all sensors of some hours."""
        self._send(self.messages(times))

    def feed_and_kill(self, times: Sequence[str]) -> int:
        """The same, but the engine is killed in the middle of it; how many were not acknowledged.

        They are sent again under the same keys.
        """
        messages = self.messages(times)
        with Stream(self.engine.url) as stream:

            def kill(answers: int) -> None:
                if stream.acknowledged * 2 >= len(messages):
                    self.engine.kill()

            try:
                stream.send(messages, kill)
            except Cut:
                stream.drain()
            sent, acknowledged = stream.sent, stream.acknowledged
        self.engine.start()
        self.link.target = self.engine.port
        self._send(messages[acknowledged:])
        return sent - acknowledged

    def _send(self, messages: Sequence[Message]) -> None:
        # Without a terminal there is nobody to watch.
        bar = tqdm(total=len(messages), desc=self.name, unit=" readings", disable=None, leave=False)
        with Stream(self.engine.url) as stream, bar:
            try:
                stream.send(messages, bar.update)
            except Cut:
                raise DemoError(f"{self.name}: the engine closed the connection") from None

    # --- Findings ---------------------------------------------------------------------------------

    def lose(self, part: float) -> None:
        """Let its sensors not hear so much of what is said to them, and the link lose as much."""
        for sensor in self.sensors:
            self.engine.event(sensor.eci, "gossip", "loss", {"part": part})
        self.link.loses = part

    def ask(self, function: str) -> list[Any]:
        """What each sensor answers."""
        return [self.engine.query(sensor.eci, GOSSIP, function) for sensor in self.sensors]

    def knows_itself(self) -> bool:
        """Whether each sensor knows the last reading of all sensors of this city."""
        own = set(self.expected())
        return all(
            own <= {(entry["time"], entry["is_hot"]) for entry in state.values()}
            for state in self.ask("known")
        )

    def expected(self) -> list[tuple[str, bool]]:
        """The last reading of each sensor, as all sensors should know it: time, is it too hot."""
        last = self.last
        if last is None:
            return []
        return [(last.time, last.temperature > sensor.threshold) for sensor in self.sensors]
