"""bench: how many events the engine handles, beside a limit row and beside other engines.

    __main__.py     the commands: run, compare, stored, instructions, chart, peers

What is measured:

    cases.py        W1 to W9 and the points of the charts, each with limit rows and peers
    workloads.py    what one operation is for our engine
    requests.py     what is asked, what the answers have to be, what the limit row stores
    plans.py        the same for peers, as data
    served.py       W12: over HTTP and channels, every side in a process of its own
    others.py       W10 and W11, from compile.py and matcher.py: compiler and matcher alone
    stored.py       start-up, memory and waking against the number of stored picos
    instructions.py    instructions of the core, counted by valgrind

How:

    run.py          a case in a process of its own, all sides in turn; medians and ratios
    measure.py      one measured stretch: wall rate, CPU, latencies, memory
    limit.py        the limit row: same events, same rows, same durability, no rules
    limit_server.py    the same behind a socket
    peer.py         other engines in processes of their own (drivers: peers/)
    peer_setup.py   installs them

What comes out:

    report.py       the table, the JSON file, and two files compared
    charts.py       which charts there are; chart.py draws them

Nothing here is imported by the engine or the compiler.
"""
