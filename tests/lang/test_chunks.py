"""Language tests in the language: chunks of KRL that say themselves what is wrong with them.

In: `*.krl` beside this module, in chunks separated by lines of `---`. A line ends with
`// expect CODE …` where the compiler must report these codes. Nothing else may be reported.
"""

import re
from pathlib import Path

import pytest

from krlc import compile_source

HERE = Path(__file__).parent
_find_expectation = re.compile(r"// expect ((?:K[0-9]{4} ?)+)$").search


def _chunks() -> list[tuple[str, str]]:
    """Give each chunk with its name: its file and the line it starts on."""
    found = []
    for path in sorted(HERE.glob("*.krl")):
        start = 1
        for text in path.read_text("utf-8").split("---\n"):
            found.append((f"{path.stem}:{start}", text))
            start += text.count("\n") + 1
    return found


CHUNKS = _chunks()


def test_chunks_exist() -> None:
    assert len(CHUNKS) > 10


@pytest.mark.parametrize("text", [text for _, text in CHUNKS], ids=[name for name, _ in CHUNKS])
def test_chunk(text: str) -> None:
    expected = []
    for number, line in enumerate(text.splitlines(), 1):
        stated = _find_expectation(line)
        if stated:
            expected += [(number, code) for code in stated[1].split()]
    compiled = compile_source(text, "chunk.krl")
    if any(code.startswith(("K01", "K02")) for _, code in expected):
        # Syntax errors hide what later passes would say about the rest of the chunk.
        expected = [(number, code) for number, code in expected if code < "K03"]
    found = [(compiled.source.point(d.span.start).line, d.code) for d in compiled.diagnostics]
    assert found == expected, [d.title for d in compiled.diagnostics]
