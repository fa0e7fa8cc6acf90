"""Work grows with the text, not with its square; depth ends in a diagnostic.

Work is counted in calls of Python and built-in functions, which repeats exactly; the clock is not
asked. Each shape is a part that is repeated.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from types import FrameType

import pytest

import krlc
from krlc.printer import format_source
from krlc.source import Source

SIZE = 100
RATIO_MAX = 2.5  # twice the text; n log n and start-up costs included


def rule(body: str) -> str:
    return "ruleset t { rule r { select when e a " + body + " } }"


def global_(body: str) -> str:
    return "ruleset t { meta { shares f } global { f = 1 " + body + " } }"


def joined(count: int, part: str, between: str = " ") -> str:
    """The part so many times, with its number for `N` and the next one for `M`."""
    return between.join(part.replace("N", str(i)).replace("M", str(i + 1)) for i in range(count))


SHAPES = {
    "rules": lambda n: (
        "ruleset t {"
        + joined(n, 'rule rN { select when e nN pre { a = N } send_directive("d", {"a": a}) }')
        + "}"
    ),
    "functions": lambda n: global_(joined(n, "gN = function(a) { a + N }")),
    "calls to the next": lambda n: global_(
        joined(n, "gN = function(a) { gM(a) }") + f" g{n} = function(a) {{ ent:x }}"
    ),
    "computed from the last": lambda n: global_("g0 = [f] " + joined(n, "gM = [gN].length()")),
    "unknown names": lambda n: global_(joined(n, "nameN = nameNx")),
    "names declared twice": lambda n: global_(joined(n, "f = N")),
    "unknown domains": lambda n: global_("g = [" + joined(n, "dN:x", ", ") + "]"),
    "array": lambda n: global_("g = [" + joined(n, "ent:x", ", ") + "]"),
    "map": lambda n: global_("g = {" + joined(n, '"kN": ent:x', ", ") + "}"),
    "chevron": lambda n: global_("g = <<" + joined(n, "a#{ent:x}") + ">>"),
    "parameters": lambda n: global_("g = function(" + joined(n, "aN", ", ") + ") { 1 }"),
    "locals": lambda n: global_("g = function() { " + joined(n, "aN = N") + " 1 }"),
    "one name in many functions": lambda n: global_(
        joined(n, "gN = function() { x = N; h = function() { x = 2; x }; h() + x }")
    ),
    "actions": lambda n: rule("every { " + joined(n, "noop() setting(xN)") + " }"),
    "labels": lambda n: rule("choose ent:x { " + joined(n, "xN => noop()") + " }"),
    "statements": lambda n: rule("fired { " + joined(n, 'ent:x{"N"} := N if ent:y', "; ") + " }"),
    "attributes": lambda n: rule(
        "pre { x = [" + joined(n, 'event:attrs{"aN"}', ", ") + "] } noop()"
    ),
    "matches": lambda n: (
        "ruleset t { rule r { select when e a "
        + joined(n, "xN re#(.)#")
        + " setting("
        + joined(n, "xN", ", ")
        + ") } }"
    ),
    "comments": lambda n: global_(joined(n, "// line N\n/* block N */\n")),
    "broken rules": lambda n: "ruleset t {" + joined(n, "rule rN { select whn e }\n") + "}",
    "junk": lambda n: global_(joined(n, "x = @ ' & \n")),
    "open quotes": lambda n: global_("g = " + '" \n' * n),
    "open chevrons": lambda n: global_("g = " + "<< \n" * n),
    "open braces": lambda n: global_("g = " + "{" * n),
}


def work(text: str) -> int:
    """Count the calls that compiling and formatting make."""
    count = 0

    def note(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += 1

    sys.setprofile(note)
    try:
        krlc.compile_source(text, "growth.krl")
        with suppress(ValueError):  # a text with syntax errors is not formatted
            format_source(Source(text, "growth.krl"))
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("shape", SHAPES)
def test_work_grows_with_the_text(shape: str) -> None:
    make = SHAPES[shape]
    work(make(SIZE))  # what is loaded once is not counted
    once, twice = work(make(SIZE)), work(make(2 * SIZE))
    assert twice <= RATIO_MAX * once


# Opening, middle, closing: repeated N times they go beyond every bound.
DEEP = {
    "parentheses": ("(", "ent:x", ")"),
    "arrays": ("[", "1", "]"),
    "maps": ('{"a": ', "1", "}"),
    "chevrons": ("<<a#{", "ent:x", "}>>"),
    "not": ("not (ent:x || ", "1", ")"),
    "minus": ("- ", "ent:x", ""),
    "functions": ("function() { ", "1", " }"),
    "named functions": ("function() { g = ", "1", " g }"),
    "callbacks": ("[1].map(function(a) { x = 1; ", "1", " })"),
    "defaults": ("function(a = ", "1", ") { a }"),
    "actions": ("defaction() { x = ", "1", " }"),
    "conditionals": ("(ent:x => ", "1", " | 2)"),
    "paths": ("ent:x{", "1", "}"),
    "chains": ("", "1", ".uc()"),
    "subtractions": ("", "1", " - ent:x"),
    "additions": ("", "1", " + ent:x"),
}


@pytest.mark.parametrize("kind", DEEP)
def test_depth_ends_in_a_diagnostic(kind: str) -> None:
    opening, middle, closing = DEEP[kind]
    refused = set()
    for count in (10, 30, 80, 88, 89, 90, 91, 95, 130, 200, 390, 500, 5_000):
        text = global_("g = " + opening * count + middle + closing * count)
        compiled = krlc.compile_source(text, "deep.krl")
        errors = {d.code for d in compiled.diagnostics if d.severity == "error"}
        assert errors <= {"K0227", "K0710"}
        refused |= errors
        if compiled.ok:
            krlc.code_object(compiled)  # Python takes it
    assert refused
    assert compiled.diagnostics


@pytest.mark.parametrize(("count", "is_fine"), [(20, True), (21, False), (300, False)])
def test_loops_have_a_bound(count: int, is_fine: bool) -> None:
    text = rule(joined(count, "foreach [1] setting(xN)") + " noop()")
    compiled = krlc.compile_source(text, "loops.krl")
    assert compiled.ok is is_fine
    if is_fine:
        krlc.code_object(compiled)
    else:
        assert [d.code for d in compiled.diagnostics if d.severity == "error"] == ["K0710"]


def test_many_labels_are_fine() -> None:
    text = rule("choose ent:x { " + joined(7_000, "xN => noop()") + " }")
    krlc.code_object(krlc.compile_source(text, "labels.krl"))
