"""The parts of the demo: what it works out itself, how it streams, and that it can fail."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from examples.demo.__main__ import compare
from examples.demo.processes import DemoError, EngineProcess, run, run_json
from examples.demo.readings import DATA, Findings, Reading, find, load_readings
from examples.demo.stream import WINDOW, Cut, Message, Stream

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


def hours(temperatures: Sequence[float], day: str = "2010/07/01") -> list[Reading]:
    return [Reading(f"{day} {hour:02}:00", value) for hour, value in enumerate(temperatures)]


def test_readings_are_a_year_of_distinct_hours() -> None:
    readings = load_readings()
    assert len(readings) == len(DATA.read_text().splitlines()) - 1
    assert readings[0] == Reading("2010/01/01 00:00", 39.4)


def test_time_that_stands_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "twice.csv"
    file.write_text("date,temp\n2010/01/01 00:00,1\n2010/01/01 00:00,2\n")
    with pytest.raises(ValueError, match="holds a time twice"):
        load_readings(file)


def test_findings_are_worked_out() -> None:
    readings = hours([60] * 10) + hours([50] + [80] * 7, "2010/07/02")
    assert find(readings, 70) == Findings(7, "2010/07/02", 76.25, {"2010/07/02": 2})


FOUND = Findings(2, "2010/07/01", 75.0, {"2010/07/01": 1})


def told(**changes: object) -> list[object]:
    parts = {"readings": 8, "violations": 2, "day": "2010/07/01", "mean": 75.0, "heat": 1} | changes
    return [
        {"readings": parts["readings"], "violations": parts["violations"]},
        {"day": parts["day"], "mean": parts["mean"]},
        {"2010/07/01": parts["heat"]},
    ]


def test_equal_findings_pass() -> None:
    compare(FOUND, 8, *told())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [{"readings": 7}, {"violations": 3}, {"day": "2010/07/02"}, {"mean": 75.1}, {"heat": 2}],
    ids=lambda change: next(iter(change)),
)
def test_different_finding_ends_the_demo(change: dict[str, object]) -> None:
    with pytest.raises(DemoError, match=r"the pico says .* the file says"):
        compare(FOUND, 8, *told(**change))  # type: ignore[arg-type]


# --- Commands -------------------------------------------------------------------------------------


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Installs a script as the command `pico` of the environment."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

    def install(script: str) -> None:
        path = tmp_path / "pico"
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(0o755)

    return install


def test_failing_command_ends_the_demo_with_its_words(program: Callable[[str], None]) -> None:
    program("echo no such pico >&2; exit 1")
    with pytest.raises(DemoError, match=r"`pico query x` failed:\nno such pico"):
        run("pico", "query", "x")


def test_command_that_is_not_installed_is_told(program: Callable[[str], None]) -> None:
    with pytest.raises(DemoError, match="use `make demo`"):
        run("pico", "query")


def test_output_of_a_command_is_read_as_json(program: Callable[[str], None]) -> None:
    program("""echo '{"last": "'"$3"'"}'""")
    assert run_json("pico", "query", "x") == {"last": "--json"}


def test_engine_that_does_not_start_is_told(program: Callable[[str], None], tmp_path: Path) -> None:
    program("echo port 3000 is in use >&2; exit 3")
    with (
        pytest.raises(DemoError, match=r"did not start:\n.*port 3000 is in use"),
        EngineProcess(tmp_path / "home"),
    ):
        pytest.fail("there is no engine")


# --- Streaming ------------------------------------------------------------------------------------


@contextmanager
def answering(answer: Callable[[socket.socket, int], object]) -> Iterator[str]:
    """A server for one connection; `answer(connection, number)` is called for each request."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            read, number = b"", 0
            # A client that has seen enough may close before it has read everything.
            with connection, suppress(ConnectionError):
                while data := connection.recv(1 << 16):
                    read += data
                    whole = read.split(b"\r\n\r\n{}")
                    read = whole.pop()
                    for _ in whole:
                        if answer(connection, number) is False:
                            return
                        number += 1

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            thread.join()


def messages(count: int) -> list[Message]:
    return [Message("/c/eci/event/a/b", {}, str(number)) for number in range(count)]


def test_stream_sends_all_and_counts_answers() -> None:
    def in_pieces(connection: socket.socket, number: int) -> None:
        cut = number % len(OK)
        connection.sendall(OK[:cut])
        connection.sendall(OK[cut:])

    counted: list[int] = []
    with answering(in_pieces) as url, Stream(url) as stream:
        stream.send(messages(300), counted.append)
        assert stream.sent == stream.acknowledged == sum(counted) == 300


def test_stream_keeps_a_window_of_unanswered_events() -> None:
    """A server that answers the first event only when the window is full, and then hangs up."""

    def at_last(connection: socket.socket, number: int) -> bool:
        if number == WINDOW - 1:
            connection.sendall(OK)
        return number < WINDOW

    with answering(at_last) as url, Stream(url) as stream:
        with pytest.raises(Cut):
            stream.send(messages(WINDOW * 3), lambda answers: None)
        assert stream.sent == WINDOW + 1
        assert stream.acknowledged == 1


def test_answers_on_their_way_are_counted_after_the_end() -> None:
    def answer_two(connection: socket.socket, number: int) -> bool:
        if number == 2:
            return False
        connection.sendall(OK)
        return True

    def stop(answers: int) -> None:
        raise Cut

    with answering(answer_two) as url, Stream(url) as stream:
        with pytest.raises(Cut):
            stream.send(messages(3), stop)
        stream.drain()
        assert (stream.sent, stream.acknowledged) == (3, 2)


def test_refused_event_ends_the_demo() -> None:
    body = b'{"error":"ECI not found"}'
    refusal = b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with (
        answering(lambda connection, number: connection.sendall(refusal)) as url,
        Stream(url) as stream,
        pytest.raises(DemoError, match=r"status 404: .*ECI not found"),
    ):
        stream.send(messages(1), lambda answers: None)
