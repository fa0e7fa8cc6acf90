"""One turn: an event (or a query) of one pico, from its first rule to its completion.

In: a pico, an event, and the engine's `World` (clock, ids, what is outside). Out: a `Turn` that
holds everything it wants changed: variables, automaton states, structure, new picos, sends,
directives, faults. Nothing is applied here: `commit.py` does that, whole or not at all. Invariants:
a rule runs in a savepoint, and a fault takes back all it did except its automaton's advance; the
turn goes on with the next rule. No rule sees another turn's unfinished work. Not here: storage,
loops, waiting.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from ext import (
    LAST,
    NOTHING_SCHEDULED,
    NOTHING_SENT,
    NOTHING_TIMED,
    State,
    TurnBase,
    begin,
    tick,
)
from runtime.border import to_json
from runtime.budget import Meter, look
from runtime.errors import Fault, missing_part, no_map, not_installed, not_shared
from runtime.event import Event, Query
from runtime.limits import (
    raises_per_turn_max,
    sends_per_turn_max,
    timers_per_turn_max,
    turn_wait_ms,
)
from runtime.module import Rule, fault_line, to_fault

if TYPE_CHECKING:
    from runtime.clock import Clock, Ids, Random
    from runtime.context import Context
    from runtime.entities import Entities
    from runtime.errands import Errands
    from runtime.history import History
    from runtime.module import Module
    from runtime.outbox import Outbox
    from runtime.pico import Install, Pico, Structure, View
    from runtime.timers import Change, Timers
    from runtime.web import Web

# What a rule did, in a turn's notes. The others are: a rule's label, or (label, state before, state
# after, is selected); a raised event where its rules begin, (domain, name) of one that nobody
# hears; (name,) of a directive, a send, a fault; (level, rid, text) of a log statement. They are
# encoded as they are (history.py).
ENDED, CLEARED, UNFIRED, UNFIRED_ROUND = 1, 2, 3, 4
# What ends a wait: a value or a Fault; on the driving loop, never within the call that gets it.
Told = Callable[[Any], object]
Cancel = Callable[[], object]
# Begins what a turn waits for; returns how to give it up, if that can be done.
Start = Callable[[Told], Cancel | None]
# What waits in a turn's schedule: rules of one ruleset, and the event to offer them.
Pending = tuple["Context", tuple[Rule, ...], Event]
Savepoint = tuple["Structure | None", "View", "tuple[Pico, ...]", "tuple[str, ...]"]


class World(Protocol):
    """What a turn may ask of the engine around it."""

    clock: Clock
    ids: Ids
    random: Random
    host: str
    outbox: Outbox
    timers: Timers
    errands: Errands
    history: History
    web: Web | None

    def structure(self, pico: Pico) -> Structure:
        """The pico's structure with its channels and children loaded."""

    def view(self, pico: Pico, structure: Structure, old: View | None) -> View:
        """Contexts and salience for a list of installed rulesets."""

    def module_context(
        self, host: Context, install: Install, configured: dict[str, Any]
    ) -> Context:
        """A context for an installed ruleset that another one uses as a module."""

    def module(self, turn: Turn, url: str) -> Module:
        """The ruleset of a URL; the turn waits if it has to be fetched or compiled first.

        Raises: R2012, R2007, R2009, R2014.
        """

    def pico_type(self, name: str) -> dict[str, Any]:
        """A pico type that a bundle declared.

        Raises: R2020.
        """

    def channel(self, eci: str) -> Any:
        """The channel of an ECI, or None."""

    def flush(self, turn: Turn, url: str) -> None:
        """Fetch a ruleset again, and adopt it if it has changed."""

    def ask(self, turn: Turn, eci: Any, rid: Any, name: Any, args: Any) -> Any:
        """The value of a shared function of the pico behind a channel."""

    def ask_event(
        self,
        turn: Turn,
        eci: Any,
        domain: Any,
        name: Any,
        attrs: Any,
        rid: Any,
        query_name: Any,
        args: Any,
    ) -> Any:
        """Have another pico evaluate an event, then ask it."""

    def wait(self, turn: Turn, start: Start, what: str, deadline_ms: int) -> Any:
        """Park a turn until what it waits for has come."""

    def call_outside(self, turn: Turn, start: Start, what: str, deadline_ms: int) -> Any:
        """Park a turn until all that it depends on is durable and something outside answered."""

    def pause(self, turn: Turn) -> None:
        """Let other picos run for a moment."""


class NeedRuleset(BaseException):
    """A pico cannot run before one of its rulesets is loaded."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url


class Send:
    """An event that leaves the pico when the turn commits; to this engine if it names no host."""

    __slots__ = ("attrs", "domain", "eci", "eid", "host", "name")

    def __init__(
        self, eci: str, domain: str, name: str, attrs: dict[str, Any], eid: str, host: str | None
    ) -> None:
        self.eci = eci
        self.domain = domain
        self.name = name
        self.attrs = attrs
        self.eid = eid
        self.host = host


class Turn(TurnBase):
    """One event or query being evaluated, and what it wants changed."""

    __slots__ = ()

    world: World
    pico: Pico
    view: View
    id: str
    event: Event | None
    asked: Query | None
    directives: list[dict[str, Any]]
    changed: list[Entities]
    schedule: deque[Pending]
    sends: list[Send]
    timers: list[Change]
    faults: tuple[Fault, ...]
    created: tuple[Pico, ...]
    deleted: tuple[str, ...]
    states: dict[str, State] | None
    structure: Structure | None
    meter: Meter | None

    @property
    def root(self) -> Turn:
        """The turn whose pico is held while this one waits: itself, or the one that asks."""
        return self

    # --- Events -----------------------------------------------------------------------------------

    def begin(self) -> None:
        """Have the work of this thread count for this turn, until `end`."""
        begin(self)

    def end(self) -> None:
        """What comes now is the engine's own work."""
        begin(None)

    def spent(self, times: int) -> None:
        """The allowance of counted work is used up, so many times over.

        Raises: R4024, R4025.
        """
        look(self, times)

    def within(self, cx: Context, rule: Rule) -> Any:
        """The time limit of a rule that computes it.

        Raises: R2001 for what is no number.
        """
        assert rule.within is not None
        within_ms = rule.within(cx)
        if type(within_ms) is not int and type(within_ms) is not float:
            raise Fault("R2001", "the `within` limit is not a number")
        return within_ms

    def roll_back(self, marks: tuple[int, int, int, int, int], before: Savepoint) -> None:
        """Take back what one rule did."""
        directives, scheduled, sent, timed, self.raises = marks
        self.structure, self.view, self.created, self.deleted = before
        del self.directives[directives:]
        del self.sends[sent:]
        del self.timers[timed:]
        for _ in range(len(self.schedule) - scheduled):
            self.schedule.pop()
        for entities in self.changed:
            entities.roll_back()

    def fault(self, cx: Context, rule: Rule, error: Exception, event: Event) -> None:
        """A rule failed: tell the caller, and raise system:error to whoever handles it."""
        fault = to_fault(error)
        fault.rid = cx.rid
        fault.rule_name = rule.name
        fault.eid = self.id
        if fault.line is None:
            fault.line = fault_line(error, cx.module.filename) or rule.at[0]
        fault.__traceback__ = None
        self.faults += (fault,)
        self.notes.append(fault)
        if event.domain == "system" and event.name == "error":
            return
        attrs = {
            "level": "error",
            "genus": "system",
            "species": fault.species,
            "msg": fault.message,
            "rid": fault.rid,
            "rule_name": fault.rule_name,
            "line": fault.line,
            "eid": self.id,
            # Who sent the request wants to know which one failed.
            "event": {"domain": event.domain, "name": event.name, "attrs": event.attrs},
        }
        self.append(
            Event(event.eci, "system", "error", attrs, event.time_ms, self.id), self.home(cx)
        )

    def home(self, cx: Context) -> str:
        """Where system:error of a ruleset goes: `errors to`, else the ruleset itself."""
        handler = cx.module.errors_to
        return cx.rid if handler is None else handler

    def append(self, event: Event, rid: str | None) -> None:
        """Put an event at the end of the schedule, for all rulesets or one."""
        contexts = self.view.contexts
        if self.schedule is NOTHING_SCHEDULED:
            self.schedule = deque()
        is_heard = False
        for slot, rules in self.view.salience.lookup(event.domain, event.name):
            if rid is None or contexts[slot].rid == rid:
                self.schedule.append((contexts[slot], rules, event))
                is_heard = True
        if not is_heard:
            self.notes.append((event.domain, event.name))

    def raise_event(self, domain: Any, name: Any, attrs: Any, rid: str | None) -> None:
        """`raise`: append a new event of this turn.

        Raises: R1007 for a blank domain or name or attributes that are no map, R4011.
        """
        if type(domain) is not str or not domain.strip():
            raise missing_part("event.domain")
        if type(name) is not str or not name.strip():
            raise missing_part("event.name")
        if attrs is None:
            attrs = {}
        elif type(attrs) is not dict:
            raise no_map("event.data.attrs")
        self.raises += 1
        tick()
        if self.raises > raises_per_turn_max:
            raise Fault("R4011", f"more than {raises_per_turn_max} events raised in one turn")
        eci = self.event.eci if self.event is not None else "[raise]"
        now = self.world.clock.now_ms()
        event = Event(eci, domain.strip(), name.strip(), to_json(attrs), now, self.id)
        self.append(event, rid)

    def error(self, cx: Context, level: str, data: Any) -> Any:
        """The statement `error`: system:error for this ruleset; level error ends the schedule."""
        if level == "error":
            self.schedule = NOTHING_SCHEDULED
            self.is_cleared = True
            self.notes.append(CLEARED)
        attrs = {
            "level": level,
            "data": to_json(data),
            "rid": cx.rid,
            "rule_name": cx.rule_name,
            "genus": "user",
        }
        eci = self.event.eci if self.event is not None else "[raise]"
        now = self.world.clock.now_ms()
        self.append(Event(eci, "system", "error", attrs, now, self.id), self.home(cx))
        return LAST

    def send(self, send: Send) -> None:
        """Have an event leave when this turn commits.

        Raises: R4012.
        """
        if len(self.sends) >= sends_per_turn_max:
            raise Fault("R4012", f"more than {sends_per_turn_max} events sent in one turn")
        if self.sends is NOTHING_SENT:
            self.sends = []
        self.sends.append(send)
        self.notes.append(send)

    def change_timer(self, change: Change) -> None:
        """Have a job scheduled or removed when this turn commits.

        Raises: R4017.
        """
        if len(self.timers) >= timers_per_turn_max:
            raise Fault("R4017", f"more than {timers_per_turn_max} jobs changed in one turn")
        if self.timers is NOTHING_TIMED:
            self.timers = []
        self.timers.append(change)

    # --- Waiting ----------------------------------------------------------------------------------

    def wait(self, start: Start, what: str, deadline_ms: int = turn_wait_ms) -> Any:
        """Wait for an answer, holding nothing but this pico; others go on meanwhile.

        Units: a deadline of 0 is none: then what is waited for has one itself.
        Raises: the Fault that is the answer; R4021 at the deadline, R4022.
        """
        return self.world.wait(self, start, what, deadline_ms)

    def call_outside(self, start: Start, what: str, deadline_ms: int = turn_wait_ms) -> Any:
        """As `wait`, begun only when the event and all that this turn has seen are durable."""
        return self.world.call_outside(self, start, what, deadline_ms)

    def call_id(self) -> str:
        """A name for the next outside call: the same one when the turn runs again after a crash."""
        root = self.root
        root.calls += 1
        return f"{root.id}.{root.calls}"

    def pause(self) -> None:
        """Let others run for a moment; this turn has taken long already."""
        self.world.pause(self)

    # --- Queries ----------------------------------------------------------------------------------

    def query(self, query: Query) -> Any:
        """Answer a query.

        Raises: R2005 and R2006 when there is nothing to ask, else what the function raises, with
        ruleset and line.
        """
        cx = next((c for c in self.view.contexts if c.rid == query.rid), None)
        if cx is None:
            raise not_installed(query.rid)
        if query.name == "__testing" and "__testing" not in cx.module.globals:
            return cx.module.manifest["testing"]
        item = cx.module.shared(query.name)
        if item is None:
            raise not_shared(query.rid, query.name)
        self.asked = query
        # A pico made in this turn may ask itself, in the contexts that it has already.
        before = cx.turn
        cx.turn = self
        cx.event = None
        self.begin()
        try:
            if item.kind == "function":
                assert item.fn is not None
                args = query.args
                values = [
                    args[name] if name in args else args.get(str(index))
                    for index, name in enumerate(item.params)
                ]
                return to_json(item.fn(cx, *values))
            if item.slot >= 0:
                from runtime.abi.v1 import global_value

                return to_json(global_value(cx, item.slot))
            return to_json(item.value)
        except Exception as error:
            fault = to_fault(error)
            fault.rid = cx.rid
            if fault.line is None:
                fault.line = fault_line(error, cx.module.filename)
            raise fault from None
        finally:
            self.end()
            cx.turn = before

    # --- Modules ----------------------------------------------------------------------------------

    def used_module(self, cx: Context, alias: str) -> Context:
        """The context of a module that a ruleset uses, made when it is first asked for.

        Source: language reference 10.2: each use is an instance of its own, with its own
        configuration, over the entity variables of the module's ruleset on this pico.
        Raises: R2009 when the module's ruleset is not installed on this pico.
        """
        use = next(use for use in cx.module.uses if use.alias == alias)
        pico = cx.pico
        structure = pico.structure
        if pico is self.pico and self.structure is not None:
            structure = self.structure
        install = structure.install(use.rid)
        if install is None:
            raise Fault("R2009", f"Module not found: {use.rid}", rid=cx.rid)
        configured = {name: make(cx) for name, make in use.configured}
        return self.world.module_context(cx.host, install, configured)

    # --- Structure --------------------------------------------------------------------------------

    def now(self) -> Structure:
        """The pico's structure as this turn has changed it so far."""
        return self.world.structure(self.pico) if self.structure is None else self.structure

    def change(self, structure: Structure) -> None:
        """Put a new structure over the pico's."""
        old = self.now()
        self.structure = structure
        if old.installs is not structure.installs:
            self.view = self.world.view(self.pico, structure, self.view)

    def give_up(self) -> None:
        """The turn ends without effect."""
        for entities in self.changed:
            entities.discard()

    def answer(self) -> dict[str, Any]:
        """What the caller of an event gets."""
        answer: dict[str, Any] = {"eid": self.id, "directives": self.directives}
        if self.faults:
            answer["errors"] = [fault.to_map() for fault in self.faults]
        return answer


class NestedTurn(Turn):
    """A query that is answered within the turn that asks it."""

    __slots__ = ("asker",)

    def __init__(self, world: World, pico: Pico, view: View, turn_id: str, asker: Turn) -> None:
        super().__init__(world, pico, view, turn_id)
        self.asker = asker

    @property
    def root(self) -> Turn:
        """The turn that asks, or the one that asked that."""
        return self.asker.root

    def begin(self) -> None:
        """Its work counts for the turn that asks."""

    def end(self) -> None:
        """The turn that asks goes on."""
