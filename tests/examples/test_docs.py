"""docs/*.md are true: their sessions are run, and say what they show.

Their rulesets are as a reader should write them, and the lessons lead from one to the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import krlc
from krlc.printer import format_source
from krlc.source import Source
from tests.examples.doc_runner import (
    ROOT,
    Command,
    File,
    Session,
    indented_commands,
    is_as_shown,
    run_commands,
    run_document,
    steps,
)

DOCUMENTS = [
    path
    for path in sorted((ROOT / "docs").rglob("*.md"))
    if any(isinstance(step, Command) for step in steps(path.read_text("utf-8")))
]


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Path, Future[list[str]]]]:
    """What is wrong in each document that is asked for; two run at a time, the longest first."""
    items: list[Any] = request.session.items
    asked = [item.callspec.params["path"] for item in items if _is_run(item)]
    asked.sort(key=lambda path: len(path.read_text("utf-8")), reverse=True)
    with ThreadPoolExecutor(2) as pool:
        yield {path: pool.submit(_run, path, tmp_path_factory.mktemp("docs")) for path in asked}
        pool.shutdown(cancel_futures=True)


def _is_run(item: Any) -> bool:
    return item.path == Path(__file__) and "runs" in item.fixturenames


def _run(path: Path, folder: Path) -> list[str]:
    (folder / "examples").symlink_to(ROOT / "examples")
    return run_document(path, folder)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_sessions_are_as_shown(path: Path, runs: dict[Path, Future[list[str]]]) -> None:
    wrong = runs[path].result()
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


# --- Rulesets of documents ------------------------------------------------------------------------

RULESETS = [
    (path, step)
    for path in DOCUMENTS
    for step in steps(path.read_text("utf-8"))
    if isinstance(step, File) and step.name.endswith(".krl")
]


@pytest.mark.parametrize(
    ("path", "ruleset"), RULESETS, ids=lambda one: one.stem if isinstance(one, Path) else one.name
)
def test_ruleset_is_as_it_should_be(path: Path, ruleset: File) -> None:
    assert format_source(Source(ruleset.content, ruleset.name)) == ruleset.content
    # A mistake that is meant is shown to the reader.
    if f"$ krlc check {ruleset.name}" not in path.read_text("utf-8"):
        assert krlc.compile_source(ruleset.content, ruleset.name).diagnostics == ()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_ruleset_has_a_file_name(path: Path) -> None:
    assert "\n```krl\n" not in path.read_text("utf-8")


# --- Ways through the documents -------------------------------------------------------------------

_LINK = re.compile(r"\]\(([\w.-]+\.md)\)")
_LESSON = re.compile(r"^\d+\. \[[^]]+\]\(([\w.-]+\.md)\)", re.MULTILINE)
_NEXT = re.compile(r"^Next: \[[^]]+\]\(([\w.-]+\.md)\)", re.MULTILINE)


def test_index_names_every_document() -> None:
    index = (ROOT / "docs/README.md").read_text("utf-8")
    there = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert sorted(_LINK.findall(index)) == sorted(there)


def test_each_lesson_leads_to_the_next() -> None:
    lessons = _LESSON.findall((ROOT / "docs/README.md").read_text("utf-8"))
    assert len(lessons) == 12
    following = [_NEXT.findall((ROOT / "docs" / name).read_text("utf-8")) for name in lessons]
    assert following == [*([name] for name in lessons[1:]), []]


@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.stem)
def test_links_lead_somewhere(path: Path) -> None:
    named = _LINK.findall(path.read_text("utf-8"))
    assert [name for name in named if not (path.parent / name).exists()] == []


# --- The runner itself ----------------------------------------------------------------------------

TEXT = """\
Do this:

```krl a/door.krl
ruleset door {
}
```

```console
$ one two
said
…
$ three \\
>   four

```

```ini
not = run
```

```console
$ five
```
"""


def test_steps_are_found() -> None:
    assert steps(TEXT) == [
        File("a/door.krl", "ruleset door {\n}\n"),
        Command(9, "one two", ["said", "…"]),
        Command(12, "three four", [""]),
        Command(22, "five", []),
    ]
    with pytest.raises(AssertionError, match="the fence of line 1 has no end"):
        steps("```console\n$ a\n")
    with pytest.raises(AssertionError, match="begins with a command"):
        steps("```console\nsaid\n```\n")


def test_indented_commands_are_found() -> None:
    text = "Do:\n\n    $ a b\n    one\n\n    two\n    $ c\n\nand\n\n    no command\n"
    assert indented_commands(text) == [
        Command(3, "a b", ["one", "", "two"]),
        Command(7, "c", [""]),
    ]


@pytest.mark.parametrize(
    ("said", "shown", "is_equal"),
    [
        ("one\ntwo\n", ["one", "two"], True),
        ("one\ntwo\n", ["one"], False),
        ("one\ntwo\nthree\n", ["one", "  …"], True),
        ("one\ntwo\n", ["two", "…"], False),
        ("a 12 b\n", ["a … b"], True),
        ("a 12 c\n", ["a … b"], False),
        ("eid c00rllgqtmg2i6ijrgljb1590r5n\n", ["eid c008j2okg5wlqvvbbnjiorafaaxo"], True),
        ("2 files, 1,234 bytes\n", ["2 files, 3.4 KiB"], True),
        ("", [], True),
        ("", ["…"], True),
        ("a warning\n", [], False),
    ],
)
def test_output_is_compared(said: str, shown: list[str], is_equal: bool) -> None:
    assert is_as_shown(said, shown) is is_equal


def test_session_is_a_shell(tmp_path: Path) -> None:
    session = Session(tmp_path)
    (tmp_path / "sub").mkdir()
    found = [
        Command(1, "export WHO=you", []),
        Command(2, 'echo "to $WHO" > a; cat a', ["to you"]),
        Command(3, "false", []),
        Command(4, "echo $?", ["1"]),
        Command(5, "cd sub", []),
        Command(6, "pwd", ["/home/you/sub"]),
        Command(7, "make demo", ["what is not run may show anything"]),
        Command(8, "NAME=plain", []),
        Command(9, 'OTHER=$(echo "$NAME and more")', []),
        Command(10, "echo $OTHER", ["plain and more"]),
        Command(11, "echo eid c1", ["eid c1"]),
        Command(12, "echo EID", ["c1"]),
        Command(13, "sleep 60 > out &", []),
        Command(14, "kill -9 %%", []),
        Command(15, "kill %1", []),
    ]
    try:
        assert run_commands(session, found) == []
        (wrong,) = run_commands(session, [Command(8, "echo no", ["yes"]), *found])
    finally:
        session.close()
    assert wrong == "line 8: `echo no` says\nno\n\nand the document shows\nyes"
