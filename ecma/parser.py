"""ECMAScript patterns, parsed: without the u flag, with the liberties that browsers take (annex B).

In: the source of a pattern in UTF-16 units and whether case matters. Out: `Parsed`,
a tree of the nodes below; or `PatternError`, saying where and why.
Invariants: sets of units are already folded when case does not matter; groups are numbered from 1
in order of their opening; nesting is bounded, so passes over the tree may recurse.
Not here: what a tree costs or means elsewhere (cost.py), its texts (forms.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from ecma import charsets
from ecma.charsets import Ranges


class PatternError(Exception):
    """The source is not a pattern; the message says why, `at` is the 0-based unit."""

    def __init__(self, why: str, at: int) -> None:
        super().__init__(why)
        self.why = why
        self.at = at


@dataclass(frozen=True, slots=True)
class Chars:
    """One unit of a set."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Edge:
    """A place, not a unit: `^`, `$`, `b` (word edge) or `B` (no word edge)."""

    kind: str


@dataclass(frozen=True, slots=True)
class Group:
    """A capturing group."""

    number: int
    body: Node


@dataclass(frozen=True, slots=True)
class Look:
    """A look-ahead or look-behind."""

    is_behind: bool
    is_negative: bool
    body: Node


@dataclass(frozen=True, slots=True)
class Back:
    """A reference to what a group captured."""

    number: int


@dataclass(frozen=True, slots=True)
class Repeat:
    """A body repeated `low` to `high` times; `high` None has no bound."""

    body: Node
    low: int
    high: int | None
    is_lazy: bool


@dataclass(frozen=True, slots=True)
class Sequence:
    """Nodes one after the other; empty matches nothing at all."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Alternatives, the first that leads to a match."""

    options: tuple[Node, ...]


Node = Chars | Edge | Group | Look | Back | Repeat | Sequence | Choice


@dataclass(frozen=True, slots=True)
class Parsed:
    """A parsed pattern: its tree, the number of its groups, and the names of the named ones."""

    root: Node
    groups: int
    names: dict[str, int]


DIGIT = charsets.of_ranges([(48, 57)])
WORD = charsets.of_ranges([(48, 57), (65, 90), (95, 95), (97, 122)])
SPACE = charsets.of_text(charsets.WHITE_SPACE)
ANY = charsets.complement(charsets.of_text("\n\r\u2028\u2029"))
_SETS = {
    "d": DIGIT,
    "D": charsets.complement(DIGIT),
    "w": WORD,
    "W": charsets.complement(WORD),
    "s": SPACE,
    "S": charsets.complement(SPACE),
}
_CONTROLS = {"f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")
_LOOKS = {"(?=": (False, False), "(?!": (False, True), "(?<=": (True, False), "(?<!": (True, True)}
_REPEATS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
# Counts beyond this say "more than any text is long".
_COUNT_MAX = 1 << 31


def parse(source: str, ignores_case: bool, source_max: int, nesting_max: int) -> Parsed:
    """Parse a pattern's source, given in UTF-16 units.

    Units:  source_max counts characters, nesting_max groups inside each other.
    Raises: PatternError.
    Cost:   O(length), and a case table made at the first letter beyond ASCII that ignores case.
    """
    if len(source) > source_max:
        raise PatternError(f"a pattern has at most {source_max} characters", 0)
    parser = _Parser(source, ignores_case, nesting_max)
    root = parser.choice(0)
    if parser.at < len(source):
        raise PatternError("this `)` closes no group", parser.at)
    for name, at in parser.named_references:
        if name not in parser.names:
            raise PatternError(f"there is no group named `{name}`", at)
    return Parsed(root, parser.groups, parser.names)


class _Parser:
    """One walk over one source. `at` is the next unit."""

    def __init__(self, source: str, ignores_case: bool, nesting_max: int) -> None:
        self.source = source
        self.nesting_max = nesting_max
        self.at = 0
        self.ignores_case = ignores_case
        self.groups = 0
        self.names: dict[str, int] = {}
        self.named_references: list[tuple[str, int]] = []
        # What a number after a backslash means depends on groups that may come later.
        self.groups_all, self.group_names = _count_groups(source)

    # --- Structure ---

    def choice(self, depth: int) -> Node:
        if depth > self.nesting_max:
            raise PatternError(f"groups nest deeper than {self.nesting_max}", self.at)
        options = [self.sequence(depth)]
        while self.source[self.at : self.at + 1] == "|":
            self.at += 1
            options.append(self.sequence(depth))
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def sequence(self, depth: int) -> Node:
        items: list[Node] = []
        source = self.source
        while self.at < len(source) and source[self.at] not in "|)":
            items.append(self.term(depth))
        return items[0] if len(items) == 1 else Sequence(tuple(items))

    def term(self, depth: int) -> Node:
        source, start = self.source, self.at
        c = source[start]
        if c in "^$":
            self.at += 1
            return Edge(c)
        if source[start : start + 2] in ("\\b", "\\B"):
            self.at += 2
            return Edge(source[start + 1])
        if c in "*+?" or (c == "{" and self.braces() is not None):
            raise PatternError("there is nothing to repeat here", start)
        if c == "(":
            node = self.group(depth)
            if isinstance(node, Look) and node.is_behind:
                return node
        elif c == "[":
            node = self.char_class()
        elif c == ".":
            self.at += 1
            node = Chars(ANY)
        elif c == "\\":
            node = self.escape()
        else:
            self.at += 1
            node = self.unit(ord(c))
        return self.repeated(node)

    def repeated(self, node: Node) -> Node:
        start = self.at
        c = self.source[start : start + 1]
        bounds = _REPEATS.get(c)
        if bounds is not None:
            self.at += 1
        elif c == "{":
            bounds = self.braces()
        if bounds is None:
            return node
        low, high = bounds
        if high is not None and low > high:
            raise PatternError("the counts of this repetition are in the wrong order", start)
        is_lazy = self.source[self.at : self.at + 1] == "?"
        self.at += is_lazy
        return Repeat(node, low, high, is_lazy)

    def braces(self) -> tuple[int, int | None] | None:
        """Read `{n}`, `{n,}` or `{n,m}`; None, and nothing read, where braces are plain text."""
        end = self.source.find("}", self.at)
        if end < 0:
            return None
        low, comma, high = self.source[self.at + 1 : end].partition(",")
        if not _is_count(low) or (high and not _is_count(high)):
            return None
        self.at = end + 1
        least = _count(low)
        if not comma:
            return least, least
        return least, (_count(high) if high else None)

    def group(self, depth: int) -> Node:
        source, start = self.source, self.at
        wrap: Look | None = None
        number = 0
        for mark, (is_behind, is_negative) in _LOOKS.items():
            if source.startswith(mark, start):
                self.at += len(mark)
                wrap = Look(is_behind, is_negative, Sequence(()))
                break
        else:
            if source.startswith("(?:", start):
                self.at += 3
            else:
                self.at += 1
                self.groups += 1
                number = self.groups
                if source.startswith("(?<", start):
                    self.at += 1
                    self.names[self.new_name()] = number
                elif source.startswith("(?", start):
                    raise PatternError("this kind of group does not exist", start)
        body = self.choice(depth + 1)
        if source[self.at : self.at + 1] != ")":
            raise PatternError("this group is not closed", start)
        self.at += 1
        if wrap is not None:
            return Look(wrap.is_behind, wrap.is_negative, body)
        if number:
            return Group(number, body)
        # A look-behind may not be repeated, but a group around one may.
        return Sequence((body,)) if isinstance(body, Look) else body

    def new_name(self) -> str:
        start = self.at
        name = self.name()
        if name in self.names:
            raise PatternError(f"two groups have the name `{name}`", start)
        return name

    def name(self) -> str:
        end = self.source.find(">", self.at)
        name = self.source[self.at + 1 : end] if end > 0 and self.source[self.at] == "<" else ""
        if not name.replace("$", "_").isidentifier():
            raise PatternError("a group's name is missing here", self.at)
        self.at = end + 1
        return name

    # --- Units and sets ---

    def unit(self, code: int) -> Chars:
        ranges = charsets.of_unit(code)
        return Chars(charsets.folded(ranges) if self.ignores_case else ranges)

    def escape(self) -> Node:
        source, start = self.source, self.at
        if start + 1 >= len(source):
            raise PatternError("a backslash at the end escapes nothing", start)
        c = source[start + 1]
        if "1" <= c <= "9":
            end = start + 1
            while end < len(source) and source[end] in "0123456789":
                end += 1
            number = _count(source[start + 1 : end])
            if number <= self.groups_all:
                self.at = end
                return Back(number)
        elif c == "k" and self.group_names:
            self.at += 2
            if self.source[self.at : self.at + 1] != "<":
                raise PatternError("a group's name is missing here", self.at)
            name = self.name()
            self.named_references.append((name, start))
            return Back(self.group_names.get(name, 0))
        found = _SETS.get(c)
        if found is not None:
            self.at += 2
            return Chars(found)
        return self.unit(self.character(in_class=False))

    def character(self, in_class: bool) -> int:
        """Read one escaped unit; `at` stands on the backslash."""
        source, start = self.source, self.at
        c = source[start + 1]
        self.at += 2
        if c in _CONTROLS:
            return _CONTROLS[c]
        if c == "c":
            letter = source[self.at : self.at + 1]
            is_letter = letter.isascii() and letter.isalpha()
            if is_letter or (in_class and letter and letter in "0123456789_"):
                self.at += 1
                return ord(letter) % 32
            self.at = start + 1
            return ord("\\")
        if c in "xu":
            size = 2 if c == "x" else 4
            digits = source[self.at : self.at + size]
            if len(digits) == size and _HEX_DIGITS.issuperset(digits):
                self.at += size
                return int(digits, 16)
            return ord(c)
        if "0" <= c <= "7":
            end = start + 2
            while end < min(start + 4, len(source)) and source[end] in "01234567":
                end += 1
            value = int(source[start + 1 : end], 8)
            if value > 0o377:
                end -= 1
                value >>= 3
            self.at = end
            return value
        return ord(c)

    def char_class(self) -> Node:
        source, start = self.source, self.at
        self.at += 1
        is_negative = source[self.at : self.at + 1] == "^"
        self.at += is_negative
        ranges: list[tuple[int, int]] = []
        while True:
            if self.at >= len(source):
                raise PatternError("this `[` is not closed", start)
            if source[self.at] == "]":
                self.at += 1
                break
            low = self.class_atom()
            begin = self.at
            if source[begin : begin + 1] == "-" and source[begin + 1 : begin + 2] not in ("]", ""):
                self.at += 1
                high = self.class_atom()
                if isinstance(low, int) and isinstance(high, int):
                    if low > high:
                        raise PatternError("the ends of this range are in the wrong order", begin)
                    ranges.append((low, high))
                    continue
                # With a set at either end the dash is a plain character.
                ranges.append((45, 45))
                ranges.extend(high if not isinstance(high, int) else ((high, high),))
            ranges.extend(low if not isinstance(low, int) else ((low, low),))
        chosen = charsets.of_ranges(ranges)
        if self.ignores_case:
            chosen = charsets.folded(chosen)
        return Chars(charsets.complement(chosen) if is_negative else chosen)

    def class_atom(self) -> int | Ranges:
        source = self.source
        c = source[self.at]
        if c != "\\":
            self.at += 1
            return ord(c)
        escaped = source[self.at + 1 : self.at + 2]
        if not escaped:
            raise PatternError("a backslash at the end escapes nothing", self.at)
        if escaped == "b":
            self.at += 2
            return 8
        found = _SETS.get(escaped)
        if found is not None:
            self.at += 2
            return found
        return self.character(in_class=True)


def _is_count(digits: str) -> bool:
    return digits.isdigit() and digits.isascii()


def _count(digits: str) -> int:
    digits = digits.lstrip("0")
    return min(int(digits), _COUNT_MAX) if 0 < len(digits) < 12 else (_COUNT_MAX if digits else 0)


def _count_groups(source: str) -> tuple[int, dict[str, int]]:
    """The number of capturing groups in a source, and the numbers of the named ones."""
    count = 0
    names: dict[str, int] = {}
    in_class = False
    at = 0
    while at < len(source):
        c = source[at]
        if c == "\\":
            at += 1
        elif in_class:
            in_class = c != "]"
        elif c == "[":
            in_class = True
        elif c == "(":
            if source[at + 1 : at + 2] != "?":
                count += 1
            elif source[at + 1 : at + 3] == "?<" and source[at + 3 : at + 4] not in ("=", "!"):
                count += 1
                names[source[at + 3 : source.find(">", at)]] = count
        at += 1
    return count, names
