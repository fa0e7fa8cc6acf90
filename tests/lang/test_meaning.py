"""The language reference, statement by statement: small rulesets, events and what comes of them.

In: `meaning.txt`, chunks separated by lines of `---`. The first line of a chunk names the section
and the statement; then come the parts of a ruleset; lines `// step → outcome` end it. A step is
`name{attributes}` for the event `e:name`, `@domain:name` for another domain, `?f{arguments}` for a
query. `// refused CODE` says that it does not compile, `// refused at install` that it does not
load. An outcome may go on over several lines.
Source: language reference 1 to 14, each oddity as its section 17 advises.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import Fault
from tests.harness.engine import TestEngine, compile_for_engine

_step = re.compile(r"(\?|@\w+:)?(\w+)(\{.*\})?$", re.DOTALL).match


def read_chunk(text: str) -> tuple[str, str, list[str]]:
    """A chunk's title, its ruleset and its steps."""
    title, *lines = text.splitlines()
    body: list[str] = []
    steps: list[str] = []
    for line in lines:
        if line.startswith("// ") and (" → " in line or line.startswith("// refused")):
            steps.append(line[3:])
        elif steps:
            steps[-1] += "\n" + line
        else:
            body.append(line)
    return title.removeprefix("// "), "ruleset t {\n" + "\n".join(body) + "\n}", steps


CHUNKS = [
    read_chunk(text)
    for text in Path(__file__).with_name("meaning.txt").read_text("utf-8").split("---\n")
]


def shown(answer: dict[str, Any]) -> str:
    """An event's answer as the chunks write it."""
    if "errors" in answer:
        return "runtime error"
    found = [
        d["name"] + (json.dumps(d["options"], separators=(",", ":")) if d["options"] else "")
        for d in answer["directives"]
    ]
    return " ".join(found) or "(none)"


def outcome(engine: TestEngine, step: str) -> str:
    """Do one step."""
    match = _step(step)
    assert match is not None, step
    kind, name, text = match.groups()
    given = json.loads(text) if text else None
    if kind != "?":
        return shown(engine.event(kind[1:-1] if kind else "e", name, given))
    try:
        return json.dumps(engine.query("t", name, given))
    except Fault as fault:
        return "runtime error" if fault.code != "R9001" else fault.text


@pytest.mark.parametrize(
    ("source", "steps"), [chunk[1:] for chunk in CHUNKS], ids=[chunk[0] for chunk in CHUNKS]
)
def test_meaning(source: str, steps: list[str]) -> None:
    assert steps, "a chunk says what comes of it"
    compiled = compile_for_engine(source, "t.krl")
    refused = re.fullmatch(r"refused (K\d+|at install)", steps[0])
    if refused is not None and refused[1] != "at install":
        assert isinstance(compiled, Fault)
        assert compiled.message.startswith(refused[1])
        return
    assert not isinstance(compiled, Fault), compiled.message
    engine = TestEngine()
    if refused is not None:
        with pytest.raises(Fault):
            engine.install(source)
        return
    engine.install(source)
    for line in steps:
        step, _, wanted = line.partition(" → ")
        assert outcome(engine, step) == wanted, step
