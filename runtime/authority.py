"""Who can reach whom: the authority graph of an engine, as data, text and DOT.

In: an engine's core whose changes are written. Out: picos with their ceilings, and grants: who may
use which channel of whom, for which events and queries, and where the holder keeps its ECI.
Invariants: an ECI is held where its text stands: in a pico's variables, configurations, states of
event expressions, timers or inbox; what code could put together from pieces is not seen. Outside
anybody may use every channel that is no family channel. Nothing is changed, nothing runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from runtime.errors import Fault, shown_eci, unknown_eci
from runtime.store import encode_record, pico_prefix, timer_owner_key

if TYPE_CHECKING:
    from runtime.channel import Channel
    from runtime.engine import Core
    from runtime.pico import Pico

Grant = dict[str, Any]
# Looks at every place, since an ECI may stand within a longer text, such as a URL.
_eci_at = re.compile(rb"(?=(c[0-9a-z]{27}))")
NAMED_BY = "io.picolabs.wrangler"
# Rows of a pico that say what it is made of, not what its code has heard.
_STRUCTURE = frozenset(b"ckmo")


def authority(core: Core, eci: str | None = None) -> dict[str, Any]:
    """Who can reach what: of all picos, or of those at and below the pico of a channel.

    Shapes: {picos: [{id, name, ceiling: {events, queries}}], grants: [{from, to, eci, how, tags,
    events, queries, where}]}; `from` is null for the outside; `how` is parent, child, outside or
    held; policies are {allow, deny} of "domain:name" or "rid/name"; `where` says in which ruleset
    and variable the ECI was found.
    Raises: R1001 for an unknown ECI.
    Cost: reads every row of the picos.
    """
    picos = list(_subtree(core, eci))
    grants: list[Grant] = []
    for pico in picos:
        grants += _of_channels(core, pico)
        grants += _of_state(core, pico)
    grants.sort(key=lambda one: (one["to"], one["from"] or "", one["eci"], one["where"]))
    return {"picos": [_node(core, pico) for pico in picos], "grants": grants}


def _subtree(core: Core, eci: str | None) -> Iterator[Pico]:
    pending = [core.root_id]
    if eci is not None:
        channel = core.shelf.channel(eci)
        if channel is None:
            raise unknown_eci(eci)
        pending = [channel.pico_id]
    for pico_id in pending:
        pico = core.shelf.pico(pico_id)
        if pico is not None:
            yield pico
            pending.extend((core.shelf.full(pico).children or {}).values())


def _node(core: Core, pico: Pico) -> dict[str, Any]:
    channels = core.shelf.full(pico).channels
    assert channels is not None
    own = channels[pico.id]
    name = core.shelf.entities(pico, NAMED_BY)["name"]
    return {
        "id": pico.id,
        "name": name if type(name) is str else None,
        "ceiling": _policies(own),
    }


def _policies(channel: Channel) -> dict[str, Any]:
    found = {}
    kinds = (("events", ":", channel.event_policy), ("queries", "/", channel.query_policy))
    for name, mark, policy in kinds:
        found[name] = {
            "allow": [a + mark + b for a, b in policy.allow],
            "deny": [a + mark + b for a, b in policy.deny],
        }
    return found


def _grant(who: str | None, channel: Channel, how: str, where: str) -> Grant:
    return {
        "from": who,
        "to": channel.pico_id,
        "eci": channel.eci,
        "how": how,
        "tags": list(channel.tags),
        **_policies(channel),
        "where": where,
    }


# --- Channels -------------------------------------------------------------------------------------


def _of_channels(core: Core, pico: Pico) -> Iterator[Grant]:
    """Who may use a pico's channels by what they are: its family, and whoever is outside."""
    for channel in (core.shelf.full(pico).channels or {}).values():
        if channel.family is None:
            yield _grant(None, channel, "outside", "")
        elif channel.family != pico.id:
            # Named after what the holder is to the pico.
            how = "child" if channel.tags[-1] == "parent" else "parent"
            yield _grant(channel.family, channel, how, "")


# --- What picos keep ------------------------------------------------------------------------------


def _of_state(core: Core, pico: Pico) -> Iterator[Grant]:
    """Channels of others whose ECIs a pico keeps somewhere."""
    seen: set[tuple[str, str]] = set()
    for where, data in _kept(core, pico):
        for found in _eci_at.finditer(data):
            eci = found[1].decode()
            if (eci, where) in seen:
                continue
            seen.add((eci, where))
            channel = _living(core, eci)
            if channel is not None and channel.pico_id != pico.id and channel.family is None:
                yield _grant(pico.id, channel, "held", where)


def _living(core: Core, eci: str) -> Channel | None:
    try:
        return core.shelf.channel(eci)
    except Fault:
        return None  # deleted: nobody reaches anything over it


def _kept(core: Core, pico: Pico) -> Iterator[tuple[str, bytes]]:
    """What a pico keeps, as bytes, with the place in words."""
    for install in pico.structure.installs:
        yield f"{install.rid}, configuration", encode_record(install.config)
    prefix = pico_prefix(pico.id)
    for key, value in core.store.scan("pico", prefix):
        kind, rest = key[len(prefix)], key[len(prefix) + 1 :]
        if kind in _STRUCTURE or kind == ord("h"):
            continue
        if kind == ord("a"):
            yield "event expressions", value
            continue
        owner, name, *_ = rest.decode("utf-8", "replace").split("\0")
        yield f"{owner}, ent:{name}", rest + b"\0" + value
    prefix = timer_owner_key(pico.id)
    for key, value in core.store.scan("timer", prefix):
        rid = key[len(prefix) :].split(b"\0")[0].decode()
        yield f"{rid}, timers", value
    for key, value in core.store.scan("inbox", b""):
        if key[8:] == pico.id.encode():
            yield "inbox", value


# --- Text and DOT ---------------------------------------------------------------------------------


def names_of(data: dict[str, Any]) -> dict[str | None, str]:
    """What to call each pico: its name and a part of its id."""
    names: dict[str | None, str] = {None: "the outside"}
    for node in data["picos"]:
        short = shown_eci(node["id"])
        names[node["id"]] = f"{node['name']} ({short})" if node["name"] else short
    return names


def as_text(data: dict[str, Any]) -> str:
    """The graph for people: for each pico who can reach it, over what, for what."""
    names = names_of(data)
    lines = []
    for node in data["picos"]:
        lines.append(names[node["id"]])
        if any(not is_open(policy) for policy in node["ceiling"].values()):
            lines.append(f"  ceiling: {policies_text(node['ceiling'])}")
        for grant in data["grants"]:
            if grant["to"] == node["id"]:
                lines.append(f"  {_who(grant, names)}: {policies_text(grant)}")
    return "\n".join(lines) + "\n"


def _who(grant: Grant, names: dict[str | None, str]) -> str:
    who = names.get(grant["from"]) or shown_eci(grant["from"])
    if grant["how"] in ("parent", "child"):
        return f"its {grant['how']} {who}"
    over = " ".join(grant["tags"]) or "no tags"
    kept = f", kept in {grant['where']}" if grant["where"] else ""
    return f"{who} over {shown_eci(grant['eci'])} [{over}]{kept}"


def is_open(policy: dict[str, Any]) -> bool:
    """Whether a policy allows everything."""
    return not policy["deny"] and ("*:*" in policy["allow"] or "*/*" in policy["allow"])


def policies_text(policies: dict[str, Any]) -> str:
    """Event and query policy in words."""
    if is_open(policies["events"]) and is_open(policies["queries"]):
        return "everything"
    parts = []
    for kind, policy in (("events", policies["events"]), ("queries", policies["queries"])):
        if is_open(policy):
            parts.append(f"all {kind}")
        elif not policy["allow"]:
            parts.append(f"no {kind}")
        else:
            but = f" but not {_grouped(policy['deny'])}" if policy["deny"] else ""
            parts.append(f"{kind} {_grouped(policy['allow'])}{but}")
    return "; ".join(parts)


def _grouped(pairs: list[str]) -> str:
    """Pairs with what they have in common said once: `a:{x, y}, b:z`."""
    groups: dict[str, list[str]] = {}
    for pair in pairs:
        first, mark, second = pair.partition("/" if "/" in pair else ":")
        groups.setdefault(first + mark, []).append(second)
    return ", ".join(
        first + (names[0] if len(names) == 1 else "{" + ", ".join(names) + "}")
        for first, names in groups.items()
    )


def as_dot(data: dict[str, Any]) -> str:
    """The graph for Graphviz; family channels are grey, those that anybody may use dashed."""
    names = names_of(data)
    strangers = {grant["from"] for grant in data["grants"]} - names.keys()
    strangers |= {grant["to"] for grant in data["grants"]} - names.keys()
    lines = ["digraph authority {", "  node [shape=box]", '  outside [label="the outside"]']
    for pico_id in [node["id"] for node in data["picos"]] + sorted(strangers):
        label = names.get(pico_id) or shown_eci(pico_id)
        lines.append(f"  {_quoted(pico_id)} [label={_quoted(label)}]")
    styles = {"outside": "style=dashed", "parent": "color=grey", "child": "color=grey"}
    for grant in data["grants"]:
        start = _quoted(grant["from"]) if grant["from"] else "outside"
        label = " ".join(grant["tags"]) + "\n" + policies_text(grant)
        style = styles.get(grant["how"], "color=black")
        lines.append(f"  {start} -> {_quoted(grant['to'])} [label={_quoted(label)}, {style}]")
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
