"""ecma: what a regular expression means and costs, before anything runs.

In order, from a pattern's source to the engine that may run it:

    charsets.py     sets of UTF-16 units, and ECMAScript's folding of case
    parser.py       source -> tree, or where and why it is no pattern
    cost.py         an upper bound on what a search may take; what means something else elsewhere
    forms.py        the tree as text for Python's `re`, and for RE2
    choice.py       which of the engines can run it in bounded time

The compiler warns with it, the engine decides with it: so it belongs to neither, and imports
nothing of ours. Not here: matching, faults, limits (runtime/patterns.py), diagnostics
(krlc/regexps.py).
"""
