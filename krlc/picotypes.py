"""Pico types: what a new child of a type gets, written as JSON beside the rulesets it names.

In: the text of a `NAME.picotype.json` file and the ids of the rulesets in its bundle. Out: the type
as plain data, or `PicoTypeError`, whose text names the place and the fix. A type lists `rulesets`
with their `config`, `channels` with their policies, and perhaps a `ceiling` that no channel of such
a pico exceeds. Not here: what an engine makes of it (`picotypes.py` of `runtime`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

SUFFIX = ".picotype.json"
_is_name = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*(?:[.-][A-Za-z_$][A-Za-z0-9_$]*)*").fullmatch
_POLICIES = {"eventPolicy": "domain", "queryPolicy": "rid"}


class PicoTypeError(ValueError):
    """A type file says something that cannot be; the text names place, cause and fix."""


def read_type(text: str, file: str, rids: Collection[str]) -> dict[str, Any]:
    """Read one type.

    Shapes: {name, rulesets: [{rid, url, config}], channels: [{tags, eventPolicy, queryPolicy}],
    ceiling: {eventPolicy, queryPolicy}}; a ruleset of the bundle has no url; policies that are not
    given are null.
    Raises: PicoTypeError.
    """
    reader = _Reader(file, rids)
    try:
        return reader.type_of(json.loads(text, parse_constant=reader.refuse_constant))
    except json.JSONDecodeError as error:
        raise PicoTypeError(f"{file}:{error.lineno}:{error.colno}: {error.msg}") from None
    except RecursionError:
        raise PicoTypeError(f"{file}: this is nested too deeply") from None


class _Reader:
    """Checks one file; `at` in its methods is a path in it, such as `channels[0].tags`."""

    def __init__(self, file: str, rids: Collection[str]) -> None:
        self.file = file
        self.rids = rids

    def refuse(self, at: str, why: str) -> PicoTypeError:
        return PicoTypeError(f"{self.file}: {at}: {why}" if at else f"{self.file}: {why}")

    def refuse_constant(self, name: str) -> None:
        raise self.refuse("", f"{name} is no JSON value")

    def type_of(self, data: Any) -> dict[str, Any]:
        fields = self.members(data, "", {"name", "rulesets", "channels", "ceiling", "description"})
        name = fields.get("name")
        if not isinstance(name, str) or not _is_name(name):
            raise self.refuse("name", 'give the type a name like that of a ruleset: "shop.sensor"')
        rulesets = self.listed(fields.get("rulesets"), "rulesets")
        if not rulesets:
            raise self.refuse("rulesets", 'list at least one ruleset: [{"rid": "shop.sensor"}]')
        channels = self.listed(fields.get("channels"), "channels")
        return {
            "name": name,
            "rulesets": [self.ruleset(one, f"rulesets[{i}]") for i, one in enumerate(rulesets)],
            "channels": [self.channel(one, f"channels[{i}]") for i, one in enumerate(channels)],
            "ceiling": self.policies(fields.get("ceiling", {}), "ceiling", set()),
        }

    def ruleset(self, data: Any, at: str) -> dict[str, Any]:
        fields = self.members(data, at, {"rid", "url", "config"})
        rid, url = fields.get("rid"), fields.get("url")
        if not isinstance(rid, str) or not _is_name(rid):
            raise self.refuse(f"{at}.rid", "name a ruleset by its id")
        if url is None and rid not in self.rids:
            raise self.refuse(
                f"{at}.rid", f"{rid} is not in this bundle: add its file, or say its `url` here"
            )
        if url is not None and not isinstance(url, str):
            raise self.refuse(f"{at}.url", "a URL is a string")
        config = fields.get("config", {})
        if not isinstance(config, dict):
            raise self.refuse(f"{at}.config", "a configuration is a map")
        return {"rid": rid, "url": url, "config": config}

    def channel(self, data: Any, at: str) -> dict[str, Any]:
        tags = self.members(data, at, {"tags", *_POLICIES}).get("tags")
        if not isinstance(tags, list) or not tags:
            raise self.refuse(f"{at}.tags", "a channel is found by its tags: list at least one")
        if not all(isinstance(tag, str) and tag.strip() for tag in tags):
            raise self.refuse(f"{at}.tags", "tags are strings that are not blank")
        return {"tags": tags, **self.policies(data, at, {"tags"})}

    def policies(self, data: Any, at: str, more: set[str]) -> dict[str, Any]:
        fields = self.members(data, at, {*_POLICIES, *more})
        return {
            name: None
            if fields.get(name) is None
            else self.policy(fields[name], f"{at}.{name}", first)
            for name, first in _POLICIES.items()
        }

    def policy(self, data: Any, at: str, first: str) -> dict[str, Any]:
        fields = self.members(data, at, {"allow", "deny"})
        for part in ("allow", "deny"):
            for index, rule in enumerate(self.listed(fields.get(part), f"{at}.{part}")):
                place = f"{at}.{part}[{index}]"
                pair = self.members(rule, place, {first, "name"})
                for key in (first, "name"):
                    if not isinstance(pair.get(key), str) or not pair[key].strip():
                        raise self.refuse(f"{place}.{key}", 'a string, or "*" for any')
        return {part: fields.get(part) or [] for part in ("allow", "deny")}

    def members(self, data: Any, at: str, known: Collection[str]) -> dict[str, Any]:
        if not isinstance(data, dict):
            raise self.refuse(at, "this should be a map")
        for key in data:
            if key not in known:
                names = ", ".join(f"`{name}`" for name in sorted(known))
                raise self.refuse(at, f"nothing is called `{key}` here; there may be {names}")
        return data

    def listed(self, data: Any, at: str) -> list[Any]:
        if data is None:
            return []
        if not isinstance(data, list):
            raise self.refuse(at, "this should be an array")
        return data
