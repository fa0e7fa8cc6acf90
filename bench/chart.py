"""Charts as SVG: bars of cost for each case, and lines of cost against size.

In: labels and numbers. Out: SVG text, the same bytes for the same numbers. Both axes of cost are
logarithmic, since sides differ by factors. Lines end in their names, so that nothing depends on
colour alone; light and dark viewers both get a readable page. Not here: which charts there are, and
what is in them (charts.py).

A writer of our own, for two kinds of chart: matplotlib and what it needs are 100 MB, and pygal's
files load a script from elsewhere when they are opened.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH = 900
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 190, 56, 48
_BAR, _GAP, _GROUP_GAP, _LABEL = 13, 2, 12, 300
# Ours first; told apart in light and dark, and with any sight of colours.
COLOURS = ("#0b6e99", "#9aa5ab", "#d9730d", "#6b4fa0", "#2f7d4f", "#a33b5c")
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#333}.t{font-size:15px;font-weight:600}"
    ".n{fill:#777}.g{stroke:#ddd}"
    "@media(prefers-color-scheme:dark){rect.page{fill:#181a1b}text{fill:#ddd}.n{fill:#999}"
    ".g{stroke:#3a3d3f}}"
)


class Series(NamedTuple):
    """One side's points: (size, value), sizes ascending."""

    name: str
    points: list[tuple[float, float]]


class Group(NamedTuple):
    """The bars of one case: (side, value)."""

    label: str
    bars: list[tuple[str, float]]


class _Axis:
    """A logarithmic axis between two places, its ends at powers of ten or close to the data."""

    def __init__(self, values: Sequence[float], begin: float, end: float, whole: bool) -> None:
        low, high = math.log10(min(values)), math.log10(max(values))
        if whole or high - low < 0.3:
            low, high = math.floor(low), math.ceil(high)
        self._low = low
        self._high = high if high > low else low + 1
        self._begin = begin
        self._end = end

    def place(self, value: float) -> float:
        part = (math.log10(value) - self._low) / (self._high - self._low)
        return self._begin + part * (self._end - self._begin)

    def ticks(self) -> list[float]:
        """Powers of ten within; with fewer than three of them, twos and fives too."""
        first, last = math.floor(self._low), math.ceil(self._high)
        steps = (1,) if last - first >= 3 else (1, 2, 5)
        found = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        low, high = 10**self._low * 0.999, 10**self._high * 1.001
        return [value for value in found if low <= value <= high]


def short(value: float) -> str:
    """A number as axes show it."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _text(x: float, y: float, said: str, anchor: str = "start", kind: str = "") -> str:
    kinds = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kinds}>{escape(said)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="g" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _page(height: float, title: str, note: str, parts: list[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'width="{WIDTH}" height="{height:.0f}" role="img">\n<title>{escape(title)}</title>\n'
        f'<style>{_STYLE}</style>\n<rect class="page" width="100%" height="100%" fill="#fff"/>'
    )
    said = [_text(16, 24, title, kind="t"), _text(16, 42, note, kind="n")]
    return "\n".join([head, *said, *parts, "</svg>"]) + "\n"


def lines(title: str, note: str, across: str, series: Sequence[Series]) -> str:
    """Cost against size, one line a side.

    Raises: ValueError when there is nothing to show.
    """
    points = [point for each in series for point in each.points]
    if not points:
        raise ValueError(f"there is nothing to show in {title!r}")
    height = 380
    x = _Axis([size for size, _ in points], _LEFT, WIDTH - _RIGHT, whole=False)
    y = _Axis([value for _, value in points], height - _BOTTOM, _TOP, whole=True)
    parts = []
    for tick in y.ticks():
        at = y.place(tick)
        parts += [
            _line(_LEFT, at, WIDTH - _RIGHT, at),
            _text(_LEFT - 8, at + 4, short(tick), "end"),
        ]
    for tick in sorted({size for size, _ in points}):
        at = x.place(tick)
        parts += [
            _line(at, _TOP, at, height - _BOTTOM),
            _text(at, height - _BOTTOM + 18, short(tick), "middle"),
        ]
    parts.append(_text((_LEFT + WIDTH - _RIGHT) / 2, height - 10, across, "middle", "n"))
    taken: list[float] = []
    for number, each in enumerate(series):
        if not each.points:
            continue
        colour = COLOURS[number % len(COLOURS)]
        places = [(x.place(size), y.place(value)) for size, value in each.points]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for (a, b), (_, value) in zip(places, each.points, strict=True):
            dot = f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{colour}">'
            parts.append(f"{dot}<title>{escape(each.name)}: {short(value)}</title></circle>")
        # Names of lines that end close to each other stand below each other.
        at = places[-1][1]
        while any(abs(at - other) < 14 for other in taken):
            at += 14
        taken.append(at)
        last = short(each.points[-1][1])
        parts.append(_text(places[-1][0] + 10, at + 4, f"{each.name}, {last}"))
    return _page(height, title, note, parts)


def bars(title: str, note: str, groups: Sequence[Group]) -> str:
    """Cost of each case, a bar for each side.

    Raises: ValueError when there is nothing to show.
    """
    values = [value for group in groups for _, value in group.bars]
    if not values:
        raise ValueError(f"there is nothing to show in {title!r}")
    # Sides in order of their first appearance keep their colour in all groups.
    sides = list(dict.fromkeys(name for group in groups for name, _ in group.bars))
    axis = _Axis(values, _LABEL, WIDTH - 90, whole=True)
    parts, down = _legend(sides), float(_TOP + 22)
    top = down
    rows = []
    for group in groups:
        tall = len(group.bars) * (_BAR + _GAP)
        rows.append(_text(_LABEL - 10, down + tall / 2 + 4, group.label, "end"))
        for name, value in group.bars:
            colour = COLOURS[sides.index(name) % len(COLOURS)]
            wide = max(1.0, axis.place(value) - _LABEL)
            rows.append(
                f'<rect x="{_LABEL}" y="{down:.1f}" width="{wide:.1f}" height="{_BAR}" '
                f'fill="{colour}"><title>{escape(name)}: {short(value)}</title></rect>'
            )
            rows.append(_text(_LABEL + wide + 5, down + _BAR - 2, short(value)))
            down += _BAR + _GAP
        down += _GROUP_GAP
    for tick in axis.ticks():
        at = axis.place(tick)
        parts += [_line(at, top - 4, at, down), _text(at, down + 14, short(tick), "middle")]
    return _page(down + 26, title, note, parts + rows)


def _legend(sides: Sequence[str]) -> list[str]:
    parts, at = [], 16.0
    for number, name in enumerate(sides):
        colour = COLOURS[number % len(COLOURS)]
        parts.append(f'<rect x="{at:.1f}" y="54" width="11" height="11" fill="{colour}"/>')
        parts.append(_text(at + 16, 64, name))
        at += 34 + 6.6 * len(name)
    return parts
