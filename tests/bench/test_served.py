"""W12 runs over both ways, every side in a process of its own; what is wrong is noticed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import served
from bench.limit import Request
from bench.measure import WrongAnswer
from bench.peer import NodeEngine, Peer
from bench.run import Task
from bench.served import Remote, ServedCase, run_served


def case_of(name: str) -> ServedCase:
    return next(case for case in served.CASES if case.name == f"W12/{name}")


def measured(name: str, folder: Path, peers: Path | None = None) -> Any:
    case = case_of(name)
    told = None if peers is None else str(peers)
    task = Task(case.name, "fsync", 64, 1, str(folder), told, is_quick=True)
    return asyncio.run(run_served(case, task))


@pytest.mark.parametrize(
    "name",
    [
        "http/counter/64-connections",
        "http/counter/64-connections/accepted",
        "channel/counter/64-in-flight/with-keys",
    ],
)
def test_served_workload(name: str, tmp_path: Path) -> None:
    row = measured(name, tmp_path, tmp_path)
    share = row.limits["limit"].share_cpu
    assert share is not None
    assert share["median"] > 0
    assert row.ours.rss_mb > 10
    assert bool(row.absent) == name.startswith("http"), "the peer has no channels"


def test_limit_row_of_a_query_over_http(tmp_path: Path) -> None:
    assert measured("http/all/64-connections", tmp_path).limits["limit"].cpu_us["median"] > 0


def test_wrong_ruleset_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = served.source_of

    def source_of(ruleset: str) -> str:
        return right(ruleset).replace("ent:n.defaultsTo(0) + 1", "7")

    monkeypatch.setattr(served, "source_of", source_of)
    with pytest.raises(WrongAnswer, match=r"64-in-flight/fsync: ours: it counted 7, and should"):
        measured("channel/counter/64-in-flight", tmp_path)


# Serves HTTP, and answers every event without a directive.
STAND_IN = """
import json, sys, threading
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = b'{"eid": "e", "directives": []}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
ThreadingTCPServer.request_queue_size = 128
server = ThreadingTCPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
for line in sys.stdin:
    print(json.dumps({"port": server.server_address[1], "ecis": ["e"]}), flush=True)
"""


def test_wrong_answers_of_a_peer_fail_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StandIn(NodeEngine):
        def __init__(self, folder: Path) -> None:
            Peer.__init__(self, "stand-in", [sys.executable, "-c", STAND_IN])

    monkeypatch.setattr(served, "NodeEngine", StandIn)
    with pytest.raises(WrongAnswer, match="echo:hello was answered with"):
        measured("http/hello/64-connections", tmp_path, tmp_path)


class Echo:
    """Links that answer at once with what they were told."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[Any, ...]] = []

    def event(self, *parts: Any) -> None:
        self.asked.append(parts[:4])
        parts[4]({"eid": "e", "directives": []})

    def query(self, *parts: Any) -> None:
        self.asked.append(parts[:4])
        parts[4](self.answer)


def test_requests_go_round_and_are_counted() -> None:
    links = Echo(answer=2)
    remote = Remote(case_of("channel/counter/64-in-flight"), links, "eci")
    problems: list[str | None] = []
    remote.start(problems.append)
    assert asyncio.run(remote.verify()) == "it counted 2, and should 1"
    remote.start(problems.append)
    assert asyncio.run(remote.verify()) is None
    assert problems == [None, None]
    assert links.asked[0] == ("eci", "counter", "inc", {})


def test_every_case_has_its_ruleset_and_requests() -> None:
    for case in served.CASES:
        assert served.source_of(case.ruleset).startswith(f"ruleset {case.ruleset} ")
        assert all(isinstance(request, Request) for request in case.requests("eci"))
