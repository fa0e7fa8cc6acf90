"""The `random:` module. Chance comes from the engine, so a run can be repeated.

Source: stdlib reference 17.2; oddity Q30 (the upper bound is 1 when it is not given).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from runtime.context import Context
from runtime.kinds import ABSENT, Value, number
from runtime.numbers import from_int, normal

if TYPE_CHECKING:
    from runtime.turn import World

__all__ = ["random_integer", "random_number", "random_uuid", "random_word"]

_WORD_LIST = """
able acorn amber apple arrow autumn badge baker bamboo basket beach bell berry birch blanket
bloom boat bottle branch bread breeze brick bridge bright brook bucket butter button cabin
candle canyon carpet castle cedar chair cherry circle clay cliff clock cloud clover coast
coat copper coral corner cotton cradle creek cricket crystal curtain daisy dawn desert dew
door dream drum dune eagle early earth east echo ember engine evening falcon farm feather
fern field finch fire flag flame flute forest fox frost garden gate glass globe glow goat
gold grain grape grass gravel green grove guitar hammer harbor harvest hazel heron hill
honey horn house island ivory jacket jewel journey juniper kettle kite ladder lake lamp
lantern lark leaf lemon letter lilac linen lion lotus maple marble market meadow melon mill
mirror mist moon morning moss mountain music nest night north oak oasis ocean olive orange
orchard owl paint palm paper pasture path peach pearl pebble pepper piano pillow pine plain
planet plum pocket pond poplar prairie quartz quiet quilt rabbit rain raven reed ribbon
ridge river road robin rock roof root rose sail salt sand sea seed shadow shell shore silk
silver sky slate smoke snow song south spark sparrow spring square star station stone storm
stream street summer sun swan table thistle thunder tide tiger timber tower town trail train
tree tulip tunnel valley velvet village vine violet wagon walnut water wave west wheat wheel
willow wind window wing winter wolf wood yard yarn year yellow young zebra
"""
_WORDS = tuple(_WORD_LIST.split())


def _world(cx: Context) -> World:
    assert cx.turn is not None
    return cx.turn.world


def random_uuid(cx: Context, *_: Value) -> str:
    """`random:uuid()`: `c` and 24 characters that nobody can guess."""
    return "c" + _world(cx).ids.eid()[-24:]


def random_word(cx: Context, *_: Value) -> str:
    """`random:word()`: an English word."""
    return _WORDS[_world(cx).random.below(len(_WORDS))]


def _bounds(upper: Value, lower: Value) -> tuple[int | float, int | float]:
    low = number(lower)
    high = 1 if upper is ABSENT else number(upper)
    if high is None:
        high = 1 if low is None else 0
    if low is None:
        low = 0
    return (low, high) if low <= high else (high, low)


def _half_up(x: int | float) -> int:
    low = math.floor(x)
    return low if x - low < 0.5 else low + 1


def random_integer(cx: Context, upper: Value = ABSENT, lower: Value = 0, *_: Value) -> Value:
    """`random:integer(upper, lower)`: a whole number, both bounds in."""
    low, high = (_half_up(bound) for bound in _bounds(upper, lower))
    return from_int(low + _world(cx).random.below(high - low + 1))


def random_number(cx: Context, upper: Value = ABSENT, lower: Value = 0, *_: Value) -> Value:
    """`random:number(upper, lower)`: a number between the bounds."""
    low, high = _bounds(upper, lower)
    return normal(low + _world(cx).random.number() * (high - low))
