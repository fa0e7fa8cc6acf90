"""The tables of vectors themselves: complete, and no deviation without a difference."""

from .rows import DEVIATIONS, PENDING, table

TABLES = {"language.tsv": 238, "reference.tsv": 110, "values.tsv": 473, "measured.tsv": 1241}


def test_every_table_has_all_its_rows():
    for name, count in TABLES.items():
        ids = [key for key, _, _ in table(name)]
        assert len(ids) == len(set(ids)) == count


def test_every_deviation_and_every_pending_row_is_one_of_a_table():
    expected = {key: value for name in TABLES for key, _, value in table(name)}
    for name in ("deviations.tsv", "pending.tsv"):
        for key, first, second in table(name):
            assert key in expected
            assert first
            assert len(second) > 10, f"{key} says why"
    assert not DEVIATIONS.keys() & PENDING.keys()
    for key, ours in DEVIATIONS.items():
        assert ours != expected[key], f"{key} does not differ from the reference"
