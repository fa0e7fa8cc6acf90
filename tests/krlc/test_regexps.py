"""What the compiler says of patterns is what the engine does with them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from krlc import compile_source, regexps
from krlc.nodes import Regexp
from krlc.source import Span
from runtime import limits
from runtime.errors import Fault
from runtime.patterns import Pattern

# Parts of patterns, put together at random: some need a deadline, some are none at all.
PARTS = (
    "a",
    "b",
    ".",
    r"\d",
    r"\b",
    r"\B",
    r"\1",
    "|",
    "^",
    "$",
    "x*",
    "y+",
    "z?",
    "a{2,5}",
    "[^a]",
)
OPENINGS = ("(", "(?:", "(?=", "(?!", "(?<=", "(?<n>")
CLOSINGS = (")", ")*", ")+", ")?", "){3}", "){2,}")


@st.composite
def sources(draw: st.DrawFn, depth: int = 2) -> str:
    pieces = []
    for _ in range(draw(st.integers(1, 3))):
        if depth and draw(st.booleans()):
            inner = draw(sources(depth - 1))
            pieces.append(draw(st.sampled_from(OPENINGS)) + inner + draw(st.sampled_from(CLOSINGS)))
        else:
            pieces.append(draw(st.sampled_from(PARTS)))
    return "".join(pieces)


def node(source: str, flags: str = "") -> Regexp:
    return Regexp(Span(0, 1), source, flags)


@settings(max_examples=400)
@given(sources(), st.sampled_from(["", "i", "gi"]))
def test_regexps_are_judged_as_the_engine_runs_them(source: str, flags: str) -> None:
    try:
        engine = Pattern(source, flags).engine
    except Fault:
        assert regexps.malformed(node(source, flags)) is not None
        return
    assert regexps.malformed(node(source, flags)) is None
    assert regexps.needs_deadline(node(source, flags)) == (engine == "helper")


SLOW = [
    r"(['\"]).*\1",
    "(?<=a)b",
    r"(.*)(?=b)(.*)c",
    "(a|b)*?(?:(a)|b)*",
    r"(\B.+)+$",
    "(a*)*(b?)+",
]
QUICK = ["(a+)+$", "(.*a){20}", "^(\\w+)$", "(a|aa)+$", r"^(?=.*\d).{8,}$", "a{2,9}", "^/([^/]+)/"]


@pytest.mark.parametrize("source", SLOW)
def test_slow_pattern_is_warned_of_once(source: str) -> None:
    text = f"ruleset a {{ global {{ p = re#{source}# }} }}"
    found = compile_source(text).diagnostics
    assert [(d.code, d.severity) for d in found if d.code == "K0708"] == [("K0708", "warning")]


@pytest.mark.parametrize("source", QUICK)
def test_quick_pattern_is_not_warned_of(source: str) -> None:
    found = compile_source(f"ruleset a {{ global {{ p = re#{source}# }} }}").diagnostics
    assert "K0708" not in [d.code for d in found]


def test_pattern_in_an_event_expression_is_judged_too() -> None:
    text = r"ruleset a { rule r { select when a b who re#(.)\1# noop() } }"
    assert [d.code for d in compile_source(text).diagnostics] == ["K0708"]


LARGE = [r"\W" * 200, "[^é]" * 100, r"[^\w\u0400-\u04ff]" * 21, "(a|ä)*" * 66]


@pytest.mark.parametrize("source", LARGE, ids=[source[:8] for source in LARGE])
@pytest.mark.parametrize("times", [1, 20])
def test_large_pattern_is_judged_as_the_engine_runs_it(source: str, times: int) -> None:
    for flags in ("", "i"):
        engine = Pattern(source * times, flags).engine
        assert regexps.needs_deadline(node(source * times, flags)) == (engine == "helper")


def test_pattern_bounds_are_the_engines() -> None:
    assert limits.pattern_source_max == regexps.CHARACTERS_MAX
    assert limits.pattern_nesting_max == regexps.NESTING_MAX
    assert limits.pattern_memory_bytes_max == regexps.MEMORY_BYTES_MAX
    assert limits.pattern_quadratic_characters_max == regexps.QUADRATIC_CHARACTERS_MAX


@pytest.mark.parametrize("source", ["(" * 101 + ")" * 101, "(?<=a){2}*"])
def test_pattern_that_the_engine_refuses_does_not_compile(source: str) -> None:
    found = compile_source(f"ruleset a {{ global {{ p = re#{source}# }} }}").diagnostics
    assert "K0106" in [d.code for d in found]


def test_pattern_that_is_too_long() -> None:
    text = "a" * (regexps.CHARACTERS_MAX + 1)
    found = compile_source(f"ruleset a {{ global {{ p = re#{text}# }} }}").diagnostics
    assert "K0109" in [d.code for d in found]


@pytest.mark.parametrize("source", ["a{2})", "(x{3}", "[b-a]{2}", "(?<n>a)(?<n>b)+"])
def test_malformed_pattern_that_looks_slow_is_just_malformed(source: str) -> None:
    """Found by mutation: a bracket too many beside a count."""
    text = f"ruleset a {{ rule r {{ select when a b x re#{source}# noop() }} }}"
    assert [d.code for d in compile_source(text).diagnostics] == ["K0106"]
