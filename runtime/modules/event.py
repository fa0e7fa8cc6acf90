"""The `event:` module: the event being handled, and sending events.

In: a context. Out: parts of its event (null outside one), and sends that leave when the turn
commits. Source: stdlib reference 13, engine reference 3.6.
"""

from __future__ import annotations

from typing import Any

from runtime.border import to_json
from runtime.context import Context
from runtime.errors import Fault, missing_part, no_map
from runtime.kinds import text
from runtime.turn import Send, Turn

__all__ = [
    "event_attr",
    "event_attrs",
    "event_domain",
    "event_eci",
    "event_eid",
    "event_name",
    "event_send",
    "event_time",
]


def event_attrs(cx: Context) -> Any:
    """`event:attrs`."""
    return None if cx.event is None else cx.event.attrs


def event_domain(cx: Context) -> Any:
    """`event:domain`."""
    return None if cx.event is None else cx.event.domain


def event_name(cx: Context) -> Any:
    """`event:name`."""
    return None if cx.event is None else cx.event.name


def event_eci(cx: Context) -> Any:
    """`event:eci`."""
    return None if cx.event is None else cx.event.eci


def event_eid(cx: Context) -> Any:
    """`event:eid`."""
    return None if cx.event is None else cx.event.eid


def event_time(cx: Context) -> Any:
    """`event:time`, milliseconds since the epoch."""
    return None if cx.event is None else cx.event.time_ms


def event_attr(cx: Context, name: Any = None, *_: Any) -> Any:
    """`event:attr(name)`."""
    return None if cx.event is None else cx.event.attrs.get(text(name))


def event_send(cx: Context, options: Any = None, host: Any = None, *_: Any) -> Any:
    """`event:send({eci, domain, name|type, attrs}, host)`: the event leaves when the turn commits.

    In place of `eci` a relationship may be given as `sub`: its `Tx` and `Tx_host` are used.
    Raises: R2001 when `options` is no map or the ECI no text, R1007 for a missing part.
    """
    if type(options) is not dict:
        raise Fault("R2001", f"event:send was given {text(options)} instead of a map")
    eci, sub = options.get("eci"), options.get("sub")
    if not eci and type(sub) is dict:
        eci, host = sub.get("Tx"), sub.get("Tx_host")
    if type(eci) is not str:
        raise Fault("R2001", f"eci was {text(eci)} instead of a string")
    name = options.get("name", options.get("type"))
    return send(cx, eci, options.get("domain"), name, options.get("attrs"), host)


def send(cx: Context, eci: str, domain: Any, name: Any, attrs: Any, host: Any) -> str:
    """Queue one event to leave; return its eid.

    Raises: R1007 for a missing part or attributes that are no map; R5001 for another host that
    cannot be one, R5002 when too much waits for it.
    """
    turn = cx.turn
    assert turn is not None
    for value, what in ((domain, "event.domain"), (name, "event.name")):
        if type(value) is not str or not value.strip():
            raise missing_part(what)
    if attrs is not None and type(attrs) is not dict:
        raise no_map("event.data.attrs")
    world = turn.world
    attrs = to_json(attrs or {})
    address = None
    if not is_here(turn, host):
        address = world.outbox.route(cx.pico.id, turn.sends, text(host), eci)
        # What a client said in its headers is not for strangers.
        attrs = {key: value for key, value in attrs.items() if key != "_headers"}
    eid = world.ids.eid()
    turn.send(Send(eci, domain.strip(), name.strip(), attrs, eid, address))
    return eid


def is_here(turn: Turn, host: Any) -> bool:
    """Whether a host is this engine; none, also a blank one, always is."""
    if host is None or host == "":
        return True
    here = turn.world.host
    return here != "" and text(host).rstrip("/") == here.rstrip("/")
