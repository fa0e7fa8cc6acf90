"""Generated modules, read by people: source beside the Python text made of it.

`python -m tests --accept` (PICOS_ACCEPT=1) writes the snapshots anew. Compiling twice under
different hash seeds gives the same bytes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import krlc
from krlc.source import Source

HERE = Path(__file__).parent
SOURCES = sorted(HERE.glob("*.krl"))
STAGES = ("ir", "py")


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
@pytest.mark.parametrize("stage", STAGES)
def test_stage_is_as_accepted(path: Path, stage: str) -> None:
    made = krlc.dump(stage, Source(path.read_text(), path.name))
    kept = path.with_suffix(f".{stage}.txt" if stage == "ir" else ".py.txt")
    if os.environ.get("PICOS_ACCEPT") == "1":
        kept.write_text(made)
    assert made == kept.read_text()


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_lines_stay_within_100_columns(path: Path) -> None:
    module = krlc.compile_source(path.read_text(), path.name).module
    assert max(len(line) for line in module.splitlines()) <= 100


def test_same_bytes_under_any_hash_seed() -> None:
    script = (
        "import krlc, json, sys\n"
        "for path in sys.argv[1:]:\n"
        "    made = krlc.compile_source(open(path).read(), path)\n"
        "    print(made.module, json.dumps(made.manifest))\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script, *map(str, SOURCES)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4711")
    }
    assert len(outputs) == 1


def test_instructions_carry_krl_lines() -> None:
    source = (
        'ruleset t {\n  global {\n    f = function() {\n      1 -\n        "x"\n    }\n  }\n}\n'
    )
    code = krlc.code_object(krlc.compile_source(source, "t.krl"))
    lines = {
        line
        for constant in code.co_consts
        if hasattr(constant, "co_lines")
        for _, _, line in constant.co_lines()
    }
    assert code.co_filename == "t.krl"
    assert 4 in lines
