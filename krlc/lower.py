"""Lowering: checked nodes become IR, with every construct that has no code yet refused by name.

In: a `Ruleset` whose names, modules and checks found no error, its `Names`, and the automaton of
each rule. Out: an `ir.Module` and diagnostics (K0414, K0507).
Invariants: spans are copied; nothing is dropped silently; a construct means one thing here,
whatever spelling it had (method call or plain call, `fired` with `else` or `notfired`).
"""

from __future__ import annotations

from krlc import ir
from krlc import nodes as n
from krlc.automata import Automaton
from krlc.diagnostics import Diagnostic
from krlc.library import MODULES, OPERATORS
from krlc.lower_expr import ExpressionLowering
from krlc.names import Names, base_events

UNIT_MS = {
    "second": 1_000,
    "minute": 60_000,
    "hour": 3_600_000,
    "day": 86_400_000,
    "week": 7 * 86_400_000,
    "month": 30 * 86_400_000,
    "year": 365 * 86_400_000,
}
# Entity variables stored piecemeal: operator -> number of arguments of the recognised form.
CHANGES = {"append": 1, "put": 2, "delete": 1}


def lower(
    tree: n.Ruleset, names: Names, automata: dict[str, Automaton]
) -> tuple[ir.Module, list[Diagnostic]]:
    """Lower one ruleset."""
    lowering = _Lowering(tree, names, automata)
    return lowering.module(), lowering.diagnostics


class _Lowering(ExpressionLowering):
    def __init__(self, tree: n.Ruleset, names: Names, automata: dict[str, Automaton]) -> None:
        super().__init__(tree, names)
        self.automata = automata
        self.flags: tuple[str, ...] = ()

    # --- The ruleset ------------------------------------------------------------------------------

    def module(self) -> ir.Module:
        shares: list[str] = []
        provides: list[str] = []
        uses: list[ir.Use] = []
        configured: set[str] = set()
        errors_to = None
        declarations: list[n.Declaration] = []
        for item in self.tree.meta.properties if self.tree.meta else ():
            if isinstance(item, n.MetaUse):
                uses.append(self.use(item, len(uses) + 1))
            elif isinstance(item, n.MetaErrors):
                errors_to = item.rid.value
            elif isinstance(item, n.MetaConfigure):
                declarations.extend(item.declarations)
                configured.update(d.name.name for d in item.declarations)
            elif isinstance(item, n.MetaNames):
                target = shares if item.kind == "shares" else provides
                target.extend(i.name for i in item.names if i.name not in target)
        declarations.extend(self.tree.globals)
        lowered = tuple(self.global_(d, d.name.name in configured) for d in declarations)
        rules = tuple(self.rule(rule) for rule in self.tree.rules if rule.is_active)
        effects = self.effects.solve()
        lowered = tuple(_with_effect(item, effects.get(item.python, "pure")) for item in lowered)
        self.check_shared(shares, effects)
        return ir.Module(
            self.tree.span,
            self.tree.rid.value,
            lowered,
            tuple(shares),
            tuple(provides),
            tuple(uses),
            errors_to,
            rules,
            tuple(sorted(effects.items())),
        )

    def check_shared(self, shares: list[str], effects: dict[str, str]) -> None:
        """A shared function answers queries, so it may not act."""
        for item in self.tree.meta.properties if self.tree.meta else ():
            if not isinstance(item, n.MetaNames) or item.kind != "shares":
                continue
            for name in item.names:
                symbol = self.names.of(name)
                if symbol.static == "Function" and effects.get(symbol.python) == "acts":
                    self.diagnostics.append(
                        Diagnostic(
                            "K0414",
                            f"shared function `{name.name}` acts",
                            name.span,
                            "a query can change nothing",
                            ("move the action into a rule and raise an event instead",),
                        )
                    )

    def use(self, item: n.MetaUse, number: int) -> ir.Use:
        """One used module; its configuration is computed in this ruleset."""
        alias = item.rid.value if item.alias is None else item.alias.name
        with self.effects.inside(f"use {alias}"):
            configured = tuple(
                (d.name.name, f"with_{number}_{index}", self.expr(d.value))
                for index, d in enumerate(item.configuration, 1)
            )
        return ir.Use(item.span, item.rid.value, alias, configured)

    def global_(
        self, declaration: n.Declaration, is_configured: bool
    ) -> ir.Function | ir.Action | ir.Value:
        symbol = self.names.of(declaration.name)
        value = declaration.value
        with self.effects.inside(symbol.python):
            if is_configured:
                # What it is depends on who uses this ruleset, so nothing that reads it is pure.
                self.effects.note("reads")
                default = self.expr(value)
                return ir.Value(
                    declaration.span,
                    symbol.name,
                    symbol.python,
                    default,
                    self.slots[symbol.name],
                    "reads",
                    True,
                )
            if isinstance(value, n.Function):
                return ir.Function(
                    declaration.span, symbol.name, symbol.python, self.closure(value), "pure"
                )
            if isinstance(value, n.DefAction):
                return ir.Action(
                    declaration.span, symbol.name, symbol.python, self.action_closure(value), "acts"
                )
            lowered = self.expr(value)
        return ir.Value(
            declaration.span,
            symbol.name,
            symbol.python,
            lowered,
            self.slots.get(symbol.name),
            "pure",
            False,
        )

    # --- Rules ------------------------------------------------------------------------------------

    def rule(self, rule: n.Rule) -> ir.Rule:
        automaton = self.automata[rule.name.name]
        with self.effects.inside("rule " + rule.name.name):
            matchers, registers = self.matchers(rule, automaton)
            within_ms, within = self.within(rule)
            self.flags = ()
            body = self.body(rule)
        return ir.Rule(
            rule.span,
            rule.name.name,
            automaton.salience,
            automaton.table,
            automaton.is_trivial,
            automaton.hash,
            matchers,
            registers,
            within_ms,
            within,
            body,
        )

    def matchers(
        self, rule: n.Rule, automaton: Automaton
    ) -> tuple[tuple[ir.Matcher, ...], tuple[str, ...]]:
        if isinstance(rule.select, n.SelectWhere):
            condition = self.expr(rule.select.condition)
            name = f"match_{rule.name.name}_1"
            return (ir.Matcher(rule.select.span, name, (), (), 0, condition, (), True),), ()
        assert isinstance(rule.select, n.SelectWhen)
        python: dict[str, str] = {}
        for base in base_events(rule.select.event):
            for identifier in base.setting + (base.aggregator.names if base.aggregator else ()):
                python[identifier.name] = self.names.of(identifier).python
        registers = tuple(python[name] for name in automaton.settings)
        matchers: list[ir.Matcher] = []
        for number, base in enumerate(automaton.bases, 1):
            patterns = tuple((m.key.name, self.expr(m.value)) for m in base.matches)
            where = None if base.where is None else self.expr(base.where)
            own = tuple(self.names.of(i).python for i in base.setting)
            saved: tuple[tuple[int, str], ...] = ()
            if base.where is not None:
                read = {self.names.of(i).python for i in _identifiers(base.where, self.names)}
                saved = tuple(
                    (index, name)
                    for index, name in enumerate(registers)
                    if name in read and name not in own
                )
            captures = len(base.aggregator.names) if base.aggregator else 0
            matchers.append(
                ir.Matcher(
                    base.span,
                    f"match_{rule.name.name}_{number}",
                    patterns,
                    own,
                    captures,
                    where,
                    saved,
                    False,
                )
            )
        return tuple(matchers), registers

    def within(self, rule: n.Rule) -> tuple[float | None, ir.Expr | None]:
        if not isinstance(rule.select, n.SelectWhen) or rule.select.within is None:
            return None, None
        within = rule.select.within
        factor = UNIT_MS[within.unit]
        if isinstance(within.limit, n.Number):
            limit = within.limit.value * factor
            return (int(limit) if limit == int(limit) else limit), None
        if isinstance(within.limit, (n.String, n.Null, n.Boolean, n.Array, n.Map, n.Function)):
            self.diagnostics.append(
                Diagnostic(
                    "K0507",
                    "the `within` limit is not a number",
                    within.limit.span,
                    "must be a number of " + within.unit + "s",
                )
            )
            return None, None
        product = ir.Operation(
            within.span, "mul", (self.expr(within.limit), ir.Const(within.span, factor))
        )
        return None, product

    def body(self, rule: n.Rule) -> tuple[ir.Stmt, ...]:
        needs_final = rule.postlude is not None and any(
            isinstance(s, n.Guarded) and s.condition is None
            for block in (rule.postlude.fired, rule.postlude.notfired, rule.postlude.always)
            for s in block or ()
        )
        flags = tuple(f"final_{i}" for i in range(1, len(rule.foreach) + 1)) if needs_final else ()
        self.flags = flags
        headers = [self.expr(loop.expression) for loop in rule.foreach]
        inner: list[ir.Stmt] = [self.let(d) for d in rule.pre]
        inner.extend(self.actions_and_postlude(rule))
        body = tuple(inner)
        for index in range(len(rule.foreach) - 1, -1, -1):
            loop = rule.foreach[index]
            names = tuple(self.names.of(name).python for name in loop.names)
            flag = flags[index] if flags else None
            body = (ir.Loop(loop.span, headers[index], names, flag, body),)
        return body

    def actions_and_postlude(self, rule: n.Rule) -> list[ir.Stmt]:
        """Actions, then `fired` or `notfired`, then `always`; one branch serves both."""
        block, postlude = rule.action_block, rule.postlude
        actions = self.actions(block) if block is not None else []
        fired = self.statements(postlude.fired) if postlude else []
        notfired = self.statements(postlude.notfired) if postlude else []
        always = self.statements(postlude.always) if postlude else []
        if block is not None and block.condition is not None:
            test = self.expr(block.condition)
            unfired = ir.Unfired(block.condition.span, bool(rule.foreach))
            branch = ir.Branch(block.span, test, tuple(actions + fired), (unfired, *notfired))
            return [branch, *always]
        return actions + fired + always

    def actions(self, block: n.ActionBlock) -> list[ir.Stmt]:
        performs = [self.perform(action) for action in block.actions]
        if block.kind == "choose":
            assert block.discriminant is not None
            labels = tuple(a.label.name if a.label else "" for a in block.actions)
            discriminant = self.expr(block.discriminant)
            return [ir.Choose(block.span, discriminant, labels, tuple(performs))]
        if block.kind == "sample":
            return [ir.Sample(block.span, tuple(performs))]
        return list(performs)

    def perform(self, action: n.Action) -> ir.Stmt:
        self.effects.note("acts")
        bind = self.names.of(action.setting[0]).python if action.setting else None
        if isinstance(action.name, n.DomainIdentifier) and action.name.domain in self.aliases:
            positional, names, named = self.split(action.arguments)
            target = f"{action.name.domain}:{action.name.name}"
            return ir.Perform(action.span, "module", target, None, positional, names, named, bind)
        if isinstance(action.name, n.DomainIdentifier):
            how, target, value = "builtin", f"{action.name.domain}:{action.name.name}", None
            member = MODULES[action.name.domain][action.name.name]
            arguments = self.arranged(action.arguments, member.params, ())
            return ir.Perform(action.span, how, target, value, arguments, (), (), bind)
        symbol = self.names.of(action.name)
        if symbol.kind == "library":
            arguments = self.arranged(action.arguments, OPERATORS[symbol.name].params, ())
            return ir.Perform(action.span, "library", symbol.name, None, arguments, (), (), bind)
        if isinstance(symbol.value, n.DefAction):
            self.effects.calls(symbol.python)
            params = tuple(p.name.name for p in symbol.value.parameters)
            arguments = self.arranged(action.arguments, params, ())
            how = "global" if symbol.kind == "global" else "local"
            return ir.Perform(action.span, how, symbol.python, None, arguments, (), (), bind)
        positional, names, named = self.split(action.arguments)
        value = self.expr(action.name)
        return ir.Perform(action.span, "value", "", value, positional, names, named, bind)

    # --- Postlude ---------------------------------------------------------------------------------

    def statements(self, statements: tuple[n.Statement, ...] | None) -> list[ir.Stmt]:
        return [self.statement(s) for s in statements or ()]

    def statement(self, node: n.Statement) -> ir.Stmt:
        if isinstance(node, n.Guarded):
            inner = self.statement(node.statement)
            if node.condition is None:
                return ir.OnFinal(node.span, self.flags, (inner,))
            return ir.Branch(node.span, self.expr(node.condition), (inner,), ())
        if isinstance(node, n.Declaration):
            return self.let(node)
        self.effects.note("acts")
        if isinstance(node, n.Assign):
            return self.assign(node)
        if isinstance(node, n.Clear):
            path = None if node.path is None else self.expr(node.path)
            return ir.ClearEntity(node.span, node.target.name, path)
        if isinstance(node, n.Raise):
            return ir.RaiseEvent(
                node.span,
                None if node.event.domain is None else node.event.domain.name,
                self.expr(node.event.expression),
                None if node.for_rid is None else self.expr(node.for_rid),
                None if node.attributes is None else self.expr(node.attributes),
            )
        if isinstance(node, n.Log):
            return ir.LogValue(node.span, node.level, self.expr(node.expression))
        if isinstance(node, n.Error):
            return ir.RaiseError(node.span, node.level, self.expr(node.expression))
        if isinstance(node, n.Schedule):
            return self.schedule(node)
        return ir.Last(node.span)

    def schedule(self, node: n.Schedule) -> ir.Stmt:
        when = node.repeat if node.at is None else node.at
        assert when is not None
        return ir.ScheduleEvent(
            node.span,
            "repeat" if node.at is None else "at",
            None if node.event.domain is None else node.event.domain.name,
            self.expr(node.event.expression),
            self.expr(when),
            None if node.attributes is None else self.expr(node.attributes),
            None if node.setting is None else self.names.of(node.setting).python,
        )

    def assign(self, node: n.Assign) -> ir.Stmt:
        name = node.target.name
        if node.path is not None:
            return ir.SetEntityAt(node.span, name, self.expr(node.path), self.expr(node.value))
        change = self.change(node)
        if change is not None:
            return change
        return ir.SetEntity(node.span, name, self.expr(node.value))

    def change(self, node: n.Assign) -> ir.Stmt | None:
        """Recognise `ent:x := ent:x.append(v)` and its like, which store one entry only."""
        value = node.value
        if not isinstance(value, n.Call) or not isinstance(value.callee, n.Member):
            return None
        member = value.callee.member
        if not isinstance(member, n.Identifier) or any(a.name for a in value.arguments):
            return None
        receiver = value.callee.object
        default: n.Expression | None = None
        if self.is_library_method(receiver, "defaultsTo", 1):
            assert isinstance(receiver, n.Call)
            assert isinstance(receiver.callee, n.Member)
            default = receiver.arguments[0].value
            receiver = receiver.callee.object
        is_own = (
            isinstance(receiver, n.DomainIdentifier)
            and receiver.domain == "ent"
            and receiver.name == node.target.name
        )
        if (
            not is_own
            or CHANGES.get(member.name) != len(value.arguments)
            or self.names.of(member).kind != "library"
        ):
            return None
        arguments = tuple(self.expr(a.value) for a in value.arguments)
        lowered = None if default is None else self.expr(default)
        return ir.ChangeEntity(node.span, node.target.name, member.name, arguments, lowered)

    def is_library_method(self, node: n.Expression, name: str, count: int) -> bool:
        """Whether an expression is `something.name(…)` with so many positional arguments."""
        if not isinstance(node, n.Call) or not isinstance(node.callee, n.Member):
            return False
        member = node.callee.member
        return (
            isinstance(member, n.Identifier)
            and member.name == name
            and self.names.of(member).kind == "library"
            and len(node.arguments) == count
            and not any(argument.name for argument in node.arguments)
        )


def _with_effect(
    item: ir.Function | ir.Action | ir.Value, effect: str
) -> ir.Function | ir.Action | ir.Value:
    if isinstance(item, ir.Function):
        return ir.Function(item.span, item.name, item.python, item.closure, effect)
    if isinstance(item, ir.Value):
        return ir.Value(
            item.span, item.name, item.python, item.value, item.slot, effect, item.is_configured
        )
    return item


def _identifiers(node: n.Node, names: Names) -> list[n.Identifier]:
    """All uses of names inside a node."""
    return [
        inner
        for inner in n.walk(node)
        if isinstance(inner, n.Identifier) and id(inner) in names.symbols
    ]
