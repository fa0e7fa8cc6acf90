"""The data file of the demo, and what should be found in it, worked out without picos.

In: a CSV file of times and temperatures. Out: `Reading` values in the order of the file, and the
`Findings` that a sensor told of all of them must come to. Not here: anything of KRL, so that the
two can be compared.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

DATA = Path(__file__).parent.parent / "temperature" / "seattle-temps.csv"
HOURS_OF_HEAT = 6


class Reading(NamedTuple):
    """One line of the file; `time` is its identity, `temperature` is in degrees Fahrenheit."""

    time: str
    temperature: float


class Findings(NamedTuple):
    """What a sensor finds. `heat_days`: day -> hours that ended six hot hours in a row."""

    violations: int
    hottest_day: str
    hottest_mean: float
    heat_days: dict[str, int]


def load_readings(file: Path = DATA) -> list[Reading]:
    """Read the whole file.

    Raises: ValueError when a time stands there twice: then counting by time would mean nothing.
    """
    with file.open(newline="") as lines:
        readings = [Reading(row["date"], float(row["temp"])) for row in csv.DictReader(lines)]
    if len({reading.time for reading in readings}) != len(readings):
        raise ValueError(f"{file} holds a time twice")
    return readings


def find(readings: Sequence[Reading], threshold: float) -> Findings:
    """Work out what a sensor with this threshold must find."""
    by_day: defaultdict[str, list[float]] = defaultdict(list)
    heat_days: defaultdict[str, int] = defaultdict(int)
    hot_hours = violations = 0
    for time, temperature in readings:
        day = time[:10]
        by_day[day].append(temperature)
        if temperature <= threshold:
            hot_hours = 0
            continue
        violations += 1
        hot_hours += 1
        if hot_hours >= HOURS_OF_HEAT:
            heat_days[day] += 1
    means = {day: sum(values) / len(values) for day, values in by_day.items()}
    hottest = max(means, key=lambda day: means[day])
    return Findings(violations, hottest, means[hottest], dict(heat_days))
