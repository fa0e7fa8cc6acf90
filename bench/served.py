"""W12: workloads over a socket; the engine, the limit row and the peer each in its own process.

    python -m bench.served TASK

In: a `Task`, as for run.py. Out: its `Row`. The client is this process; the CPU in the row is that
of the server alone, all its threads, read from the kernel's clock of that process. All sides get
the same requests from the same client, in turn. The Node engine's own server is not to be had in
this version, so it stands behind Node's `http` module alone, which costs less. Not here: the
client's connections (runtime/load/links.py), the limit row's server (limit_server.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec

from bench import plans
from bench.cases import COUNTED, FSYNC, Measured
from bench.limit import Request
from bench.measure import Done, Sample, Subject, WrongAnswer, measure
from bench.peer import NodeEngine, stretch_s
from bench.requests import (
    all_request,
    counter_rows,
    hello_requests,
    inc_requests,
    keyed_rows,
    one_request,
    plan,
    url_of,
)
from bench.run import WARM_UP, Task, measure_here, peer_storage, row_of
from bench.workloads import source_of
from runtime.client_http import Target, ask, path
from runtime.errors import Fault
from runtime.home import read_address
from runtime.load.drive import process_cpu_ns, resident_mb
from runtime.load.links import ChannelLinks, HttpLinks, Links

_START_S = 30.0
_STOP_S = 20.0
_TO_SEND = 64


class ServedCase(Measured, frozen=True, kw_only=True):
    """A case whose engine is a server, reached over `way`: "http" or "channel".

    `before` are events sent once; `keyed` events have idempotency keys. `is_signal` events are done
    when they are accepted; the CPU of evaluating them is counted until a query, which stands behind
    all of them, is answered.
    """

    way: str
    ruleset: str
    requests: Callable[[str], list[Request]]
    before: tuple[tuple[str, str], ...] = ()
    counted: tuple[str, str] | None = None
    keyed: bool = False
    is_signal: bool = False


# --- Servers --------------------------------------------------------------------------------------


class Server:
    """A process that serves; `eci` is a channel there that allows everything.

    Raises: OSError when its CPU time cannot be read here.
    """

    def __init__(self, name: str, pid: int, port: int, eci: str, token: str = "") -> None:
        if process_cpu_ns(pid) is None:
            raise OSError("the CPU time of another process cannot be read on this system")
        self.name = name
        self.pid = pid
        self.port = port
        self.eci = eci
        self.token = token


def _started(command: list[str], stack: AsyncExitStack) -> subprocess.Popen[str]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    stack.callback(_end, process)
    return process


def _end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=_STOP_S)
        return
    process.kill()
    process.communicate()


async def own_server(case: ServedCase, task: Task, stack: AsyncExitStack) -> Server:
    """`pico serve` as users start it, with the case's ruleset on its root pico.

    Raises: WrongAnswer when it does not start.
    """
    home = Path(task.folder, "home")
    command = [*(sys.executable, "-m", "runtime", "serve"), "--home", str(home), "--quiet"]
    command += ["--port", "0", "--channel-port", "0", "--durability", task.storage]
    process = _started(command, stack)
    deadline = monotonic() + _START_S
    while (address := read_address(home)) is None:
        if process.poll() is not None or monotonic() > deadline:
            raise WrongAnswer("pico serve did not start")
        await asyncio.sleep(0.02)
    target = Target(address.url, address.token)
    eci = ask(target, "/api/ui-context", needs_token=True)["eci"]
    body = {"eci": eci, "source": source_of(case.ruleset), "url": url_of(case.ruleset)}
    ask(target, "/api/install", body, needs_token=True)
    for domain, name in case.before:
        ask(target, path("c", eci, "event-wait", domain, name), {})
    where = address.url if case.way == "http" else address.channels[0]
    return Server("ours", process.pid, int(where.rsplit(":", 1)[1]), eci, address.token)


def limit_server(case: ServedCase, task: Task, stack: AsyncExitStack) -> Server:
    """The limit row's server.

    Raises: WrongAnswer when it does not start.
    """
    module = [sys.executable, "-m", "bench.limit_server"]
    process = _started([*module, case.name, task.storage, task.folder], stack)
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise WrongAnswer("the limit row's server did not start")
    return Server("limit", process.pid, json.loads(line)["port"], "ceci")


def peer_server(case: ServedCase, task: Task, stack: AsyncExitStack) -> Server | None:
    """The Node engine behind Node's own server, for what goes over HTTP.

    Raises: OSError when it is not installed or does not start; WrongAnswer.
    """
    if case.peer is None or task.peers is None:
        return None
    peer = NodeEngine(Path(task.peers))
    stack.callback(peer.close)
    data = Path(task.folder, "peer")
    data.mkdir()
    peer.open(case.peer(), peer_storage(task.storage), data)
    found = peer.say('{"do": "serve"}')
    return Server(peer.name, peer.process.pid, found["port"], found["ecis"][0])


# --- The client -----------------------------------------------------------------------------------


class Remote(Subject):
    """Sends a case's requests to a server, and checks each answer."""

    def __init__(self, case: ServedCase, links: Links, eci: str) -> None:
        self._links = links
        self._requests = case.requests(eci)
        self.is_signal = case.is_signal
        self._counted = case.counted
        self._eci = eci
        self._count = 0

    def start(self, done: Done) -> None:
        request = self._requests[self._count % len(self._requests)]
        self._count += 1
        if self.is_signal:
            assert isinstance(self._links, HttpLinks)
            send: Callable[..., object] = self._links.signal
        else:
            send = self._links.event if request.check is None else self._links.query
        send(
            *(request.eci, request.domain, request.name, request.attrs),
            lambda answer: done(request.problem(answer)),
        )

    async def behind(self) -> Any:
        """What a query says that stands behind everything sent so far."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        assert self._counted is not None
        self._links.query(self._eci, *self._counted, {}, answer.set_result)
        return await answer

    async def verify(self) -> str | None:
        if self._counted is None:
            return None
        found = await self.behind()
        return None if found == self._count else f"it counted {found}, and should {self._count}"


class Side:
    """One server, measured from here: its CPU, its memory."""

    def __init__(self, server: Server, subject: Remote, count: int, flight: int) -> None:
        self.server = server
        self.subject = subject
        self.count = count
        self._flight = flight

    async def sample(self, count: int | None = None) -> Sample:
        """Have it do its operations; the CPU and memory are the server's.

        Raises: WrongAnswer.
        """
        pid = self.server.pid
        before = process_cpu_ns(pid)
        sample = await measure(self.subject, count or self.count, self._flight)
        if self.subject.is_signal:
            await self.subject.behind()
        after = process_cpu_ns(pid)
        if before is None or after is None:
            raise WrongAnswer(f"{self.server.name} has ended")
        spent = (after - before) / 1000 / sample.count
        rss_mb = resident_mb(pid) or 0.0
        return msgspec.structs.replace(sample, cpu_us=spent, rss_mb=rss_mb)


async def _side(case: ServedCase, task: Task, server: Server, stack: AsyncExitStack) -> Side:
    """Connections to a server, and a first stretch that warms it up."""
    links: Links
    if case.way == "http":
        links = await stack.enter_async_context(
            HttpLinks.connect("127.0.0.1", server.port, case.flight)
        )
    else:
        url = f"pico://127.0.0.1:{server.port}"
        keyed = case.keyed
        links = await stack.enter_async_context(ChannelLinks.connect(url, exactly_once=keyed))
    side = Side(server, Remote(case, links, server.eci), task.count, case.flight)
    await side.sample(min(case.quick, task.count, WARM_UP))
    return side


async def run_served(case: ServedCase, task: Task) -> Any:
    """Measure a case; its row.

    Raises: WrongAnswer, naming the case.
    """
    try:
        async with AsyncExitStack() as stack:
            return await _measure_servers(case, task, stack)
    except WrongAnswer as error:
        raise WrongAnswer(f"{case.name}/{task.storage}: {error}") from None
    except (Fault, OSError) as error:
        raise WrongAnswer(f"{case.name}/{task.storage}: {error}") from error


async def _measure_servers(case: ServedCase, task: Task, stack: AsyncExitStack) -> Any:
    sides = [await _side(case, task, await own_server(case, task, stack), stack)]
    rss_mb = resident_mb(sides[0].server.pid) or 0.0
    sides.append(await _side(case, task, limit_server(case, task, stack), stack))
    absent = {}
    try:
        peer = peer_server(case, task, stack)
    except OSError as error:
        absent["pico-engine-core"] = str(error)
        peer = None
    if peer is not None:
        side = await _side(case, task, peer, stack)
        side.count = await _pace(side, task)
        sides.append(side)
    samples: dict[str, list[Sample]] = {side.server.name: [] for side in sides}
    for repeat in range(task.repeats):
        for side in sides if repeat % 2 == 0 else reversed(sides):
            samples[side.server.name].append(await side.sample())
    for side in sides:
        problem = None if side.server.name == "limit" else await side.subject.verify()
        if problem is not None:
            raise WrongAnswer(f"{side.server.name}: {problem}")
    return row_of(case, task, samples, absent, rss_mb)


async def _pace(side: Side, task: Task) -> int:
    """Warm a slower server up; how many operations take it about a stretch."""
    seconds = stretch_s(task.is_quick)
    sample = await side.sample(min(task.count, _TO_SEND))
    for _ in range(2):
        count = max(_TO_SEND, min(task.count, int(sample.per_second * seconds)))
        sample = await side.sample(count)
    return max(_TO_SEND, min(task.count, int(sample.per_second * seconds)))


# --- Cases ----------------------------------------------------------------------------------------


def _events(
    name: str, ruleset: str, requests: Callable[[str], list[Request]], rows: Any = None
) -> list[ServedCase]:
    """A workload of events over both ways, and over a channel with keys."""
    counted = COUNTED if rows else None
    http, channel = "http", "channel"
    shared = partial(_served, ruleset=ruleset, requests=requests, counted=counted)
    limits = {"limit": plan(requests, rows)}
    told = partial(plans.events_plan, ruleset, requests, counter=counted)
    keyed = {"limit": plan(requests, partial(keyed_rows, rows))}
    return [
        shared(f"{http}/{name}/64-connections", limits=limits, way=http, peer=told),
        shared(f"{channel}/{name}/64-in-flight", limits=limits, way=channel),
        shared(
            f"{channel}/{name}/64-in-flight/with-keys",
            limits=keyed,
            way=channel,
            keyed=True,
            is_extra=rows is None,
        ),
    ]


def _query(name: str, request: Callable[[str], Request]) -> ServedCase:
    return _served(
        f"http/{name}/64-connections",
        limits={"limit": plan(lambda eci: [request(eci)])},
        way="http",
        ruleset="bench.query",
        requests=lambda eci: [request(eci)],
        before=(("q", "fill"),),
        is_extra=name == "one",
        peer=partial(plans.query_plan, "bench.query", [("q", "fill", {})], request("")),
    )


def _served(variant: str, **named: Any) -> ServedCase:
    return ServedCase(*("W12", variant, 10_000, 3000, 64, FSYNC), **named)


def _accepted(eci: str) -> list[Request]:
    """W2 by signals: the answer is an eid, whatever the event leads to."""
    return [
        Request(eci, "counter", "inc", {}, check=lambda answer: type(answer) is str, value="eid")
    ]


CASES = (
    *_events("hello", "bench.hello", hello_requests),
    *_events("counter", "bench.counter", inc_requests, counter_rows),
    _served(
        "http/counter/64-connections/accepted",
        limits={"limit": plan(_accepted, counter_rows)},
        way="http",
        ruleset="bench.counter",
        requests=_accepted,
        counted=COUNTED,
        is_signal=True,
        is_extra=True,
        peer=partial(plans.events_plan, "bench.counter", inc_requests, counter=COUNTED),
    ),
    _query("all", all_request),
    _query("one", one_request),
)


if __name__ == "__main__":
    sys.exit(measure_here(CASES, run_served, sys.argv[1]))
