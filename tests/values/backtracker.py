"""A slow backtracking matcher that counts its steps: the oracle for `ecma.cost`.

In: a parsed pattern and a text. Out: how many nodes it visited until its search ended. It works as
`re` and every ECMAScript engine do: leftmost start, first alternative, longest (or shortest) first.
"""

from collections.abc import Callable

from ecma.charsets import has
from ecma.parser import Chars, Choice, Edge, Group, Look, Node, Repeat, Sequence

Then = Callable[[int], bool]


class TooManyStepsError(Exception):
    """The search went beyond the steps it was given."""


class Backtracker:
    """One search. `steps` counts visits of nodes."""

    def __init__(self, text: str, steps_max: int) -> None:
        self.text = text
        self.steps = 0
        self.steps_max = steps_max

    def search(self, root: Node, is_anchored: bool) -> bool:
        starts = range(1 if is_anchored else len(self.text) + 1)
        return any(self.node(root, start, lambda at: True) for start in starts)

    def node(self, node: Node, at: int, then: Then) -> bool:
        self.steps += 1
        if self.steps > self.steps_max:
            raise TooManyStepsError
        if isinstance(node, Chars):
            return at < len(self.text) and has(node.ranges, ord(self.text[at])) and then(at + 1)
        if isinstance(node, Edge):
            return self.holds(node.kind, at) and then(at)
        if isinstance(node, Group):
            return self.node(node.body, at, then)
        if isinstance(node, Look):
            return self.node(node.body, at, lambda end: True) != node.is_negative and then(at)
        if isinstance(node, Choice):
            return any(self.node(option, at, then) for option in node.options)
        if isinstance(node, Sequence):
            return self.sequence(node.items, 0, at, then)
        assert isinstance(node, Repeat)
        return self.repeat(node, 0, at, then)

    def sequence(self, items: tuple[Node, ...], index: int, at: int, then: Then) -> bool:
        if index == len(items):
            return then(at)
        return self.node(items[index], at, lambda end: self.sequence(items, index + 1, end, then))

    def repeat(self, node: Repeat, done: int, at: int, then: Then) -> bool:
        def again() -> bool:
            if node.high is not None and done >= node.high:
                return False
            return self.node(
                node.body, at, lambda end: end > at and self.repeat(node, done + 1, end, then)
            )

        if done < node.low:
            return again()
        return (then(at) or again()) if node.is_lazy else (again() or then(at))

    def holds(self, kind: str, at: int) -> bool:
        if kind == "^":
            return at == 0
        if kind == "$":
            return at == len(self.text)
        before = at > 0 and self.is_word(self.text[at - 1])
        after = at < len(self.text) and self.is_word(self.text[at])
        return (before != after) == (kind == "b")

    @staticmethod
    def is_word(c: str) -> bool:
        return c.isascii() and (c.isalnum() or c == "_")
