"""The log: lines for people or for programs, and no secrets of others unless asked for."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from runtime import logs, observe
from runtime.errors import Fault, without_ecis
from tests.harness.engine import TestEngine

ECI = "c" + "0123456789abcdefghijklmnopq"
SOURCE = """ruleset noisy {
  rule say { select when noisy say pre { x = event:attr("what").klog("got") } noop() }
  rule send { select when noisy send
    event:send({"eci": event:attr("to"), "domain": "a", "type": "b", "attrs": {"pin": 98765}}) }
  rule fail { select when noisy fail ctx:delChannel("no") }
}"""


@pytest.fixture
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    observe._faults_told.clear()
    yield
    root.handlers[:] = before
    root.setLevel(level)


def lines(form: str, shows_values: bool = False, level: str = "info") -> list[str]:
    """What a few happenings look like."""
    stream = io.StringIO()
    logs.set_up(level, form, shows_values=shows_values, stream=stream)
    engine = TestEngine()
    engine.install(SOURCE)
    engine.event("noisy", "say", {"what": f"{ECI}\nand more"})
    engine.event("noisy", "send", {"to": ECI})
    for _ in range(3):
        engine.event("noisy", "fail")
    return stream.getvalue().splitlines()


@pytest.mark.usefixtures("root_logger")
def test_lines_for_people() -> None:
    said = lines("text")
    assert len(said) >= 2
    assert all(line[10] == "T" and " pico: " in line for line in said)
    assert not any(ECI in line or "98765" in line for line in said)
    (logged,) = [line for line in said if " KLOG " in line]
    assert logged.endswith('noisy got "c01234…\\nand more"')


@pytest.mark.usefixtures("root_logger")
def test_lines_for_programs() -> None:
    said = [json.loads(line) for line in lines("json")]
    kinds = {line["happening"]: line for line in said}
    assert {"logged", "undelivered"} <= set(kinds)
    assert kinds["logged"]["rid"] == "noisy"
    assert kinds["logged"]["level"] == "klog"
    assert "said" not in kinds["logged"]
    assert kinds["undelivered"]["code"] == "R1001"
    assert kinds["undelivered"]["eci"] == "c01234…"
    assert ECI not in json.dumps(said)
    assert "98765" not in json.dumps(said)
    assert all({"time", "level", "logger", "message"} <= set(line) for line in said)


@pytest.mark.usefixtures("root_logger")
def test_values_are_shown_when_asked() -> None:
    said = [json.loads(line) for line in lines("json", shows_values=True)]
    kinds = {line["happening"]: line for line in said}
    assert ECI in kinds["logged"]["said"]
    assert kinds["undelivered"]["attrs"] == {"pin": 98765}
    text = "\n".join(lines("text", shows_values=True))
    assert ECI in text
    assert '{"pin": 98765}' in text


@pytest.mark.usefixtures("root_logger")
def test_first_fault_of_a_kind_is_told() -> None:
    def faults(level: str) -> list[dict[str, Any]]:
        observe._faults_told.clear()
        found = [json.loads(line) for line in lines("json", level=level)]
        return [line for line in found if line["happening"] == "faulted"]

    (only,) = faults("info")
    assert (only["rid"], only["rule"], only["level"]) == ("noisy", "fail", "warning")
    assert [line["level"] for line in faults("debug")] == ["warning", "debug", "debug"]


@pytest.mark.usefixtures("root_logger")
@pytest.mark.parametrize("form", logs.FORMATS)
def test_bugs_and_foreign_records_are_shown(form: str) -> None:
    stream = io.StringIO()
    logs.set_up("warn", form, stream=stream)
    try:
        raise ZeroDivisionError(f"oh {ECI}")
    except ZeroDivisionError as error:
        observe.bug("cP", error)
    logging.getLogger("other").warning("%s of %s to %s", 1, {"a"}, ECI)
    logging.getLogger("other").info("unheard")
    observe.stopped(Fault("R3004", "the disk is full"))
    observe.unadopted(Fault("R3010", f"no {ECI}"))
    text = stream.getvalue()
    assert "Traceback" in text
    assert "1 of {'a'}" in text
    assert "unheard" not in text
    assert ECI not in text
    if form == "json":
        said = [json.loads(line) for line in text.splitlines()]
        assert "ZeroDivisionError: oh c01234…" in said[0]["trace"]
        assert said[2]["happening"] == "stopped"


def test_what_looks_like_an_eci_is_shortened() -> None:
    assert without_ecis(f"a {ECI}, {ECI}x and c123") == f"a c01234…, {ECI}x and c123"
