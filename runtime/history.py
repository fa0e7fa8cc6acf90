"""History: what turns did, for people who ask later (`pico log`, `pico why`).

In: finished turns of events, with the notes they took. Out: one record for each pico and commit
group in family `history`, and entries read back from them. Invariants: a turn only takes notes, all
encoding is done for a group of turns; records go with the next batch, or alone after a moment,
never causing a sync for a turn or delaying an answer, so a crash may lose the tail; nothing that
correctness needs is here, and nothing that fails here fails a turn. Records lie in buckets of time
and size, which are dropped whole. Queries are not recorded. Not here: what it means (why.py).

A record is the turns of its group, each [eid, event's time, eci, domain, name, attributes, notes];
attributes that were too large are just their size in bytes, and `_headers` is never kept. A note is
as turn.py describes it: a state is packed, a raised event is {"event": [domain, name, attributes]},
a send {"send": [eci, domain, name]}, a fault {"fault": [code, message, line]}, a log statement
[level, rid, what it said].
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import msgpack
import msgspec

from ext import State
from runtime import observe
from runtime.clock import Clock, Handle
from runtime.commit import Committer
from runtime.errors import Fault, shown_eci
from runtime.event import Event
from runtime.limits import (
    history_bucket_bytes,
    history_bucket_ms,
    history_buckets_kept,
    history_kept_ms,
    history_notes_max,
    history_turn_bytes_max,
    history_wait_ms,
)
from runtime.store import (
    RECORD_FORMAT,
    Batch,
    Store,
    decode_record,
    history_key,
    key_number,
    number_key,
)
from runtime.turn import CLEARED, ENDED, UNFIRED, UNFIRED_ROUND, Send, Turn

Entry = dict[str, Any]
Record = tuple[str, int, str, str, str, dict[str, Any] | int, list[Any]]
# Turns that wait without a batch to go with are encoded when there are so many: enough to share the
# cost of a record, few enough to leave memory while they are young.
GATHERED = 256
_FORMAT = bytes((RECORD_FORMAT,))
# A group of small turns is not looked through for a large one below this size for each turn.
_USUAL_BYTES = 1 << 10
_TIME_SHIFT = 12


class History:
    """All history of one engine.

    The engine adds turns while `is_on`; `buckets_kept` 0 keeps nothing. `heard` is told of each
    turn that is added (live.py).
    """

    def __init__(
        self,
        store: Store,
        committer: Committer,
        clock: Clock,
        buckets_kept: int = history_buckets_kept,
    ) -> None:
        self._store = store
        self._committer = committer
        self._clock = clock
        self._buckets_kept = buckets_kept
        self._groups: dict[str, list[Record]] = {}
        self._rows: Batch = []
        self._alarm: Handle | None = None
        self._bucket = 0
        self._bucket_bytes = 0
        self._is_new_bucket = False
        self._is_resumed = True
        self._number = 0
        self.is_on = buckets_kept > 0
        self.heard: Callable[[Turn, Record], object] | None = None
        # A start goes on in the last bucket, and counts its bytes from zero.
        last = next(store.scan("history", b"", reverse=True), None)
        if last is not None:
            self._bucket = int.from_bytes(last[0][:8], "big")
        committer.on_write = self.add_to

    # --- Writing ----------------------------------------------------------------------------------

    def add(self, turn: Turn) -> None:
        """Keep what a finished turn of an event did.

        Cost: hot; one tuple. All the rest is done for a group of turns.
        """
        record = turn.record()
        pico_id = turn.pico.id
        group = self._groups.get(pico_id)
        if group is None:
            self._groups[pico_id] = [record]
        else:
            group.append(record)
        if self.heard is not None:
            self.heard(turn, record)

    def tend(self) -> None:
        """Look after what waits, once a round: see that it is written in a moment."""
        if not self._groups and not self._rows:
            return
        if sum(map(len, self._groups.values())) >= GATHERED:
            self._gather()
        if self._alarm is None:
            self._alarm = self._clock.call_at(self._clock.now_ms() + history_wait_ms, self._due)

    def add_to(self, batch: Batch) -> None:
        """Put all that waits into a batch that is about to be written."""
        if self._groups:
            self._gather()
        if self._rows:
            batch += self._rows
            self._rows = []

    def _gather(self) -> None:
        """Encode the turns that wait: one row for each pico."""
        groups, self._groups = self._groups, {}
        now = self._clock.now_ms()
        bucket = self._bucket_at(now)
        self._number = max(self._number, now << _TIME_SHIFT)
        for pico_id, group in groups.items():
            try:
                data = encode_group(group)
            except Exception as error:
                # Half a history is better than a turn that fails for it.
                observe.bug(pico_id, error)
                continue
            self._number += 1
            while self._is_resumed and self._is_taken(bucket, pico_id):
                self._number += 1
            self._rows.append(("history", history_key(bucket, pico_id, self._number), data))
            self._bucket_bytes += len(data)
        self._is_resumed = False

    def _is_taken(self, bucket: int, pico_id: str) -> bool:
        """Tell whether an earlier run, in this same millisecond, used the number."""
        return self._store.get("history", history_key(bucket, pico_id, self._number)) is not None

    def write_out(self) -> None:
        """Write all that waits, without a sync."""
        batch: Batch = []
        self.add_to(batch)
        if self._committer.failure is not None:
            return
        try:
            if batch:
                self._store.write(batch)
            if self._is_new_bucket:
                self._is_new_bucket = False
                self._expire()
        except Exception as error:
            self._committer.fail(error)

    def close(self) -> None:
        """Write the rest; nothing comes after it."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self.write_out()
        self.is_on = False

    def _due(self) -> None:
        self._alarm = None
        self.write_out()

    def _bucket_at(self, now: int) -> int:
        """The bucket for rows of now: named by when it was begun, and never earlier than the last.

        Clocks are set back at times; then the last one goes on until it is full.
        """
        if (
            not self._bucket
            or now - self._bucket >= history_bucket_ms
            or self._bucket_bytes >= history_bucket_bytes
        ):
            self._bucket = max(now, self._bucket + 1)
            self._bucket_bytes = 0
            self._is_new_bucket = True
        return self._bucket

    def _expire(self) -> None:
        """Drop the buckets beyond the retention."""
        buckets = self._buckets()
        oldest = self._clock.now_ms() - history_kept_ms - history_bucket_ms
        doomed = [
            bucket
            for at, bucket in enumerate(reversed(buckets))
            if at >= self._buckets_kept or (bucket < oldest and bucket != self._bucket)
        ]
        if doomed:
            self._store.erase("history", number_key(0), number_key(doomed[0] + 1))
        # Without a sync now and then a store may keep what it would need to take rows back.
        self._store.sync(lambda failure: None)

    # --- Reading ----------------------------------------------------------------------------------

    def entries(
        self,
        pico_id: str | None = None,
        *,
        eid: str | None = None,
        rid: str | None = None,
        rule: str | None = None,
        since_ms: int = 0,
        limit: int,
    ) -> list[Entry]:
        """What happened, newest first: of one pico or of all; of one event; where a rule was asked.

        Units:  since_ms is when it was written, at the earliest.
        Shapes: {pico, eid, eci, time_ms, written_ms, domain, name, attrs, rules, raised}; attrs is
        a number of bytes where they were too large to keep; raised: [{domain, name, attrs, rules}];
        rules: [{rid, rule, version, expression, outcome}] and, where there are any, before and
        after (automaton states), fault, directives, sends, unheard (raised, but nobody listens),
        logs ([{level, rid, text}]), rounds_not_fired, ended (`last`, `error`); outcome: `fired`,
        `not fired`, `not selected`, `fault`.
        Cost: reads the pico's rows, or those of a whole bucket, but decodes only what is wanted.
        """
        self.write_out()
        words = [text.encode("utf-8", "surrogatepass") for text in (eid, rule, rid) if text]
        found: list[Entry] = []
        for bucket in reversed(self._buckets()):
            for key, value in self._rows_of(bucket, pico_id, words, limit):
                owner = key[8:-9].decode()
                written = key_number(key) >> _TIME_SHIFT
                if written < since_ms:
                    return found
                for record in reversed(decode_record(value, "history record")):
                    entry = entry_of(record, owner, written)
                    if is_wanted(entry, eid, rid, rule):
                        found.append(entry)
                        if len(found) == limit:
                            return found
        return found

    def _rows_of(
        self, bucket: int, pico_id: str | None, words: Sequence[bytes], limit: int
    ) -> Iterator[tuple[bytes, bytes]]:
        """The rows of a bucket that may be wanted, newest first."""
        prefix = number_key(bucket)
        if pico_id is not None:
            prefix += pico_id.encode() + b"\0"
        # A word is written as it is in a record, so rows without it need no decoding.
        rows = (
            row
            for row in self._store.scan("history", prefix, reverse=pico_id is not None)
            if all(word in row[1] for word in words)
        )
        if pico_id is not None:
            return rows
        if words:
            return iter(sorted(rows, key=_newest, reverse=True))
        return iter(heapq.nlargest(limit, rows, key=_newest))

    def _buckets(self) -> list[int]:
        """The buckets there are, oldest first."""
        found: list[int] = []
        start = b""
        while True:
            row = next(self._store.scan("history", b"", start), None)
            if row is None:
                return found
            found.append(int.from_bytes(row[0][:8], "big"))
            start = number_key(found[-1] + 1)


def _newest(row: tuple[bytes, bytes]) -> int:
    return key_number(row[0])


def logs_of(entries: Sequence[Entry]) -> list[Entry]:
    """What rules logged, oldest first; `entries` are newest first.

    Shapes: {level, time_ms, txnId, rid, msg}; msg is what `log` was given, text as far as it was
    kept when it was too long, and for klog the message and the value as text.
    """
    found = []
    for entry in reversed(entries):
        for happening in (entry, *entry["raised"]):
            for said in (said for rule in happening["rules"] for said in rule.get("logs", ())):
                place = {"time_ms": entry["time_ms"], "txnId": entry["eid"], "rid": said["rid"]}
                found.append({"level": said["level"], **place, "msg": words_of(said)})
    return found


def words_of(said: Entry) -> Any:
    """What a rule logged: a value, or for klog the message and the value as text."""
    text: str = said["text"]
    if said["level"] != "klog":
        with suppress(msgspec.DecodeError):
            return msgspec.json.decode(text)
    return text


def shortened(entry: Entry) -> Entry:
    """An entry whose ECIs tell two channels apart but let nobody use them."""
    happenings = [
        {**one, "rules": list(map(_short_sends, one["rules"]))} for one in entry["raised"]
    ]
    return {
        **entry,
        "eci": shown_eci(entry["eci"]),
        "rules": list(map(_short_sends, entry["rules"])),
        "raised": happenings,
    }


def _short_sends(rule: Entry) -> Entry:
    if "sends" not in rule:
        return rule
    return {**rule, "sends": [{**send, "eci": shown_eci(send["eci"])} for send in rule["sends"]]}


# --- Records --------------------------------------------------------------------------------------


def encode_group(records: list[Record]) -> bytes:
    """The record of one pico's turns of one group.

    Cost: one pass; a large group is looked through for turns that are too large.
    """
    data = _packed(records)
    if len(data) > history_turn_bytes_max + _USUAL_BYTES * len(records):
        data = _packed([_bounded(record) for record in records])
    return _FORMAT + data


def _packed(value: Any) -> bytes:
    try:
        return _encode(value)
    except UnicodeEncodeError:
        # Half of a surrogate pair: as in store.py, the slower packer keeps it.
        packed: bytes = msgpack.packb(
            value, default=_plain, use_bin_type=True, unicode_errors="surrogatepass"
        )
        return packed


def _plain(value: Any) -> Any:
    """What encoders do not know, as they do."""
    if isinstance(value, State):
        return value.pack()
    if type(value) is Event:
        attrs = {name: given for name, given in value.attrs.items() if name != "_headers"}
        return {"event": (value.domain, value.name, attrs)}
    if isinstance(value, Send):
        return {"send": (value.eci, value.domain, value.name)}
    if isinstance(value, Fault):
        return {"fault": (value.code, value.message[:500], value.line)}
    raise TypeError(f"a {type(value).__name__} in the history")


_encode = msgspec.msgpack.Encoder(enc_hook=_plain).encode


def _bounded(record: Record) -> Record:
    """The record of a turn, without what makes it too large: attributes, and all but some notes."""
    if len(_packed(record)) <= history_turn_bytes_max:
        return record
    eid, time_ms, eci, domain, name, attrs, notes = record
    kept: list[Any] = []
    for note in notes[:history_notes_max]:
        if type(note) is Event:
            kept.append({"event": (note.domain, note.name, _small(note.attrs))})
        else:
            kept.append(note)
    return (eid, time_ms, eci, domain, name, _small(attrs), kept)


def _small(attrs: dict[str, Any] | int) -> dict[str, Any] | int:
    """Attributes, or their size when they have no place in a bounded record."""
    size = len(_packed(attrs))
    return attrs if size <= history_turn_bytes_max // 4 else size


def entry_of(record: list[Any], pico_id: str, written_ms: int) -> Entry:
    """The entry that a turn's record stands for."""
    eid, time_ms, eci, domain, name, attrs, notes = record
    first: Entry = {"domain": domain, "name": name, "attrs": attrs, "rules": []}
    raised: list[Entry] = []
    read_notes(notes, first, raised)
    place = {"pico": pico_id, "eid": eid, "eci": eci, "time_ms": time_ms, "written_ms": written_ms}
    return {**place, **first, "raised": raised}


def read_notes(notes: list[Any], first: Entry, raised: list[Entry]) -> None:
    """Put the notes of a turn where they belong: to its event, or to one that it raised."""
    rules: list[Entry] = first["rules"]
    for note in notes:
        kind = type(note)
        if kind is dict and "event" in note:
            domain, name, attrs = note["event"]
            rules = []
            raised.append({"domain": domain, "name": name, "attrs": attrs, "rules": rules})
        elif kind is str or (kind is list and len(note) == 4):
            rules.append(_rule_entry(note))
        elif rules:
            # What stands before the first rule belongs to one that was cut off.
            _read_deed(note, rules[-1])


def _read_deed(note: Any, entry: Entry) -> None:
    """Add to a rule's entry what the rule did."""
    if type(note) is list and len(note) == 3:
        level, rid, said = note
        entry.setdefault("logs", []).append({"level": level, "rid": rid, "text": said})
    elif type(note) is list:
        kind = "directives" if len(note) == 1 else "unheard"
        entry.setdefault(kind, []).append(":".join(note))
    elif type(note) is dict and "send" in note:
        eci, domain, name = note["send"]
        entry.setdefault("sends", []).append({"eci": eci, "domain": domain, "name": name})
    elif type(note) is dict:
        # A fault takes back what its rule did.
        for undone in ("directives", "sends", "unheard"):
            entry.pop(undone, None)
        code, message, line = note["fault"]
        entry["outcome"] = "fault"
        entry["fault"] = {"code": code, "message": message, "line": line}
    elif note == UNFIRED:
        entry["outcome"] = "not fired"
    elif note == UNFIRED_ROUND:
        entry["rounds_not_fired"] = entry.get("rounds_not_fired", 0) + 1
    elif note == CLEARED:
        entry["ended"] = "error"
    elif note == ENDED:
        entry.setdefault("ended", "last")


def _rule_entry(note: Any) -> Entry:
    """One salient rule: that an automaton was asked shows in `before` and `after`."""
    label = note if type(note) is str else note[0]
    rid, rule, version, expression = label.split("\0")
    entry = {"rid": rid, "rule": rule, "version": version, "expression": expression}
    if type(note) is str:
        return {**entry, "outcome": "fired"}
    _, before, after, is_selected = note
    return {
        **entry,
        "before": before,
        "after": after,
        "outcome": "fired" if is_selected else "not selected",
    }


def is_wanted(entry: Entry, eid: str | None, rid: str | None, rule: str | None) -> bool:
    """Whether an entry is of this event, and this rule (of this ruleset) was asked in it."""
    if eid is not None and entry["eid"] != eid:
        return False
    if rule is None and rid is None:
        return True
    return any(
        (rule is None or each["rule"] == rule) and (rid is None or each["rid"] == rid)
        for happening in (entry, *entry["raised"])
        for each in happening["rules"]
    )
