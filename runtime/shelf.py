"""Picos in memory: found by ECI, woken from the store, given views to run with, let go again.

In: ECIs and pico ids. Out: `Channel`, `Pico`, `View`, `Entities`. Invariants: one object per pico
and per (pico, ruleset) variables; waking reads one head record, all else is read when asked for; a
pico that runs, waits, or has changes that are not written stays; all picos with the same set of
ruleset versions share one salience graph. Not here: running turns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from ext import Salience
from runtime.channel import Channel, channel_from_record
from runtime.context import Context, ModuleContext
from runtime.entities import Entities, SettledEntities
from runtime.errors import Fault, gone
from runtime.layer import GONE, Layer
from runtime.limits import awake_pico_bytes
from runtime.module import Rule
from runtime.pico import Install, Pico, Structure, View, structure_from_head
from runtime.registry import Registry
from runtime.store import (
    Store,
    automata_key,
    channel_key,
    child_key,
    decode_record,
    eci_key,
    head_key,
)
from runtime.stored import Reader


class Shelf:
    """All picos that are awake, within a bound of memory.

    Units: `awake_bytes_max` is an estimate in bytes.
    """

    def __init__(
        self,
        store: Store,
        get: Callable[[str, bytes], bytes | None],
        registry: Registry,
        is_written: Callable[[Pico], bool],
        awake_bytes_max: int,
    ) -> None:
        self._store = store
        self._get = get
        self._reader = Reader(get, store.scan)
        self._registry = registry
        self._is_written = is_written
        self._awake_max = max(awake_bytes_max // awake_pico_bytes, 1)
        self._saliences: dict[tuple[tuple[str, str], ...], Salience[Rule]] = {}
        self._ring: deque[Pico] = deque()
        self.picos: dict[str, Pico] = {}
        self.channels: dict[str, Channel] = {}
        self.dead: set[str] = set()

    # --- Channels ---------------------------------------------------------------------------------

    def channel(self, eci: str) -> Channel | None:
        """The channel of an ECI; None when there never was one.

        Raises: R1005 when its pico was deleted.
        Cost: one look-up when known, else two reads.
        """
        channel = self.channels.get(eci)
        if channel is not None:
            return channel
        row = self._get("eci", eci_key(eci))
        if row is None:
            return None
        pico_id = decode_record(row, "channel index entry")
        if type(pico_id) is not str or pico_id in self.dead:
            raise gone(eci)
        row = self._get("pico", channel_key(pico_id, eci))
        if row is None:
            raise Fault("R3006", "the channel index names a channel that is not there")
        channel = channel_from_record(eci, pico_id, decode_record(row, "channel"))
        pico = self.pico(pico_id)
        if pico is None:
            raise gone(eci)
        return self._know(pico, channel)

    def _know(self, pico: Pico, channel: Channel) -> Channel:
        self.channels[channel.eci] = channel
        pico.ecis.add(channel.eci)
        return channel

    # --- Picos ------------------------------------------------------------------------------------

    def pico(self, pico_id: str) -> Pico | None:
        """The pico of this id, woken when it sleeps; None when there is none.

        Cost: one look-up when awake, else one read.
        """
        pico = self.picos.get(pico_id)
        if pico is not None:
            return pico
        if pico_id in self.dead:
            return None
        row = self._get("pico", head_key(pico_id))
        if row is None:
            return None
        return self.add(Pico(pico_id, structure_from_head(decode_record(row, "pico"))))

    def add(self, pico: Pico) -> Pico:
        """Make a pico known; others may have to go to sleep for it."""
        self.picos[pico.id] = pico
        self._ring.append(pico)
        for channel in (pico.structure.channels or {}).values():
            self._know(pico, channel)
        self.make_room(pico)
        return pico

    def full(self, pico: Pico) -> Structure:
        """The pico's structure with channels and children."""
        structure = pico.structure
        if structure.channels is not None:
            return structure
        channels: dict[str, Channel] = {}
        prefix = channel_key(pico.id)
        for key, value in self._store.scan("pico", prefix):
            eci = key[len(prefix) :].decode()
            known = self.channels.get(eci)
            channels[eci] = (
                channel_from_record(eci, pico.id, decode_record(value, "channel"))
                if known is None
                else known
            )
        children: list[tuple[int, str, str]] = []
        prefix = child_key(pico.id)
        for key, value in self._store.scan("pico", prefix):
            number, child = decode_record(value, "child")
            children.append((number, key[len(prefix) :].decode(), child))
        pico.structure = msgspec.structs.replace(
            structure,
            channels=Layer(channels),
            children=Layer({eci: child for _, eci, child in sorted(children)}),
        )
        return pico.structure

    def adopt(self, pico: Pico, structure: Structure, view: View | None) -> list[Entities]:
        """A turn's structure becomes the pico's; return the variables of rulesets that went."""
        old = pico.structure
        for eci, channel in structure.channels.changes.items() if structure.channels else ():
            if channel is not GONE:
                self._know(pico, channel)
                continue
            self.channels.pop(eci, None)
            pico.ecis.discard(eci)
        went = {i.rid for i in old.installs} - {i.rid for i in structure.installs}
        entities = [self.entities(pico, rid) for rid in sorted(went)]
        for rid in went:
            del pico.entities[rid]
        if pico.view is not None and view is not None and pico.view is not view:
            _carry(pico, pico.view, view)
        if structure.channels is not None and structure.children is not None:
            structure = msgspec.structs.replace(
                structure,
                channels=structure.channels.settle(),
                children=structure.children.settle(),
            )
        pico.structure = structure
        pico.view = view
        return entities

    def forget(self, pico: Pico) -> None:
        """Drop a pico from memory."""
        self.picos.pop(pico.id, None)
        for eci in pico.ecis:
            self.channels.pop(eci, None)
        pico.ecis.clear()

    def make_room(self, newest: Pico | None = None) -> None:
        """Let picos go that were not used since the last time round and hold nothing unwritten.

        The newest stays: who woke it has yet to give it something to do.
        Cost: amortised over the picos that woke; a round looks at each pico at most twice.
        """
        ring = self._ring
        for _ in range(2 * len(ring)):
            if len(ring) <= self._awake_max:
                break
            pico = ring.popleft()
            if self.picos.get(pico.id) is not pico:
                continue
            is_held = pico.inbox or pico.is_ready or pico.guests or pico is newest
            if is_held or pico.is_used or not self._is_written(pico):
                pico.is_used = False
                ring.append(pico)
            else:
                self.forget(pico)

    # --- Views ------------------------------------------------------------------------------------

    def view_of(self, pico: Pico) -> View:
        """The pico's view, made when it runs for the first time since it woke.

        Raises: NeedRuleset when a ruleset of it is not loaded.
        """
        view = pico.view
        if view is None:
            view = self.view(pico, pico.structure, None)
            self._restore(pico, view)
            pico.view = view
            # What it has may be older than what the registry knows.
            view.generation = -1
        return view

    def shadow(self, pico: Pico) -> Pico:
        """A pico to be asked only, as the real one was after its last completed turn.

        Its contexts are its own, so that it can be asked while the real one is amid a turn.
        Cost: O(installed rulesets).
        """
        view = self.view_of(pico)
        shadow = Pico(pico.id, self.full(pico))
        shadow.group = pico.group
        shadow.entities = {
            cx.rid: SettledEntities(self.entities(pico, cx.rid)) for cx in view.contexts
        }
        shadow.view = self.view(shadow, shadow.structure, None)
        return shadow

    def upgrade(self, pico: Pico, view: View) -> bool:
        """Adopt the last versions of a pico's rulesets; True when there were newer ones.

        Variables stay, and so do the states of rules whose event expression is the same.
        """
        view.generation = self._registry.generation
        structure = pico.structure
        installs = tuple(self._registry.current(i) for i in structure.installs)
        if all(new is old for new, old in zip(installs, structure.installs, strict=True)):
            return False
        pico.structure = msgspec.structs.replace(structure, installs=installs)
        pico.view = self.view(pico, pico.structure, view)
        _carry(pico, view, pico.view)
        return True

    def view(self, pico: Pico, structure: Structure, old: View | None) -> View:
        """Contexts and salience for a list of rulesets, keeping contexts that still fit."""
        known = {} if old is None else {id(cx.install): cx for cx in old.contexts}
        contexts = []
        for install in structure.installs:
            cx = known.get(id(install))
            if cx is None:
                module = self._registry.module_of(install)
                cx = Context(pico, module, install, self.entities(pico, install.rid))
            # What it uses may have changed with the rulesets; it is looked up again.
            cx.modules.clear()
            contexts.append(cx)
        key = tuple((cx.rid, cx.module.hash) for cx in contexts)
        salience = self._saliences.get(key)
        if salience is None:
            salience = self._saliences[key] = Salience(
                [[(rule, rule.salience) for rule in cx.module.rules] for cx in contexts]
            )
        # While a turn waited there may have come newer versions than those it has at hand.
        return View(tuple(contexts), salience, -1 if old is None else old.generation)

    def module_context(
        self, host: Context, install: Install, configured: dict[str, Any]
    ) -> Context:
        """A context for an installed ruleset that another one uses as a module."""
        entities = self.entities(host.pico, install.rid)
        return ModuleContext(host, self._registry.module_of(install), install, entities, configured)

    def entities(self, pico: Pico, rid: str) -> Entities:
        """The variables of one ruleset on a pico."""
        entities = pico.entities.get(rid)
        if entities is None:
            entities = pico.entities[rid] = Entities(self._reader, pico.id, rid)
        return entities

    def _restore(self, pico: Pico, view: View) -> None:
        """Put the automata back where they were, if their expression is still the same."""
        if not any(rule.machine is not None for cx in view.contexts for rule in cx.module.rules):
            return
        row = self._get("pico", automata_key(pico.id))
        if row is None:
            return
        packed: dict[str, Any] = decode_record(row, "automata")
        for cx in view.contexts:
            for rule in cx.module.rules:
                kept = packed.get(rule.key)
                if kept is None or rule.machine is None or kept[0] != rule.hash:
                    continue
                try:
                    pico.states[rule.key] = rule.machine.unpack(kept[1])
                except ValueError as error:
                    raise Fault(
                        "R3006", f"the automaton of rule {rule.name} cannot be read: {error}"
                    ) from None


def _carry(pico: Pico, old: View, new: View) -> None:
    """Keep the automaton states of rules whose expression is the same; the others begin anew."""
    if not pico.states:
        return
    before = {rule.key: rule.hash for cx in old.contexts for rule in cx.module.rules}
    after = {rule.key: rule.hash for cx in new.contexts for rule in cx.module.rules}
    for key in list(pico.states):
        if key not in after or before.get(key) != after[key]:
            del pico.states[key]
