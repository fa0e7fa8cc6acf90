"""A compiled ruleset as the engine holds it: one loaded module, shared by all picos that use it.

In: the code object of a generated module and its manifest. Out: `Module` with rules, shared names
and globals. Invariants: immutable but for values of pure globals, which are filled once. Loading
runs only code that this engine compiled from source itself.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from ext import Machine, RuleBase
from runtime.errors import Fault
from runtime.kinds import Action, number

RuleBody = Callable[[Any, Any, tuple[Any, ...]], Any]
UNSET: Any = object()


class Rule(RuleBase):
    """One rule: what it listens to, its automaton (None: every salient event selects), its body.

    `key` names it in its pico's automata, `label` in the history, with its version.
    """

    __slots__ = ()

    def __init__(
        self,
        name: str,
        body: RuleBody,
        salience: tuple[tuple[str, str], ...] | None,
        *,
        at: tuple[int, int],
        hash: str,
        table: tuple[Any, ...] | None = None,
        matchers: tuple[Any, ...] = (),
        within_ms: float | None = None,
        within: Callable[[Any], Any] | None = None,
    ) -> None:
        self.name = name
        self.body = body
        self.salience = salience
        self.at = at
        self.hash = hash
        self.table = table
        self.matchers = matchers
        self.machine = None if table is None else Machine(table, matchers, number)
        self.within_ms = within_ms
        self.within = within
        self.key = ""
        self.label = ""


class Global:
    """One name of ruleset scope. `kind`: function, action, constant, computed or configured."""

    __slots__ = ("effect", "fn", "kind", "name", "params", "slot", "value")

    def __init__(
        self,
        kind: str,
        name: str,
        *,
        fn: Callable[..., Any] | None = None,
        params: tuple[str, ...] = (),
        value: Any = None,
        slot: int = -1,
        effect: str = "pure",
    ) -> None:
        self.kind = kind
        self.name = name
        self.fn = fn
        self.params = params
        self.value = value
        self.slot = slot
        self.effect = effect


class Use:
    """One used module: rid, alias, and a function of the context for each configured name."""

    __slots__ = ("alias", "configured", "rid")

    def __init__(
        self, rid: str, alias: str, configured: tuple[tuple[str, Callable[[Any], Any]], ...]
    ) -> None:
        self.rid = rid
        self.alias = alias
        self.configured = configured


class Module:
    """One version of one ruleset, loaded.

    Shapes: `values[slot]` is a pure computed global's value, or UNSET.
    """

    __slots__ = (
        "computed",
        "errors_to",
        "filename",
        "globals",
        "hash",
        "krl_meta",
        "manifest",
        "offers",
        "provides",
        "rid",
        "rules",
        "shares",
        "source",
        "text",
        "url",
        "uses",
        "values",
    )

    def __init__(self, code: types.CodeType, record: dict[str, Any]) -> None:
        """Load a module; `record` is the registry's: {manifest, source, module, url}."""
        manifest = record["manifest"]
        space: dict[str, Any] = {"__name__": f"krl.{manifest['rid']}"}
        exec(code, space)  # our own compiler made it from source in our own store
        self.rid: str = space["RID"]
        self.errors_to: str | None = space["ERRORS_TO"]
        self.filename = code.co_filename
        self.manifest = manifest
        self.source: str = record["source"]
        self.text: str = record["module"]
        self.hash: str = manifest["source_hash"]
        self.krl_meta = krl_meta(manifest)
        self.offers = offers(manifest)
        self.url: str = record["url"]
        self.globals: dict[str, Global] = {item.name: item for item in space["GLOBALS"]}
        self.shares = frozenset(space["SHARES"])
        self.rules: tuple[Rule, ...] = space["RULES"]
        computed = sorted((g for g in space["GLOBALS"] if g.slot >= 0), key=_slot)
        self.uses: tuple[Use, ...] = space["USES"]
        self.provides = frozenset(space["PROVIDES"])
        self.computed: tuple[Global, ...] = tuple(computed)
        self.values: list[Any] = [UNSET] * len(computed)
        for rule in self.rules:
            rule.key = f"{self.rid}\0{rule.name}"
            rule.label = f"{rule.key}\0{self.hash[:12]}\0{rule.hash[:12]}"

    def shared(self, name: str) -> Global | None:
        """The shared global of this name, if there is one."""
        return self.globals.get(name) if name in self.shares else None


def krl_meta(manifest: dict[str, Any]) -> dict[str, Any]:
    """What a ruleset's `meta` block says, as rulesets see it; parts that it has not are not there.

    Source: language reference 5.4, engine reference 6.2.
    """
    found = dict(manifest["meta"])
    found["use"] = [
        {"kind": "module", "rid": use["rid"], "alias": use["alias"]} for use in manifest["uses"]
    ]
    found["configure"] = list(manifest["configure"])
    for part in ("provides", "shares"):
        found[part] = [offer["name"] for offer in manifest[part]]
    return {name: value for name, value in found.items() if value}


def offers(manifest: dict[str, Any]) -> dict[str, list[dict[str, str]]]:
    """What a ruleset reacts to and answers, as rules that the policy of a channel may have.

    Shapes: {"events": [{domain, name}…], "queries": [{rid, name}…]}, in the order of the source.
    """
    pairs: dict[tuple[str, str], None] = {}
    for rule in manifest["rules"]:
        # A rule with no salience listens to everything.
        for text in ["*:*"] if rule["salience"] is None else rule["salience"]:
            domain, _, name = text.partition(":")
            pairs[domain, name] = None
    return {
        "events": [{"domain": domain, "name": name} for domain, name in pairs],
        "queries": [
            {"rid": manifest["rid"], "name": offer["name"]} for offer in manifest["shares"]
        ],
    }


def _slot(item: Global) -> int:
    return item.slot


def fault_line(error: BaseException, filename: str) -> int | None:
    """The innermost KRL line of an exception, if it passed through this file's code."""
    line = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == filename:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def to_fault(error: BaseException) -> Fault:
    """Any exception of running KRL code as a fault; the place is left to who knows it."""
    if isinstance(error, Fault):
        return error
    if isinstance(error, RecursionError):
        return Fault("R4010", "Maximum call depth exceeded")
    if isinstance(error, NameError):
        name = getattr(error, "name", None) or "a name"
        return Fault("R2004", f"{name} has no value yet")
    if isinstance(error, MemoryError):
        return Fault("R4004", "no memory left for this value")
    return Fault("R9001", f"{type(error).__name__}: {error}")


def action_value(name: str, fn: Callable[..., Any], params: tuple[str, ...]) -> Action:
    """A defaction literal as a value."""
    return Action(name, params, fn)
