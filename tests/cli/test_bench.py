"""`pico bench` against a running engine: figures, wrong work, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import filecmp
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.cli import main
from runtime.client_http import ask
from runtime.load import plays, stage
from runtime.load.drive import WrongAnswer, drive
from runtime.load.links import HttpLinks
from runtime.load.plays import PLAYS
from runtime.load.stage import RULESETS
from tests.harness.process import Served


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("bench") / "home", "--channel-port", "0") as served:
        served.start()
        yield served


def shown(engine: Served) -> Any:
    return ask(engine.target, "/api/show", needs_token=True)


def bench(engine: Served, *options: str) -> int:
    few = ["--count", "32", "--repeat", "1", "--flight", "8"]
    return main(["bench", "--home", str(engine.home), *few, *options])


@pytest.mark.parametrize("over", ["channel", "http"])
def test_all_workloads_are_measured_and_cleared(
    over: str, engine: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    before = shown(engine)
    assert bench(engine, "--over", over, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["over"] == over
    expected = [play.name for play in PLAYS if over == "channel" or not play.has_times]
    assert [row["workload"] for row in found["rows"]] == expected
    assert all(row["per_second"]["median"] > 0 for row in found["rows"])
    ring = next(row for row in found["rows"] if row["workload"] == "ring")
    assert (ring["count"], ring["in_flight"]) == (1000, 1)
    assert shown(engine) == before


def test_figures_for_people(engine: Served, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(engine, "--only", "hello") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == "hello: one directive, nothing stored; channel, 8 in flight"
    assert " events/s [" in second


@pytest.mark.parametrize(
    ("play", "old", "new", "said"),
    [
        ("hello", 'event:attrs{"name"}', '"Eve"', "hello: operation 1: the directives are"),
        ("counter", "ent:n.defaultsTo(0) + 1", "7", "counter: the counter is 7, and should be 38"),
        ("one", "ent:map{key}", "ent:map{key}.put([], 1)", "one: operation 1: a query gave"),
        (
            "ring",
            "ent:ended.defaultsTo(0) + 1",
            '"x"',
            "ring: operation 1: the count of laps is 'x'",
        ),
    ],
)
def test_wrong_work_is_noticed_and_cleared(
    play: str,
    old: str,
    new: str,
    said: str,
    engine: Served,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = stage.source_of
    before = shown(engine)
    monkeypatch.setattr(stage, "source_of", lambda rid: right(rid).replace(old, new))
    assert bench(engine, "--only", play) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: wrong answer: {said}")
    assert shown(engine) == before


def test_a_run_that_was_killed_is_cleared_by_the_next(
    engine: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    before = shown(engine)
    stage.Stage(engine.target).build(2, "bench.hello")
    assert shown(engine) != before
    assert bench(engine, "--only", "hello") == 0
    assert shown(engine) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--only", "hello,what"], "'what' is no workload; there are hello, counter"),
        (["--only", "expr", "--over", "http"], "which only channels can do"),
        (["--flight", "0"], "a number from 1 to 1000, not '0'"),
        (["--over", "pigeon"], "invalid choice"),
    ],
)
def test_bad_options_are_refused(
    options: list[str], said: str, engine: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["bench", "--home", str(engine.home), *options])
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    assert code == 2
    assert said in capsys.readouterr().err


def test_channels_need_the_address_of_one(
    engine: Served, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PICO_HOME", str(engine.home / "nothing"))
    monkeypatch.setenv("PICO_TOKEN", engine.target.token)
    port = engine.target.url.rsplit(":", 1)[1]
    assert main(["bench", "--port", port, "--over", "channel"]) == 2
    assert "no channel of this engine is known" in capsys.readouterr().err
    # Without them it goes over HTTP, and says nothing of the engine's CPU.
    few = ["--count", "4", "--repeat", "1", "--flight", "1"]
    assert main(["bench", "--port", port, "--only", "hello", *few]) == 0
    out = capsys.readouterr().out
    assert "; http, 1 in flight" in out
    assert "CPU" not in out


def test_no_engine_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--home", str(tmp_path)]) == 3
    assert "no engine is running" in capsys.readouterr().err


def test_connections_that_the_engine_closes_are_replaced() -> None:
    asyncio.run(_ask_a_server_that_closes())


async def _ask_a_server_that_closes() -> None:
    """A server that closes each connection a moment after its answer, without saying so."""
    accepted, ended = [], []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n42")
            await writer.drain()
        writer.close()
        await writer.wait_closed()
        ended.append(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with HttpLinks.connect("127.0.0.1", port, 1) as links:
        for number in range(3):
            answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            links.query("eci", "rid", "name", {}, answer.set_result)
            assert await answer == 42
            while len(accepted) < number + 2:
                await asyncio.sleep(0)
    while len(ended) < len(accepted):
        await asyncio.sleep(0)
    server.close()
    await server.wait_closed()


def test_drive_counts_and_stops() -> None:
    started = []

    def start(done: Any) -> None:
        started.append(done)
        asyncio.get_running_loop().call_soon(done, "no" if len(started) == 10 else None)

    with pytest.raises(WrongAnswer, match=r"^operation 10: no$"):
        asyncio.run(drive(start, 100, 4))
    assert len(started) < 15
    started.clear()
    taken = asyncio.run(drive(start, 9, 4))
    assert (taken.count, len(started)) == (9, 9)
    assert taken.cpu_us is None


def test_rulesets_are_those_of_the_benchmark() -> None:
    shared = [path.name for path in RULESETS.glob("*.krl") if path.stem not in _OWN]
    assert sorted(shared) == [f"bench.{name}.krl" for name in ("counter", "expr", "hello", "query")]
    assert filecmp.cmpfiles(RULESETS, "bench/rulesets", shared, shallow=False)[0] == shared


_OWN = ("bench.stage", "bench.lap")


def test_cycle_is_that_of_the_benchmark() -> None:
    from bench.requests import expression_requests

    theirs = [(each.name, each.attrs, list(each.expected)) for each in expression_requests("")]
    assert [plays.expression(number) for number in range(len(theirs))] == theirs
