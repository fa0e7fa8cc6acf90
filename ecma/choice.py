"""Which engine may run a pattern: chosen by proof, never by trial.

In: the parsed pattern. Out: `Plan`: up to what length Python's `re` serves; `linear_engine`: the
pattern on RE2, for longer texts. What neither can run needs an ECMAScript engine with a deadline.
"""

from __future__ import annotations

from dataclasses import dataclass

import re2

from ecma import cost, forms
from ecma.parser import Node

LENGTH_ANY = 1 << 62
# More steps than these at every character, and the slower engine with the lower bound wins.
_LINEAR_STEPS_MAX = 1_000
_QUADRATIC_STEPS_MAX = 64


@dataclass(frozen=True, slots=True)
class Plan:
    """How a pattern may run.

    Shapes: `root` is the tree in the form that all engines read alike. `fast_max` is the longest
    text in units for Python's `re`; -1 where it must not run at all.
    """

    root: Node
    fast_max: int
    has_own_meaning: bool


def plan(root: Node, quadratic_max: int) -> Plan:
    """Decide where a pattern may run.

    Units: quadratic_max is the length in units up to which quadratic cost does not matter.
    """
    root = cost.without_empty_rounds(root)
    if cost.has_own_meaning(root):
        return Plan(root, -1, True)
    bound = cost.search_bound(root)
    if bound.degree == 1 and bound.steps <= _LINEAR_STEPS_MAX:
        return Plan(root, LENGTH_ANY, False)
    if bound.degree == 2 and bound.steps <= _QUADRATIC_STEPS_MAX:
        return Plan(root, quadratic_max, False)
    return Plan(root, -1, False)


def linear_engine(made: Plan, memory_bytes_max: int) -> re2._Regexp | None:
    """The pattern on RE2; None where RE2 has no form for it, or not in this much memory."""
    if made.has_own_meaning or not forms.has_re2_form(made.root):
        return None
    options = re2.Options()
    options.log_errors = False
    options.max_mem = memory_bytes_max
    try:
        return re2.compile(forms.re2_form(made.root), options)
    except re2.error:
        # RE2 bounds counts and memory; a deadline bounds time instead.
        return None
