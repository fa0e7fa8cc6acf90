"""Write the expected outputs of `printer/` anew: `python tests/krlc --accept`; read the diff."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from krlc.printer import format_source
from krlc.source import Source


def main() -> int:
    """Accept what the printer prints now."""
    if sys.argv[1:] != ["--accept"]:
        print(__doc__, file=sys.stderr)
        return 2
    for path in sorted((Path(__file__).parent / "printer").glob("*.krl")):
        text = format_source(Source(path.read_bytes().decode("utf-8"), path.name))
        path.with_suffix(".txt").write_bytes(text.encode("utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
