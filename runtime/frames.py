"""Frames of channel connections: their kinds, how they become bytes, how bytes become frames.

In: bytes in any pieces; values to send. Out: checked requests and replies, and bytes. A frame is a
4-byte big-endian length and then that many bytes: one msgpack array `[kind, id, …]`.

Invariants: what decodes holds only what JSON can hold; whoever reads never waits for more than
`bytes_max` bytes; missing elements at the end have their defaults and further ones are ignored, so
that later versions may add some. Not here: sockets (channel_server.py, client.py), the manual
(docs/channel.md, which a test compares with `KINDS`).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from ext import cut, is_plain
from runtime import limits
from runtime.errors import CODES, Fault

# Both ends name the newest version they speak, and speak the older of the two.
VERSION = 1
VERSION_MIN = 1


class Kind(NamedTuple):
    """One kind of frame: its number, who sends it, and the elements after number and id."""

    name: str
    number: int
    sender: str
    fields: str


KINDS = (
    Kind("hello", 0, "client", "version, options"),
    Kind("welcome", 1, "engine", "version, options"),
    Kind("event", 2, "client", "eci, domain, name, attrs, key, time_ms"),
    Kind("signal", 3, "client", "eci, domain, name, attrs, key, time_ms"),
    Kind("query", 4, "client", "eci, rid, name, args"),
    Kind("event-query", 5, "client", "eci, domain, name, attrs, rid, query_name, args, key"),
    Kind("answer", 6, "engine", "value, stale"),
    Kind("fault", 7, "engine", "fault"),
    Kind("credit", 8, "engine", "requests"),
    Kind("ping", 9, "both", ""),
    Kind("pong", 10, "both", ""),
    Kind("live", 11, "client", "options"),
    Kind("envelope", 12, "client", "pair, number, low, eci, domain, name, attrs, eid, time_ms"),
    Kind("happening", 13, "engine", "entries, dropped"),
    Kind("more", 14, "client", "entries"),
)
HELLO, WELCOME, EVENT, SIGNAL, QUERY, EVENT_QUERY = range(6)
ANSWER, FAULT, CREDIT, PING, PONG, LIVE = range(6, 12)
ENVELOPE, HAPPENING, MORE = range(12, 15)

Values = dict[str, Any]


class Hello(msgspec.Struct, array_like=True, tag=HELLO, gc=False):
    """The first frame of a connection."""

    id: int
    version: int
    options: Values | None = None


class Event(msgspec.Struct, array_like=True, tag=EVENT, gc=False):
    """An event to be evaluated; answered with {eid, directives, errors?}."""

    id: int
    eci: str
    domain: str
    name: str
    attrs: Values | None = None
    key: str | None = None
    time_ms: int | None = None


class Signal(msgspec.Struct, array_like=True, tag=SIGNAL, gc=False):
    """An event to be accepted durably; answered with its eid."""

    id: int
    eci: str
    domain: str
    name: str
    attrs: Values | None = None
    key: str | None = None
    time_ms: int | None = None


class Query(msgspec.Struct, array_like=True, tag=QUERY, gc=False):
    """A question to a shared function; answered with its value."""

    id: int
    eci: str
    rid: str
    name: str
    args: Values | None = None


class EventQuery(msgspec.Struct, array_like=True, tag=EVENT_QUERY, gc=False):
    """An event and right behind it a query; answered with the query's value."""

    id: int
    eci: str
    domain: str
    name: str
    attrs: Values | None
    rid: str
    query_name: str
    args: Values | None = None
    key: str | None = None


class Ping(msgspec.Struct, array_like=True, tag=PING, gc=False):
    """Asks the other end to show that it is there."""

    id: int


class Pong(msgspec.Struct, array_like=True, tag=PONG, gc=False):
    """Shows it, under the id of the ping."""

    id: int


class Live(msgspec.Struct, array_like=True, tag=LIVE, gc=False):
    """Asks to be shown what happens, as it happens; answered with {entries}: the room given."""

    id: int
    options: Values | None = None


class Envelope(msgspec.Struct, array_like=True, tag=ENVELOPE, gc=False):
    """An event from another engine (network.py); answered with a reply once that is durable."""

    id: int
    pair: str
    number: int
    low: int
    eci: str
    domain: str
    name: str
    attrs: Values
    eid: str
    time_ms: int


class More(msgspec.Struct, array_like=True, tag=MORE, gc=False):
    """So many entries more may be shown under the id of a live; 0 ends it."""

    id: int
    entries: int


class Happening(msgspec.Struct, array_like=True, tag=HAPPENING):
    """What happened, under the id of a live; `dropped` entries before it were left out."""

    id: int
    entries: list[Values]
    dropped: int = 0


class Welcome(msgspec.Struct, array_like=True, tag=WELCOME):
    """The answer to a hello that was accepted."""

    id: int
    version: int
    options: Values


class Answer(msgspec.Struct, array_like=True, tag=ANSWER):
    """What a request led to; `stale` says that a query saw an earlier state of a busy pico."""

    id: int
    value: Any
    stale: bool | None = None


class Refusal(msgspec.Struct, array_like=True, tag=FAULT):
    """Why a request, or with id nil the whole connection, is refused."""

    id: int | None
    fault: Values


class Credit(msgspec.Struct, array_like=True, tag=CREDIT):
    """So many requests more may be sent."""

    id: int
    requests: int


Request = Hello | Event | Signal | Query | EventQuery | Ping | Pong | Live | Envelope | More
Reply = Welcome | Answer | Refusal | Credit | Ping | Pong | Happening

_encode = msgspec.msgpack.Encoder().encode
decode_unchecked: Callable[[bytes], Request] = msgspec.msgpack.Decoder(Request).decode
_decode_reply: Callable[[bytes], Reply] = msgspec.msgpack.Decoder(Reply).decode
_decode_any = msgspec.msgpack.Decoder().decode
# What msgspec raises for bytes that it cannot read or that do not fit.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError)
# What it raises for values that it cannot write.
_UNWRITABLE = (TypeError, OverflowError, RecursionError, ValueError)


class Splitter:
    """Cuts what a socket gives into frames; one for each connection.

    `bytes_max` bounds a frame. `fault` is set by a length beyond it: nothing after it can be read.
    """

    __slots__ = ("_needed", "_rest", "bytes_max", "fault")

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.fault: Fault | None = None
        self._rest = bytearray()
        self._needed = 0

    @property
    def is_within(self) -> bool:
        """Whether the last frame is not whole yet."""
        return bool(self._rest)

    def feed(self, data: bytes) -> list[bytes]:
        """The contents of the frames that became whole.

        Cost: one slice for each frame; a frame that comes in many pieces is put together once.
        """
        rest = self._rest
        if rest:
            rest += data
            if len(rest) < self._needed:
                return []
            data = bytes(rest)
            rest.clear()
        frames, at, size = cut(data, self.bytes_max)
        if at < len(data):
            if size == 0 or size > self.bytes_max:
                self.fault = _no_length(size, self.bytes_max)
            else:
                self._needed = 4 if size < 0 else 4 + size
                rest += data[at:]
        return frames


def _no_length(size: int, bytes_max: int) -> Fault:
    if size:
        return Fault("R4018", f"a frame of {size} bytes; at most {bytes_max} are allowed here")
    return Fault("R1014", "a frame has no content")


def decode_request(data: bytes) -> Request:
    """The request in a frame's content, values not yet checked with `check_plain`.

    Raises: R1014 when it is no array of a known kind with the elements of that kind.
    """
    try:
        return decode_unchecked(data)
    except UNREADABLE as error:
        raise unreadable(error) from None


def decode_reply(data: bytes) -> Reply:
    """The reply in a frame's content.

    Raises: R1014 as `decode_request`.
    """
    try:
        return _decode_reply(data)
    except UNREADABLE as error:
        raise unreadable(error) from None


def id_of(data: bytes) -> int | None:
    """The id of a frame that could not be decoded, to answer it by; None when even that fails."""
    try:
        frame = _decode_any(data)
    except UNREADABLE:
        return None
    if type(frame) is not list or len(frame) < 2 or type(frame[0]) is not int:
        return None
    return frame[1] if type(frame[1]) is int else None


def check_plain(values: Values, what: str) -> None:
    """Make sure that a decoded map holds only what JSON can hold.

    Raises: R1014 for binary data, extension types, keys that are no strings, NaN and infinities.
    Cost:   one pass; nothing is copied. What is nested too deep is left to the core, which says so.
    """
    if is_plain(values):
        return
    for value in values.values():
        _check(value, what, limits.value_depth_max)


def _check(value: Any, what: str, depth: int) -> None:
    t = type(value)
    if t is str or t is int or value is None or t is bool or depth == 0:
        return
    if t is float:
        # NaN and the infinities are the numbers whose difference to themselves is not 0.
        if value - value != 0.0:
            raise Fault("R1014", f"{what} holds {value}, which JSON has not")
    elif t is list:
        for item in value:
            _check(item, what, depth - 1)
    elif t is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise Fault("R1014", f"{what} holds a map with a key that is no string")
            _check(item, what, depth - 1)
    else:
        raise Fault("R1014", f"{what} holds a value of type {t.__name__}, which JSON has not")


def encode_onto(out: list[bytes], parts: tuple[Any, ...]) -> None:
    """Put the pieces of a whole frame behind others; as `encode`, and none where that raises.

    Cost: hot; encoding straight into a buffer was measured, and is slower.
    """
    try:
        data = _encode(parts)
    except _UNWRITABLE:
        out.append(encode(parts))
        return
    size = len(data)
    if size > limits.answer_bytes_max:
        raise _no_length(size, limits.answer_bytes_max)
    out.append(size.to_bytes(4, "big"))
    out.append(data)


def encode(parts: tuple[Any, ...]) -> bytes:
    """A whole frame; half surrogate pairs, which UTF-8 cannot hold, become U+FFFD.

    Raises: R1014 for a value that msgpack cannot hold, R4018 when it is larger than any frame.
    """
    try:
        data = _encode(parts)
    except UnicodeEncodeError:
        data = _encode(_whole_characters(parts))
    except _UNWRITABLE as error:
        raise Fault("R1014", f"a value does not fit into a frame: {error}") from None
    if len(data) > limits.answer_bytes_max:
        raise _no_length(len(data), limits.answer_bytes_max)
    return len(data).to_bytes(4, "big") + data


def _whole_characters(value: Any) -> Any:
    t = type(value)
    if t is str:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if t is dict:
        return {_whole_characters(key): _whole_characters(item) for key, item in value.items()}
    if t is list or t is tuple:
        return [_whole_characters(item) for item in value]
    return value


def encode_fault(ident: int | None, fault: Fault) -> bytes:
    """The frame of a fault; `ident` None means the connection, which ends with it."""
    return encode((FAULT, ident, {**fault.to_map(), "status": fault.status}))


def fault_from(found: Values) -> Fault:
    """The fault in a frame; codes that this version does not know become R5001."""
    code = str(found.get("code", ""))
    text = str(found.get("error", "the engine gave no reason"))
    hint = found.get("hint")
    if code not in CODES:
        code, text = "R5001", f"{code}: {text}"
    line = found.get("line")
    return Fault(
        code,
        text.removeprefix(CODES[code].error_class + ": "),
        hint if isinstance(hint, str) else None,
        rid=_text(found, "rid"),
        rule_name=_text(found, "rule"),
        line=line if isinstance(line, int) else None,
        eid=_text(found, "eid"),
    )


def _text(found: Values, name: str) -> str | None:
    value = found.get(name)
    return value if isinstance(value, str) else None


def unreadable(error: Exception) -> Fault:
    """What to say of a frame that could not be decoded."""
    if isinstance(error, RecursionError):
        return Fault("R1014", "a frame is nested too deep to be read")
    return Fault("R1014", f"a frame cannot be read: {error}")
