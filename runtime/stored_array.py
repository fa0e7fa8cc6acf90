"""An array variable stored in chunks, so that appending touches the last one only.

In: paths, values and plain path operators. Out: what the operators give on the plain array. Shapes:
a part is a list of `chunk` elements, the last one may be shorter; `numbers` are
(elements, estimated bytes). Not here: turns and savepoints (entities.py), what all collections
share (stored.py).
"""

from __future__ import annotations

from collections.abc import Callable
from operator import is_
from typing import Any, Self

from runtime.border import measured, to_stored
from runtime.errors import Fault
from runtime.kinds import is_index, text
from runtime.operators.paths import delete, get, put
from runtime.store import encode_record, key_number, number_key
from runtime.stored import (
    SCALARS,
    Bounds,
    Collection,
    Reader,
    Undo,
    check_row,
    check_variable,
    is_same,
    size_of,
)


class StoredArray(Collection):
    """An array of which single elements are read and written."""

    KIND = 2

    __slots__ = ("chunk",)

    def __init__(
        self,
        reader: Reader,
        prefix: bytes,
        name: str,
        bounds: Bounds,
        numbers: tuple[int, ...],
        chunk: int,
    ) -> None:
        super().__init__(reader, prefix, name, bounds)
        self.numbers = self.settled = numbers
        self.chunk = chunk

    @classmethod
    def fresh(
        cls, reader: Reader, prefix: bytes, name: str, bounds: Bounds, value: Any, size: int
    ) -> Self:
        """An array that replaces whatever the variable was; `size` is what `measured` says.

        Raises: R4015.
        """
        count = len(value)
        check_variable(name, size, bounds)
        if size > bounds.row_bytes:
            for item in value:
                check_row(name, "one element", 8 + size_of(item), bounds)
        chunk = max(1, min(bounds.chunk_elements, bounds.chunk_bytes * count // size))
        made = cls(reader, prefix, name, bounds, (count, size), chunk)
        made.is_complete = True
        made._whole = value
        made._divide()
        return made

    def _divide(self) -> None:
        whole, chunk = self._whole, self.chunk
        self.parts = {
            number: whole[at : at + chunk] for number, at in enumerate(range(0, len(whole), chunk))
        }

    def encode_key(self, key: Any) -> bytes:
        return number_key(key)

    def decode_key(self, data: bytes) -> Any:
        return key_number(data)

    def pack_head(self) -> bytes:
        return encode_record(encode_record((self.KIND, *self.settled, self.chunk)))

    def check_complete(self) -> None:
        found = sum(len(part) for part in self.parts.values() if part is not None)
        if found != self.settled[0]:
            raise Fault(
                "R3006",
                f"ent:{self.name} should have {self.settled[0]} elements, {found} were found",
            )

    # --- The whole --------------------------------------------------------------------------------

    def make_whole(self) -> Any:
        whole: list[Any] = []
        for number in range(-(-self.numbers[0] // self.chunk)):
            whole += self.part(number)
        return whole

    def refresh(self) -> None:
        whole, chunk, count = self._whole, self.chunk, self.numbers[0]
        del whole[count:]
        for number in sorted(self._stale):
            at = number * chunk
            if at < count:
                whole[at : at + chunk] = self.part(number)

    def take_over(self, old: Collection | None) -> None:
        """Settle as a new value in place of another: only the rows that differ become dirty.

        `old` was loaded if it is an array; its own changes of this turn do not count.
        Cost: O(elements).
        """
        self.whole()
        self.settle()
        if not isinstance(old, StoredArray):
            self.dirty = set(self.parts)
            return
        # Other chunks mean other rows throughout: only when elements are of quite another size.
        if old.chunk < 4 * self.chunk < 16 * old.chunk:
            self.chunk = old.chunk
            self._divide()
            self.written = old.written
        parts, dirty = self.parts, old.dirty
        for number, part in parts.items():
            known = old.parts.get(number)
            if known is None or not _is_same_chunk(known, part):
                dirty.add(number)
        for number in old.parts:
            if number not in parts:
                parts[number] = None
                dirty.add(number)
        self.dirty = dirty

    # --- Parts of the value -----------------------------------------------------------------------

    def at(self, path: Any) -> Any:
        """What is at a path, or null."""
        t = type(path)
        if t is int:
            return self._element(path) if 0 <= path < self.numbers[0] else None
        if t is list:
            if not path:
                return None
            key = text(path[0])
        else:
            key = text(path)
        if not is_index(key) or int(key) >= self.numbers[0]:
            return None
        element = self._element(int(key))
        return element if t is not list or len(path) == 1 else get({key: element}, path)

    def _element(self, index: int) -> Any:
        number, at = divmod(index, self.chunk)
        return self._chunk(number)[at]

    def _chunk(self, number: int) -> list[Any]:
        part: list[Any] | None = self.part(number)
        if part is None:
            raise Fault("R3006", f"ent:{self.name} has lost its elements {number * self.chunk}…")
        return part

    def change(self, operator: Callable[..., Any], path: Any, args: Any, undo: Undo) -> bool:
        """Do what a path operator does; False when that concerns more than single elements.

        Raises: what the operator raises; R4015.
        Cost:   O(size of the chunk).
        """
        if type(path) is list:
            if not path:
                return operator is not put
            key = text(path[0])
        else:
            key = text(path)
        count = self.numbers[0]
        if not is_index(key) or int(key) >= count:
            if operator is delete:
                return True
            if key != str(count):
                return False
            # One place behind the last element.
            one = operator({}, path, *args)
            return self.append([to_stored(one).get(key)], undo)
        index = int(key)
        element = self._element(index)
        one = {key: element}
        changed = operator(one, path, *args)
        if changed is not one:
            value = to_stored(changed).get(key)
            if value is not element:
                self._write(index, element, value, undo)
        return True

    def append(self, value: Any, undo: Undo) -> bool:
        """Append one value, or each element of an array.

        Raises: R2001 for what cannot be stored, R4015.
        Cost:   O(what is appended + one chunk).
        """
        if type(value) in SCALARS:
            items = [value]
            size = 8 + len(value) if type(value) is str else 8
        else:
            items, size = measured(value if type(value) is list else [value])
        if size > self._bounds.row_bytes:
            for item in items:
                check_row(self.name, "one element", 8 + size_of(item), self._bounds)
        count, total = self.numbers
        check_variable(self.name, total + size, self._bounds)
        chunk = self.chunk
        taken = 0
        while taken < len(items):
            number, filled = divmod(count, chunk)
            more = items[taken : taken + chunk - filled]
            taken += len(more)
            count += len(more)
            # All the bytes are counted with the last chunk, so that undoing gives them back.
            now = (count, total + size if taken == len(items) else total)
            part = [*self._chunk(number), *more] if filled else more
            self.replace(number, part, now, undo)
        return True

    def _write(self, index: int, element: Any, value: Any, undo: Undo) -> None:
        count, size = self.numbers
        bytes_new = 8 + size_of(value)
        check_row(self.name, "one element", bytes_new, self._bounds)
        number, at = divmod(index, self.chunk)
        part = self._chunk(number).copy()
        part[at] = value
        self.replace(number, part, (count, size + bytes_new - 8 - size_of(element)), undo)


def _is_same_chunk(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and (all(map(is_, a, b)) or all(map(is_same, a, b)))
