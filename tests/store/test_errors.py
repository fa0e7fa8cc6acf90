"""The table of R-codes is complete, and faults say what older clients look for."""

import re

import pytest

from runtime import errors
from runtime.errors import CODES, Fault


@pytest.mark.parametrize("code", CODES)
def test_code_row_is_whole(code: str) -> None:
    row = CODES[code]
    assert re.fullmatch(r"R[123459]\d{3}", code)
    assert 400 <= row.status <= 504
    for text in (row.title, row.meaning, row.fix):
        assert text
        assert "invalid" not in text.lower()
    assert row.meaning.endswith(".")
    assert not row.title.endswith(".")
    assert re.fullmatch(r"[a-z_]+", row.species)


TEXTS = [
    (errors.unknown_eci("cXYZ"), 404, "Error: ECI not found cXYZ"),
    (errors.not_allowed(), 403, "Error: Not allowed by channel policy"),
    (errors.denied(), 403, "Error: Denied by channel policy"),
    (
        errors.family_channel(),
        403,
        "Error: This is a family channel and only the owner can use it.",
    ),
    (errors.gone("cXYZ"), 410, "Error: The pico of ECI cXYZ was deleted"),
    (errors.missing_part("event.domain"), 400, "Error: missing event.domain"),
    (
        errors.no_map("event.data.attrs"),
        400,
        "Error: Expected a JSON map for event.data.attrs",
    ),
    (errors.not_installed("a.b"), 404, "Error: Pico doesn't have a.b installed."),
    (
        errors.not_shared("a.b", "f"),
        404,
        'Error: Ruleset a.b does not have query function "f"',
    ),
    (Fault("R2001", "Cannot negate [Map]"), 500, "TypeError: Cannot negate [Map]"),
]


@pytest.mark.parametrize(("fault", "status", "text"), TEXTS)
def test_fault_text_and_status(fault: Fault, status: int, text: str) -> None:
    assert (fault.status, fault.text) == (status, text)
    assert fault.to_map()["error"] == text


def test_fault_map_names_only_the_places_it_has() -> None:
    assert Fault("R2002", "too long", "shorten it").to_map() == {
        "error": "RangeError: too long",
        "code": "R2002",
        "hint": "shorten it",
    }
    fault = Fault("R2001", "m", rid="r", rule_name="n", line=3, eid="e")
    assert {"rid": "r", "rule": "n", "line": 3, "eid": "e"}.items() <= fault.to_map().items()


def test_fault_species_comes_from_the_table() -> None:
    assert Fault("R2001", "m").species == "type"
    assert Fault("R2015", "m", species="out of paint").species == "out of paint"


def test_shown_eci_hides_most() -> None:
    assert errors.shown_eci("c00abcdefghijk") == "c00abc…"
