"""The library's operators, called on values: `values.tsv`."""

import pytest

from runtime.errors import Fault

from .rows import Row, expected_value, rows, same
from .value_calls import evaluate


@pytest.mark.parametrize("row", rows("values.tsv"), ids=lambda row: row.id)
def test_value_call_gives_its_value(row: Row) -> None:
    if row.expected.startswith("!! "):
        with pytest.raises(Fault) as caught:
            evaluate(row.expression)
        wanted = row.expected[3:]
        found = caught.value.text
        assert found == wanted if ":" in wanted else found.startswith(wanted + ":")
    else:
        actual = evaluate(row.expression)
        assert same(actual, expected_value(row.expected)), f"{row.expression} gave {actual!r}"
