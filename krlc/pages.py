"""The page of one diagnostic code, and the form in which pages are written.

In: text with pages one after another. Out: `Page` values.
A page is a line `# CODE severity: title`, the meaning, and the sections `## Refused` (or
`## Warned of`; left out where no ruleset alone can cause the code), `## Accepted` and `## Fix`.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Page(NamedTuple):
    """One page. `failing` is "" where no ruleset alone can cause the code."""

    code: str
    severity: str
    title: str
    meaning: str
    failing: str
    corrected: str
    fix: str


_is_head = re.compile(r"^# (K[0-9]{4}) (error|warning): (.+)\n", re.MULTILINE)
_is_section = re.compile(r"^## (Refused|Warned of|Accepted|Fix)\n", re.MULTILINE)


def read_pages(text: str) -> list[Page]:
    """Read all pages of a text, in order."""
    _, *parts = _is_head.split(text)
    pages = []
    for i in range(0, len(parts), 4):
        code, severity, title, body = parts[i : i + 4]
        meaning, *sections = _is_section.split(body)
        named = dict(zip(sections[::2], sections[1::2], strict=True))
        failing = named.get("Refused") or named.get("Warned of") or ""
        fix = named["Fix"].strip()
        pages.append(Page(code, severity, title, meaning.strip(), failing, named["Accepted"], fix))
    return pages
