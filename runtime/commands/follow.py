"""`pico log --follow`: what happens, as it happens, until it is interrupted.

In: the stream of an engine (client_http.py). Out: entries as `pico log` prints them, the oldest
first, or with `--json` one document a line; on the error output, what was missed and why.
Invariant: an engine that restarts is found again, and that it was away is said; only what it
refuses, or an interruption, ends this.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from runtime.client_http import Refused, Unreachable, address, find_engine, follow
from runtime.commands.arguments import EXIT_OK, UsageError

_WAIT_SECONDS, _WAIT_SECONDS_MAX = 0.2, 5.0
# What an engine says while it stops, or when it has too much to do: it may be asked again.
_PASSING = (429, 503)

Show = Callable[[dict[str, Any]], None]


def run(options: argparse.Namespace, show: Show, wait: Callable[[float], None] = time.sleep) -> int:
    """Show what happens until it is interrupted.

    Raises: UsageError; Refused and Unreachable when it cannot begin, Refused also later.
    """
    if options.eid is not None:
        raise UsageError("--eid names an event that has happened; leave out --follow")
    asked = {"follow": "1", "eci": options.eci, "rule": options.rule}
    asked |= {"event": options.event, "level": options.level}
    asked["whole"] = "1" if options.whole else None
    where = address("/api/log", asked)
    try:
        _follow(options, where, _show_json if options.json else show, wait)
    except KeyboardInterrupt:
        return EXIT_OK
    return EXIT_OK


def _follow(
    options: argparse.Namespace, where: str, show: Show, wait: Callable[[float], None]
) -> None:
    """One stream after another. Raises: as `run`, and KeyboardInterrupt."""
    has_begun = is_away = False
    wait_s = _WAIT_SECONDS
    while True:
        try:
            for shown in follow(find_engine(options.home, options.port), where, options.timeout):
                if shown.name == "begun":
                    if is_away:
                        _note(options, "the engine is back; `pico log` has what happened meanwhile")
                    has_begun, is_away, wait_s = True, False, _WAIT_SECONDS
                elif shown.name == "dropped":
                    count = shown.value["entries"]
                    _note(options, f"{count} entries were left out: this terminal was too slow")
                else:
                    show(shown.value)
        except (Unreachable, Refused) as error:
            passes = isinstance(error, Unreachable) or error.status in _PASSING
            if not has_begun or not passes:
                raise
        if not is_away:
            _note(options, "the engine has gone away; waiting until it is back")
        is_away = True
        wait(wait_s)
        wait_s = min(wait_s * 2, _WAIT_SECONDS_MAX)


def _show_json(entry: dict[str, Any]) -> None:
    text = json.dumps(entry, ensure_ascii=sys.stdout.encoding.lower() != "utf-8")
    print(text, flush=True)


def _note(options: argparse.Namespace, said: str) -> None:
    if options.json:
        print(json.dumps({"note": said}), flush=True)
    else:
        print(f"-- {said}", file=sys.stderr, flush=True)
