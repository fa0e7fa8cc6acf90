"""What later passes may say of a text with syntax errors: only what these cannot have caused.

In: the tree that recovery left, the syntax errors, and the stretches of text that the tree leaves
out. Out: errors of names, modules and checks. Invariant: an error is dropped when the rule or the
declaration it stands in was damaged, or ends where the damage begins, or when a word it is about
occurs in what was left out or in a damaged declaration (it may have been declared there); warnings
are dropped. So what is said stays true when the syntax errors are mended. Not here: event
expressions, lowering and code, which want a whole tree.
"""

from __future__ import annotations

import re
from bisect import bisect_right

from krlc import nodes as n
from krlc.checks import check
from krlc.diagnostics import Diagnostic
from krlc.modules import check_modules
from krlc.names import resolve
from krlc.source import Source

_words = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*").findall


def sound_errors(
    source: Source, tree: n.Ruleset, syntax: list[Diagnostic], lost: list[tuple[int, int]]
) -> list[Diagnostic]:
    """Find the errors of later passes that syntax errors cannot have caused.

    Cost: as the passes, and O(log rules) for each error.
    """
    names = resolve(tree)
    found = [*names.diagnostics, *check_modules(tree), *check(tree, names)]
    units = sorted(
        (node.span.start, node.span.end) for node in (*_meta(tree), *tree.globals, *tree.rules)
    )
    starts = [start for start, _ in units]
    hurt = [*lost, *((d.span.start, d.span.end) for d in syntax)]
    damaged = {
        index
        for index, (start, end) in enumerate(units)
        if any(first < end and start <= last for first, last in hurt)
    }
    rules = {rule.span.start for rule in tree.rules}
    gone = [*lost, *(units[i] for i in damaged if starts[i] not in rules)]
    missing = {word for start, end in gone for word in _words(source.text[start:end])}

    def is_sound(error: Diagnostic) -> bool:
        span = error.span
        index = bisect_right(starts, span.start) - 1
        if index < 0 or span.end > units[index][1] or index in damaged:
            return False
        return missing.isdisjoint(_words(source.text[span.start : span.end]))

    return [d for d in found if d.severity == "error" and is_sound(d)]


def _meta(tree: n.Ruleset) -> tuple[n.MetaProperty, ...]:
    return tree.meta.properties if tree.meta else ()
