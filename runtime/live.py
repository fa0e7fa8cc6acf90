"""Live: what turns do, shown as it happens to whoever listens.

In: finished turns, from the history while anybody listens; what a listener wants. Out: entries as
`History.entries` gives them, once what the turn did is durable. Invariants: nothing here fails or
delays a turn; a listener holds no more than `live_entries_max` entries and `live_bytes_max` bytes,
and is told how many were left out; nobody listening costs a turn nothing but one comparison.
Not here: who may listen and how it travels (http_follow.py, channel_live.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from runtime import observe
from runtime.clock import Clock
from runtime.commit import Committer
from runtime.errors import Fault
from runtime.history import Entry, History, Record, encode_group, entry_of, is_wanted, shortened
from runtime.limits import live_bytes_max, live_entries_max, live_listeners_max
from runtime.observe import LEVELS
from runtime.store import decode_record
from runtime.turn import Turn

_ERROR = LEVELS["error"]


class Wanted(NamedTuple):
    """What a listener wants to see; made by `wanted`. `level` 0 is everything."""

    pico_id: str | None
    domain: str
    name: str
    rid: str | None
    rule: str | None
    level: int
    is_whole: bool


def wanted(
    pico_id: str | None = None,
    *,
    event: str | None = None,
    rule: str | None = None,
    level: str | None = None,
    whole: bool = False,
) -> Wanted:
    """What a listener wants, from what people write.

    `event` is `domain:name`, either of them `*` or left out; `rule` a rule's name or `rid:rule`;
    `level` the least level of a log statement to look for, where a fault is an error.
    Raises: R1013 for a level that does not exist, or an event without a colon.
    """
    domain, colon, name = (event or ":").partition(":")
    if not colon:
        hint = "write domain:name, or domain:* for all of a domain"
        raise Fault("R1013", f"{event!r:.80} is no event", hint)
    if level is not None and level not in LEVELS:
        raise Fault("R1013", f"{level!r:.40} is no level", f"one of {', '.join(LEVELS)}")
    rid, _, rule_name = (rule or "").rpartition(":")
    return Wanted(
        pico_id,
        domain if domain != "*" else "",
        name if name != "*" else "",
        rid or None,
        rule_name or None,
        LEVELS[level] if level else 0,
        whole,
    )


class Listener:
    """One who listens; `tell` is called when the first entry waits, and not again until taken."""

    __slots__ = ("_bytes", "_dropped", "_live", "_queue", "_tell", "wanted")

    def __init__(self, live: Live, wanted: Wanted, tell: Callable[[], object]) -> None:
        self.wanted = wanted
        self._live = live
        self._tell = tell
        self._queue: deque[tuple[Entry, int]] = deque()
        self._bytes = 0
        self._dropped = 0

    def take(self, entries_max: int) -> tuple[list[Entry], int]:
        """The oldest entries that wait, and how many before them were left out."""
        queue = self._queue
        found: list[Entry] = []
        while queue and len(found) < entries_max:
            entry, size = queue.popleft()
            self._bytes -= size
            found.append(entry)
        dropped, self._dropped = self._dropped, 0
        return found, dropped

    def close(self) -> None:
        """Listen no more."""
        self._live.left(self)
        self._queue.clear()
        self._bytes = 0

    def add(self, entry: Entry, size: int) -> None:
        """Let an entry wait, in place of the oldest if there are too many."""
        queue = self._queue
        is_first = not queue
        queue.append((entry, size))
        self._bytes += size
        while len(queue) > live_entries_max or (self._bytes > live_bytes_max and len(queue) > 1):
            self._bytes -= queue.popleft()[1]
            self._dropped += 1
        if is_first:
            self._tell()


class Live:
    """All who listen to one engine."""

    def __init__(self, history: History, committer: Committer, clock: Clock) -> None:
        self._history = history
        self._committer = committer
        self._clock = clock
        self._listeners: list[Listener] = []

    def listen(self, wanted: Wanted, tell: Callable[[], object]) -> Listener:
        """Show from now on what is wanted, until `close`.

        Raises: R4026 when too many listen, R1017 when the engine keeps no history.
        """
        if not self._history.is_on:
            hint = "start it without `--history off`"
            raise Fault("R1017", "this engine keeps no history, so there is nothing to show", hint)
        if len(self._listeners) >= live_listeners_max:
            raise Fault("R4026", f"{live_listeners_max} clients follow this engine already")
        listener = Listener(self, wanted, tell)
        self._listeners.append(listener)
        self._history.heard = self._heard
        return listener

    def left(self, listener: Listener) -> None:
        """Somebody listens no more."""
        if listener in self._listeners:
            self._listeners.remove(listener)
        if not self._listeners:
            self._history.heard = None

    def _heard(self, turn: Turn, record: Record) -> None:
        """A turn is over: show it, once it is durable, to those who want it."""
        pico_id = turn.pico.id
        listeners = [one for one in self._listeners if one.wanted.pico_id in (None, pico_id)]
        if not listeners:
            return
        try:
            # The same bytes as are stored, so that listeners see what the history will hold.
            data = encode_group([record])
            entry = entry_of(decode_record(data, "turn")[0], pico_id, self._clock.now_ms())
        except Exception as error:
            observe.bug(pico_id, error)
            return
        show = partial(self._show, listeners, entry, len(data))
        self._committer.when_durable(turn.pico.group, show)

    def _show(
        self, listeners: list[Listener], entry: Entry, size: int, failure: Fault | None
    ) -> None:
        if failure is not None:
            return
        short: Entry | None = None
        for listener in listeners:
            wanted = listener.wanted
            if listener not in self._listeners or not _fits(entry, wanted):
                continue
            if not wanted.is_whole and short is None:
                short = shortened(entry)
            try:
                listener.add(entry if wanted.is_whole or short is None else short, size)
            except Exception as error:
                observe.bug(entry["pico"], error)


def _fits(entry: Entry, wanted: Wanted) -> bool:
    """Whether a listener wants this entry."""
    happenings = (entry, *entry["raised"])
    if (wanted.domain or wanted.name) and not any(
        wanted.domain in ("", one["domain"]) and wanted.name in ("", one["name"])
        for one in happenings
    ):
        return False
    if wanted.level and not any(
        _is_as_grave(rule, wanted.level) for one in happenings for rule in one["rules"]
    ):
        return False
    return is_wanted(entry, None, wanted.rid, wanted.rule)


def _is_as_grave(rule: Entry, level: int) -> bool:
    """Whether a rule faulted, or logged something of this level or above."""
    if "fault" in rule and level <= _ERROR:
        return True
    return any(LEVELS.get(said["level"], _ERROR) >= level for said in rule.get("logs", ()))
