"""What a pico did, as log records: its turns, the rules that were selected, what they said.

In: entries of the history, newest first. Out: records as the reference's engine logs them, oldest
first: a `txnQueued` with the event, then for each rule `rule selected`, its own words, `fired` or
`not fired`; `event added to schedule` before what a raised event did. ECIs are shortened. Not here:
what is kept (history.py). Source: engine reference 7.5 and appendix B.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from runtime.history import shortened, words_of

Record = dict[str, Any]


def traces_of(entries: Sequence[dict[str, Any]]) -> list[Record]:
    """All records of some turns.

    Shapes: {level, time_ms, txnId, msg} and, as the message has them, rid, rule_name, txn, event.
    """
    return [record for entry in reversed(entries) for record in _turn(shortened(entry))]


def _turn(entry: dict[str, Any]) -> Iterator[Record]:
    place = {"time_ms": entry["time_ms"], "txnId": entry["eid"]}
    queued = {"id": entry["eid"], "kind": "event", "event": _event(entry, entry)}
    yield {"level": "debug", **place, "msg": "txnQueued", "txn": queued}
    yield from _rules(entry, place)
    for raised in entry["raised"]:
        event = _event(entry, raised)
        yield {"level": "debug", **place, "msg": "event added to schedule", "event": event}
        yield from _rules(raised, place)


def _event(entry: dict[str, Any], happening: dict[str, Any]) -> Record:
    return {
        "eci": entry["eci"],
        "domain": happening["domain"],
        "name": happening["name"],
        "data": {"attrs": happening["attrs"]},
    }


def _rules(happening: dict[str, Any], place: Record) -> Iterator[Record]:
    for rule in happening["rules"]:
        where = {**place, "rid": rule["rid"]}
        outcome = rule["outcome"]
        if outcome == "not selected":
            continue
        named = {"rule_name": rule["rule"]}
        yield {"level": "debug", **where, "msg": "rule selected", **named}
        for said in rule.get("logs", ()):
            yield {"level": said["level"], **where, "rid": said["rid"], "msg": words_of(said)}
        if "fault" in rule:
            yield {"level": "error", **where, "msg": rule["fault"]["message"], **named}
        else:
            yield {"level": "debug", **where, "msg": outcome}
