"""The example rulesets: in canonical form, without a warning, and doing what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import krlc
from examples.demo.readings import find, load_readings
from krlc.cli import main
from runtime.errors import Fault
from tests.harness.engine import TestEngine

EXAMPLES = Path(__file__).parents[2] / "examples"
SOURCES = sorted(EXAMPLES.rglob("*.krl"))
SENSOR = "example.sensor"


def source(name: str) -> str:
    return (EXAMPLES / name).read_text("utf-8")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_ruleset_is_in_canonical_form(path: Path) -> None:
    assert main(["fmt", "--check", str(path)]) == 0


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_ruleset_compiles_without_a_warning(path: Path) -> None:
    compiled = krlc.compile_source(path.read_text("utf-8"), path.name)
    assert compiled.diagnostics == ()
    assert compiled.rid == f"example.{path.stem}"


def test_hello_greets_by_event_and_query() -> None:
    engine = TestEngine()
    engine.install(source("hello/hello.krl"))
    assert engine.directives("say", "hello") == [("say", {"something": "Hello, world!"})]
    assert engine.directives("say", "hello", {"name": "Ann"}) == [
        ("say", {"something": "Hello, Ann!"})
    ]
    assert engine.query("example.hello", "greeting", {"name": "Bo"}) == "Hello, Bo!"


def test_counter_counts_and_celebrates_every_ten() -> None:
    engine = TestEngine()
    engine.install(source("counter/counter.krl"))
    assert engine.query("example.counter", "value") == 0
    assert engine.directives("counter", "bump") == [("count", {"value": 1})]
    assert engine.directives("counter", "bump", {"by": "many"}) == []
    assert engine.directives("counter", "bump", {"by": "10.5"}) == []
    assert engine.directives("counter", "bump", {"by": 0}) == [("count", {"value": 1})]
    assert engine.directives("counter", "bump", {"by": "8"}) == [("count", {"value": 9})]
    assert engine.directives("counter", "bump", {"by": 2}) == [
        ("count", {"value": 11}),
        ("celebrate", {"value": 11}),
    ]
    assert engine.directives("counter", "bump", {"by": -2}) == [("count", {"value": 9})]
    assert engine.query("example.counter", "value") == 9


@pytest.mark.parametrize(("seconds_between", "left"), [(59, 0), (61, 3)])
def test_counter_is_reset_by_two_requests_within_a_minute(seconds_between: int, left: int) -> None:
    engine = TestEngine()
    engine.install(source("counter/counter.krl"))
    engine.event("counter", "bump", {"by": 3})
    assert engine.directives("counter", "reset") == []
    engine.clock.advance(seconds_between)
    engine.directives("counter", "reset")
    assert engine.query("example.counter", "value") == left


# --- Sensors --------------------------------------------------------------------------------------


@pytest.fixture
def engine() -> TestEngine:
    """An engine whose root pico is a community."""
    engine = TestEngine()
    engine.install(source("temperature/sensor.krl"))
    engine.install(source("temperature/community.krl"))
    return engine


def new_sensor(engine: TestEngine, name: str, **attrs: Any) -> str:
    answer = engine.event("community", "new_sensor", {"name": name, **attrs})
    assert [directive["name"] for directive in answer["directives"]] == ["sensor_created"]
    eci = engine.query("example.community", "sensor", {"name": name})
    assert isinstance(eci, str)
    return eci


def ask(engine: TestEngine, eci: str, function: str) -> Any:
    return engine.query(SENSOR, function, {}, eci)


def read(engine: TestEngine, eci: str, time: str, temperature: float) -> None:
    answer = engine.event("sensor", "reading", {"time": time, "temperature": temperature}, eci)
    assert "errors" not in answer


def test_sensor_without_readings_knows_nothing(engine: TestEngine) -> None:
    eci = new_sensor(engine, "cold")
    assert ask(engine, eci, "summary") == {"readings": 0, "threshold": 70, "violations": 0}
    assert ask(engine, eci, "hottest_day") is None
    assert ask(engine, eci, "heat_days") == {}
    assert ask(engine, eci, "arrivals") == {}


def test_sensor_finds_what_the_file_says(engine: TestEngine) -> None:
    """Three weeks around the hottest day, against what is worked out without picos."""
    readings = [r for r in load_readings() if "2010/07/08" < r.time < "2010/07/29"]
    threshold = 72
    eci = new_sensor(engine, "seattle", threshold=threshold)
    for time, temperature in readings:
        read(engine, eci, time, temperature)
    expected = find(readings, threshold)
    assert expected.violations
    assert expected.heat_days
    assert ask(engine, eci, "summary") == {
        "readings": len(readings),
        "threshold": threshold,
        "violations": expected.violations,
    }
    assert ask(engine, eci, "hottest_day") == {
        "day": expected.hottest_day,
        "mean": pytest.approx(expected.hottest_mean),
    }
    assert ask(engine, eci, "heat_days") == expected.heat_days


@pytest.mark.parametrize(
    ("temperatures", "hours"),
    [
        ([80] * 5, None),
        ([80] * 6, 1),
        ([80] * 8, 3),
        ([80] * 5 + [70] + [80] * 5, None),
        ([70] + [71] * 6, 1),
    ],
)
def test_heat_is_six_hot_hours_in_a_row(
    engine: TestEngine, temperatures: list[int], hours: int | None
) -> None:
    eci = new_sensor(engine, "s")
    for hour, temperature in enumerate(temperatures):
        read(engine, eci, f"2010/07/01 {hour:02}:00", temperature)
    assert ask(engine, eci, "heat_days") == ({} if hours is None else {"2010/07/01": hours})


def test_repeated_reading_is_kept_once_and_counted(engine: TestEngine) -> None:
    eci = new_sensor(engine, "s")
    read(engine, eci, "2010/01/01 00:00", 40)
    read(engine, eci, "2010/01/01 00:00", 40)
    assert ask(engine, eci, "summary")["readings"] == 1
    assert ask(engine, eci, "arrivals") == {"2010/01/01 00:00": 2}


def test_name_is_given_to_one_sensor_only(engine: TestEngine) -> None:
    first = new_sensor(engine, "s")
    assert engine.event("community", "new_sensor", {"name": "s"})["directives"] == []
    assert engine.query("example.community", "sensors") == {"s": first}


def test_sensor_takes_readings_and_nothing_else_from_outside(engine: TestEngine) -> None:
    eci = new_sensor(engine, "s")
    with pytest.raises(Fault, match="Not allowed by channel policy"):
        engine.event("sensor", "created", {"name": "x"}, eci)
    with pytest.raises(Fault, match="Not allowed by channel policy"):
        engine.query("example.community", "sensors", {}, eci)
