"""What the commands share: options, the forms of values, exit codes, the session, the output.

In: the parser under which a command puts itself, and words from the command line. Out: options,
values, and text for people or one JSON document.

Invariant: what people typed wrong is a UsageError whose text says what to write instead. Not here:
any one command; HTTP requests (client_http.py).
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from runtime.client_http import Target, ask, find_engine

EXIT_OK, EXIT_REFUSED, EXIT_USAGE, EXIT_UNREACHABLE = 0, 1, 2, 3
EXIT_CODES = (
    "exit codes: 0 done; 1 the engine answered with an error; 2 the command line is not right; "
    "3 the engine cannot start or cannot be reached"
)
_INTEGER_MAX = 1 << 53
# More than this, some systems cannot wait for a socket.
_SECONDS_MAX = 1_000_000


class UsageError(Exception):
    """Something on the command line that argparse cannot see; the text says what to do."""


# --------------------------------------------------------------------------------- the options


def add_command(commands: Any, name: str, says: str, example: str) -> argparse.ArgumentParser:
    """Put a command under `pico`, with one example and the exit codes."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=says,
        description=f"{says[0].upper()}{says[1:]}.",
        epilog=f"example:  {example}\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--home", metavar="DIR", help="the engine's data folder (~/.picos)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def add_client(
    commands: Any,
    name: str,
    says: str,
    example: str,
    run: Callable[[argparse.Namespace], int],
    timeout_s: float = 60.0,
) -> argparse.ArgumentParser:
    """Put a command that talks to an engine under `pico`."""
    parser = add_command(commands, name, says, example)
    parser.add_argument("--port", type=port, help="the engine's port on this machine")
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=timeout_s,
        metavar="SECONDS",
        help=f"wait so long ({timeout_s:g})",
    )
    parser.set_defaults(run=run)
    return parser


def port(text: str) -> int:
    """A port, or an error for argparse."""
    if text.isdecimal() and int(text) < 65536:
        return int(text)
    raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text!r}")


def seconds(text: str) -> float:
    """A time to wait, or an error for argparse."""
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if 0 < found <= _SECONDS_MAX:
        return found
    message = f"a number of seconds, more than 0 and at most {_SECONDS_MAX:,}, not {text!r}"
    raise argparse.ArgumentTypeError(message)


# ---------------------------------------------------------------------------------- the values


def parse_value(text: str) -> Any:
    """A value from the command line: JSON, except that JSON strings and all else are plain text.

    Whole numbers that a double cannot hold stay text: they are names more often than numbers.
    """
    if not text or text[0] not in "-0123456789tfn{[":
        return text
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, int) and not -_INTEGER_MAX <= value <= _INTEGER_MAX:
        return text
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def parse_pairs(pairs: Sequence[str]) -> dict[str, Any]:
    """The map that `name=value` arguments make.

    Raises: UsageError for an argument without a name or an equals sign.
    """
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"{pair!r} is not of the form name=value")
        found[name] = parse_value(value)
    return found


def json_map(text: str | None, what: str) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{what} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise UsageError(f'{what} is no JSON map; it should look like {{"name": "value"}}')
    return value


# ------------------------------------------------------------------------ engine and output


class Session:
    """The engine that a command talks to, and its patience."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.target: Target = find_engine(options.home, options.port)
        self._timeout_s = options.timeout

    def ask(self, where: str, body: Any = None, *, needs_token: bool = False) -> Any:
        return ask(self.target, where, body, needs_token=needs_token, timeout_s=self._timeout_s)

    def eci(self, given: str) -> str:
        """The ECI itself, or the root pico's for the word root."""
        if given != "root":
            return given
        about = self.ask("/api/ui-context", needs_token=True)
        return str(about["eci"])


def one_line(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=sys.stdout.encoding.lower() != "utf-8"))


def complain(options: argparse.Namespace, answer: dict[str, Any]) -> None:
    """Say what went wrong: as JSON on the output, or for people on the error output."""
    if options.json:
        print_json(answer)
        return
    # What went wrong inside rules is a list; what refused the request is the answer itself.
    for fault in answer.get("errors") or (answer,):
        code = f" {fault['code']}" if "code" in fault else ""
        place = ":".join(str(fault[name]) for name in ("rid", "line") if name in fault)
        rule = f" in rule {fault['rule']}" if "rule" in fault else ""
        text = str(fault.get("error") or "the engine gave no reason").removeprefix("Error: ")
        print(f"{place + ': ' if place else ''}error{code}{rule}: {text}", file=sys.stderr)
    hint = str(answer.get("hint") or "").rstrip("\n")
    if "\n" in hint:
        # What a compiler says has places and hints of its own.
        print(f"\n{hint}", file=sys.stderr)
    elif hint:
        print(f"   = hint: {hint}", file=sys.stderr)
