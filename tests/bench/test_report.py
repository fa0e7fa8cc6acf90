"""Tables, files and the comparison of two results."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import report
from bench.__main__ import main
from bench.measure import Sample, median, spread
from bench.run import Figures, Row


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


def test_markdown_has_a_line_for_each_side() -> None:
    lines = report.markdown(result(row(0.5))).splitlines()
    ours = next(line for line in lines if line.startswith("| W2"))
    assert "50,000 [49,500..50,500]" in ours
    assert "20.0 [19.8]" in ours
    assert any("*limit*" in line and "**0.50** [0.49..0.51]" in line for line in lines)


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
    arguments = ["--quick", "--only", "W2/sequential", "--repeat", "1", "--json", str(path)]
    assert main([*arguments, "--home", str(tmp_path)]) == 0
    assert "| W2 | sequential | fsync |" in capsys.readouterr().out
    kept = report.load(path)
    assert [(row.workload, row.count) for row in kept.rows] == [("W2", 100)]


def test_statistics() -> None:
    assert median([3.0, 1.0, 2.0]) == 2.0
    assert median([4.0, 1.0, 2.0, 3.0]) == 2.5
    assert spread([3.0, 1.0, 2.0]) == {"median": 2.0, "min": 1.0, "max": 3.0}
    assert Sample(1, 2.0, 3.0, 4.0, 5.0).p99_us == 5.0
