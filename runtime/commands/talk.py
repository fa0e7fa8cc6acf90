"""`pico event` and `pico query`: talk to a pico.

In: an ECI, the event or function, and pairs of names and values. Out: directives, or a value. Not
here: how values are written (arguments.py).
"""

import argparse
import json
import sys
from typing import Any

from runtime.client_http import Refused, path
from runtime.commands.arguments import (
    EXIT_OK,
    Session,
    add_client,
    json_map,
    parse_pairs,
    print_json,
)


def add(commands: Any) -> None:
    """Put the two commands under `pico`."""
    _add_event(commands)
    _add_query(commands)


def _add_event(commands: Any) -> None:
    example = "pico event root counter bump by=2"
    parser = add_client(commands, "event", "send an event and wait for its answer", example, _event)
    parser.add_argument("eci", metavar="ECI", help="the channel, or the word root")
    parser.add_argument("domain", metavar="DOMAIN")
    parser.add_argument("name", metavar="NAME")
    # The default is for argparse, which else says that there must be some.
    says = "JSON, or else text"
    parser.add_argument("pairs", metavar="ATTR=VALUE", nargs="*", default=[], help=says)
    parser.add_argument("--json-attrs", metavar="JSON", help="the attributes as a JSON map")
    parser.add_argument(
        "--async", dest="is_async", action="store_true", help="do not wait for the rules"
    )


def _add_query(commands: Any) -> None:
    example = "pico query root counters value"
    parser = add_client(commands, "query", "ask a function that a ruleset shares", example, _query)
    parser.add_argument("eci", metavar="ECI", help="the channel, or the word root")
    parser.add_argument("rid", metavar="RID")
    parser.add_argument("name", metavar="FUNCTION")
    says = "JSON, or else text"
    parser.add_argument("pairs", metavar="ARG=VALUE", nargs="*", default=[], help=says)


def _event(options: argparse.Namespace) -> int:
    attrs = json_map(options.json_attrs, "--json-attrs") | parse_pairs(options.pairs)
    session = Session(options)
    eci = session.eci(options.eci)
    form = "event" if options.is_async else "event-wait"
    try:
        answer = session.ask(path("c", eci, form, options.domain, options.name), attrs)
    except Refused as refused:
        # A rule failed; what the others did stays, and the eid is what `pico why` asks for.
        if "eid" in refused.answer and not options.json:
            _print_answer(refused.answer)
        raise
    if options.json:
        print_json({"eid": answer} if options.is_async else answer)
        return EXIT_OK
    if options.is_async:
        print(answer)
        return EXIT_OK
    _print_answer(answer)
    return EXIT_OK


def _print_answer(answer: dict[str, Any]) -> None:
    print(f"eid {answer['eid']}")
    for directive in answer.get("directives", ()):
        options = directive.get("options")
        shown = " " + json.dumps(options, ensure_ascii=False) if options else ""
        meta = directive.get("meta") or {}
        print(f"  {directive['name']}{shown}  ({meta.get('rid')}: {meta.get('rule_name')})")
    sys.stdout.flush()


def _query(options: argparse.Namespace) -> int:
    args = parse_pairs(options.pairs)
    session = Session(options)
    value = session.ask(
        path("c", session.eci(options.eci), "query", options.rid, options.name), args
    )
    if isinstance(value, str) and not options.json:
        print(value)
    else:
        print_json(value)
    return EXIT_OK
