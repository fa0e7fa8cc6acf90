"""Tables, files and the comparison of two results."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bench import report
from bench.__main__ import main
from bench.measure import Sample, WrongAnswer, median, spread
from bench.run import Figures, Row, Task


def row(share: float, variant: str = "64-in-flight") -> Row:
    def three(value: float) -> dict[str, float]:
        return {"median": value, "min": value * 0.99, "max": value * 1.01}

    ours = Figures(three(50_000.0), three(10 / share), 900.0, 2500.0, rss_mb=44.0)
    limit = Figures(
        three(90_000.0),
        three(10.0),
        400.0,
        900.0,
        share_cpu=three(share),
        share_wall=three(share),
    )
    return Row("W2", variant, "fsync", 1000, 3, "events", 1, ours, {"limit": limit})


def result(*rows: Row) -> report.Result:
    return report.Result(report.facts(), list(rows))


def beside_a_peer(share: float) -> Row:
    """A row with a peer that costs `share` times as much."""
    own = row(0.5)
    figures = msgspec.structs.replace(
        own.limits["limit"],
        share_cpu={"median": share, "min": share * 0.99, "max": share * 1.01},
        rss_mb=120.0,
        grown_kb=7.5,
    )
    keeps = {"ours": "power loss", "pico-engine-core 1.3.0": "little"}
    return msgspec.structs.replace(
        own,
        peers={"pico-engine-core 1.3.0": figures},
        absent={"select-when": "node is not on the path"},
        keeps=keeps,
    )


def test_markdown_has_a_line_for_each_side() -> None:
    lines = report.markdown(result(row(0.5))).splitlines()
    ours = next(line for line in lines if line.startswith("| W2"))
    assert "50,000 [49,500..50,500]" in ours
    assert "20.0 [19.8]" in ours
    assert any("*limit*" in line and "**0.50** [0.49..0.51]" in line for line in lines)


def test_markdown_says_what_peers_cost_and_keep_and_which_are_missing() -> None:
    text = report.markdown(result(beside_a_peer(8.0)))
    lines = text.splitlines()
    peer = next(line for line in lines if "*pico-engine-core 1.3.0*" in line)
    assert "**8.00** [7.92..8.08]" in peer
    assert peer.endswith("| 120 | little |")
    assert "| *select-when* |  | not measured: node is not on the path |" in text
    assert "| W2 64-in-flight | fsync | pico-engine-core 1.3.0 | 7.50 |" in text
    # What was taken once, of a version that cannot be installed, says so.
    once = next(line for line in lines if "pico-engine-core 1.4.0, recorded 2026-11-21" in line)
    assert "| 220 [185] |" in once
    assert "11.00 (not in one run)" in once


@pytest.mark.parametrize(
    ("before", "after", "said"), [(8.0, 6.0, "WORSE"), (8.0, 10.0, "better"), (8.0, 8.2, "")]
)
def test_compare_looks_at_peers(before: float, after: float, said: str) -> None:
    text = report.compare(result(beside_a_peer(before)), result(beside_a_peer(after)))
    line = next(line for line in text.splitlines() if "pico-engine-core" in line)
    assert line.endswith(f"| {said} |")


@pytest.mark.parametrize(("now", "said"), [(110_000, "WORSE"), (90_000, "better"), (100_900, "")])
def test_compare_looks_at_instructions(now: int, said: str) -> None:
    counts = [
        msgspec.structs.replace(result(), instructions=[{"what": "W1", "instructions": count}])
        for count in (100_000, now)
    ]
    text = report.compare(*counts)
    assert f"| W1 | 100,000 | {now:,} | {now / 100_000:.3f} | {said} |" in text


def test_instructions_that_cannot_be_counted_say_why() -> None:
    told = result()
    missing = [{"what": "all", "missing": "valgrind is not on the path"}]
    text = report.markdown(msgspec.structs.replace(told, instructions=missing))
    assert "| all | not counted: valgrind is not on the path |" in text


def test_file_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    report.save(result(row(0.5)), path)
    assert report.load(path).rows == [row(0.5)]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [(0.5, 0.4, "WORSE"), (0.5, 0.6, "better"), (0.5, 0.505, None), (0.5, 0.53, None)],
)
def test_compare_says_what_is_apart(before: float, after: float, said: str | None) -> None:
    text = report.compare(result(row(before)), result(row(after)))
    assert f"| {after / before:.2f} |" in text
    assert [word for word in ("WORSE", "better") if word in text] == ([said] if said else [])


def test_compare_names_what_is_missing() -> None:
    text = report.compare(result(row(0.5), row(0.5, "sequential")), result(row(0.5)))
    assert "only in the first file: W2 sequential fsync" in text


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read: No such file"), (b"{}", "is no result of this benchmark")],
)
def test_compare_refuses_a_bad_file(
    content: bytes | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SystemExit):
        main(["compare", str(path), str(path)])
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "W77"], "no such case; there are: W1/sequential"),
        (["--storage", "tape"], "no such case"),
        (["--repeat", "-1"], "at least 1"),
        (["stored", "--picos", "many"], "one or more numbers"),
        (["instructions", "--only", "W77"], "there are W1"),
        (["chart", "nothing.json", "nowhere"], "cannot be read"),
        (["peers", "."], "is within the project"),
    ],
)
def test_bad_arguments_are_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_run_prints_and_keeps_a_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.json"
    drawn = tmp_path / "charts"
    arguments = ["--quick", "--only", "W2/sequential", "--repeat", "1", "--json", str(path)]
    arguments += ["--no-peers", "--charts", str(drawn)]
    assert main([*arguments, "--home", str(tmp_path)]) == 0
    assert "| W2 | sequential | fsync |" in capsys.readouterr().out
    assert [file.name for file in drawn.iterdir()] == ["cost.svg"]
    kept = report.load(path)
    assert [(row.workload, row.count) for row in kept.rows] == [("W2", 100)]


def test_a_wrong_answer_fails_the_run_and_keeps_what_was_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_apart(task: Task, *_: object) -> Row:
        if task.name == "W2/64-in-flight":
            raise WrongAnswer("W2/64-in-flight/fsync: the counters sum up to 7")
        return row(0.5, "sequential")

    monkeypatch.setattr("bench.__main__.run_apart", run_apart)
    path = tmp_path / "a.json"
    assert main(["--quick", "--only", "W2", "--no-peers", "--json", str(path)]) == 1
    out, err = capsys.readouterr()
    assert "| W2 | sequential | fsync |" in out
    assert err == "bench: W2/64-in-flight/fsync: the counters sum up to 7\n"
    assert [row.variant for row in report.load(path).rows] == ["sequential"]


def test_statistics() -> None:
    assert median([3.0, 1.0, 2.0]) == 2.0
    assert median([4.0, 1.0, 2.0, 3.0]) == 2.5
    assert spread([3.0, 1.0, 2.0]) == {"median": 2.0, "min": 1.0, "max": 3.0}
    assert Sample(1, 2.0, 3.0, 4.0, 5.0).p99_us == 5.0
