"""The event matcher alone, beside `select-when` from npm and `durable_rules` from PyPI.

    python -m bench.matcher [--peer FOLDER] [--durable PYTHON] [--rounds N]

FOLDER is one with `node_modules/select-when` in it; PYTHON is the interpreter of an environment
with durable_rules. Without them their rows say so. In: nothing else. Out: Markdown tables, medians
with spread over rounds in which the sides take turns: CPU per event of W4's stream, look-ups, what
rules cost that do not match, and the cost of a step against the number of live positions.
Invariants: every side makes its event objects within the measured stretch, event times are 1 ms
apart, and what fired is checked for each stretch. Not here: the engine around the matcher but for
the comparison of few with many rules (`python -m bench` measures that).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import repeat
from pathlib import Path
from statistics import median
from time import process_time_ns
from typing import Any

import krlc
from bench import peer
from bench.cases import CASES
from bench.compile import InProcess
from bench.limit import Limit
from bench.measure import Subject, WrongAnswer, measure
from bench.peer import Peer
from bench.report import facts, number, table
from bench.requests import expression_requests, salience_requests
from bench.workloads import Events, source_of
from ext import Salience
from runtime import Engine
from runtime.event import Event
from runtime.memory import MemoryStore
from runtime.module import Module, Rule

SUMMARY = "The event matcher alone, beside other matchers where they are installed."
START_MS = 1_700_000_000_000
# W4's stream: a cycle of 16 events, and how often each rule fires in it.
CYCLE = expression_requests("")
PER_CYCLE = {"a_then_b": 2, "count5": 1, "any2of3": 1, "p_before_q": 1, "order": 2}
FEW, MANY = 10, 10_000
# Cycles of each side in a round: a fifth of a second or so, after a warm-up of as many.
OUR_CYCLES, PEER_CYCLES, DURABLE_CYCLES = 10_000, 400, 200
LOOKUPS = 1_000_000
STEPS = 100_000
# Short samples that alternate often: what else the machine does moves within a second.
W3_EVENTS, W3_TURNS = 1_500, 4
# So many samples before the first that counts: CPython specialises a function at its tenth run.
W3_WARM_UP = 8
OPERANDS = (2, 4, 8)
WANTED_RATIO = 25
WANTED_LOOKUPS = 5_000_000
WANTED_PER_RULES = 1.1


# --- Our core -------------------------------------------------------------------------------------


def module_of(text: str, name: str) -> Module:
    """Compile a ruleset and load its module, as the engine does."""
    compiled = krlc.compile_source(text, f"{name}.krl")
    assert compiled.ok, compiled.diagnostics
    record = {
        "manifest": compiled.manifest,
        "source": text,
        "module": compiled.module,
        "url": f"bench:{name}",
    }
    return Module(krlc.code_object(compiled), record)


class Core:
    """Salience and automata of bench.expr, with `others` more rules that the stream never meets."""

    def __init__(self, others: int = 0) -> None:
        rules = module_of(source_of("bench.expr"), "bench.expr").rules
        more = [(rules[0], ((f"d{i % 10}" if i % 2 else "ex", f"e{i}"),)) for i in range(others)]
        self.salience: Salience[Rule] = Salience([[(rule, rule.salience) for rule in rules], more])
        self.states = {rule.key: rule.machine.start for rule in rules if rule.machine}
        self.fired = {rule.name: 0 for rule in rules}
        self.sent = 0

    def offer(self, event: Event) -> list[tuple[str, tuple[Any, ...]]]:
        """Rules that an event selects, each with its settings."""
        found = []
        for _, rules in self.salience.lookup(event.domain, event.name):
            for rule in rules:
                assert rule.machine is not None
                state = self.states[rule.key]
                settings, moved = rule.machine.step(
                    state, None, event, event.time_ms, rule.within_ms
                )
                self.states[rule.key] = moved
                if settings is not None:
                    found.append((rule.name, settings))
        return found

    def check(self) -> None:
        """Send one cycle, and hold what was selected and set against what has to be.

        Raises: WrongAnswer.
        """
        for request in CYCLE:
            event = Event("", request.domain, request.name, request.attrs, self.time_ms(), "")
            expected = [(name, tuple(options.values())) for name, options in request.expected]
            got = self.offer(event)
            if got != expected:
                raise WrongAnswer(f"event {request.name} selected {got}, and should {expected}")

    def time_ms(self) -> int:
        self.sent += 1
        return START_MS + self.sent

    def stretch(self, cycles: int) -> float:
        """CPU µs per event of so many cycles.

        Raises: WrongAnswer.
        """
        lookup, states, fired = self.salience.lookup, self.states, self.fired
        for name in fired:
            fired[name] = 0
        kinds = [(request.domain, request.name, request.attrs) for request in CYCLE]
        time_ms = START_MS + self.sent
        gc.collect()
        begin = process_time_ns()
        for _ in range(cycles):
            for domain, name, attrs in kinds:
                time_ms += 1
                event = Event("", domain, name, attrs, time_ms, "")
                for _, rules in lookup(domain, name):
                    for rule in rules:
                        state = states[rule.key]
                        settings, moved = rule.machine.step(
                            state, None, event, event.time_ms, rule.within_ms
                        )
                        if moved is not state:
                            states[rule.key] = moved
                        if settings is not None:
                            fired[rule.name] += 1
        took = process_time_ns() - begin
        self.sent = time_ms - START_MS
        check_fired("the core", fired, cycles)
        return took / 1000 / (cycles * len(kinds))


def check_fired(who: str, fired: dict[str, int], cycles: int) -> None:
    """Raises: WrongAnswer when the rules did not fire as the stream of so many cycles has it."""
    expected = {name: times * cycles for name, times in PER_CYCLE.items()}
    if fired != expected:
        raise WrongAnswer(f"{who} fired {fired}, and should have {expected}")


# --- Peers ----------------------------------------------------------------------------------------


class Stream:
    """Another matcher in a process of its own, fed with the same stream."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.name = peer.name

    def stretch(self, cycles: int) -> float:
        """CPU µs per event, of all its threads.

        Raises: OSError when it stopped, WrongAnswer.
        """
        answer = self.peer.say(str(cycles * len(CYCLE)))
        check_fired(self.name, answer["fired"], cycles)
        return float(answer["cpu_us"]) / (cycles * len(CYCLE))

    def close(self) -> None:
        self.peer.close()


THE_CYCLE = json.dumps([[request.name, request.attrs] for request in CYCLE])


def select_when(folder: Path) -> Stream:
    """`select-when` in FOLDER/node_modules.

    Raises: OSError.
    """
    return Stream(peer.select_when(folder, THE_CYCLE))


def durable(python: Path) -> Stream:
    """`durable_rules` in the environment of an interpreter.

    Raises: OSError.
    """
    if shutil.which(python) is None:
        raise OSError(f"{python} is no interpreter; give bin/python of the peer's environment")
    script = str(peer.DRIVERS / "durable_stream.py")
    return Stream(Peer("durable_rules", [str(python), script, THE_CYCLE]))


# --- Measuring ------------------------------------------------------------------------------------

# One side: how it does a stretch, giving its cost.
Side = Callable[[], float]


def take_turns(sides: dict[str, Side], rounds: int) -> dict[str, list[float]]:
    """Costs of every side over so many rounds, the order turned round each time."""
    for side in sides.values():
        side()  # the first stretch fills caches and lets a peer compile itself
    costs: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds):
        for name in sides if turn % 2 == 0 else reversed(sides):
            costs[name].append(sides[name]())
    return costs


def span(costs: list[float]) -> str:
    """Median with least and greatest."""
    return f"{number(median(costs))} [{number(min(costs))}..{number(max(costs))}]"


def ratios(over: list[float], under: list[float]) -> str:
    """Quotients of neighbouring samples: median with least and greatest."""
    return span([a / b for a, b in zip(over, under, strict=True)])


def lookup_ns(core: Core, domain: str, name: str, count: int) -> float:
    """CPU ns of a look-up, the empty loop around it subtracted."""
    lookup = core.salience.lookup
    if lookup(domain, name):
        raise WrongAnswer(f"{domain}:{name} is not to concern any rule")
    start = process_time_ns()
    for _ in repeat(None, count):
        lookup(domain, name)
    middle = process_time_ns()
    for _ in repeat(None, count):
        pass
    empty = process_time_ns() - middle
    return max(middle - start - empty, 1) / count


def stream_rows(peers: Sequence[Stream], rounds: int, part: float = 1) -> list[list[str]]:
    """W4's stream: our core with few and with many rules that do not match, then the peers.

    Raises: OSError, WrongAnswer.
    """
    cores = {count: Core(count) for count in (0, FEW, MANY)}
    for core in cores.values():
        core.check()
    cycles = max(1, int(OUR_CYCLES * part))
    sides: dict[str, Side] = {
        f"core, {count:,} other rules" if count else "core": partial(core.stretch, cycles)
        for count, core in cores.items()
    }
    sizes = {"select-when": PEER_CYCLES, "durable_rules": DURABLE_CYCLES}
    for each in peers:
        theirs = max(1, int(sizes[each.name] * part))
        sides[each.name] = partial(each.stretch, theirs)
    costs = take_turns(sides, rounds)
    rows = []
    for name, values in costs.items():
        wanted = {
            f"core, {MANY:,} other rules": f"≤ {WANTED_PER_RULES} × {FEW} rules",
            "select-when": f"≥ {WANTED_RATIO} × core",
        }.get(name, "")
        against = costs[f"core, {FEW:,} other rules"] if name.endswith(" rules") else costs["core"]
        ratio = "" if name in ("core", f"core, {FEW:,} other rules") else ratios(values, against)
        rows.append([name, span(values), ratio, wanted])
    return rows


def lookup_rows(rounds: int, part: float = 1) -> list[list[str]]:
    """Look-ups that select no rule."""
    count = max(1000, int(LOOKUPS * part))
    cores = {"5 rules": Core(), f"{MANY:,} rules": Core(MANY)}
    sides: dict[str, Side] = {}
    for said, core in cores.items():
        for what, domain in (("name unknown", "ex"), ("domain unknown", "other")):
            sides[f"{said}, {what}"] = partial(lookup_ns, core, domain, "none", count)
    return [
        [name, span(values), f"{1e3 / median(values):.1f}", f"≥ {WANTED_LOOKUPS / 1e6:.0f}"]
        for name, values in take_turns(sides, rounds).items()
    ]


# --- Live positions -------------------------------------------------------------------------------


def expressions(n: int) -> dict[str, tuple[str, list[tuple[str, dict[str, str]]]]]:
    """Event expressions with n positions alive, each with a stream that ends with a selection."""
    names = [f"a{i}" for i in range(1, n + 1)]
    guarded = [f"e b k re#^{i}$#" for i in range(1, n + 1)]
    return {
        "`any 2` of n + 1": (
            f"any 2 ({', '.join(f'e {name}' for name in [*names, 'z'])})",
            [(names[-1], {}), ("z", {})],
        ),
        "n operands of `and`": (
            " and ".join(f"e {name}" for name in names),
            [(name, {}) for name in names],
        ),
        "n of `a then b` waiting": (
            " or ".join(f"(e a then e {name})" for name in names),
            [("a", {}), (names[-1], {})],
        ),
        "n patterns on one event": (
            f"e a then ({' or '.join(guarded)})",
            [("a", {}), ("b", {"k": str(n)})],
        ),
    }


def rule_of(expression: str) -> Rule:
    """A rule that is selected by an event expression."""
    text = f"ruleset bench.step {{ rule one {{ select when {expression} noop() }} }}"
    return module_of(text, "bench.step").rules[0]


def step_ns(rule: Rule, stream: list[tuple[str, dict[str, str]]], count: int) -> float:
    """CPU ns of a step, the loop around it included; the stream is sent over and over.

    Raises: WrongAnswer when it does not select once each time.
    """
    machine = rule.machine
    assert machine is not None
    events = [Event("", "e", name, attrs, START_MS, "") for name, attrs in stream]
    laps = max(1, count // len(events))
    state, step, selected = machine.start, machine.step, 0
    begin = process_time_ns()
    for _ in range(laps):
        for event in events:
            settings, state = step(state, None, event, START_MS, None)
            if settings is not None:
                selected += 1
    took = process_time_ns() - begin
    if selected != laps:
        raise WrongAnswer(f"{rule.name} was selected {selected} times, and should be {laps}")
    return took / (laps * len(events))


def step_rows(rounds: int, part: float = 1) -> list[list[str]]:
    """The cost of a step against the number of live positions.

    Raises: WrongAnswer.
    """
    count = max(100, int(STEPS * part))
    sides: dict[str, Side] = {}
    for n in OPERANDS:
        for said, (expression, stream) in expressions(n).items():
            sides[f"{said}|{n}"] = partial(step_ns, rule_of(expression), stream, count)
    costs = take_turns(sides, rounds)
    low, high = OPERANDS[0], OPERANDS[-1]
    return [
        [
            said,
            *(span(costs[f"{said}|{n}"]) for n in OPERANDS),
            ratios(costs[f"{said}|{high}"], costs[f"{said}|{low}"]),
            f"≤ {high // low}",
        ]
        for said in expressions(low)
    ]


# --- The engine around it -------------------------------------------------------------------------


async def engine_rows(rounds: int, part: float = 1) -> list[list[str]]:
    """W3 in the engine, stored in memory: one of 10 or of 1,000 rules fires.

    The third row sends the ten events of the first to the thousand rules: what rules cost that do
    not match. The limit rows do the same input and output with no rules, so their ratio is what a
    thousand different requests cost the benchmark itself.

    Raises: WrongAnswer.
    """
    count = max(64, int(W3_EVENTS * part))
    few, many = (next(c for c in CASES if c.name.startswith(f"W3/{n}-")) for n in (10, 1000))
    soon = asyncio.get_running_loop().call_soon
    async with (
        Engine.open(None, compiler=InProcess()) as small,
        Engine.open(None, compiler=InProcess()) as large,
    ):
        base, limit = "engine, W3, 10 rules", "limit row of W3, 10 requests"
        subjects: dict[str, Subject] = {
            base: await few.ours(small),
            "engine, W3, 1,000 rules": await many.ours(large),
            "engine, 1,000 rules, the events of the 10": Events(
                large, salience_requests(10, large.root_eci)
            ),
            limit: Limit(MemoryStore(soon), soon, few.limits["limit"]()),
            "limit row of W3, 1,000 requests": Limit(
                MemoryStore(soon), soon, many.limits["limit"]()
            ),
        }
        costs: dict[str, list[float]] = {name: [] for name in subjects}
        for turn in range(-W3_WARM_UP, rounds * W3_TURNS):
            for name in subjects if turn % 2 == 0 else reversed(subjects):
                sample = await measure(subjects[name], count, few.flight)
                if turn >= 0:
                    costs[name].append(sample.cpu_us)
    rows = []
    for name, values in costs.items():
        is_limit = name.startswith("limit")
        ratio = "" if name in (base, limit) else ratios(values, costs[limit if is_limit else base])
        wanted = f"≤ {WANTED_PER_RULES} × 10 rules" if ratio and not is_limit else ""
        rows.append([name, span(values), ratio, wanted])
    return rows


# --- Command line ---------------------------------------------------------------------------------


def show(peers: Sequence[Stream], missing: Sequence[str], rounds: int, part: float = 1) -> str:
    """Measure everything; all tables as Markdown.

    Raises: OSError, WrongAnswer.
    """
    stream = stream_rows(peers, rounds, part)
    stream += [[name, "not measured", "", ""] for name in missing]
    stream += asyncio.run(engine_rows(rounds, part))
    # A spread of one sample is none, and these are quick.
    more = rounds if part < 1 else max(rounds, 5)
    positions = [f"n = {n}, ns a step" for n in OPERANDS]
    return "\n\n".join(
        [
            "W4's stream:",
            table(("what", "CPU µs per event", "ratio", "wanted"), stream),
            "Look-ups that select no rule, the empty loop subtracted:",
            table(("salience", "CPU ns", "million a second", "wanted"), lookup_rows(more, part)),
            "A step against the number n of live positions:",
            table(("expression", *positions, "8 over 2", "wanted"), step_rows(more, part)),
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; exit code 2 when a peer cannot be used, 1 for a wrong answer."""
    parser = argparse.ArgumentParser(prog="python -m bench.matcher", description=SUMMARY)
    parser.add_argument("--peer", type=Path, metavar="FOLDER", help="has node_modules/select-when")
    parser.add_argument(
        "--durable", type=Path, metavar="PYTHON", help="interpreter that can import durable_rules"
    )
    parser.add_argument("--rounds", type=int, default=9, metavar="N")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error("--rounds takes 1 or more")
    peers: list[Stream] = []
    missing = []
    try:
        if options.peer is None:
            missing.append("select-when: see --peer")
        else:
            peers.append(select_when(options.peer))
        if options.durable is None:
            missing.append("durable_rules: see --durable")
        else:
            peers.append(durable(options.durable))
        before = facts()
        text = show(peers, missing, options.rounds)
    except OSError as error:
        print(f"bench.matcher: {error}", file=sys.stderr)
        return 2
    except WrongAnswer as error:
        print(f"bench.matcher: wrong answer: {error}", file=sys.stderr)
        return 1
    finally:
        for each in peers:
            each.close()
    known = {**facts(), "load": before["load"] + facts()["load"]}
    print(text, "\n" + ", ".join(f"{key} {value}" for key, value in known.items()), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
