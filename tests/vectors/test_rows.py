"""The tables of vectors themselves: complete, and no deviation without a difference."""

from pathlib import Path

from .rows import DEVIATIONS, ELSEWHERE, table

ROOT = Path(__file__).parents[2]

TABLES = {"language.tsv": 238, "reference.tsv": 110, "values.tsv": 473, "measured.tsv": 1241}


def test_every_table_has_all_its_rows():
    for name, count in TABLES.items():
        ids = [key for key, _, _ in table(name)]
        assert len(ids) == len(set(ids)) == count


def test_every_deviation_is_one_of_a_table_and_has_a_reason():
    expected = {key: value for name in TABLES for key, _, value in table(name)}
    for key, ours, reason in table("deviations.tsv"):
        assert ours != expected[key], f"{key} does not differ from the reference"
        assert len(reason) > 10, f"{key} says why"


def test_every_row_that_runs_elsewhere_does():
    known = {key for name in TABLES for key, _, _ in table(name)}
    for key, test in ELSEWHERE.items():
        assert key in known - DEVIATIONS.keys()
        assert (ROOT / test).is_file()
