"""A progress bar for work that takes long, and how sizes and counts are shown.

In: how much there is to do, and how much more was done. Out: a bar on stderr, when that is a
terminal and the work has taken two seconds. Not here: the work.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_DELAY_SECONDS = 2


@contextmanager
def progress(says: str, total: int | None, unit: str) -> Iterator[Callable[[int], object]]:
    """Give a function that hears of what was done, and shows it; a unit `B` is bytes."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    from tqdm import tqdm

    with tqdm(
        total=total,
        desc=says,
        unit=unit,
        unit_scale=unit == "B",
        delay=_DELAY_SECONDS,
        leave=False,
        file=sys.stderr,
    ) as bar:
        yield bar.update


def shown_bytes(size: int) -> str:
    """A size for people."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return counted(size, "byte")


def counted(count: int, what: str) -> str:
    """A number with its noun: 1 pico, 2 picos."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
