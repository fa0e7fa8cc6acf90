"""Frames as data: recorded ones, made-up ones, broken ones, and the manual that describes them."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import frames, limits
from runtime.errors import CODES, Fault
from runtime.frames import KINDS, Splitter
from tests.channels.recorded import FILE, FRAMES
from tests.channels.stage import frame_of

MANUAL = Path(__file__).resolve().parents[2] / "docs" / "channel.md"
RECORDED = [line.split("\t") for line in FILE.read_text(encoding="utf-8").splitlines()]


def content(frame: bytes) -> bytes:
    [found] = Splitter(1 << 20).feed(frame)
    return found


@pytest.mark.parametrize(("sender", "data", "shown"), RECORDED)
def test_recorded_frames_are_read_and_written(sender: str, data: str, shown: str) -> None:
    frame = bytes.fromhex(data)
    meant = json.loads(shown)
    decode = frames.decode_request if sender == "client" else frames.decode_reply
    read = msgspec.to_builtins(decode(content(frame)))
    assert read[: len(meant)] == meant
    assert all(rest is None for rest in read[len(meant) :])
    # Ours may choose other msgpack forms, but means the same.
    assert msgpack.unpackb(content(frames.encode(tuple(meant)))) == meant


def test_recorded_frames_are_those_of_the_script() -> None:
    assert [(line[0], json.loads(line[2])) for line in RECORDED] == FRAMES
    assert {json.loads(line[2])[0] for line in RECORDED} == {kind.number for kind in KINDS}


def test_kinds_are_numbered_and_have_the_elements_of_their_structs() -> None:
    structs = [frames.Hello, frames.Welcome, frames.Event, frames.Signal, frames.Query]
    structs += [frames.EventQuery, frames.Answer, frames.Refusal, frames.Credit]
    structs += [frames.Ping, frames.Pong, frames.Live, frames.Envelope]
    structs += [frames.Happening, frames.More]
    for number, (kind, struct) in enumerate(zip(KINDS, structs, strict=True)):
        fields = struct.__struct_fields__
        assert (kind.number, struct.__struct_config__.tag) == (number, number)
        assert fields[0] == "id"
        assert kind.fields == ", ".join(fields[1:])


def test_manual_names_every_kind_code_and_bound() -> None:
    text = MANUAL.read_text(encoding="utf-8")
    for kind in KINDS:
        assert re.search(rf"^\| {kind.number} \| {kind.name} \| {kind.sender} \|", text, re.M)
        for field in kind.fields.split(", "):
            assert f"`{field}`" in text or not field
    for code in re.findall(r"R\d{4}", text):
        assert code in CODES
    for _, data, _ in RECORDED[3:5]:
        assert data in text.replace(" ", "").replace("\n", "")


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
MAPS = st.dictionaries(st.text(max_size=5), VALUES, max_size=4)


@given(MAPS, st.integers(0, 2**53))
def test_any_values_are_read_as_another_library_wrote_them(attrs: Any, ident: int) -> None:
    frame = [frames.EVENT, ident, "c", "d", "n", attrs]
    read = frames.decode_request(msgpack.packb(frame, unicode_errors="surrogatepass"))
    assert isinstance(read, frames.Event)
    frames.check_plain(read.attrs or {}, "attrs")
    assert (read.id, read.attrs) == (ident, attrs)


@given(VALUES)
def test_any_values_are_written_as_another_library_reads_them(value: Any) -> None:
    got = msgpack.unpackb(content(frames.encode((frames.ANSWER, 1, value))), strict_map_key=False)
    assert got[2] == value


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=12), st.data())
def test_pieces_of_any_size_give_the_same_frames(contents: list[bytes], data: Any) -> None:
    stream = b"".join(frame_of(one) for one in contents)
    splitter = Splitter(40)
    found = []
    at = 0
    while at < len(stream):
        step = data.draw(st.integers(1, 60))
        found += splitter.feed(stream[at : at + step])
        at += step
    assert (found, splitter.fault, splitter.is_within) == (contents, None, False)


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_but_a_fault(data: bytes) -> None:
    for decode in (frames.decode_request, frames.decode_reply):
        with suppress(Fault):
            decode(data)
    assert frames.id_of(data) is None or data[0] in (*range(0x92, 0xA0), 0xDC, 0xDD)


# a length, the fault's code
LENGTHS = [(0, "R1014"), (41, "R4018"), (0x7FFFFFFF, "R4018"), (0xFFFFFFFF, "R4018")]


@pytest.mark.parametrize(("size", "code"), LENGTHS)
def test_lengths_beyond_the_bound_are_faults_before_anything_is_kept(size: int, code: str) -> None:
    splitter = Splitter(40)
    assert splitter.feed(frame_of(b"ok") + size.to_bytes(4, "big") + b"x" * 100) == [b"ok"]
    assert splitter.fault is not None
    assert splitter.fault.code == code
    assert not splitter.is_within


# content, the id that is found in it
BROKEN: list[tuple[bytes, int | None]] = [
    (b"\xc1", None),
    (b"\x80", None),
    (b"\x90", None),
    (b"\xdd\xff\xff\xff\xff", None),
    (b"\xdf\xff\xff\xff\xff", None),
    (b"\xc6\xff\xff\xff\xff", None),
    (b"\x91" * 100_000 + b"\x00", None),
    (msgpack.packb([2, 7, "c", "d", "n", {}]) + b"\x00", None),
    (msgpack.packb([2, "seven", "c", "d", "n", {}]), None),
    (msgpack.packb([True, 7, "c", "d", "n", {}]), None),
    (msgpack.packb([99, 7, "c", "d", "n", {}]), 7),
    (msgpack.packb([-1, 7]), 7),
    (msgpack.packb([1, 7, 1, {}]), 7),
    (msgpack.packb([2, 7, "c", "d"]), 7),
    (msgpack.packb([2, 7, b"c", "d", "n", {}]), 7),
    (msgpack.packb([2, 7, "c", 5, "n", {}]), 7),
    (msgpack.packb([2, 7, "c", "d", "n", []]), 7),
    (msgpack.packb([2, 7, "c", "d", "n", {1: 2}]), 7),
    (msgpack.packb([2, 7, "c", "d", "n", {}, 5]), 7),
    (msgpack.packb([2, 7, "c", "d", "n", {}, None, 1.5]), 7),
    (msgpack.packb([4, 7, "c", "d", "n", "x"]), 7),
]


@pytest.mark.parametrize(("data", "ident"), BROKEN)
def test_broken_content_is_a_fault_with_the_id_if_there_is_one(
    data: bytes, ident: int | None
) -> None:
    with pytest.raises(Fault) as caught:
        frames.decode_request(data)
    assert caught.value.code == "R1014"
    assert frames.id_of(data) == ident


NOT_JSON: list[Any] = [
    b"bytes",
    float("nan"),
    float("inf"),
    float("-inf"),
    msgpack.ExtType(5, b"x"),
    msgpack.Timestamp(1, 1),
    [b""],
    {"deep": [{"x": b""}]},
    {5: 1},
    {None: 1},
]


@pytest.mark.parametrize("value", NOT_JSON)
def test_what_json_has_not_is_a_fault(value: Any) -> None:
    read = frames.decode_request(msgpack.packb([2, 1, "c", "d", "n", {"a": value}]))
    assert isinstance(read, frames.Event)
    with pytest.raises(Fault) as caught:
        frames.check_plain(read.attrs or {}, "attrs")
    assert caught.value.code == "R1014"


def test_half_surrogates_are_replaced() -> None:
    sent = frames.encode((frames.ANSWER, 1, {"a\ud800": ["\udfff", "\U0001f600", "ä"]}))
    assert msgpack.unpackb(content(sent))[2] == {"a\ufffd": ["\ufffd", "\U0001f600", "ä"]}


def test_further_elements_are_ignored() -> None:
    later = [*FRAMES[4][1], None, "something", {"new": 1}]
    assert frames.decode_request(msgpack.packb(later)) == frames.decode_request(
        msgpack.packb(FRAMES[4][1])
    )


@pytest.mark.parametrize("code", sorted(CODES))
def test_faults_survive_the_way(code: str) -> None:
    fault = Fault(code, "so it is", "do this", rid="a.b", rule_name="r", line=3, eid="cm0")
    read = frames.decode_reply(content(frames.encode_fault(4, fault)))
    assert isinstance(read, frames.Refusal)
    assert read.fault["status"] == fault.status
    assert frames.fault_from(read.fault).to_map() == fault.to_map()


def test_fault_of_a_later_version() -> None:
    fault = frames.fault_from({"code": "R8888", "error": 5, "line": "x", "hint": None})
    assert (fault.code, fault.message) == ("R5001", "R8888: 5")


def test_too_large_and_impossible_values_are_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "answer_bytes_max", 100)
    for value, code in (("x" * 100, "R4018"), (2**70, "R1014"), (object(), "R1014")):
        with pytest.raises(Fault) as caught:
            frames.encode((frames.ANSWER, 1, value))
        assert caught.value.code == code
