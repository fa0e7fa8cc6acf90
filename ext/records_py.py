"""What an event meets on its way through a pico, pure twin of `records.pyx`.

In: a turn, its view, an event. Out: the rules it concerns are stepped and run, each in a savepoint;
what they want changed stands in the turn. Invariants: a rule that raises takes back what it did and
the turn goes on with the next one; nothing here knows what is stored or who is answered. The fields
of both twins, in their order, are listed here. The subclasses in `runtime` add what is not hot.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from ext.border_py import is_plain
from ext.work_py import begin

EVENT_FIELDS = ("eci", "domain", "name", "attrs", "time_ms", "eid", "sender")
ITEM_FIELDS = ("event", "query", "done", "number", "key", "task", "is_inner")
VIEW_FIELDS = ("contexts", "salience", "generation")
RULE_FIELDS = (
    *("at", "body", "hash", "key", "label", "machine", "matchers", "name", "salience"),
    *("table", "within", "within_ms"),
)
CONTEXT_FIELDS = (
    *("pico", "module", "install", "rid", "ent", "event", "turn", "rule_name", "values"),
    *("configured", "modules", "host"),
)
ENTITIES_FIELDS = (
    *("_before", "_bounds", "_doomed", "_now", "_owner", "_prefix", "_reader", "_undo"),
    "changed",
)
TURN_FIELDS = (
    *("asked", "calls", "changed", "created", "deleted", "directives", "event", "faults", "id"),
    *("is_cleared", "is_rule_metered", "meter", "notes", "pico", "raises", "schedule", "sends"),
    *("states", "structure", "timers", "view", "world"),
)

# What a rule's body returns when no later rule of its ruleset is to see the event, and its note.
LAST: Any = object()
ENDED = 1
# Most turns schedule, send and time nothing: they share these until they do.
NOTHING_SCHEDULED: deque[Any] = deque(maxlen=0)
NOTHING_SENT: list[Any] = []
NOTHING_TIMED: list[Any] = []
_ABSENT: Any = object()
# How much of each a turn had when a rule began: directives, scheduled, sends, timers, raises.
Marks = tuple[int, int, int, int, int]
# What it was then: structure, view, picos created and deleted.
Savepoint = tuple[Any, Any, Any, Any]
_PLAIN = frozenset((int, str, type(None), dict, list, bool, float))
_SCALARS = frozenset((int, bool, float, type(None)))


class Event:
    """One event on its way through a pico.

    Units: time_ms is the event's own time, milliseconds since the epoch. `sender` is the pico that
    sent it, None when it came from outside.
    """

    __slots__ = EVENT_FIELDS

    def __init__(
        self,
        eci: str,
        domain: str,
        name: str,
        attrs: dict[str, Any],
        time_ms: int,
        eid: str,
        sender: str | None = None,
    ) -> None:
        self.eci = eci
        self.domain = domain
        self.name = name
        self.attrs = attrs
        self.time_ms = time_ms
        self.eid = eid
        self.sender = sender


class Item:
    """One thing to do for a pico: an event (perhaps with a query right behind it), a query, or a
    task of administration.

    `number` is the row's number in the inbox family, or -1 when it is not stored. `key` is the
    idempotency key the sender gave, with its channel. `is_inner` says that another turn of this
    engine asks, so that the answer need not be durable.
    """

    __slots__ = ITEM_FIELDS

    def __init__(self, event: Event | None, query: Any, done: Any, *, number: int = -1) -> None:
        self.event = event
        self.query = query
        self.done = done
        self.number = number
        self.key: tuple[str, str] | None = None
        self.task: Any = None
        self.is_inner = False


class View:
    """What dispatch needs for one list of installed rulesets: contexts and their salience.

    `generation` is the registry's when it was found that all rulesets are of the last version.
    """

    __slots__ = VIEW_FIELDS

    def __init__(self, contexts: tuple[Any, ...], salience: Any, generation: int) -> None:
        self.contexts = contexts
        self.salience = salience
        self.generation = generation


class RuleBase:
    """The fields of a rule."""

    __slots__ = RULE_FIELDS

    machine: Any


class ContextBase:
    """The fields of a context."""

    __slots__ = CONTEXT_FIELDS


class EntitiesBase:
    """The variables in memory, with what the turn and the savepoint would take back."""

    __slots__ = ENTITIES_FIELDS

    _now: dict[str, Any]
    _before: dict[str, Any]
    _undo: list[Any]
    changed: list[Any]

    def _load(self, name: str) -> Any:
        raise AssertionError("entities.py reads variables")

    def _storable(self, name: str, value: Any, old: Any) -> Any:
        raise AssertionError("entities.py checks what is no scalar")

    def _settle_parts(self, name: str, old: Any, new: Any) -> bool:
        raise AssertionError("entities.py knows collections")

    def _whole(self, value: Any) -> Any:
        raise AssertionError("entities.py knows collections")

    def __getitem__(self, name: str) -> Any:
        value = self._now.get(name, _ABSENT)
        if value is _ABSENT:
            value = self._load(name)
        return value if type(value) in _PLAIN else self._whole(value)

    def __setitem__(self, name: str, value: Any) -> None:
        now = self._now
        old = now.get(name, _ABSENT)
        if old is _ABSENT:
            old = self._load(name)
        if type(value) not in _SCALARS:
            value = self._storable(name, value, old)
        before = self._before
        if name not in before:
            if not before:
                self.changed.append(self)
            before[name] = old
        self._undo.append((name, old))
        now[name] = value

    def __delitem__(self, name: str) -> None:
        self[name] = None

    def settle(self) -> list[str]:
        """The turn is complete: its changes become the state; return the names that changed.

        Cost: O(changes); O(elements) for each collection that was assigned whole.
        """
        names = []
        for name, old in self._before.items():
            new = self._now[name]
            if type(new) in _PLAIN and type(old) in _PLAIN:
                if new is not old:
                    names.append(name)
            elif self._settle_parts(name, old, new):
                names.append(name)
        self._before.clear()
        self._undo.clear()
        return names

    def keep(self) -> None:
        """The savepoint succeeded: its changes belong to the turn."""
        self._undo.clear()


class TurnBase:
    """One event or query being evaluated, and what it wants changed."""

    __slots__ = TURN_FIELDS

    def spent(self, times: int) -> None:
        """The allowance of counted work is used up, so many times over."""
        raise AssertionError("turn.py looks at the clock")

    def roll_back(self, marks: Marks, before: Savepoint) -> None:
        """Take back what one rule did."""
        raise AssertionError("turn.py takes back")

    def fault(self, cx: Any, rule: Any, error: Exception, event: Any) -> None:
        """A rule failed."""
        raise AssertionError("turn.py tells of faults")

    def within(self, cx: Any, rule: Any) -> Any:
        """The time limit of a rule that computes it."""
        raise AssertionError("turn.py computes limits")

    def __init__(self, world: Any, pico: Any, view: Any, turn_id: str) -> None:
        self.world = world
        self.pico = pico
        self.view = view
        self.id = turn_id
        self.event: Any = None
        self.asked: Any = None
        self.states: Any = None
        self.structure: Any = None
        self.meter: Any = None
        self.directives: list[Any] = []
        self.notes: list[Any] = []
        self.changed: list[Any] = []
        self.schedule = NOTHING_SCHEDULED
        self.sends = NOTHING_SENT
        self.timers = NOTHING_TIMED
        self.faults: Any = ()
        self.created: Any = ()
        self.deleted: Any = ()
        self.raises = self.calls = 0
        self.is_cleared = self.is_rule_metered = False

    def record(self) -> tuple[str, int, str, str, str, dict[str, Any], list[Any]]:
        """What the history keeps of the turn of an event."""
        event = self.event
        attrs = event.attrs
        if "_headers" in attrs:
            attrs = {name: value for name, value in attrs.items() if name != "_headers"}
        return (
            *(self.id, event.time_ms, event.eci, event.domain, event.name),
            *(attrs, self.notes),
        )

    @property
    def is_unchanged(self) -> bool:
        """Nothing but directives, notes and faults came of it."""
        return (
            not self.changed
            and self.states is None
            and self.sends is NOTHING_SENT
            and self.timers is NOTHING_TIMED
            and self.structure is None
            and not self.created
            and not self.deleted
        )

    def run(self, event: Any) -> None:
        """Evaluate an event, and everything it raises, to the end."""
        self.event = event
        begin(self)
        try:
            self._evaluate(event)
        finally:
            begin(None)

    def _evaluate(self, event: Any) -> None:
        """Offer an event to all rules it concerns, then what they raise, in order."""
        view = self.view
        contexts = view.contexts
        for slot, rules in view.salience.lookup(event.domain, event.name):
            self._dispatch(contexts[slot], rules, event)
            if self.is_cleared:
                self.is_cleared = False
                break
        while self.schedule:
            cx, rules, raised = self.schedule.popleft()
            if raised is not event:
                event = raised
                self.notes.append(event)
            self._dispatch(cx, rules, event)

    def _dispatch(self, cx: Any, rules: tuple[Any, ...], event: Any) -> None:
        """Offer one event to the salient rules of one ruleset, in source order."""
        if self.structure is not None and self.structure.install(cx.rid) is None:
            return
        cx.turn = self
        cx.event = event
        cx.ent.changed = self.changed
        try:
            for rule in rules:
                cx.rule_name = rule.name
                self.is_rule_metered = False
                settings: Any = ()
                if rule.machine is None:
                    self.notes.append(rule.label)
                else:
                    try:
                        settings = self._step(cx, rule, event)
                    except Exception as error:
                        self.notes.append((rule.label, None, None, False))
                        self.fault(cx, rule, error, event)
                        continue
                    if settings is None:
                        continue
                if self._offer(cx, rule, event, settings) is LAST:
                    self.notes.append(ENDED)
                    break
        finally:
            cx.turn = None
            cx.event = None
            cx.rule_name = None

    def _offer(self, cx: Any, rule: Any, event: Any, settings: Any) -> Any:
        """Run one rule's body in a savepoint."""
        marks = (
            len(self.directives),
            len(self.schedule),
            len(self.sends),
            len(self.timers),
            self.raises,
        )
        before = (self.structure, self.view, self.created, self.deleted)
        try:
            outcome = rule.body(cx, event, settings)
        except Exception as error:
            self.roll_back(marks, before)
            self.fault(cx, rule, error, event)
            return None
        for entities in self.changed:
            entities.keep()
        return outcome

    def _step(self, cx: Any, rule: Any, event: Any) -> Any:
        """Advance a rule's automaton; its register values when the rule is selected."""
        machine = rule.machine
        state = None if self.states is None else self.states.get(rule.key)
        if state is None:
            state = self.pico.states.get(rule.key, machine.start)
        within_ms = rule.within_ms if rule.within is None else self.within(cx, rule)
        settings, moved = machine.step(state, cx, event, event.time_ms, within_ms)
        self.notes.append((rule.label, state, moved, settings is not None))
        if moved is not state:
            if self.states is None:
                self.states = {}
            self.states[rule.key] = moved
        return settings


class Director:
    """What `send_directive` does, in an engine that makes texts and JSON of values in its way."""

    __slots__ = ("_text", "_to_json")

    def __init__(self, text: Callable[[Any], str], to_json: Callable[[Any], Any]) -> None:
        self._text = text
        self._to_json = to_json

    def send(self, cx: Any, name: Any = None, options: Any = None, *_: Any) -> dict[str, Any]:
        """`send_directive(name, options)`: append to the answer, and return what was appended."""
        host = cx.host
        turn = host.turn
        if type(name) is not str:
            name = self._text(name)
        if options is None:
            options = {}
        elif not is_plain(options):
            options = self._to_json(options)
        directive = {
            "type": "directive",
            "name": name,
            "options": options,
            "meta": {"rid": host.rid, "rule_name": host.rule_name, "txnId": turn.id},
        }
        turn.directives.append(directive)
        turn.notes.append((name,))
        return directive
