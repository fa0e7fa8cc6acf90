"""Identifiers nobody can guess, pure twin of `ids.pyx`.

In: what they all begin with. Out: texts. Invariants: every character after the beginning is equally
likely; none is used twice.
"""

from __future__ import annotations

import os

RANDOM_CHARS = 25
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
# The operating system's bytes become base-36 characters in one pass: bytes up to 251 map evenly
# (252 = 7 × 36), the other four are dropped, so every character is equally likely.
_TO_BASE36 = bytes(ord(_BASE36[byte % 36]) for byte in range(256))
_UNEVEN = bytes(range(252, 256))


def random_chars() -> bytes:
    """Some thousand characters, for some hundred identifiers."""
    return os.urandom(8192).translate(_TO_BASE36, _UNEVEN)


class IdsBase:
    """A source of identifiers.

    Cost: one slice of a buffer; the operating system is asked once per 320 identifiers or so.
    """

    __slots__ = ("_at", "_chars", "_prefix")

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._chars = ""
        self._at = 0

    def eid(self) -> str:
        """A new identifier."""
        at = self._at
        end = at + RANDOM_CHARS
        if end > len(self._chars):
            self._chars = random_chars().decode("ascii")
            at = 0
            end = RANDOM_CHARS
        self._at = end
        return self._prefix + self._chars[at:end]
