"""The nearest name: what somebody may have meant.

In: a word and the words that would do. Out: the nearest, or None when none is near.
Invariants: deterministic; of equally near words the first in order wins; a word is near when about
a third of it differs, a swap of neighbours counting once.
"""

from __future__ import annotations

from collections.abc import Iterable

WORD_LENGTH_MAX = 40
"""Longer words are not compared: nobody mistypes them, and the cost is quadratic."""


def distance(one: str, other: str, limit: int) -> int:
    """Count the insertions, deletions, changes and swaps between two words, up to `limit` + 1.

    Cost: O(len(one) · len(other)).
    """
    if abs(len(one) - len(other)) > limit:
        return limit + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        last, row, older = row, [i], before
        for j, b in enumerate(other, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
        before = last
        if min(row) > limit:
            return limit + 1
    return row[-1]


def nearest(word: str, words: Iterable[str]) -> str | None:
    """Find the word most like `word`, if one is like it at all."""
    if not word or len(word) > WORD_LENGTH_MAX:
        return None
    limit = max(1, len(word) // 3)
    best, best_distance = None, limit + 1
    folded = word.lower()
    for candidate in words:
        if candidate == word or len(candidate) > WORD_LENGTH_MAX:
            continue
        d = distance(folded, candidate.lower(), limit)
        # With every letter changed it would be another word.
        if d < best_distance and d < min(len(word), len(candidate)):
            best, best_distance = candidate, d
    return best


def hint(word: str, words: Iterable[str]) -> tuple[str, ...]:
    """Give the hint that proposes the nearest word, or no hint."""
    found = nearest(word, words)
    return (f"did you mean `{found}`?",) if found else ()
