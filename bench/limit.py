"""The limit row: same input, same output, same durability, no rules.

In: the requests of a workload. Out: answers of the same shape, after the same rows are durable. It
makes the event objects, gathers up to 64 events into one store batch, has that synced by the
engine's own store, and answers after the sync; while one sync is under way the next batch gathers.
Nothing is matched, evaluated, checked against a policy or kept in memory: an engine that did all of
that for nothing would be this fast. Not here: what the rows are (workloads.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import time_ns
from typing import Any

from bench.measure import Done, Subject
from runtime.event import Event, Query
from runtime.store import Batch, Store

GROUP = 64

Directives = tuple[tuple[str, dict[str, Any]], ...]


class Request:
    """One thing to ask, and what the answer has to be.

    `expected` are the directives of an event's answer; a query has `check` instead.
    """

    __slots__ = ("attrs", "check", "domain", "eci", "expected", "name", "value")

    def __init__(
        self,
        eci: str,
        domain: str,
        name: str,
        attrs: dict[str, Any],
        expected: Directives = (),
        check: Callable[[Any], bool] | None = None,
        value: Any = None,
    ) -> None:
        self.eci = eci
        self.domain = domain
        self.name = name
        self.attrs = attrs
        self.expected = expected
        self.check = check
        self.value = value

    def problem(self, answer: Any) -> str | None:
        """What is wrong with an answer, if anything is."""
        if self.check is not None:
            if self.check(answer):
                return None
        elif type(answer) is dict and "errors" not in answer:
            directives, expected = answer["directives"], self.expected
            if len(directives) == len(expected):
                for got, (name, options) in zip(directives, expected, strict=True):
                    if got["name"] != name or got["options"] != options:
                        break
                else:
                    return None
        shown = str(answer)
        return (
            f"{self.domain}:{self.name} was answered with {shown[:300]}"
            + ("…" if len(shown) > 300 else "")
            + ("" if self.check else f", and should have the directives {list(self.expected)}")
        )


class Plan:
    """What the limit row does for one workload.

    `rows(number, request)` are the rows an operation leaves, `number` counting operations; `inner`
    is how many events an operation makes inside the engine. With `merge` rows of one key in a batch
    become one, as they do in an engine that knows what they mean.
    """

    __slots__ = ("inner", "merge", "requests", "rows")

    def __init__(
        self,
        requests: list[Request],
        rows: Callable[[int, Request], Batch] | None = None,
        *,
        inner: int = 0,
        merge: bool = False,
    ) -> None:
        self.requests = requests
        self.rows = rows
        self.inner = inner
        self.merge = merge


class Limit(Subject):
    """Does a plan's requests over a store, as a subject to be measured."""

    def __init__(
        self, store: Store, call_soon: Callable[[Callable[[], object]], object], plan: Plan
    ) -> None:
        self._store = store
        self._call_soon = call_soon
        self._plan = plan
        self._count = 0
        self._queue: deque[tuple[Request, Any, Callable[[Any], object]]] = deque()
        self._is_scheduled = False
        self._is_syncing = False

    def start(self, done: Done) -> None:
        plan = self._plan
        request = plan.requests[self._count % len(plan.requests)]
        self.ask(request, lambda answer: done(request.problem(answer)))

    def ask(self, request: Request, done: Callable[[Any], object]) -> None:
        """Have a request answered; `done` gets the answer, or a text when the store failed."""
        self._count += 1
        asked: Event | Query
        if request.check is None:
            eid = f"e{self._count}"
            now = time_ns() // 1_000_000
            attrs = dict(request.attrs)
            asked = Event(request.eci, request.domain, request.name, attrs, now, eid)
        else:
            args = dict(request.attrs)
            asked = Query(request.eci, request.domain, request.name, args, f"e{self._count}")
        self._queue.append((request, asked, done))
        if not self._is_scheduled and not self._is_syncing:
            self._is_scheduled = True
            self._call_soon(self._drain)

    def _drain(self) -> None:
        """Answer up to 64 requests: at once when nothing has to be durable, else after the sync."""
        self._is_scheduled = False
        plan, queue = self._plan, self._queue
        batch: Batch = []
        answers: list[tuple[Any, Callable[[Any], object]]] = []
        first = self._count - len(queue)
        for number in range(first, first + min(len(queue), GROUP)):
            request, asked, done = queue.popleft()
            if plan.rows is not None:
                batch += plan.rows(number, request)
            for _ in range(plan.inner):
                asked = _event_after(asked)
            answers.append((_answer(request, asked), done))
        if not batch:
            self._tell(answers)
            return
        if plan.merge:
            latest = {(family, key): value for family, key, value in batch}
            batch = [(family, key, value) for (family, key), value in latest.items()]
        self._store.write(batch)
        self._is_syncing = True
        self._store.sync(lambda failure: self._synced(failure, answers))

    def _synced(
        self, failure: BaseException | None, answers: list[tuple[Any, Callable[[Any], object]]]
    ) -> None:
        self._is_syncing = False
        if failure is not None:
            for _, done in answers:
                done(f"the store refused a write: {failure}")
            return
        self._tell(answers)

    def _tell(self, answers: list[tuple[Any, Callable[[Any], object]]]) -> None:
        for answer, done in answers:
            done(answer)
        if self._queue and not self._is_scheduled:
            self._is_scheduled = True
            self._call_soon(self._drain)


def _event_after(event: Event) -> Event:
    """An event as a rule would raise or send it."""
    now = time_ns() // 1_000_000
    return Event(event.eci, event.domain, event.name, dict(event.attrs), now, event.eid)


def _answer(request: Request, asked: Any) -> Any:
    """What the caller gets."""
    if request.check is not None:
        return request.value
    eid = asked.eid
    return {
        "eid": eid,
        "directives": [
            {
                "type": "directive",
                "name": name,
                "options": dict(options),
                "meta": {"rid": request.domain, "rule_name": name, "txnId": eid},
            }
            for name, options in request.expected
        ],
    }
