"""The stage of a workload: picos made for it on a running engine, and taken away again.

In: an engine to talk to, with its admin token. Out: ECIs of new picos with the rulesets of a
workload. Invariant: nothing of the root pico is used but one ruleset that makes the picos, and that
is gone in the end, like them; what a run that was killed left is cleared by the next. Compiled
rulesets stay in the engine's registry. Not here: what is then asked (plays.py).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from runtime.client_http import Refused, Target, Unreachable, ask, path

RULESETS = Path(__file__).parent / "rulesets"
STAGE = "bench.stage"
_READY_S = 30.0
_LOOK_S = 0.005


def source_of(rid: str) -> str:
    """The text of one of the rulesets."""
    return (RULESETS / f"{rid}.krl").read_text(encoding="utf-8")


def url_of(rid: str) -> str:
    """The URL under which the engine knows it."""
    return f"pico-bench:{rid}"


class Stage:
    """Picos for workloads, on one engine.

    Raises: Refused, Unreachable: the engine has no such route, or refused the token.
    """

    def __init__(self, target: Target, timeout_s: float = 60.0) -> None:
        self._target = target
        self._timeout_s = timeout_s
        self._root: str = self._ask("/api/ui-context")["eci"]

    def _ask(self, where: str, body: Any = None) -> Any:
        return ask(self._target, where, body, needs_token=True, timeout_s=self._timeout_s)

    def install(self, eci: str, rid: str) -> None:
        """Install a ruleset on the pico of a channel."""
        self._ask("/api/install", {"eci": eci, "source": source_of(rid), "url": url_of(rid)})

    def build(self, picos: int, rid: str) -> list[str]:
        """Make so many picos with a ruleset; their channels, which allow everything.

        Raises: Refused, Unreachable.
        """
        self.install(self._root, STAGE)
        if self._ecis():
            self.clear()
            self.install(self._root, STAGE)
        rulesets = [{"url": url_of(STAGE), "config": {}}]
        self._event("build", {"picos": picos, "rulesets": rulesets})
        deadline = time.monotonic() + _READY_S
        while len(ecis := self._ecis()) < picos:
            if time.monotonic() > deadline:
                said = f"only {len(ecis)} of {picos} picos were ready after {_READY_S:g} s"
                raise Unreachable(said, "see `pico log root` for what their rules did")
            time.sleep(_LOOK_S)
        for eci in ecis:
            self.install(eci, rid)
        return ecis

    def clear(self) -> None:
        """Delete the picos and the ruleset that made them.

        Raises: Refused, Unreachable.
        """
        self._event("clear", {})

    def _ecis(self) -> list[str]:
        found: list[str] = self._ask(path("c", self._root, "query", STAGE, "ecis"), {})
        return found

    def _event(self, name: str, attrs: dict[str, Any]) -> None:
        answer = self._ask(path("c", self._root, "event-wait", "stage", name), attrs)
        if answer.get("errors"):
            raise Refused(500, answer)
