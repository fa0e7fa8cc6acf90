"""The compiler's speed, beside `krl-compiler` from npm where it is installed.

    python -m bench.compile [--peer FOLDER] [--rounds N] [--json FILE]

FOLDER is one with `node_modules/krl-compiler` in it (npm install krl-compiler@1.3.0); without it
the peer's columns stay empty. In: nothing else. Out: a table; every figure is the median of rounds
in which both sides take turns, with its spread. Rows: a cold `krlc build` of a small file; a file
of 24 kB compiled in process; that file from the engine's store, against compiling it; a cold
`krlc check` of 200 lines.
"""

from __future__ import annotations

import argparse
import json
import marshal
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import IO, Any

import krlc
from bench import peer
from bench.peer import Peer
from bench.report import facts
from krlc.nodes import Ruleset
from krlc.parser import parse
from krlc.source import Source
from runtime.clock import VirtualClock
from runtime.commit import Committer
from runtime.load.drive import resident_mb
from runtime.memory import MemoryStore
from runtime.module import Module
from runtime.registry import Registry

SUMMARY = "How fast krlc is, beside krl-compiler from npm where it is installed."
ROOT = Path(__file__).resolve().parent.parent
SMALL = ROOT / "bench/rulesets/bench.hello.krl"
EXAMPLE = ROOT / "examples/temperature/sensor.krl"
WHOLE_BYTES = 24 * 1024
CHECK_LINES = 200


def grown(size: int, is_full: Callable[[str], bool] | None = None) -> str:
    """The example ruleset with its rules repeated under new names until it is so many bytes."""
    source = Source(EXAMPLE.read_text("utf-8"), EXAMPLE.name)
    tree, _ = parse(source)
    assert isinstance(tree, Ruleset)
    text = source.text
    grown_text = text.rstrip().removesuffix("}")
    number = 1
    while len(grown_text) < size and not (is_full and is_full(grown_text)):
        number += 1
        for rule in tree.rules:
            before = text[rule.span.start : rule.name.span.start]
            after = text[rule.name.span.end : rule.span.end]
            grown_text += f"\n  {before}{rule.name.name}_{number}{after}\n"
    return grown_text + "}\n"


class NodeCompiler:
    """The compiler from npm in a process of its own.

    Raises: OSError.
    """

    def __init__(self, folder: Path) -> None:
        where = str(peer.krl_compiler(folder).resolve())
        script = str(peer.DRIVERS / "krl_compiler.js")
        self._peer = Peer("krl-compiler", [peer.node(), script, where])
        self.cli = [peer.node(), str(folder / "node_modules/krl-compiler/bin/krl-compiler")]

    def compile(self, path: Path) -> tuple[float, float]:
        """Seconds of the clock and of CPU to compile a file, without reading it.

        Raises: OSError, WrongAnswer.
        """
        answer = self._peer.say(str(path))
        return answer["ms"] / 1000, answer["cpu_ms"] / 1000

    def resident_mb(self) -> float:
        """The memory it has."""
        return resident_mb(self._peer.process.pid) or 0.0

    def cold_s(self, path: Path) -> float:
        """Seconds of its command line from start to end."""
        with path.open("rb") as text:
            return timed(lambda: run(self.cli, text))

    def close(self) -> None:
        self._peer.close()


def run(command: Sequence[str], text: IO[bytes] | None = None) -> None:
    """Run a command to its end, with the bytecode cache that an installed program has."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(
        command, stdin=text, stdout=subprocess.DEVNULL, cwd=ROOT, check=True, env=environment
    )


def timed(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


class InProcess:
    """A compiler for the registry that needs no helper process."""

    version = krlc.VERSION

    def compile(self, text: str, url: str, done: Callable[[Any], object]) -> None:
        compiled = krlc.compile_source(text, url)
        code = marshal.dumps(krlc.code_object(compiled))
        manifest, module = compiled.manifest, compiled.module
        done({"rid": compiled.rid, "manifest": manifest, "module": module, "code": code})


class NoFetcher:
    """Fetches nothing: the store has it."""

    def fetch(self, url: str, done: Callable[[Any], object], guard: Any = None) -> None:
        raise AssertionError(url)


def stored_loader(text: str) -> tuple[Callable[[], object], Callable[[], object]]:
    """Compile a ruleset to a loaded module, and load it from the store as a start does."""

    def failed(fault: object) -> None:
        raise AssertionError(fault)

    committer = Committer(MemoryStore(VirtualClock(0).call_soon), failed)
    found: list[Any] = []

    def fresh() -> Registry:
        return Registry(committer, InProcess(), NoFetcher())

    def compile_it() -> None:
        # A comment more each time, or the store would have it.
        fresh().add_source(text + "// again\n" * len(found), "bench:whole", found.append)
        assert isinstance(found[-1], Module), found[-1]

    def load_it() -> None:
        fresh().load("bench:whole", found.append)
        assert isinstance(found[-1], Module), found[-1]

    return compile_it, load_it


# --- Rows -----------------------------------------------------------------------------------------


def row(
    what: str, own: list[float], name: str, other: list[float], note: str = ""
) -> dict[str, Any]:
    """One line of the table; `ratio` is the other's median over ours, so more is better."""

    def span(times: list[float]) -> str:
        if not times:
            return "-"
        return f"{median(times) * 1e3:.1f} [{min(times) * 1e3:.1f}..{max(times) * 1e3:.1f}]"

    ratio = f"{median(other) / median(own):.2f}" if other else "-"
    return {
        "what": what + note,
        "own": span(own),
        "name": name,
        "other": span(other),
        "ratio": ratio,
    }


def measure(other_side: NodeCompiler | None, rounds: int, folder: Path) -> list[dict[str, Any]]:
    """All rows; within a row both sides take turns."""
    name = "krl-compiler" if other_side else "krl-compiler: not installed, see --peer"
    krlc_cli = [sys.executable, "-m", "krlc"]
    rows = []

    own: list[float] = []
    other: list[float] = []
    build = [*krlc_cli, "build", str(SMALL), "-o", str(folder / "small")]
    for number in range(rounds + 1):
        ours = timed(lambda: run(build))
        theirs = other_side.cold_s(SMALL) if other_side else None
        if number:  # the first round fills the caches of the system
            own.append(ours)
            other += [] if theirs is None else [theirs]
    rows.append(row(f"cold build, {SMALL.stat().st_size} B", own, name, other))

    text = grown(WHOLE_BYTES)
    whole = folder / "whole.krl"
    whole.write_text(text, "utf-8")
    own, other = [], []
    for number in range(rounds + 5):
        ours = timed(lambda: krlc.compile_source(text, whole.name))
        theirs = other_side.compile(whole)[0] if other_side else None
        if number >= 5:  # both compilers are warm then
            own.append(ours)
            other += [] if theirs is None else [theirs]
    rate = f", {len(text) / 1024 / median(own):.0f} kB/s" if own else ""
    rows.append(row(f"whole file, {len(text) / 1024:.0f} kB in process", own, name, other, rate))

    compile_it, load_it = stored_loader(text)
    own, other = [], []
    for _ in range(rounds):
        other.append(timed(compile_it))
        own.append(timed(load_it))
    rows.append(row("the same, loaded from the store", own, "compiled and loaded", other))

    lines = folder / "lines.krl"
    lines.write_text(grown(WHOLE_BYTES, lambda t: t.count("\n") >= CHECK_LINES), "utf-8")
    own = [timed(lambda: run([*krlc_cli, "check", str(lines)])) for _ in range(rounds)]
    count = lines.read_text("utf-8").count("\n")
    bare = [timed(lambda: run([sys.executable, "-c", "pass"])) for _ in range(rounds)]
    rows.append(row(f"cold check, {count} lines", own, "an empty Python", bare))
    return rows


def show(rows: list[dict[str, Any]]) -> str:
    """A Markdown table of rows."""
    lines = ["| what | krlc, ms [min..max] | other, ms [min..max] | other | other / krlc |"]
    lines.append("|---|---|---|---|---|")
    lines += ["| {what} | {own} | {other} | {name} | {ratio} |".format(**each) for each in rows]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; exit code 2 when the peer cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m bench.compile", description=SUMMARY)
    parser.add_argument("--peer", type=Path, metavar="FOLDER", help="has node_modules/krl-compiler")
    parser.add_argument("--rounds", type=int, default=15, metavar="N")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the table's rows there too"
    )
    options = parser.parse_args(arguments)
    other = None
    try:
        if options.peer is not None:
            other = NodeCompiler(options.peer.resolve())
        with TemporaryDirectory() as folder:
            rows = measure(other, options.rounds, Path(folder))
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"bench.compile: {error}", file=sys.stderr)
        return 2
    finally:
        if other is not None:
            other.close()
    print(show(rows))
    print(", ".join(f"{key} {value}" for key, value in facts().items()))
    if options.json is not None:
        options.json.write_text(json.dumps({"facts": facts(), "rows": rows}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
