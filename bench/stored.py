"""Start-up time, memory and waking against the number of stored picos: none may depend on it.

In: a number N. Out: a data folder with N picos and the root, built by writing rows directly, and
what a new process needs to open it and to wake random picos. The rows are made by the functions the
engine makes them with: a tree in which every pico has up to 100 children, two rulesets, a channel
that allows all, and one entity variable whose value tells which pico it is.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import shake_128
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec
import uvloop
from tqdm import tqdm

from bench.measure import WrongAnswer, ask, median, resident_mb
from bench.peer import NodeEngine
from bench.plans import family_plan
from bench.requests import url_of
from bench.workloads import know
from runtime import Engine
from runtime.channel import OPEN, Channel
from runtime.layer import Layer
from runtime.pico import Install, Structure, structure_rows
from runtime.registry import Compiler
from runtime.rocks import RocksStore
from runtime.store import Batch, decode_record, encode_record, variable_key

CHILDREN = 100
RULESETS = ("bench.hello", "bench.counter")
BATCH_PICOS = 500
WAKES = 300
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_TO_BASE36 = bytes(ord(_BASE36[byte % 36]) for byte in range(256))


class Tree:
    """Who is whose child, and what everybody is called: all of it follows from a pico's number.

    Pico 0 is the root; `root_id` is its id.
    """

    def __init__(self, count: int, root_id: str) -> None:
        self.count = count
        self._root_id = root_id

    def pico(self, number: int) -> str:
        """The id of a pico."""
        return self._root_id if number == 0 else _name("p", number)

    def open_eci(self, number: int) -> str:
        """The channel of a pico that allows all."""
        return _name("o", number)

    def children(self, number: int) -> range:
        """The numbers of a pico's children."""
        first = number * CHILDREN + 1
        return range(first, max(first, min(first + CHILDREN, self.count + 1)))

    def structure(self, number: int, installs: tuple[Install, ...], old: Structure) -> Structure:
        """A pico's structure; `old` is what it has beside family and rulesets."""
        channels: dict[str, Channel] = {}
        own = self.pico(number)
        parent: str | None = None
        if number:
            parent_id = self.pico((number - 1) // CHILDREN)
            parent = _name("f", number)
            channels[own] = Channel(own, own, ("system", "self"), OPEN, OPEN, own)
            child_eci = _name("c", number)
            channels[child_eci] = Channel(
                child_eci, own, ("system", "child"), OPEN, OPEN, parent_id
            )
            open_eci = self.open_eci(number)
            channels[open_eci] = Channel(open_eci, own, ("bench",))
        children: dict[str, str] = {}
        for child in self.children(number):
            eci = _name("f", child)
            channels[eci] = Channel(eci, own, ("system", "parent"), OPEN, OPEN, self.pico(child))
            children[_name("c", child)] = self.pico(child)
        return Structure(
            parent,
            installs,
            len(children),
            Layer(dict(old.children or {}), children),
            Layer(dict(old.channels or {}), channels),
        )


def _name(kind: str, number: int) -> str:
    """An identifier of the real form that follows from a number."""
    digest = shake_128(f"{kind}{number}".encode()).digest(25)
    return "c00" + digest.translate(_TO_BASE36).decode("ascii")


# --- Building -------------------------------------------------------------------------------------


def build(count: int, home: Path, compiler: Compiler | None = None) -> float:
    """Make a data folder with `count` picos below the root; return the seconds it took."""
    begin = perf_counter()
    root_id, root, installs = asyncio.run(_prepare(home, compiler))
    store = RocksStore(home / "db", lambda call: call(), durability="none")
    try:
        picos = _rows(Tree(count, root_id), root, installs)
        shown = tqdm(picos, total=count + 1, unit="pico", disable=not sys.stderr.isatty())
        batch: Batch = []
        for number, rows in enumerate(shown, 1):
            batch += rows
            if number % BATCH_PICOS == 0:
                store.write(batch)
                batch = []
        store.write(batch)
    finally:
        store.close()
    return perf_counter() - begin


async def _prepare(
    home: Path, compiler: Compiler | None
) -> tuple[str, Structure, tuple[Install, ...]]:
    """Let the engine make the folder, its root pico, and compile the rulesets."""
    async with Engine.open(home, compiler=compiler) as engine:
        core = engine.core
        installs = []
        for name in RULESETS:
            await know(engine, name)
            url = url_of(name)
            module = core.registry.by_url(url)
            installs.append(Install(name, module.hash, url, {}))
        await engine.idle()
        root = core.shelf.pico(core.root_id)
        assert root is not None
        return core.root_id, core.shelf.full(root), tuple(installs)


def _rows(tree: Tree, root: Structure, installs: tuple[Install, ...]) -> Iterator[Batch]:
    empty = Structure(None, (), 0, None, None)
    for number in range(tree.count + 1):
        old = root if number == 0 else empty
        pico_id = tree.pico(number)
        new = tree.structure(number, installs, old)
        rows = structure_rows(pico_id, root if number == 0 else None, new)
        rows.append(("pico", variable_key(pico_id, "bench.counter", "n"), encode_record(number)))
        yield rows


# --- Peers ---------------------------------------------------------------------------------------


def peer_start(count: int, folder: Path, peers: Path, repeats: int) -> dict[str, dict[str, Any]]:
    """The same for the Node engine: a folder with `count` picos below the root; medians by name.

    Raises: OSError when it is not installed, or stops; WrongAnswer.
    """
    maker = NodeEngine(peers)
    try:
        begin = perf_counter()
        maker.open(family_plan(False), "disk", folder)
        maker.stretch(count, 1)
        maker.verify()
        maker.say('{"do": "close"}')
        seconds = perf_counter() - begin
    finally:
        maker.close()
    found: list[dict[str, float]] = []
    for _ in range(repeats):
        begin = perf_counter()
        peer = NodeEngine(peers)
        try:
            opened = peer.say(json.dumps({"do": "start-up", "data": str(folder)}))
        finally:
            peer.close()
        if opened["picos"] != count + 1:
            raise WrongAnswer(f"{peer.name} opened {opened['picos']} picos, and should {count + 1}")
        found.append({**opened, "process_ms": (perf_counter() - begin) * 1000})
    names = ("open_ms", "process_ms", "rss_mb")
    row = {name: median([each[name] for each in found]) for name in names}
    return {peer.name: {"picos": count, "build_s": seconds, **row}}


# --- Measuring ------------------------------------------------------------------------------------


def measure_start(count: int, home: Path, repeats: int) -> dict[str, Any]:
    """Open a folder that `build` made, each time in a new process; medians.

    Raises: WrongAnswer when a pico that was woken is not the one that was stored.
    """
    found: list[dict[str, float]] = []
    for _ in range(repeats):
        opened = _child("open", count, home)
        alone = _child("store", count, home)
        found.append({**opened, "store_ms": alone["store_ms"]})
    size = sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
    row: dict[str, Any] = {"picos": count, "disk_mb": size / (1 << 20)}
    for key in found[0]:
        row[key] = median([each[key] for each in found])
    return row


def _child(what: str, count: int, home: Path) -> dict[str, float]:
    begin = str(time.monotonic_ns())
    command = [sys.executable, "-m", "bench.stored", what, str(count), str(home), begin]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        said = ended.stderr.strip().splitlines() or ["it said nothing"]
        raise WrongAnswer(f"start-up with {count} picos: {said[-1]}")
    return msgspec.json.decode(ended.stdout, type=dict[str, float])


def store_alone(home: Path) -> dict[str, float]:
    """Open the store and read the root's entry: what starting cannot be faster than."""
    begin = perf_counter()
    store = RocksStore(home / "db", lambda call: call())
    row = store.get("meta", b"root")
    taken = perf_counter() - begin
    store.close()
    assert row is not None
    return {"store_ms": taken * 1000}


async def open_and_wake(
    count: int, home: Path, compiler: Compiler | None = None, began_ns: int | None = None
) -> dict[str, float]:
    """Open an engine, then ask random picos who they are.

    Raises: WrongAnswer.
    """
    begin = perf_counter()
    async with Engine.open(home, compiler=compiler) as engine:
        taken = perf_counter() - begin
        process_ns = 0 if began_ns is None else time.monotonic_ns() - began_ns
        rss_mb = resident_mb()
        row = engine.core.store.get("meta", b"root")
        assert row is not None
        tree = Tree(count, decode_record(row)[0])
        choose = random.Random(count)
        wakes = []
        # The first wake loads the rulesets, which all picos share.
        for number in [1, *(choose.randint(1, count) for _ in range(WAKES))]:
            at = perf_counter()
            value = await engine.query(tree.open_eci(number), "bench.counter", "n")
            wakes.append((perf_counter() - at) * 1e6)
            if value != number:
                raise WrongAnswer(f"pico {number} answered {value}")
        answer = await engine.event(tree.open_eci(count), "echo", "hello", {"name": "Bob"})
        if [d["options"] for d in answer["directives"]] != [{"name": "Bob"}]:
            raise WrongAnswer(f"pico {count} answered {answer}")
        rss_after_mb = resident_mb()
        family = await _family_of(engine, tree, count)
        if family != tree.pico((count - 1) // CHILDREN):
            raise WrongAnswer(f"the parent of pico {count} is {family}")
    ordered = sorted(wakes[1:])
    return {
        "open_ms": taken * 1000,
        "process_ms": process_ns / 1e6,
        "rss_mb": rss_mb,
        "wake_p50_us": ordered[len(ordered) // 2],
        "wake_p99_us": ordered[len(ordered) * 99 // 100],
        "rss_after_mb": rss_after_mb,
    }


async def _family_of(engine: Engine, tree: Tree, number: int) -> str:
    """The id of the pico that holds a pico's parent channel, asked of the engine."""
    core = engine.core
    eci = tree.open_eci(number)
    parent = await ask(lambda done: core.post_task(eci, lambda turn: turn.now().parent, done))
    channel = core.channel(parent)
    return "nobody" if channel is None else channel.pico_id


def main(arguments: list[str]) -> int:
    """What the measuring process starts."""
    what, count, home, began_ns = arguments
    if what == "store":
        found = store_alone(Path(home))
    else:
        work = open_and_wake(int(count), Path(home), None, int(began_ns))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            found = runner.run(work)
    print(msgspec.json.encode(found).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
