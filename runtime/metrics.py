"""Metrics: what an engine has done and holds, in the text form that Prometheus reads.

In: an engine's core, and how many connections there are. Out: text, made when it is asked for.
Invariants: names and units are for ever; nothing is kept for a scrape but the integers of
counts.py; no label has a value that users make (ECIs, pico ids, names of events), so that their
number is bounded. Cost: O(picos awake). Source: the text exposition format, version 0.0.4.
"""

from __future__ import annotations

import os
import platform
import resource
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from runtime.counts import Histogram
from runtime.rocks import RocksStore

if TYPE_CHECKING:
    from runtime.engine import Core

KIND = b"text/plain; version=0.0.4; charset=utf-8"
_STARTED = time.time()

# A sample: labels, value.
Sample = tuple[Mapping[str, str], float]


def exposition(core: Core, version: str, connections: Mapping[str, int]) -> str:
    """All metrics of one engine."""
    lines: list[str] = []
    _core_metrics(lines, core)
    _store_metrics(lines, core)
    opened = [({"kind": kind}, count) for kind, count in connections.items()]
    _add(lines, "pico_connections", "gauge", "Open connections.", opened)
    about = {"version": version, "python": platform.python_version()}
    _add(lines, "pico_build_info", "gauge", "What runs here; always 1.", [(about, 1)])
    _process_metrics(lines)
    return "\n".join(lines) + "\n"


def _core_metrics(lines: list[str], core: Core) -> None:
    counts = core.counts
    turns = [
        ({"kind": "event"}, counts.events),
        ({"kind": "query"}, counts.queries),
        ({"kind": "task"}, counts.tasks),
    ]
    _add(lines, "pico_turns_total", "counter", "Turns that came to their end.", turns)
    said = "Rules that failed, by code."
    _add(lines, "pico_faults_total", "counter", said, _by_code(counts.faults))
    said = "Accepted events, queries and tasks that could not be run, by code."
    _add(lines, "pico_refused_total", "counter", said, _by_code(counts.refused))
    awake = core.shelf.picos.values()
    depths = [len(pico.inbox) for pico in awake]
    _one(lines, "pico_picos_awake", "gauge", "Picos in memory.", len(depths))
    _one(lines, "pico_inbox_waiting", "gauge", "Events and queries that wait.", sum(depths))
    said = "Events and queries that wait in the pico that has most."
    _one(lines, "pico_inbox_waiting_max", "gauge", said, max(depths, default=0))
    said = "Turns that wait for something outside."
    _one(lines, "pico_turns_suspended", "gauge", said, core.turns_suspended)
    said = "Events that wait for other engines."
    _one(lines, "pico_outbox_waiting", "gauge", said, core.outbox.waiting)
    _one(lines, "pico_dead_letters", "gauge", "Dead letters that are kept.", len(core.letters))


def _store_metrics(lines: list[str], core: Core) -> None:
    committer, store = core.committer, core.store
    _one(lines, "pico_up", "gauge", "0 when the store has failed.", committer.failure is None)
    groups = committer.group_rows
    _histogram(lines, "pico_commit_rows", "Rows of commit groups.", groups)
    if not isinstance(store, RocksStore):
        return
    _histogram(lines, "pico_sync_seconds", "Syncs of the log to the disk.", store.sync_seconds)
    said = "Timers that are pending; an estimate."
    # Each timer has two rows.
    _one(lines, "pico_timers_pending", "gauge", said, store.keys_estimated("timer") // 2)
    said = "Tables of the store on the disk."
    _one(lines, "pico_store_bytes", "gauge", said, store.disk_bytes())


def _process_metrics(lines: list[str]) -> None:
    """The metrics that every exporter has, under their usual names."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    said = "User and system CPU time."
    seconds = used.ru_utime + used.ru_stime
    _one(lines, "process_cpu_seconds_total", "counter", said, seconds)
    said = "Resident memory."
    _one(lines, "process_resident_memory_bytes", "gauge", said, _resident_bytes(used.ru_maxrss))
    said = "When this process started, since the epoch."
    _one(lines, "process_start_time_seconds", "gauge", said, _STARTED)


def _resident_bytes(most_kib: int) -> int:
    """The memory this process has now; where the system does not tell, the most it ever had."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return most_kib * 1024


# --- Text -----------------------------------------------------------------------------------------


def _by_code(counts: Mapping[str, int]) -> list[Sample]:
    return [({"code": code}, count) for code, count in sorted(counts.items())]


def _one(lines: list[str], name: str, kind: str, says: str, value: float) -> None:
    _add(lines, name, kind, says, [({}, value)])


def _add(lines: list[str], name: str, kind: str, says: str, samples: Iterable[Sample]) -> None:
    lines += [f"# HELP {name} {says}", f"# TYPE {name} {kind}"]
    lines += [f"{name}{_labels(labels)} {_number(value)}" for labels, value in samples]


def _histogram(lines: list[str], name: str, says: str, found: Histogram) -> None:
    # Another thread may count meanwhile: what is read once makes sums that agree.
    counts, total = list(found.counts), found.total
    lines += [f"# HELP {name} {says}", f"# TYPE {name} histogram"]
    below = 0
    for bound, count in zip((*found.bounds, None), counts, strict=True):
        below += count
        shown = "+Inf" if bound is None else _number(bound)
        lines.append(f'{name}_bucket{{le="{shown}"}} {below}')
    lines += [f"{name}_sum {_number(total)}", f"{name}_count {below}"]


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
