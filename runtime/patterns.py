"""Regular expressions as KRL values: ECMAScript meaning, bounded time.

In: the source and flags of a literal, or text that becomes a pattern while a ruleset runs; subjects
from strangers. Out: matches, pieces, replaced texts.

Three engines, chosen by proof (`ecma.choice`), never by trial: Python's `re` where a search is
shown to be linear, or the text is short and it is at most quadratic; RE2 for the rest of what means
the same there; an ECMAScript engine in a helper process with a deadline (`pattern_helper`) for what
is left. Invariants: a pattern has no state (a `g` literal does not remember a position); positions
are UTF-16 units; flag `m` is dropped, as in the reference. The helper alone sees characters beyond
U+FFFF as one.

Source: stdlib reference 1.2, 6.3, 21 and oddities Q5, Q13; design, section 4.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

import re2

from ecma import choice, cost, forms
from ecma.parser import PatternError, parse
from ext import counted, spend
from runtime import pattern_helper
from runtime.errors import Fault
from runtime.limits import (
    pattern_memory_bytes_max,
    pattern_nesting_max,
    pattern_quadratic_characters_max,
    pattern_source_max,
    pattern_steps_max,
    patterns_cached_max,
    value_bytes_max,
    work_piece_bytes,
)
from runtime.utf16 import paired, units

Spans = Sequence[tuple[int, int]]

MATCHES_MAX = value_bytes_max // 8


class Pattern:
    """A regular expression. Equal to another by source and flags.

    `source` is as in the literal with `\\#` resolved; `flags` holds those of "g" and "i" that were
    given, in this order.
    """

    __slots__ = (
        "_direct_max",
        "_fast_max",
        "_first",
        "_linear",
        "_parsed",
        "_plan",
        "fast",
        "flags",
        "is_global",
        "source",
    )

    def __init__(self, source: str, flags: str = "") -> None:
        """Analyse a pattern.

        Raises: R2017 when the source is not a pattern.
        """
        self.source = source
        self.flags = ("g" if "g" in flags else "") + ("i" if "i" in flags else "")
        self.is_global = "g" in flags
        try:
            self._parsed = parse(
                units(source), "i" in flags, pattern_source_max, pattern_nesting_max
            )
        except PatternError as reason:
            raise Fault(
                "R2017", f"re#{_excerpt(source)}# at character {reason.at + 1}: {reason.why}"
            ) from None
        plan = self._plan = choice.plan(self._parsed.root, pattern_quadratic_characters_max)
        self.fast: re.Pattern[str] | None = None
        self._fast_max = plan.fast_max
        # Longer texts are counted as work first.
        self._direct_max = min(plan.fast_max, work_piece_bytes)
        self._linear: re2._Regexp | bool | None = None
        if self._fast_max >= 0:
            self.fast = re.compile(forms.re_form(plan.root), re.ASCII)
            is_anchored = cost.is_anchored(plan.root)
            self._first = self.fast.match if is_anchored else self.fast.search
        elif self.linear() is None:
            pattern_helper.check(self.source, self.flags)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Pattern):
            return NotImplemented
        return self.source == other.source and self.flags == other.flags

    def __hash__(self) -> int:
        return hash((self.source, self.flags))

    def __repr__(self) -> str:
        return f"Pattern({self.source!r}, {self.flags!r})"

    @property
    def groups(self) -> int:
        """The number of capturing groups."""
        return self._parsed.groups

    @property
    def names(self) -> dict[str, int]:
        """The numbers of the named groups."""
        return self._parsed.names

    @property
    def engine(self) -> str:
        """The engine for long texts: "re", "re2" or "helper"."""
        if self._fast_max == choice.LENGTH_ANY:
            return "re"
        return "helper" if self.linear() is None else "re2"

    def text(self) -> str:
        """The string conversion: `re#source#flags`, the source as ECMAScript shows it."""
        return f"re#{_shown(self.source)}#{self.flags}"

    def test(self, subject: str) -> bool:
        """Whether the pattern matches somewhere in a text.

        Raises: R4016 after the deadline, R4004 for texts too long, where only the helper can tell.
        """
        if len(subject) <= self._direct_max and subject.isascii():
            return self._first(subject) is not None
        return bool(self._all(units(subject), only_first=True))

    def search(self, subject: str) -> tuple[str | None, ...] | None:
        """The groups of the first match, None for a group without one; None when nothing matches.

        Raises: as `test`.
        """
        if len(subject) <= self._direct_max and subject.isascii():
            found = self._first(subject)
            return None if found is None else found.groups()
        in_units = units(subject)
        matches = self._all(in_units, only_first=True)
        return _captures(in_units, matches[0]) if matches else None

    def find_all(self, subject: str) -> list[str]:
        """The texts of all matches, one after the other.

        Raises: as `test`; R4004 for more matches than a value may have elements.
        """
        in_units = units(subject)
        return [paired(in_units[spans[0][0] : spans[0][1]]) for spans in self._all(in_units)]

    def split(self, subject: str) -> list[str | None]:
        """The pieces between matches, with the captures of each match spliced in.

        Raises: as `find_all`.
        """
        if not subject:
            return [] if self.test("") else [""]
        in_units = units(subject)
        pieces: list[str | None] = []
        begin = 0
        for spans in self._all(in_units):
            start, end = spans[0]
            if end == begin or start >= len(in_units):
                continue
            pieces.append(paired(in_units[begin:start]))
            pieces.extend(_captures(in_units, spans))
            begin = end
        if len(pieces) > MATCHES_MAX:
            raise _too_many()
        pieces.append(paired(in_units[begin:]))
        return pieces

    def replace(self, subject: str, template: str) -> str:
        """The text with its first match, or all with flag g, replaced by an expanded template.

        Raises: as `find_all`; R4004 when the result would be too large.
        """
        in_units = units(subject)
        parts = parse_template(template, self.groups, self.names)
        built = _Built()
        begin = 0
        for spans in self._all(in_units, only_first=not self.is_global):
            start, end = spans[0]
            built.add(in_units, begin, start)
            built.expand(parts, in_units, spans)
            begin = end
        built.add(in_units, begin, len(in_units))
        return built.text()

    def replace_with(self, subject: str, call: Callable[..., str]) -> str:
        """The same with what `call(match, group 1, …, offset, subject)` gives for each match.

        Raises: as `replace`, and what the call raises.
        """
        in_units = units(subject)
        built = _Built()
        begin = 0
        for spans in counted(self._all(in_units, only_first=not self.is_global)):
            start, end = spans[0]
            built.add(in_units, begin, start)
            groups = _captures(in_units, spans)
            built.add_text(call(paired(in_units[start:end]), *groups, start, subject))
            begin = end
        built.add(in_units, begin, len(in_units))
        return built.text()

    # --- Engines ---

    def _all(self, in_units: str, *, only_first: bool = False) -> list[Spans]:
        """The spans of all matches, whole first, then groups; an empty one is stepped over."""
        if len(in_units) > work_piece_bytes:
            spend(len(in_units) // work_piece_bytes)
        if len(in_units) <= self._fast_max:
            found = self.all_fast(in_units, only_first)
        else:
            linear = self.linear()
            if linear is not None:
                found = all_linear(linear, in_units, only_first)
            else:
                found = pattern_helper.find(
                    self.source, self.flags, self.groups, in_units, only_first
                )
        if len(found) > MATCHES_MAX:
            raise _too_many()
        return found

    def all_fast(self, in_units: str, only_first: bool) -> list[Spans]:
        assert self.fast is not None
        found = self._first(in_units)
        if found is None:
            return []
        if only_first or self._first != self.fast.search:
            # A match at the start of the text is the only one that an anchored pattern can have.
            return [found.regs]
        matches: list[Spans] = []
        search = self.fast.search
        while found is not None:
            matches.append(found.regs)
            start, end = found.span()
            if end > start:
                found = search(in_units, end)
            elif end < len(in_units):
                found = search(in_units, end + 1)
            else:
                break
            if len(matches) > MATCHES_MAX:
                raise _too_many()
        return matches

    def linear(self) -> re2._Regexp | None:
        """The pattern on RE2, made at first use; None when RE2 has no form for it."""
        if self._linear is None:
            self._linear = choice.linear_engine(self._plan, pattern_memory_bytes_max) or False
        return self._linear or None


@lru_cache(maxsize=patterns_cached_max)
def _compiled(source: str, flags: str) -> Pattern:
    return Pattern(source, flags)


def compile_pattern(source: str, flags: str = "") -> Pattern:
    """A pattern, from the cache of recently used ones where it is there.

    Raises: R2017 when the source is not a pattern.
    """
    return _compiled(source, ("g" if "g" in flags else "") + ("i" if "i" in flags else ""))


# --- Matches from RE2 -----------------------------------------------------------------------------


def all_linear(linear: re2._Regexp, in_units: str, only_first: bool) -> list[Spans]:
    subject = forms.re2_text(in_units).encode("utf-8")
    if len(subject) * linear.programsize > pattern_steps_max:
        raise Fault(
            "R4016",
            f"a pattern of {linear.programsize} steps on a text of {len(in_units)} characters"
            f" would take more than {pattern_steps_max} steps",
        )
    is_ascii = in_units.isascii()
    matches: list[Spans] = []
    at = at_units = 0
    groups = linear.groups
    while True:
        found = linear.search(subject, at)
        if found is None:
            return matches
        spans = [found.span(number) for number in range(groups + 1)]
        start, end = spans[0]
        if not is_ascii:
            start_units = at_units + _length(subject, at, start)
            spans = [
                (-1, -1)
                if first < 0
                else (
                    start_units + _length(subject, start, first),
                    start_units + _length(subject, start, last),
                )
                for first, last in spans
            ]
            at_units = spans[0][1]
        matches.append(spans)
        if only_first:
            return matches
        if len(matches) > MATCHES_MAX:
            raise _too_many()
        at = end
        if start == end:
            if end >= len(subject):
                return matches
            at += 1
            at_units += 1
            while at < len(subject) and subject[at] & 0xC0 == 0x80:
                at += 1


def _length(subject: bytes, start: int, end: int) -> int:
    return len(subject[start:end].decode("utf-8"))


def _captures(in_units: str, spans: Spans) -> tuple[str | None, ...]:
    return tuple(None if start < 0 else paired(in_units[start:end]) for start, end in spans[1:])


def _too_many() -> Fault:
    return Fault("R4004", f"a text with more than {MATCHES_MAX} matches is too much for one value")


# --- Replacement ----------------------------------------------------------------------------------

WHOLE, BEFORE, AFTER = 0, -1, -2
_TEMPLATE = re.compile(r"\$(?:([$&`'])|([0-9]{1,2})|<([^>]*)>)")
_SPECIAL = {"&": WHOLE, "`": BEFORE, "'": AFTER}


def parse_template(template: str, groups: int, names: dict[str, int]) -> list[str | int]:
    """A replacement template as plain texts and references: a group's number, WHOLE, BEFORE, AFTER.

    A number that is no group stays as it is written, and so does a name where no group has one.
    """
    parts: list[str | int] = []
    begin = 0
    for found in _TEMPLATE.finditer(template):
        special, digits, name = found.groups()
        end = found.end()
        part: str | int
        if special is not None:
            part = "$" if special == "$" else _SPECIAL[special]
        elif digits is not None:
            number = int(digits)
            if len(digits) == 2 and not 1 <= number <= groups:
                number = int(digits[0])
                end -= 1
            if not 1 <= number <= groups:
                continue
            part = number
        elif names:
            part = names.get(name, "")
        else:
            continue
        if found.start() > begin:
            parts.append(template[begin : found.start()])
        parts.append(part)
        begin = end
    if begin < len(template):
        parts.append(template[begin:])
    return parts


def replace_literal(subject: str, target: str, template: str) -> str:
    """The text with the first literal occurrence of a target replaced by an expanded template.

    Raises: R4004 when the result would be too large.
    """
    in_units, wanted = units(subject), units(target)
    start = in_units.find(wanted)
    if start < 0:
        return subject
    end = start + len(wanted)
    built = _Built()
    built.add(in_units, 0, start)
    built.expand(parse_template(template, 0, {}), in_units, [(start, end)])
    built.add(in_units, end, len(in_units))
    return built.text()


class _Built:
    """A text in the making; refuses to grow beyond the bound on one value before it does."""

    __slots__ = ("left", "pieces")

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.left = value_bytes_max

    def add(self, in_units: str, start: int, end: int) -> None:
        self._take(end - start)
        self.pieces.append(in_units[start:end])

    def add_text(self, piece: str) -> None:
        self._take(len(piece))
        self.pieces.append(piece)

    def expand(self, parts: list[str | int], in_units: str, spans: Spans) -> None:
        for part in parts:
            if isinstance(part, str):
                self.add_text(part)
            elif part == BEFORE:
                self.add(in_units, 0, spans[0][0])
            elif part == AFTER:
                self.add(in_units, spans[0][1], len(in_units))
            elif spans[part][0] >= 0:
                self.add(in_units, *spans[part])

    def text(self) -> str:
        return paired("".join(self.pieces))

    def _take(self, characters: int) -> None:
        self.left -= characters
        if self.left < 0:
            raise Fault(
                "R4004", f"the replaced text would be longer than {value_bytes_max} characters"
            )


# --- Rendering ------------------------------------------------------------------------------------

_LINE_ENDS = {"\n": "\\n", "\r": "\\r", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def _shown(source: str) -> str:
    """A source as ECMAScript shows it: `/` and line ends escaped, nothing as `(?:)`."""
    if not source:
        return "(?:)"
    shown: list[str] = []
    in_class = is_escaped = False
    for c in source:
        if c in _LINE_ENDS:
            # An escaped line end already has its backslash.
            shown.append(_LINE_ENDS[c][is_escaped:])
        elif c == "/" and not in_class and not is_escaped:
            shown.append("\\/")
        else:
            shown.append(c)
        if is_escaped:
            is_escaped = False
        elif c == "\\":
            is_escaped = True
        elif c == "[":
            in_class = True
        elif c == "]":
            in_class = False
    return "".join(shown)


def _excerpt(source: str) -> str:
    return source if len(source) <= 60 else source[:57] + "…"
