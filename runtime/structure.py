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
from runtime.turn import Send, Turn

WRANGLER = "io.picolabs.wrangler"


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
    """Make a channel on the turn's pico; what is above the pico's ceiling is left out.

    Raises: R1006 for tags or policies that have another form.
    """
    ceiling = _ceiling(turn)
    channel = Channel(
        turn.world.ids.eci(),
        turn.pico.id,
        make_tags(tags),
        make_policy(event_policy, "Event").within(ceiling.event_policy),
        make_policy(query_policy, "Query").within(ceiling.query_policy),
    )
    _put(turn, channel)
    return channel


def _ceiling(turn: Turn) -> Channel:
    """What no channel of the turn's pico exceeds: the policies of its self channel.

    Those are never checked, since nobody else can use it; they stand there to be seen, stored and
    moved with the pico.
    """
    return _channels(turn)[turn.pico.id]


def put_channel(turn: Turn, eci: Any, tags: Any, event_policy: Any, query_policy: Any) -> Channel:
    """Change a channel of the turn's pico; what is not given stays.

    Raises: R1001 when it is not this pico's, R1012 for its self channel, R1006.
    """
    old = _own(turn, eci)
    if old.eci == turn.pico.id:
        raise Fault("R1012", "Cannot edit the self channel.")
    if old.family is not None:
        return old
    ceiling = _ceiling(turn)
    events, queries = old.event_policy, old.query_policy
    if event_policy:
        events = make_policy(event_policy, "Event").within(ceiling.event_policy)
    if query_policy:
        queries = make_policy(query_policy, "Query").within(ceiling.query_policy)
    channel = Channel(old.eci, old.pico_id, make_tags(tags) if tags else old.tags, events, queries)
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


def tell_installed(turn: Turn, rid: str) -> None:
    """Tell the pico's rules of an installation by the owner, as wrangler tells of its own."""
    if turn.now().install(WRANGLER) is not None:
        own, eid = turn.pico.id, turn.world.ids.eid()
        turn.send(Send(own, "wrangler", "ruleset_installed", {"rids": [rid]}, eid, None))


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


def new_pico(turn: Turn, rulesets: Any, endowment: Any = None) -> str:
    """Make a child of the turn's pico; return the channel on it that the parent uses.

    `endowment` is what it gets beside its rulesets: {channels, type, ceiling}, each of them or
    none. A type brings rulesets and channels of its own. The ceiling is never above the parent's.

    Source: engine reference 1.7: ids are taken in the order child, channel on the parent, channel
    on the child; the child's self channel has its own id.
    Raises: R2001 unless `rulesets` is an array of {url, config} and `endowment` is as above; R2020
    for an unknown type; whatever loading, installing or making channels raises.
    """
    if rulesets is None:
        rulesets = []
    if type(rulesets) is not list:
        raise Fault("R2001", "ctx:newPico expects an array of {url, config}")
    given = _Endowment(turn, endowment)
    wanted = [_wanted(turn, entry) for entry in (*rulesets, *given.rulesets)]
    ids = turn.world.ids
    child_id, parent_eci, child_eci = ids.pico(), ids.eci(), ids.eci()
    installs: tuple[Install, ...] = ()
    for module, url, config in wanted:
        new = Install(module.rid, module.hash, url, own_map(config, "config"))
        installs = _with_install(installs, new)
        _check_uses(module, installs)
    owned = {
        child_id: given.self_channel(child_id),
        child_eci: Channel(child_eci, child_id, ("system", "child"), OPEN, OPEN, turn.pico.id),
    }
    for channel in given.make_channels(child_id):
        owned[channel.eci] = channel
    structure = Structure(parent_eci, installs, 0, Layer({}), Layer(owned))
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


class _Endowment:
    """What a child gets beside the rulesets that its parent names.

    Raises: R2001 for what is no endowment, R2020 for a type that no bundle has declared, R1006.
    """

    __slots__ = ("channels", "events", "queries", "rulesets", "turn")

    def __init__(self, turn: Turn, given: Any) -> None:
        if given is None:
            given = {}
        if type(given) is not dict or not given.keys() <= {"channels", "type", "ceiling"}:
            raise Fault("R2001", "ctx:newPico expects a map of channels, type and ceiling")
        declared: dict[str, Any] = {"rulesets": [], "channels": [], "ceiling": {}}
        if given.get("type") is not None:
            declared = turn.world.pico_type(text(given["type"]))
        channels = given.get("channels")
        if channels is None:
            channels = []
        if type(channels) is not list or any(type(entry) is not dict for entry in channels):
            raise Fault("R2001", "ctx:newPico expects an array of {tags, eventPolicy, queryPolicy}")
        self.turn = turn
        self.rulesets: list[dict[str, Any]] = declared["rulesets"]
        self.channels: list[dict[str, Any]] = [*declared["channels"], *channels]
        top = _ceiling(turn)
        self.events, self.queries = top.event_policy, top.query_policy
        for ceiling in (declared["ceiling"], given.get("ceiling")):
            if ceiling is None:
                continue
            if type(ceiling) is not dict or not ceiling.keys() <= {"eventPolicy", "queryPolicy"}:
                raise Fault("R2001", "a ceiling is a map of eventPolicy and queryPolicy")
            self.events = self.events.within(make_policy(ceiling.get("eventPolicy"), "Event"))
            self.queries = self.queries.within(make_policy(ceiling.get("queryPolicy"), "Query"))

    def self_channel(self, child_id: str) -> Channel:
        """The child's self channel, whose policies are its ceiling."""
        tags = ("system", "self")
        return Channel(child_id, child_id, tags, self.events, self.queries, child_id)

    def make_channels(self, child_id: str) -> list[Channel]:
        """The channels that a child begins with beside those of its family."""
        return [
            Channel(
                self.turn.world.ids.eci(),
                child_id,
                make_tags(entry.get("tags")),
                make_policy(entry.get("eventPolicy"), "Event").within(self.events),
                make_policy(entry.get("queryPolicy"), "Query").within(self.queries),
            )
            for entry in self.channels
        ]


def _wanted(turn: Turn, entry: Any) -> tuple[Module, str, Any]:
    url = entry.get("url") if type(entry) is dict else None
    if type(url) is not str or not url:
        raise Fault("R2001", "ctx:newPico expects an array of {url, config}")
    return turn.world.module(turn, url), url, entry.get("config")


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
