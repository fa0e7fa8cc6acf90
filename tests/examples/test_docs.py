"""docs/*.md are true: their sessions are run, and say what they show."""

from __future__ import annotations

from pathlib import Path

import pytest

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


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_sessions_are_as_shown(path: Path, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    wrong = run_document(path, tmp_path)
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


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
    ]
    try:
        assert run_commands(session, found) == []
        (wrong,) = run_commands(session, [Command(8, "echo no", ["yes"]), *found])
    finally:
        session.close()
    assert wrong == "line 8: `echo no` says\nno\n\nand the document shows\nyes"
