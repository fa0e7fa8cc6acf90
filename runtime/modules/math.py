"""The `math:` module: rounding, hashes, base64.

Numbers are read as the host of the reference reads them, not as KRL's operators do: an array of one
is its element, a longer one and a map are none. No number gives null, and so does null.

Source: stdlib reference 17.1; oddities Q3 (d), Q29, Q42, Q43.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import re
from collections.abc import Callable

from runtime.context import Context
from runtime.kinds import ABSENT, Value, argument_fault, check_text, text, type_fault
from runtime.numbers import normal, number_text, parse_number
from runtime.utf16 import paired, units

__all__ = [
    "math_abs",
    "math_base64decode",
    "math_base64encode",
    "math_ceiling",
    "math_floor",
    "math_hash",
    "math_hashAlgorithms",
    "math_hashFunctions",
    "math_hmac",
    "math_int",
    "math_round",
]

# --- Rounding -------------------------------------------------------------------------------------

_PRECISION_MAX = 292


def host_number(v: Value) -> int | float | None:
    for _ in range(16):
        t = type(v)
        if t is int or t is float:
            return v  # type: ignore[no-any-return]
        if t is str:
            return parse_number(v)
        if t is bool:
            return int(v)
        if t is not list or len(v) > 1:
            return None
        if not v or v[0] is None:
            return 0
        v = text(v[0]) if type(v[0]) is not list else v[0]
    return None


def _half_up(x: float) -> int:
    low = math.floor(x)
    return low if x - low < 0.5 else low + 1


def _shifted(x: int | float, places: int) -> float:
    """The number with its decimal point moved, by its digits and not by arithmetic."""
    mantissa, _, exponent = number_text(x).partition("e")
    return float(f"{mantissa}e{int(exponent or 0) + places}")


def _rounded(number: Value, precision: Value, rounds: Callable[[float], int]) -> Value:
    x = host_number(number)
    if x is None:
        return None
    asked = host_number(precision) or 0
    # Below -400 every number is rounded to the same as at -400.
    places = max(min(math.trunc(asked), _PRECISION_MAX), -400)
    if not places:
        return normal(float(rounds(x)))
    shifted = _shifted(x, places)
    if not math.isfinite(shifted):
        return x
    whole = normal(float(rounds(shifted)))
    return None if whole is None else normal(_shifted(whole, -places))


def math_abs(cx: Context, number: Value = None, *_: Value) -> Value:
    """`math:abs(number)`."""
    x = host_number(number)
    return None if x is None else abs(x)


def math_int(cx: Context, number: Value = None, *_: Value) -> Value:
    """`math:int(number)`: towards zero."""
    x = host_number(number)
    return None if x is None else normal(float(math.trunc(x)))


def math_ceiling(cx: Context, number: Value = None, precision: Value = None, *_: Value) -> Value:
    """`math:ceiling(number, precision)`."""
    return _rounded(number, precision, math.ceil)


def math_floor(cx: Context, number: Value = None, precision: Value = None, *_: Value) -> Value:
    """`math:floor(number, precision)`."""
    return _rounded(number, precision, math.floor)


def math_round(cx: Context, number: Value = None, precision: Value = None, *_: Value) -> Value:
    """`math:round(number, precision)`: half up, towards positive infinity."""
    return _rounded(number, precision, _half_up)


# --- Hashes ---------------------------------------------------------------------------------------

_DIGEST_NAMES = {
    "md5": "md5",
    "sha1": "sha1",
    "sha224": "sha224",
    "sha256": "sha256",
    "sha384": "sha384",
    "sha512": "sha512",
    "sha512-224": "sha512_224",
    "sha512-256": "sha512_256",
    "sha3-224": "sha3_224",
    "sha3-256": "sha3_256",
    "sha3-384": "sha3_384",
    "sha3-512": "sha3_512",
    "blake2b512": "blake2b",
    "blake2s256": "blake2s",
    "ripemd160": "ripemd160",
    "md5-sha1": "md5-sha1",
    "sm3": "sm3",
}
_ALIASES = {
    "ripemd": "ripemd160",
    "rmd160": "ripemd160",
    "ssl3-md5": "md5",
    "ssl3-sha1": "sha1",
    "RSA-SHA1-2": "sha1",
    "RSA-SHA512/224": "sha512-224",
    "RSA-SHA512/256": "sha512-256",
    "RSA-RIPEMD160": "ripemd160",
    "ripemd160WithRSA": "ripemd160",
}
_WITH_RSA = (
    "md5",
    "sha1",
    "sha224",
    "sha256",
    "sha384",
    "sha512",
    "sha512-224",
    "sha512-256",
    "sm3",
)
_RSA = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sm3")
_RSA_SHA3 = ("sha3-224", "sha3-256", "sha3-384", "sha3-512")


def _algorithms() -> dict[str, str]:
    """Name in KRL to name here, for what this host can do; a signature's name means its digest."""
    names = {name: name for name in _DIGEST_NAMES} | _ALIASES
    names |= {f"RSA-{name.upper()}": name for name in (*_RSA, *_RSA_SHA3)}
    names |= {f"{name}WithRSAEncryption": name for name in _WITH_RSA}
    names |= {f"id-rsassa-pkcs1-v1_5-with-{name}": name for name in _RSA_SHA3}
    return {
        name: _DIGEST_NAMES[names[name]]
        for name in sorted(names)
        if _DIGEST_NAMES[names[name]] in hashlib.algorithms_available
    }


_ALGORITHMS = _algorithms()


def _bytes(v: Value) -> bytes:
    """The UTF-8 of a value's text; half a surrogate pair becomes U+FFFD."""
    s = text(v)
    if s.isascii():
        return s.encode("ascii")
    return s.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode("utf-8")


def _checked(what: str, algorithm: Value, encoding: Value) -> tuple[str, str]:
    """The digest's name here and the encoding of its result."""
    if type(algorithm) is not str:
        raise type_fault(f"{what} was given {text(algorithm)} instead of a algorithm string")
    if algorithm not in _ALGORITHMS:
        raise argument_fault(f"{what} doesn't recognize the hash algorithm {algorithm}")
    form = "hex" if encoding is None else encoding
    if form != "hex" and form != "base64":
        raise argument_fault(f'{what} encoding must be "hex" or "base64" but was {text(encoding)}')
    return _ALGORITHMS[algorithm], form


def _written(digest: bytes, form: str) -> str:
    return digest.hex() if form == "hex" else base64.b64encode(digest).decode("ascii")


def math_hashAlgorithms(cx: Context) -> list[Value]:
    """`math:hashAlgorithms`: the names that `math:hash` takes."""
    return list(_ALGORITHMS)


def math_hashFunctions(cx: Context, *_: Value) -> list[Value]:
    """`math:hashFunctions()`, the older form."""
    return list(_ALGORITHMS)


def math_hash(
    cx: Context,
    algorithm: Value = None,
    str: Value = None,
    encoding: Value = None,
    *_: Value,
) -> str:
    """`math:hash(algorithm, str, encoding)`: the digest of a text.

    Raises: R2001 and R2018 for arguments that are not usable.
    """
    name, form = _checked("math:hash", algorithm, encoding)
    return _written(hashlib.new(name, _bytes(str), usedforsecurity=False).digest(), form)


def math_hmac(
    cx: Context,
    algorithm: Value = None,
    key: Value = None,
    message: Value = None,
    encoding: Value = None,
    *_: Value,
) -> str:
    """`math:hmac(algorithm, key, message, encoding)`: the authentication code of a text.

    Raises: R2001 and R2018 for arguments that are not usable.
    """
    if (type(algorithm) is str or algorithm is None) and type(key) is not str:
        raise argument_fault("math:hmac needs a key string")
    name, form = _checked("math:hmac", algorithm, encoding)
    return _written(hmac.new(_bytes(key), _bytes(message), name).digest(), form)


# --- Base64 ---------------------------------------------------------------------------------------

_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]")
_HEX_PAIRS = re.compile(r"(?:[0-9A-Fa-f]{2})*")


def _from_base64(s: str) -> bytes:
    """The bytes of base64 as it comes: either alphabet, any padding, other characters ignored."""
    clean = _NOT_BASE64.sub("", s.replace("-", "+").replace("_", "/"))
    clean = clean[: len(clean) - (len(clean) % 4 == 1)]
    return base64.b64decode(clean + "=" * (-len(clean) % 4))


def _from_hex(s: str) -> bytes:
    found = _HEX_PAIRS.match(s)
    return bytes.fromhex(found[0]) if found else b""


def _from_units(s: str) -> bytes:
    return bytes([ord(unit) & 0xFF for unit in units(s)])


_ENCODERS: dict[str, Callable[[str], bytes]] = {
    "utf8": _bytes,
    "utf16le": lambda s: s.encode("utf-16-le", "surrogatepass"),
    "latin1": _from_units,
    "ascii": _from_units,
    "hex": _from_hex,
    "base64": _from_base64,
    "base64url": _from_base64,
}
_DECODERS: dict[str, Callable[[bytes], str]] = {
    "utf8": lambda data: data.decode("utf-8", "replace"),
    "utf16le": lambda data: paired(data[: len(data) & ~1].decode("utf-16-le", "surrogatepass")),
    "latin1": lambda data: data.decode("latin-1"),
    "ascii": lambda data: bytes([byte & 0x7F for byte in data]).decode("ascii"),
    "hex": bytes.hex,
    "base64": lambda data: base64.b64encode(data).decode("ascii"),
    "base64url": lambda data: base64.urlsafe_b64encode(data).decode("ascii").rstrip("="),
}
_ENCODING_NAMES = {
    "utf-8": "utf8",
    "utf-16le": "utf16le",
    "ucs2": "utf16le",
    "ucs-2": "utf16le",
    "binary": "latin1",
}


def _encoding(v: Value) -> str:
    if v is None or v is ABSENT:
        return "utf8"
    name = v.lower() if type(v) is str else ""
    name = _ENCODING_NAMES.get(name, name)
    if name not in _ENCODERS:
        raise type_fault(f"Unknown encoding: {text(v)}")
    return name


def math_base64encode(cx: Context, str: Value = None, encoding: Value = None, *_: Value) -> str:
    """`math:base64encode(str, encoding)`.

    Raises: R2001 for an unknown encoding; R4004 when the result would be too large.
    """
    data = _ENCODERS[_encoding(encoding)](text(str))
    check_text("the encoded text", (len(data) + 2) // 3 * 4)
    return base64.b64encode(data).decode("ascii")


def math_base64decode(cx: Context, str: Value = None, encoding: Value = None, *_: Value) -> str:
    """`math:base64decode(str, encoding)`.

    Raises: R2001 for an unknown encoding; R4004 when the result would be too large.
    """
    form = _encoding(encoding)
    data = _from_base64(text(str))
    check_text("the decoded text", len(data) * (2 if form == "hex" else 1))
    return _DECODERS[form](data)
