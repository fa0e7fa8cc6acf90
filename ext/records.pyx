# cython: binding=False
"""What an event meets on its way through a pico, and the loop that offers it to rules.

In: a turn, its view, an event. Out: the rules it concerns are stepped and run, each in a savepoint;
what they want changed stands in the turn. Invariants: the fields are read and written from Python
as fast as slots; a rule that raises takes back what it did and the turn goes on with the next one;
nothing here knows what is stored or who is answered. `records_py.py` is the pure twin. The
subclasses in `runtime` add what is not hot.
"""

cimport cython
from collections import deque

from cpython.dict cimport PyDict_GetItemWithError, PyDict_SetItem
from cpython.object cimport PyObject

from ext.automaton cimport Machine
from ext.border cimport plain
from ext.salience cimport Salience
from ext.work cimport count_for

from ext.records_py import (
    CONTEXT_FIELDS,
    ENDED,
    ENTITIES_FIELDS,
    EVENT_FIELDS,
    ITEM_FIELDS,
    LAST,
    NOTHING_SCHEDULED,
    NOTHING_SENT,
    NOTHING_TIMED,
    RULE_FIELDS,
    TURN_FIELDS,
    VIEW_FIELDS,
)

cdef extern from *:
    """
    #include <structmember.h>

    static int picos_member(PyObject *owner, PyObject *name, Py_ssize_t at) {
        PyTypeObject *type = (PyTypeObject *)owner;
        /* Lives as long as the type: for ever. */
        PyMemberDef *member = PyMem_Calloc(1, sizeof(PyMemberDef));
        PyObject *made;
        int failed;
        if (member == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        member->name = PyUnicode_AsUTF8(name);
        member->type = T_OBJECT_EX;
        member->offset = at;
        made = PyDescr_NewMember(type, member);
        if (made == NULL) return -1;
        failed = PyDict_SetItem(type->tp_dict, name, made);
        Py_DECREF(made);
        PyType_Modified(type);
        return failed;
    }
    """
    int picos_member(object owner, str name, Py_ssize_t at) except -1

cdef object _ENDED = ENDED
cdef object _LAST = LAST
cdef object _NO_SETTINGS = ()


cdef int _expose(object owner, tuple names) except -1:
    """Show fields to Python as members, as slots are: reading one calls nothing.

    The names are all fields of the class, in the order in which it declares them; they are all
    objects, so the last one ends where the record ends. Nobody may delete a field.
    """
    cdef Py_ssize_t at = owner.__basicsize__ - len(names) * <Py_ssize_t>sizeof(PyObject*)
    for name in names:
        picos_member(owner, name, at)
        at += sizeof(PyObject*)
    return 0


@cython.no_gc
@cython.freelist(64)
@cython.auto_pickle(False)
cdef class Event:
    """One event on its way through a pico.

    Units: time_ms is the event's own time, milliseconds since the epoch. `sender` is the pico that
    sent it, None when it came from outside.
    """

    # What it refers to is JSON, so it is part of no circle and the collector need not know it.
    cdef object eci, domain, name, attrs, time_ms, eid, sender

    def __init__(self, eci, domain, name, attrs, time_ms, eid, sender=None):
        self.eci = eci
        self.domain = domain
        self.name = name
        self.attrs = attrs
        self.time_ms = time_ms
        self.eid = eid
        self.sender = sender


@cython.freelist(64)
@cython.auto_pickle(False)
cdef class Item:
    """One thing to do for a pico: an event (perhaps with a query right behind it), a query, or a
    task of administration.

    `number` is the row's number in the inbox family, or -1 when it is not stored. `key` is the
    idempotency key the sender gave, with its channel. `is_inner` says that another turn of this
    engine asks, so that the answer need not be durable.
    """

    cdef object event, query, done, number, key, task, is_inner

    def __init__(self, event, query, done, *, number=-1):
        self.event = event
        self.query = query
        self.done = done
        self.number = number
        self.is_inner = False


@cython.auto_pickle(False)
cdef class View:
    """What dispatch needs for one list of installed rulesets: contexts and their salience.

    `generation` is the registry's when it was found that all rulesets are of the last version.
    """

    cdef object contexts, salience, generation

    def __init__(self, contexts, salience, generation):
        self.contexts = contexts
        self.salience = salience
        self.generation = generation


@cython.auto_pickle(False)
cdef class RuleBase:
    """The fields of a rule."""

    cdef object at, body, hash, key, label, machine, matchers, name, salience, table, within
    cdef object within_ms


@cython.auto_pickle(False)
cdef class ContextBase:
    """The fields of a context."""

    cdef object pico, module, install, rid, ent, event, turn, rule_name, values, configured
    cdef object modules, host


cdef inline bint _is_plain(object value):
    """Whether a value in memory is what rules see, and no collection."""
    t = type(value)
    return (
        t is int or t is str or value is None or t is dict or t is list or t is bool or t is float
    )


@cython.auto_pickle(False)
cdef class EntitiesBase:
    """The variables in memory, with what the turn and the savepoint would take back.

    The subclass has `_load(name)`, `_storable(name, value, old)`, `_whole(value)` and
    `_settle_parts(name, old, new)`.
    """

    cdef object _before, _bounds, _doomed, _now, _owner, _prefix, _reader, _undo, changed

    def __getitem__(self, name):
        cdef PyObject* found = PyDict_GetItemWithError(<dict?>self._now, name)
        value = self._load(name) if found is NULL else <object>found
        return value if _is_plain(value) else self._whole(value)

    def __setitem__(self, name, value):
        cdef dict now = <dict?>self._now
        cdef dict before = <dict?>self._before
        cdef PyObject* found = PyDict_GetItemWithError(now, name)
        old = self._load(name) if found is NULL else <object>found
        t = type(value)
        if not (t is int or value is None or t is bool or t is float):
            value = self._storable(name, value, old)
        if PyDict_GetItemWithError(before, name) is NULL:
            if not before:
                (<list?>self.changed).append(self)
            PyDict_SetItem(before, name, old)
        (<list?>self._undo).append((name, old))
        PyDict_SetItem(now, name, value)

    def __delitem__(self, name):
        self[name] = None

    def settle(self):
        """The turn is complete: its changes become the state; return the names that changed.

        Cost: O(changes); O(elements) for each collection that was assigned whole.
        """
        cdef dict now = <dict?>self._now
        cdef dict before = <dict?>self._before
        cdef list names = []
        for name, old in before.items():
            new = now[name]
            if _is_plain(new) and _is_plain(old):
                if new is not old:
                    names.append(name)
            elif self._settle_parts(name, old, new):
                names.append(name)
        before.clear()
        (<list?>self._undo).clear()
        return names

    def keep(self):
        """The savepoint succeeded: its changes belong to the turn."""
        (<list?>self._undo).clear()


@cython.auto_pickle(False)
cdef class TurnBase:
    """One event or query being evaluated, and what it wants changed.

    The subclass has `spent(times)`, `roll_back(marks, before)`, `fault(cx, rule, error, event)` and
    `within(cx, rule)`.
    """

    cdef object asked, calls, changed, created, deleted, directives, event, faults, id, is_cleared
    cdef object is_rule_metered, meter, notes, pico, raises, schedule, sends, states, structure
    cdef object timers, view, world

    def __init__(self, world, pico, view, turn_id):
        self.world = world
        self.pico = pico
        self.view = view
        self.id = turn_id
        self.directives = []
        self.notes = []
        self.changed = []
        # Most turns need none of these: they share empty ones until they do.
        self.schedule = NOTHING_SCHEDULED
        self.sends = NOTHING_SENT
        self.timers = NOTHING_TIMED
        self.faults = self.created = self.deleted = ()
        self.raises = self.calls = 0
        self.is_cleared = self.is_rule_metered = False

    def record(self):
        """What the history keeps of the turn of an event."""
        cdef Event event = self.event
        cdef dict attrs = event.attrs
        if "_headers" in attrs:
            attrs = {name: value for name, value in attrs.items() if name != "_headers"}
        return (
            self.id,
            event.time_ms,
            event.eci,
            event.domain,
            event.name,
            attrs,
            self.notes,
        )

    @property
    def is_unchanged(self):
        """Nothing but directives, notes and faults came of it."""
        return (
            not <list?>self.changed
            and self.states is None
            and self.sends is NOTHING_SENT
            and self.timers is NOTHING_TIMED
            and self.structure is None
            and not <tuple?>self.created
            and not <tuple?>self.deleted
        )

    def run(self, event):
        """Evaluate an event, and everything it raises, to the end."""
        self.event = event
        count_for(self)
        try:
            self.evaluate(event)
        finally:
            count_for(None)

    cdef evaluate(self, Event event):
        """Offer an event to all rules it concerns, then what they raise, in order."""
        cdef View view = self.view
        cdef tuple contexts = view.contexts
        for slot, rules in (<Salience?>view.salience).lookup(event.domain, event.name):
            self.dispatch(contexts[<Py_ssize_t>slot], rules, event)
            if self.is_cleared:
                self.is_cleared = False
                break
        if self.schedule is NOTHING_SCHEDULED:
            return
        while self.schedule:
            cx, rules, raised = self.schedule.popleft()
            if raised is not event:
                event = raised
                (<list?>self.notes).append(event)
            self.dispatch(cx, rules, event)

    cdef dispatch(self, ContextBase cx, tuple rules, Event event):
        """Offer one event to the salient rules of one ruleset, in source order."""
        cdef EntitiesBase entities = cx.ent
        cdef RuleBase rule
        if self.structure is not None and self.structure.install(cx.rid) is None:
            return
        cx.turn = self
        cx.event = event
        entities.changed = self.changed
        try:
            for rule in rules:
                cx.rule_name = rule.name
                self.is_rule_metered = False
                settings = _NO_SETTINGS
                if rule.machine is None:
                    (<list?>self.notes).append(rule.label)
                else:
                    try:
                        settings = self.step(cx, rule, event)
                    except Exception as error:
                        (<list?>self.notes).append((rule.label, None, None, False))
                        self.fault(cx, rule, error, event)
                        continue
                    if settings is None:
                        continue
                if self.offer(cx, rule, event, settings) is _LAST:
                    (<list?>self.notes).append(_ENDED)
                    break
        finally:
            cx.turn = None
            cx.event = None
            cx.rule_name = None

    cdef offer(self, ContextBase cx, RuleBase rule, Event event, object settings):
        """Run one rule's body in a savepoint."""
        cdef Py_ssize_t directives = len(<list?>self.directives)
        cdef Py_ssize_t scheduled = len(self.schedule)
        cdef Py_ssize_t sent = len(<list?>self.sends)
        cdef Py_ssize_t timed = len(<list?>self.timers)
        raises, structure, view = self.raises, self.structure, self.view
        created, deleted = self.created, self.deleted
        try:
            outcome = rule.body(cx, event, settings)
        except Exception as error:
            marks = (directives, scheduled, sent, timed, raises)
            self.roll_back(marks, (structure, view, created, deleted))
            self.fault(cx, rule, error, event)
            return None
        for entities in <list?>self.changed:
            (<list?>(<EntitiesBase?>entities)._undo).clear()
        return outcome

    cdef step(self, ContextBase cx, RuleBase rule, Event event):
        """Advance a rule's automaton; its register values when the rule is selected."""
        machine = rule.machine
        state = None
        if self.states is not None:
            state = (<dict?>self.states).get(rule.key)
        if state is None:
            state = self.pico.states.get(rule.key, machine.start)
        within_ms = rule.within_ms
        if rule.within is not None:
            within_ms = self.within(cx, rule)
        # The twin of the automaton may be in use beside this module.
        if type(machine) is Machine:
            found = (<Machine>machine).step(state, cx, event, event.time_ms, within_ms)
        else:
            found = machine.step(state, cx, event, event.time_ms, within_ms)
        settings, moved = found
        (<list?>self.notes).append((rule.label, state, moved, settings is not None))
        if moved is not state:
            if self.states is None:
                self.states = {}
            (<dict?>self.states)[rule.key] = moved
        return settings


cdef class Director:
    """What `send_directive` does, in an engine that makes texts and JSON of values in its way."""

    cdef object _text, _to_json

    def __init__(self, text, to_json):
        self._text = text
        self._to_json = to_json

    def send(self, ContextBase cx, name=None, options=None, *_):
        """`send_directive(name, options)`: append to the answer, and return what was appended."""
        cdef ContextBase host = cx.host
        cdef TurnBase turn = host.turn
        if type(name) is not str:
            name = self._text(name)
        if options is None:
            options = {}
        elif not plain(options):
            options = self._to_json(options)
        directive = {
            "type": "directive",
            "name": name,
            "options": options,
            "meta": {"rid": host.rid, "rule_name": host.rule_name, "txnId": turn.id},
        }
        (<list?>turn.directives).append(directive)
        (<list?>turn.notes).append((name,))
        return directive


_expose(Event, EVENT_FIELDS)
_expose(Item, ITEM_FIELDS)
_expose(View, VIEW_FIELDS)
_expose(RuleBase, RULE_FIELDS)
_expose(ContextBase, CONTEXT_FIELDS)
_expose(EntitiesBase, ENTITIES_FIELDS)
_expose(TurnBase, TURN_FIELDS)
