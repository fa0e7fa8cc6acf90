"""Domains: built-in modules, their members, and the modules a ruleset uses.

In: a `Ruleset` node. Out: diagnostics, and the used modules in the order written. A domain is
`ent`, a built-in module, or the alias of a used one; anything else is refused here rather than when
the code runs. Not here: what a used ruleset provides (the registry knows that, `link` checks it).
"""

from __future__ import annotations

import msgspec

from krlc import nodes as n
from krlc.diagnostics import Diagnostic
from krlc.library import MODULES
from krlc.spell import nearest

# Modules of the Node engine that this one leaves out, and what they were.
NOT_OURS = {
    "dido": "DIDComm messages, which this engine does not speak yet",
    "ursa": "cryptography of a library that is no longer kept",
}


class Use(msgspec.Struct, frozen=True):
    """One `use module`: rid, alias (the rid itself when none is given), configured names."""

    rid: str
    alias: str
    configured: tuple[str, ...]


def uses(tree: n.Ruleset) -> tuple[Use, ...]:
    """The modules a ruleset uses, in order."""
    found = []
    for item in tree.meta.properties if tree.meta else ():
        if isinstance(item, n.MetaUse):
            alias = item.rid.value if item.alias is None else item.alias.name
            found.append(Use(item.rid.value, alias, tuple(d.name.name for d in item.configuration)))
    return tuple(found)


def check_modules(tree: n.Ruleset) -> list[Diagnostic]:
    """Check every `domain:name` against built-in modules and aliases."""
    found: list[Diagnostic] = []
    aliases: dict[str, str] = {}
    for item in tree.meta.properties if tree.meta else ():
        if not isinstance(item, n.MetaUse):
            continue
        alias = item.rid.value if item.alias is None else item.alias.name
        if aliases.setdefault(alias, item.rid.value) != item.rid.value:
            span = item.alias.span if item.alias else item.rid.span
            found.append(
                Diagnostic(
                    "K0411",
                    f"two modules under one alias `{alias}`",
                    span,
                    f"already stands for `{aliases[alias]}`",
                    ("give one of them another alias",),
                )
            )
        if item.rid.value == tree.rid.value:
            found.append(
                Diagnostic(
                    "K0410",
                    f"ruleset `{item.rid.value}` uses itself",
                    item.rid.span,
                    "a module cannot be its own",
                    ("call its functions directly",),
                )
            )
    # What an assignment or `clear` names is checked with the statement, which stands before it.
    targets: set[int] = set()
    pending: list[n.Node] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, n.DomainIdentifier):
            if node.domain not in aliases and id(node) not in targets:
                problem = _check(node, aliases)
                if problem is not None:
                    found.append(problem)
        elif isinstance(node, (n.Assign, n.Clear)):
            targets.add(id(node.target))
        elif isinstance(node, n.Rule) and not node.is_active:
            continue  # its body is not compiled
        pending += n.children(node)
    return found


def _check(node: n.DomainIdentifier, aliases: dict[str, str]) -> Diagnostic | None:
    if node.domain == "ent":
        return None
    if node.domain == "app":
        return Diagnostic(
            "K0412",
            "there are no application variables",
            node.span,
            "`app:` holds nothing",
            (f"use `ent:{node.name}`, which belongs to this pico",),
        )
    members = MODULES.get(node.domain)
    if node.domain in NOT_OURS:
        return Diagnostic(
            "K0412",
            f"module `{node.domain}` is not part of this engine",
            node.domain_span,
            NOT_OURS[node.domain],
            ("take it out; channels and the outbox do what it was used for",),
        )
    if members is None:
        near = nearest(node.domain, [*MODULES, *aliases, "ent"])
        return Diagnostic(
            "K0412",
            f"unknown domain `{node.domain}`",
            node.domain_span,
            "neither a built-in module nor the alias of a used one",
            (f"did you mean `{near}`?",) if near else ("add `use module … alias …` to meta",),
        )
    if node.name not in members:
        near = nearest(node.name, members)
        return Diagnostic(
            "K0412",
            f"module `{node.domain}` has no member `{node.name}`",
            node.name_span,
            "not in this module",
            (f"did you mean `{node.domain}:{near}`?",) if near else (),
        )
    return None
