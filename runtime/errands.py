"""Errands: requests that rules leave behind (`autosend`), from the commit to the event after them.

In: errands among the sends of finished turns. Out: a row in the turn's own commit group; once that
is durable a request; its response as an event for a channel of this engine, in the same batch that
removes the row. Invariants: nothing leaves before the turn that wants it is durable, and nothing of
a rule that faulted leaves at all; after a crash a request may be made again, under the same key,
but there is one event; a request that fails, or whose event nobody takes, is logged and ends.
Memory holds numbers only; all the rest waits in the store. Not here: what a rule may ask
(modules/http.py).

Source: stdlib reference 16, `autosend`; engine reference A.3. DESIGN.md, "HTTP requests".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from runtime import observe
from runtime.clock import Clock
from runtime.commit import Committer
from runtime.errors import Fault
from runtime.limits import errands_flying_max, errands_waiting_max
from runtime.module import to_fault
from runtime.operators.strings import decode
from runtime.store import Store, decode_record, encode_record, key_number, number_key
from runtime.turn import Send
from runtime.web import Request, Response, Web, response_map, shown_url

PREFIX = b"errand:"


class Errand(Send):
    """A send whose event is made of a response: the request comes first.

    `host` is "", so that it is no send within the engine.
    """

    __slots__ = ("is_json", "request")

    def __init__(
        self,
        eci: str,
        domain: str,
        name: str,
        attrs: dict[str, Any],
        eid: str,
        request: Request,
        is_json: bool,
    ) -> None:
        super().__init__(eci, domain, name, attrs, eid, "")
        self.request = request
        self.is_json = is_json

    def row(self) -> bytes:
        """The errand as it is stored."""
        asked = self.request
        return encode_record(
            [self.eci, self.domain, self.name, self.attrs, self.eid, list(asked), self.is_json]
        )


def errand_from_row(row: bytes) -> Errand:
    """The errand of a row.

    Raises: R3006 when it has another shape.
    """
    try:
        eci, domain, name, attrs, eid, asked, is_json = decode_record(row, "errand")
        method, url, headers, body, follows = asked
        pairs = tuple((header, value) for header, value in headers)
    except (TypeError, ValueError):
        raise Fault("R3006", "an errand's record has another shape") from None
    request = Request(method, url, pairs, body, follows)
    return Errand(eci, domain, name, attrs, eid, request, is_json)


class Errands:
    """All requests in the background.

    `deliver` gets (errand, its event's attributes), in the group that gathers; `is_open` says
    whether the engine goes on.
    """

    def __init__(
        self,
        store: Store,
        committer: Committer,
        clock: Clock,
        web: Web | None,
        deliver: Callable[[Errand, dict[str, Any]], object],
        is_open: Callable[[], bool],
    ) -> None:
        self._store = store
        self._committer = committer
        self._clock = clock
        self._web = web
        self._deliver = deliver
        self._is_open = is_open
        self._next = 0
        self._waiting: deque[int] = deque()
        self._flying = 0
        self._open = 0

    def resume(self) -> None:
        """Take up what an earlier run did not bring to its end; it leaves on a later call."""
        for key, _ in self._store.scan("meta", PREFIX):
            number = key_number(key[len(PREFIX) :])
            self._waiting.append(number)
            self._open += 1
            self._next = number + 1
        if self._waiting:
            self._clock.call_soon(self._pump)

    def check(self, sends: list[Send]) -> None:
        """Refuse one more errand when too many have not ended; `sends` are those of the turn.

        Raises: R5002.
        """
        if self._open + len(sends) < errands_waiting_max:
            return
        if self._open + sum(type(send) is Errand for send in sends) >= errands_waiting_max:
            raise Fault(
                "R5002",
                f"{errands_waiting_max} requests with autosend have not ended",
                "wait until the servers answer, or ask them less often",
            )

    def add(self, errand: Errand) -> None:
        """A committed turn wants this: it becomes a row, and leaves when the row is durable."""
        number = self._next
        self._next = number + 1
        self._open += 1
        committer = self._committer
        committer.put("meta", PREFIX + number_key(number), errand.row())
        committer.when_durable(committer.gathering, partial(self._durable, number))

    def _durable(self, number: int, failure: Fault | None) -> None:
        if failure is None:
            self._waiting.append(number)
            self._pump()

    def _pump(self) -> None:
        while self._waiting and self._flying < errands_flying_max and self._is_open():
            self._launch(self._waiting.popleft())

    def _launch(self, number: int) -> None:
        try:
            row = self._committer.get("meta", PREFIX + number_key(number))
            if row is None:
                raise Fault("R3006", "a request that has to leave is not in the store")
            errand = errand_from_row(row)
        except Fault as fault:
            # The others go on; whoever looks after the store can still see what is left of it.
            self._open -= 1
            observe.errand_failed("?", "?", fault)
            return
        self._flying += 1
        hear = partial(self._hear, number, errand)
        if self._web is None:
            nowhere = Fault("R5007", "the request cannot leave this engine")
            self._clock.call_soon(partial(hear, nowhere))
        else:
            self._web.fetch(errand.request, hear)

    def _hear(self, number: int, errand: Errand, response: Response | Fault) -> None:
        """The end of a request. While the engine closes it stays in the store instead."""
        self._flying -= 1
        if not self._is_open():
            return
        self._open -= 1
        self._committer.put("meta", PREFIX + number_key(number), None)
        if isinstance(response, Fault):
            observe.errand_failed(errand.request.method, shown_url(errand.request.url), response)
        else:
            try:
                found = response_map(errand.request, response)
                if errand.is_json:
                    found["content"] = decode(found["content"])
                self._deliver(errand, {**errand.attrs, **found})
            except Exception as error:  # the others must go on whatever it is
                fault = to_fault(error)
                observe.errand_failed(errand.request.method, shown_url(errand.request.url), fault)
        self._pump()
        self._committer.flush()

    @property
    def is_idle(self) -> bool:
        """True when no request waits or is under way."""
        return not self._open
