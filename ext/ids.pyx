# cython: binding=False
"""Identifiers nobody can guess, cut from the operating system's randomness.

In: what they all begin with. Out: texts. Invariants: every character after the beginning is equally
likely; none is used twice. `ids_py.py` is the pure twin, and makes the characters for both.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memcpy

from ext.ids_py import RANDOM_CHARS, random_chars

cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    unsigned char* PyUnicode_1BYTE_DATA(object text)

cdef Py_ssize_t WIDTH = RANDOM_CHARS


cdef class IdsBase:
    """A source of identifiers.

    Cost: one copy out of a buffer; the operating system is asked once per 320 identifiers or so.
    """

    cdef bytes _prefix, _chars
    cdef Py_ssize_t _at

    def __init__(self, str prefix):
        self._prefix = prefix.encode("ascii")
        self._chars = b""
        self._at = 0

    def eid(self):
        """A new identifier."""
        cdef Py_ssize_t begin = PyBytes_GET_SIZE(self._prefix)
        if self._at + WIDTH > PyBytes_GET_SIZE(self._chars):
            self._chars = random_chars()
            self._at = 0
        made = PyUnicode_New(begin + WIDTH, 127)
        cdef unsigned char* at = PyUnicode_1BYTE_DATA(made)
        memcpy(at, PyBytes_AS_STRING(self._prefix), begin)
        memcpy(at + begin, PyBytes_AS_STRING(self._chars) + self._at, WIDTH)
        self._at += WIDTH
        return made
