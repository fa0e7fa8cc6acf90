"""The commands of `pico`, a module for each group.

    arguments.py   options, forms of values, exit codes, the session and the output they share
    serve.py       pico serve
    deploy.py      pico deploy
    talk.py        pico event, pico query
    show.py        pico show
    log.py         pico log, pico why; follow.py: pico log --follow
    keep.py        pico backup, pico restore, pico doctor; move.py: pico export, pico import
    still.py       a store that nobody writes to, for these; progress.py: bars, sizes
    bench.py       pico bench

Each module has `add(commands)`: it puts its parsers under `pico`, with one example each, and sets
`run`, a function from the parsed options to an exit code. cli.py lists the modules.

Invariant: importing a module of this package costs next to nothing, because all are imported for
`pico --help`; what is heavy is imported by the command that needs it.
"""
