cdef class State:
    cdef int control
    cdef tuple registers    # None when all are null
    cdef tuple lists        # aggregated captures, one tuple for each; None when there are none
    cdef object started_ms  # when the `within` clock started; None when it has not


cdef class Machine:
    cdef readonly State start
    cdef tuple _matchers
    cdef object _to_number
    cdef dict _symbols      # domain -> name -> symbol; None listens to every event
    cdef tuple _blank       # registers that are all null
    cdef tuple _captures    # for each matcher: (registers, ((register, operator, size, list), …))
    cdef tuple _plain       # for each control state, the state that carries nothing else
    cdef tuple _moved       # for each control state, (None, its plain state)
    cdef tuple _selected    # what selecting without registers returns
    cdef int* _moves        # [states × width]: control state, code, or REFERENCES - guard
    cdef int* _flags        # [states]
    cdef int* _firsts       # [guards + 1]: where a guard's matchers start in _tried
    cdef int* _tried        # matchers in the order to run them
    cdef int* _roots        # [guards]: the decision to start from
    cdef int* _decisions    # [decisions × 3]: matcher, if it failed, if it held
    cdef int* _kinds        # [matchers]: whether it fills no, all or some registers
    cdef int _width         # distinct events
    cdef int _states
    cdef int _end
    cdef int _timeout
    cdef int _register_count
    cdef int _list_count
    cdef bint _is_timed

    cpdef tuple step(self, State state, object cx, object event, object now_ms, object within_ms)
    cdef tuple _step(
        self, State state, int symbol, object cx, object event, object now_ms, object within_ms
    )
    cdef tuple _run(
        self, int guard, object cx, object event, tuple saved, tuple lists, bint restarts
    )
    cdef tuple _keep(self, tuple run, list results, tuple saved, tuple lists, bint restarts)
    cpdef State unpack(self, object packed)
