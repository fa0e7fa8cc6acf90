"""The program `krlc`: build, check, fmt, dump, explain.

In: command-line arguments and files. Out: files, text on standard output, diagnostics on standard
error, and an exit code. Invariants: a file is written whole or not at all; no traceback reaches
anybody; what a program may read goes to standard output alone.
Not here: anything a library user would want (`krlc.compile_source` and its neighbours). What a
command needs is imported inside it, so that `krlc explain` starts no parser.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from krlc.version import VERSION

if TYPE_CHECKING:
    from krlc import Compiled
    from krlc.diagnostics import Diagnostic
    from krlc.source import Source

OK, ERRORS, USAGE, INTERNAL = 0, 1, 2, 70
SOURCE_BYTES_MAX = 4 << 20
"""The longest source read; rulesets have some kB, and engines take no longer ones."""

STAGES = ("nodes", "names", "automata", "ir", "py")

_EXITS = """\
exit codes:
  0   done, no errors (warnings do not count)
  1   the rulesets have errors; for fmt --check: files are not in canonical form
  2   wrong use, or a file that cannot be read or written
  70  a fault of krlc itself
"""

_T = TypeVar("_T")


class _UsageError(Exception):
    """The command cannot be done as asked; the text goes to standard error."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code.

    Raises: SystemExit from argparse, for `--help` and wrong use.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except _UsageError as error:
        print(f"krlc: {error}", file=sys.stderr)
        return USAGE
    except BrokenPipeError:
        # Whoever read our output has seen enough. Nothing more must be written at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return OK
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        print(
            f"krlc: error K0901: krlc failed ({type(error).__name__}: {error})\n"
            "  = hint: this is a fault of krlc; please report it with the files that cause it",
            file=sys.stderr,
        )
        return INTERNAL


def _parser() -> argparse.ArgumentParser:
    def command(name: str, run: object, help_: str, example: str) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name,
            help=help_,
            description=help_[0].upper() + help_[1:] + ".",
            epilog=f"example:\n  {example}\n\n{_EXITS}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        made.set_defaults(run=run)
        return made

    parser = argparse.ArgumentParser(
        prog="krlc",
        description="The KRL compiler.",
        epilog="`krlc COMMAND --help` shows an example of each command.\n\n" + _EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"krlc {VERSION}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    files = "KRL files; - is standard input"

    build = command(
        "build", _build, "compile rulesets to a bundle", "krlc build counter.krl -o app.krlb"
    )
    build.add_argument("files", nargs="+", metavar="FILE", help=files)
    build.add_argument(
        "-o",
        dest="output",
        metavar="DIR|FILE.krlb",
        help="the bundle to write, or a folder for its files; of one ruleset it is RID.krlb",
    )
    build.add_argument("--quiet", action="store_true", help="say nothing but errors")

    check = command(
        "check", _check, "report everything that is wrong", "krlc check counter.krl --json"
    )
    check.add_argument("files", nargs="+", metavar="FILE", help=files)
    check.add_argument("--json", action="store_true", help="print a JSON array of diagnostics")

    fmt = command("fmt", _fmt, "bring rulesets into canonical form", "krlc fmt --check *.krl")
    fmt.add_argument("files", nargs="+", metavar="FILE", help=files)
    how = fmt.add_mutually_exclusive_group()
    how.add_argument("--check", action="store_true", help="write nothing, name what would change")
    how.add_argument("--stdout", action="store_true", help="print instead of writing")

    dump = command("dump", _dump, "print what a pass made of a ruleset", "krlc dump py counter.krl")
    dump.add_argument("stage", choices=STAGES, metavar="STAGE", help=" | ".join(STAGES))
    dump.add_argument("file", metavar="FILE", help="a KRL file; - is standard input")
    dump.add_argument("--dot", action="store_true", help="automata as graphs in the dot language")

    explain = command("explain", _explain, "show the page of a code", "krlc explain K0301")
    explain.add_argument("code", metavar="CODE", help="a diagnostic code such as K0301")
    return parser


# --- Commands -------------------------------------------------------------------------------------


def _build(options: argparse.Namespace) -> int:
    from krlc.picotypes import SUFFIX

    sources = [name for name in options.files if not name.endswith(SUFFIX)]
    compiled = _compile_all(sources, is_url_name=True)
    total = _Total()
    for one in compiled:
        shown = [d for d in one.diagnostics if d.severity == "error" or not options.quiet]
        total.add(shown, one.source, sys.stderr)
    if total.exit_code:
        total.print_summary(len(compiled))
        return total.exit_code
    from krlc.bundle import identity, write_bundle

    try:
        types = _read_types([name for name in options.files if name.endswith(SUFFIX)], compiled)
        data = write_bundle(compiled, types)
    except ValueError as error:
        raise _UsageError(str(error)) from None
    name = options.output
    if name is None:
        if len(compiled) > 1:
            raise _UsageError("of several rulesets, say where they go: -o FILE.krlb")
        name = f"{compiled[0].rid}.krlb"
    target = Path(name)
    if target.suffix == ".krlb" and not target.is_dir():
        _write(target, data)
    else:
        _write_folder(target, data)
    if not options.quiet:
        count = f"{len(compiled)} ruleset{'s' if len(compiled) > 1 else ''}"
        if types:
            count += f", {len(types)} pico type{'s' if len(types) > 1 else ''}"
        print(f"{name}: {count}, {len(data):,} bytes, identity {identity(compiled, types)[:16]}")
    return OK


def _read_types(names: Sequence[str], compiled: Sequence[Compiled]) -> list[dict[str, Any]]:
    """The pico types of a bundle.

    Raises: PicoTypeError, a ValueError.
    """
    from krlc.picotypes import read_type

    rids = {one.rid for one in compiled}
    return [read_type(_read(name, name).text, name, rids) for name in names]


def _check(options: argparse.Namespace) -> int:
    compiled = _compile_all(options.files)
    if options.json:
        import json

        from krlc.diagnostics import in_order, to_json

        rows = [to_json(d, one.source) for one in compiled for d in in_order(one.diagnostics)]
        print(json.dumps(rows, indent=2))
        total = _Total()
        total.count(d for one in compiled for d in one.diagnostics)
        return total.exit_code
    total = _Total()
    for one in compiled:
        total.add(one.diagnostics, one.source, sys.stdout)
    total.print_summary(len(compiled))
    return total.exit_code


def _fmt(options: argparse.Namespace) -> int:
    from krlc.parser import parse
    from krlc.printer import format_source

    total, changed = _Total(), 0
    for name in _with_progress(options.files, "formatting"):
        source = _read(name, name)
        _, found = parse(source)
        if found:
            total.add(found, source, sys.stderr)
            continue
        text = format_source(source)
        if options.check:
            if text != source.text:
                changed += 1
                print(f"{name}: not in canonical form")
        elif options.stdout or name == "-":
            sys.stdout.write(text)
        elif text != source.text:
            _write(Path(os.path.realpath(name)), text.encode("utf-8"))
    return total.exit_code or (ERRORS if changed else OK)


def _dump(options: argparse.Namespace) -> int:
    from krlc import compile_source, dump

    if options.dot and options.stage != "automata":
        raise _UsageError("--dot goes with the stage `automata`")
    source = _read(options.file, options.file)
    text = dump("dot" if options.dot else options.stage, source)
    sys.stdout.write(text)
    if text:
        return OK
    compiled = compile_source(source.text, source.url)
    total = _Total()
    total.add(compiled.diagnostics, compiled.source, sys.stderr)
    return total.exit_code


def _explain(options: argparse.Namespace) -> int:
    from krlc.codes import explain, nearest_code

    text = explain(options.code)
    if text is None:
        if re.fullmatch(r"[Rr]\d{4}", options.code):
            raise _UsageError(
                f"{options.code.upper()} is a code of the engine, whose messages say what to do; "
                "krlc explains codes that begin with K"
            )
        near = nearest_code(options.code)
        raise _UsageError(f"there is no code {options.code}; the nearest is {near}")
    sys.stdout.write(text)
    return OK


# --- What commands share --------------------------------------------------------------------------


class _Total:
    """Counts what is reported, and knows the exit code that follows."""

    def __init__(self) -> None:
        self.errors = 0
        self.warnings = 0
        self.is_internal = False

    def count(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Count without printing."""
        for diagnostic in diagnostics:
            self.errors += diagnostic.severity == "error"
            self.warnings += diagnostic.severity == "warning"
            self.is_internal |= diagnostic.code == "K0901"

    def add(self, diagnostics: Sequence[Diagnostic], source: Source, stream: object) -> None:
        """Print the diagnostics of one source, and count them."""
        from krlc.diagnostics import render

        self.count(diagnostics)
        is_colored = bool(getattr(stream, "isatty", bool)()) and "NO_COLOR" not in os.environ
        text = render(diagnostics, source, color=is_colored)
        if text:
            print(text, file=stream)  # type: ignore[call-overload]

    @property
    def exit_code(self) -> int:
        """The exit code these diagnostics ask for."""
        if self.is_internal:
            return INTERNAL
        return ERRORS if self.errors else OK

    def print_summary(self, files: int) -> None:
        """Say on standard error how many of each there were, if any."""
        if not self.errors and not self.warnings:
            return
        counts = [
            f"{number} {word}{'' if number == 1 else 's'}"
            for number, word in ((self.errors, "error"), (self.warnings, "warning"))
            if number
        ]
        where = "" if files == 1 else f" in {files} files"
        print(f"{', '.join(counts)}{where}", file=sys.stderr)


def _compile_all(names: Sequence[str], is_url_name: bool = False) -> list[Compiled]:
    """Compile files. A bundle's URLs are plain names: it must not depend on where it was made."""
    from krlc import compile_source

    compiled = []
    for name in _with_progress(names, "compiling"):
        source = _read(name, Path(name).name if is_url_name and name != "-" else name)
        compiled.append(compile_source(source.text, source.url))
    return compiled


def _with_progress(items: Sequence[_T], what: str) -> Iterable[_T]:
    """Show a progress bar when somebody watches and it takes more than two seconds."""
    if len(items) < 2 or not sys.stderr.isatty():
        return items
    from tqdm import tqdm

    bar: Iterable[_T] = tqdm(items, desc=what, unit="file", delay=2, leave=False)
    return bar


def _read(name: str, url: str) -> Source:
    from krlc.source import Source

    try:
        if name == "-":
            data, url = sys.stdin.buffer.read(SOURCE_BYTES_MAX + 1), "stdin"
        else:
            with open(name, "rb") as file:
                data = file.read(SOURCE_BYTES_MAX + 1)
    except OSError as error:
        raise _UsageError(f"cannot read {name}: {error.strerror}") from None
    if len(data) > SOURCE_BYTES_MAX:
        raise _UsageError(f"{name} is longer than {SOURCE_BYTES_MAX:,} bytes")
    try:
        return Source(data.decode("utf-8"), url)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _UsageError(f"{name} is not UTF-8: line {line}, byte {error.start}") from None


def _write(path: Path, data: bytes) -> None:
    """Replace a file by new content, whole or not at all; its permissions stay."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
        if path.exists():
            os.chmod(temporary, path.stat().st_mode & 0o7777)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _UsageError(f"cannot write {path}: {error.strerror}") from None


def _write_folder(folder: Path, data: bytes) -> None:
    """Write a bundle's files into a folder."""
    import io
    import zipfile

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for entry in archive.infolist():
            path = folder / entry.filename
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise _UsageError(
                    f"cannot make the folder {path.parent}: {error.strerror}"
                ) from None
            _write(path, archive.read(entry))


if __name__ == "__main__":
    sys.exit(main())
