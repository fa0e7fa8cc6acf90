"""The numbers of accepted events that have not run: where a start has to look for them.

In: numbers given out and finished. Out: the low-water mark, stored now and then, below which the
inbox family holds nothing. Invariant: every unfinished number is at or above the stored mark, so a
start seeks past all consumed rows and their remains in the store.
"""

from __future__ import annotations

from collections import deque

from runtime.commit import Committer
from runtime.limits import inbox_mark_every
from runtime.store import decode_record, encode_record

MARK = b"inbox-mark"


class Backlog:
    """Numbers for inbox rows, ascending over all picos."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer
        row = committer.get("meta", MARK)
        self.mark: int = 1 if row is None else decode_record(row, "inbox mark")
        self._stored = self.mark
        self._next = self.mark
        self._open: deque[int] = deque()
        self._done: set[int] = set()

    def take(self) -> int:
        """A new number."""
        number = self._next
        self._next = number + 1
        self._open.append(number)
        return number

    def found(self, number: int) -> None:
        """A start found this row; numbers must come in ascending order."""
        self._open.append(number)
        self._next = max(self._next, number + 1)

    def finish(self, number: int) -> None:
        """The row of this number leaves with the group that gathers."""
        waiting = self._open
        if waiting[0] != number:
            self._done.add(number)
            return
        waiting.popleft()
        done = self._done
        while waiting and waiting[0] in done:
            done.discard(waiting.popleft())
        self.mark = waiting[0] if waiting else self._next
        if self.mark - self._stored >= inbox_mark_every:
            self._stored = self.mark
            self._committer.put("meta", MARK, encode_record(self.mark))
