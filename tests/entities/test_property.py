"""Random sequences of writes, savepoints, turns, groups and reloads against plain copying.

Two sources: hypothesis, for any values and paths; and seeded sequences of few keys, much denser in
what is hard: reads between writes that are taken back, groups written while a turn is under way.
"""

import random
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from runtime.border import measured
from runtime.errors import Fault
from runtime.store import decode_record
from tests.entities.plain import Plain
from tests.entities.stage import Stage

KEYS = st.sampled_from(
    ["a", "b", "c", "d", "e", "f", "0", "1", "2", "7", "é", "", "x\0y", "\ud800"]
)
STEPS = KEYS | st.integers(-1, 8) | st.sampled_from([None, 1.5, True])
PATHS = STEPS | st.lists(STEPS, max_size=3)
SCALARS = st.sampled_from([None, True, False, 0, 1, 2.5, "", "text", "a longer text " * 4])
SMALL_VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(KEYS, v, max_size=3), max_leaves=6
)
VALUES = (
    SMALL_VALUES
    | st.lists(SMALL_VALUES, max_size=12)
    | st.dictionaries(KEYS, SMALL_VALUES, max_size=12)
    | st.just(len)
)
NAMES = st.sampled_from(["m", "n"])

WRITES = st.one_of(
    st.tuples(st.just("set"), NAMES, VALUES),
    st.tuples(st.just("set_at"), NAMES, PATHS, VALUES),
    st.tuples(st.just("put"), NAMES, PATHS, VALUES),
    st.tuples(st.just("append"), NAMES, VALUES),
    st.tuples(st.just("delete"), NAMES, PATHS),
    st.tuples(st.just("clear_at"), NAMES, PATHS),
    st.tuples(st.just("remove"), NAMES),
    st.tuples(st.just("filter"), NAMES, st.integers(2, 4)),
    st.tuples(st.just("turn_round"), NAMES),
    st.tuples(st.just("insert"), NAMES, st.integers(0, 5), KEYS, SMALL_VALUES),
    st.tuples(st.just("copy_to"), NAMES),
)
READS = st.one_of(
    st.tuples(st.just("read"), NAMES),
    st.tuples(st.just("hold"), NAMES),
    st.tuples(st.just("at"), NAMES, PATHS),
)
TIMES = st.sampled_from(
    ["keep", "roll_back", "settle", "discard", "write", "commit", "reload"]
).map(lambda word: (word,))
MEMORY = st.sampled_from([("trim",), ("drop",)])
STEPS_OF_A_RUN = st.one_of(WRITES, WRITES, WRITES, READS, READS, TIMES, MEMORY)


def shown(value: Any) -> str:
    """A value such that everything that matters differs: kinds and the order of keys too."""
    return repr(value)


class Run:
    """Both implementations, side by side; `held` are values handed out, and what they were."""

    def __init__(self) -> None:
        self.stage = Stage()
        self.plain = Plain()
        self.held: list[tuple[Any, Any]] = []

    def both(self, step: tuple[Any, ...]) -> None:
        """Do one step and compare."""
        word, *args = step
        own = getattr(self, "on_" + word, None)
        if own is not None:
            own(*args)
        elif word == "at":
            assert shown(self.stage.ent.at(*args)) == shown(self.plain.at(*args))
        else:
            faults = []
            for side in (self.stage.ent, self.plain):
                try:
                    if word == "set":
                        side[args[0]] = args[1]
                    elif word == "remove":
                        del side[args[0]]
                    else:
                        getattr(side, word)(*args)
                    faults.append("")
                except Fault as fault:
                    faults.append(fault.code)
            assert faults[0] == faults[1]

    def assign(self, name: str, value: Any) -> None:
        """Assign a value that was computed from what is there."""
        self.plain[name] = deepcopy(value)
        self.stage.ent[name] = value

    def on_filter(self, name: str, modulus: int) -> None:
        value = self.stage.ent[name]
        if type(value) is dict:
            items = [item for at, item in enumerate(value.items()) if at % modulus]
            self.assign(name, dict(items))
        elif type(value) is list:
            self.assign(name, [item for at, item in enumerate(value) if at % modulus])

    def on_turn_round(self, name: str) -> None:
        value = self.stage.ent[name]
        if type(value) is dict:
            self.assign(name, dict(reversed(value.items())))
        elif type(value) is list:
            self.assign(name, value[::-1])

    def on_insert(self, name: str, at: int, key: str, item: Any) -> None:
        value = self.stage.ent[name]
        if type(value) is dict:
            items = [(own, other) for own, other in value.items() if own != key]
            self.assign(name, dict([*items[:at], (key, item), *items[at:]]))
        elif type(value) is list:
            self.assign(name, [*value[:at], item, *value[at:]])

    def on_copy_to(self, name: str) -> None:
        other = "m" if name == "n" else "n"
        self.plain[other] = self.plain[name]
        self.stage.ent[other] = self.stage.ent[name]

    def on_read(self, name: str) -> None:
        assert shown(self.stage.ent[name]) == shown(self.plain[name])

    def on_hold(self, name: str) -> None:
        value = self.stage.ent[name]
        self.held.append((value, deepcopy(value)))

    def on_drop(self) -> None:
        self.check_held()
        self.held.clear()

    def on_keep(self) -> None:
        self.stage.ent.keep()
        self.plain.keep()

    def on_roll_back(self) -> None:
        self.stage.ent.roll_back()
        self.plain.roll_back()

    def on_settle(self) -> None:
        self.stage.settle()
        self.plain.settle()

    def on_discard(self) -> None:
        self.stage.ent.discard()
        self.plain.discard()

    def on_write(self) -> None:
        self.stage.write()
        self.plain.write()

    def on_commit(self) -> None:
        self.on_settle()
        self.on_write()

    def on_reload(self) -> None:
        self.stage.reload()
        self.plain.reload()

    def on_trim(self) -> None:
        self.stage.ent.trim()
        assert self.stage.ent.bytes_estimated() >= 0

    def check_held(self) -> None:
        """What was handed out is as it was."""
        for value, was in self.held:
            assert shown(value) == shown(was)

    def check_all(self) -> None:
        """Both agree now, after the rest is written, and after waking again."""
        self.check_held()
        for name in ("m", "n"):
            self.on_read(name)
        self.on_commit()
        self.on_reload()
        for name in ("m", "n"):
            value = self.plain[name]
            if type(value) is dict:
                for key in value:
                    self.both(("at", name, key))
            elif type(value) is list:
                for index in range(len(value)):
                    self.both(("at", name, index))
        for name in ("m", "n"):
            self.on_read(name)
        self.check_rows()

    def check_rows(self) -> None:
        """The store has heads of variables that are there, their parts, and nothing else."""
        expected = 0
        for name, value in self.plain.now.items():
            expected += 1
            row = self.stage.store.get("pico", b"cabc\0vr.id\0" + name.encode())
            assert row is not None
            head = decode_record(row)
            if type(head) is bytes:
                _, count, size, *rest = decode_record(head)
                assert count == len(value)
                keys = sum(map(len, value)) if type(value) is dict else 0
                assert size == measured(value)[1] + keys
                expected += count if type(value) is dict else -(-count // rest[0])
        assert len(self.stage.stored()) == expected


@settings(max_examples=150)
@given(st.lists(STEPS_OF_A_RUN, max_size=30))
def test_collections_are_as_plain_values(steps: list[tuple[Any, ...]]) -> None:
    run = Run()
    for step in steps:
        note(repr(step))
        run.both(step)
    run.check_all()


def dense(rng: random.Random) -> Iterator[tuple[Any, ...]]:
    """Steps on two variables of a few entries each, mostly single entries of collections."""
    words = rng.choice(
        [
            ["keep", "roll_back"],
            ["keep", "roll_back", "discard", "settle"],
            ["keep", "settle", "write", "commit", "trim"],
            ["keep", "roll_back", "discard", "settle", "write", "commit", "reload", "trim"],
        ]
    )
    points: list[Any] = ["a", "b", "c", "d", "e", "f", 0, 1, 4, 7, 8]
    for _ in range(60):
        name = rng.choice("mn")
        point = rng.choice(points)
        value = rng.choice([1, True, "x", "y" * 50, [1], {"p": 1, "q": 2}, {"q": 2, "p": 1}])
        dice = rng.random()
        if dice < 0.3:
            yield rng.choice([("set_at", name, point, value), ("put", name, point, value)])
        elif dice < 0.4:
            yield ("delete", name, point)
        elif dice < 0.45:
            yield ("put", name, [point, rng.choice("pq")], value)
        elif dice < 0.48:
            yield ("put", name, [], {str(point): value, "a": 1})
        elif dice < 0.53:
            yield ("append", "n", value if rng.random() < 0.5 else [1, 2, value])
        elif dice < 0.58:
            yield rng.choice([("filter", name, 2), ("filter", name, 4), ("turn_round", name)])
        elif dice < 0.61:
            yield ("insert", name, rng.randrange(5), rng.choice("abcdefg"), value)
        elif dice < 0.62:
            yield rng.choice([("set", name, 1), ("copy_to", name), ("remove", name)])
        elif dice < 0.64:
            items = rng.choice([[1, "x"], [True, "x"], ["long" * 9, "x"]]) * 5
            yield ("set", name, rng.choice([items, dict(zip("gfedcbaxyz", items, strict=True))]))
        elif dice < 0.78:
            yield rng.choice([("read", name), ("read", name), ("hold", name), ("drop",)])
        elif dice < 0.84:
            yield ("at", name, point)
        else:
            yield (rng.choice(words),)


@pytest.mark.parametrize("block", range(10))
def test_dense_sequences_are_as_with_plain_values(block: int) -> None:
    for seed in range(block * 100, block * 100 + 100):
        run = Run()
        run.assign("m", {key: key for key in "abcdef"})
        run.assign("n", list(range(8)))
        run.on_commit()
        if seed % 2:
            run.on_reload()
        steps = []
        try:
            for step in dense(random.Random(seed)):
                steps.append(step)
                run.both(step)
            run.check_all()
        except AssertionError as error:
            error.add_note(f"seed {seed}, after {steps}")
            raise
