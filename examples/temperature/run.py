"""The story of the temperature network, and the checks that make it fail when something is wrong.

In: the rulesets and the temperatures beside this file; `--small` for a short form. Out: what
happened, and what each sensor believes in the end. Exit code 0 when all sensors agree, and are
right; 1 with the reason when they do not.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple, NoReturn

from examples.demo.processes import DemoError
from examples.temperature.engine import python, until
from examples.temperature.link import Link
from examples.temperature.town import FOLDER, Town

FILES = {"seattle": "seattle-temps.csv", "sf": "sf-temps.csv"}
LOSS = 0.3
AGREE_SECONDS = 120
BUNDLED = (
    "gossip.krl",
    "neighbourhood.krl",
    "gossip.picotype.json",
    "neighbourhood.picotype.json",
)


class Form(NamedTuple):
    """How much there is to do: sensors of each city, and which hours they are told of."""

    sensors: int
    first: str
    last: str


FULL = Form(10, "2010/07/08 00:00", "2010/07/28 16:00")
SMALL = Form(3, "2010/07/14 09:00", "2010/07/14 16:00")


def say(text: str) -> None:
    """Print one line, at once."""
    print(text, flush=True)


# --- Agreement ------------------------------------------------------------------------------------


def agreed(towns: Sequence[Town]) -> int | None:
    """The number of violations, when all sensors know the same and it is right; else None."""
    states = [state for town in towns for state in town.ask("known")]
    expected = sorted(entry for town in towns for entry in town.expected())
    is_right = sorted((one["time"], one["is_hot"]) for one in states[0].values()) == expected
    if not is_right or any(state != states[0] for state in states):
        return None
    return sum(is_hot for _, is_hot in expected)


def wait_for_agreement(towns: Sequence[Town]) -> None:
    """Wait, and tell what it came to.

    Raises: DemoError when the sensors do not agree in time.
    """
    start = perf_counter()
    # In a tuple, since no violations are an agreement, too.
    (count,) = until(
        "all sensors agree",
        AGREE_SECONDS,
        lambda: None if (found := agreed(towns)) is None else (found,),
    )
    total = sum(len(town.sensors) for town in towns)
    say(
        f"  after {perf_counter() - start:.1f} s all {total} sensors agree: "
        f"current violations {count}"
    )


def peers_wanted(count: int) -> int:
    """How many peers the sensors of two communities have in all, of so many sensors each.

    Each is introduced to up to two that came before it, and one across; both sides count.
    """
    within = sum(min(place, 2) for place in range(count))
    return 2 * (2 * within + count)


def has_met(towns: Sequence[Town], count: int) -> bool:
    """Whether all introductions have become relationships."""
    found: int = sum(one["peers"] for town in towns for one in town.ask("summary"))
    return found == peers_wanted(count)


# --- The story ------------------------------------------------------------------------------------


def build_network(here: Town, there: Town, bundle: Path, count: int) -> None:
    """Two communities of sensors, introduced to each other."""
    for town in (here, there):
        town.open(bundle)
        town.make_sensors(count)
        say(f"{town.name}: a community and {count} sensors at {town.engine.url}")
    here.meet(there)
    until("the sensors meet", AGREE_SECONDS, lambda: has_met((here, there), count))
    say(f"the communities met: {peers_wanted(count) // 2} pairs of sensors are peers now")


def tell_story(here: Town, there: Town, times: Sequence[str]) -> None:
    """Feed a third of the hours at a time, each time with something more going wrong.

    Raises: DemoError when something does not hold.
    """
    towns = (here, there)
    third = len(times) // 3
    parts = (times[:third], times[third : 2 * third], times[2 * third :])

    say(f"{len(parts[0])} hours, nothing goes wrong")
    for town in towns:
        town.feed(parts[0])
    wait_for_agreement(towns)

    for town in towns:
        town.lose(LOSS)
        town.delete_community()
    say(f"{len(parts[1])} hours, both communities deleted, {LOSS:.0%} of all messages lost")
    for town in towns:
        town.feed(parts[1])
    wait_for_agreement(towns)

    for town in towns:
        town.link.cut()
    pid = there.engine.pid
    say(f"{len(parts[2])} hours, no way between the engines, SIGKILL for {there.name}'s")
    here.feed(parts[2])
    unanswered = there.feed_and_kill(parts[2])
    say(
        f"  process {pid} was killed with {unanswered} readings not acknowledged, "
        f"and started again as {there.engine.pid}"
    )
    check_apart(here, there)
    for town in towns:
        town.link.heal()
    say(f"  the engines reach each other again; still {LOSS:.0%} of all messages are lost")
    wait_for_agreement(towns)


def check_apart(here: Town, there: Town) -> None:
    """Wait until each city's sensors know all of their own, and see that they miss the other's.

    Raises: DemoError when news came through a link that is cut.
    """
    for town in (here, there):
        until(f"{town.name}'s sensors hear of each other", AGREE_SECONDS, town.knows_itself)
        assert town.last is not None
        # Both cities were told of the same hours: who knows more of the last one knows too much.
        for state in town.ask("known"):
            of_last_hour = sum(entry["time"] == town.last.time for entry in state.values())
            if of_last_hour > len(town.sensors):
                raise DemoError(f"{town.name} has heard something through a link that is cut")
    say("  each city's sensors know of their own, and nothing new of the others")


def print_table(towns: Sequence[Town]) -> None:
    """What each sensor believes in the end."""
    say("")
    say("  sensor        own reading           messages lost   violations, as it counts them")
    for town in towns:
        assert town.last is not None
        for sensor, found in zip(town.sensors, town.ask("summary"), strict=True):
            sign = ">" if town.last.temperature > sensor.threshold else "≤"
            reading = f"{town.last.temperature:.1f} {sign} {sensor.threshold:.1f} °F"
            say(
                f"  {sensor.name:<12}  {reading:<20} {found['lost']:>13,} "
                f"{found['violations']:>15} of {found['sensors']}"
            )
    lost = sum(town.link.lost for town in towns)
    say(f"\nand {lost} connections between the engines broke with what was on them")


def network(folder: Path, form: Form) -> None:
    """The whole story, in a folder of its own.

    Raises: DemoError when something does not hold.
    """
    bundle = folder / "network.krlb"
    python("krlc", "build", *(FOLDER / name for name in BUNDLED), "-o", bundle)
    with Link(1) as to_here, Link(2) as to_there:
        here, there = (
            Town(name, file, folder, link)
            for (name, file), link in zip(FILES.items(), (to_here, to_there), strict=True)
        )
        times = [one.time for one in here.readings if form.first <= one.time <= form.last]
        with here.engine, there.engine:
            build_network(here, there, bundle, form.sensors)
            tell_story(here, there, times)
            print_table((here, there))


def _terminated(number: int, frame: object) -> NoReturn:
    del frame
    sys.exit(128 + number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the story in a temporary folder; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.temperature.run",
        description="Two communities of sensors that gossip about what goes wrong.",
        epilog="exit codes: 0 all sensors agree and are right; 1 they do not; 2 wrong use",
    )
    parser.add_argument("--small", action="store_true", help="few sensors and readings")
    form = SMALL if parser.parse_args(arguments).small else FULL
    # Who is terminated stops the engines, too: exiting runs the `with` blocks' ends.
    signal.signal(signal.SIGTERM, _terminated)
    start = perf_counter()
    try:
        with tempfile.TemporaryDirectory(prefix="pico-temperatures-") as folder:
            network(Path(folder), form)
    except DemoError as error:
        print(f"temperatures: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("temperatures: stopped", file=sys.stderr)
        return 130
    say(f"done in {perf_counter() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
