"""The command `pico`: serve an engine, or talk to one.

In: arguments and environment. Out: text for people, or one JSON document with `--json`; and an
exit code:

0  done
1  the engine answered with an error, or rules faulted
2  the command line is not right
3  the engine cannot start, or cannot be reached

Invariant: no traceback for anything a user did. Heavy modules are imported by the command that
needs them, so that small commands start fast. Not here: the engine (library.py), HTTP requests
(client_http.py).
"""

import argparse
import json
import sys
from base64 import b64encode
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from runtime.client_http import Refused, Target, Unreachable, address, ask, find_engine, path
from runtime.errors import Fault

EXIT_OK, EXIT_REFUSED, EXIT_USAGE, EXIT_UNREACHABLE = 0, 1, 2, 3
_EXIT_CODES = (
    "exit codes: 0 done; 1 the engine answered with an error; 2 the command line is not right; "
    "3 the engine cannot start or cannot be reached"
)
_INTEGER_MAX = 1 << 53


class _UsageError(Exception):
    """Something on the command line that argparse cannot see; the text says what to do."""


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
    except _UsageError as error:
        print(f"pico: {error}", file=sys.stderr)
        return EXIT_USAGE
    except Fault as fault:
        _complain(options, fault.to_map() | {"error": fault.message})
        return EXIT_UNREACHABLE
    except Unreachable as error:
        _complain(options, {"error": str(error), "hint": error.hint})
        return EXIT_UNREACHABLE
    except Refused as refused:
        _complain(options, {"error": str(refused), **refused.answer})
        return EXIT_REFUSED
    except BrokenPipeError:
        # Whoever read the output has seen enough.
        sys.stderr.close()
        return EXIT_OK
    except KeyboardInterrupt:
        return 130


# ------------------------------------------------------------------------------- the arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pico",
        description="Serve picos, deploy rulesets to them, send them events and ask them.",
        epilog=_EXIT_CODES,
    )
    parser.add_argument("--version", action="store_true", help="print the version and stop")
    parser.set_defaults(run=_version_or_help(parser))
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_serve(commands)
    _add_deploy(commands)
    _add_event(commands)
    _add_query(commands)
    _add_show(commands)
    _add_log(commands)
    _add_why(commands)
    return parser


def _version_or_help(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], int]:
    def run(options: argparse.Namespace) -> int:
        if not options.version:
            parser.print_help(sys.stderr)
            return EXIT_USAGE
        from runtime.server import engine_version

        print(f"pico {engine_version()}")
        return EXIT_OK

    return run


def _add(commands: Any, name: str, says: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=says,
        description=f"{says[0].upper()}{says[1:]}.",
        epilog=f"example:  {example}\n\n{_EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--home", metavar="DIR", help="the engine's data folder (~/.picos)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def _add_client(
    commands: Any, name: str, says: str, example: str, run: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    parser = _add(commands, name, says, example)
    parser.add_argument("--port", type=_port, help="the engine's port on this machine")
    parser.add_argument(
        "--timeout", type=float, default=60.0, metavar="SECONDS", help="wait so long (60)"
    )
    parser.set_defaults(run=run)
    return parser


def _add_serve(commands: Any) -> None:
    example = "pico serve --home ./picos --port 3000"
    parser = _add(commands, "serve", "run an engine until it is told to stop", example)
    parser.add_argument("--port", type=_port, default=3000, help="listen here (3000); 0: any free")
    parser.add_argument("--host", default="127.0.0.1", help="listen at this address (127.0.0.1)")
    parser.add_argument(
        "--channel-port",
        type=_channel_port,
        default=-1,
        metavar="PORT",
        help="listen for channels here (the port above --port); 0: any free; none: nowhere",
    )
    parser.add_argument("--channel-socket", metavar="PATH", help="and at this Unix socket")
    parser.add_argument(
        "--trust-time", action="store_true", help="channel clients may set the time of events"
    )
    parser.add_argument(
        "--durability",
        choices=("fsync", "os", "none"),
        default="fsync",
        help="what an answer survives: fsync everything, os a killed process, none nothing",
    )
    parser.add_argument(
        "--memory", type=_size, default=256 << 20, metavar="SIZE", help="cache of the store (256M)"
    )
    parser.add_argument(
        "--history",
        choices=("full", "off"),
        default="full",
        help="keep what happened for `pico log` and `pico why`, or do not",
    )
    parser.add_argument("--base-url", default="", help="the public address, behind a proxy")
    parser.add_argument(
        "--compat-status", action="store_true", help="status 200 also for errors, as Node does"
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but warnings")
    parser.set_defaults(run=_serve)


def _add_deploy(commands: Any) -> None:
    says = "install a ruleset, or a new version of it"
    parser = _add_client(commands, "deploy", says, "pico deploy counter.krl", _deploy)
    parser.add_argument("file", metavar="FILE|URL", help="a .krl file, a .krlb bundle, or a URL")
    parser.add_argument("--pico", metavar="ECI", default="root", help="on this pico (root)")
    parser.add_argument("--config", metavar="JSON", help="the ruleset's configuration, a map")


def _add_event(commands: Any) -> None:
    example = "pico event root counter bump by=2"
    parser = _add_client(
        commands, "event", "send an event and wait for its answer", example, _event
    )
    parser.add_argument("eci", metavar="ECI", help="the channel, or the word root")
    parser.add_argument("domain", metavar="DOMAIN")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("pairs", metavar="ATTR=VALUE", nargs="*", help="JSON, or else text")
    parser.add_argument("--json-attrs", metavar="JSON", help="the attributes as a JSON map")
    parser.add_argument(
        "--async", dest="is_async", action="store_true", help="do not wait for the rules"
    )


def _add_query(commands: Any) -> None:
    example = "pico query root counters value"
    parser = _add_client(commands, "query", "ask a function that a ruleset shares", example, _query)
    parser.add_argument("eci", metavar="ECI", help="the channel, or the word root")
    parser.add_argument("rid", metavar="RID")
    parser.add_argument("name", metavar="FUNCTION")
    parser.add_argument("pairs", metavar="ARG=VALUE", nargs="*", help="JSON, or else text")


def _add_show(commands: Any) -> None:
    says = "show the tree of picos, or one of them in detail"
    parser = _add_client(commands, "show", says, "pico show root", _show)
    parser.add_argument("eci", metavar="ECI", nargs="?", help="a channel, or the word root")
    parser.add_argument(
        "--salience", action="store_true", help="which rules listen for which events, in order"
    )


def _add_log(commands: Any) -> None:
    says = "show what happened, the last first"
    parser = _add_client(commands, "log", says, "pico log root --limit 5", _log)
    parser.add_argument("eci", metavar="ECI", nargs="?", help="on this pico, or on all of them")
    parser.add_argument("--rule", metavar="R", help="where this rule, or rid:rule, was asked")
    parser.add_argument("--eid", metavar="E", help="this event only")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="so many (20)")
    parser.add_argument("--whole", action="store_true", help="show ECIs in full")


def _add_why(commands: Any) -> None:
    says = "tell why a rule fired on an event, or why not"
    parser = _add_client(commands, "why", says, "pico why root EID say_hello", _why)
    parser.add_argument("eci", metavar="ECI", help="a channel of the pico, or the word root")
    parser.add_argument("eid", metavar="EID", help="the event's id, from its answer or `pico log`")
    parser.add_argument("rule", metavar="RULE", nargs="?", help="a rule, or rid:rule; else all")


def _port(text: str) -> int:
    if text.isdecimal() and int(text) < 65536:
        return int(text)
    raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text!r}")


def _channel_port(text: str) -> int | None:
    return None if text == "none" else _port(text)


def _size(text: str) -> int:
    """A size such as 256M, in bytes."""
    number, unit = text[:-1], text[-1:].upper()
    if unit.isdecimal():
        number, unit = text, ""
    factors = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    if not number.isdecimal() or unit not in factors or int(number) * factors[unit] < 8 << 20:
        message = f"a size is a number with K, M or G, at least 8M, not {text!r}"
        raise argparse.ArgumentTypeError(message)
    return int(number) * factors[unit]


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

    Raises: _UsageError for an argument without a name or an equals sign.
    """
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise _UsageError(f"{pair!r} is not of the form name=value")
        found[name] = parse_value(value)
    return found


def _json_map(text: str | None, what: str) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _UsageError(f"{what} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise _UsageError(f'{what} is no JSON map; it should look like {{"name": "value"}}')
    return value


# -------------------------------------------------------------------------------- the commands


def _serve(options: argparse.Namespace) -> int:
    import logging

    from runtime.home import default_home
    from runtime.server import Running, ServeSettings, engine_version, run

    logging.basicConfig(
        level=logging.WARNING if options.quiet else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )

    def tell(running: Running) -> None:
        home = running.home.path
        channels = "".join(f"  channels     {url}\n" for url in running.channels)
        if options.json:
            found = {"url": running.url, "home": str(home), "channels": running.channels}
            print(json.dumps(found), flush=True)
        elif not options.quiet:
            print(
                f"pico {engine_version()} listens at {running.url}\n{channels}"
                f"  data folder  {home} (durability: {options.durability})\n"
                "  root pico    the word root, wherever a command wants an ECI\n"
                f"  try          pico show --home {home}\n"
                f"               pico deploy FILE.krl --home {home}\n"
                "Stop it with Ctrl-C.",
                flush=True,
            )

    channel_port = options.channel_port
    if channel_port == -1:
        channel_port = (options.port + 1) % 65536 if options.port else 0
    settings = ServeSettings(
        home=options.home or str(default_home()),
        host=options.host,
        port=options.port,
        durability=options.durability,
        memory_bytes=options.memory,
        compat_status=options.compat_status,
        base_url=options.base_url.rstrip("/"),
        history=options.history,
        channel_port=channel_port,
        channel_socket=options.channel_socket or "",
        trust_time=options.trust_time,
    )
    run(settings, tell)
    return EXIT_OK


class _Session:
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


def _deploy(options: argparse.Namespace) -> int:
    fields: dict[str, Any] = {"eci": options.pico}
    if options.config is not None:
        fields["config"] = _json_map(options.config, "--config")
    fields |= _to_install(options.file)
    answer = _Session(options).ask("/api/install", fields, needs_token=True)
    if options.json:
        _print_json(answer)
    else:
        print(f"installed {answer['rid']}\n  url      {answer['url']}\n  hash     {answer['hash']}")
        print(f"  channel  {answer['eci']}")
    return EXIT_OK


def _to_install(given: str) -> dict[str, Any]:
    """What to send for a file or URL.

    Raises: _UsageError when the file cannot be read.
    """
    if "://" in given or given.startswith("file:"):
        return {"url": given}
    file = Path(given)
    try:
        content = file.read_bytes()
        if file.suffix == ".krlb":
            return {"bundle": b64encode(content).decode("ascii")}
        return {"source": content.decode(), "url": file.resolve().as_uri()}
    except OSError as error:
        raise _UsageError(f"{given} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise _UsageError(f"{given} is not UTF-8 text: {error.reason} at {error.start}") from None


def _event(options: argparse.Namespace) -> int:
    attrs = _json_map(options.json_attrs, "--json-attrs") | parse_pairs(options.pairs)
    session = _Session(options)
    eci = session.eci(options.eci)
    form = "event" if options.is_async else "event-wait"
    answer = session.ask(path("c", eci, form, options.domain, options.name), attrs)
    if options.json:
        _print_json({"eid": answer} if options.is_async else answer)
        return EXIT_OK
    if options.is_async:
        print(answer)
        return EXIT_OK
    print(f"eid {answer['eid']}")
    for directive in answer["directives"]:
        _print_directive(directive)
    return EXIT_OK


def _print_directive(directive: dict[str, Any]) -> None:
    options = directive.get("options")
    shown = json.dumps(options, ensure_ascii=False) if options else ""
    meta = directive.get("meta") or {}
    print(f"  {directive['name']} {shown}  ({meta.get('rid')}: {meta.get('rule_name')})")


def _query(options: argparse.Namespace) -> int:
    args = parse_pairs(options.pairs)
    session = _Session(options)
    value = session.ask(
        path("c", session.eci(options.eci), "query", options.rid, options.name), args
    )
    if isinstance(value, str) and not options.json:
        print(value)
    else:
        _print_json(value)
    return EXIT_OK


def _show(options: argparse.Namespace) -> int:
    session = _Session(options)
    asked = {"eci": options.eci}
    if options.salience:
        asked["salience"] = "1"
    answer = session.ask(address("/api/show", asked), needs_token=True)
    if options.json:
        _print_json(answer)
    elif options.salience:
        for event, rules in answer["events"].items():
            print(event)
            for rule in rules:
                print(f"  {rule['rid']} : {rule['rule']} (line {rule['line']})")
    elif "root" in answer:
        if answer.get("failure"):
            print(f"the engine has stopped: {answer['failure']}")
        _print_tree(answer["root"])
    else:
        _print_detail(answer)
    return EXIT_OK


def _log(options: argparse.Namespace) -> int:
    asked = {"eci": options.eci, "rule": options.rule, "eid": options.eid}
    asked["limit"] = str(options.limit)
    if options.whole:
        asked["whole"] = "1"
    entries = _Session(options).ask(address("/api/log", asked), needs_token=True)
    if options.json:
        _print_json(entries)
        return EXIT_OK
    for entry in entries:
        print(f"{_moment(entry['time_ms'])} {entry['eid']}  pico {entry['pico']}")
        print(f"  {entry['eci']} {_happening(entry)}")
        _print_rules(entry["rules"])
        for raised in entry["raised"]:
            print(f"  raised {_happening(raised)}")
            _print_rules(raised["rules"])
    count = len(entries)
    shown = f"{count} event{'' if count == 1 else 's'}" if count else "nothing is known"
    print(f"{shown}; what is old was dropped, and the end may be missing after a crash")
    return EXIT_OK


def _moment(ms: int) -> str:
    from runtime.dates import iso_text

    return iso_text(ms)


def _happening(entry: dict[str, Any]) -> str:
    attrs = entry["attrs"]
    shown = f"({attrs} bytes of attributes)" if isinstance(attrs, int) else _one_line(attrs)
    return f"{entry['domain']}:{entry['name']} {shown}"


def _print_rules(rules: list[dict[str, Any]]) -> None:
    for rule in rules:
        said = [rule["outcome"]]
        before, after = (_position(rule.get(when)) for when in ("before", "after"))
        if before != after:
            said.append(f"position {before} to {after}")
        if "fault" in rule:
            fault = rule["fault"]
            said.append(f"{fault['code']} in line {fault['line']}: {fault['message']}")
        said += [f"directive {name}" for name in rule.get("directives", ())]
        said += [f"sent {s['domain']}:{s['name']} to {s['eci']}" for s in rule.get("sends", ())]
        said += [f"raised {name}, which nobody hears" for name in rule.get("unheard", ())]
        if "ended" in rule:
            said.append(f"ended by {rule['ended']}")
        print(f"    {rule['rid']} : {rule['rule']}  {'; '.join(said)}")


def _position(packed: Any) -> Any:
    """The control state of an automaton, from its packed state."""
    return packed[0] if isinstance(packed, list) else packed


def _why(options: argparse.Namespace) -> int:
    asked = {"eci": options.eci, "eid": options.eid, "rule": options.rule}
    answer = _Session(options).ask(address("/api/why", asked), needs_token=True)
    if options.json:
        _print_json(answer)
        return EXIT_OK
    print(f"{_moment(answer['time_ms'])} {answer['domain']}:{answer['name']} ({answer['eid']})")
    for sentence in answer["text"]:
        print(sentence)
    return EXIT_OK


def _print_tree(root: dict[str, Any]) -> None:
    pending = [(root, "")]
    while pending:
        pico, indent = pending.pop()
        waiting = f", {pico['waiting']} waiting" if pico.get("waiting") else ""
        rulesets = " ".join(pico["rulesets"]) or "no rulesets"
        print(f"{indent}pico {pico['id']}  channel {pico['eci'] or '-'}{waiting}")
        print(f"{indent}  {rulesets}")
        pending += [(child, indent + "    ") for child in reversed(pico["children"])]


def _print_detail(answer: dict[str, Any]) -> None:
    for name, value in answer.items():
        if isinstance(value, list):
            print(f"{name}:{'' if value else ' none'}")
            for item in value:
                shown = item.items() if isinstance(item, dict) else [("", item)]
                print("  " + "  ".join(f"{key} {_one_line(part)}" for key, part in shown))
        else:
            print(f"{name}: {_one_line(value)}")


def _one_line(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# ----------------------------------------------------------------------------------- the output


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=sys.stdout.encoding.lower() != "utf-8"))


def _complain(options: argparse.Namespace, answer: dict[str, Any]) -> None:
    """Say what went wrong: as JSON on the output, or for people on the error output."""
    if options.json:
        _print_json(answer)
        return
    # What went wrong inside rules is a list; what refused the request is the answer itself.
    for fault in answer.get("errors") or (answer,):
        code = f" {fault['code']}" if "code" in fault else ""
        place = ":".join(str(fault[name]) for name in ("rid", "line") if name in fault)
        rule = f" in rule {fault['rule']}" if "rule" in fault else ""
        text = str(fault.get("error") or "the engine gave no reason").removeprefix("Error: ")
        print(f"{place + ': ' if place else ''}error{code}{rule}: {text}", file=sys.stderr)
    if answer.get("hint"):
        print(f"   = hint: {answer['hint']}", file=sys.stderr)
