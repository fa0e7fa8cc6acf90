"""The checks that keep the project tidy, as functions from text to complaints.

In: the text of one file, and what it may contain. Out: complaints as lines `place: what`, none when
all is well. Nothing here knows where the project lies or what its exceptions are: test_tidy.py
does, and tries each check on a bad sample too.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatch
from functools import cache

MODULE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
LINE_CHARACTERS_MAX = 100
REASON_CHARACTERS_MIN = 10

_PYX_IMPORT = re.compile(r"^\s*(?:from|c?import)\s+([\w.]+)", re.MULTILINE)
_PYX_FUNCTION = re.compile(r"^(\s*)(?:cpdef|cdef|def)\b[^=]*?(\w+)\(")
_DUMPING_GROUND = {"util", "utils", "helpers", "misc", "common"}
_UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
_REQUIREMENT = re.compile(r'^\s*"([A-Za-z0-9_.-]+)[^"]*",?\s*(?:#\s*(.*))?$')


@cache
def _nodes(text: str) -> tuple[ast.AST, ...]:
    """All nodes of a Python text; several checks ask for those of the same file."""
    return tuple(ast.walk(ast.parse(text)))


def imports_of(text: str) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything a Python text imports; `from a import b` is `a.b`.

    Imports inside functions and those only for type checkers count: they are dependencies too.
    """
    for node in _nodes(text):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node.lineno, name.name
        elif isinstance(node, ast.ImportFrom):
            for name in node.names:
                yield node.lineno, "." * node.level + f"{node.module or ''}.{name.name}"
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "__import__",
            "import_module",
            "importlib.import_module",
        ):
            first = node.args[0] if node.args else None
            is_plain = isinstance(first, ast.Constant) and isinstance(first.value, str)
            yield node.lineno, first.value if is_plain else "?"  # type: ignore[union-attr]


def imports_of_pyx(text: str) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of what a Cython text imports."""
    for found in _PYX_IMPORT.finditer(text):
        yield text.count("\n", 0, found.start()) + 1, found[1]


def _is_under(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def forbidden_imports(
    place: str, imports: Iterator[tuple[int, str]], forbidden: Collection[str]
) -> list[str]:
    """Complaints about imports of these packages, and about relative ones."""
    return [
        f"{place}:{line}: imports {name}"
        for line, name in imports
        if name.startswith(".") or any(_is_under(name, package) for package in forbidden)
    ]


def imports_beyond(
    place: str, imports: Iterator[tuple[int, str]], allowed: Collection[str]
) -> list[str]:
    """Complaints about imports of anything but these packages."""
    return [
        f"{place}:{line}: imports {name}"
        for line, name in imports
        if not any(_is_under(name, package) for package in allowed)
    ]


def long_parts(place: str, text: str, reasons: Mapping[str, str]) -> list[str]:
    """Complaints about a module, functions or lines that are too long.

    `reasons` has a sentence for each exception, under the place of a module, or place:function.
    """
    found = []
    lines = text.splitlines()
    if len(lines) > MODULE_LINES_MAX and place not in reasons:
        found.append(f"{place}: {len(lines)} lines")
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_CHARACTERS_MAX:
            found.append(f"{place}:{number}: {len(line)} characters")
    for number, name, length in functions_of(place, text):
        if length > FUNCTION_LINES_MAX and f"{place}:{name}" not in reasons:
            found.append(f"{place}:{number}: {name} has {length} lines")
    return found


def functions_of(place: str, text: str) -> Iterator[tuple[int, str, int]]:
    """(line, name, length in lines) of each function."""
    if place.endswith(".pyx"):
        yield from _pyx_functions(text.splitlines())
        return
    if not place.endswith(".py"):
        return
    for node in _nodes(text):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.lineno, node.name, node.end_lineno - node.lineno + 1


def _pyx_functions(lines: list[str]) -> Iterator[tuple[int, str, int]]:
    """By indentation: Cython's own parser is no public interface."""
    for index, line in enumerate(lines):
        head = _PYX_FUNCTION.match(line)
        if head is None:
            continue
        indent = len(head[1])
        last = index
        is_open = not line.rstrip().endswith(":")
        for number in range(index + 1, len(lines)):
            text = lines[number]
            if not text.strip():
                continue
            if len(text) - len(text.lstrip()) <= indent and not (
                is_open and text.strip()[0] in ")"
            ):
                break
            is_open = is_open and not text.rstrip().endswith(":")
            last = number
        yield index + 1, head[2], last - index + 1


def missing_docstring(place: str, text: str) -> list[str]:
    """A complaint when a module has no docstring, or its first line is empty or goes on."""
    body = text.lstrip()
    while body.startswith("#"):
        body = body.partition("\n")[2].lstrip()
    if not body.startswith('"""'):
        return [f"{place}: has no docstring"]
    first = body[3:].partition("\n")[0].removesuffix('"""')
    if not first.strip() or first.rstrip()[-1] not in ".:":
        return [f"{place}: the first line of its docstring is no sentence"]
    return []


def unmapped(package: str, docstring: str, files: Collection[str]) -> list[str]:
    """Complaints about files that a package's map does not name; `pages_*.py` names several."""
    named = set(re.findall(r"[\w*/]+(?:\.\w+|/)?", docstring))
    named |= {name.partition("/")[0] + "/" for name in named if "/" in name}
    patterns = [name for name in named if "*" in name]
    return [
        f"{package}/__init__.py: does not name {file}"
        for file in sorted(files)
        if file not in named and not any(fnmatch(file, pattern) for pattern in patterns)
    ]


def empty_names(place: str, text: str) -> list[str]:
    """Complaints about names that say nothing, of the file itself and of what it defines."""
    stem = place.rpartition("/")[2].partition(".")[0]
    found = [f"{place}: is called {stem}"] if _words(stem) & _DUMPING_GROUND else []
    if place.endswith(".py"):
        for node in _nodes(text):
            if (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                and _words(node.name) & _DUMPING_GROUND
            ):
                found.append(f"{place}:{node.lineno}: is called {node.name}")
    return found


def _words(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)}


def unfinished(place: str, text: str) -> list[str]:
    """Complaints about marks of work left undone; in Python only comments can hold them."""
    if not _UNFINISHED.search(text):
        return []
    lines: Iterator[tuple[int, str]] = iter(enumerate(text.splitlines(), 1))
    if place.endswith(".py"):
        lines = (
            (token.start[0], token.string)
            for token in tokenize.generate_tokens(io.StringIO(text).readline)
            if token.type in (tokenize.COMMENT, tokenize.STRING)
        )
    return [
        f"{place}:{number}: {found[1]}"
        for number, line in lines
        if (found := _UNFINISHED.search(line))
    ]


def foreign_places(place: str, text: str, words: Collection[str]) -> list[str]:
    """Complaints about texts that mean something only on one machine or in one network."""
    return [
        f"{place}:{number}: mentions {word}"
        for number, line in enumerate(text.splitlines(), 1)
        for word in words
        if word in line
    ]


def requirements(text: str) -> dict[str, str]:
    """Distribution -> reason, of the dependency lists in a pyproject.toml; "" for none."""
    found = {}
    is_inside = False
    for line in text.splitlines():
        if line.rstrip().endswith("= [") and not line.startswith(("select", "ignore")):
            is_inside = line.split()[0] in ("dependencies", "dev")
        elif line.startswith("]"):
            is_inside = False
        elif is_inside and (match := _REQUIREMENT.match(line)):
            found[match[1]] = (match[2] or "").strip()
    return found


def unreasoned(reasons: Mapping[str, str]) -> list[str]:
    """Complaints about reasons that are missing or too short to say anything."""
    return [
        f"{name}: no reason"
        for name, reason in reasons.items()
        if len(reason) < REASON_CHARACTERS_MIN
    ]
