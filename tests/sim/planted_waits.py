"""Bugs planted where turns wait for other picos; see planted.py.

In and out: as planted.py, whose table of bugs this adds to.
"""

from __future__ import annotations

from itertools import count
from typing import Any

from runtime import engine as engine_module
from runtime.engine import Core
from runtime.inbox import Item
from runtime.pico import Pico
from runtime.shelf import Shelf
from runtime.turn import Turn
from tests.sim.planted import BUGS, Change, bug

__all__ = ["BUGS"]


@bug
def event_not_kept_before_another_is_done() -> list[Change]:
    return [(Core, "_keep_event", lambda self, turn: None)]


@bug
def another_event_done_again_after_a_crash() -> list[Change]:
    counted = count()

    def call_id(self: Turn) -> str:
        return f"{self.root.id}.{next(counted)}"

    return [(Turn, "call_id", call_id)]


@bug
def circles_not_seen() -> list[Change]:
    return [(Core, "_closes_circle", lambda self, root, pico: False)]


@bug
def late_query_sees_half_a_turn() -> list[Change]:
    def shadow(self: Shelf, pico: Pico) -> Pico:
        found = Pico(pico.id, self.full(pico))
        found.group = pico.group
        found.entities = pico.entities
        found.view = self.view(found, found.structure, None)
        return found

    return [(Shelf, "shadow", shadow)]


@bug
def turn_goes_on_after_its_pico_died() -> list[Change]:
    return [(Core, "_cancel", lambda self, parked, fault: None)]


@bug
def answer_before_what_another_pico_said_is_durable() -> list[Change]:
    original = Core.ask

    def ask(self: Core, turn: Turn, eci: Any, rid: Any, name: Any, args: Any) -> Any:
        before = turn.root.pico.group
        try:
            return original(self, turn, eci, rid, name, args)
        finally:
            turn.root.pico.group = before

    return [(Core, "ask", ask)]


@bug
def begun_event_goes_to_the_end_of_the_queue() -> list[Change]:
    original = engine_module.item_from_record

    def read(record: list[Any], number: int) -> tuple[Item, bool]:
        return original(record, number)[0], False

    return [(engine_module, "item_from_record", read)]
