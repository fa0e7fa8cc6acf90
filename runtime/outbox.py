"""The outbox: events for picos on other engines, from the sender's commit to the other side's word.

In: sends of completed turns. Out: rows in the sender's own commit group, envelopes for the network
once that group is durable, and what cannot arrive given back. Invariants: the events of a pair
(sending pico, host and ECI) are numbered from 1 without gaps and end in that order, each of them
once: taken, refused, or given up after `outbox_kept_ms`; its row goes, and its dead letter comes,
in the same batch; a pair that waits holds up no other; what is in memory is bounded by pairs that
have something to send, not by pairs or picos that there are. A send outlives its pico.

A pair's record [name, low] is in family `meta` while it is in memory, where a start finds it and
seeks past everything below `low`; else it rests beside its pico's records. Source: DESIGN.md 10.
Not here: the receiving side (arrivals.py), transports (network.py).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from runtime.clock import Clock, Handle, Ids, Random
from runtime.commit import Committer
from runtime.errors import Fault
from runtime.limits import (
    address_characters_max,
    outbox_answer_ms,
    outbox_expired_max,
    outbox_host_asked_max,
    outbox_host_bytes_max,
    outbox_host_flying_max,
    outbox_kept_ms,
    outbox_pairs_idle_max,
    outbox_retry_ms,
    outbox_retry_ms_max,
    outbox_sends_max,
    outbox_window_max,
)
from runtime.network import Envelope, Network, Nowhere, Reply
from runtime.store import (
    INCARNATION_KEY,
    Store,
    decode_record,
    encode_record,
    head_key,
    outbox_key,
    outbox_prefix,
    pair_key,
)
from runtime.turn import Send

PAIR = b"pair:"
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[!-~]+", re.IGNORECASE)
_ECI = re.compile(r"[!-~]+")
# Nobody answered; other reasons to try again are somebody's answer.
_CUT_OFF = ("R5003", "R5004")


class Lane:
    """All that flies to one host, how many events and bytes, and the pairs that wait for room.

    It `is_cut_off` when nobody answers there, until somebody does; meanwhile of the pairs that have
    tried before one at a time does so again.
    """

    __slots__ = ("__weakref__", "bytes", "flying", "flying_max", "is_cut_off", "queue")

    def __init__(self) -> None:
        self.flying = 0
        self.flying_max = outbox_host_asked_max
        self.bytes = 0
        self.is_cut_off = False
        self.queue: deque[Pair] = deque()

    def is_full(self, pair: Pair) -> bool:
        """True when no more of a pair may fly; one event of any size always may."""
        flying_max = 1 if self.is_cut_off and pair.tries else self.flying_max
        return self.flying >= flying_max or self.bytes >= outbox_host_bytes_max


class Pair:
    """One pico's sends to one channel of another engine.

    Numbers: below `low` all are ended; below `next` all are given out; below `ready` all are
    durable; from `sent` on none was tried in this round. `flying` were tried and are not answered,
    with their sizes;
    `outcomes` are known and wait for lower ones (None: taken). A round ends when something went
    wrong; then the pair rests, and begins again at `low`. `waits_for` is the last commit group in
    which something was given back: the other side must not forget it before we cannot. `why` is
    what the last failure said; the pair `is_cut_off` when it was that nobody answered.
    """

    __slots__ = (
        "alarm",
        "deadline_ms",
        "eci",
        "flying",
        "host",
        "is_cut_off",
        "is_queued",
        "is_resting",
        "lane",
        "low",
        "name",
        "next",
        "outcomes",
        "ready",
        "receiver",
        "round",
        "sender",
        "sent",
        "tries",
        "waits_for",
        "why",
    )

    def __init__(self, sender: str, receiver: str, lane: Lane, name: str, low: int) -> None:
        self.sender = sender
        self.receiver = receiver
        self.host, self.eci = receiver.split(" ")
        self.lane = lane
        self.name = name
        self.low = self.sent = self.ready = self.next = low
        self.flying: dict[int, int] = {}
        self.outcomes: dict[int, Fault | None] = {}
        self.round = 0
        self.tries = 0
        self.deadline_ms = 0
        self.waits_for = 0
        self.why = ""
        self.alarm: Handle | None = None
        self.is_queued = False
        self.is_resting = False
        self.is_cut_off = False

    @property
    def key(self) -> bytes:
        """The key of its record while it is in memory."""
        return PAIR + f"{self.sender}\0{self.receiver}".encode()

    def row_key(self, number: int) -> bytes:
        """The key of one of its rows."""
        return outbox_key(self.sender, self.receiver, number)

    def record(self) -> bytes:
        """What has to be known when there are no rows."""
        return encode_record([self.name, self.low])


class Outbox:
    """All pairs that send.

    `give_back` gets (sender, send, fault) for what cannot arrive, in the group that gathers;
    `lives` is False for a pico that is being deleted; `is_open` says whether the engine goes on.
    """

    def __init__(
        self,
        store: Store,
        committer: Committer,
        clock: Clock,
        ids: Ids,
        random: Random,
        network: Network | None,
        give_back: Callable[[str, Send, Fault], object],
        lives: Callable[[str], bool],
        is_open: Callable[[], bool],
    ) -> None:
        self._store = store
        self._committer = committer
        self._clock = clock
        self._ids = ids
        self._random = random
        self._network = network or Nowhere()
        self._is_connected = network is not None
        self._give_back = give_back
        self._lives = lives
        self._is_open = is_open
        self._pairs: dict[tuple[str, str], Pair] = {}
        self._idle: dict[tuple[str, str], Pair] = {}
        self._lanes: WeakValueDictionary[str, Lane] = WeakValueDictionary()
        self._fresh: list[tuple[Pair, int]] = []
        self._fresh_group = 0
        self._will_flush = False
        # A restored backup numbers anew what other engines have seen: to them it is a new sender.
        row = committer.get("meta", INCARNATION_KEY)
        self._incarnation = "" if row is None else "." + decode_record(row, "incarnation")

    def resume(self) -> None:
        """Take up what an earlier run did not bring to its end; it leaves on a later call.

        Cost: two seeks for each pair that was in memory then, whatever else is stored.
        """
        for key, value in list(self._store.scan("meta", PAIR)):
            sender, receiver = key[len(PAIR) :].decode().split("\0")
            pair = self._know(sender, receiver, *decode_record(value, "pair"))
            prefix = outbox_prefix(sender, receiver)
            if next(self._store.scan("outbox", prefix, pair.row_key(pair.low)), None) is None:
                self._put_idle(pair)
                continue
            last, _ = next(self._store.scan("outbox", prefix, reverse=True))
            pair.next = pair.ready = int.from_bytes(last[-8:], "big") + 1
            # As if it rested: the first look is also where old ones expire.
            self._rest(pair, 0)

    @property
    def waiting(self) -> int:
        """How many events wait for other engines."""
        return sum(pair.next - pair.low for pair in self._pairs.values())

    def queues(self) -> list[dict[str, Any]]:
        """The pairs that have something to send, in no order, for people.

        Shapes: {pico, host, eci, events, tries, why}; `tries` failed in a row, `why` says the last.
        """
        return [
            {
                "pico": pair.sender,
                "host": pair.host,
                "eci": pair.eci,
                "events": pair.next - pair.low,
                "tries": pair.tries,
                "why": pair.why if pair.tries else "",
            }
            for pair in self._pairs.values()
            if pair.next > pair.low
        ]

    # --- What a turn asks -------------------------------------------------------------------------

    def route(self, sender: str, sends: list[Send], host: str, eci: str) -> str:
        """The address of a host in the form that pairs have; `sends` are those of this turn so far.

        Raises: R5001 when there is no way to it, R5002 when too much waits for it already.
        """
        address = host.rstrip("/")
        if not self._is_connected:
            raise Fault(
                "R5001",
                f"this engine is not connected to others, so nothing can be sent to {host}",
                "send to a channel of this engine",
            )
        is_usable = _ADDRESS.fullmatch(address) and _ECI.fullmatch(eci)
        if not is_usable or len(address) + len(eci) > address_characters_max:
            raise Fault(
                "R5001",
                f"{host[:100]} with this ECI is no address",
                "give the host as http://name:port, and an ECI without blanks",
            )
        pair = self._pairs.get((sender, f"{address} {eci}"))
        waiting = 0 if pair is None else pair.next - pair.low
        # Counting one by one is needed only near the bound.
        if waiting + len(sends) >= outbox_sends_max:
            waiting += sum(send.host == address and send.eci == eci for send in sends)
            if waiting >= outbox_sends_max:
                message = f"{outbox_sends_max} events wait for this channel at {address} already"
                raise Fault("R5002", message)
        return address

    def add(self, sender: str, send: Send) -> None:
        """A committed turn sent this: it becomes a row, and leaves when the row is durable.

        Cost: one row; the first of a pair that was not in memory reads one and writes one more.
        """
        pair = self._pair(sender, f"{send.host} {send.eci}")
        number = pair.next
        pair.next = number + 1
        now = self._clock.now_ms()
        record = encode_record([send.eid, send.domain, send.name, send.attrs, now])
        committer = self._committer
        committer.put("outbox", pair.row_key(number), record)
        if committer.gathering != self._fresh_group:
            self._fresh_group = committer.gathering
            self._fresh = []
            committer.when_durable(self._fresh_group, partial(self._durable, self._fresh))
        self._fresh.append((pair, number))

    def _durable(self, fresh: list[tuple[Pair, int]], failure: Fault | None) -> None:
        """A group with rows of these pairs is on the disk."""
        if failure is not None:
            return
        for pair, number in fresh:
            pair.ready = number + 1
        for pair, number in fresh:
            if pair.ready == number + 1:
                self._pump(pair)

    # --- Pairs in memory --------------------------------------------------------------------------

    def _pair(self, sender: str, receiver: str) -> Pair:
        key = (sender, receiver)
        pair = self._pairs.get(key)
        if pair is not None:
            self._idle.pop(key, None)
            return pair
        row = self._committer.get("pico", pair_key(sender, receiver))
        name, low = (self._ids.eid(), 1) if row is None else decode_record(row, "pair")
        pair = self._know(sender, receiver, name, low)
        self._committer.put("meta", pair.key, pair.record())
        return pair

    def _know(self, sender: str, receiver: str, name: str, low: int) -> Pair:
        host = receiver.partition(" ")[0]
        lane = self._lanes.get(host)
        if lane is None:
            lane = self._lanes[host] = Lane()
        pair = self._pairs[sender, receiver] = Pair(sender, receiver, lane, name, low)
        return pair

    def _put_idle(self, pair: Pair) -> None:
        """Nothing is left to send: the pair stays known until others need the room."""
        if pair.alarm is not None:
            pair.alarm.cancel()
            pair.alarm = None
        pair.is_resting = False
        pair.tries = 0
        self._idle[pair.sender, pair.receiver] = pair
        if len(self._idle) <= outbox_pairs_idle_max:
            return
        key, old = next(iter(self._idle.items()))
        del self._idle[key], self._pairs[key]
        committer = self._committer
        committer.put("meta", old.key, None)
        # A pico that is no more sends no more, and nobody would remove the record.
        if self._lives(old.sender) and committer.get("pico", head_key(old.sender)) is not None:
            committer.put("pico", pair_key(old.sender, old.receiver), old.record())

    # --- Sending ----------------------------------------------------------------------------------

    def _pump(self, pair: Pair) -> None:
        """Send what may be sent now."""
        if pair.is_resting or pair.is_queued or not self._is_open():
            return
        if pair.waits_for > self._committer.durable:
            return
        # After a failure one event goes ahead, to see whether the way is free again.
        credit = self._network.credit(pair.host)
        window = 1 if pair.tries else min(credit, outbox_window_max)
        end = min(pair.ready, pair.low + window)
        lane = pair.lane
        lane.flying_max = outbox_host_flying_max if credit > 1 else outbox_host_asked_max
        while pair.sent < end:
            number = pair.sent
            if number not in pair.outcomes:
                if lane.is_full(pair):
                    pair.is_queued = True
                    lane.queue.append(pair)
                    return
                self._launch(pair, number)
            pair.sent = number + 1

    def _launch(self, pair: Pair, number: int) -> None:
        (eid, domain, name, attrs, sent_ms), size = self._row(pair, number)
        pair.flying[number] = size
        pair.lane.flying += 1
        pair.lane.bytes += size
        envelope = Envelope(
            pair.name + self._incarnation,
            number,
            pair.low,
            pair.eci,
            domain,
            name,
            attrs,
            eid,
            sent_ms,
        )
        pair.deadline_ms = self._clock.now_ms() + outbox_answer_ms
        if pair.alarm is None:
            self._set_alarm(pair, pair.deadline_ms)
        self._network.send(pair.host, envelope, partial(self._hear, pair, number, pair.round))

    def _row(self, pair: Pair, number: int) -> tuple[list[Any], int]:
        """What a row holds, and its size."""
        row = self._committer.get("outbox", pair.row_key(number))
        if row is None:
            raise Fault("R3006", "an event that has to leave is not in the store")
        return decode_record(row, "outbox entry"), len(row)

    def _land(self, pair: Pair, numbers: list[int]) -> None:
        """These are not under way any more."""
        lane = pair.lane
        for number in numbers:
            size = pair.flying.pop(number, None)
            if size is not None:
                lane.flying -= 1
                lane.bytes -= size

    def _fill(self, lane: Lane) -> None:
        """There may be room in a lane again: the pairs that waited go on, in turn."""
        while lane.queue and not lane.is_full(lane.queue[0]):
            pair = lane.queue.popleft()
            pair.is_queued = False
            self._pump(pair)

    # --- What comes back --------------------------------------------------------------------------

    def _hear(self, pair: Pair, number: int, round_: int, reply: Reply) -> None:
        """One reply, perhaps a late one, perhaps one of several."""
        if number < pair.low or number in pair.outcomes or not self._is_open():
            return
        if reply.kind == "taken" or reply.kind == "refused":
            # The other side says the same about a number for ever: rounds do not matter.
            pair.outcomes[number] = None if reply.kind == "taken" else reply.fault()
            self._land(pair, [number])
            pair.tries = 0
            if pair.lane.is_cut_off:
                self._rouse(pair.lane)
            pair.deadline_ms = self._clock.now_ms() + outbox_answer_ms
            if pair.is_resting:
                # An answer to an earlier try: the way is free, there is nothing to wait for.
                pair.is_resting = False
                self._set_alarm(pair, pair.deadline_ms)
            self._settle(pair)
            self._pump(pair)
        elif round_ != pair.round:
            return
        elif reply.kind == "resend" and not pair.tries:
            # One was lost on the way or came too late: no reason to rest, unless it goes on so.
            self._end_round(pair)
            pair.tries = 1
            self._pump(pair)
        else:
            self._fail(pair, reply.message[:500], reply.wait_ms, reply.code in _CUT_OFF)
        self._fill(pair.lane)

    def _settle(self, pair: Pair) -> None:
        """End the events whose outcome is known and that have no unknown one before them.

        In order, and one batch with what it leads to: a start never does half of it again. What is
        sent after something was given back tells the other side, by its `low`, that it may forget
        that number; so it waits until the batch is durable.
        """
        outcomes, low, committer = pair.outcomes, pair.low, self._committer
        while low in outcomes:
            fault = outcomes.pop(low)
            if fault is not None:
                eid, domain, name, attrs, _ = self._row(pair, low)[0]
                send = Send(pair.eci, domain, name, attrs, eid, pair.host)
                self._give_back(pair.sender, send, fault)
                pair.waits_for = committer.gathering
            committer.remove("outbox", pair.row_key(low))
            low += 1
        if low == pair.low:
            return
        pair.low = low
        pair.sent = max(pair.sent, low)
        committer.put("meta", pair.key, pair.record())
        if pair.waits_for == committer.gathering:
            committer.when_durable(pair.waits_for, partial(self._go_on, pair))
        if low == pair.next:
            self._put_idle(pair)
        # Later, since answers come many at a time: they all end in one group.
        if not self._will_flush:
            self._will_flush = True
            self._clock.call_soon(self._flush)

    def _flush(self) -> None:
        self._will_flush = False
        self._committer.flush()

    def _go_on(self, pair: Pair, failure: Fault | None) -> None:
        if failure is None:
            self._pump(pair)

    def _end_round(self, pair: Pair) -> None:
        pair.round += 1
        self._land(pair, list(pair.flying))
        pair.sent = pair.low

    def _fail(self, pair: Pair, why: str, wait_ms: int, is_cut_off: bool) -> None:
        """No way through: rest, longer each time."""
        self._end_round(pair)
        pair.tries += 1
        pair.why = why
        pair.is_cut_off = is_cut_off
        pair.lane.is_cut_off |= is_cut_off
        wait = min(outbox_retry_ms << min(pair.tries - 1, 30), outbox_retry_ms_max)
        wait = max(wait, min(wait_ms, outbox_retry_ms_max))
        # Pairs that failed together must not come back together.
        self._rest(pair, wait + int(self._random.number() * wait / 2))

    def _rouse(self, lane: Lane) -> None:
        """A host is back: its pairs need not rest to the end, which may be minutes away."""
        lane.is_cut_off = False
        for pair in list(self._pairs.values()):
            if pair.lane is lane and pair.is_cut_off and pair.tries:
                pair.tries = 1
                if pair.is_resting:
                    self._rest(pair, 0)

    # --- Time -------------------------------------------------------------------------------------

    def _rest(self, pair: Pair, wait_ms: int) -> None:
        pair.is_resting = True
        self._set_alarm(pair, self._clock.now_ms() + wait_ms)

    def _set_alarm(self, pair: Pair, ms: int) -> None:
        if pair.alarm is not None:
            pair.alarm.cancel()
        pair.alarm = self._clock.call_at(ms, partial(self._wake, pair))

    def _wake(self, pair: Pair) -> None:
        """A rest is over, or a deadline has to be looked at."""
        pair.alarm = None
        if not self._is_open():
            return
        if pair.is_resting:
            if self._expire(pair):
                self._rest(pair, 0)
                return
            pair.is_resting = False
            self._pump(pair)
        elif pair.flying:
            if self._clock.now_ms() < pair.deadline_ms:
                self._set_alarm(pair, pair.deadline_ms)
            else:
                self._fail(pair, f"no answer in {outbox_answer_ms // 1000} s", 0, True)
                self._fill(pair.lane)

    def _expire(self, pair: Pair) -> bool:
        """Give up what waited too long; True when there may be more of it."""
        oldest = self._clock.now_ms() - outbox_kept_ms
        end = min(pair.ready, pair.low + outbox_expired_max)
        number = pair.low
        while number < end and self._row(pair, number)[0][4] <= oldest:
            if number not in pair.outcomes:
                days = outbox_kept_ms // 86_400_000
                fault = Fault("R5003", f"no word from {pair.host} for {days} days")
                pair.outcomes[number] = fault
            number += 1
        if number == pair.low:
            return False
        self._settle(pair)
        return number == end < pair.ready
