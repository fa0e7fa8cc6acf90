"""Load for a running engine: what `pico bench` sends, and what bench/ measures servers with.

    links.py     connections, HTTP or a channel, that events and queries go over
    stage.py     picos with the rulesets of a workload, made for it and taken away again
    plays.py     the workloads: what is asked, what the answers have to be
    drive.py     so many operations, so many of them under way; latencies and CPU
    measure.py   one workload after the other, each on a stage of its own; their figures

Everything is asked from outside, as any client would. Not here: the command and its output
(commands/bench.py); peers, limit rows and comparisons, which are bench/'s.
"""
