"""The pages of all codes: whole, with an example that fails as it says, and one that does not."""

import re
from pathlib import Path

import pytest

from krlc import compile_source
from krlc.codes import CODES, explain, nearest_code
from krlc.parser import parse
from krlc.source import Source

KRLC = Path(__file__).resolve().parents[2] / "krlc"
RAISED = {
    code
    for path in KRLC.glob("*.py")
    if not path.name.startswith("pages")
    for code in re.findall(r'"(K0[0-9]{3})"', path.read_text("utf-8"))
}
# Codes that no short ruleset alone can cause: limits, and what we lack or do wrong.
WITHOUT_EXAMPLE = {"K0109", "K0510", "K0901"}
MEANING = [code for code in CODES if code >= "K03"]


def test_pages_cover_all_codes() -> None:
    assert set(CODES) == RAISED


def test_pages_without_example() -> None:
    assert {code for code, page in CODES.items() if not page.failing} <= WITHOUT_EXAMPLE


@pytest.mark.parametrize("code", CODES)
def test_page_is_whole(code: str) -> None:
    page = CODES[code]
    assert page.title
    assert page.title[0] in "`…" or page.title[0].islower()
    assert not page.title.endswith(".")
    assert page.meaning.endswith(".")
    assert page.fix.rstrip("`").endswith(".") or page.fix.endswith("`.")
    assert "invalid" not in page.title + page.meaning
    root, found = parse(Source(page.corrected, f"{code}.krl"))
    assert root is not None, found
    text = explain(code.lower())
    assert text is not None
    assert text.startswith(f"{page.severity} {code}: {page.title}\n")


@pytest.mark.parametrize("code", [c for c in MEANING if CODES[c].failing and c in RAISED])
def test_page_failing_example(code: str) -> None:
    compiled = compile_source(CODES[code].failing, f"{code}.krl")
    severities = {d.code: d.severity for d in compiled.diagnostics}
    assert severities.get(code) == CODES[code].severity, compiled.diagnostics


@pytest.mark.parametrize("code", CODES)
def test_page_corrected_example(code: str) -> None:
    compiled = compile_source(CODES[code].corrected, f"{code}.krl")
    assert code not in {d.code for d in compiled.diagnostics}


def test_code_of_a_fault_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr("krlc.compilation.lower", fails)
    assert [d.code for d in compile_source("ruleset a { }").diagnostics] == ["K0901"]


@pytest.mark.parametrize(
    ("typed", "nearest"), [("K0310", "K0301"), ("k0302", "K0302"), ("201", "K0201"), ("x", "K0101")]
)
def test_nearest_code(typed: str, nearest: str) -> None:
    assert nearest_code(typed) == nearest


def test_explain_unknown_code() -> None:
    assert explain("K9999") is None
