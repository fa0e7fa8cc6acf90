"""The store: what the engine asks of it, and how its keys and records are made.

In: batches of (family, key, value). Out: the `Store` protocol that `rocks.py` and `memory.py` keep,
the key of everything that is stored, records as bytes, and the names of the crash points.

Invariants: a batch is atomic; batches become durable in the order they were written, so after a
crash the store holds all batches up to some point and none after it; nothing is known to be durable
before the `done` of a `sync` that was asked for after the write. Keys sort as bytes.

Key layout. `0` is a zero byte; numbers are 8 bytes big-endian, so they sort by value. Ids and names
hold no zero byte, except a map's own keys, which come last in their key.

=========  ==================================  =============================================
family     key                                 record
=========  ==================================  =============================================
meta       name                                engine-wide facts: format, root pico, marks
pico       id 0 `h`                            head: what waking a pico reads, rulesets included
pico       id 0 `a`                            packed states of the automata that moved
pico       id 0 `k` eci                        one child
pico       id 0 `c` eci                        one channel
pico       id 0 `v` rid 0 name                 entity variable: whole value, or collection head
pico       id 0 `w` rid 0 name 0 map key       one entry of a map stored by key
pico       id 0 `x` rid 0 name 0 number        one chunk of an array stored in chunks
pico       id 0 `o` receiver                   one pair that has nothing to send
pico       id 0 `m` pair                       one pair that sends here
eci        eci                                 whose channel it is
inbox      number id                           one accepted event, numbered over all picos
outbox     id 0 receiver 0 number              one event that has to leave for another engine
mark       pair                                what was decided last of what another engine sent
timer      `d` due_ms number id 0 rid 0 timer  one timer, by due time, then as scheduled
timer      `o` id 0 rid 0 timer id             the same timer, by owner
registry   kind letter, then name              ruleset versions, sources, modules
answer     bucket id 0 eci 0 key               the answer given under an idempotency key
history    bucket id 0 number                  what happened, for people
dead       number                              one dead letter
=========  ==================================  =============================================

`answer` and `history` are dropped by whole buckets of time with `erase`. Not here: what the records
mean (pico.py, inbox.py and so on), and when to write (commit.py).
"""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import msgpack
import msgspec

from runtime.errors import Fault

FAMILIES = (
    "meta",
    "pico",
    "eci",
    "inbox",
    "outbox",
    "mark",
    "timer",
    "registry",
    "answer",
    "history",
    "dead",
)

# The format of the whole folder. It grows when an older engine could no longer read the data.
STORE_FORMAT = 1
# The format of one record, its first byte.
RECORD_FORMAT = 1

# Where simulation may stop the machine. `write.*` surround one batch, `sync.*` surround the moment
# at which written batches become durable, `erase.before` precedes the dropping of a bucket.
CRASH_POINTS = (
    "write.before",
    "write.after",
    "sync.asked",
    "sync.before",
    "sync.after",
    "erase.before",
)

FORMAT_KEY = b"format"
# A word that every restore of a backup makes anew: part of the names that other engines know.
INCARNATION_KEY = b"incarnation"

# Rows of family `meta` that name a pico of an import that is not finished.
STAGED = b"staged:"

Batch = list[tuple[str, bytes, bytes | None]]
Done = Callable[[BaseException | None], None]
# Gets a call onto the driving loop: asyncio's call_soon_threadsafe, or a Clock's call_soon.
Deliver = Callable[[Callable[[], object]], object]


class Store(Protocol):
    """An ordered key-value store with families, atomic batches and explicit durability."""

    def get(self, family: str, key: bytes) -> bytes | None:
        """The value of a key, with everything written so far; None when there is none."""

    def scan(
        self, family: str, prefix: bytes, start: bytes = b"", reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) for the keys with this prefix, lazily, in key order.

        `start` is a whole key, not relative to the prefix: forwards the scan begins with the first
        key that is not less, in reverse with the last key that is not greater; b"" means the end of
        the prefix where the scan begins. Rows written while the scan runs may or may not be seen.
        """

    def write(self, batch: Batch) -> None:
        """Apply all of a batch or nothing; a value of None deletes. Not durable yet.

        Raises: R3003 or R3004 when the disk refuses; from then on every write fails the same way.
        """

    def sync(self, done: Done) -> None:
        """Ask that everything written so far become durable, then have `done(None)` called.

        `done(fault)` tells that it did not; it is always called on the driving loop, never within
        this call, in the order of asking.
        """

    def erase(self, family: str, start: bytes, end: bytes) -> None:
        """Delete all keys with start <= key < end; for expired buckets, not for values."""

    def close(self) -> None:
        """End scans, make what was written durable (except with durability none), let go."""


# ---------------------------------------------------------------------------------------- records

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_FORMAT_BYTE = bytes((RECORD_FORMAT,))


def encode_record(record: Any) -> bytes:
    """A record as bytes: its format version, then msgpack.

    Raises: R4004 for nesting deeper than msgpack encoders go.
    """
    try:
        return _FORMAT_BYTE + _encode(record)
    except UnicodeEncodeError:
        # KRL text may hold half of a surrogate pair, cut out of a longer text. That is rare; the
        # slower packer keeps it as it is.
        packed: bytes = msgpack.packb(record, use_bin_type=True, unicode_errors="surrogatepass")
        return _FORMAT_BYTE + packed
    except RecursionError:
        raise Fault("R4004", "the value is nested too deep to be stored") from None


def decode_record(data: bytes, what: str = "record") -> Any:
    """The record that `encode_record` made; `what` says which one it was, also for migrations.

    Raises: R3002 for a newer format, R3006 for bytes that are no record.
    """
    if data[:1] != _FORMAT_BYTE:
        return _decode_older(data, what)
    try:
        return _decode(memoryview(data)[1:])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _decode_odd_text(data, what)


def _decode_older(data: bytes, what: str) -> Any:
    """A record of another format: migrated when it is an older one."""
    from runtime.migrations import migrate_record

    if not data or data[0] == 0:
        raise Fault("R3006", f"a {what} cannot be read: it does not begin with a format number")
    if data[0] > RECORD_FORMAT:
        message = f"a {what} has format {data[0]}; this engine reads {RECORD_FORMAT}"
        raise Fault("R3002", message)
    found = data[0]
    return migrate_record(decode_record(_FORMAT_BYTE + data[1:], what), what, found)


def _decode_odd_text(data: bytes, what: str) -> Any:
    try:
        return msgpack.unpackb(data[1:], raw=False, unicode_errors="surrogatepass")
    except (ValueError, msgpack.UnpackException) as error:
        raise Fault("R3006", f"a {what} cannot be read: {error}") from error


# ------------------------------------------------------------------------------------------- keys


def number_key(number: int) -> bytes:
    """A number from 0 to 2^64 - 1 as 8 bytes that sort by value."""
    return number.to_bytes(8, "big")


def key_number(key: bytes) -> int:
    """The number that the last 8 bytes of a key hold."""
    return int.from_bytes(key[-8:], "big")


def after_prefix(prefix: bytes) -> bytes:
    """The least key greater than every key with this prefix; b"" when there is none."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes((trimmed[-1] + 1,)) if trimmed else b""


def pico_prefix(pico_id: str) -> bytes:
    """All records of one pico in family `pico`; also its rows in `outbox`."""
    return pico_id.encode() + b"\0"


def head_key(pico_id: str) -> bytes:
    """The head record of a pico."""
    return pico_id.encode() + b"\0h"


def automata_key(pico_id: str) -> bytes:
    """The packed automaton states of a pico."""
    return pico_id.encode() + b"\0a"


def child_key(pico_id: str, child_eci: str = "") -> bytes:
    """One child, by the ECI its parent uses; without one the prefix of all children."""
    return f"{pico_id}\0k{child_eci}".encode()


def channel_key(pico_id: str, eci: str = "") -> bytes:
    """One channel of a pico; without an ECI the prefix of all its channels."""
    return f"{pico_id}\0c{eci}".encode()


def variable_key(pico_id: str, rid: str, name: str = "") -> bytes:
    """One entity variable; without a name the prefix of all variables of the ruleset."""
    return f"{pico_id}\0v{rid}\0{name}".encode()


def entries_prefix(pico_id: str, rid: str, name: str) -> bytes:
    """All entries of a map variable that is stored by key."""
    return f"{pico_id}\0w{rid}\0{name}\0".encode()


def entry_key(pico_id: str, rid: str, name: str, map_key: str) -> bytes:
    """One entry of a map variable. The map key may hold any characters, also half surrogates."""
    return f"{pico_id}\0w{rid}\0{name}\0{map_key}".encode("utf-8", "surrogatepass")


def entry_map_key(key: bytes, prefix: bytes) -> str:
    """The map key in an entry's key, given the prefix of its variable."""
    return key[len(prefix) :].decode("utf-8", "surrogatepass")


def chunks_prefix(pico_id: str, rid: str, name: str) -> bytes:
    """All chunks of an array variable that is stored in chunks."""
    return f"{pico_id}\0x{rid}\0{name}\0".encode()


def chunk_key(pico_id: str, rid: str, name: str, number: int) -> bytes:
    """One chunk of an array variable."""
    return f"{pico_id}\0x{rid}\0{name}\0".encode() + number.to_bytes(8, "big")


def eci_key(eci: str) -> bytes:
    """The row of family `eci` that tells whose channel this is."""
    return eci.encode("utf-8", "surrogatepass")


def inbox_key(number: int, pico_id: str) -> bytes:
    """One row of a pico's inbox; numbers ascend over all picos, so order per pico is kept."""
    return number.to_bytes(8, "big") + pico_id.encode()


def inbox_parts(key: bytes) -> tuple[int, str]:
    """The number and pico id in an inbox key."""
    return int.from_bytes(key[:8], "big"), key[8:].decode()


def outbox_prefix(pico_id: str, receiver: str) -> bytes:
    """All that one pico has to send to one receiver, in order."""
    return f"{pico_id}\0{receiver}\0".encode()


def outbox_key(pico_id: str, receiver: str, number: int) -> bytes:
    """One row of the outbox. `receiver` is whatever names the other side; it holds no zero byte."""
    return f"{pico_id}\0{receiver}\0".encode() + number.to_bytes(8, "big")


def pair_key(pico_id: str, receiver: str) -> bytes:
    """What is known of a pair that has nothing to send."""
    return f"{pico_id}\0o{receiver}".encode()


def mark_key(pair: str) -> bytes:
    """What was decided of a pair that sends to a pico here."""
    return pair.encode()


def mark_owner_key(pico_id: str, pair: str = "") -> bytes:
    """That this pico has the mark of a pair; without one the prefix of all its marks."""
    return f"{pico_id}\0m{pair}".encode()


def timer_key(due_ms: int, number: int, pico_id: str, rid: str, timer_id: str) -> bytes:
    """One timer by due time, equal ones by number; a time before the epoch counts as the epoch."""
    start = b"d" + max(due_ms, 0).to_bytes(8, "big") + number.to_bytes(8, "big")
    return start + f"{pico_id}\0{rid}\0{timer_id}".encode()


def timer_due_ms(key: bytes) -> int:
    """The due time in a timer's key."""
    return int.from_bytes(key[1:9], "big")


def timer_parts(key: bytes) -> tuple[int, str, str, str]:
    """Number, pico, ruleset and id of the timer in a key that `timer_key` made."""
    pico_id, rid, timer_id = key[17:].decode().split("\0")
    return int.from_bytes(key[9:17], "big"), pico_id, rid, timer_id


def timer_owner_key(pico_id: str, rid: str = "", timer_id: str = "") -> bytes:
    """The same timer by owner; what is left out makes a prefix of several."""
    text = f"o{pico_id}\0"
    if rid:
        text += f"{rid}\0{timer_id}"
    return text.encode()


def registry_key(kind: str, name: str = "") -> bytes:
    """One registry row; `kind` is one letter, without a name the prefix of all of that kind."""
    return (kind + name).encode("utf-8", "surrogatepass")


def answer_key(bucket: int, pico_id: str, eci: str, key: str) -> bytes:
    """The answer remembered for an idempotency key, in its bucket of time."""
    text = f"{pico_id}\0{eci}\0{key}"
    return bucket.to_bytes(8, "big") + text.encode("utf-8", "surrogatepass")


def history_key(bucket: int, pico_id: str, number: int) -> bytes:
    """One history record, in its bucket of time."""
    return bucket.to_bytes(8, "big") + f"{pico_id}\0".encode() + number.to_bytes(8, "big")
