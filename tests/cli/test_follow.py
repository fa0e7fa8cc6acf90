"""`pico log --follow`: what it prints and refuses, a restart of the engine, an interruption."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime import Engine
from runtime.cli import main
from runtime.commands import follow
from runtime.home import Home
from runtime.server import HttpServer, bind
from tests.harness.engine import InlineCompiler

KRL = """
ruleset test.follow {
  rule hello {
    select when say hello
    send_directive("hello")
    always { log warn "careful" }
  }
}
"""


class Served:
    """An engine with a home, served from a thread, that can be stopped and started again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.home = Home.open(path)
        self.stopping: asyncio.Event | None = None
        self.engine: Engine | None = None
        self.done: Any = None

    def call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def start(self) -> None:
        ready: threading.Event = threading.Event()
        self.done = asyncio.run_coroutine_threadsafe(self._serve(ready), self.loop)
        assert ready.wait(20)

    async def _serve(self, ready: threading.Event) -> None:
        self.stopping = asyncio.Event()
        async with Engine.open(compiler=InlineCompiler()) as engine:
            await engine.install(engine.root_eci, source=KRL)
            self.engine = engine
            bound = bind("127.0.0.1", 0)
            server = await HttpServer.start(engine, bound, "127.0.0.1", token=self.home.token)
            self.home.announce(server.url)
            ready.set()
            await self.stopping.wait()
            await server.stop(5)

    def stop(self) -> None:
        assert self.stopping is not None
        self.loop.call_soon_threadsafe(self.stopping.set)
        self.done.result(20)

    def say_when_heard(self) -> None:
        """Send an event as soon as somebody follows."""

        async def say() -> None:
            engine = self.engine
            assert engine is not None
            while not engine._live._listeners:
                await asyncio.sleep(0)
            await engine.event(engine.root_eci, "say", "hello", {"n": 1})

        asyncio.run_coroutine_threadsafe(say(), self.loop)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
        self.home.close()


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("PICO_URL", "PICO_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PICO_HOME", str(tmp_path / "home"))
    # The engine is in this process, and what it logs is not what the command says.
    monkeypatch.setattr(logging.getLogger("pico"), "disabled", True)
    made = Served(tmp_path / "home")
    made.start()
    try:
        yield made
        made.stop()
    finally:
        made.close()


def interrupting(show: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    """What shows one entry, and then presses Ctrl-C."""

    def once(entry: dict[str, Any]) -> None:
        show(entry)
        raise KeyboardInterrupt

    return once


def test_entries_are_printed_until_it_is_interrupted(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from runtime.commands import log

    monkeypatch.setattr(log, "_print_entry", interrupting(log._print_entry))
    served.say_when_heard()
    assert main(["log", "root", "--follow", "--event", "say:hello", "--level", "warn"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1:] == [
        f'  {served.engine.root_eci[:6]}… say:hello {{"n": 1}}',  # type: ignore[union-attr]
        "    test.follow : hello  fired; directive hello",
        '      warn: "careful"',
    ]
    assert err == ""


def test_json_is_a_document_a_line(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(follow, "_show_json", interrupting(follow._show_json))
    served.say_when_heard()
    assert main(["log", "--follow", "--json"]) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line)["attrs"] == {"n": 1}


@pytest.mark.parametrize("is_json", [False, True])
def test_restart_is_told_and_survived(
    served: Served, is_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[dict[str, Any]] = []
    waits: list[float] = []

    def show(entry: dict[str, Any]) -> None:
        seen.append(entry)
        if len(seen) == 2:
            raise KeyboardInterrupt
        served.stop()

    def wait(seconds: float) -> None:
        # The first tries find nobody.
        waits.append(seconds)
        if len(waits) == 3:
            served.start()
            served.say_when_heard()

    options = options_of(served, json=is_json)
    if is_json:
        follow._show_json, kept = show, follow._show_json
    served.say_when_heard()
    try:
        assert follow.run(options, show, wait) == 0
    finally:
        if is_json:
            follow._show_json = kept
    assert len(seen) == 2
    assert waits == [0.2, 0.4, 0.8]
    out, err = capsys.readouterr()
    told = [json.loads(line)["note"] for line in out.splitlines()]
    if not is_json:
        assert out == ""
        told = [line.removeprefix("-- ") for line in err.splitlines()]
    assert told == [
        "the engine has gone away; waiting until it is back",
        "the engine is back; `pico log` has what happened meanwhile",
    ]


def options_of(served: Served, **given: Any) -> Any:
    import argparse

    plain: dict[str, Any] = dict.fromkeys(("eci", "rule", "eid", "event", "level", "port"))
    plain |= {"home": str(served.path), "json": False, "whole": False, "timeout": 20.0}
    return argparse.Namespace(**{**plain, **given})


# arguments, exit code, a part of what is said
REFUSED = [
    (["--follow", "cNO"], 1, "ECI not found cNO"),
    (["--follow", "--event", "say"], 1, "write domain:name"),
    (["--follow", "--eid", "c"], 2, "leave out --follow"),
    (["--event", "a:b"], 2, "add --follow"),
    (["--level", "warn"], 2, "add --follow"),
    (["--follow", "--port", "1"], 3, "cannot be reached"),
]


@pytest.mark.parametrize(("argv", "code", "text"), REFUSED)
def test_refusals(
    served: Served, argv: list[str], code: int, text: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("PICO_TOKEN", served.home.token)
    assert main(["log", *argv]) == code
    assert text in capsys.readouterr().err


def test_interrupt_ends_the_process_well(served: Served) -> None:
    command = [sys.executable, "-m", "runtime", "log", "--follow", "--home", str(served.path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            served.say_when_heard()
            assert process.stdout is not None
            assert process.stderr is not None
            shown = [process.stdout.readline() for _ in range(4)]
            assert "say:hello" in shown[1]
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()
