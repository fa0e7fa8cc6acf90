"""Sends between engines on a bad network that stop again and again: everything at once, by seed.

Whatever happens, each send arrives once and in order, or comes back; planted bugs are found.
"""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from runtime import outbox
from runtime.arrivals import Arrivals
from runtime.clock import VirtualClock
from runtime.errors import Fault
from runtime.limits import (
    outbox_retry_ms_max,
)
from runtime.network import TAKEN, Envelope, Reply
from runtime.outbox import Outbox, Pair
from runtime.store import encode_record, mark_key
from runtime.turn import Send
from tests.harness.network import SimulatedNetwork, Site, Stop
from tests.harness.talk import (
    ONLY_HEARD,
    START_MS,
    channel,
    pass_time,
    sites,
)


class Storm:
    """One seeded run: three engines that talk, on a bad network, and stop again and again."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        chance = self.chance = random.Random(f"storm {seed}")
        network = SimulatedNetwork(
            VirtualClock(START_MS),
            seed,
            window=chance.choice((1, 4, 16)),
            delay_ms=chance.choice(((1, 1), (1, 80), (1, 3000))),
        )
        self.network = network
        self.sites = sites(3, network=network, awake_bytes_max=chance.choice((0, 64 << 20)))
        # Tags are (sender, receiver, channel); some channels refuse every event named `denied`.
        self.doors = {
            f"{site.host} {number}": (site.host, channel(site, ONLY_HEARD if number else None))
            for site in self.sites
            for number in range(2)
        }
        network.loses = chance.choice((0.0, 0.1, 0.4))
        network.doubles = chance.choice((0.0, 0.1, 0.4))
        rate = chance.choice((0.0, 0.002, 0.02))
        for site in self.sites:
            site.sync_ms = chance.choice((0, 5, 100))
            site.stop_rate = rate

    def run(self) -> None:
        """Take all steps.

        Raises: AssertionError with the seed, when an event is missing, doubled or out of order.
        """
        try:
            self.take_steps()
        except (AssertionError, Fault) as error:
            raise AssertionError(f"storm {self.seed}: {error}") from error

    def take_steps(self) -> None:
        for _ in range(60):
            self.step()
            for _ in range(self.chance.choice((1, 3))):
                self.let_pass(self.chance.choice((0, 1, 10, 100, 5_000, 40_000)))
        self.finish()

    def step(self) -> None:
        chance, network = self.chance, self.network
        what = chance.random()
        site = chance.choice(self.sites)
        if what < 0.7:
            if site.core is not None:
                self.say(site)
        elif what < 0.8:
            self.stop(site)
        elif what < 0.9:
            one, other = chance.sample(self.sites, 2)
            network.cut(one.host, other.host)
        else:
            network.cuts.clear()

    def say(self, site: Site) -> None:
        chosen = self.chance.choices(list(self.doors.items()), k=self.chance.choice((1, 2, 12)))
        sends = [
            {
                "eci": eci,
                "host": host,
                "tag": f"{site.host} > {door}",
                "type": self.chance.choice(("heard", "heard", "heard", "denied")),
            }
            for door, (host, eci) in chosen
            if host != site.host
        ]
        fails = self.chance.random() < 0.1
        assert site.core is not None
        try:
            site.core.post(site.root, "t", "say", {"to": sends, "fail": fails}, lambda answer: None)
        except Stop as stop:
            self.stop(stop.site)

    def let_pass(self, ms: int) -> None:
        """Time passes, and whoever stops on the way starts again, sooner or later."""
        clock = self.network.clock
        end = clock.now_ms() + ms
        while True:
            try:
                clock.advance_to(end)
                break
            except Stop as stop:
                self.stop(stop.site)
        for site in self.sites:
            if site.core is None and self.chance.random() < 0.5:
                self.start(site)

    def stop(self, site: Site) -> None:
        if site.core is not None or site.life.is_alive:
            site.stop(self.chance.randint(0, site.store.unsynced_batches))

    def start(self, site: Site) -> None:
        while site.core is None:
            try:
                site.start()
            except Stop:
                site.stop(self.chance.randint(0, site.store.unsynced_batches))
        self.check()

    def state(self, site: Site) -> tuple[dict[str, Any], ...]:
        """What a site has sent, heard and got back."""
        rates = [each.stop_rate for each in self.sites]
        for each in self.sites:
            each.stop_rate = 0.0
        found = tuple(site.query("talk", name) for name in ("sent", "log", "lost"))
        for each, rate in zip(self.sites, rates, strict=True):
            each.stop_rate = rate
        return found

    def check(self) -> None:
        """At any time: what arrived is in order, once, and was sent by a turn that happened."""
        states = [self.state(site) for site in self.sites if site.core is not None]
        sent: dict[str, int] = {}
        for state in states:
            sent.update(state[0])
        for _, log, lost in states:
            for numbers in log.values():
                assert numbers == sorted(set(numbers)), log
            for tag, numbers in log.items():
                if tag in sent:
                    assert numbers[-1] <= sent[tag], (tag, numbers, sent)
            back: dict[str, list[int]] = {}
            for each in lost:
                back.setdefault(each["attrs"]["from"], []).append(each["attrs"]["n"])
            for numbers in back.values():
                assert numbers == sorted(set(numbers)), back

    def finish(self) -> None:
        """Nothing goes wrong any more: all that was sent has arrived, or came back."""
        self.network.heal()
        for site in self.sites:
            site.stop_rate = 0.0
            if site.core is None:
                site.start()
        pass_time(self.sites[0], 3 * outbox_retry_ms_max / 1000)
        for site in self.sites:
            assert site.rows("outbox") == 0, site.host
            site.stop()
            site.start()
        sent: dict[str, int] = {}
        heard: dict[str, list[int]] = {}
        refused: dict[str, list[int]] = {}
        expired: dict[str, set[int]] = {}
        for site in self.sites:
            mine, log, lost = self.state(site)
            sent.update(mine)
            for tag, numbers in log.items():
                heard[tag] = numbers
            for each in lost:
                tag, number = each["attrs"]["from"], each["attrs"]["n"]
                if each["code"] == "R1002":
                    refused.setdefault(tag, []).append(number)
                else:
                    # Nobody knows whether it arrived, so it may have.
                    assert each["code"] == "R5003", each
                    expired.setdefault(tag, set()).add(number)
        assert heard.keys() | refused.keys() | expired.keys() == sent.keys()
        for tag, count in sent.items():
            known = heard.get(tag, []) + refused.get(tag, [])
            assert len(set(known)) == len(known), (tag, known)
            ended = set(known) | expired.get(tag, set())
            assert ended == set(range(1, count + 1)), (tag, count, ended)
        self.check()


@pytest.mark.parametrize("seed", range(30))
def test_every_send_ends_once_and_in_order_whatever_happens(seed: int) -> None:
    Storm(seed).run()


@pytest.mark.parametrize("seed", range(6))
def test_what_expires_on_a_bad_network_came_back_or_arrived(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "outbox_kept_ms", 40_000)
    Storm(seed).run()


def _leaves_at_once(self: Outbox, sender: str, send: Send) -> None:
    ADD(self, sender, send)
    pair = self._pairs[sender, f"{send.host} {send.eci}"]
    pair.ready = pair.next
    self._pump(pair)


def _answers_at_once(self: Arrivals, envelope: Envelope, done: Any) -> None:
    RECEIVE(self, envelope, lambda reply: None)
    done(TAKEN)


def _remembers_no_mark(self: Arrivals, envelope: Envelope) -> Reply:
    reply = DECIDE(self, envelope)
    self._committer.put("mark", mark_key(envelope.pair), None)
    return reply


def _remembers_no_refusal(self: Arrivals, envelope: Envelope) -> Reply:
    reply = DECIDE(self, envelope)
    if reply.kind == "refused":
        record = encode_record([envelope.eci, envelope.number, []])
        self._committer.put("mark", mark_key(envelope.pair), record)
    return reply


def _takes_what_comes(self: Arrivals, envelope: Envelope) -> Reply:
    return DECIDE(self, msgspec.structs.replace(envelope, low=envelope.number))


def _forgets_numbers(self: Pair) -> bytes:
    return encode_record([self.name, 1])


def _renames_pairs(self: Outbox, sender: str, receiver: str, name: str, low: int) -> Pair:
    return KNOW(self, sender, receiver, self._ids.eid(), low)


def _gives_up_flights(self: Outbox, pair: Pair) -> None:
    sent = pair.sent
    END_ROUND(self, pair)
    pair.sent = sent


def _lets_forget_early(self: Outbox, pair: Pair) -> None:
    SETTLE(self, pair)
    pair.waits_for = 0


def _run_storms(count: int) -> None:
    for seed in range(count):
        Storm(seed).run()


ADD, KNOW, END_ROUND, SETTLE = Outbox.add, Outbox._know, Outbox._end_round, Outbox._settle
RECEIVE, DECIDE = Arrivals.receive, Arrivals._decide


@pytest.mark.parametrize(
    ("owner", "name", "bug"),
    [
        (Outbox, "add", _leaves_at_once),
        (Outbox, "_know", _renames_pairs),
        (Outbox, "_end_round", _gives_up_flights),
        (Outbox, "_settle", _lets_forget_early),
        (Pair, "record", _forgets_numbers),
        (Arrivals, "receive", _answers_at_once),
        (Arrivals, "_decide", _remembers_no_mark),
        (Arrivals, "_decide", _remembers_no_refusal),
        (Arrivals, "_decide", _takes_what_comes),
    ],
)
def test_a_planted_bug_is_found(
    owner: type, name: str, bug: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, bug)
    with pytest.raises(AssertionError, match="storm"):
        _run_storms(30)
