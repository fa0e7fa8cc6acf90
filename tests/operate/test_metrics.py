"""Metrics: well-formed text with the numbers that the engine has, for those who have a token."""

from __future__ import annotations

import re

import pytest

from runtime.admin_api import Metrics
from runtime.counts import Histogram
from runtime.metrics import exposition
from tests.api.fake import TOKEN, Served, run
from tests.harness.engine import TestEngine

SOURCE = """ruleset m {
  rule bad { select when m bad ctx:delChannel("no") }
  rule good { select when m good noop() }
}"""
_LABEL = r'[a-z]+="(?:[^"\\\n]|\\.)*"'
_SAMPLE = re.compile(rf"([a-z_]+)(?:{{({_LABEL}(?:,{_LABEL})*)}})? (\S+)")


def samples(text: str) -> dict[str, float]:
    """All samples, by name and labels; the form of every line is checked."""
    found: dict[str, float] = {}
    kinds: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in kinds
            kinds[name] = kind
        elif line.startswith("# HELP "):
            assert line.endswith(".")
        else:
            match = _SAMPLE.fullmatch(line)
            assert match, line
            name, labels, value = match.groups()
            family = re.sub("_(bucket|sum|count)$", "", name)
            assert name in kinds or kinds[family] == "histogram"
            assert name.endswith("_total") == (kinds.get(name) == "counter")
            found[f"{name}{{{labels}}}" if labels else name] = float(value)
    assert text.endswith("\n")
    return found


def scrape(engine: TestEngine) -> dict[str, float]:
    return samples(exposition(engine.core, '0"\\1', {"http": 2, "channel": 0}))


def test_engine_counts_what_it_does() -> None:
    engine = TestEngine()
    engine.install(SOURCE)
    before = scrape(engine)
    for name in ("bad", "bad", "good"):
        engine.event("m", name)
    after = scrape(engine)
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert grown['pico_turns_total{kind="event"}'] == 3
    assert grown['pico_turns_total{kind="query"}'] == 0
    faults = {name: count for name, count in after.items() if name.startswith("pico_faults")}
    assert list(faults.values()) == [2]
    assert after["pico_up"] == 1
    assert after["pico_picos_awake"] == 1
    assert after['pico_connections{kind="http"}'] == 2
    assert after["process_resident_memory_bytes"] > 1 << 20
    assert after["pico_commit_rows_count"] == after['pico_commit_rows_bucket{le="+Inf"}']


def test_waiting_is_counted_when_asked() -> None:
    engine = TestEngine()
    for _ in range(3):
        engine.core.post(engine.root, "m", "x", {}, lambda answer: None)
    found = scrape(engine)
    assert found["pico_inbox_waiting"] == found["pico_inbox_waiting_max"] == 3
    engine.run()
    assert scrape(engine)["pico_inbox_waiting"] == 0


def test_refusals_and_a_failed_store_are_told() -> None:
    engine = TestEngine()
    engine.core.post_task(engine.root, lambda turn: [][0], lambda answer: None)
    engine.run()
    assert scrape(engine)['pico_refused_total{code="R9001"}'] == 1
    engine.core.committer.fail(OSError("gone"))
    assert scrape(engine)["pico_up"] == 0


def test_histogram_counts_into_ranges() -> None:
    found = Histogram((1, 10))
    for value in (0, 1, 2, 10, 11, 500):
        found.note(value)
    assert (found.counts, found.total) == ([2, 2, 2], 524)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("", 401),
        ("Authorization: Bearer wrong\r\n", 401),
        ("Authorization: Bearer m-token\r\n", 200),
        (f"Authorization: Bearer {TOKEN}\r\n", 200),
    ],
)
def test_metrics_need_a_token(headers: str, status: int) -> None:
    async def test(served: Served) -> None:
        served.connections.api.metrics = Metrics("m-token", lambda: "a 1\n")
        client = await served.client()
        client.ask("/metrics", headers=headers)
        reply = await client.reply()
        assert reply.status == status
        if status == 200:
            assert reply.body == b"a 1\n"
            assert reply.header("content-type") == "text/plain; version=0.0.4; charset=utf-8"
        else:
            assert "metrics.token" in reply.json()["hint"]
        # The token for metrics opens nothing else.
        client.ask("/api/show", headers=headers)
        assert (await client.reply()).status == (200 if TOKEN in headers else 401)

    run(test)


def test_engine_without_metrics_has_no_such_address() -> None:
    async def test(served: Served) -> None:
        client = await served.client()
        client.ask("/metrics")
        assert (await client.reply()).status == 404
        served.connections.api.metrics = Metrics("", lambda: "a 1\n")
        client.ask("/metrics", headers="Authorization: Bearer \r\n")
        assert (await client.reply()).status == 401
        client.ask("/metrics", method="PUT", headers=f"Authorization: Bearer {TOKEN}\r\n")
        assert (await client.reply()).status == 404

    run(test)
