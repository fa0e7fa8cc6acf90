"""Structure: everything a ruleset must keep that is neither a name nor a domain.

In: a `Ruleset` node and its `Names`. Out: diagnostics for arity, actions and functions in the wrong
place, postlude statements, meta, event expressions and deprecated forms. Later passes rely on what
is checked here. Not here: what the registry knows about other rulesets.
"""

from __future__ import annotations

from krlc import nodes as n
from krlc.diagnostics import Diagnostic
from krlc.library import MODULES, OPERATORS, VARIADIC
from krlc.names import Names, base_events
from krlc.regexps import slow
from krlc.source import Span

CALLABLE = ("Function", "Unknown")
PERFORMABLE = ("Action", "ActionFunction", "Unknown")


def check(tree: n.Ruleset, names: Names) -> list[Diagnostic]:
    """Check the structure of one ruleset whose names are resolved."""
    checker = _Checker(tree, names)
    checker.run()
    return checker.found


class _Checker:
    def __init__(self, tree: n.Ruleset, names: Names) -> None:
        self.tree = tree
        self.names = names
        self.found: list[Diagnostic] = []
        self.callees: set[int] = set()

    def error(self, code: str, title: str, span: Span, label: str, *hints: str) -> None:
        self.found.append(Diagnostic(code, title, span, label, hints))

    def warn(self, code: str, title: str, span: Span, label: str, *hints: str) -> None:
        self.found.append(Diagnostic(code, title, span, label, hints, "warning"))

    def run(self) -> None:
        self.meta()
        self.rules()
        inactive = {id(rule) for rule in self.tree.rules if not rule.is_active}
        pending: list[n.Node] = [self.tree]
        while pending:
            node = pending.pop()
            if id(node) in inactive:
                continue
            self.node(node)
            pending.extend(n.children(node))

    # --- Meta -------------------------------------------------------------------------------------

    def meta(self) -> None:
        if self.tree.version is not None:
            self.warn(
                "K0406",
                "`version` before `meta` is deprecated",
                self.tree.version.span,
                "belongs inside `meta`",
                f'write `meta {{ version "{self.tree.version.value}" }}`',
            )
        seen: set[str] = set()
        for item in self.tree.meta.properties if self.tree.meta else ():
            if isinstance(item, n.MetaLogging):
                self.warn(
                    "K0407",
                    "`logging` has no effect any more",
                    item.span,
                    "the engine keeps a history for every pico",
                    "remove it",
                )
            if isinstance(item, (n.MetaText, n.MetaLogging)):
                if item.key.name in seen:
                    self.error(
                        "K0402",
                        f"`{item.key.name}` is given twice",
                        item.key.span,
                        "second one",
                        "keep one of the two",
                    )
                seen.add(item.key.name)
            elif isinstance(item, (n.MetaKey, n.MetaProvidesKeys)):
                self.error(
                    "K0403",
                    f"`{item.key.name}` with keys is not supported",
                    item.key.span,
                    "keys cannot be kept in a ruleset",
                    "give secrets in the configuration when the ruleset is installed",
                )

    # --- Rules ------------------------------------------------------------------------------------

    def rules(self) -> None:
        seen: set[str] = set()
        for rule in self.tree.rules:
            if rule.name.name in seen:
                self.error(
                    "K0401",
                    f"rule `{rule.name.name}` is declared twice",
                    rule.name.span,
                    "second rule of this name",
                    "give it another name",
                )
            seen.add(rule.name.name)
            if not rule.is_active:
                self.warn(
                    "K0502",
                    f"rule `{rule.name.name}` is inactive",
                    rule.name.span,
                    "its body is not compiled",
                    "remove `is inactive`, or the rule",
                )
            elif rule.select is None:
                self.error(
                    "K0501",
                    f"rule `{rule.name.name}` has no `select`",
                    rule.name.span,
                    "nothing can make it fire",
                    "add `select when domain name`, or `is inactive`",
                )
            elif isinstance(rule.select, n.SelectWhen):
                for base in base_events(rule.select.event):
                    self.base(base)

    def base(self, base: n.BaseEvent) -> None:
        if base.setting and not base.matches:
            self.warn(
                "K0503",
                "`setting` without an attribute match",
                base.setting[0].span,
                "nothing is captured, so it is null",
                f"add a match such as `{base.setting[0].name} re#(.*)#` before `setting`",
            )
        if base.where is not None and base.where_before_setting:
            self.warn(
                "K0504",
                "`where` before `setting` is deprecated",
                base.where.span,
                "means the same after `setting`",
                "move `setting(…)` before `where`",
            )
        for node in n.walk(base.where) if base.where is not None else ():
            if not isinstance(node, n.DomainIdentifier):
                continue
            member = MODULES.get(node.domain, {}).get(node.name)
            if member is not None and member.effect in ("waits", "acts"):
                self.error(
                    "K0509",
                    f"`where` may not use `{node.domain}:{node.name}`",
                    node.span,
                    "it waits for something outside" if member.effect == "waits" else "it acts",
                    "test it in the rule's condition instead",
                )

    # --- Single nodes -----------------------------------------------------------------------------

    def node(self, node: n.Node) -> None:
        if isinstance(node, n.Call):
            self.call(node)
        elif isinstance(node, n.Member):
            self.member(node)
        elif isinstance(node, n.Action):
            self.action(node)
        elif isinstance(node, n.ActionBlock):
            self.block(node)
        elif isinstance(node, (n.Function, n.DefAction)):
            self.parameters(node.parameters)
        elif isinstance(node, (n.Assign, n.Clear)):
            self.assign(node)
        elif isinstance(node, n.Regexp):
            warning = slow(node)
            if warning is not None:
                self.found.append(warning)
        elif isinstance(node, n.Guarded) and isinstance(node.statement, n.Declaration):
            self.error(
                "K0602",
                "a declaration cannot be guarded",
                node.statement.span,
                "would leave the name without a value",
                "use a conditional: `name = condition => value | null`",
            )

    def member(self, node: n.Member) -> None:
        """`v.name` that is not the callee of a method call."""
        if id(node) not in self.callees and isinstance(node.member, n.Identifier):
            self.warn(
                "K0704",
                "member access by dot is deprecated",
                node.member.span,
                "reads a key without saying so",
                f'write `{{"{node.member.name}"}}`',
            )

    def call(self, node: n.Call) -> None:
        self.callees.add(id(node.callee))
        self.order(node.arguments)
        callee = node.callee.member if isinstance(node.callee, n.Member) else node.callee
        extra = 1 if isinstance(node.callee, n.Member) else 0
        if isinstance(callee, n.DomainIdentifier):
            self.call_member(node, callee, extra)
        elif isinstance(callee, n.Identifier):
            symbol = self.names.symbols.get(id(callee))
            if symbol is None:
                return
            if symbol.static not in CALLABLE:
                is_action = symbol.static in ("Action", "ActionFunction")
                self.error(
                    "K0606" if is_action else "K0707",
                    f"`{symbol.name}` is not a function",
                    callee.span,
                    "an action" if is_action else f"a {symbol.static.lower()}",
                    *(["perform it in a rule's action block"] if is_action else []),
                )
                return
            params: tuple[str, ...] | None = None
            if symbol.kind == "library":
                params = OPERATORS[symbol.name].params
            elif isinstance(symbol.value, n.Function):
                params = tuple(p.name.name for p in symbol.value.parameters)
            if params is not None:
                self.arity(node, params, extra, symbol.name)

    def call_member(self, node: n.Call, callee: n.DomainIdentifier, extra: int) -> None:
        member = MODULES.get(callee.domain, {}).get(callee.name)
        if member is None:
            return
        name = f"{callee.domain}:{callee.name}"
        if member.kind == "property":
            self.error(
                "K0706",
                f"`{name}` is not a function",
                callee.span,
                "a property, read without parentheses",
                f"write `{name}`",
            )
        elif member.kind == "action":
            self.error(
                "K0606",
                f"`{name}` is not a function",
                callee.span,
                "an action",
                "perform it in a rule's action block",
            )
        else:
            self.arity(node, member.params, extra, name)
        if name == "event:attr":
            self.warn(
                "K0705",
                "`event:attr` is deprecated",
                callee.span,
                "reads one attribute",
                'write `event:attrs{"name"}`',
            )

    def order(self, arguments: tuple[n.Argument, ...]) -> None:
        named = False
        for argument in arguments:
            if argument.name is not None:
                named = True
            elif named:
                self.error(
                    "K0702",
                    "positional argument after a named one",
                    argument.span,
                    "its place is not clear",
                    "name it, or move it before the named ones",
                )

    def arity(
        self, node: n.Call | n.Action, params: tuple[str, ...], extra: int, name: str
    ) -> None:
        """Surplus and unknown arguments are ignored when the code runs, so they are warned of."""
        count = extra + sum(1 for a in node.arguments if a.name is None)
        if count > len(params) and name not in VARIADIC:
            is_given = node.arguments or isinstance(node, n.Action)
            self.warn(
                "K0703",
                f"`{name}` takes {_count(len(params))}",
                node.arguments[-1].span if is_given else node.arguments_span,
                f"{count} given, the last {_count(count - len(params), 'is', 'are')} ignored",
            )
        for argument in node.arguments:
            if argument.name is not None and argument.name.name not in params:
                self.warn(
                    "K0703",
                    f"`{name}` has no parameter `{argument.name.name}`",
                    argument.name.span,
                    "ignored",
                    f"its parameters: {', '.join(params)}" if params else "it has no parameters",
                )

    def parameters(self, parameters: tuple[n.Parameter, ...]) -> None:
        defaulted = False
        for parameter in parameters:
            if parameter.default is not None:
                defaulted = True
            elif defaulted:
                self.error(
                    "K0701",
                    "parameter without a default after one with a default",
                    parameter.span,
                    "needs a default too",
                    f"write `{parameter.name.name} = null`, or move it to the front",
                )

    def block(self, node: n.ActionBlock) -> None:
        if node.kind != "choose":
            return
        for action in node.actions:
            if action.label is None:
                self.error(
                    "K0603",
                    "action without a label inside `choose`",
                    action.span,
                    "can never be chosen",
                    "write `label => action(…)`",
                )

    def action(self, node: n.Action) -> None:
        self.order(node.arguments)
        if len(node.setting) > 1:
            self.error(
                "K0604",
                "more than one name in an action's `setting`",
                node.setting[1].span,
                "an action gives one value",
                "keep one name",
            )
        if isinstance(node.name, n.DomainIdentifier):
            member = MODULES.get(node.name.domain, {}).get(node.name.name)
            if member is not None and member.kind not in ("action", "actionfunction"):
                name = f"{node.name.domain}:{node.name.name}"
                self.error(
                    "K0605",
                    f"`{name}` is not an action",
                    node.name.span,
                    f"a {member.kind}",
                    "use it in `pre` or in an argument",
                )
            elif member is not None:
                self.arity(node, member.params, 0, f"{node.name.domain}:{node.name.name}")
            self.policies(node)
            return
        symbol = self.names.symbols.get(id(node.name))
        if symbol is not None and symbol.static not in PERFORMABLE:
            self.error(
                "K0605",
                f"`{symbol.name}` is not an action",
                node.name.span,
                f"a {symbol.static.lower()}",
                "use it in `pre` or in an argument",
            )
        elif symbol is not None and symbol.kind == "library":
            self.arity(node, OPERATORS[symbol.name].params, 0, symbol.name)
        elif symbol is not None and isinstance(symbol.value, n.DefAction):
            params = tuple(p.name.name for p in symbol.value.parameters)
            self.arity(node, params, 0, symbol.name)

    def policies(self, node: n.Action) -> None:
        """A channel made without policies lets everybody who has its ECI do everything."""
        assert isinstance(node.name, n.DomainIdentifier)
        if (node.name.domain, node.name.name) != ("ctx", "newChannel"):
            return
        params = MODULES["ctx"]["newChannel"].params
        given = set(params[: sum(1 for a in node.arguments if a.name is None)])
        given.update(a.name.name for a in node.arguments if a.name is not None)
        missing = [param for param in params[1:] if param not in given]
        if missing:
            self.warn(
                "K0709",
                f"channel without `{'` and `'.join(missing)}`",
                node.name.span,
                "allows everything to whoever has its ECI",
                'give {"allow": […], "deny": […]} with what its users need',
            )

    def assign(self, node: n.Assign | n.Clear) -> None:
        verb = ":=" if isinstance(node, n.Assign) else "clear"
        if node.target.domain != "ent":
            self.error(
                "K0601",
                f"`{verb}` on `{node.target.domain}:{node.target.name}`",
                node.target.span,
                "only entity variables can be changed",
                f"use `ent:{node.target.name}`",
            )
            return
        if not isinstance(node, n.Assign) or node.path is not None:
            return
        value = node.value
        if (
            isinstance(value, n.Call)
            and isinstance(value.callee, n.Member)
            and isinstance(value.callee.object, n.DomainIdentifier)
            and value.callee.object.domain == "ent"
            and value.callee.object.name == node.target.name
            and isinstance(value.callee.member, n.Identifier)
            and value.callee.member.name == "put"
        ):
            name = node.target.name
            self.warn(
                "K0607",
                f"`ent:{name} := ent:{name}.put(…)` can be said shorter",
                node.target.span,
                "sets one entry",
                f"write `ent:{name}{{key}} := value`",
            )


def _count(count: int, one: str = "argument", more: str = "arguments") -> str:
    return f"{count} {one if count == 1 else more}"
