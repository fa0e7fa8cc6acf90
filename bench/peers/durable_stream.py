"""The matcher's stream through `durable_rules` alone, for bench/matcher.py.

    python durable_stream.py CYCLE

CYCLE is JSON, [[name, attributes], ...]. In: on each line how many events to post. Out: for each
line {"cpu_us": all threads, "fired": {rule: times}}. Runs in an environment that has durable_rules
and nothing of ours. Facts are in memory only; what an attribute pattern captured is not kept, as
the package has no captures.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from itertools import count
from time import process_time_ns
from typing import Any

START_MS = 1_700_000_000_000
LIMIT_MS = 5_000

# Measured, not depended on, so it is found by name where this runs.
PACKAGE = "durable"
lang: Any = import_module(f"{PACKAGE}.lang")
refused = import_module(f"{PACKAGE}.engine").MessageNotHandledException
m, c = lang.m, lang.c
fired: Counter[str] = Counter()
number = count()


def on(name: str) -> Callable[[Any], None]:
    def body(_: Any) -> None:
        fired[name] += 1

    body.__name__ = name
    return body


with lang.ruleset("ex"):
    lang.when_all(c.first << m.name == "a", c.second << (m.name == "b") & (m.t > c.first.t))(
        on("a_then_b")
    )
    lang.when_all(lang.count(5), m.name == "tick")(on("count5"))
    lang.when_any(
        lang.all(m.name == "x", m.name == "y"),
        lang.all(m.name == "x", m.name == "z"),
        lang.all(m.name == "y", m.name == "z"),
    )(on("any2of3"))
    lang.when_all(
        c.p << m.name == "p",
        c.q << (m.name == "q") & (m.t > c.p.t) & (m.t <= c.p.t + LIMIT_MS),
    )(on("p_before_q"))
    lang.when_all(
        (m.name == "order") & m.amount.matches("[0-9]+") & m.sku.matches("[A-Z][A-Z]-[0-9]+")
    )(on("order"))


def stretch(cycle: list[tuple[str, dict[str, str]]], events: int) -> dict[str, Any]:
    """Post the next events of the cycle; what that took."""
    fired.clear()
    post = lang.post
    begin = process_time_ns()
    for _ in range(events):
        sent = next(number)
        name, attrs = cycle[sent % len(cycle)]
        # Its way to say that no rule takes an event.
        with suppress(refused):
            post("ex", {"name": name, **attrs, "t": START_MS + sent})
    return {"cpu_us": (process_time_ns() - begin) / 1000, "fired": dict(fired)}


if __name__ == "__main__":
    the_cycle = json.loads(sys.argv[1])
    for line in sys.stdin:
        print(json.dumps(stretch(the_cycle, int(line))), flush=True)
