"""What must be true, in plain dictionaries: worked out from the logs of picos and from answers.

In: what clients sent and were told, and what a restarted engine holds. Out: an AssertionError that
says which invariant does not hold (`design` 5.1). Every pico logs each event it handled; `expect`
works all its other variables out from that log. Written from the meaning of the rules and of the
invariants, not from the engine: this module imports nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

State = dict[str, Any]
CLIENT_KINDS = frozenset(
    (
        *("note", "send", "spawn", "prune", "grow", "shrink", "wipe", "fail", "chain"),
        *("alpha", "beta", "gamma", "equip", "strip", "far_send", "later"),
        *("call", "ask"),
    )
)


class Expected:
    """The variables of one pico after the events of its log."""

    def __init__(self, log: list[State], is_root: bool) -> None:
        self.name: str | None = None
        self.left = self.right = self.chained = self.errors = 0
        self.pairs = self.boths = self.threes = 0
        self.big: dict[str, int] = {}
        self.items: list[str] = []
        self.sent: dict[str, list[tuple[int, list[str]]]] = {}
        self.received: dict[str, list[tuple[int, int, list[str]]]] = {}
        self.lost: dict[str, list[int]] = {}
        # The same three for what went through the network.
        self.sent_far: dict[str, list[tuple[int, list[str]]]] = {}
        self.received_far: dict[str, list[tuple[int, int, list[str]]]] = {}
        self.lost_far: dict[str, list[int]] = {}
        self.kids: list[str] = []
        self.doors: dict[str, str] = {}
        # Events that were scheduled and have not come.
        self.awaited: set[int] = set()
        # Numbers of the calls begun here, and the callers of those done here.
        self.called: set[int] = set()
        self.calls_of: dict[int, str] = {}
        self.begun = 0
        self.is_equipped = False
        self.ticks = self.twos = 0
        # Errors that the answer to an event must show, by number of the event.
        self.faults: dict[int, int] = {}
        self._alphas = 0
        self._after_alpha = self._after_beta = False
        self._both: set[str] = set()
        self._notes = 0
        for entry in log:
            handler = getattr(self, "on_" + entry["kind"], None)
            assert handler is not None, f"an event that nobody sends was logged: {entry}"
            handler(entry["attrs"])
        assert is_root or not log or log[0]["kind"] == "init", "the first event of a child is init"

    def _fault(self, attrs: State) -> None:
        self.errors += 1
        self.faults[attrs["n"]] = self.faults.get(attrs["n"], 0) + 1

    def on_init(self, attrs: State) -> None:
        assert self.name is None, f"{self.name} was initialised twice"
        self.name = attrs["name"]

    def on_door(self, attrs: State) -> None:
        self.doors[attrs["name"]] = attrs["door"]

    def on_note(self, attrs: State) -> None:
        self.left += 1
        self.right += 1
        if self.is_equipped:
            self.ticks += 1
            self._notes += 1
            self.twos = self._notes // 2

    def on_send(self, attrs: State) -> None:
        for eci in attrs["to"]:
            self.sent.setdefault(eci, []).append((attrs["n"], attrs["path"]))

    def on_hop(self, attrs: State) -> None:
        path = attrs["path"]
        self.received.setdefault(attrs["from"], []).append((attrs["seq"], attrs["n"], path))
        if path:
            self.sent.setdefault(path[0], []).append((attrs["n"], path[1:]))

    def on_far_send(self, attrs: State) -> None:
        for eci in attrs["to"]:
            self.sent_far.setdefault(eci, []).append((attrs["n"], []))

    def on_far(self, attrs: State) -> None:
        got = (attrs["seq"], attrs["n"], attrs["path"])
        self.received_far.setdefault(attrs["from"], []).append(got)

    def on_spawn(self, attrs: State) -> None:
        self.kids.extend(attrs["names"])

    def on_prune(self, attrs: State) -> None:
        if attrs["name"] in self.kids:
            self.kids.remove(attrs["name"])
        self.doors.pop(attrs["name"], None)

    def on_grow(self, attrs: State) -> None:
        self.big.update(dict.fromkeys(attrs["keys"], attrs["n"]))
        self.items += attrs["keys"]

    def on_shrink(self, attrs: State) -> None:
        for key in attrs["keys"]:
            self.big.pop(key, None)

    def on_wipe(self, attrs: State) -> None:
        self.big = {}
        self.items = []

    def on_fail(self, attrs: State) -> None:
        self._fault(attrs)

    def on_chain(self, attrs: State) -> None:
        self.chained += attrs["depth"]

    def on_later(self, attrs: State) -> None:
        self.awaited.add(attrs["n"])

    def on_timed(self, attrs: State) -> None:
        assert attrs["n"] in self.awaited, f"timer {attrs['n']} came twice, or was never set"
        self.awaited.remove(attrs["n"])

    def on_call(self, attrs: State) -> None:
        self.called.add(attrs["n"])
        self.begun += 1

    def on_called(self, attrs: State) -> None:
        assert attrs["n"] not in self.calls_of, f"call {attrs['n']} was done twice"
        self.calls_of[attrs["n"]] = attrs["from"]

    def on_ask(self, attrs: State) -> None:
        self.begun += 1

    def on_alpha(self, attrs: State) -> None:
        self._alphas += 1
        self.threes = self._alphas // 3
        self._after_alpha = True
        self._see_both("alpha")

    def on_beta(self, attrs: State) -> None:
        self.pairs += self._after_alpha
        self._after_alpha = False
        self._after_beta = True

    def on_gamma(self, attrs: State) -> None:
        if self._after_beta:
            self._after_beta = False
            self._fault(attrs)
        self._see_both("gamma")

    def _see_both(self, kind: str) -> None:
        self._both.add(kind)
        if len(self._both) == 2:
            self._both.clear()
            self.boths += 1

    def on_equip(self, attrs: State) -> None:
        # Installing what is installed already changes nothing; what is not there is a fault.
        if attrs["url"] == "sim:missing":
            self._fault(attrs)
        else:
            self.is_equipped = True

    def on_strip(self, attrs: State) -> None:
        self.is_equipped = False
        self.ticks = self.twos = self._notes = 0

    def on_undeliverable(self, attrs: State) -> None:
        if attrs["name"] in ("hop", "far"):
            lost = self.lost if attrs["name"] == "hop" else self.lost_far
            lost.setdefault(attrs["eci"], []).append(attrs["attrs"]["seq"])


def check_pico(state: State, extra: State | None, is_root: bool) -> Expected:
    """One pico's variables are all what its log says: no half turn, nothing of a failed rule."""
    expected = Expected(state["log"], is_root)
    counted = ("left", "right", "chained", "errors", "pairs", "boths", "threes", "begun")
    for name in ("name", *counted):
        got, want = state[name], getattr(expected, name)
        assert got == want, f"{state['name']}: {name} is {got!r}, its log says {want!r}"
    assert state["bad"] is None, f"{state['name']}: a failed rule left {state['bad']!r}"
    assert state["big"] == expected.big, f"{state['name']}: map {state['big']} {expected.big}"
    assert list(state["big"]) == list(expected.big), f"{state['name']}: order of the map's keys"
    assert state["items"] == expected.items, f"{state['name']}: {state['items']} {expected.items}"
    out = {eci: len(sent) for eci, sent in expected.sent.items()}
    assert state["out"] == out, f"{state['name']}: out is {state['out']}, its log says {out}"
    far = {eci: len(sent) for eci, sent in expected.sent_far.items()}
    assert state["far"] == far, f"{state['name']}: far is {state['far']}, its log says {far}"
    assert list(state["kids"]) == expected.kids, f"{state['name']}: children {state['kids']}"
    assert sorted(state["kids"].values()) == sorted(state["children"]), (
        f"{state['name']}: children {state['children']} but knows {state['kids']}"
    )
    assert state["doors"] == expected.doors, f"{state['name']}: doors {state['doors']}"
    rulesets = ["sim.node"] + ["sim.extra"] * expected.is_equipped
    assert state["rulesets"] == rulesets, f"{state['name']}: rulesets {state['rulesets']}"
    lost = [(item["eci"], item["seq"]) for item in state["lost"] if item["name"] == "hop"]
    logged = [
        (entry["attrs"]["eci"], entry["attrs"]["attrs"]["seq"])
        for entry in state["log"]
        if entry["kind"] == "undeliverable" and entry["attrs"]["name"] == "hop"
    ]
    assert lost == logged, f"{state['name']}: lost {lost}, its log says {logged}"
    if expected.is_equipped and extra is not None:
        got = (extra["ticks"], extra["twos"])
        want = (expected.ticks, expected.twos)
        assert got == want, f"{state['name']}: extra (ticks, twos) {got}, its log says {want}"
    return expected


@dataclass
class Sent:
    """One event of a client: what it was, and what the client knows of it.

    `fate` is open, done, refused (it must never be applied) or unknown (once at most).
    """

    n: int
    kind: str
    attrs: State
    eci: str
    target: str
    key: str | None = None
    fate: str = "open"
    how: str = "event"
    posts: int = 0
    run: int = 0
    errors: int | None = None
    doomed: bool = False
    # Receivers of its sends of which the client knew that they are gone.
    dead_to: frozenset[str] = frozenset()


@dataclass
class Model:
    """All that clients sent and were shown."""

    events: dict[int, Sent] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)
    # Picos whose deletion somebody was told of.
    dead: set[str] = field(default_factory=set)
    shown: dict[str, list[State]] = field(default_factory=dict)
    lengths: dict[tuple[str, int], int] = field(default_factory=dict)
    answers: dict[tuple[str, str], tuple[int, Any]] = field(default_factory=dict)
    # How many events a pico had handled, as another one told.
    counts: dict[str, int] = field(default_factory=dict)

    # --- What clients are told --------------------------------------------------------------------

    def learn(self, state: State, eci: str) -> None:
        """A query was answered: what it showed stays true, and came after what was shown before."""
        name = state["name"]
        if name is None:
            return
        assert self.names.get(eci, name) == name, f"{name} answered for {self.names[eci]}"
        self.show(name, state["log"])
        check_pico(state, None, name == "root")
        for kid, door in state["doors"].items():
            self.names[door] = kid
            self.parents[kid] = name

    def show(self, name: str, log: list[State]) -> None:
        """A log was shown to somebody."""
        before = self.shown.get(name, [])
        assert log[: len(before)] == before, (
            f"{name}: an answer showed {len(before)} events, a later one only {len(log)} or others"
        )
        self.shown[name] = log

    def is_dead(self, name: str) -> bool:
        """Whether somebody was told that this pico or one above it is gone."""
        while name not in self.dead:
            if name not in self.parents:
                return False
            name = self.parents[name]
        return True

    def done(self, sent: Sent, directives: list[State], errors: int | None) -> None:
        """An event was answered: it is applied, once and for ever."""
        assert sent.fate != "refused", f"event {sent.n} was refused, and then done"
        sent.fate = "done"
        sent.errors = None if sent.kind in ("call", "ask") else errors
        for directive in directives:
            assert directive["name"] == "logged", f"a failed rule answered {directive}"
            told = directive["options"]
            assert told["name"] == sent.target, f"{told['name']} answered for {sent.target}"
            self.lengths[sent.target, sent.n] = told["length"]
        if sent.kind == "prune":
            self.dead.add(sent.attrs["name"])
            self.parents.setdefault(sent.attrs["name"], sent.target)

    # --- What is there ----------------------------------------------------------------------------

    def check(self, reader: Any, *, is_settled: bool) -> None:
        """All invariants, on an engine that was restarted and came to rest.

        Unless `is_settled`, what went through the network may still be on its way.
        """
        root_id = reader.core.root_id
        found: dict[str, Expected] = {}
        logs: dict[str, list[State]] = {}
        for pico_id, state in reader.states.items():
            expected = check_pico(state, reader.extras.get(pico_id), pico_id == root_id)
            name = expected.name
            assert name is not None or not state["log"], "events without a name"
            if name is None:
                assert pico_id == root_id, "a child that was never told its name"
                continue
            assert name not in found, f"two picos are called {name}"
            found[name], logs[name] = expected, state["log"]
            named = reader.children_named(pico_id)
            assert state["kids"].keys() == named.keys(), f"{name}: {state['kids']}, but {named}"
        self._check_shown(found, logs)
        self._check_events(found, logs)
        doors = {state["door"]: state["name"] for state in reader.states.values() if state["door"]}
        doors[reader.core.root_eci] = "root"
        self._check_sends(found, doors)
        self._check_far(found, doors, reader, is_settled)
        self._check_timers(found, reader, is_settled)
        self._check_calls(found, doors, reader, logs)
        self._check_rows(reader, is_settled)

    def _check_shown(self, found: dict[str, Expected], logs: dict[str, list[State]]) -> None:
        for name, log in self.shown.items():
            if name in logs:
                assert logs[name][: len(log)] == log, f"{name}: what an answer showed was lost"
        for name, count in self.counts.items():
            if name in logs:
                assert len(logs[name]) >= count, f"{name}: of {count} events {len(logs[name])}"
        for name in logs:
            assert not self.is_dead(name), f"{name} is alive, though its deletion was told"
        for (name, n), length in self.lengths.items():
            if name in logs:
                log = logs[name]
                assert len(log) >= length, f"{name}: event {n} was answered, and is lost"
                assert log[length - 1]["attrs"].get("n") == n, f"{name}: event {n} moved"

    def _check_events(self, found: dict[str, Expected], logs: dict[str, list[State]]) -> None:
        """Each event once if it was acknowledged, never more, in order, where it was sent."""
        for name, log in logs.items():
            applied: dict[int, int] = {}
            order: list[int] = []
            for entry in log:
                if entry["kind"] not in CLIENT_KINDS:
                    continue
                n = entry["attrs"]["n"]
                applied[n] = applied.get(n, 0) + 1
                sent = self.events.get(n)
                assert sent is not None, f"{name} handled event {n} that nobody sent"
                assert (sent.target, sent.kind, sent.attrs) == (
                    name,
                    entry["kind"],
                    entry["attrs"],
                ), f"{name} handled event {n} as {entry}"
                if sent.posts == 1:
                    order.append(n)
            assert order == sorted(order), f"{name} handled events in the order {order}"
            for n, times in applied.items():
                assert times == 1, f"{name} handled event {n} {times} times"
                assert self.events[n].fate != "refused", f"{name} handled event {n} after refusal"
            for sent in self.events.values():
                if sent.target != name:
                    continue
                if sent.fate == "done":
                    assert sent.n in applied, f"{name}: acknowledged event {sent.n} is lost"
                if sent.errors is not None and sent.n in applied:
                    want = found[name].faults.get(sent.n, 0)
                    assert sent.errors == want, f"{sent.n}: {sent.errors} errors, not {want}"

    def _check_sends(self, found: dict[str, Expected], doors: dict[str, str]) -> None:
        """Between each two picos: everything once, in order, or told as undeliverable."""
        for name, expected in found.items():
            for eci, sent in expected.sent.items():
                lost = expected.lost.get(eci, [])
                receiver = doors.get(eci)
                if receiver is None:
                    self._check_lost(name, eci, sent, lost)
                    continue
                assert not lost, f"{name} → {receiver}: undeliverable {lost}, and it is alive"
                got = found[receiver].received.get(name, [])
                want = [(seq, n, path) for seq, (n, path) in enumerate(sent, 1)]
                assert got == want, f"{name} → {receiver}: arrived {got}, sent {want}"
            for sender, got in expected.received.items():
                self._check_origin(found, doors, sender, name, len(got))
                numbers = [seq for seq, _, _ in got]
                assert numbers == list(range(1, len(got) + 1)), f"{sender} → {name}: {numbers}"

    def _check_lost(
        self, name: str, eci: str, sent: list[tuple[int, list[str]]], lost: list[int]
    ) -> None:
        """The receiver died: what came too late was told to the sender, from some point on."""
        tail = list(range(len(sent) - len(lost) + 1, len(sent) + 1))
        assert lost == tail, f"{name} → dead {eci[:6]}: {len(sent)} sent, lost {lost}"
        for seq, (n, _) in enumerate(sent, 1):
            event = self.events.get(n)
            if event is not None and event.target == name and eci in event.dead_to:
                assert seq in lost, f"{name} → dead {eci[:6]}: nobody told that {seq} is lost"

    def _check_origin(
        self, found: dict[str, Expected], doors: dict[str, str], sender: str, name: str, count: int
    ) -> None:
        if sender in found:
            own = [eci for eci, receiver in doors.items() if receiver == name]
            total = sum(len(found[sender].sent.get(eci, [])) for eci in own)
            assert count == total, f"{sender} → {name}: {count} arrived of {total}"

    def _check_far(
        self, found: dict[str, Expected], doors: dict[str, str], reader: Any, is_settled: bool
    ) -> None:
        """The same through the network: what has not arrived is in the outbox."""
        waiting: dict[tuple[str, str], int] = {}
        for key in reader.rows["outbox"]:
            pico_id, receiver, _ = key.split(b"\0", 2)
            pair = (pico_id.decode(), receiver.decode().partition(" ")[2])
            waiting[pair] = waiting.get(pair, 0) + 1
        ids = {state["name"]: pico_id for pico_id, state in reader.states.items()}
        for name, expected in found.items():
            for eci, sent in expected.sent_far.items():
                lost = expected.lost_far.get(eci, [])
                receiver = doors.get(eci)
                left = waiting.get((ids[name], eci), 0)
                if receiver is None:
                    if is_settled:
                        self._check_lost(name, eci, sent, lost)
                    continue
                assert not lost, f"{name} ⇒ {receiver}: undeliverable {lost}, and it is alive"
                got = found[receiver].received_far.get(name, [])
                want = [(seq, n, path) for seq, (n, path) in enumerate(sent, 1)]
                assert got == want[: len(got)], f"{name} ⇒ {receiver}: arrived {got}, sent {want}"
                assert len(got) + left >= len(sent), (
                    f"{name} ⇒ {receiver}: {len(got)} arrived of {len(sent)}, {left} wait"
                )
                if is_settled:
                    assert len(got) == len(sent), f"{name} ⇒ {receiver}: {len(got)} of {len(sent)}"
            for sender, got in expected.received_far.items():
                numbers = [seq for seq, _, _ in got]
                assert numbers == list(range(1, len(got) + 1)), f"{sender} ⇒ {name}: {numbers}"

    def _check_calls(
        self,
        found: dict[str, Expected],
        doors: dict[str, str],
        reader: Any,
        logs: dict[str, list[State]],
    ) -> None:
        """What a turn had another pico do is done once, and never without the turn itself."""
        for name, expected in found.items():
            for n, caller in expected.calls_of.items():
                if caller in found:
                    assert n in found[caller].called, f"{name} did call {n}, {caller} knows nothing"
        for state in reader.states.values():
            for call in state["calls"]:
                receiver = doors.get(call["to"])
                if receiver is not None:
                    calls = found[receiver].calls_of
                    assert call["n"] in calls, f"call {call['n']} of {state['name']} was not done"
                    assert set(call["got"]) <= calls.keys(), f"{receiver} lost {call['got']}"
            seen: dict[str, int] = {}
            for asked in state["asked"]:
                to, got = asked["to"], asked["got"]
                assert seen.get(to, 0) <= got, f"{state['name']} saw {to[:6]} go back to {got}"
                seen[to] = got
            for to, got in seen.items():
                if to in doors:
                    log = logs[doors[to]]
                    assert got <= len(log), f"{state['name']} saw {got} events of {len(log)}"

    def _check_timers(self, found: dict[str, Expected], reader: Any, is_settled: bool) -> None:
        """Every timer comes once; what has not come is stored, and nothing else is."""
        owned = [
            key[1:].split(b"\0")[0].decode() for key in reader.rows["timer"] if key[:1] == b"o"
        ]
        due = len(reader.rows["timer"]) - len(owned)
        assert due == len(owned), f"{due} timers by time, {len(owned)} by owner"
        names = {pico_id: state["name"] for pico_id, state in reader.states.items()}
        waiting: dict[str, int] = {}
        for pico_id in owned:
            assert pico_id in names, "a timer of a pico that is not there"
            waiting[names[pico_id]] = waiting.get(names[pico_id], 0) + 1
        for name, expected in found.items():
            awaited = expected.awaited
            count = waiting.get(name, 0)
            assert len(awaited) == count, f"{name}: timers {awaited} have not come, {count} wait"
            assert not (is_settled and awaited), f"{name}: timers {awaited} never came"

    def _check_rows(self, reader: Any, is_settled: bool) -> None:
        """Nothing is left over: of dead picos, of finished events, of half-made children."""
        rows = reader.rows
        assert not (is_settled and rows["outbox"]), f"events that never left: {rows['outbox']}"
        alive = set(reader.states)
        for key in rows["pico"]:
            pico_id = key.partition(b"\0")[0].decode()
            assert pico_id in alive, f"a row of a pico that is not there: {key!r}"
        for pico_id, children in reader.children.items():
            assert set(children.values()) <= alive, f"{pico_id} has children that are not there"
        owners = reader.eci_owners()
        assert set(owners.values()) <= alive, "the channel index names a pico that is not there"
        for eci, pico_id in owners.items():
            assert f"{pico_id}\0c{eci}".encode() in rows["pico"], f"{eci} has no channel record"
        parts = [key.partition(b"\0")[2] for key in rows["pico"]]
        channels = {part[1:].decode() for part in parts if part.startswith(b"c")}
        assert channels == set(owners), "channels and their index differ"
        assert not rows["inbox"], f"accepted events that never ran: {rows['inbox']}"
        graves = [key for key in rows["meta"] if key.startswith(b"grave:")]
        assert not graves, f"deleted picos that were not reaped: {graves}"
