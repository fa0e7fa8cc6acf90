"""Exchanges between an engine of ours and the Node engine, as data: names, templates, matching.

In: steps with the ids of one run. Out: steps with names in their place, which fit any run. A step
is one of

    {"do": event of domain wrangler, "attrs"}        asked of ours
    {"sent": path, "attrs", "status", "answer"}      from ours to theirs, with what theirs said
    {"came": path, "attrs", "status"}                from theirs to ours, with our status
    {"bundles": by state}                            what ours knows in the end

Ids are `<1>`, `<2>`, … in the order in which they come up, `<ours>` and `<theirs>` the base URLs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("exchanges.json")
WELL_KNOWN = "<well known of ours>"
_IDS = re.compile(r"\bc[0-9a-z]{20,30}\b|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_NAMES = re.compile(r"<[a-z0-9 ]+>")

Names = dict[str, str]


def named(steps: list[dict[str, Any]], known: Names) -> list[dict[str, Any]]:
    """Steps with names instead of ids and base URLs; `known` are names by value."""
    text = json.dumps(steps)
    for value, name in known.items():
        text = text.replace(value, name)
    names: Names = {}

    def name_of(found: re.Match[str]) -> str:
        return names.setdefault(found[0], f"<{len(names) + 1}>")

    renamed: list[dict[str, Any]] = json.loads(_IDS.sub(name_of, text))
    return renamed


def filled(template: Any, values: Names, mint: Callable[[], str]) -> Any:
    """A template with the values of its names; a name that has none yet gets a new one."""

    def value_of(found: re.Match[str]) -> str:
        if found[0] not in values:
            values[found[0]] = mint()
        return values[found[0]]

    return json.loads(_NAMES.sub(value_of, json.dumps(template)))


def fits(template: Any, actual: Any, values: Names) -> bool:
    """Whether something has the form of a template; names without a value get theirs from it.

    Maps may have more than the template.
    """
    if isinstance(template, dict):
        return isinstance(actual, dict) and all(
            fits(item, actual.get(key), values) for key, item in template.items()
        )
    if isinstance(template, list):
        return (
            isinstance(actual, list)
            and len(actual) == len(template)
            and all(fits(*pair, values) for pair in zip(template, actual, strict=True))
        )
    if not isinstance(template, str) or not _NAMES.search(template):
        return bool(template == actual)
    if not isinstance(actual, str):
        return False
    parts = _NAMES.split(template)
    names = _NAMES.findall(template)
    pattern = re.escape(parts[0])
    for name, part in zip(names, parts[1:], strict=True):
        known = values.get(name)
        pattern += ("([^/]+)" if known is None else f"({re.escape(known)})") + re.escape(part)
    found = re.fullmatch(pattern, actual)
    if found is None:
        return False
    values.update(zip(names, found.groups(), strict=True))
    return True
