cdef class Salience:
    cdef dict _index    # domain -> name -> candidates
    cdef tuple _others  # the candidates of every other event

    cpdef tuple lookup(self, str domain, str name)
