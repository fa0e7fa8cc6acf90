"""The context of running code: what a rule body, a matcher or a function may touch.

In: a pico, one of its rulesets, and for each turn the turn itself. Out: `cx`, first argument of all
generated code. Invariants: one context per (pico, ruleset), reused only after a turn ends; outside
a turn it holds none. Not here: what the ABI does with it (abi/v1.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ext import ContextBase
from runtime.entities import Entities

if TYPE_CHECKING:
    from runtime.event import Event
    from runtime.module import Module
    from runtime.pico import Install, Pico
    from runtime.turn import Turn


class Context(ContextBase):
    """What code of one ruleset sees on one pico.

    `event` is the event being handled, None in queries and while globals are made; `values` are the
    computed globals; `ent` the entity variables; `modules` the contexts of used modules, by alias;
    `host` is the context on whose behalf code runs: this one, or that of the user of a module.
    """

    __slots__ = ()

    def __init__(self, pico: Pico, module: Module, install: Install, ent: Entities) -> None:
        self.pico = pico
        self.module = module
        self.install = install
        self.rid = module.rid
        self.ent = ent
        self.event: Event | None = None
        self.turn: Turn | None = None
        self.rule_name: str | None = None
        self.values: list[Any] = list(module.values)
        self.configured: dict[str, Any] = {}
        self.modules: dict[str, Context] = {}
        self.host = self


class ModuleContext(Context):
    """The context of a module used by another ruleset: no event, the user's turn.

    Source: language reference 9.6: directives and logs belong to the user and its rule.
    """

    __slots__ = ()

    def __init__(
        self,
        host: Context,
        module: Module,
        install: Install,
        ent: Entities,
        configured: dict[str, Any],
    ) -> None:
        self.host = host
        super().__init__(host.pico, module, install, ent)
        self.host = host
        self.configured = configured

    @property
    def turn(self) -> Turn | None:
        """The turn of the user: a function made here may be called in a later one."""
        return self.host.turn

    @turn.setter
    def turn(self, turn: Turn | None) -> None:
        """A module has no turn of its own."""
