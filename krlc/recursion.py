"""Room for passes that recurse on the tree.

In: nothing. Out: a context in which Python allows more frames; the bound before holds again after
it. The parser bounds the depth of trees, and Python frames cost no C stack, so a high bound is safe
here. It is not safe for KRL code that runs in the same process: its operators call it back from C,
and each such level costs stack.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

FRAMES_MAX = 20_000
"""The parser's bound on depth, 400, times the frames that a level takes, ten at most, five-fold."""


@contextmanager
def deep_recursion() -> Iterator[None]:
    """Allow passes to recurse to the depth of any tree the parser lets through."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, FRAMES_MAX))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
