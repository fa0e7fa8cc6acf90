"""The operators of the KRL library, one module for each field.

    types        as, isnull, typeof, sprintf, defaultsTo
    bits         chr, range, band, bor, bxor, bnot, shiftLeft, shiftRight
    strings      capitalize … replace, encode and decode, length
    collections  map, filter, reduce and the rest that go over arrays and maps
    sets         intersection, union, difference, has, once, duplicates, unique
    paths        get, set, put, delete, keys, values
    sorting      sort

Each is a plain function with the parameters of KRL in their order; the receiver comes first. They
are pure, and refuse what would be too large before making it. `stdlib.py` holds the one table.
"""
