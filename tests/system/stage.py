"""A family of picos with the system rulesets, on one engine of virtual time, and what they did.

In: events to picos by name. Out: answers, queries, and for each pico the events that it handled, as
text. A pico has the name that its parent gave it; the root is `root`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runtime.pico import Pico
from tests.harness.engine import TestEngine

WRANGLER = "io.picolabs.wrangler"
UI = "io.picolabs.pico-engine-ui"
PDS = "io.picolabs.pds"


class Family:
    """The picos of one engine; `engine` is there for all that is not about names."""

    def __init__(self, engine: TestEngine | None = None) -> None:
        self.engine = engine or TestEngine(system=True)
        self._seen: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self.trace()

    # --- Picos ------------------------------------------------------------------------------------

    def picos(self) -> Iterator[Pico]:
        """All picos that live, parents before children."""
        shelf = self.engine.core.shelf
        pending = [self.engine.core.root_id]
        for pico_id in pending:
            pico = shelf.pico(pico_id)
            if pico is not None:
                yield pico
                pending.extend((shelf.full(pico).children or {}).values())

    def name(self, pico: Pico) -> str:
        """What a pico's parent called it."""
        if pico.id == self.engine.core.root_id:
            return "root"
        if pico.id not in self._names:
            if pico.structure.install(WRANGLER) is None:
                return pico.id
            self._names[pico.id] = self.ask(pico, WRANGLER, "name")
        return self._names[pico.id]

    def __getitem__(self, name: str) -> Pico:
        found = [pico for pico in self.picos() if self.name(pico) == name]
        assert len(found) == 1, (name, [self.name(pico) for pico in self.picos()])
        return found[0]

    def family_eci(self, name: str) -> str:
        """The channel by which its parent knows a child."""
        return self.eci(name, "system", "child")

    def eci(self, name: str, *tags: str) -> str:
        """The channel of a pico with just these tags."""
        pico = self[name]
        channels = self.engine.core.shelf.full(pico).channels
        assert channels is not None
        found = [c.eci for c in channels.values() if sorted(c.tags) == sorted(tags)]
        assert len(found) == 1, (name, tags, found)
        return found[0]

    def child(self, name: str, parent: str = "root", **more: Any) -> str:
        """Make a child; its family channel."""
        answer = self.tell(parent, "wrangler", "new_child_request", {"name": name, **more})
        assert "errors" not in answer, answer["errors"]
        return self.family_eci(name)

    # --- Events and queries -----------------------------------------------------------------------

    def tell(
        self, name: str, domain: str, event: str, attrs: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Have a pico evaluate an event, as if it had sent it to itself."""
        own = self[name].id
        return self.engine.event(domain, event, attrs, own, sender=own)

    def ask(self, pico: Pico, rid: str, name: str, args: dict[str, Any] | None = None) -> Any:
        """Ask a pico a query, as if it asked itself."""
        core = self.engine.core
        return self.engine.wait(
            lambda done: core.post_query(pico.id, rid, name, args, done, sender=pico.id)
        )

    def query(self, name: str, rid: str, query: str, /, **args: Any) -> Any:
        """Ask a pico by its name."""
        return self.ask(self[name], rid, query, args)

    def pass_seconds(self, seconds: float) -> None:
        """Let virtual time go by."""
        self.engine.clock.advance(seconds)
        self.engine.run()

    # --- What happened ----------------------------------------------------------------------------

    def trace(self) -> dict[str, str]:
        """What each pico handled since this was last asked for.

        Shapes: name -> turns between `|`; in a turn the events in the order in which they were
        handled, those that no rule listened to in brackets where they were raised.
        """
        living = [(self.name(pico), pico.id) for pico in self.picos()]
        living += [(n, i) for i, n in self._names.items() if i not in {i for _, i in living}]
        said = {}
        for name, pico_id in living:
            turns = list(reversed(self.engine.core.history.entries(pico_id, limit=1000)))
            new = turns[self._seen.get(pico_id, 0) :]
            self._seen[pico_id] = len(turns)
            if new:
                said[name] = " | ".join(_turn_text(turn) for turn in new)
        return said


def _turn_text(turn: dict[str, Any]) -> str:
    words = []
    for happening in (turn, *turn["raised"]):
        words.append(f"{happening['domain']}:{happening['name']}")
        for rule in happening["rules"]:
            if "fault" in rule:
                words[-1] += f"!{rule['fault']['code']}"
            words += [f"({one})" for one in rule.get("unheard", ())]
    return " ".join(words)
