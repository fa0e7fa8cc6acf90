"""The parser: precedence, words, literals, spans, bounds, and any text at all."""

import pytest
import regress
from hypothesis import given
from hypothesis import strategies as st
from shapes import shape

from krlc import nodes as n
from krlc.lexer import words
from krlc.parser import ERRORS_MAX, STACK_MAX, TREE_DEPTH_MAX, parse
from krlc.regexps import is_plain_pattern
from krlc.source import Source


def tree(text: str) -> n.Node:
    root, found = parse(Source(text, "test.krl"))
    assert root is not None, found
    return root


def items(text: str) -> str:
    root = tree(text)
    assert isinstance(root, n.Fragment)
    return "; ".join(map(shape, root.items))


EXPRESSIONS = [
    ("1 + 2 * 3", "(1 + (2 * 3))"),
    ("1 - 2 - 3", "((1 - 2) - 3)"),
    ("a < b == c", "((a < b) == c)"),
    ("a like b cmp c", "((a like b) cmp c)"),
    ("a || b && c == d + e * f", "(a || (b && (c == (d + (e * f)))))"),
    ("-3.bnot()", "(- 3.bnot())"),
    ("--1", "(- (- 1))"),
    ("2 * -3", "(2 * (- 3))"),
    ("not a == b", "((not a) == b)"),
    ("not a && b", "((not a) && b)"),
    ("a => b | c => d | e", "(a => b | (c => d | e))"),
    ("a => (b => c | d) | e", "(a => (b => c | d) | e)"),
    ("(a + b) * c", "((a + b) * c)"),
    ("a = b\n[0]", "a = b[0]"),
    ("a = b; [0]", "a = b; [0]"),
    ("a {b} [c] .d(e)", "a{b}[c].d(e)"),
    ("m:f(1)", "m:f(1)"),
    ("ent : x", "ent:x"),
    ("v.m:f(a = 1, 2)", "v.m:f(a=1, 2)"),
    ("function(x){x}(3)", "fn(x) {x}(3)"),
    ("function(){a = m; [i]}", "fn() {a = m; [i]}"),
    ("function(){a = m return [i]}", "fn() {a = m; [i]}"),
    ("function(a, b = 2,){a;}", "fn(a, b=2) {a}"),
    ('function(){ {"a": 1} }', "fn() {{a: 1}}"),
    ("[1, 2,]", "[1, 2]"),
    ('{"a": 1, "a": 2,}', "{a: 1, a: 2}"),
    ("true false null", "true; false; null"),
    ("if = 1 x = if", "if = 1; x = if"),
    ("count = 1 x.count(y)", "count = 1; x.count(y)"),
    ("where re#x#", "where; /x/"),
    ("10.25.5", "10.25; 0.5"),
    ("1e3", "1; e3"),
    ("1.x", "1.x"),
    ("10.0", "10"),
    ("9007199254740993", "9007199254740992"),
    ("18014398509481985", "1.8014398509481984e+16"),
    ("re#a\\#b#gi", "/a#b/gi"),
    ("re#x#gok", "/x/g; ok"),
    ("more#x", None),
    ('"a\\"b\\\\c\\nd"', repr('a"b\\c\\nd')),
    ('"two\nlines"', repr("two\nlines")),
    ("<<>>", "<<>>"),
    ("<<a#{b + 1}c>>", "<<'a'|(b + 1)|'c'>>"),
    ('<<a // no comment" >\\> \\#{ \\\\ >>', "<<" + repr('a // no comment" >> #{ \\ ') + ">>"),
    ("<<x#{<<y#{z}>>}>>", "<<'x'|<<'y'|z>>>>"),
    ('<<#{{"a": 1}{"a"}}>>', "<<{a: 1}{'a'}>>"),
    ("<< a << b >>", "<<' a << b '>>"),
    ("a /* c */ + // d\n b", "(a + b)"),
    ("a\ufeff+\u00a0b", "(a + b)"),
]


@pytest.mark.parametrize(("text", "expected"), EXPRESSIONS, ids=[e[0] for e in EXPRESSIONS])
def test_parser_expression(text: str, expected: str | None) -> None:
    if expected is None:
        assert parse(Source(text, "x"))[0] is None
    else:
        assert items(text) == expected


EVENTS = [
    ("a b", "a:b"),
    ("a:b", "a:b"),
    ("a : b", "a:b"),
    ("a or", "a:or"),
    ("return return", "return:return"),
    ("a b and c d and e f", "((a:b and c:d) and e:f)"),
    ("and(a b, c d, e f)", "and(a:b, c:d, e:f)"),
    ("a b or c d and e f before g h", "(a:b or (c:d and (e:f before g:h)))"),
    ("a b then c d after e f", "((a:b then c:d) after e:f)"),
    ("a b between (c d, e f)", "(a:b between c:d between e:f)"),
    ("a b not between (c d, e f)", "(a:b not between c:d not between e:f)"),
    ("a b and c d between(e f, g h)", "(a:b and (c:d between e:f between g:h))"),
    ("any 2 (a b, c d, e f)", "any2(a:b, c:d, e:f)"),
    ("count 3 (a b k re#x#) max(m)", "count3(a:b k~/x/ max m)"),
    ("repeat 0 (a b)", "repeat0(a:b)"),
    ("(a b or c d) and e f", "((a:b or c:d) and e:f)"),
    (
        "a b k re#(.)# m re#x#.klog(1) setting(p, q) where p > 1",
        "a:b k~/(.)/ m~/x/.klog(1) set p q where (p > 1)",
    ),
    ("a b where x setting(p)", "a:b set p where x"),
    ("a b where re#x#", "a:b where~/x/"),
    ("a b where where", "a:b where where"),
]


@pytest.mark.parametrize(("text", "expected"), EVENTS, ids=[e[0] for e in EVENTS])
def test_parser_event_expression(text: str, expected: str) -> None:
    root = tree(f"ruleset z {{ rule r {{ select when {text} }} }}")
    assert isinstance(root, n.Ruleset)
    select = root.rules[0].select
    assert isinstance(select, n.SelectWhen)
    assert shape(select.event) == expected


RULE_PARTS = [
    ("select when a b within 5 minutes", "select.within.unit", "minute"),
    ("select when a b where x setting(p)", "select.event.where_before_setting", True),
    ("select where x", "select.condition.name", "x"),
    ("foreach x setting(k, v) foreach y setting(z)", "foreach.1.names.0.name", "z"),
    ("pre { a = 1; b = 2 }", "pre.1.name.name", "b"),
    ("noop()", "action_block.braces", False),
    ("every { noop(); noop() }", "action_block.actions.1.name.name", "noop"),
    ("if x then choose f(y) { a => noop() }", "action_block.actions.0.label.name", "a"),
    ("choose (x{y}) { a => noop() }", "action_block.discriminant.path.name", "y"),
    ("sample { }", "action_block.kind", "sample"),
    ("m:act(1) setting(r)", "action_block.actions.0.setting.0.name", "r"),
    ("if(x) then if_(y)", "action_block.actions.0.name.name", "if_"),
    ("fired { last } else { last; last } finally { }", "postlude.notfired.1", n.Last),
    ("notfired { } else { last }", "postlude.fired.0", n.Last),
    ("always { ent:x{p} := 1 }", "postlude.always.0.path.name", "p"),
    ("always { clear ent:x{p} }", "postlude.always.0.target.name", "x"),
    ("always { raise event e }", "postlude.always.0.event.domain", None),
    ("always { raise d event e for r attributes a }", "postlude.always.0.for_rid.name", "r"),
    ("always { schedule d event e at t setting(i) }", "postlude.always.0.setting.name", "i"),
    ("always { schedule event e repeat t attributes a }", "postlude.always.0.at", None),
    ("always { log warn x; error info y }", "postlude.always.1.level", "info"),
    ("always { last on final }", "postlude.always.0.condition", None),
    ("always { x = 1 if y }", "postlude.always.0.condition.name", "y"),
    ("always { on = 1 for = 2 }", "postlude.always.1.name.name", "for"),
]


@pytest.mark.parametrize(("text", "path", "expected"), RULE_PARTS, ids=[r[0] for r in RULE_PARTS])
def test_parser_rule_part(text: str, path: str, expected: object) -> None:
    root = tree(f"ruleset z {{ rule r {{ {text} }} }}")
    assert isinstance(root, n.Ruleset)
    found: object = root.rules[0]
    for step in path.split("."):
        found = found[int(step)] if isinstance(found, tuple) else getattr(found, step)
    assert found == expected if not isinstance(expected, type) else isinstance(found, expected)


def test_parser_ruleset_parts() -> None:
    root = tree(
        'ruleset a.b-c { version "1" meta { name "n" use module d.e alias f with g = 1 h = 2'
        " and i = 3 errors to j provides keys k to l, m share n, o configure using p = 1; q = 2"
        " logging off key r s } global { t = 1 } rule u is inactive { } }"
    )
    assert isinstance(root, n.Ruleset)
    assert (root.rid.value, root.has_global) == ("a.b-c", True)
    assert root.version is not None
    assert root.version.value == "1"
    assert root.meta is not None
    kinds = [type(item).__name__ for item in root.meta.properties]
    assert kinds == [
        "MetaText", "MetaUse", "MetaErrors", "MetaProvidesKeys", "MetaNames", "MetaConfigure",
        "MetaLogging", "MetaKey",
    ]  # fmt: skip
    use = root.meta.properties[1]
    assert isinstance(use, n.MetaUse)
    assert [d.name.name for d in use.configuration] == ["g", "h", "i"]
    assert (root.rules[0].is_active, root.rules[0].state) == (False, "inactive")


SPANS = [
    ("x = (a + b) * c", n.Infix, ["(a + b) * c", "a + b"]),
    ("f(1)(2)", n.Call, ["f(1)(2)", "f(1)"]),
    ("a.b(c){d}[e]", n.Index, ["a.b(c){d}[e]"]),
    ("function( a , b = 1 ) { x = 1; x }", n.Parameter, ["a", "b = 1"]),
    ("<<a#{b}c>>", n.String, ["a", "c"]),
    ('{ "k" : 1 }', n.MapEntry, ['"k" : 1']),
    ("ruleset z { rule r { select when a b noop() ; } }", n.ActionBlock, ["noop()"]),
    ("ruleset z { rule r { if x then noop() ; } }", n.ActionBlock, ["if x then noop()"]),
    ("ruleset z { rule r { l => noop() setting(x) } }", n.Action, ["l => noop() setting(x)"]),
    ("ruleset z { rule r { fired { last if x } } }", n.Guarded, ["last if x"]),
    ("ruleset z { rule r { fired { ent : x {p} := 1 } } }", n.DomainIdentifier, ["ent : x"]),
    ("ruleset z { rule r { select when a b setting(c) } }", n.BaseEvent, ["a b setting(c)"]),
    ("ruleset z { rule r { select when a b } }", n.Rule, ["rule r { select when a b }"]),
]


@pytest.mark.parametrize(("text", "kind", "expected"), SPANS, ids=[s[0] for s in SPANS])
def test_parser_span(text: str, kind: type[n.Node], expected: list[str]) -> None:
    found = [node.span for node in n.walk(tree(text)) if isinstance(node, kind)]
    assert [text[span.start : span.end] for span in found] == expected


def test_parser_spans_nest() -> None:
    text = (
        "ruleset z { meta { name <<a#{1 + 2}>> } global { f = function(a = 1) { [a] } }"
        " rule r { select when any 1 (a b, c d k re#x#) foreach [1] setting(i) pre { p = 1 }"
        " if p then every { x => noop(1, b = 2) } fired { raise a event p attributes {} } } }"
    )
    for node in n.walk(tree(text)):
        for child in n.children(node):
            assert node.span.start <= child.span.start
            assert child.span.end <= node.span.end


DEEP = [
    ("parentheses", "(" * STACK_MAX + "1" + ")" * STACK_MAX),
    ("sum", "+".join(["x"] * 5_000)),
    ("calls", "x" + ".f()" * 5_000),
    ("not", "not " * 5_000 + "x"),
    ("choices", "x => y | " * 5_000 + "z"),
    ("arrays", "[" * (TREE_DEPTH_MAX + 1) + "]" * (TREE_DEPTH_MAX + 1)),
    ("chevrons", "<<#{" * 1_000 + "x" + "}>>" * 1_000),
    ("events", "ruleset z { rule r { select when " + " or ".join(["a b"] * 5_000) + " } }"),
    ("functions", "function() { " * 1_000 + "1" + " }" * 1_000),
]


@pytest.mark.parametrize("text", [text for _, text in DEEP], ids=[name for name, _ in DEEP])
def test_parser_bounds_depth(text: str) -> None:
    root, found = parse(Source(text, "deep.krl"))
    assert root is None
    assert [d.code for d in found] == ["K0227"]


def test_parser_depth_just_below() -> None:
    depth = TREE_DEPTH_MAX - 1
    tree("[" * depth + "]" * depth)
    tree("(" * (depth - 1) + "1" + ")" * (depth - 1))
    tree("+".join(["x"] * depth))


@pytest.mark.parametrize("pattern", ["[a-z" * 2_000, "|" * 10_001, "(" * 5_000, "(a{9999}){9999}"])
def test_parser_survives_pattern(pattern: str) -> None:
    root, found = parse(Source(f"x = re#{pattern}#", "x"))
    assert (root is None) == bool(found)
    assert {d.code for d in found} <= {"K0106", "K0109"}


PATTERNS = [
    ("a{2}|\\bb\\b", True),
    ("^[^@]+@[a-z0-9.-]+$", True),
    ("(?<year>\\d{4})-(?=x)", True),
    ("a**", False),
    ("^*", False),
    ("[b-a]", False),
    ("(a|*)", False),
    ("a)", False),
]


@pytest.mark.parametrize(("pattern", "is_good"), PATTERNS, ids=[p[0] for p in PATTERNS])
def test_parser_checks_pattern(pattern: str, is_good: bool) -> None:
    _, found = parse(Source(f"x = re#{pattern}#", "x"))
    assert [d.code for d in found] == ([] if is_good else ["K0106"])


@given(st.text(st.sampled_from("ab-zAZ09[]()*+?|^$.\\d{},"), max_size=12))
def test_parser_plain_pattern_is_a_pattern(pattern: str) -> None:
    if is_plain_pattern(pattern):
        regress.Regex(pattern)


@given(st.text(max_size=200))
def test_parser_takes_any_text(text: str) -> None:
    root, found = parse(Source(text, "any.krl"))
    assert (root is None) == bool(found)


PIECES = (
    *words(
        'ruleset a { } ( ) [ ] , : ; = := => | + - * == && << >> #{ re#x# " 1 2.5 rule r'
        " select when a b where x setting foreach pre if then every choose fired else always"
        " raise event ent log info last function defaction return global meta shares use"
        " module with and not any 2 count null true // /* */ ' re# within minutes schedule at"
        " repeat clear on final"
    ),
    "\n",
    "\\",
)


@given(st.lists(st.sampled_from(PIECES), max_size=60))
def test_parser_takes_any_tokens(pieces: list[str]) -> None:
    text = " ".join(pieces)
    root, found = parse(Source(text, "any.krl"))
    assert (root is None) == bool(found)
    assert len(found) <= ERRORS_MAX
    starts = [d.span.start for d in found]
    assert starts == sorted(starts)
    assert all(0 <= d.span.start <= d.span.end <= len(text) for d in found)
    assert all(d.title and d.label and d.code[:3] in ("K01", "K02") for d in found)
