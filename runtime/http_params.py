"""Parameters of a request: query strings and bodies as the maps that events and queries get.

In: the raw bytes of a query string or body. Out: dicts of decoded JSON, as existing clients know
them: `a[b]=1` nests, `c[]=2` and repeated names make arrays, leaves are strings, a form is flat, a
JSON array is merged by index.

Raises everywhere: R1011 for what cannot be read, R4003 for what is too large.
Source: engine reference 5.2. Not here: which parameters win over which (http_api.py).
"""

import re
import zlib
from typing import Any
from urllib.parse import unquote

import msgspec

from runtime import limits
from runtime.errors import Fault

JSON_TYPES = frozenset(
    (b"application/json", b"application/octet-stream", b"application/ssi-agent-wire")
)
FORM_TYPE = b"application/x-www-form-urlencoded"

# What makes a query string more than one plain name with a plain value.
_SPECIAL = re.compile(rb"[&%+\[]")

_decode_json = msgspec.json.Decoder().decode


class _Node:
    """One name on the way to a leaf: the values given to itself, and the names below it."""

    __slots__ = ("children", "values")

    def __init__(self) -> None:
        self.values: list[str] = []
        self.children: dict[str, _Node] = {}

    def child(self, key: str) -> "_Node":
        children = self.children
        if not key:
            key = str(len(children))
            while key in children:
                key = str(int(key) + 1)
        found = children.get(key)
        if found is None:
            found = children[key] = _Node()
        return found

    def build(self) -> Any:
        """The value of this name: text, array or map; several of them make an array."""
        values: list[Any] = list(self.values)
        if not self.children:
            return values[0] if len(values) == 1 else values
        if all(_is_index(key) for key in self.children):
            ordered = sorted(self.children.items(), key=lambda item: int(item[0]))
            return values + [child.build() for _, child in ordered]
        below = {key: child.build() for key, child in self.children.items()}
        return [*values, below] if values else below


def _is_index(key: str) -> bool:
    return key.isascii() and key.isdigit() and int(key[:9]) <= limits.http_parameter_index_max


def _pairs(text: str) -> list[tuple[str, str]]:
    parts = text.split("&")
    if len(parts) > limits.http_parameters_max:
        message = f"more than {limits.http_parameters_max} parameters"
        raise Fault("R1011", message, "send a JSON body instead")
    pairs = []
    for part in parts:
        if part:
            name, _, value = part.partition("=")
            pairs.append((name, value))
    return pairs


def _plain(text: str) -> str:
    """Undo `+` and percent signs; a percent sign that introduces nothing stays."""
    if "+" in text:
        text = text.replace("+", " ")
    return unquote(text) if "%" in text else text


def parse_query(raw: bytes) -> dict[str, Any]:
    """The parameters of a query string, nested by brackets."""
    if not raw:
        return {}
    if raw.isascii() and not _SPECIAL.search(raw):
        # One plain name: most queries that have parameters at all.
        name, _, value = raw.decode("ascii").partition("=")
        return {name: value}
    pairs = [
        (_plain(name), _plain(value)) for name, value in _pairs(raw.decode("utf-8", "replace"))
    ]
    names = {name for name, _ in pairs}
    if len(names) == len(pairs) and not any("[" in name for name in names):
        return dict(pairs)
    root = _Node()
    for name, value in pairs:
        node = root
        for key in _path(name):
            node = node.child(key) if node is not root else _top(root, key)
        node.values.append(value)
    return {key: child.build() for key, child in root.children.items()}


def _top(root: _Node, key: str) -> _Node:
    """A name before the first bracket: it is a key as it stands, also when it is empty."""
    found = root.children.get(key)
    if found is None:
        found = root.children[key] = _Node()
    return found


def _path(name: str) -> list[str]:
    """`a[b][]` as ["a", "b", ""]; brackets that do not close, and those too deep, stay text."""
    start = name.find("[")
    if start <= 0:
        return [name]
    path = [name[:start]]
    while start < len(name) and name[start] == "[":
        end = name.find("]", start)
        if end < 0 or len(path) > limits.http_parameter_depth_max:
            break
        path.append(name[start + 1 : end])
        start = end + 1
    if start < len(name):
        if len(path) == 1:
            return [name]
        if name[start] == "[":
            path.append(name[start:])
    return path


def parse_form(raw: bytes) -> dict[str, Any]:
    """The fields of a form; brackets mean nothing here, repeated names make an array."""
    fields: dict[str, Any] = {}
    for name, value in _pairs(raw.decode("utf-8", "replace")):
        name = _plain(name)
        value = _plain(value)
        before = fields.get(name)
        if before is None:
            fields[name] = value
        elif isinstance(before, list):
            before.append(value)
        else:
            fields[name] = [before, value]
    return fields


def parse_json(raw: bytes) -> Any:
    """What a JSON text says; of equal names in an object the last one counts.

    Raises: R1011 also for numbers that no double can hold, and for nesting too deep.
    """
    try:
        return _decode_json(raw)
    except RecursionError:
        raise Fault("R1011", "the JSON is nested too deep") from None
    except UnicodeDecodeError:
        raise Fault("R1011", "the JSON is not UTF-8 text") from None
    except msgspec.DecodeError as error:
        raise Fault("R1011", f"the JSON cannot be read: {error}") from None


def parse_body(content_type: bytes, raw: bytes) -> dict[str, Any]:
    """The parameters of a body, as a dict of one's own; other content types give none.

    The type is lower-cased and without its parameters.

    Raises: R1011 also when the JSON is neither an object nor an array.
    """
    if not raw:
        return {}
    if content_type in JSON_TYPES:
        value = parse_json(raw)
        if isinstance(value, dict):
            return value
        if isinstance(value, list):
            return {str(index): item for index, item in enumerate(value)}
        raise Fault("R1011", "the JSON body is neither an object nor an array")
    if content_type == FORM_TYPE:
        return parse_form(raw)
    return {}


def decompress(encoding: bytes, raw: bytes, bytes_max: int) -> bytes:
    """A body as it was before its content encoding, whose name is lower-cased.

    Raises: R1011 for another encoding than gzip, deflate and identity, R4003 when it grows beyond
    its bound; no more than that is ever unpacked.
    """
    if encoding in (b"", b"identity"):
        return raw
    if encoding not in (b"gzip", b"x-gzip", b"deflate"):
        shown = encoding.decode("latin-1")[:40]
        raise Fault("R1011", f"the content encoding {shown!r} is not known", "use gzip or deflate")
    # "deflate" comes both with and without the zlib wrapper; the first byte tells.
    bits = 31 if encoding != b"deflate" else 15 if raw[:1] and raw[0] & 15 == 8 else -15
    unpacker = zlib.decompressobj(bits)
    try:
        unpacked = unpacker.decompress(raw, bytes_max + 1)
    except zlib.error as error:
        name = encoding.decode()
        raise Fault("R1011", f"the body cannot be unpacked as {name}: {error}") from None
    if len(unpacked) > bytes_max:
        raise too_large(bytes_max)
    if not unpacker.eof:
        raise Fault("R1011", "the packed body ends too early")
    return unpacked


def too_large(bytes_max: int) -> Fault:
    """The fault for a body beyond its bound."""
    hint = f"the bound is {bytes_max} bytes; send less at once"
    return Fault("R4003", "request entity too large", hint)
