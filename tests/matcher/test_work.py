"""Counting work: both twins tell who runs in time, once each allowance, and keep threads apart."""

import threading
from types import ModuleType

import pytest

from runtime.limits import work_between_looks


class Runner:
    def __init__(self, *, ends_at: int = 0) -> None:
        self.looks = 0
        self.times = 0
        self.ends_at = ends_at

    def spent(self, times: int) -> None:
        self.looks += 1
        self.times += times
        if self.looks == self.ends_at:
            raise TimeoutError


@pytest.fixture(autouse=True)
def _allowance(work: ModuleType):
    """An allowance of ten, then that of the engine again."""
    work.allow(10)
    yield
    work.allow(work_between_looks)


@pytest.fixture
def runner(work: ModuleType, _allowance: None):
    found = Runner()
    work.begin(found)
    yield found
    work.begin(None)


def test_work_is_told_after_each_allowance(work: ModuleType, runner: Runner) -> None:
    for _ in range(10):
        work.tick()
    assert runner.looks == 0
    work.tick()
    assert runner.looks == 1
    for _ in range(11):
        work.tick()
    assert runner.looks == 2


def test_work_of_many_pieces_counts_at_once(work: ModuleType, runner: Runner) -> None:
    work.spend(10)
    assert runner.looks == 0
    work.spend(1_000_000)
    assert runner.looks == 1
    assert runner.times == 100_001
    work.spend(10)
    assert runner.looks == 1


def test_work_of_rounds_is_counted_before_each(work: ModuleType, runner: Runner) -> None:
    assert list(work.counted(range(25))) == list(range(25))
    assert runner.looks == 2


def test_work_ends_with_what_the_runner_raises(work: ModuleType) -> None:
    work.begin(Runner(ends_at=3))
    done: list[int] = []
    with pytest.raises(TimeoutError):
        done.extend(work.counted(range(1000)))
    assert len(done) == 32
    work.begin(None)


def test_work_for_nobody_is_not_told(work: ModuleType, runner: Runner) -> None:
    assert work.current() is runner
    work.begin(None)
    assert work.current() is None
    for _ in range(100):
        work.tick()
    work.spend(1 << 40)
    assert runner.looks == 0


def test_work_of_threads_is_apart(work: ModuleType, runner: Runner) -> None:
    seen: list[object] = []

    def other() -> None:
        seen.append(work.current())
        own = Runner()
        work.begin(own)
        work.spend(15)
        seen.append(own.looks)
        work.begin(None)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen == [None, 1]
    assert work.current() is runner
    assert runner.looks == 0


def test_work_lets_runners_go(work: ModuleType) -> None:
    import gc
    import weakref

    found = Runner()
    kept = weakref.ref(found)
    work.begin(found)
    del found
    gc.collect()
    assert kept() is not None
    work.begin(None)
    gc.collect()
    assert kept() is None
