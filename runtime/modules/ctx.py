"""The `ctx:` module: the pico itself, its family, channels and rulesets.

In: a context. Out: views of the structure as this turn has it, and changes to it that commit with
the turn. Source: stdlib reference 14, engine reference 1 and A.1.
"""

from __future__ import annotations

from typing import Any

from runtime import structure
from runtime.context import Context
from runtime.dates import iso_text
from runtime.errors import Fault, unknown_eci
from runtime.history import logs_of
from runtime.kinds import kind, text, truth
from runtime.limits import history_logs_ms, history_shown_max
from runtime.modules.event import is_here, send
from runtime.traces import traces_of
from runtime.turn import Turn

__all__ = [
    "ctx_channels",
    "ctx_children",
    "ctx_delChannel",
    "ctx_delPico",
    "ctx_event",
    "ctx_eventQuery",
    "ctx_flush",
    "ctx_install",
    "ctx_logs",
    "ctx_newChannel",
    "ctx_newPico",
    "ctx_parent",
    "ctx_picoId",
    "ctx_putChannel",
    "ctx_query",
    "ctx_rid",
    "ctx_rid_author",
    "ctx_rid_config",
    "ctx_rid_description",
    "ctx_rid_name",
    "ctx_rid_url",
    "ctx_rid_version",
    "ctx_rulesets",
    "ctx_uninstall",
    "ctx_upsertChannel",
]


def _turn(cx: Context) -> Turn:
    assert cx.turn is not None
    return cx.turn


def ctx_picoId(cx: Context) -> str:
    """`ctx:picoId`."""
    return cx.pico.id


def ctx_rid(cx: Context) -> str:
    """`ctx:rid`."""
    return cx.rid


def ctx_rid_url(cx: Context) -> str:
    """`ctx:rid_url`."""
    return cx.install.url


def ctx_rid_config(cx: Context) -> Any:
    """`ctx:rid_config`."""
    return cx.install.config


def ctx_rid_name(cx: Context) -> Any:
    """`ctx:rid_name`."""
    return cx.module.manifest["meta"].get("name")


def ctx_rid_version(cx: Context) -> Any:
    """`ctx:rid_version`."""
    return cx.module.manifest["meta"].get("version")


def ctx_rid_description(cx: Context) -> Any:
    """`ctx:rid_description`."""
    return cx.module.manifest["meta"].get("description")


def ctx_rid_author(cx: Context) -> Any:
    """`ctx:rid_author`."""
    return cx.module.manifest["meta"].get("author")


def ctx_parent(cx: Context) -> Any:
    """`ctx:parent`: the channel on the parent that this pico uses, null on a root."""
    return _turn(cx).now().parent


def ctx_children(cx: Context) -> list[str]:
    """`ctx:children`: for each child the channel on it that this pico uses, oldest first."""
    return list(_turn(cx).now().children or ())


def ctx_channels(cx: Context) -> list[Any]:
    """`ctx:channels`, in ascending order of their ECIs."""
    channels = _turn(cx).now().channels
    assert channels is not None
    return [channels[eci].to_map() for eci in sorted(channels)]


def ctx_rulesets(cx: Context) -> list[Any]:
    """`ctx:rulesets`, in order of installation."""
    found = []
    for context in _turn(cx).view.contexts:
        manifest = context.module.manifest
        module = context.module
        meta = {
            "krl": module.source,
            "krlMeta": module.krl_meta,
            "hash": module.hash,
            "compiler": {"version": manifest["compiler"], "warnings": manifest["warnings"]},
            "offers": module.offers,
        }
        install = context.install
        found.append(
            {"rid": install.rid, "url": install.url, "config": install.config, "meta": meta}
        )
    return found


def ctx_logs(cx: Context, traced: Any = None, *_: Any) -> list[Any]:
    """`ctx:logs(traced)`: what this pico's rules have logged in the last hours, oldest first.

    With `traced` the events that it handled stand between, and which rules were selected.
    Shapes: {level, time, txnId, rid, msg}; traced ones see traces.py.
    Source: stdlib reference 14; what functions log while a query runs is not among it.
    """
    world = _turn(cx).world
    since = world.clock.now_ms() - history_logs_ms
    entries = world.history.entries(cx.pico.id, since_ms=since, limit=history_shown_max)
    logs = traces_of(entries) if truth(traced) else logs_of(entries)
    for said in logs:
        said["time"] = iso_text(said.pop("time_ms"))
    return logs


def ctx_newPico(cx: Context, rulesets: Any = None, endowment: Any = None, *_: Any) -> str:
    """`ctx:newPico(rulesets, endowment)`: a child; its family channel is the result.

    Raises: R2001 unless `rulesets` is an array of {url, config} and `endowment` a map of channels,
    type and ceiling; R2012, R2007, R2010, R2020, R1006 when something of it cannot be had: then
    there is no child.
    """
    return structure.new_pico(_turn(cx), rulesets, endowment)


def ctx_delPico(cx: Context, eci: Any = None, *_: Any) -> None:
    """`ctx:delPico(eci)`: the child that this pico knows by this channel, and all below it.

    Raises: R2016 when there is no such child.
    """
    structure.delete_pico(_turn(cx), eci)


def ctx_install(cx: Context, url: Any = None, config: Any = None, *_: Any) -> str:
    """`ctx:install(url, config)`: install or replace a ruleset; its rid.

    Raises: R2001 for a URL that is no string, R2012, R2007, R2009, R2010.
    """
    if type(url) is not str:
        raise Fault("R2001", f"Expected string for url but got {kind(url)}")
    turn = _turn(cx)
    module = turn.world.module(turn, url)
    structure.install(turn, module, url, config)
    return module.rid


def ctx_uninstall(cx: Context, rid: Any = None, *_: Any) -> None:
    """`ctx:uninstall(rid)`: take a ruleset off this pico, with its variables.

    Raises: R2001 for a rid that is no string, R2013 when another one uses it.
    """
    if type(rid) is not str:
        raise Fault("R2001", f"Expected string for rid but got {kind(rid)}")
    structure.uninstall(_turn(cx), rid)


def ctx_flush(cx: Context, url: Any = None, *_: Any) -> None:
    """`ctx:flush(url)`: look whether the source of a ruleset has changed.

    Every pico that has it goes over to the new version with its next turn; the old one stays when
    the new one cannot be had.
    Raises: R2001 for a URL that is no string, R2012, R2007, R2009, R2014.
    """
    if type(url) is not str:
        raise Fault("R2001", f"Expected string for url but got {kind(url)}")
    _turn(cx).world.flush(_turn(cx), url)


def ctx_query(
    cx: Context, eci: Any = None, rid: Any = None, name: Any = None, args: Any = None, *_: Any
) -> Any:
    """`ctx:query(eci, rid, name, args)`: what a shared function of another pico gives.

    It waits for the events that pico has accepted before, unless that waits for something itself:
    then it gives the answer of the state before. The pico itself is asked in its last state, too.
    Raises: R1001, R1003, R1004, R1005, R1007, R2005, R2006, R4021, and what the function raises.
    """
    turn = _turn(cx)
    return turn.world.ask(turn, eci, rid, name, args)


def ctx_eventQuery(
    cx: Context,
    eci: Any = None,
    domain: Any = None,
    name: Any = None,
    attrs: Any = None,
    rid: Any = None,
    query_name: Any = None,
    args: Any = None,
    *_: Any,
) -> Any:
    """`ctx:eventQuery(…)`: have another pico evaluate an event, then ask it.

    The event is done for good before this rule ends, whatever becomes of it.
    Raises: as `ctx:query`; R1002 for the event; what a rule of the other pico raised.
    """
    turn = _turn(cx)
    return turn.world.ask_event(turn, eci, domain, name, attrs, rid, query_name, args)


def ctx_newChannel(
    cx: Context, tags: Any = None, event_policy: Any = None, query_policy: Any = None, *_: Any
) -> Any:
    """`ctx:newChannel(tags, eventPolicy, queryPolicy)`: the new channel."""
    return structure.new_channel(_turn(cx), tags, event_policy, query_policy).to_map()


def ctx_putChannel(
    cx: Context,
    eci: Any = None,
    tags: Any = None,
    event_policy: Any = None,
    query_policy: Any = None,
    *_: Any,
) -> Any:
    """`ctx:putChannel(eci, tags, eventPolicy, queryPolicy)`: the changed channel."""
    return structure.put_channel(_turn(cx), eci, tags, event_policy, query_policy).to_map()


def ctx_upsertChannel(
    cx: Context, tags: Any = None, event_policy: Any = None, query_policy: Any = None, *_: Any
) -> Any:
    """`ctx:upsertChannel(…)`: change the channel with just these tags, or make one."""
    return structure.upsert_channel(_turn(cx), tags, event_policy, query_policy).to_map()


def ctx_delChannel(cx: Context, eci: Any = None, *_: Any) -> None:
    """`ctx:delChannel(eci)`."""
    structure.delete_channel(_turn(cx), eci)


def ctx_event(
    cx: Context,
    eci: Any = None,
    domain: Any = None,
    name: Any = None,
    attrs: Any = None,
    host: Any = None,
    *_: Any,
) -> Any:
    """`ctx:event(eci, domain, name, attrs, host)`: as event:send, but checked here and now.

    Raises: R1001, R1002, R1003, R1004 as the receiver's channel decides.
    """
    if type(eci) is not str:
        raise Fault("R2001", f"eci was {text(eci)} instead of a string")
    turn = _turn(cx)
    if is_here(turn, host):
        channel = structure.find_channel(turn, eci)
        if channel is None:
            raise unknown_eci(eci)
        if type(domain) is str and type(name) is str:
            channel.check_event(domain.strip(), name.strip(), cx.pico.id)
    return send(cx, eci, domain, name, attrs, host)
