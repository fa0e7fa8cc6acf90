"""Changes to what a pico is made of, within a turn: channels, children, installed rulesets.

In: a turn and what a rule asks for. Out: the turn's new structure, and new picos. Invariants:
nothing changes outside the turn before it commits; a child comes into being whole or not at all;
family channels are the engine's own. Source: engine reference 1.2-1.7; DESIGN.md 2.
"""

from __future__ import annotations

from typing import Any

import msgspec

from runtime.channel import OPEN, Channel, make_policy, make_tags
from runtime.errors import Fault
from runtime.event import own_map
from runtime.kinds import text
from runtime.layer import Layer
from runtime.module import Module, fault_line, to_fault
from runtime.pico import Install, Pico, Structure
from runtime.turn import Turn


def _channels(turn: Turn) -> Layer[Channel]:
    channels = turn.now().channels
    assert channels is not None
    return channels


def _children(turn: Turn) -> Layer[str]:
    children = turn.now().children
    assert children is not None
    return children


def _with(now: Structure, **changes: Any) -> Structure:
    """The structure with some fields replaced."""
    return msgspec.structs.replace(now, **changes)


# --- Channels -------------------------------------------------------------------------------------


def find_channel(turn: Turn, eci: str) -> Channel | None:
    """The channel of an ECI, those that this turn made included."""
    if turn.structure is not None:
        own = _channels(turn).get(eci)
        if own is not None:
            return own
    for child in turn.created:
        assert child.structure.channels is not None
        own = child.structure.channels.get(eci)
        if own is not None:
            return own
    found: Channel | None = turn.world.channel(eci)
    return found


def new_channel(turn: Turn, tags: Any, event_policy: Any, query_policy: Any) -> Channel:
    """Make a channel on the turn's pico.

    Raises: R1006 for tags or policies that have another form.
    """
    channel = Channel(
        turn.world.ids.eci(),
        turn.pico.id,
        make_tags(tags),
        make_policy(event_policy, "Event"),
        make_policy(query_policy, "Query"),
    )
    _put(turn, channel)
    return channel


def put_channel(turn: Turn, eci: Any, tags: Any, event_policy: Any, query_policy: Any) -> Channel:
    """Change a channel of the turn's pico; what is not given stays.

    Raises: R1001 when it is not this pico's, R1012 for its self channel, R1006.
    """
    old = _own(turn, eci)
    if old.eci == turn.pico.id:
        raise Fault("R1012", "Cannot edit the self channel.")
    if old.family is not None:
        return old
    channel = Channel(
        old.eci,
        old.pico_id,
        make_tags(tags) if tags else old.tags,
        make_policy(event_policy, "Event") if event_policy else old.event_policy,
        make_policy(query_policy, "Query") if query_policy else old.query_policy,
    )
    _put(turn, channel)
    return channel


def upsert_channel(turn: Turn, tags: Any, event_policy: Any, query_policy: Any) -> Channel:
    """Change the first channel with just these tags, in any order, or make one."""
    wanted = sorted(make_tags(tags))
    for eci, channel in sorted(_channels(turn).items()):
        if sorted(channel.tags) == wanted:
            return put_channel(turn, eci, tags, event_policy, query_policy)
    return new_channel(turn, tags, event_policy, query_policy)


def delete_channel(turn: Turn, eci: Any) -> None:
    """Delete a channel of the turn's pico.

    Raises: R1001 when it is not this pico's, R1012 for a family channel.
    """
    channel = _own(turn, eci)
    if channel.family is not None:
        raise Fault("R1012", "Cannot delete family channels.")
    turn.change(_with(turn.now(), channels=_channels(turn).without(channel.eci)))


def _own(turn: Turn, eci: Any) -> Channel:
    channel = _channels(turn).get(eci) if type(eci) is str else None
    if channel is None:
        raise Fault("R1001", f"ECI not found {text(eci)}")
    return channel


def _put(turn: Turn, channel: Channel) -> None:
    turn.change(_with(turn.now(), channels=_channels(turn).with_value(channel.eci, channel)))


# --- Rulesets -------------------------------------------------------------------------------------


def install(turn: Turn, module: Module, url: str, config: Any) -> None:
    """Install a ruleset on the turn's pico, in place of one with the same id if there is one.

    Raises: R1007 when the configuration is no map, R2009 for a module that is not there, R2010 when
    a global fails: then nothing is installed.
    """
    now = turn.now()
    new = Install(module.rid, module.hash, url, own_map(config, "config"))
    installs = _with_install(now.installs, new)
    _check_uses(module, installs)
    turn.change(_with(now, installs=installs))
    _evaluate(turn, turn.pico, turn.view.contexts, new)


def _with_install(installs: tuple[Install, ...], new: Install) -> tuple[Install, ...]:
    if any(item.rid == new.rid for item in installs):
        return tuple(new if item.rid == new.rid else item for item in installs)
    return (*installs, new)


def _check_uses(module: Module, installs: tuple[Install, ...]) -> None:
    there = {item.rid for item in installs}
    for use in module.manifest["uses"]:
        if use["rid"] not in there:
            raise Fault(
                "R2009",
                f"Module not found: {use['rid']}",
                f"install {use['rid']} on this pico first",
                rid=module.rid,
            )


def _evaluate(turn: Turn, pico: Pico, contexts: tuple[Any, ...], new: Install) -> None:
    """Compute all globals of a new installation once, so that a faulty one refuses it."""
    from runtime.abi.v1 import global_value

    cx = next(context for context in contexts if context.install is new)
    before = cx.turn, cx.event
    cx.turn, cx.event = turn, None
    try:
        for use in cx.module.uses:
            cx.modules[use.alias] = turn.used_module(cx, use.alias)
        for item in cx.module.computed:
            try:
                global_value(cx, item.slot)
            except Exception as error:
                fault = to_fault(error)
                line = fault.line or fault_line(error, cx.module.filename)
                raise Fault(
                    "R2010",
                    f"global {item.name} of {cx.rid} failed: {fault.message}",
                    rid=cx.rid,
                    line=line,
                ) from None
    finally:
        cx.turn, cx.event = before


def uninstall(turn: Turn, rid: Any) -> None:
    """Take a ruleset off the turn's pico, with its variables; one that is not there is no error.

    Raises: R2013 when another installed ruleset uses it as a module.
    """
    now = turn.now()
    gone = now.install(rid) if type(rid) is str else None
    if gone is None:
        return
    users = [
        context.rid
        for context in turn.view.contexts
        if context.rid != rid and any(u["rid"] == rid for u in context.module.manifest["uses"])
    ]
    if users:
        raise Fault("R2013", f"Cannot uninstall {rid} because {' and '.join(users)} depends on it")
    turn.change(_with(now, installs=tuple(i for i in now.installs if i is not gone)))


# --- Children -------------------------------------------------------------------------------------


def new_pico(turn: Turn, rulesets: Any) -> str:
    """Make a child of the turn's pico; return the channel on it that the parent uses.

    Source: engine reference 1.7: ids are taken in the order child, channel on the parent, channel
    on the child; the child's self channel has its own id.
    Raises: R2001 unless `rulesets` is an array of {url, config}; whatever loading or installing
    raises.
    """
    if rulesets is None:
        rulesets = []
    if type(rulesets) is not list:
        raise Fault("R2001", "ctx:newPico expects an array of {url, config}")
    wanted = [_wanted(turn, entry) for entry in rulesets]
    ids = turn.world.ids
    child_id, parent_eci, child_eci = ids.pico(), ids.eci(), ids.eci()
    installs: tuple[Install, ...] = ()
    for module, url, config in wanted:
        new = Install(module.rid, module.hash, url, own_map(config, "config"))
        installs = _with_install(installs, new)
        _check_uses(module, installs)
    channels = {
        child_id: Channel(child_id, child_id, ("system", "self"), OPEN, OPEN, child_id),
        child_eci: Channel(child_eci, child_id, ("system", "child"), OPEN, OPEN, turn.pico.id),
    }
    structure = Structure(parent_eci, installs, 0, Layer({}), Layer(channels))
    child = Pico(child_id, structure)
    child.view = turn.world.view(child, structure, None)
    for new in installs:
        _evaluate(turn, child, child.view.contexts, new)
    now = turn.now()
    family = Channel(parent_eci, turn.pico.id, ("system", "parent"), OPEN, OPEN, child_id)
    turn.change(
        _with(
            now,
            children=_children(turn).with_value(child_eci, child_id),
            children_made=now.children_made + 1,
            channels=_channels(turn).with_value(parent_eci, family),
        )
    )
    turn.created += (child,)
    return child_eci


def _wanted(turn: Turn, entry: Any) -> tuple[Module, str, Any]:
    url = entry.get("url") if type(entry) is dict else None
    if type(url) is not str or not url:
        raise Fault("R2001", "ctx:newPico expects an array of {url, config}")
    return turn.world.module(url), url, entry.get("config")


def delete_pico(turn: Turn, eci: Any) -> None:
    """Delete a child of the turn's pico, and all below it, when the turn commits.

    Raises: R2016 unless `eci` is the channel by which the parent knows one of its children.
    """
    now = turn.now()
    children = _children(turn)
    child_id = children.get(eci) if type(eci) is str else None
    if child_id is None:
        shown = "undefined" if eci is None else text(eci)
        raise Fault("R2016", f"delPico({shown}) - not found in children ECIs")
    channels = _channels(turn)
    for key, channel in list(channels.items()):
        if channel.family == child_id:
            channels = channels.without(key)
    turn.change(_with(now, children=children.without(eci), channels=channels))
    if any(child.id == child_id for child in turn.created):
        turn.created = tuple(child for child in turn.created if child.id != child_id)
    else:
        turn.deleted += (child_id,)
