"""What each workload asks, what the answers have to be, and the rows that one operation leaves.

In: an ECI, or the number of an operation. Out: requests that ours and the limit row share, and the
batches the limit row writes: as many rows, and as long, as the engine's. Not here: how our engine
is set up for them (workloads.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.limit import Directives, Plan, Request
from runtime.channel import OPEN, Channel
from runtime.layer import Layer
from runtime.pico import Install, Structure, structure_rows
from runtime.store import (
    Batch,
    answer_key,
    automata_key,
    channel_key,
    child_key,
    eci_key,
    encode_record,
    head_key,
    inbox_key,
    variable_key,
)

# Ids of the real length, so that the rows of the limit row have the size of the engine's.
PICO = "c00" + "p" * 25
ECI = "c00" + "e" * 25
KIDS = 100
HOPS = 1000


def url_of(name: str) -> str:
    """The URL under which a ruleset of the benchmark is known."""
    return f"http://rulesets.invalid/{name}.krl"


# --- Requests -------------------------------------------------------------------------------------


def hello_requests(eci: str) -> list[Request]:
    """W1: one event, one directive."""
    return [Request(eci, "echo", "hello", {"name": "Bob"}, (("hello", {"name": "Bob"}),))]


def salience_requests(rules: int, eci: str) -> list[Request]:
    """Each rule once, in an order that jumps about."""
    order = [(k * 7919) % rules for k in range(1, rules + 1)]
    return [Request(eci, f"d{i % 10}", f"e{i // 10}", {}, (("r", {"i": i}),)) for i in order]


def expression_requests(eci: str) -> list[Request]:
    """The fixed cycle of 16 events, and what fires at each place of it."""
    good = {"amount": "42", "sku": "AB-1234"}
    bad = {"amount": "x", "sku": "AB-1234"}
    order: Directives = (("order", {"amount": "42", "kind": "AB", "num": "1234"}),)
    cycle: list[tuple[str, dict[str, Any], Directives]] = [
        ("a", {}, ()),
        ("tick", {}, ()),
        ("x", {}, ()),
        ("order", good, order),
        ("b", {}, (("a_then_b", {}),)),
        ("p", {}, ()),
        ("tick", {}, ()),
        ("order", bad, ()),
        ("q", {}, (("p_before_q", {}),)),
        ("z", {}, (("any2of3", {}),)),
        ("tick", {}, ()),
        ("a", {}, ()),
        ("tick", {}, ()),
        ("b", {}, (("a_then_b", {}),)),
        ("tick", {}, (("count5", {}),)),
        ("order", good, order),
    ]
    return [Request(eci, "ex", name, attrs, expected) for name, attrs, expected in cycle]


def chain_requests(eci: str) -> list[Request]:
    """W7: an event that raises the next, ten in all."""
    return [Request(eci, "chain", "step", {"left": 9}, (("chain_end", {}),))]


def burst_requests(eci: str) -> list[Request]:
    """W7: an event on which one rule raises ten."""
    # 1.range(10) is 1 to 10.
    expected = tuple(("burst_one", {"i": i}) for i in range(1, 11))
    return [Request(eci, "burst", "start", {}, expected)]


def entry_requests(size: int, eci: str) -> list[Request]:
    """Entries of a map of so many, one after the other, jumping about; the first is `key1`."""
    keys = [(k * 7919) % size + 1 for k in range(min(size, 1000))]
    return [Request(eci, "entries", "set", {"key": f"key{key}"}) for key in keys]


def entries(size: int = 100) -> dict[str, Any]:
    """A map of so many entries."""
    return {f"key{i}": {"id": i, "name": f"entry {i}", "on": True} for i in range(1, size + 1)}


def all_request(eci: str) -> Request:
    """W8: the whole map."""

    def check(got: Any) -> bool:
        return type(got) is dict and len(got) == 100 and got["key100"]["name"] == "entry 100"

    return Request(eci, "bench.query", "all", {}, check=check, value=entries())


def one_request(eci: str) -> Request:
    """W8: one entry of the map."""
    value = entries()["key50"]
    return Request(
        eci,
        "bench.query",
        "one",
        {"key": "key50"},
        check=lambda got: bool(got == value),
        value=value,
    )


# --- What the limit row stores --------------------------------------------------------------------


def plan(
    requests: Callable[[str], list[Request]],
    rows: Callable[[int, Request], Batch] | None = None,
    *,
    inner: int = 0,
    merge: bool = False,
) -> Callable[[], Plan]:
    """Make plans for a limit row, with the ECI of no engine."""
    return lambda: Plan(requests(ECI), rows, inner=inner, merge=merge)


def counter_rows(number: int, _: Request) -> Batch:
    """W2 on one pico: the variable."""
    key = variable_key(PICO, "bench.counter", "n")
    return [("pico", key, encode_record(number))]


def spread_rows(picos: int, number: int, _: Request) -> Batch:
    """W2 on many picos: the variable of one of them."""
    key = variable_key(f"{PICO[:-4]}{number % picos:04}", "bench.counter", "n")
    return [("pico", key, encode_record(number))]


def entry_rows(number: int, request: Request) -> Batch:
    """A changed entry of a map: the entry, and the count beside it."""
    entry = {"id": number, "name": "changed", "on": False}
    key = f"map\0{request.attrs['key']}"
    return [
        ("pico", variable_key(PICO, "bench.entries", key), encode_record(entry)),
        ("pico", variable_key(PICO, "bench.entries", "n"), encode_record(number)),
    ]


def inc_requests(eci: str) -> list[Request]:
    """W2: an event without attributes."""
    return [Request(eci, "counter", "inc", {})]


def automata_rows(number: int, request: Request) -> Batch:
    """W4: the packed automata, for an event that moves one."""
    if request.name == "order":
        return []
    states = {f"bench.expr\0{name}": ["0" * 32, b"\1\2\3"] for name in ("a_then_b", "count5")}
    return [("pico", automata_key(PICO), encode_record(states))]


def level_rows(number: int, _: Request) -> Batch:
    """W5: the variable of each child."""
    value = encode_record(number)
    return [
        ("pico", variable_key(f"{PICO[:-2]}{kid:02}", "bench.controlled", "level"), value)
        for kid in range(KIDS)
    ]


def accepted_rows(number: int, request: Request) -> Batch:
    """W6: an accepted event put into an inbox, and the one before it removed."""
    record = encode_record([request.eci, request.domain, request.name, request.attrs, 0, ECI])
    return [
        ("inbox", inbox_key(number + 1, PICO), record),
        ("inbox", inbox_key(number, PICO), None),
    ]


def keyed_rows(
    rows: Callable[[int, Request], Batch] | None, number: int, request: Request
) -> Batch:
    """An event with an idempotency key: its rows, and the answer that is remembered."""
    directives = [[name, options] for name, options in request.expected]
    answer = encode_record([b"0" * 16, {"eid": ECI, "directives": directives}])
    remembered = ("answer", answer_key(0, PICO, ECI, f"session-{number}"), answer)
    return [*(rows(number, request) if rows else []), remembered]


_TWO = tuple(Install(name, "0" * 64, url_of(name), {}) for name in ("bench.hello", "bench.counter"))


def child_rows(number: int, _: Request) -> Batch:
    """What a new child leaves: its own rows, and its parent's about it."""
    child, parent_eci, child_eci = (f"c00{letter}{number:024}" for letter in "pqc")
    channels = {
        child: Channel(child, child, ("system", "self"), OPEN, OPEN, child),
        child_eci: Channel(child_eci, child, ("system", "child"), OPEN, OPEN, PICO),
    }
    rows = structure_rows(child, None, Structure(parent_eci, _TWO, 0, Layer({}), Layer(channels)))
    family = Channel(parent_eci, PICO, ("system", "parent"), OPEN, OPEN, child)
    rows.append(("pico", head_key(PICO), encode_record([None, number, []])))
    rows.append(("pico", child_key(PICO, child_eci), encode_record([number, child])))
    rows.append(("pico", channel_key(PICO, parent_eci), encode_record(family.to_record())))
    rows.append(("eci", eci_key(parent_eci), encode_record(PICO)))
    return rows


def gone_rows(number: int, request: Request) -> Batch:
    """The keys of a new child, deleted; and the tombstone."""
    rows: Batch = [(family, key, None) for family, key, _ in child_rows(number + 1, request)]
    rows.append(("meta", f"grave:{number:025}".encode(), encode_record(0)))
    return rows


def create_requests(eci: str) -> list[Request]:
    """W9: a child with two rulesets."""
    attrs = {"url1": url_of("bench.hello"), "url2": url_of("bench.counter")}
    return [Request(eci, "family", "create", attrs, (("created", {"eci": ECI}),))]


def delete_requests(eci: str) -> list[Request]:
    """W9: a child deleted."""
    return [Request(eci, "family", "delete", {"eci": ECI})]


def start_requests(domain: str, name: str, count: int) -> Callable[[str], list[Request]]:
    """W5 and W6: an event that makes picos send."""
    return lambda eci: [Request(eci, domain, name, {"left": count})]
