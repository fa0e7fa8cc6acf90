"""What each pico handles, step by step: the sequences of the engine reference 6.7, and failures.

In: sequences.txt. Out: one test a sequence. `> PICO DOMAIN:NAME {attributes}` has a pico evaluate
an event, `> wait SECONDS` lets time go by; `@NAME` in the attributes is the family channel of a
pico, also of one that is gone, `@@NAME` its channel for user interfaces. Behind each step stand all
events that were handled then: turns between `|`, in brackets what no rule listens to, `!CODE` where
a rule failed. Long lists go on in the next line, indented. `. PICO …` is a step that nobody looks
at.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.harness.engine import TestEngine, TextFetcher
from tests.system.stage import Family

SOURCES = {
    "mem:/a/app.krl": """ruleset app {
      meta { shares config } global { config = function() { ctx:rid_config } }
      rule begin { select when wrangler ruleset_installed where event:attrs{"rids"} >< meta:rid
        fired { raise app event "began" } } }""",
    "mem:/a/user.krl": "ruleset user { meta { use module app } }",
    "mem:/a/bad.krl": "ruleset bad { rule r { select when } }",
    "mem:/a/slow.krl": """ruleset slow {
      rule install { select when wrangler ruleset_installed where event:attrs{"rids"} >< meta:rid
        fired { raise wrangler event "ruleset_needs_cleanup_period"
          attributes {"domain": meta:rid} } }
      rule finish { select when slow finish
        fired { raise wrangler event "cleanup_finished" attributes {"domain": meta:rid} } } }""",
    "mem:/a/maker.krl": """ruleset maker {
      rule make { select when maker make ctx:newPico([]) setting(eci)
        fired { raise wrangler event "child_deletion_request" attributes {"eci": eci} } } }""",
}


def read(text: str) -> dict[str, list[tuple[str, dict[str, str]]]]:
    """Sequences by title: steps, each with what every pico handled."""
    found: dict[str, list[tuple[str, dict[str, str]]]] = {}
    steps: list[tuple[str, dict[str, str]]] = []
    name = ""
    for line in text.splitlines():
        if line.startswith("== "):
            steps = found[line[3:]] = []
        elif line.startswith(("> ", ". ")):
            steps.append((line, {}))
        elif line.startswith(" "):
            steps[-1][1][name] += " " + line.strip()
        elif line and not line.startswith("#"):
            name, _, happened = line.partition(": ")
            steps[-1][1][name] = happened
    return found


SEQUENCES = read((Path(__file__).parent / "sequences.txt").read_text("utf-8"))


class Stage:
    """A family, and the channels that its members ever had."""

    def __init__(self) -> None:
        fetcher = TextFetcher()
        fetcher.texts |= SOURCES
        self.family = Family(TestEngine(system=True, fetcher=fetcher))
        self.ecis: dict[str, str] = {}

    def do(self, step: str) -> dict[str, str]:
        """Take one step; what happened."""
        family = self.family
        for pico in list(family.picos())[1:]:
            name = family.name(pico)
            self.ecis["@" + name] = family.family_eci(name)
            self.ecis["@@" + name] = family.eci(name, "engine", "ui")
        who, _, rest = step[2:].partition(" ")
        if who == "wait":
            family.pass_seconds(float(rest))
        else:
            event, _, given = rest.partition(" ")
            given = re.sub(r"@@?\w+", lambda found: self.ecis[found[0]], given)
            domain, _, name = event.partition(":")
            family.tell(who, domain, name, json.loads(given or "{}"))
        return family.trace()


@pytest.mark.parametrize("title", SEQUENCES)
def test_sequence(title: str) -> None:
    stage = Stage()
    for step, expected in SEQUENCES[title]:
        happened = stage.do(step)
        assert step.startswith(". ") or (step, happened) == (step, expected)
