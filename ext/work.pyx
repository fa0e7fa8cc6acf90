# cython: binding=False
"""Counting work: calls and rounds of loops, so that whoever runs looks at the clock in time.

In: counts, from generated code and library operators. Out: `spent` is called on the runner of this
thread when its allowance is used up; what that raises comes out of the count. Invariants: one count
and one runner for each thread, so engines in different threads do not meet; a count that does not
use the allowance up costs a decrement. What a count means, and for how long somebody may run, is
not known here. `work_py.py` is the pure twin.

Who calls `begin` with a runner calls it again with None, or the runner is kept alive by it.
"""

from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_DECREF

# Not module variables of Cython, which all threads share.
cdef extern from *:
    """
    #if defined(_MSC_VER)
    #define PICOS_LOCAL __declspec(thread)
    #else
    #define PICOS_LOCAL _Thread_local
    #endif
    static PICOS_LOCAL long long picos_left = 1LL << 62;
    static PICOS_LOCAL PyObject* picos_runner = NULL;
    """
    long long picos_left
    PyObject* picos_runner

cdef long long LEFT_IDLE = 1LL << 62
cdef long long allowance = 1


def allow(long long work):
    """Say for all threads after how much work runners are told; at least 1."""
    global allowance
    allowance = max(work, 1)


def begin(object runner):
    """Count for somebody else from now on, or for nobody."""
    count_for(runner)


cdef void count_for(object runner):
    """Do what `begin` says; for other modules of the core."""
    global picos_left, picos_runner
    cdef PyObject* old = picos_runner
    if runner is None:
        picos_runner = NULL
        picos_left = LEFT_IDLE
    else:
        Py_INCREF(runner)
        picos_runner = <PyObject*>runner
        picos_left = allowance
    if old is not NULL:
        Py_DECREF(<object>old)


def current():
    """For whom this thread counts; None for nobody."""
    return None if picos_runner is NULL else <object>picos_runner


def tick():
    """Count one call or round."""
    global picos_left
    picos_left -= 1
    if picos_left < 0:
        _spent()


def spend(long long work):
    """Count work that amounts to so many calls."""
    global picos_left
    picos_left -= work
    if picos_left < 0:
        _spent()


cdef int _spent() except -1:
    global picos_left
    cdef long long times = (allowance - picos_left) // allowance
    picos_left = LEFT_IDLE
    if picos_runner is not NULL:
        picos_left = allowance
        # The runner may be another one when this returns; the name holds it alive meanwhile.
        runner = <object>picos_runner
        runner.spent(times)
    return 0


cdef class counted:
    """The same entries, each counted before it is given."""

    cdef object _entries

    def __init__(self, entries):
        self._entries = iter(entries)

    def __iter__(self):
        return self

    def __next__(self):
        global picos_left
        picos_left -= 1
        if picos_left < 0:
            _spent()
        return next(self._entries)
