"""runtime: the engine that hosts picos.

An event's path, file by file:

    http_api.py     routes a request (http_admin.py: those under /api/) that http_wire.py has read
                    (http_head.py, http_params.py); http_answers.py: what goes back, http_stream.py:
                    what goes on; server.py listens; ports.py: what transports may ask of the engine
    channel_server.py    the same for channels, in frames.py; client.py, client_link.py: clients
    event.py        validates: names, attributes, bounds
    channel.py      checks the channel's policy
    inbox.py        what waits for a pico; backlog.py: where a start looks for it
    intake.py       checks and accepts; engine.py picks the pico that runs next, delivery.py says
                    what becomes of sends and answers; library.py is its asyncio face
    shelf.py        picos in memory (pico.py, layer.py), woken from the store; context.py: what
                    their code may touch
    waiting.py      turns that wait for others, in greenlets of their own: workers.py
    turn.py         runs the event: salience and automata from `ext`, then generated rule bodies;
                    budget.py: for how long
    abi/v1.py       what generated code calls: values, stdlib.py with operators/, modules/
    entities.py     entity variables; large ones in parts: stored.py, stored_map.py, stored_array.py
    structure.py    channels, children, rulesets of a pico, as a turn changes them
    commit.py       gathers finished turns into groups; store.py, rocks.py, memory.py keep them
    answers.py      answers remembered under idempotency keys
    timers.py       events scheduled for later; cron.py: the moments of a `repeat`
    outbox.py       what leaves for other engines, through network.py; arrivals.py: what comes
    network_peers.py     how it gets there: over HTTP (network_http.py) or in frames
                    (network_frames.py)
    web.py          HTTP requests of rules (web_policy.py: to whom); web_client.py, web_session.py
                    carry them; errands.py: those that nobody waits for
    letters.py      what could not be delivered; graves.py: picos that are no more
    history.py      what turns did; why.py: what an event expression made of an event; live.py: it
                    all as it happens, over HTTP (http_follow.py) or channels (channel_live.py,
                    client_live.py)

Operating: backup.py (stores to backups and back), doctor.py with doctor_checks.py (is a store
sound), export.py and imports.py (picos to and from archives: archive.py), migrations.py (older
formats), metrics.py over counts.py, logs.py (what the log looks like), admin_api.py (the routes
for these).

Values: kinds.py, values.py (equality, order, arithmetic), numbers.py, utf16.py, dates.py, border.py
(JSON). Regular expressions: patterns.py over the package `ecma` and, in a helper process,
pattern_helper.py.

A ruleset's path: registry.py (source_policy.py: from where; sources.py reads it) -> compiler.py (a
helper process) -> module.py; bundle.py checks what came over the wire, picotypes.py the types of
children that it declares. system.py gives an engine what stands in rulesets/, our own KRL;
authority.py says who can reach whom, traces.py what a pico did. Around all: errors.py (R-codes),
limits.py, clock.py, observe.py, describe.py, home.py, cli.py with commands/ and client_http.py.
What `pico bench` sends: load/.

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
