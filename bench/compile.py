"""The compiler's speed, beside `krl-compiler` from npm where it is installed.

    python -m bench.compile [--peer FOLDER] [--rounds N] [--json FILE]

FOLDER is one with `node_modules/krl-compiler` in it (npm install krl-compiler@1.3.0); without it the
peer's columns stay empty. In: nothing else. Out: a table; every figure is the median of rounds in
which both sides take turns, with its spread. Rows: a cold `krlc build` of a small file; a file of
24 kB compiled in process; that file from the engine's store, against compiling it; a cold
`krlc check` of 200 lines.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import IO, Any

import krlc
from bench.report import facts
from krlc.nodes import Ruleset
from krlc.parser import parse
from krlc.source import Source

ROOT = Path(__file__).resolve().parent.parent
SMALL = ROOT / "bench/rulesets/bench.hello.krl"
EXAMPLE = ROOT / "examples/temperature/sensor.krl"
WHOLE_BYTES = 24 * 1024
CHECK_LINES = 200
# Compiles the file named on each line of its input, and answers with the milliseconds.
PEER = """
const { createRequire } = require("module");
const fs = require("fs");
const compile = createRequire(process.argv[1] + "/")("krl-compiler");
require("readline").createInterface({ input: process.stdin }).on("line", (path) => {
  const text = fs.readFileSync(path, "utf8");
  const start = process.hrtime.bigint();
  compile(text);
  console.log(Number(process.hrtime.bigint() - start) / 1e6);
});
"""


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


class Peer:
    """The compiler from npm in a process of its own."""

    def __init__(self, folder: Path) -> None:
        node = shutil.which("node")
        if node is None:
            raise OSError("node is not on the path")
        self.process = subprocess.Popen(
            [node, "-e", PEER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.cli = [node, str(folder / "node_modules/krl-compiler/bin/krl-compiler")]

    def compile_s(self, path: Path) -> float:
        """Seconds to compile a file, without reading it."""
        stdin: IO[str] | None = self.process.stdin
        stdout: IO[str] | None = self.process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"{path}\n")
        stdin.flush()
        answer = stdout.readline()
        if not answer:
            raise OSError(f"krl-compiler refused {path.name}")
        return float(answer) / 1000

    def cold_s(self, path: Path) -> float:
        """Seconds of its command line from start to end."""
        with path.open("rb") as text:
            return timed(lambda: run(self.cli, text))

    def close(self) -> None:
        self.process.terminate()
        self.process.communicate()


def run(command: Sequence[str], text: IO[bytes] | None = None) -> None:
    subprocess.run(command, stdin=text, stdout=subprocess.DEVNULL, cwd=ROOT, check=True)


def timed(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


def stored_loader(text: str) -> Callable[[], object]:
    """What loads a ruleset's module from the engine's store as a start does."""
    from runtime.clock import VirtualClock
    from runtime.commit import Committer
    from runtime.compiler import NoFetcher  # type: ignore[attr-defined]

    raise NotImplementedError(VirtualClock, Committer, NoFetcher, text)


def show(rows: list[dict[str, Any]]) -> str:
    """A Markdown table of rows."""
    lines = ["| what | krlc ms [min..max] | other ms [min..max] | other | ratio |", "|---|---|---|---|---|"]
    lines += ["| {what} | {own} | {other} | {name} | {ratio} |".format(**row) for row in rows]
    return "\n".join(lines)
