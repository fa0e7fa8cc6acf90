"""runtime: the engine that hosts picos.

An event's path, file by file:

    http_api.py     parses a request (http_wire.py, http_params.py); server.py listens
    channel_server.py    the same for channels, in frames.py; client.py, client_link.py: clients
    event.py        validates: names, attributes, bounds
    channel.py      checks the channel's policy
    inbox.py        what waits for a pico; backlog.py: where a start looks for it
    intake.py       checks and accepts; engine.py picks the pico that runs next, delivery.py says
                    what becomes of sends and answers; library.py is its asyncio face
    shelf.py        picos in memory (pico.py, layer.py), woken from the store; context.py: what
                    their code may touch
    turn.py         runs the event: salience and automata from `ext`, then generated rule bodies
    abi/v1.py       what generated code calls: values, stdlib.py with operators/, modules/
    entities.py     entity variables; large ones in parts: stored.py, stored_map.py, stored_array.py
    structure.py    channels, children, rulesets of a pico, as a turn changes them
    commit.py       gathers finished turns into groups; store.py, rocks.py, memory.py keep them
    answers.py      answers remembered under idempotency keys
    timers.py       events scheduled for later; cron.py: the moments of a `repeat`
    outbox.py       what leaves for other engines, through network.py; arrivals.py: what comes
    letters.py      what could not be delivered; graves.py: picos that are no more
    history.py      what turns did; why.py: what an event expression made of an event

Values: kinds.py, values.py (equality, order, arithmetic), numbers.py, utf16.py, dates.py, border.py
(JSON). Regular expressions: patterns.py over ecma.py, charsets.py, pattern_forms.py,
pattern_cost.py and, in a helper process, pattern_helper.py.

A ruleset's path: registry.py -> compiler.py (a helper process) -> module.py; bundle.py checks what
came over the wire. Around all: errors.py (R-codes), limits.py, clock.py, observe.py, describe.py,
home.py, cli.py with client_http.py.

No core module imports asyncio; `krlc` is reached only as a process.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.library import Engine

__all__ = ["Engine"]


def __getattr__(name: str) -> Any:
    # The command line imports this package for small commands that need no engine.
    if name == "Engine":
        from runtime.library import Engine

        return Engine
    raise AttributeError(name)
