"""The manifest: what a compiled ruleset offers, needs and does, as plain JSON-able data.

In: source, tree and IR of a ruleset that compiled. Out: a map with sorted, stable content. Engines
compare manifests across compiler versions; tools show them. Not here: anything about one pico.
"""

from __future__ import annotations

from typing import Any

from krlc import ir
from krlc import nodes as n
from krlc.automata import setting_names
from krlc.diagnostics import Diagnostic
from krlc.machine import find_occurrences
from krlc.modules import uses
from krlc.names import base_events
from krlc.source import Source
from krlc.version import ABI, VERSION

TEXT_CHARACTERS_MAX = 200
"""What is quoted from a source is for a sentence, not for reading on."""


def manifest(
    source: Source, tree: n.Ruleset, module: ir.Module, diagnostics: tuple[Diagnostic, ...]
) -> dict[str, Any]:
    """Describe one ruleset.

    Shapes: {format, compiler, abi, rid, source_hash, meta, shares, provides, errors_to, uses,
    configure, effects, rules: [{name, line, salience, hash}], expressions: {rule name: …}, raises,
    sends, testing, warnings}.
    """
    globals_ = {item.name: item for item in module.globals}
    return {
        "format": 1,
        "compiler": VERSION,
        "abi": ABI,
        "rid": module.rid,
        "source_hash": source.hash,
        "meta": _meta(tree),
        "shares": [_offer(name, globals_.get(name)) for name in module.shares],
        "provides": [_offer(name, globals_.get(name)) for name in module.provides],
        "errors_to": module.errors_to,
        "uses": [{"rid": u.rid, "alias": u.alias, "with": list(u.configured)} for u in uses(tree)],
        "configure": [
            d.name.name
            for item in (tree.meta.properties if tree.meta else ())
            if isinstance(item, n.MetaConfigure)
            for d in item.declarations
        ],
        "rules": [
            {
                "name": rule.name,
                "line": source.point(rule.span.start).line,
                "salience": None
                if rule.salience is None
                else [f"{domain}:{name}" for domain, name in rule.salience],
                "hash": rule.hash,
            }
            for rule in module.rules
        ],
        "expressions": {
            rule.name.name: _expression(source, rule) for rule in tree.rules if rule.is_active
        },
        "raises": _raised(tree),
        "testing": testing(tree, module),
        "warnings": [
            {"code": d.code, "line": source.point(d.span.start).line, "title": d.title}
            for d in diagnostics
        ],
    }


def _expression(source: Source, rule: n.Rule) -> dict[str, Any]:
    """What a rule waits for, in its own words, for people who ask why it did not fire.

    Shapes: {select, matchers, settings, within, foreach, condition}; `matchers` are in the order of
    the automaton's: [{event, line, attributes, where, settings}], an attribute {name, pattern,
    flags} or, if it is no literal, {name, expression}; `where` and `condition` are {line, text}.
    """
    select = rule.select
    condition = rule.action_block.condition if rule.action_block else None
    found: dict[str, Any] = {
        "matchers": [],
        "settings": [],
        "within": None,
        "foreach": len(rule.foreach),
        "condition": None if condition is None else _text(source, condition),
    }
    if isinstance(select, n.SelectWhen):
        found["select"] = _text(source, select.event)["text"]
        found["matchers"] = [_matcher(source, b) for b in find_occurrences(select.event).bases]
        found["settings"] = list(setting_names(select.event))
        if select.within is not None:
            limit = _text(source, select.within.limit)["text"]
            found["within"] = f"{limit} {select.within.unit}{'' if limit == '1' else 's'}"
    elif select is not None:
        where = _text(source, select.condition)
        found["select"] = f"where {where['text']}"
        found["matchers"] = [
            {"event": "*", "line": where["line"], "attributes": [], "where": where, "settings": []}
        ]
    return found


def _matcher(source: Source, base: n.BaseEvent) -> dict[str, Any]:
    attributes: list[dict[str, Any]] = []
    for match in base.matches:
        value = match.value
        if isinstance(value, n.Regexp):
            entry = {"name": match.key.name, "pattern": value.pattern, "flags": value.flags}
        else:
            entry = {"name": match.key.name, "expression": _text(source, value)["text"]}
        attributes.append(entry)
    return {
        "event": f"{base.domain.name}:{base.name.name}",
        "line": source.point(base.span.start).line,
        "attributes": attributes,
        "where": None if base.where is None else _text(source, base.where),
        "settings": [name.name for name in base.setting],
    }


def _text(source: Source, node: n.Node) -> dict[str, Any]:
    """The source of a node on one line, and where it begins."""
    text = " ".join(source.text[node.span.start : node.span.end].split())
    if len(text) > TEXT_CHARACTERS_MAX:
        text = text[: TEXT_CHARACTERS_MAX - 1] + "…"
    return {"line": source.point(node.span.start).line, "text": text}


def _meta(tree: n.Ruleset) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if tree.version is not None:
        found["version"] = tree.version.value
    for item in tree.meta.properties if tree.meta else ():
        if isinstance(item, n.MetaText):
            value = item.value
            if isinstance(value, n.String):
                found[item.key.name] = value.value
            elif isinstance(value, n.Chevron) and all(isinstance(p, n.String) for p in value.parts):
                found[item.key.name] = "".join(
                    p.value for p in value.parts if isinstance(p, n.String)
                )
        elif isinstance(item, n.MetaLogging):
            found["logging"] = item.is_on
    return found


def _offer(name: str, item: ir.Function | ir.Action | ir.Value | None) -> dict[str, Any]:
    if isinstance(item, (ir.Function, ir.Action)):
        kind = "function" if isinstance(item, ir.Function) else "action"
        args = [krl for _, krl, _ in item.closure.parameters]
        return {"name": name, "kind": kind, "args": args, "effect": item.effect}
    return {"name": name, "kind": "value", "args": [], "effect": item.effect if item else "pure"}


def _raised(tree: n.Ruleset) -> list[str]:
    """Events that rules raise, where domain and name are written out; `*` where they are not."""
    found = set()
    for node in n.walk(tree):
        if isinstance(node, n.Raise):
            name = node.event.expression
            text = name.value if isinstance(name, n.String) else "*"
            domain = node.event.domain
            found.add(f"{domain.name}:{text}" if domain else text)
    return sorted(found)


def testing(tree: n.Ruleset, module: ir.Module) -> dict[str, Any]:
    """The `__testing` value: queries with their arguments, events with the attributes read.

    Source: language reference 5.4: attribute names of a rule's matches and of its later reads by
    string literal are listed with every event of that rule.
    """
    globals_ = {item.name: item for item in module.globals}
    queries = []
    for name in module.shares:
        if name == "__testing":
            continue
        offer = _offer(name, globals_.get(name))
        queries.append({"name": name, "args": offer["args"]})
    events: list[dict[str, Any]] = []
    for rule in tree.rules:
        if not rule.is_active or not isinstance(rule.select, n.SelectWhen):
            continue
        own: dict[tuple[str, str], list[str]] = {}
        for base in base_events(rule.select.event):
            own.setdefault((base.domain.name, base.name.name), [])
            for match in base.matches:
                for attrs in own.values():
                    if match.key.name not in attrs:
                        attrs.append(match.key.name)
        for key in _read_attributes(rule):
            for attrs in own.values():
                if key not in attrs:
                    attrs.append(key)
        events.extend({"domain": d, "name": e, "attrs": a} for (d, e), a in own.items())
    return {"queries": queries, "events": events}


def _read_attributes(rule: n.Rule) -> list[str]:
    """String-literal keys of event:attrs{"k"}, event:attrs.get("k") and event:attr("k")."""
    found: list[str] = []
    for node in n.walk(rule):
        key: n.Node | None = None
        if isinstance(node, n.Path) and _is_attrs(node.object):
            key = node.path
        elif isinstance(node, n.Call) and node.arguments:
            callee = node.callee
            is_attr = isinstance(callee, n.DomainIdentifier) and (
                (callee.domain, callee.name) == ("event", "attr")
            )
            is_get = (
                isinstance(callee, n.Member)
                and isinstance(callee.member, n.Identifier)
                and callee.member.name == "get"
                and _is_attrs(callee.object)
            )
            if is_attr or is_get:
                key = node.arguments[0].value
        if isinstance(key, n.String):
            found.append(key.value)
    return list(dict.fromkeys(found))


def _is_attrs(node: n.Node) -> bool:
    return isinstance(node, n.DomainIdentifier) and (node.domain, node.name) == ("event", "attrs")
