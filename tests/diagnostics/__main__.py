"""Write the files of the text and syntax codes anew: `python tests/diagnostics --accept`.

For each code K01 and K02: `<CODE>.krl`, the failing example of its page, and `<CODE>.txt`, what the
compiler says about it. Read the diff before you commit it.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from krlc.codes import CODES  # noqa: E402 - the path comes first
from krlc.diagnostics import render  # noqa: E402
from krlc.parser import parse  # noqa: E402
from krlc.source import Source  # noqa: E402


def main() -> int:
    """Accept what the compiler says now."""
    if sys.argv[1:] != ["--accept"]:
        print(__doc__, file=sys.stderr)
        return 2
    for code, page in CODES.items():
        if code.startswith(("K01", "K02")) and page.failing:
            source = Source(page.failing, f"{code}.krl")
            HERE.joinpath(f"{code}.krl").write_text(page.failing, "utf-8")
            HERE.joinpath(f"{code}.txt").write_text(render(parse(source)[1], source), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
