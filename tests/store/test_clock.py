"""Clocks fire in order and on time; identifiers have their form and repeat only when asked to."""

import re
import time
from collections.abc import Callable

import pytest

from runtime.clock import (
    ID_CHARS,
    CounterIds,
    RealClock,
    RealIds,
    SeededIds,
    SeededRandom,
    VirtualClock,
)


def test_virtual_clock_fires_in_order_of_time_then_of_asking() -> None:
    clock = VirtualClock(1000)
    seen: list[tuple[str, int]] = []

    def note(name: str) -> Callable[[], None]:
        return lambda: seen.append((name, clock.now_ms()))

    clock.call_at(1200, note("b"))
    clock.call_at(1100, note("a"))
    clock.call_at(1200, note("c"))
    clock.call_at(1150, note("never")).cancel()
    clock.call_at(5, note("past"))
    clock.call_soon(note("soon"))
    assert seen == []
    assert clock.next_due_ms() == 5
    clock.advance(0.1)
    assert seen == [("soon", 1000), ("past", 1000), ("a", 1100)]
    assert clock.next_due_ms() == 1200
    clock.advance_to(1200)
    assert seen[3:] == [("b", 1200), ("c", 1200)]
    assert clock.next_due_ms() is None
    clock.advance(60)
    assert clock.now_ms() == 61_200


def test_virtual_clock_stops_at_timers_set_on_the_way() -> None:
    clock = VirtualClock()
    seen: list[int] = []

    def again() -> None:
        seen.append(clock.now_ms())
        clock.call_soon(lambda: clock.call_at(clock.now_ms() + 1000, again))

    clock.call_at(1000, again)
    clock.advance(3.5)
    assert seen == [1000, 2000, 3000]
    assert clock.now_ms() == 3500


def test_virtual_clock_lends_its_calls_to_a_loop() -> None:
    lent: list[Callable[[], object]] = []
    clock = VirtualClock(0, lent.append)
    clock.call_soon(lambda: None)
    clock.run()
    assert len(lent) == 1


class FakeLoop:
    """A loop whose `call_later` keeps what it was asked."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], object]] = []
        self.later: list[tuple[float, Callable[[], object]]] = []
        self.cancelled = 0

    def call_later(self, seconds: float, fn: Callable[[], object]) -> "FakeLoop":
        self.later.append((seconds, fn))
        return self

    def cancel(self) -> None:
        self.cancelled += 1


def test_real_clock_fires_once_when_due() -> None:
    loop = FakeLoop()
    clock = RealClock(loop.soon.append, loop.call_later)
    seen: list[int] = []
    clock.call_at(clock.now_ms() - 1, lambda: seen.append(1))
    assert seen == []
    (seconds, fn) = loop.later.pop()
    assert seconds == 0
    fn()
    fn()
    assert seen == [1]


def test_real_clock_waits_again_when_woken_early() -> None:
    loop = FakeLoop()
    clock = RealClock(loop.soon.append, loop.call_later)
    seen: list[int] = []
    handle = clock.call_at(clock.now_ms() + 10 * 86_400_000, lambda: seen.append(1))
    assert loop.later[0][0] == 86_400
    loop.later[0][1]()
    assert seen == []
    assert len(loop.later) == 2
    handle.cancel()
    loop.later[1][1]()
    assert seen == []
    assert loop.cancelled == 1


def test_what_is_called_after_a_while_does_not_care_what_the_time_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = FakeLoop()
    clock = RealClock(loop.soon.append, loop.call_later)
    seen: list[int] = []
    clock.call_after(1500, lambda: seen.append(1))
    # Somebody sets the clock back by a day.
    earlier_ns = time.time_ns() - 86_400_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: earlier_ns)
    (seconds, fn) = loop.later.pop()
    fn()
    assert (seconds, seen, loop.later) == (1.5, [1], [])


def test_real_clock_call_soon_goes_to_the_loop() -> None:
    loop = FakeLoop()
    clock = RealClock(loop.soon.append, loop.call_later)
    clock.call_soon(loop.cancel)
    assert loop.soon == [loop.cancel]


@pytest.mark.parametrize(("partition", "chars"), [(0, "00"), (35, "0z"), (36, "10"), (1295, "zz")])
def test_real_ids_have_their_form(partition: int, chars: str) -> None:
    ids = RealIds(partition)
    made = [make() for make in (ids.pico, ids.eci, ids.eid) for _ in range(1000)]
    assert len(set(made)) == 3000
    assert all(re.fullmatch(f"c{chars}[0-9a-z]{{25}}", one) for one in made)
    assert len(made[0]) == ID_CHARS


def test_real_ids_use_all_characters_evenly() -> None:
    ids = RealIds()
    text = "".join(ids.eid()[3:] for _ in range(4000))
    counts = [text.count(char) for char in set(text)]
    assert len(counts) == 36
    # 100,000 characters: 2,778 each, standard deviation 52; seven of them are never met by chance.
    assert max(abs(count - 100_000 / 36) for count in counts) < 364


def test_partition_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="1296"):
        RealIds(1296)


def test_seeded_ids_and_random_repeat() -> None:
    first, second, other = SeededIds(7), SeededIds(7), SeededIds(8)
    made = [first.eid() for _ in range(5)]
    assert made == [second.pico() for _ in range(5)]
    assert other.eci() not in made
    assert re.fullmatch(r"c00[0-9a-z]{25}", made[0])
    one, two = SeededRandom(3), SeededRandom(3)
    assert [one.below(6) for _ in range(9)] == [two.below(6) for _ in range(9)]
    assert one.number() == two.number()
    assert 0 <= one.number() < 1
    assert {one.below(3) for _ in range(99)} == {0, 1, 2}


def test_counter_ids_share_one_counter() -> None:
    ids = CounterIds()
    assert [ids.pico(), ids.eci(), ids.eid(), ids.eid()] == ["id0", "id1", "id2", "id3"]
