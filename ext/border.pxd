cdef bint plain(object value)
