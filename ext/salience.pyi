from collections.abc import Sequence
from typing import Generic, TypeVar

from ext.salience_py import Pairs

Rule = TypeVar("Rule")

class Salience(Generic[Rule]):
    def __init__(self, rulesets: Sequence[Sequence[tuple[Rule, Pairs | None]]]) -> None: ...
    def lookup(self, domain: str, name: str) -> tuple[tuple[int, tuple[Rule, ...]], ...]: ...
