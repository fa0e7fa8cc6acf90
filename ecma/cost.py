"""What a backtracking engine may spend on a pattern: an upper bound, found before anything runs.

In: the tree of a pattern. Out: `Bound(degree, steps)`: a search in n units of text takes at most
steps × n^degree steps; `UNBOUNDED` when no small bound could be shown. Also `has_own_meaning`: what
means something else, or nothing, outside an ECMAScript engine.

How: a search tries every start; at one start, work multiplies with the number of ways that what
stands before can match. An unbounded repetition counts n ways to stop, but only one when no unit
can both go on with it and begin what follows; a choice counts the sum of its options, but only the
largest when they begin differently. A repetition of something that can match in several ways has
no bound here. The bound is cautious: what it does not understand, it refuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

from ecma import charsets
from ecma.charsets import Ranges
from ecma.parser import Back, Chars, Choice, Edge, Group, Look, Node, Repeat, Sequence

_COUNT_MAX = 1_000_000


class Bound(NamedTuple):
    """At most `steps` × n^`degree` steps for a search in n units; degree -1 means not known."""

    degree: int
    steps: int


UNBOUNDED = Bound(-1, 0)


class _UnboundedError(Exception):
    """No bound can be shown."""


@dataclass(frozen=True, slots=True)
class _Cost:
    """Ways to match (`ways` × n^`ways_degree`) and work for all of them, at one start."""

    ways_degree: int = 0
    ways: int = 1
    work_degree: int = 0
    work: int = 1


# What may come next: a set of units, or None when nothing after this can fail any more.
_Follow = Ranges | None


def search_bound(root: Node) -> Bound:
    """The bound on one search from the start of a text."""
    try:
        cost = _cost(root, None)
    except _UnboundedError:
        return UNBOUNDED
    if is_anchored(root):
        return Bound(max(1, cost.work_degree), cost.work)
    if cost.work_degree == 0 or _fails_early(root):
        return Bound(1, cost.work)
    return Bound(cost.work_degree + 1, cost.work)


def is_anchored(node: Node) -> bool:
    """Whether a match can only begin at the start of the text."""
    if isinstance(node, Edge):
        return node.kind == "^"
    if isinstance(node, Group):
        return is_anchored(node.body)
    if isinstance(node, Sequence):
        return bool(node.items) and is_anchored(node.items[0])
    if isinstance(node, Choice):
        return all(is_anchored(option) for option in node.options)
    return False


def is_nullable(node: Node) -> bool:
    """Whether a node can match without taking a unit."""
    if isinstance(node, Chars):
        return False
    if isinstance(node, Group):
        return is_nullable(node.body)
    if isinstance(node, Repeat):
        return node.low == 0 or is_nullable(node.body)
    if isinstance(node, Sequence):
        return all(is_nullable(item) for item in node.items)
    if isinstance(node, Choice):
        return any(is_nullable(option) for option in node.options)
    return True


def has_own_meaning(node: Node, in_loop: bool = False) -> bool:
    """Whether only an ECMAScript engine gives the node its meaning.

    That is so for back references, look-behind, captures inside negative or repeated look-ahead;
    for repetition of what can match nothing (an empty round counts differently everywhere); and for
    a capture that a later round of a loop would have to forget.
    """
    if isinstance(node, Back):
        return True
    if isinstance(node, Look):
        return (
            node.is_behind
            or in_loop
            or (node.is_negative and bool(_captures(node.body)))
            or has_own_meaning(node.body)
        )
    if isinstance(node, Repeat):
        captures = _captures(node.body)
        # A round that may be left out must not be empty in ECMAScript; it shows where it captures,
        # and where more rounds follow.
        if is_nullable(node.body) and node.low != node.high and (captures or node.high != 1):
            return True
        loops = node.high is None or node.high > 1
        if loops and captures != _surely_set(node.body):
            return True
        return has_own_meaning(node.body, in_loop or loops)
    if isinstance(node, Group):
        return has_own_meaning(node.body, in_loop)
    if isinstance(node, Sequence):
        return any(has_own_meaning(item, in_loop) for item in node.items)
    if isinstance(node, Choice):
        return any(has_own_meaning(option, in_loop) for option in node.options)
    return False


def without_empty_rounds(node: Node) -> Node:
    """The same pattern with `(x*)?` written as `(x+)?`, and `(x*)*` as `(x+)*`.

    In ECMAScript they mean the same, since a round that takes nothing does not count; elsewhere
    only the second form means that.
    """
    if isinstance(node, Group):
        return Group(node.number, without_empty_rounds(node.body))
    if isinstance(node, Look):
        return Look(node.is_behind, node.is_negative, without_empty_rounds(node.body))
    if isinstance(node, Sequence):
        return Sequence(tuple(without_empty_rounds(item) for item in node.items))
    if isinstance(node, Choice):
        return Choice(tuple(without_empty_rounds(option) for option in node.options))
    if isinstance(node, Repeat):
        body = without_empty_rounds(node.body)
        if node.low == 0:
            body = _not_empty(body)
        return Repeat(body, node.low, node.high, node.is_lazy)
    return node


def _not_empty(node: Node) -> Node:
    """A repetition, or a group of one, that takes at least one round; other nodes as they are."""
    if isinstance(node, Group):
        return Group(node.number, _not_empty(node.body))
    if isinstance(node, Repeat) and node.low == 0 and node.high != 0:
        return node if is_nullable(node.body) else Repeat(node.body, 1, node.high, node.is_lazy)
    return node


def has_look(node: Node) -> bool:
    """Whether a look-ahead or look-behind is anywhere in the node."""
    if isinstance(node, Look):
        return True
    if isinstance(node, Group | Repeat):
        return has_look(node.body)
    if isinstance(node, Sequence):
        return any(has_look(item) for item in node.items)
    if isinstance(node, Choice):
        return any(has_look(option) for option in node.options)
    return False


def _captures(node: Node) -> frozenset[int]:
    if isinstance(node, Group):
        return _captures(node.body) | {node.number}
    if isinstance(node, Repeat | Look):
        return _captures(node.body)
    if isinstance(node, Sequence):
        return frozenset[int]().union(*(_captures(item) for item in node.items))
    if isinstance(node, Choice):
        return frozenset[int]().union(*(_captures(option) for option in node.options))
    return frozenset()


def _surely_set(node: Node) -> frozenset[int]:
    """The groups that every match of the node sets."""
    if isinstance(node, Group):
        return _surely_set(node.body) | {node.number}
    if isinstance(node, Repeat):
        return _surely_set(node.body) if node.low > 0 else frozenset()
    if isinstance(node, Sequence):
        return frozenset[int]().union(*(_surely_set(item) for item in node.items))
    if isinstance(node, Choice):
        return reduce(frozenset.__and__, (_surely_set(option) for option in node.options))
    return frozenset()


# --- The bound ------------------------------------------------------------------------------------


def _first(node: Node) -> Ranges:
    """The units that a match of the node can begin with; all of them for a look-ahead."""
    if isinstance(node, Chars):
        return node.ranges
    if isinstance(node, Group | Repeat):
        return _first(node.body)
    if isinstance(node, Look | Back):
        return charsets.FULL
    if isinstance(node, Sequence):
        return _first_of(node.items)
    if isinstance(node, Choice):
        return reduce(charsets.union, (_first(option) for option in node.options))
    return charsets.EMPTY


def _first_of(items: tuple[Node, ...]) -> Ranges:
    found = charsets.EMPTY
    for item in items:
        found = charsets.union(found, _first(item))
        # After `$` passes there is no unit left, so nothing later can begin with one.
        if not is_nullable(item) or (isinstance(item, Edge) and item.kind == "$"):
            return found
    return found


def _is_sure(node: Node) -> bool:
    """Whether the node always matches, if only by taking nothing."""
    if isinstance(node, Group):
        return _is_sure(node.body)
    if isinstance(node, Repeat):
        return node.low == 0 or _is_sure(node.body)
    if isinstance(node, Sequence):
        return all(_is_sure(item) for item in node.items)
    if isinstance(node, Choice):
        return any(_is_sure(option) for option in node.options)
    return False


def _follows(items: tuple[Node, ...], after: _Follow) -> list[_Follow]:
    """For each item of a sequence: what may come next after it. One walk from the right."""
    follows: list[_Follow] = []
    first = charsets.EMPTY
    is_closed = False
    all_sure = True
    for item in reversed(items):
        if after is None and all_sure:
            follows.append(None)
        elif is_closed or not after:
            follows.append(first)
        else:
            follows.append(charsets.union(first, after))
        all_sure = all_sure and _is_sure(item)
        # After `$` passes there is no unit left, so nothing later can begin with one.
        if not is_nullable(item) or (isinstance(item, Edge) and item.kind == "$"):
            first, is_closed = _first(item), True
        else:
            first = charsets.union(_first(item), first)
    follows.reverse()
    return follows


def _cost(node: Node, follow: _Follow) -> _Cost:
    if isinstance(node, Chars | Edge):
        return _Cost()
    if isinstance(node, Group):
        return _cost(node.body, follow)
    if isinstance(node, Look):
        inner = _cost(node.body, None)
        return _Cost(0, 1, inner.work_degree, inner.work)
    if isinstance(node, Sequence):
        return _cost_of_sequence(node.items, follow)
    if isinstance(node, Choice):
        return _cost_of_choice(node.options, follow)
    if isinstance(node, Repeat):
        return _cost_of_repeat(node, follow)
    raise _UnboundedError


def _checked(cost: _Cost) -> _Cost:
    if max(cost.ways, cost.work) > _COUNT_MAX:
        raise _UnboundedError
    return cost


def _cost_of_sequence(items: tuple[Node, ...], follow: _Follow) -> _Cost:
    ways_degree, ways, work_degree, work = 0, 1, 0, 1
    for item, after in zip(items, _follows(items, follow), strict=True):
        cost = _cost(item, after)
        work_degree = max(work_degree, ways_degree + cost.work_degree)
        work += ways * cost.work
        ways_degree += cost.ways_degree
        ways *= cost.ways
        _checked(_Cost(ways_degree, ways, work_degree, work))
    return _Cost(ways_degree, ways, work_degree, work)


def _cost_of_choice(options: tuple[Node, ...], follow: _Follow) -> _Cost:
    costs = [_cost(option, follow) for option in options]
    begun = charsets.EMPTY
    differs = not any(is_nullable(option) or has_look(option) for option in options)
    for option in options:
        first = _first(option)
        differs = differs and charsets.is_disjoint(begun, first)
        begun = charsets.union(begun, first)
    ways = [cost.ways for cost in costs]
    return _checked(
        _Cost(
            max(cost.ways_degree for cost in costs),
            max(ways) if differs else sum(ways),
            max(cost.work_degree for cost in costs),
            sum(cost.work for cost in costs),
        )
    )


def _cost_of_repeat(node: Repeat, follow: _Follow) -> _Cost:
    going_on = _first(node.body)
    if node.high == 1:
        after = follow
    else:
        after = charsets.union(going_on, follow) if follow else going_on
    inner = _cost(node.body, after)
    is_free = follow is None or charsets.is_disjoint(going_on, follow)
    is_single = (inner.ways_degree, inner.ways) == (0, 1)
    if node.high is None:
        if not is_single or inner.work_degree > 1 or is_nullable(node.body):
            raise _UnboundedError
        if inner.work_degree > 0 and has_look(node.body):
            # The rounds of a loop share the text between them, but not what a look-ahead reads.
            raise _UnboundedError
        return _Cost(0 if is_free else 1, 1, 1, inner.work)
    rounds = node.high
    if is_single:
        ways = 1 if is_free else rounds - node.low + 1
        return _checked(_Cost(0, ways, inner.work_degree, 1 + rounds * inner.work))
    if rounds > 64:
        raise _UnboundedError
    ways = sum(inner.ways**k for k in range(node.low, rounds + 1))
    work = 1 + inner.work * sum(inner.ways**k for k in range(rounds))
    degree = inner.ways_degree * max(rounds - 1, 0) + inner.work_degree
    return _checked(_Cost(inner.ways_degree * rounds, ways, degree, work))


def _fails_early(node: Node) -> bool:
    """Whether an attempt at one start either fails within bounded work or succeeds.

    Then the attempts that fail cost a bounded number of steps each, and only one goes far.
    """
    items = node.items if isinstance(node, Sequence) else (node,)
    for i, item in enumerate(items):
        try:
            if _cost(item, charsets.FULL).work_degree == 0:
                continue
        except _UnboundedError:
            return False
        while isinstance(item, Group):
            item = item.body
        if not (isinstance(item, Repeat) and isinstance(item.body, Chars)):
            return False
        return item.low <= 64 and all(_is_sure(rest) for rest in items[i + 1 :])
    return True
