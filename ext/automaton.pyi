from collections.abc import Sequence
from typing import Any

from ext.automaton_py import Matcher, ToNumber

class State:
    def pack(self) -> int | list[Any]: ...

class Machine:
    @property
    def start(self) -> State: ...
    def __init__(
        self,
        table: tuple[Any, ...],
        matchers: Sequence[Matcher] = (),
        to_number: ToNumber | None = None,
    ) -> None: ...
    def step(
        self, state: State, cx: Any, event: Any, now_ms: int | float, within_ms: int | float | None
    ) -> tuple[tuple[Any, ...] | None, State]: ...
    def unpack(self, packed: object) -> State: ...
