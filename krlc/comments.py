"""Comments of a source, and the order in which the printer gives them back.

In: a source that parses. Out: its comments, handed out once each, in order.
Invariants: none is lost: whoever prints a stretch of source takes all comments up to its end. A
comment keeps its text, only blanks at the end of its lines go.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from krlc import nodes
from krlc.lexer import Lexer, skip_blank
from krlc.parser import Parser
from krlc.source import Source

_find_comments = re.compile(r"//[^\n\r]*+|/\*[\s\S]*?\*/").finditer
_split_lines = re.compile(r"\r\n|\r|\n").split
_find_line_ends = re.compile(r"\r\n|\r|\n").findall


class Comment(NamedTuple):
    """One comment and where it stands."""

    start: int
    end: int
    text: str


class _RecordingLexer(Lexer):
    """A lexer that notes where tokens stand: comments are what is between them."""

    __slots__ = ("places",)

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.places: list[tuple[int, int]] = []

    def scan(self, states: list[int]) -> int:
        terminal = super().scan(states)
        self.places.append((self.start, self.end))
        return terminal


def read_with_comments(
    source: Source,
) -> tuple[nodes.Ruleset | nodes.Fragment | None, list[Comment]]:
    """Parse a source and collect its comments; None for the tree of a source with errors."""
    parser = Parser(source)
    recorder = _RecordingLexer(source.text)
    parser.lexer = recorder
    root = parser.run()
    if root is None or parser.errors or parser.builder.faults:
        return None, []
    comments, last = [], 0
    for start, end in recorder.places:
        if start - last > 1:
            for found in _find_comments(source.text, last, start):
                text = "\n".join(line.rstrip() for line in _split_lines(found[0]))
                comments.append(Comment(found.start(), found.end(), text))
        last = end
    return root, comments


class Margin:
    """What a source holds beside its tokens: comments not printed yet, blank lines, brackets.

    Without a source there is nothing of the kind, and every question gets the plainest answer.
    """

    def __init__(self, source: Source | None, comments: list[Comment]) -> None:
        self.text = source.text if source else ""
        self.has_source = source is not None
        self._comments = comments
        self._next = 0

    @property
    def waiting(self) -> int:
        """How many comments nobody has taken."""
        return len(self._comments) - self._next

    def is_between(self, start: int, end: int) -> bool:
        """Say whether a comment not printed yet stands between two places."""
        for comment in self._comments[self._next :]:
            if comment.start >= end:
                return False
            if comment.start >= start:
                return True
        return False

    def take_before(self, place: int) -> list[Comment]:
        """Hand out the comments that start before a place."""
        first = self._next
        while self._next < len(self._comments) and self._comments[self._next].start < place:
            self._next += 1
        return self._comments[first : self._next]

    def take_after(self, end: int, limit: int) -> list[Comment]:
        """Hand out what belongs behind a thing that ends at `end`, as much as one line can hold.

        That is every comment inside it that nobody took, and those behind it on its line, as far
        as `limit`. After a `//` comment nothing more fits; the rest comes before what follows.
        """
        taken: list[Comment] = []
        while self._next < len(self._comments):
            comment = self._comments[self._next]
            is_inside = comment.start < end
            if not is_inside and (comment.start >= limit or self.line_ends(end, comment.start)):
                break
            taken.append(comment)
            self._next += 1
            if comment.text.startswith("//"):
                break
            end = max(end, comment.end)
        return taken

    def line_ends(self, start: int, end: int) -> int:
        """Count the line ends between two places."""
        return len(_find_line_ends(self.text, start, end)) if end > start else 0

    def find(self, sign: str, place: int) -> int:
        """Find the next token that is `sign`, from a place outside strings and comments on."""
        while self.has_source:
            blank = skip_blank(self.text, place)
            place = blank.end() if blank else place
            if place >= len(self.text) or self.text.startswith(sign, place):
                return place
            place += 1
        return 0

    def skip_blank(self, place: int) -> int:
        """Find the next token from a place on."""
        blank = skip_blank(self.text, place)
        return blank.end() if blank and self.has_source else place
