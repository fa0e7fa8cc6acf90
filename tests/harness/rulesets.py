"""The system rulesets as their sources stand now, whatever bundle the last build step made.

In: `runtime/rulesets/*.krl`. Out: what `runtime.system.adopt` takes. Compiled once a run.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import krlc
from krlc.bundle import identity, write_bundle
from runtime.bundle import BundledRuleset, read_bundle
from runtime.system import SystemRulesets

SOURCES = Path(__file__).resolve().parents[2] / "runtime" / "rulesets"


@cache
def compiled_rulesets() -> tuple[krlc.Compiled, ...]:
    """All system rulesets, compiled from their sources."""
    found = []
    for path in sorted(SOURCES.glob("*.krl")):
        compiled = krlc.compile_source(path.read_text("utf-8"), path.name)
        assert compiled.ok, (path.name, compiled.diagnostics)
        found.append(compiled)
    return tuple(found)


@cache
def _bundled() -> tuple[BundledRuleset, ...]:
    return read_bundle(write_bundle(compiled_rulesets())).rulesets


def source_rulesets() -> SystemRulesets:
    """What an engine is given in tests; no bundle needs to be built for it."""
    return SystemRulesets(f"{sys.version} {identity(compiled_rulesets())}", _bundled)
