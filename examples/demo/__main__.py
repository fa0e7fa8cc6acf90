"""The story of the demo, and the checks that make it fail when something does not hold.

In: nothing but the example rulesets and data. Out: what a sensor pico knows after a year of
readings, events per second, and proof that an engine killed in the middle loses nothing it
acknowledged. Exit code 0 when all held, 1 with the reason when something did not.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, NoReturn

from tqdm import tqdm

from examples.demo.processes import DemoError, EngineProcess, run, run_json
from examples.demo.readings import DATA, Findings, Reading, find, load_readings
from examples.demo.stream import Cut, Message, Stream

RULESETS = DATA.parent
SENSOR = "example.sensor"
COMMUNITY = "example.community"
THRESHOLD = 70
TRIES_FOR_SENSOR = 50


def say(text: str) -> None:
    """Print one line, at once."""
    print(text, flush=True)


def check(holds: bool, what: str) -> None:
    """Go on only if it holds.

    Raises: DemoError with the words that say what does not.
    """
    if not holds:
        raise DemoError(what)


def make_sensor(home: Path, name: str) -> str:
    """Make a sensor pico; return the ECI of the channel that takes its readings."""
    at = ("--home", home)
    run(
        "pico",
        "event",
        "root",
        "community",
        "new_sensor",
        f"name={name}",
        f"threshold={THRESHOLD}",
        *at,
    )
    # The child makes its channel in a turn of its own, and tells its parent in another.
    for _ in range(TRIES_FOR_SENSOR):
        eci = run_json("pico", "query", "root", COMMUNITY, "sensor", f"name={name}", *at)
        if eci:
            return str(eci)
    raise DemoError(f"the sensor {name} did not tell its channel")


def messages_for(eci: str, readings: Sequence[Reading], form: str) -> list[Message]:
    """Events for readings; `form` is event-wait (answered after evaluation) or event (accepted)."""
    path = f"/c/{eci}/{form}/sensor/reading"
    return [
        Message(path, {"time": time, "temperature": temperature}, key=time)
        for time, temperature in readings
    ]


def ask(home: Path, eci: str, function: str) -> Any:
    """The value of one of the sensor's shared functions."""
    return run_json("pico", "query", eci, SENSOR, function, "--home", home)


def stream_all(url: str, messages: Sequence[Message], label: str) -> float:
    """Send everything with a progress bar; the seconds it took."""
    start = perf_counter()
    with Stream(url) as stream, _bar(len(messages), label) as bar:
        try:
            stream.send(messages, bar.update)
        except Cut:
            raise DemoError("the engine closed the connection in the middle of a stream") from None
    return perf_counter() - start


def _bar(total: int, label: str) -> Any:
    # Without a terminal there is nobody to watch, and a log would fill with half-drawn bars.
    return tqdm(total=total, desc=label, unit=" events", disable=None, leave=False, smoothing=0.1)


def first_year(home: Path, url: str, readings: Sequence[Reading]) -> None:
    """Stream a year into a sensor, and compare what it knows with what the file says."""
    eci = make_sensor(home, "seattle")
    say(f"made the sensor pico `seattle` (threshold {THRESHOLD} °F)")
    seconds = stream_all(url, messages_for(eci, readings, "event-wait"), "seattle")
    say(
        f"streamed {len(readings):,} readings in {seconds:.1f} s: "
        f"{len(readings) / seconds:,.0f} events a second, each durable before its answer"
    )
    summary, hottest = ask(home, eci, "summary"), ask(home, eci, "hottest_day")
    heat_days = ask(home, eci, "heat_days")
    say("what the pico knows now:")
    say(f"  readings kept        {summary['readings']:,}")
    say(f"  threshold violations {summary['violations']:,} (above {summary['threshold']} °F)")
    say(f"  hottest day          {hottest['day']} (mean {hottest['mean']:.1f} °F)")
    say(
        f"  heat pattern         six hot hours in a row on {len(heat_days)} days, "
        f"from {min(heat_days, default='-')} to {max(heat_days, default='-')}"
    )
    compare(find(readings, THRESHOLD), len(readings), summary, hottest, heat_days)


def compare(
    expected: Findings,
    count: int,
    summary: dict[str, Any],
    hottest: dict[str, Any],
    heat_days: dict[str, int],
) -> None:
    """Hold what the pico says against what the file says.

    Raises: DemoError for the first difference.
    """
    for what, told, right in (
        ("readings kept", summary["readings"], count),
        ("violations", summary["violations"], expected.violations),
        ("hottest day", hottest["day"], expected.hottest_day),
        ("mean of the hottest day", round(hottest["mean"], 6), round(expected.hottest_mean, 6)),
        ("days with the heat pattern", heat_days, expected.heat_days),
    ):
        check(told == right, f"{what}: the pico says {told}, the file says {right}")
    say("  all as worked out from the file without picos")


def second_year(home: Path, engine: EngineProcess, readings: Sequence[Reading]) -> None:
    """Kill the engine in the middle of a stream, start it again, and look for every event."""
    eci = make_sensor(home, "seattle-again")
    messages = messages_for(eci, readings, "event")
    say("made the sensor pico `seattle-again`; streaming, this time as signals")
    stop_at = len(messages) // 2
    sent, acknowledged = _stream_and_kill(engine, messages, stop_at)
    say(
        f"killed the engine (process {engine.pid}) with SIGKILL after {acknowledged:,} "
        f"acknowledged events; {sent - acknowledged} were on their way"
    )
    # On the same port, as its clients expect.
    with EngineProcess(home, engine.port) as again:
        say(f"started it again on the same data folder and port (process {again.pid})")
        times = [reading.time for reading in readings]
        arrivals = ask(home, eci, "arrivals")
        lost = [time for time in times[:acknowledged] if arrivals.get(time) != 1]
        check(not lost, f"{len(lost)} acknowledged events are not there once, first {lost[:1]}")
        say(f"  acknowledged         {acknowledged:,}, each there exactly once")
        doubtful = [arrivals.get(time, 0) for time in times[acknowledged:sent]]
        check(max(doubtful, default=0) <= 1, "an unacknowledged event is there more than once")
        say(f"  not acknowledged     {len(doubtful)}, of which {sum(doubtful)} are there, once")
        strangers = arrivals.keys() - set(times[:sent])
        check(not strangers, f"{len(strangers)} events are there that were never sent")
        # The same keys: what the engine has already is not applied again.
        stream_all(again.url, messages[acknowledged:], "seattle-again")
        arrivals = ask(home, eci, "arrivals")
        once = sum(1 for time in times if arrivals.get(time) == 1)
        check(once == len(times) == len(arrivals), f"only {once} of {len(times)} are there once")
        say(
            f"sent the rest, and the unacknowledged again with the same keys: "
            f"{once:,} readings, each there exactly once"
        )
        again.stop()


def _stream_and_kill(
    engine: EngineProcess, messages: Sequence[Message], stop_at: int
) -> tuple[int, int]:
    """Stream until so many are acknowledged, kill the engine; numbers sent and acknowledged."""
    with Stream(engine.url) as stream, _bar(len(messages), "seattle-again") as bar:

        def on_answer(answers: int) -> None:
            bar.update(answers)
            if stream.acknowledged >= stop_at:
                engine.kill()

        try:
            stream.send(messages, on_answer)
        except Cut:
            stream.drain()
        check(stream.acknowledged < len(messages), "the stream was over before the engine died")
        return stream.sent, stream.acknowledged


def demo(folder: Path) -> None:
    """The whole demo, in a folder of its own.

    Raises: DemoError when something does not hold.
    """
    readings = load_readings()
    bundle, home = folder / "temperature.krlb", folder / "home"
    run("krlc", "build", RULESETS / "sensor.krl", RULESETS / "community.krl", "-o", bundle)
    say(f"built {bundle.name} ({bundle.stat().st_size:,} bytes) from two rulesets")
    with EngineProcess(home) as engine:
        say(f"started an engine at {engine.url} (process {engine.pid})")
        run("pico", "deploy", bundle, "--home", home)
        say("deployed the bundle to its root pico")
        first_year(home, engine.url, readings)
        second_year(home, engine, readings)


def _terminated(number: int, frame: object) -> NoReturn:
    del frame
    sys.exit(128 + number)


def main() -> int:
    """Run the demo in a temporary folder; the exit code."""
    # A terminated demo must stop its engine, too: exiting runs the `with` blocks' ends.
    signal.signal(signal.SIGTERM, _terminated)
    start = perf_counter()
    try:
        with tempfile.TemporaryDirectory(prefix="pico-demo-") as folder:
            demo(Path(folder))
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: stopped", file=sys.stderr)
        return 130
    say(
        f"done in {perf_counter() - start:.0f} s on Python {sys.version.split()[0]}, "
        f"{os.cpu_count()} processors"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
