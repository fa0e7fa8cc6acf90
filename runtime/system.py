"""System rulesets: what comes with the engine, made known to it, and given to the root pico.

In: the bundle that the build step made of `rulesets/*.krl`; an engine's core. Out: the registry
knows them under `system:` URLs; the root has those that are new to this store, and is told as any
pico is told that has installed one. Invariants: a store that has this bundle already costs one read
of it at a start; a new version is adopted by all picos that have a ruleset of the old one, each at
its next turn; what a user took off the root does not come back. Source: DESIGN.md, "System
rulesets"; engine reference 1.6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256
from os import SEEK_END
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from runtime import observe, structure
from runtime.bundle import BundledRuleset, read_bundle
from runtime.errors import Fault
from runtime.store import decode_record, encode_record
from runtime.turn import Send, Turn

if TYPE_CHECKING:
    from runtime.engine import Core

PACKED = Path(__file__).parent / "rulesets" / "system.krlb"
BASE = "system:/rulesets/"
# The end of a bundle is its directory: names, sizes and checksums of all it holds. Whether it is
# another one shows there, in a tenth of the time that the whole takes.
DIRECTORY_BYTES = 8 << 10
# What the store remembers: the identity of the last bundle, and which rulesets were given so far.
ROW = b"system"
# The order in which a root gets them; what is not named here comes last.
ORDER = (
    "io.picolabs.pico-engine-ui",
    "io.picolabs.wrangler",
    "io.picolabs.subscription",
    "io.picolabs.pds",
)
UI_TAGS = ["engine", "ui"]
# Until its own rules widen it, the channel of user interfaces allows what makes them do so, and
# what the engine itself sends over it.
UI_EVENTS = {
    "allow": [{"domain": "engine_ui", "name": "setup"}, {"domain": "engine", "name": "started"}],
    "deny": [],
}
UI_QUERIES = {"allow": [{"rid": ORDER[0], "name": "*"}], "deny": []}


class SystemRulesets(NamedTuple):
    """The rulesets that come with an engine; `read` is called only when `identity` is news."""

    identity: str
    read: Callable[[], Iterable[BundledRuleset]]


def packed_rulesets(path: Path = PACKED) -> SystemRulesets:
    """The rulesets of this installation.

    Raises: R3010 when the build step has not made them.
    """
    try:
        with path.open("rb") as file:
            file.seek(-min(DIRECTORY_BYTES, path.stat().st_size), SEEK_END)
            directory = file.read()
    except OSError as error:
        raise Fault(
            "R3010",
            f"this installation lacks its system rulesets: {path.name}: {error.strerror}",
            "install it again; in a source tree, `make rulesets` makes them",
        ) from None
    identity = sha256(directory).hexdigest()
    return SystemRulesets(identity, lambda: read_bundle(path.read_bytes()).rulesets)


def system_url(rid: str) -> str:
    """The URL under which an engine knows a system ruleset."""
    return f"{BASE}{rid}.krl"


def adopt(core: Core, system: SystemRulesets) -> None:
    """Make the system rulesets known, and give the root pico those that this store never had.

    Cost: one read where nothing is new; else one turn of the root, and rows for each ruleset.
    """
    row = core.store.get("meta", ROW)
    identity, given = ("", []) if row is None else decode_record(row, "system entry")
    if identity == system.identity:
        return
    place = {rid: number for number, rid in enumerate(ORDER)}
    rids = []
    for ruleset in sorted(system.read(), key=lambda one: place.get(one.rid, len(place))):
        core.registry.add_own(ruleset, system_url(ruleset.rid))
        rids.append(ruleset.rid)
    new = [rid for rid in rids if rid not in given]
    record = encode_record([system.identity, [*given, *new]])

    def task(turn: Turn) -> None:
        _give(turn, new)
        core.committer.put("meta", ROW, record)

    core.post_task(core.root_id, task, _tell_failure)


def announce_start(core: Core) -> None:
    """Tell the root that the engine can be reached from outside: `engine:started`."""

    def task(turn: Turn) -> None:
        if turn.now().install(ORDER[0]) is None:
            return
        eci = _ui_eci(turn)
        if eci is None:
            # Somebody deleted it; without it no user interface finds its way in again.
            eci = structure.new_channel(turn, UI_TAGS, UI_EVENTS, UI_QUERIES).eci
            turn.send(Send(eci, "engine_ui", "setup", {}, turn.world.ids.eid(), None))
        turn.send(Send(eci, "engine", "started", {}, turn.world.ids.eid(), None))

    core.post_task(core.root_id, task, _tell_failure)


def _give(turn: Turn, rids: list[str]) -> None:
    """Install rulesets on the turn's pico, and have it told as if it had asked for them."""
    missing = [rid for rid in rids if turn.now().install(rid) is None]
    for rid in missing:
        url = system_url(rid)
        structure.install(turn, turn.world.module(turn, url), url, {})
    if not missing:
        return
    eci = _ui_eci(turn)
    if eci is None:
        eci = structure.new_channel(turn, UI_TAGS, UI_EVENTS, UI_QUERIES).eci
    new_id = turn.world.ids.eid
    turn.send(Send(eci, "engine_ui", "setup", {}, new_id(), None))
    own = turn.pico.id
    turn.send(Send(own, "wrangler", "ruleset_installed", {"rids": missing}, new_id(), None))


def _ui_eci(turn: Turn) -> str | None:
    """The turn's pico's channel for user interfaces."""
    channels = turn.now().channels
    assert channels is not None
    found = [eci for eci, one in channels.items() if sorted(one.tags) == UI_TAGS]
    return min(found, default=None)


def _tell_failure(answer: Any) -> None:
    if isinstance(answer, Fault):
        observe.unadopted(answer)
