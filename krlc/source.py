"""Source text and places in it.

In: the text of one KRL file and the URL it is known by. Out: spans (offsets) and points (line and
column). Invariant: offsets count characters of `text`, 0-based, end exclusive; lines and columns
are for people and 1-based. A line ends at LF, CR LF or a lone CR. Nothing here reads a file.
"""

import re
from bisect import bisect_right
from functools import cached_property
from hashlib import sha256
from typing import NamedTuple

import msgspec

_find_line_ends = re.compile(r"\r\n?|\n").finditer


class Span(msgspec.Struct, frozen=True, gc=False):
    """A stretch of source text: `start` and `end` are character offsets, end exclusive."""

    start: int
    end: int


class Point(NamedTuple):
    """A place for people: 1-based line and column."""

    line: int
    column: int


class Source:
    """One KRL file: its text, the URL it is known by, and its line table."""

    def __init__(self, text: str, url: str) -> None:
        self.text = text
        self.url = url

    @property
    def name(self) -> str:
        """The last path segment of the URL: what messages and generated headers show."""
        return self.url.rstrip("/").rsplit("/", 1)[-1] or self.url

    @cached_property
    def hash(self) -> str:
        """Lower-case hex SHA-256 of the UTF-8 text."""
        return sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(found.end() for found in _find_line_ends(self.text))]

    def point(self, offset: int) -> Point:
        """The line and column of a character offset; beyond the end gives the end.

        Cost: O(log lines) after the first call, which is O(text).
        """
        offset = min(max(offset, 0), len(self.text))
        line = bisect_right(self._line_starts, offset)
        return Point(line, offset - self._line_starts[line - 1] + 1)

    def line(self, number: int) -> str:
        """The text of a 1-based line without its line end; "" beyond the last one."""
        starts = self._line_starts
        if not 1 <= number <= len(starts):
            return ""
        end = starts[number] if number < len(starts) else len(self.text)
        return self.text[starts[number - 1] : end].rstrip("\r\n")
