"""The slow oracle: entity variables as plain values, copied at every write, savepoint and turn.

In: the same calls as `Entities`. Out: what they must give. Not here: any cleverness.
"""

from copy import deepcopy
from typing import Any

from runtime.border import to_stored
from runtime.operators.collections import append
from runtime.operators.paths import delete, get, put, set_

State = dict[str, Any]


class Plain:
    """Variables by name, in four stages: what is written, settled, kept by the turn, and now."""

    def __init__(self) -> None:
        self.written: State = {}
        self.settled: State = {}
        self.kept: State = {}
        self.now: State = {}

    def __getitem__(self, name: str) -> Any:
        return self.now.get(name)

    def __setitem__(self, name: str, value: Any) -> None:
        stored = deepcopy(to_stored(value))
        if stored is None:
            self.now.pop(name, None)
        else:
            self.now[name] = stored

    def __delitem__(self, name: str) -> None:
        self.now.pop(name, None)

    def at(self, name: str, path: Any) -> Any:
        return get(self[name], path)

    def set_at(self, name: str, path: Any, value: Any) -> None:
        self[name] = set_(self[name], path, value)

    def clear_at(self, name: str, path: Any) -> None:
        self[name] = delete(self[name], path)

    def append(self, name: str, value: Any) -> None:
        self[name] = append(self[name], value)

    def put(self, name: str, path: Any, value: Any) -> None:
        self[name] = put(self[name], path, value)

    def delete(self, name: str, path: Any) -> None:
        self[name] = delete(self[name], path)

    def keep(self) -> None:
        self.kept = dict(self.now)

    def roll_back(self) -> None:
        self.now = dict(self.kept)

    def settle(self) -> None:
        self.settled = dict(self.now)
        self.kept = dict(self.now)

    def discard(self) -> None:
        self.now = dict(self.settled)
        self.kept = dict(self.settled)

    def write(self) -> None:
        self.written = dict(self.settled)

    def reload(self) -> None:
        self.settled = dict(self.written)
        self.discard()
