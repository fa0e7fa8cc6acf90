"""The library's operators as one table: KRL name, parameters, function.

In: nothing. Out: `OPERATORS`, what the compiler's calls and `stdlib:` resolve to; `Operator.value`
is the operator as a value, such as `lc` in `names.map(lc)`.
Invariants: a function takes its arguments by position in KRL's order, and each may be left out;
only what is pure stands here. `klog`, `noop` and `send_directive` need a context: not here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from runtime.kinds import Value
from runtime.operators import bits, collections, paths, sets, sorting, strings, types
from runtime.values import cmp_text, like


class Operator(NamedTuple):
    """One operator. `required` arguments must be given; `effect` is what calling it may do."""

    name: str
    params: tuple[str, ...]
    fn: Callable[..., Value]
    required: int
    effect: str
    value: Callable[..., Value]


def _value(fn: Callable[..., Value], params: tuple[str, ...]) -> Callable[..., Value]:
    """The function as a callback: takes what it has parameters for, ignores the rest."""
    count = len(params)

    def operator(*args: Value) -> Value:
        return fn(*args[:count])

    # For calls with named arguments.
    operator.params = params  # type: ignore[attr-defined]
    return operator


def _rows() -> dict[str, Operator]:
    table: dict[str, Operator] = {}
    for signature, fn, required in _SIGNATURES:
        name, _, listed = signature.partition("(")
        params = tuple(listed.rstrip(")").split(", "))
        value = _value(fn, params) if name != "append" else fn
        table[name] = Operator(name, params, fn, required, "pure", value)
    return table


_SIGNATURES: tuple[tuple[str, Callable[..., Value], int], ...] = (
    # Values of any kind.
    ("as(val, type)", types.as_, 1),
    ("isnull(val)", types.isnull, 0),
    ("typeof(val)", types.typeof, 0),
    ("sprintf(val, template)", types.sprintf, 1),
    ("defaultsTo(val, defaultVal, message)", types.defaults_to, 1),
    # Comparison by name; as infix words they are operators of the language.
    ("like(val, regex)", like, 2),
    ("cmp(left, right)", cmp_text, 2),
    # Numbers and bits.
    ("chr(val)", bits.chr_, 1),
    ("range(val, end)", bits.range_, 1),
    ("band(left, right)", bits.band, 1),
    ("bor(left, right)", bits.bor, 1),
    ("bxor(left, right)", bits.bxor, 1),
    ("bnot(left)", bits.bnot, 1),
    ("shiftLeft(left, right)", bits.shift_left, 1),
    ("shiftRight(left, right)", bits.shift_right, 1),
    # Strings.
    ("capitalize(val)", strings.capitalize, 1),
    ("lc(val)", strings.lc, 1),
    ("uc(val)", strings.uc, 1),
    ("trim(val)", strings.trim, 1),
    ("trimLeading(val)", strings.trim_leading, 1),
    ("trimTrailing(val)", strings.trim_trailing, 1),
    ("startsWith(val, target)", strings.starts_with, 1),
    ("endsWith(val, target)", strings.ends_with, 1),
    ("contains(val, target)", strings.contains, 1),
    ("ord(val)", strings.ord_, 1),
    ("decode(val)", strings.decode, 1),
    ("encode(val, indent)", strings.encode, 1),
    ("extract(val, regex)", strings.extract, 1),
    ("match(val, regex)", strings.match, 1),
    ("split(val, splitOn)", strings.split, 1),
    ("substr(val, start, len)", strings.substr, 1),
    ("replace(val, regex, replacement)", strings.replace, 1),
    ("length(val)", strings.length, 1),
    ("join(val, str)", strings.join, 1),
    # Collections.
    ("map(val, iter)", collections.map_, 1),
    ("filter(val, iter)", collections.filter_, 1),
    ("collect(val, iter)", collections.collect, 1),
    ("all(val, iter)", collections.all_, 1),
    ("notall(val, iter)", collections.notall, 1),
    ("any(val, iter)", collections.any_, 1),
    ("none(val, iter)", collections.none, 1),
    ("reduce(val, iter, dflt)", collections.reduce, 1),
    ("pairwise(val, iter)", collections.pairwise, 1),
    ("append(val, a, b, c, d, e)", collections.append, 1),
    ("head(val)", collections.head, 1),
    ("tail(val)", collections.tail, 1),
    ("index(val, elm)", collections.index, 1),
    ("isEmpty(val)", collections.is_empty, 1),
    ("reverse(val)", collections.reverse, 1),
    ("slice(val, start, end)", collections.slice_, 1),
    ("splice(val, start, nElements, value)", collections.splice, 1),
    ("sort(val, sortBy)", sorting.sort, 1),
    # Sets.
    ("intersection(a, b)", sets.intersection, 1),
    ("union(a, b)", sets.union, 1),
    ("difference(a, b)", sets.difference, 1),
    ("has(val, other)", sets.has, 1),
    ("once(val)", sets.once, 1),
    ("duplicates(val)", sets.duplicates, 1),
    ("unique(val)", sets.unique, 1),
    # Paths.
    ("get(obj, path)", paths.get, 1),
    ("set(obj, path, val)", paths.set_, 1),
    ("put(val, path, toSet)", paths.put, 1),
    ("delete(val, path)", paths.delete, 1),
    ("keys(val, path)", paths.keys, 1),
    ("values(val, path)", paths.values, 1),
)

OPERATORS: dict[str, Operator] = _rows()
