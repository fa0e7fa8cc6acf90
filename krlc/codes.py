"""The register of diagnostic codes: what each means, an example, and how to mend it.

In: nothing. Out: `CODES`, and `explain`, the text of `krlc explain CODE`.
Invariants: a code never changes its meaning and is never used again; each has one page; the failing
example gives the code, the corrected one does not. Titles show a varying part as `…`.
The pages themselves stand in the modules `pages_*.py`.
"""

from __future__ import annotations

from krlc import pages_names, pages_rules, pages_syntax, pages_text, pages_values
from krlc.pages import Page, read_pages
from krlc.spell import distance

_TEXTS = (pages_text, pages_syntax, pages_names, pages_rules, pages_values)
CODES: dict[str, Page] = {page.code: page for text in _TEXTS for page in read_pages(text.PAGES)}


def nearest_code(text: str) -> str:
    """Find the code most like what somebody typed."""
    wanted = text.upper()
    if wanted.isdigit():
        wanted = "K" + wanted.zfill(4)
    digits = "".join(c for c in wanted if c.isdecimal())[:9]
    number = int(digits or "0")
    return min(CODES, key=lambda code: (distance(wanted, code, 9), abs(int(code[1:]) - number)))


def explain(code: str) -> str | None:
    """Lay out the page of a code; None for a code that does not exist."""
    page = CODES.get(code.upper())
    if page is None:
        return None
    lines = [f"{page.severity} {page.code}: {page.title}", "", page.meaning, ""]
    if page.failing:
        lines += ["This is refused:" if page.severity == "error" else "This is warned of:", ""]
        lines += ["    " + line if line else "" for line in page.failing.splitlines()]
        lines += ["", "This is accepted:", ""]
        lines += ["    " + line if line else "" for line in page.corrected.splitlines()]
        lines.append("")
    lines += [page.fix, ""]
    return "\n".join(lines)
