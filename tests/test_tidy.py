"""The project checks itself: layers, sizes, maps, names, reasons.

In: the files of the project. Out: failures that name file and line. The checks are functions in
harness/tidy.py; the second half of this module tries each on a bad sample, so that none can pass by
finding nothing.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

import krlc
from runtime.errors import CODES
from runtime.limits import LIMITS
from tests.harness import tidy

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("krlc", "ecma", "runtime", "ext")
# Which packages a package must not import; `runtime` starts the compiler as a process.
LAYERS = {
    "krlc": ("runtime", "ext"),
    "ecma": ("krlc", "runtime", "ext"),
    "runtime": ("krlc",),
    "ext": ("krlc", "ecma", "runtime"),
}
# The edge of the runtime: what binds the core to sockets, loops and people.
EDGE = {
    "admin_api",
    "channel_live",
    "channel_server",
    "cli",
    "client",
    "client_http",
    "client_link",
    "client_live",
    "commands",
    "http_admin",
    "http_answers",
    "http_api",
    "http_follow",
    "http_head",
    "http_params",
    "http_wire",
    "library",
    "load",
    "network_frames",
    "network_http",
    "network_peers",
    "server",
    "web_client",
    "web_session",
    "__init__",
    "__main__",
}
MAY_IMPORT_ASYNCIO = {
    *("channel_live", "channel_server", "cli", "client", "client_link", "client_live"),
    *("http_admin", "http_api", "http_follow", "http_wire", "library", "load"),
    *("network_frames", "network_peers", "server", "web_client", "web_session"),
}
# What is longer than we like, and why that is better than cutting it.
LONG: dict[str, str] = {
    "krlc/node_layout.py": "The formatter's one method a node class, in the order of nodes.py.",
    "runtime/errors.py": "One table of codes: a reader looks for a code, not for a module.",
    "runtime/limits.py": "One table of bounds, with unit and reason; nothing in it is logic.",
    "runtime/rulesets/io.picolabs.subscription.krl": "Its rules share variables, its id is given.",
}
# Dependencies that are imported under another name, or are used without an import: tools and data.
IMPORT_NAMES = {"google-re2": "re2"}
NOT_IMPORTED = {"cython", "mypy", "pytest-xdist", "ruff", "types-greenlet", "tzdata"}
MADE = {"build", "dist", "out", "__pycache__", ".git", ".hypothesis", ".mypy_cache", ".ruff_cache"}
TEXT_FILES = ("*.py", "*.pyx", "*.pxd", "*.pyi", "*.krl", "*.lark", "*.md", "*.toml", "Makefile")
# Put together here, so that this file does not mention them itself.
ELSEWHERE = ["/" + "/".join(parts) for parts in (("work", ""), ("opt", ""), ("shared", ""))]
ELSEWHERE += [".".join(parts) for parts in (("pypi", "org"), ("registry", "npmjs"))]


@cache
def own_files() -> list[Path]:
    """The project's own files, without environments and what is made."""
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [
            name
            for name in folders
            if name not in MADE and not name.startswith(".venv") and not name.endswith(".egg-info")
        ]
        found += [Path(folder, name) for name in names]
    return sorted(found)


def files(*patterns: str, under: str = ".") -> list[Path]:
    """Own files whose names fit one of the patterns."""
    top = (ROOT / under).resolve()
    return [
        path
        for path in own_files()
        if top in path.parents and any(fnmatch(path.name, pattern) for pattern in patterns)
    ]


def place(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def all_well(found: list[str]) -> None:
    """Fail with all complaints, one a line."""
    if found:
        pytest.fail(f"{len(found)} complaints:\n" + "\n".join(found), pytrace=False)


def gather(check: Callable[[str, str], list[str]], paths: list[Path]) -> list[str]:
    """All complaints of one check about these files."""
    assert paths
    return [line for path in paths for line in check(place(path), path.read_text("utf-8"))]


# --- Layers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("package", PACKAGES)
def test_layers_import_only_downwards(package: str) -> None:
    forbidden = LAYERS[package]
    found = gather(
        lambda where, text: tidy.forbidden_imports(where, tidy.imports_of(text), forbidden),
        files("*.py", "*.pyi", under=package),
    )
    for path in files("*.pyx", "*.pxd", under=package):
        imports = tidy.imports_of_pyx(path.read_text())
        found += tidy.forbidden_imports(place(path), imports, forbidden)
    all_well(found)


def test_core_modules_import_neither_asyncio_nor_the_edge() -> None:
    edge = [f"runtime.{name}" for name in EDGE]

    def check(where: str, text: str) -> list[str]:
        parts = where.removesuffix(".py").split("/")
        is_edge = parts[1] in EDGE and (len(parts) == 2 or parts[1] in ("commands", "load"))
        forbidden = [] if is_edge and parts[1] in MAY_IMPORT_ASYNCIO else ["asyncio", "uvloop"]
        forbidden += [] if is_edge else edge
        return tidy.forbidden_imports(where, tidy.imports_of(text), forbidden)

    all_well(gather(check, files("*.py", under="runtime")))


def test_core_loads_without_asyncio_and_compiler() -> None:
    """What is imported counts too, not only what our own lines say."""
    core = [
        "runtime." + path.stem for path in (ROOT / "runtime").glob("*.py") if path.stem not in EDGE
    ]
    script = (
        f"import sys, importlib\nfor name in {core!r}: importlib.import_module(name)\n"
        "print(*sorted({'asyncio', 'uvloop', 'krlc', 'lark'} & set(sys.modules)))"
    )
    assert loaded(script) == ""


def test_compiler_loads_without_the_engine() -> None:
    names = [
        "krlc." + path.stem for path in (ROOT / "krlc").glob("*.py") if path.stem != "__main__"
    ]
    script = (
        f"import sys, importlib\nfor name in {names!r}: importlib.import_module(name)\n"
        "print(*sorted({'runtime', 'ext', 'rocksdict'} & set(sys.modules)))"
    )
    assert loaded(script) == ""


def loaded(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "path", files("*.krl", under="examples") + files("*.krl", under="tests/golden"), ids=place
)
def test_generated_modules_import_only_the_abi(path: Path) -> None:
    compiled = krlc.compile_source(path.read_text(), path.name)
    assert compiled.ok
    imports = list(tidy.imports_of(compiled.module))
    assert imports
    all_well(tidy.imports_beyond(place(path), iter(imports), ["runtime.abi"]))


# --- Sizes, maps, names ---------------------------------------------------------------------------


def test_sizes() -> None:
    found = gather(
        lambda where, text: tidy.long_parts(where, text, LONG),
        files("*.py", "*.pyx", "*.pxd", "*.pyi", "*.lark")
        + files("*.krl", under="examples")
        + files("*.krl", under="runtime"),
    )
    all_well(found)


def test_exceptions_from_sizes_are_needed_and_explained() -> None:
    for where, reason in LONG.items():
        path, _, function = where.partition(":")
        text = (ROOT / path).read_text()
        found = tidy.long_parts(path, text, {})
        what = f": {function} has " if function else f"{path}: "
        assert any(what in line for line in found), f"{where} is not too long any more"
        assert reason.endswith(".")
        assert len(reason) > 30


def test_modules_have_docstrings() -> None:
    paths = [path for path in files("*.py", "*.pyx") if path.stat().st_size]
    all_well(gather(tidy.missing_docstring, paths))


@pytest.mark.parametrize("package", PACKAGES)
def test_package_maps_name_every_module(package: str) -> None:
    folder = ROOT / package
    docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
    assert docstring is not None
    names = {path.name for path in folder.glob("*.py")} - {"__init__.py", "__main__.py"}
    names |= {path.parent.name + "/" for path in folder.glob("*/__init__.py")}
    if package == "ext":
        # Its map says once that every module has a twin.
        names = {path.stem for path in folder.glob("*.pyx")}
    all_well(tidy.unmapped(package, docstring, names))


def test_readme_names_every_folder() -> None:
    readme = (ROOT / "README.md").read_text()
    folders = [
        path.name
        for path in ROOT.iterdir()
        if path.is_dir() and any(path.iterdir()) and not path.name.startswith(".")
    ]
    missing = [
        name
        for name in folders
        if name not in MADE and not name.endswith(".egg-info") and f"{name}/" not in readme
    ]
    all_well(missing)


def test_names_say_something() -> None:
    all_well(gather(tidy.empty_names, files("*.py", "*.pyx")))


def test_nothing_is_left_unfinished() -> None:
    all_well(gather(tidy.unfinished, files(*TEXT_FILES)))


def test_nothing_depends_on_one_machine() -> None:
    found = gather(
        lambda where, text: tidy.foreign_places(where, text, ELSEWHERE), files(*TEXT_FILES)
    )
    all_well(found)


# --- Reasons --------------------------------------------------------------------------------------


def test_dependencies_have_reasons_and_are_used() -> None:
    required = tidy.requirements((ROOT / "pyproject.toml").read_text())
    all_well(tidy.unreasoned(required))
    ours = {*PACKAGES, "tests", "examples", "bench", "setuptools"}
    used = {
        name.partition(".")[0]
        for path in files("*.py")
        if "fixtures" not in path.parts
        for _, name in tidy.imports_of(path.read_text())
    }
    # Test folders are on the path of the tests beside them.
    local = {part for path in files("*.py", under="tests") for part in path.with_suffix("").parts}
    declared = {IMPORT_NAMES.get(name, name) for name in required}
    beside = {"Cython", "__future__"}
    strangers = used - set(sys.stdlib_module_names) - declared - ours - local - beside - {"?", ""}
    all_well(sorted(strangers))
    all_well(sorted(declared - used - NOT_IMPORTED))


def test_every_package_is_installed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = settings["tool"]["setuptools"]["packages"]
    there = [
        place(path.parent).replace("/", ".")
        for package in PACKAGES
        for path in files("__init__.py", under=package)
    ]
    assert sorted(listed) == sorted(there)


def test_pinned_versions_cover_every_dependency() -> None:
    pins = {
        line.partition("==")[0].lower()
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    required = tidy.requirements((ROOT / "pyproject.toml").read_text())
    all_well(sorted({name.lower() for name in required} - pins))


def test_limits_have_unit_reason_and_known_code() -> None:
    assert LIMITS
    all_well(tidy.unreasoned({name: limit.reason for name, limit in LIMITS.items()}))
    for name, limit in LIMITS.items():
        assert limit.value > 0, name
        assert limit.unit, name
        assert limit.code in CODES or limit.code.startswith("none: "), name


def test_limits_are_used() -> None:
    text = "\n".join(
        path.read_text()
        for path in files("*.py", "*.pyx", under="runtime")
        if path.name != "limits.py"
    )
    all_well([name for name in LIMITS if name not in text])


# --- The checks themselves ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "import krlc",
        "from krlc import cli",
        "import json, krlc.parser",
        "def f():\n    from krlc.parser import parse",
        "import importlib\nimportlib.import_module('krlc.parser')",
        "from . import parser",
    ],
)
def test_forbidden_import_is_found(text: str) -> None:
    assert len(tidy.forbidden_imports("x.py", tidy.imports_of(text), ["krlc"])) == 1


def test_allowed_imports_are_not_complained_about() -> None:
    text = "import krlcx\nfrom runtime.abi import v1\n"
    assert tidy.forbidden_imports("x.py", tidy.imports_of(text), ["krlc"]) == []
    assert tidy.imports_beyond("x.py", tidy.imports_of(text), ["runtime.abi", "krlcx"]) == []
    assert len(tidy.imports_beyond("x.py", tidy.imports_of(text), ["runtime.abi"])) == 1


def test_forbidden_import_in_cython_is_found() -> None:
    text = "cimport cython\nfrom runtime.values cimport Value\nimport runtime\n"
    found = tidy.forbidden_imports("x.pyx", tidy.imports_of_pyx(text), ["runtime"])
    assert [line.split(":")[1] for line in found] == ["2", "3"]


@pytest.mark.parametrize(
    ("where", "text", "count"),
    [
        ("x.py", "a = 1\n" * 601, 1),
        ("x.py", "a = 1\n" * 600, 0),
        ("x.py", "# " + "x" * 99, 1),
        ("x.py", "# " + "x" * 98, 0),
        ("x.py", "def f():\n" + "    a = 1\n" * 70, 1),
        ("x.py", "def f():\n" + "    a = 1\n" * 69, 0),
        ("x.py", "class C:\n    async def f(self):\n" + "        a = 1\n" * 70, 1),
        ("x.pyx", "cdef int f(int a) except -1:\n" + "    a = 1\n" * 70, 1),
        ("x.pyx", "cdef class C:\n    def f(\n        self,\n    ):\n" + "        a = 1\n" * 66, 0),
        ("x.pyx", "cdef class C:\n    def f(\n        self,\n    ):\n" + "        a = 1\n" * 68, 1),
        ("x.krl", "x" * 101, 1),
    ],
)
def test_long_part_is_found(where: str, text: str, count: int) -> None:
    assert len(tidy.long_parts(where, text, {})) == count


def test_long_part_with_a_reason_is_left_alone() -> None:
    text = "def f():\n" + "    a = 1\n" * 600
    assert len(tidy.long_parts("x.py", text, {})) == 2
    assert len(tidy.long_parts("x.py", text, {"x.py": "why"})) == 1
    assert tidy.long_parts("x.py", text, {"x.py": "why", "x.py:f": "why"}) == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ('"""What it is."""\n', 0),
        ('# A licence line\n"""What it is:\n\nmore.\n"""\n', 0),
        ("import os\n", 1),
        ('"""\nWhat it is.\n"""\n', 1),
        ('"""What it is, and\nmore.\n"""\n', 1),
    ],
)
def test_missing_docstring_is_found(text: str, count: int) -> None:
    assert len(tidy.missing_docstring("x.py", text)) == count


def test_unmapped_module_is_found() -> None:
    docstring = "a.py  first\n    modules/  more, pages_*.py too"
    present = ["a.py", "modules/", "pages_x.py", "b.py", "na.py"]
    assert tidy.unmapped("p", docstring, present) == [
        "p/__init__.py: does not name b.py",
        "p/__init__.py: does not name na.py",
    ]


@pytest.mark.parametrize(
    ("where", "text", "count"),
    [
        ("a/utils.py", "", 1),
        ("a/string_helpers.pyx", "", 1),
        ("a/pattern_helper.py", "class HelperProcess: pass", 0),
        ("a/b.py", "def date_util(): pass", 1),
        ("a/b.py", "class MiscHelpers: pass", 1),
        ("a/b.py", "def utility_of(): pass", 0),
    ],
)
def test_empty_name_is_found(where: str, text: str, count: int) -> None:
    assert len(tidy.empty_names(where, text)) == count


def test_unfinished_work_is_found() -> None:
    mark = "TO" + "DO"
    assert len(tidy.unfinished("x.py", f"a = 1  # {mark}: more\n")) == 1
    assert len(tidy.unfinished("x.krl", f"// {mark}\n")) == 1
    assert tidy.unfinished("x.py", "METHODS = 1\n# methods todo\n") == []


def test_foreign_place_is_found() -> None:
    assert tidy.foreign_places("x.md", "a\nsee /home/me/x\n", ["/home/me"]) == [
        "x.md:2: mentions /home/me"
    ]


def test_requirement_without_reason_is_found() -> None:
    text = (
        'dependencies = [\n    "a>=1",  # because it is needed\n    "b-c>=1,<2",\n]\n'
        'dev = [\n    "d",\n]\nselect = [\n    "E",\n]\n'
    )
    required = tidy.requirements(text)
    assert list(required) == ["a", "b-c", "d"]
    assert tidy.unreasoned(required) == ["b-c: no reason", "d: no reason"]
