"""The text of literals: values to the tokens that mean them.

In: the value of a number, a string or a piece of chevron text. Out: its token.
Invariant: reading the token gives the value again. Regular expressions need no more than `\\#`.
"""

from __future__ import annotations

import re
from decimal import Decimal

_is_string = re.compile(r'"(?:[^"\\]|\\[\s\S])*"').fullmatch
_is_chevron_text = re.compile(r"(?:[^\\>#]|\\[\s\S]|>(?!>)|#(?!\{))*").fullmatch


def number_text(value: int | float) -> str:
    """Print a number without sign or exponent, as KRL reads it."""
    return str(value) if isinstance(value, int) else format(Decimal(repr(value)), "f")


def string_text(value: str) -> str:
    """Print a string token; backslashes stay single where that means the same."""
    plain = '"' + value.replace('"', '\\"') + '"'
    if _is_string(plain) and _unescape_string(plain[1:-1]) == value:
        return plain
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _unescape_string(text: str) -> str:
    return text.replace('\\"', '"').replace("\\\\", "\\")


def chevron_text(value: str) -> str:
    """Print a piece of chevron text; it stays as it is where that means the same."""
    plain = value.replace(">>", ">\\>").replace("#{", "\\#{")
    if plain.endswith(">") and not plain.endswith("\\>"):
        plain = plain[:-1] + "\\>"
    if _is_chevron_text(plain) and _unescape_chevron(plain) == value:
        return plain
    escaped = value.replace("\\", "\\\\").replace(">", "\\>")
    return escaped.replace("#{", "\\#{")


def _unescape_chevron(text: str) -> str:
    return text.replace("\\>", ">").replace("\\#{", "#{").replace("\\\\", "\\")
