"""`pico log` and `pico why`: what happened, and why a rule fired or did not.

In: a pico, an event, a rule. Out: what the history holds of them. Not here: `--follow`
(follow.py), the history itself (history.py) and the reasoning (why.py).
"""

import argparse
import sys
from typing import Any

from runtime.client_http import address
from runtime.commands.arguments import (
    EXIT_OK,
    Session,
    UsageError,
    add_client,
    one_line,
    print_json,
)


def add(commands: Any) -> None:
    """Put the two commands under `pico`."""
    _add_log(commands)
    _add_why(commands)


def _add_log(commands: Any) -> None:
    says = "show what happened, the last first"
    parser = add_client(commands, "log", says, "pico log root --limit 5", _log)
    parser.add_argument("eci", metavar="ECI", nargs="?", help="on this pico, or on all of them")
    parser.add_argument("--rule", metavar="R", help="where this rule, or rid:rule, was asked")
    parser.add_argument("--eid", metavar="E", help="this event only")
    parser.add_argument("--follow", action="store_true", help="show what happens from now on")
    parser.add_argument("--event", metavar="D:N", help="with --follow: this event; * for any")
    says = "with --follow: where rules log this or worse, or fault"
    levels = ("error", "warn", "klog", "info", "debug")
    parser.add_argument("--level", choices=levels, metavar="L", help=f"{says}: {', '.join(levels)}")
    parser.add_argument("--limit", type=_limit, default=20, metavar="N", help="so many (20)")
    parser.add_argument("--whole", action="store_true", help="show ECIs in full")


def _limit(text: str) -> int:
    if text.isdecimal() and len(text) < 10 and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"a whole number, 1 or more, not {text!r}")


def _add_why(commands: Any) -> None:
    says = "tell why a rule fired on an event, or why not"
    parser = add_client(commands, "why", says, "pico why root EID say_hello", _why)
    parser.add_argument("eci", metavar="ECI", help="a channel of the pico, or the word root")
    parser.add_argument("eid", metavar="EID", help="the event's id, from its answer or `pico log`")
    parser.add_argument("rule", metavar="RULE", nargs="?", help="a rule, or rid:rule; else all")


def _log(options: argparse.Namespace) -> int:
    if options.follow:
        from runtime.commands import follow

        return follow.run(options, _print_entry)
    if options.event is not None or options.level is not None:
        raise UsageError("--event and --level choose from what is to come; add --follow")
    asked = {"eci": options.eci, "rule": options.rule, "eid": options.eid}
    asked["limit"] = str(options.limit)
    if options.whole:
        asked["whole"] = "1"
    entries = Session(options).ask(address("/api/log", asked), needs_token=True)
    if options.json:
        print_json(entries)
        return EXIT_OK
    for entry in entries:
        _print_entry(entry)
    count = len(entries)
    shown = f"{count} event{'' if count == 1 else 's'}" if count else "nothing is known"
    print(f"{shown}; what is old was dropped, and the end may be missing after a crash")
    return EXIT_OK


def _print_entry(entry: dict[str, Any]) -> None:
    print(f"{_moment(entry['time_ms'])} {entry['eid']}  pico {entry['pico']}")
    print(f"  {entry['eci']} {_happening(entry)}")
    _print_rules(entry["rules"])
    for raised in entry["raised"]:
        print(f"  raised {_happening(raised)}")
        _print_rules(raised["rules"])
    sys.stdout.flush()


def _moment(ms: int) -> str:
    from runtime.dates import iso_text

    return iso_text(ms)


def _happening(entry: dict[str, Any]) -> str:
    attrs = entry["attrs"]
    shown = f"({attrs} bytes of attributes)" if isinstance(attrs, int) else one_line(attrs)
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
        for note in rule.get("logs", ()):
            print(f"      {note['level']}: {note['text']}")


def _position(packed: Any) -> Any:
    """The control state of an automaton, from its packed state."""
    return packed[0] if isinstance(packed, list) else packed


def _why(options: argparse.Namespace) -> int:
    asked = {"eci": options.eci, "eid": options.eid, "rule": options.rule}
    answer = Session(options).ask(address("/api/why", asked), needs_token=True)
    if options.json:
        print_json(answer)
        return EXIT_OK
    print(f"{_moment(answer['time_ms'])} {answer['domain']}:{answer['name']} ({answer['eid']})")
    for sentence in answer["text"]:
        print(sentence)
    return EXIT_OK
