"""Regular expressions of a ruleset: whether they are some, and run in bounded time by themselves.

In: `Regexp` nodes. Out: K0106 for what is no pattern, K0708 for what only an ECMAScript engine with
a deadline can run. Invariant: the answers are those that engines give, since both ask `ecma`; most
patterns are plain, and cost no more than one scan of their text.
"""

from __future__ import annotations

import re

from ecma.charsets import units
from krlc import nodes as n
from krlc.diagnostics import Diagnostic

# A pattern made of these parts only is a regular expression for certain, and needs no parser to
# say so: most patterns in rulesets are of this kind. Every repetition is possessive, so that a
# hostile pattern costs no more than its length.
_CLASS = r"\[\^?(?:[a-z]-z|a-[a-z]|A-Z|0-9|\\[dDwWsS.]|[^\\\]\[^-])++-?\]"
_ATOM = rf"(?:[^\\()\[\]{{}}*+?|^$]|\\[dDwWsSnrtfv\\./*+?^$()\[\]{{}}|\"-]|{_CLASS})[*+?]?"
is_plain_pattern = re.compile(
    rf"(?:{_ATOM}|\((?:\?:)?(?:{_ATOM})++(?:\|(?:{_ATOM})++)*+\)[*+?]?|[\^$|])*+"
).fullmatch
# What RE2 has no form for, means otherwise, or may find too large: look-around, back-references,
# `\B`, counts, and repeated groups.
_may_be_slow = re.compile(r"\(\?[=!<]|\\[1-9kB]|\{|\)[*+?]").search

# Without counts, a pattern of so many characters is never too large for the linear engine.
SHORT_CHARACTERS = 400
# As many as engines take; far longer patterns are data.
CHARACTERS_MAX = 10_000
NESTING_MAX = 100
# What engines grant the linear engine for one pattern, and the length up to which they let the fast
# one run a quadratic pattern.
MEMORY_BYTES_MAX = 1 << 20
QUADRATIC_CHARACTERS_MAX = 256


def malformed(node: n.Regexp) -> Diagnostic | None:
    """Say why a literal is no pattern, if it is none."""
    if is_plain_pattern(node.pattern) is not None:
        return None
    from ecma.parser import PatternError, parse

    try:
        parse(units(node.pattern), "i" in node.flags, CHARACTERS_MAX, NESTING_MAX)
    except PatternError as error:
        return Diagnostic(
            "K0106",
            "regular expression is malformed",
            node.span,
            f"at character {error.at + 1}: {error.why}",
            ("a backslash before one of `\\ ^ $ . * + ? ( ) [ ] { } |` makes it plain",),
        )
    return _refused(node) if needs_deadline(node) else None


def _refused(node: n.Regexp) -> Diagnostic | None:
    """Say why the ECMAScript engine does not take a pattern that only it can run."""
    import regress

    try:
        regress.Regex(node.pattern, node.flags.replace("g", ""))
    except regress.RegressError as fault:
        reason = str(fault).rstrip(".")
        return Diagnostic(
            "K0106",
            "regular expression is malformed",
            node.span,
            reason[:1].lower() + reason[1:],
            ("a backslash before one of `\\ ^ $ . * + ? ( ) [ ] { } |` makes it plain",),
        )
    return None


def needs_deadline(node: n.Regexp) -> bool:
    """Whether neither of the engines with bounded time can run this, which then is a pattern."""
    if len(node.pattern) <= SHORT_CHARACTERS and _may_be_slow(node.pattern) is None:
        return False
    from ecma import choice
    from ecma.parser import PatternError, parse

    try:
        parsed = parse(units(node.pattern), "i" in node.flags, CHARACTERS_MAX, NESTING_MAX)
    except PatternError:
        return False
    plan = choice.plan(parsed.root, QUADRATIC_CHARACTERS_MAX)
    if plan.fast_max == choice.LENGTH_ANY:
        return False
    return choice.linear_engine(plan, MEMORY_BYTES_MAX) is None


def slow(node: n.Regexp) -> Diagnostic | None:
    """Warn of a pattern that runs with a deadline, if it is one."""
    if not needs_deadline(node):
        return None
    return Diagnostic(
        "K0708",
        "regular expression may be slow",
        node.span,
        "no engine with bounded time can run it, so it runs in a process with a deadline",
        (
            "do without back-references and look-around, and do not repeat what can match in "
            "several ways",
        ),
        "warning",
    )
