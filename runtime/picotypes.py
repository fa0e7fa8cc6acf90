"""Pico types: what a new child of a type gets in one step, as a bundle declared it.

In: the `types.json` of a bundle, checked again since it came over the wire; a type's name. Out:
rulesets with URL and configuration, channels, and a ceiling, for `structure.new_pico`. Invariants:
a type is known only when all rulesets of its bundle are; deploying it anew changes children to
come, none that are there. Source: DESIGN.md, "Pico types".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from runtime.channel import make_policy, make_tags
from runtime.errors import Fault
from runtime.limits import pico_types_max

FIELDS = {"name", "rulesets", "channels", "ceiling"}


def read_types(data: Any) -> list[dict[str, Any]]:
    """The types of a bundle.

    Shapes: see `read_type` of the compiler, which wrote them.
    Raises: R2008 for what it cannot have written.
    """
    if type(data) is not list or not data or len(data) > pico_types_max:
        raise _refuse(f"it lists no types, or more than {pico_types_max}")
    names = set()
    for entry in data:
        if type(entry) is not dict or set(entry) != FIELDS or type(entry["name"]) is not str:
            raise _refuse("a type has not the parts that it should have")
        if entry["name"] in names:
            raise _refuse(f"{entry['name']} is there twice")
        names.add(entry["name"])
        try:
            _check(entry)
        except Fault as fault:
            raise _refuse(f"{entry['name']}: {fault.message}") from None
    return data


def _check(entry: dict[str, Any]) -> None:
    """Raise what making a pico of this type would raise."""
    for part in ("rulesets", "channels"):
        if type(entry[part]) is not list or any(type(one) is not dict for one in entry[part]):
            raise _refuse(f"`{part}` is no array of maps")
    for ruleset in entry["rulesets"]:
        url, config = ruleset.get("url"), ruleset.get("config")
        if type(ruleset.get("rid")) is not str or type(config) is not dict:
            raise _refuse("a ruleset has no id or no configuration")
        if url is not None and type(url) is not str:
            raise _refuse("the URL of a ruleset is no string")
    for channel in entry["channels"]:
        make_tags(channel.get("tags"))
        _check_policies(channel)
    if type(entry["ceiling"]) is not dict:
        raise _refuse("the ceiling is no map")
    _check_policies(entry["ceiling"])


def _check_policies(data: dict[str, Any]) -> None:
    make_policy(data.get("eventPolicy"), "Event")
    make_policy(data.get("queryPolicy"), "Query")


def _refuse(why: str) -> Fault:
    return Fault("R2008", f"types.json: {why}", "build the bundle again with `krlc build`")


def with_urls(entry: dict[str, Any], urls: dict[str, str]) -> dict[str, Any]:
    """A type whose rulesets all have a URL; `urls` are those of its bundle, by ruleset id.

    Raises: R2008 when a ruleset is neither in the bundle nor has a URL of its own.
    """
    rulesets = []
    for ruleset in entry["rulesets"]:
        url = ruleset["url"] or urls.get(ruleset["rid"])
        if url is None:
            raise _refuse(f"{entry['name']}: {ruleset['rid']} is not in this bundle")
        rulesets.append({"url": url, "config": ruleset["config"]})
    return {**entry, "rulesets": rulesets}


def own_rids(types: Iterable[dict[str, Any]]) -> set[str]:
    """The rulesets that children of these types get: who deploys them need not have them."""
    return {one["rid"] for entry in types for one in entry["rulesets"] if one["url"] is None}
