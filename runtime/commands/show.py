"""`pico show`: the tree of picos, or one of them in detail.

In: an ECI, or none. Out: what the engine tells of it. Not here: the description (describe.py).
"""

import argparse
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
    says = "show the tree of picos, or one of them in detail"
    parser = add_client(commands, "show", says, "pico show root", _show)
    parser.add_argument("eci", metavar="ECI", nargs="?", help="a channel, or the word root")
    parser.add_argument(
        "--salience", action="store_true", help="which rules listen for which events, in order"
    )
    parser.add_argument(
        "--authority", action="store_true", help="who can reach whom, over which channels"
    )
    parser.add_argument("--dot", action="store_true", help="with --authority: for Graphviz")


def _show(options: argparse.Namespace) -> int:
    if options.dot and not options.authority:
        raise UsageError("--dot goes with --authority")
    session = Session(options)
    asked = {"eci": options.eci}
    if options.salience:
        asked["salience"] = "1"
    elif options.authority:
        asked["authority"] = "1"
    answer = session.ask(address("/api/show", asked), needs_token=True)
    if options.json:
        print_json(answer)
    elif options.authority:
        from runtime.authority import as_dot, as_text

        print(as_dot(answer) if options.dot else as_text(answer), end="")
    elif options.salience:
        for event, rules in answer["events"].items():
            print(event)
            for rule in rules:
                print(f"  {rule['rid']} : {rule['rule']} (line {rule['line']})")
    elif "root" in answer:
        if answer.get("failure"):
            print(f"the engine has stopped: {answer['failure']}")
        _print_tree(answer["root"])
        for queue in answer.get("outbox", ()):
            print_queue(queue)
    else:
        _print_detail(answer)
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


def print_queue(queue: dict[str, Any]) -> None:
    """What waits for one channel of another engine."""
    events = "1 event waits" if queue["events"] == 1 else f"{queue['events']} events wait"
    tries = f"; {queue['tries']} tries failed: {queue['why']}" if queue["tries"] else ""
    print(f"to {queue['host']}  channel {queue['eci']}  {events} (pico {queue['pico']}{tries})")


def _print_detail(answer: dict[str, Any]) -> None:
    for name, value in answer.items():
        if isinstance(value, list):
            print(f"{name}:{'' if value else ' none'}")
            for item in value:
                shown = item.items() if isinstance(item, dict) else [("", item)]
                print("  " + "  ".join(f"{key} {one_line(part)}" for key, part in shown))
        else:
            print(f"{name}: {one_line(value)}")
