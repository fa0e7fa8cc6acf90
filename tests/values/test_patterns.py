"""Patterns: the three engines against an ECMAScript one, bounded time, and KRL's own rules."""

import pytest
import regress
from hypothesis import given, settings

from ecma import cost
from ecma.parser import parse
from runtime import pattern_helper, patterns
from runtime.errors import Fault
from runtime.limits import (
    pattern_helper_characters_max,
    pattern_nesting_max,
    pattern_quadratic_characters_max,
    pattern_source_max,
    patterns_cached_max,
    value_bytes_max,
)
from runtime.patterns import Pattern, compile_pattern

from .backtracker import Backtracker
from .strategies import FLAGS, SOURCES, TEXTS, UNITS, st

SEEDED = settings(max_examples=250)


@pytest.fixture(autouse=True, scope="module")
def _helper_ends():
    yield
    pattern_helper.stop()


def spans_by_regress(source, flags, groups, text):
    """What an ECMAScript engine finds, in characters."""
    data = text.encode()
    found = []
    for match in regress.Regex(source, flags).find_iter(text):
        slices = [match.group(number) for number in range(groups + 1)]
        found.append(
            [
                (-1, -1)
                if s is None
                else (len(data[: s.start].decode()), len(data[: s.stop].decode()))
                for s in slices
            ]
        )
    return found


@SEEDED
@given(SOURCES, FLAGS, TEXTS)
def test_each_engine_finds_what_ecmascript_finds(source, flags, text):
    pattern = Pattern(source, flags)
    wanted = spans_by_regress(source, flags, pattern.groups, text)
    if pattern.fast is not None:
        assert [list(spans) for spans in pattern.all_fast(text, False)] == wanted
    if pattern.linear() is not None:
        assert patterns.all_linear(pattern.linear(), text, False) == wanted


@SEEDED
@given(SOURCES, st.text(UNITS, min_size=1, max_size=3), st.text(UNITS, max_size=2))
def test_a_search_stays_within_its_bound(source, unit, end):
    parsed = parse(source, False, pattern_source_max, pattern_nesting_max)
    root = cost.without_empty_rounds(parsed.root)
    bound = cost.search_bound(root)
    if bound.degree < 1 or cost.has_own_meaning(root):
        return
    # Each step of the bound visits a handful of nodes.
    visits = 4 + len(source)
    for size in (12, 40):
        text = (unit * size)[:size] + end
        allowed = visits * bound.steps * (len(text) + 1) ** bound.degree
        search = Backtracker(text, steps_max=allowed)
        search.search(root, cost.is_anchored(root))


KILLERS = [
    ("(a+)+$", "a", "!"),
    ("(a|a)*$", "a", "!"),
    ("(.*a){20}", "a", "!"),
    ("(a|aa)+$", "a", "!"),
    ("([a-zA-Z]+)*$", "a", "!"),
    ("(.*)*x", "a", ""),
    (r"^(\w+\s?)*$", "aaaaaaa ", "!"),
    (r"(\d+)+x", "1", ""),
    ("a*a*a*a*b", "a", ""),
    (r"\s+$", " ", "x"),
    (".*.*=.*", "a", ""),
    ("^(([a-z])+.)+[A-Z]([a-z])+$", "a", ""),
    ("(x+x+)+y", "x", ""),
]
MATCHING = {"(a|a)*$", "(.*a){20}", "([a-zA-Z]+)*$"}


@pytest.mark.parametrize(("source", "unit", "end"), KILLERS, ids=[k[0] for k in KILLERS])
def test_a_killer_never_runs_where_it_could_backtrack(source, unit, end):
    pattern = Pattern(source)
    assert pattern.engine in ("re2", "helper")
    text = unit * 20_000 + end
    if pattern.engine == "re2":
        assert pattern.test(text) is (source in MATCHING)


FAST = [
    r"(\d+)",
    "(.*)",
    "^(.*)$",
    "^[a-z]+$",
    r"^(\d{4})-(\d{2})-(\d{2})$",
    r"^[\w.+-]+@\w+\.\w{2,}$",
    "foo|bar",
    r"^(?=.*\d)(?=.*[a-z]).{8,}$",
    r"^(?:\d{1,3}\.){3}\d{1,3}$",
    "^/([^/]+)/([^/]+)$",
    r"^(\w+)(,.*)?$",
    "^([a-z]*)?(,.*)?$",
]


@pytest.mark.parametrize("source", FAST)
def test_an_everyday_pattern_runs_on_the_fast_engine(source):
    assert Pattern(source).engine == "re"


def test_a_quadratic_pattern_changes_engine_at_the_bound():
    pattern = Pattern("a.*b")
    assert pattern.engine == "re2"
    for size in (pattern_quadratic_characters_max, pattern_quadratic_characters_max + 1):
        assert pattern.search("x" * (size - 3) + "a-b") == ()
        assert pattern.search("x" * (size - 3) + "a--") is None


ECMASCRIPT = [
    # (source, flags, text, groups of the first match)
    (r"(['\"]).*\1", "", 'say "hi"', ('"',)),
    ("(?:(a)|b)*", "", "ab", (None,)),
    ("(z)((a+)?(b+)?(c))*", "", "zaacbbbcac", ("z", "ac", "a", None, "c")),
    (r"(?<=\$)(\d+)", "", "cost $42", ("42",)),
    (r"(?<year>\d{4})-\k<year>", "", "2020-2020", ("2020",)),
    ("(a*)*", "", "b", (None,)),
    ("(a*)?", "", "b", (None,)),
    ("(a*?)?b", "", "aab", ("aa",)),
    ("^(a*)+$", "", "", ("",)),
    ("(?:a*|b)?c", "", "bc", ()),
    (r"\u{61}", "", "u" * 61, ()),
    (r"^\s$", "", "\ufeff", ()),
    (r"^\s$", "", "\x85", None),
    (r"^\w$", "i", "ſ", None),
    ("^é$", "i", "É", ()),
    ("^[à-þ]$", "i", "É", ()),
    ("k", "i", "\u212a", None),
    ("^.$", "", "\u2028", None),
    ("a$", "", "a\n", None),
    ("[^]", "", "\n", ()),
    ("[]", "", "a", None),
    ("a{,2}", "", "a{,2}", ()),
    (r"\8", "", "8", ()),
    (r"\101", "", "A", ()),
    (r"[\b]", "", "\b", ()),
    (r"\cJ", "", "\n", ()),
    (r"^\B$", "", "", ()),
    ("(?=(a))", "", "ba", ("a",)),
]


@pytest.mark.parametrize(("source", "flags", "text", "groups"), ECMASCRIPT)
def test_a_pattern_means_what_ecmascript_says(source, flags, text, groups):
    assert Pattern(source, flags).search(text) == groups


NOT_PATTERNS = [
    ("(", "re#(# at character 1: this group is not closed"),
    (")", "re#)# at character 1: this `)` closes no group"),
    ("a**", "re#a**# at character 3: there is nothing to repeat here"),
    ("?", "re#?# at character 1: there is nothing to repeat here"),
    ("a{2,1}", "re#a{2,1}# at character 2: the counts of this repetition are in the wrong order"),
    ("[b-a]", "re#[b-a]# at character 3: the ends of this range are in the wrong order"),
    ("[a", "re#[a# at character 1: this `[` is not closed"),
    ("a\\", "re#a\\# at character 2: a backslash at the end escapes nothing"),
    ("(?<n>a)(?<n>b)", "re#(?<n>a)(?<n>b)# at character 10: two groups have the name `n`"),
    ("(?<n>a)\\k<m>", "re#(?<n>a)\\k<m># at character 8: there is no group named `m`"),
    ("(?i:a)", "re#(?i:a)# at character 1: this kind of group does not exist"),
    ("(?<=a)*", "re#(?<=a)*# at character 7: there is nothing to repeat here"),
]


@pytest.mark.parametrize(("source", "message"), NOT_PATTERNS)
def test_what_is_no_pattern_is_refused_with_place_and_cause(source, message):
    with pytest.raises(Fault) as caught:
        Pattern(source)
    assert (caught.value.code, caught.value.message) == ("R2017", message)


@pytest.mark.parametrize(
    "source", ["a" * (pattern_source_max + 1), "(" * (pattern_nesting_max + 2)]
)
def test_a_pattern_too_large_is_refused(source):
    with pytest.raises(Fault) as caught:
        Pattern(source)
    assert caught.value.code == "R2017"


SPLITS = [
    (",", "a,b", ["a", "b"]),
    (r"(\d)", "a1b2c", ["a", "1", "b", "2", "c"]),
    ("", "abc", ["a", "b", "c"]),
    ("", "", []),
    (",", "", [""]),
    ("x*", "axb", ["a", "b"]),
    ("(x)|(b)", "abc", ["a", None, "b", "c"]),
    ("(?=b)", "abab", ["a", "ba", "b"]),
    ("$", "ab", ["ab"]),
    ("a*?", "aab", ["a", "a", "b"]),
    ("", "a😀", ["a", "\ud83d", "\ude00"]),
]


@pytest.mark.parametrize(("source", "text", "pieces"), SPLITS)
def test_split_cuts_as_ecmascript_does(source, text, pieces):
    assert Pattern(source).split(text) == pieces


REPLACES = [
    ("(b)", "", "abcb", "[$1]", "a[b]cb"),
    ("(b)", "g", "abcb", "[$1]", "a[b]c[b]"),
    ("x*", "g", "abc", "-", "-a-b-c-"),
    ("b", "", "abc", "$`|$'|$&|$$|$1|$0", "aa|c|b|$|$1|$0c"),
    ("(a)(b)", "", "ab", "$10$2$03", "a0b$03"),
    ("(?<n>a)", "", "ab", "<$<n>$<m>>", "<a>b"),
    ("(a)", "", "ab", "$<n>", "$<n>b"),
    ("(?<=a)b", "g", "abab", "é", "aéaé"),
    (".", "g", "a😀", "x", "xxx"),
    ("\ud83d", "", "a😀", "x", "ax\ude00"),
]


@pytest.mark.parametrize(("source", "flags", "text", "template", "wanted"), REPLACES)
def test_replace_expands_its_template(source, flags, text, template, wanted):
    assert Pattern(source, flags).replace(text, template) == wanted


def test_replace_with_counts_offsets_in_utf16_units():
    calls = []
    Pattern("(b)|(c)", "g").replace_with("😀bc", lambda *found: calls.append(found) or "")
    assert calls == [("b", "b", None, 2, "😀bc"), ("c", None, "c", 3, "😀bc")]


@pytest.mark.parametrize("engine", ["re", "re2", "helper"])
def test_find_all_sees_text_beyond_the_basic_plane(engine):
    source = {"re": "é(.)", "re2": "é(.)|z+z+y", "helper": "(?<=(x|😀))é(.)"}[engine]
    pattern = Pattern(source, "g")
    assert pattern.engine == engine
    text = "😀é1" + "😀é2" + "-" * 300
    assert pattern.find_all(text) == ["é1", "é2"]


RENDERED = [
    ("a/b", "", r"re#a\/b#"),
    (r"a\/b", "", r"re#a\/b#"),
    ("[/]", "g", "re#[/]#g"),
    ("", "gi", "re#(?:)#gi"),
    ("a\nb", "ig", r"re#a\nb#gi"),
    ("a#b", "m", "re#a#b#"),
]


@pytest.mark.parametrize(("source", "flags", "text"), RENDERED)
def test_a_pattern_shows_its_source_as_ecmascript_does(source, flags, text):
    assert Pattern(source, flags).text() == text


def test_patterns_are_equal_by_source_and_flags():
    assert Pattern("a", "gi") == Pattern("a", "igm")
    assert hash(Pattern("a", "gi")) == hash(Pattern("a", "ig"))
    assert Pattern("a") != Pattern("a", "i")
    assert Pattern("a") != "a"


def test_a_global_pattern_remembers_no_position():
    pattern = Pattern("a", "g")
    assert [pattern.test("a") for _ in range(3)] == [True, True, True]


def test_the_cache_gives_the_same_pattern_and_stays_bounded():
    assert compile_pattern("cached", "ig") is compile_pattern("cached", "gi")
    assert patterns._compiled.cache_info().maxsize == patterns_cached_max


def test_the_helper_is_killed_at_the_deadline_and_starts_again(monkeypatch):
    pattern = Pattern(r"((a+)+)\2$")
    assert pattern.engine == "helper"
    assert pattern.test("aa")
    monkeypatch.setattr(pattern_helper, "pattern_deadline_ms", 50)
    with pytest.raises(Fault) as caught:
        pattern.test("a" * 5_000 + "!")
    assert caught.value.code == "R4016"
    monkeypatch.undo()
    assert pattern.test("aa")


def test_the_helper_refuses_long_texts():
    with pytest.raises(Fault) as caught:
        Pattern(r"(a)\1").test("b" * (pattern_helper_characters_max + 1))
    assert caught.value.code == "R4004"


def test_a_large_pattern_on_a_large_text_is_refused_before_it_runs():
    pattern = Pattern("(?:a+b?){500}c")
    assert pattern.engine == "re2"
    with pytest.raises(Fault) as caught:
        pattern.test("a" * 5_000_000)
    assert caught.value.code == "R4016"


def test_a_replacement_that_would_grow_too_large_is_refused():
    with pytest.raises(Fault) as caught:
        Pattern("a", "g").replace("a" * 10_000, "$`$'")
    assert caught.value.code == "R4004"


@pytest.mark.parametrize("source", ["a", "(?:a|a+b)", r"(a)(?<=\1)"])
def test_too_many_matches_are_refused(monkeypatch, source):
    assert value_bytes_max // 8 == patterns.MATCHES_MAX
    monkeypatch.setattr(patterns, "MATCHES_MAX", 100)
    assert len(Pattern(source, "g").find_all("a" * 100)) == 100
    with pytest.raises(Fault) as caught:
        Pattern(source, "g").find_all("a" * 101)
    assert caught.value.code == "R4004"
