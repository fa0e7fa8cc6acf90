"""The same event over HTTP and over a channel gives the same attributes, or the same fault."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runtime.client import Client
from runtime.client_http import Refused, Target, ask
from runtime.errors import Fault
from runtime.limits import attrs_bytes_max, value_depth_max
from runtime.server import HttpServer, bind
from tests.channels.stage import TOKEN, run, served


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


# Bodies in HTTP have a bound of their own, so the largest attributes are tested with many nulls,
# whose JSON is short beside what they count for.
MANY_NULLS = {"a": [None] * (attrs_bytes_max // 8 + 1)}
ATTRS: list[dict[str, Any]] = [
    {},
    {"a": None, "b": True, "c": False, "d": "", "e": [], "f": {}},
    {"a": 2**53, "b": -(2**53), "c": 2**53 + 1, "d": 2**63, "e": -(2**63), "f": 2**64 - 1},
    {"a": 5.0, "b": -0.0, "c": 0.1, "d": 1e300, "e": 5e-324, "f": [5.0, {"x": 7.0}]},
    {"a": "\x00\x7f\u2028\U0001f600", "\x00": 1, "a.b": 2, "__proto__": 3, "": 4},
    {"a": nested(value_depth_max - 2)},
    {"a": nested(value_depth_max)},
    {"a": nested(value_depth_max + 1)},
    {"a": nested(value_depth_max + 2)},
    {"a": nested(800)},
    MANY_NULLS,
]


@pytest.mark.parametrize("attrs", ATTRS, ids=range(len(ATTRS)))
def test_same_attributes_and_faults(attrs: dict[str, Any]) -> None:
    async def go() -> None:
        async with served() as place:
            bound = bind("127.0.0.1", 0)
            http = await HttpServer.start(place.engine, bound, "127.0.0.1", token=TOKEN)
            where = f"/c/{place.eci}/event-wait/number/told"
            try:
                answer = await asyncio.to_thread(ask, Target(http.url, ""), where, attrs)
                by_http = answer["directives"][0]["options"]["attrs"]
                del by_http["_headers"]
            except Refused as refused:
                by_http = refused.answer["code"]
            async with Client.connect(place.url) as client:
                try:
                    answer = await client.event(place.eci, "number", "told", attrs)
                    [directive] = answer["directives"] or [answer["errors"][0]["code"]]
                    got = directive if isinstance(directive, str) else directive["options"]["attrs"]
                except Fault as fault:
                    got = fault.code
            assert got == by_http
            assert repr(got) == repr(by_http)
            await http.stop(5)

    run(go)
