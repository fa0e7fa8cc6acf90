"""bench: how many events the engine handles, beside what the same input and output cost alone.

    __main__.py     the commands: run, compare, stored
    workloads.py    W1 to W9 for our engine, and the list of cases
    requests.py     what each asks, what the answers have to be, what the limit row stores
    limit.py        the limit row: same events, same rows, same durability, no rules
    measure.py      one measured stretch: wall rate, CPU, latencies, memory
    run.py          a case in a process of its own, ours and limit in turn; medians and ratios
    report.py       the table, the JSON file, and two files compared
    stored.py       start-up, memory and waking against the number of stored picos

Nothing here is imported by the engine or the compiler.
"""
