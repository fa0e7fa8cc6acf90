cdef void count_for(object runner)
