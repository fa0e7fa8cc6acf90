"""The command `pico`: serve an engine, or talk to one.

In: arguments and environment. Out: text for people, or one JSON document with `--json`; and an
exit code:

0  done
1  the engine answered with an error, or rules faulted
2  the command line is not right
3  the engine cannot start, or cannot be reached

Invariant: no traceback for anything a user did. Heavy modules are imported by the command that
needs them, so that small commands start fast. Not here: what each command does (commands/), the
engine (library.py), HTTP requests (client_http.py).
"""

import argparse
import sys
from collections.abc import Callable, Sequence

from runtime.client_http import Refused, Unreachable
from runtime.commands import bench, deploy, keep, log, move, serve, show, talk
from runtime.commands.arguments import (
    EXIT_CODES,
    EXIT_OK,
    EXIT_REFUSED,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    UsageError,
    complain,
)
from runtime.errors import Fault

# In the order in which `pico --help` lists them.
_COMMANDS = (serve, deploy, talk, show, log, keep, move, bench)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code."""
    parser = _parser()
    options, rest = parser.parse_known_args(argv)
    # argparse takes no name=value arguments after an option that follows a positional one.
    if rest and (not hasattr(options, "pairs") or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.pairs += rest
    run: Callable[[argparse.Namespace], int] | None = getattr(options, "run", None)
    if run is None:
        parser.print_help()
        return EXIT_USAGE
    try:
        return run(options)
    except UsageError as error:
        print(f"pico: {error}", file=sys.stderr)
        return EXIT_USAGE
    except Fault as fault:
        complain(options, fault.to_map() | {"error": fault.message})
        return EXIT_UNREACHABLE
    except Unreachable as error:
        complain(options, {"error": str(error), "hint": error.hint})
        return EXIT_UNREACHABLE
    except Refused as refused:
        complain(options, {"error": str(refused), **refused.answer})
        return EXIT_REFUSED
    except BrokenPipeError:
        # Whoever read the output has seen enough.
        sys.stderr.close()
        return EXIT_OK
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pico",
        description="Serve picos, deploy rulesets to them, send them events and ask them.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("--version", action="store_true", help="print the version and stop")
    parser.set_defaults(run=_version_or_help(parser))
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for module in _COMMANDS:
        module.add(commands)
    return parser


def _version_or_help(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], int]:
    def run(options: argparse.Namespace) -> int:
        if not options.version:
            parser.print_help(sys.stderr)
            return EXIT_USAGE
        from runtime.compiler import COMPILER_VERSION

        print(f"pico {COMPILER_VERSION}")
        return EXIT_OK

    return run
