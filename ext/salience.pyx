"""The salience graph: (domain, name) -> rules to try, in order.

In: for each installed ruleset, in dispatch order, its rules in source order with what they listen
to. Out: look-ups. Invariants: immutable, shared by all picos with the same set of rulesets; rules
that listen to every event stand among the others in source order. Rules are opaque here.
`salience_py.py` is the pure twin and builds the index for both.
"""

from cpython.dict cimport PyDict_GetItem
from cpython.object cimport PyObject

from ext.salience_py import build_index


cdef class Salience:
    """Which rules an event concerns, for one set of installed rulesets."""

    def __init__(self, rulesets):
        """Index rulesets, given in dispatch order; pairs None is every event."""
        self._index, self._others = build_index(rulesets)

    def __class_getitem__(cls, item):
        """Let annotations name the rule's class: `Salience[Rule]`."""
        return cls

    cpdef tuple lookup(self, str domain, str name):
        """Return (ruleset's place, its salient rules in source order) for each concerned ruleset.

        Cost: two look-ups, no allocation.
        """
        cdef PyObject* found = PyDict_GetItem(self._index, domain)
        if found is NULL:
            return self._others
        found = PyDict_GetItem(<dict>found, name)
        if found is NULL:
            return self._others
        return <tuple>found
