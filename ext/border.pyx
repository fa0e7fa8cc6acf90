# cython: binding=False
"""Checks and copies of what crosses a border, for the many values that are small and plain.

In: names and values as a transport or a rule gives them. Out: whether they are as they should be,
or copies. Invariants: what is answered yes to, or copied, needs nothing more; whatever is not
simple is left to the slower functions of `runtime`, which know what is wrong with it. No code of
anybody else runs in here. `border_py.py` is the pure twin, and holds the bounds of both.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.dict cimport PyDict_Copy, PyDict_Next, PyDict_SetItem
from cpython.object cimport PyObject
from libc.math cimport floor

from ext import border_py

cdef extern from "Python.h":
    bint Py_UNICODE_ISSPACE(Py_UCS4 character)

cdef Py_ssize_t COST_MAX = border_py.COST_MAX
cdef int DEPTH_MAX = border_py.DEPTH_MAX
cdef double INTEGER_MAX = 9007199254740992.0
cdef long long _EXACT = 1LL << 53


def are_names(first, second, third):
    """Whether all are texts that say something, without white space around."""
    return _is_name(first) and _is_name(second) and _is_name(third)


cdef inline bint _is_name(object value):
    if type(value) is not str:
        return False
    cdef str text = <str>value
    cdef Py_ssize_t count = len(text)
    if count == 0:
        return False
    return not Py_UNICODE_ISSPACE(text[0]) and not Py_UNICODE_ISSPACE(text[count - 1])


def is_plain(value):
    """Whether a value is JSON as it stands, small, and nested a few levels only.

    Numbers must be finite. Cost: one pass, no allocation.
    """
    return plain(value)


cdef bint plain(object value):
    """Say what `is_plain` says; for other modules of the core."""
    cdef Py_ssize_t left = COST_MAX
    return _is_plain(value, &left, DEPTH_MAX)


cdef bint _is_plain(object value, Py_ssize_t* left, int depth):
    cdef PyObject* key
    cdef PyObject* entry
    cdef Py_ssize_t at = 0
    cdef double number
    t = type(value)
    if t is str:
        left[0] -= len(<str>value)
        return left[0] >= 0
    if t is int or value is None or t is bool:
        return True
    if t is float:
        number = <double>value
        return number - number == 0.0
    if depth == 0:
        return False
    if t is dict:
        left[0] -= 16 * len(<dict>value)
        if left[0] < 0:
            return False
        while PyDict_Next(value, &at, &key, &entry):
            if type(<object>key) is not str:
                return False
            left[0] -= len(<str><object>key)
            if not _is_plain(<object>entry, left, depth - 1):
                return False
        return left[0] >= 0
    if t is list:
        left[0] -= 16 * len(<list>value)
        if left[0] < 0:
            return False
        for item in <list>value:
            if not _is_plain(item, left, depth - 1):
                return False
        return True
    return False


def own_plain(value):
    """A copy of a map that shares no container with it, in KRL's values; None if it is not simple.

    Cost: one pass; a flat map is copied as it lies.
    """
    if type(value) is not dict:
        return None
    cdef Py_ssize_t left = COST_MAX
    return _own(value, &left, DEPTH_MAX)


cdef object _own(object value, Py_ssize_t* left, int depth):
    """A copy of a map or array; None for what is not simple."""
    cdef PyObject* key
    cdef PyObject* entry
    cdef Py_ssize_t at = 0
    cdef bint is_flat = True
    if depth == 0:
        return None
    if type(value) is list:
        left[0] -= 16 * len(<list>value)
        if left[0] < 0:
            return None
        items = list(<list>value)
        for at in range(len(<list>items)):
            item = (<list>items)[at]
            if _is_scalar(item, left):
                continue
            if type(item) is not dict and type(item) is not list:
                return None
            item = _own(item, left, depth - 1)
            if item is None:
                return None
            (<list>items)[at] = item
        return items
    left[0] -= 16 * len(<dict>value)
    if left[0] < 0:
        return None
    while PyDict_Next(value, &at, &key, &entry):
        if type(<object>key) is not str:
            return None
        left[0] -= len(<str><object>key)
        if not _is_scalar(<object>entry, left):
            if type(<object>entry) is not dict and type(<object>entry) is not list:
                return None
            is_flat = False
    if left[0] < 0:
        return None
    found = PyDict_Copy(value)
    if is_flat:
        return found
    for name, item in (<dict>value).items():
        if type(item) is dict or type(item) is list:
            item = _own(item, left, depth - 1)
            if item is None:
                return None
            PyDict_SetItem(found, name, item)
    return found


cdef inline bint _is_scalar(object value, Py_ssize_t* left):
    """Whether a value is no container, and in KRL what it is in JSON."""
    cdef double number
    t = type(value)
    if t is str:
        left[0] -= len(<str>value)
        return left[0] >= 0
    if value is None or t is bool:
        return True
    if t is int:
        return -_EXACT <= value <= _EXACT
    if t is float:
        # One that is whole becomes an integer; what is not finite is for others to judge.
        number = <double>value
        return number - number == 0.0 and floor(number) != number
    return False


def cut(bytes data, Py_ssize_t bytes_max):
    """The contents of the whole frames in some bytes, where the rest begins, and its length.

    A frame is 4 bytes of length, big-endian, and so many bytes. The length is that of the next
    frame: one that is not whole, or, if it is 0 or more than `bytes_max`, not allowed; -1 when that
    is not known yet.
    """
    cdef const unsigned char* at = data
    cdef Py_ssize_t left = len(data)
    cdef Py_ssize_t size = -1
    cdef list frames = []
    while left >= 4:
        size = (<Py_ssize_t>at[0] << 24) | (at[1] << 16) | (at[2] << 8) | at[3]
        if size == 0 or size > bytes_max or size > left - 4:
            return (frames, len(data) - left, size)
        frames.append(PyBytes_FromStringAndSize(<const char*>(at + 4), size))
        at += 4 + size
        left -= 4 + size
    return (frames, len(data) - left, -1)
