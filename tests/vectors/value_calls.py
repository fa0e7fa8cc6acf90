"""Value-level calls: `a OP b`, `OP a`, `receiver.op(arguments)` on JSON values, no compiler.

In: one such call as text. Out: its value. `re#…#` is a pattern, `<jsobj>` a host object, `<action>`
an action; a number or null as receiver stands in parentheses.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from runtime import values
from runtime.operators import types
from runtime.patterns import Pattern
from runtime.stdlib import OPERATORS

from .rows import OBJ, VEG

HOST_OBJECT = object()
ACTION = values.Action("a", (), lambda cx: None)
INFIX: dict[str, Callable[..., Any]] = {
    "+": values.add,
    "-": values.sub,
    "*": values.mul,
    "/": values.div,
    "%": values.mod,
    "==": values.equal,
    "!=": values.unequal,
    "<=>": values.spaceship,
    "<": values.lt,
    ">": values.gt,
    "<=": values.le,
    ">=": values.ge,
    "><": values.member,
    "like": values.like,
    "cmp": values.cmp_text,
}
_PATTERN = re.compile(r"re#((?:\\.|[^#])*)#([gi]*)")
_WORDS = {"OBJ": OBJ, "VEG": VEG, "<jsobj>": HOST_OBJECT, "<action>": ACTION}
_JSON = json.JSONDecoder()


class _Reader:
    """Reads values from one text; `at` is the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def skips(self, mark: str) -> bool:
        while self.text[self.at : self.at + 1] == " ":
            self.at += 1
        if not self.text.startswith(mark, self.at):
            return False
        self.at += len(mark)
        return True

    def value(self) -> Any:
        self.skips("")
        for word, value in _WORDS.items():
            if self.skips(word):
                return value
        pattern = _PATTERN.match(self.text, self.at)
        if pattern:
            self.at = pattern.end()
            return Pattern(pattern[1], pattern[2])
        if self.skips("("):
            value = self.value()
            assert self.skips(")"), self.text
            return value
        if self.skips("["):
            return self.items("]", self.value)
        if self.skips("{"):
            return dict(self.items("}", self.entry))
        value, self.at = _JSON.raw_decode(self.text, self.at)
        return value

    def entry(self) -> tuple[str, Any]:
        key = self.value()
        assert self.skips(":"), self.text
        return key, self.value()

    def items(self, end: str, read: Callable[[], Any]) -> list[Any]:
        found: list[Any] = []
        while not self.skips(end):
            found.append(read())
            self.skips(",")
        return found


def evaluate(text: str) -> Any:
    """The value of one call.

    Raises: what the operator raises.
    """
    reader = _Reader(text)
    bare = re.fullmatch(r"(\w+)\(\)", text)
    if bare:
        return OPERATORS[bare[1]].fn()
    for sign, prefix in (("+ ", lambda v: v), ("- ", values.neg)):
        if text.startswith(sign):
            reader.at = 2
            return prefix(reader.value())
    first = reader.value()
    if reader.skips("."):
        name, _, _ = text[reader.at :].partition("(")
        reader.at += len(name) + 1
        arguments = reader.items(")", reader.value)
        assert reader.at == len(text), text
        return OPERATORS[name].fn(first, *arguments)
    reader.skips("")
    word = text[reader.at :].split(" ", 1)[0]
    reader.at += len(word)
    return INFIX[word](first, reader.value())


assert types.typeof(HOST_OBJECT) == "JSObject"
