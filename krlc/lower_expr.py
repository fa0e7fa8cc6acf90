"""Lowering of expressions: nodes become IR, with every name and call decided.

In: expression nodes of a ruleset whose names, modules and checks found no error, and its `Names`.
Out: `ir` expressions, and notes of effects. Invariant: a method call and a plain call mean one
thing here. Not here: statements, rules, rulesets (lower.py).
"""

from __future__ import annotations

from krlc import ir
from krlc import nodes as n
from krlc.diagnostics import Diagnostic
from krlc.effects import Effects
from krlc.library import MODULES, OPERATORS
from krlc.names import Names, Symbol
from krlc.source import Span

INFIX = {
    "+": "add",
    "-": "sub",
    "*": "mul",
    "/": "div",
    "%": "mod",
    "==": "eq",
    "!=": "ne",
    "<": "lt",
    "<=": "le",
    ">": "gt",
    ">=": "ge",
    "<=>": "spaceship",
    "><": "member",
    "like": "like",
    "cmp": "cmp_text",
}
# `append` takes any number of arguments; every other callee ignores what it has no parameter for.
VARIADIC_PARAMS = OPERATORS["append"].params


class ExpressionLowering:
    """What lowering any part of one ruleset needs, and all about expressions."""

    def __init__(self, tree: n.Ruleset, names: Names) -> None:
        self.tree = tree
        self.names = names
        self.diagnostics: list[Diagnostic] = []
        self.slots: dict[str, int] = {}
        self.effects = Effects()
        self.aliases = frozenset(
            item.rid.value if item.alias is None else item.alias.name
            for item in (tree.meta.properties if tree.meta else ())
            if isinstance(item, n.MetaUse)
        )
        self.number_globals()

    def number_globals(self) -> None:
        """Give each global that is computed, and each configured one, its slot."""
        for item in self.tree.meta.properties if self.tree.meta else ():
            if isinstance(item, n.MetaConfigure):
                for declaration in item.declarations:
                    self.slots[declaration.name.name] = len(self.slots)
        for declaration in self.tree.globals:
            value = declaration.value
            if not isinstance(value, (n.Function, n.DefAction)) and not is_literal(value):
                self.slots[declaration.name.name] = len(self.slots)

    def actions(self, block: n.ActionBlock) -> list[ir.Stmt]:
        """The statements of an action block; lower.py knows how."""
        raise AssertionError("actions are lower.py's")

    # --- Expressions ------------------------------------------------------------------------------

    def let(self, declaration: n.Declaration) -> ir.Let:
        python = self.names.of(declaration.name).python
        return ir.Let(declaration.span, python, self.expr(declaration.value))

    def expr(self, node: n.Expression) -> ir.Expr:
        """Lower one expression."""
        method = getattr(self, "x_" + type(node).__name__)
        result: ir.Expr = method(node)
        return result

    def x_Null(self, node: n.Null) -> ir.Expr:
        return ir.Const(node.span, None)

    def x_Boolean(self, node: n.Boolean) -> ir.Expr:
        return ir.Const(node.span, node.value)

    def x_Number(self, node: n.Number) -> ir.Expr:
        return ir.Const(node.span, node.value)

    def x_String(self, node: n.String) -> ir.Expr:
        return ir.Const(node.span, node.value)

    def x_Regexp(self, node: n.Regexp) -> ir.Expr:
        return ir.PatternConst(node.span, node.pattern, node.flags)

    def x_Chevron(self, node: n.Chevron) -> ir.Expr:
        if all(isinstance(part, n.String) for part in node.parts):
            text = "".join(part.value for part in node.parts if isinstance(part, n.String))
            return ir.Const(node.span, text)
        return ir.Concat(node.span, tuple(self.expr(part) for part in node.parts))

    def x_Array(self, node: n.Array) -> ir.Expr:
        return ir.ArrayOf(node.span, tuple(self.expr(item) for item in node.items))

    def x_Map(self, node: n.Map) -> ir.Expr:
        entries: dict[str, ir.Expr] = {}
        for entry in node.entries:
            entries[entry.key.value] = self.expr(entry.value)
        return ir.MapOf(node.span, tuple(entries), tuple(entries.values()))

    def x_Unary(self, node: n.Unary) -> ir.Expr:
        operand = self.expr(node.operand)
        if node.operator == "not":
            return ir.Not(node.span, operand)
        if node.operator == "+":
            return operand
        if isinstance(operand, ir.Const) and type(operand.value) in (int, float) and operand.value:
            return ir.Const(node.span, -operand.value)  # type: ignore[operator]
        return ir.Operation(node.span, "neg", (operand,))

    def x_Infix(self, node: n.Infix) -> ir.Expr:
        if node.operator in ("&&", "||"):
            kind = ir.And if node.operator == "&&" else ir.Or
            left, right = self.expr(node.left), self.expr(node.right)
            operands = left.operands if isinstance(left, kind) else (left,)
            return kind(node.span, (*operands, right))
        operation = INFIX[node.operator]
        left, right = self.expr(node.left), self.expr(node.right)
        if (
            operation == "add"
            and isinstance(node.left, n.Infix)
            and isinstance(left, ir.Operation)
            and left.name == "add"
        ):
            # A chain of `+` is one call: no deep nesting, and long texts grow once.
            return ir.Operation(node.span, "add", (*left.operands, right))
        return ir.Operation(node.span, operation, (left, right))

    def x_Conditional(self, node: n.Conditional) -> ir.Expr:
        return ir.Pick(
            node.span, self.expr(node.test), self.expr(node.consequent), self.expr(node.alternate)
        )

    def x_Path(self, node: n.Path) -> ir.Expr:
        if isinstance(node.object, n.DomainIdentifier) and node.object.domain == "ent":
            self.effects.note("reads")
            return ir.EntityAt(node.span, node.object.name, self.expr(node.path))
        return ir.GetPath(node.span, self.expr(node.object), self.expr(node.path))

    def x_Index(self, node: n.Index) -> ir.Expr:
        return ir.GetIndex(node.span, self.expr(node.object), self.expr(node.index))

    def x_Member(self, node: n.Member) -> ir.Expr:
        if isinstance(node.member, n.Identifier):
            key: ir.Expr = ir.Const(node.member.span, node.member.name)
        else:
            key = self.expr(node.member)
        return ir.GetMember(node.span, self.expr(node.object), key)

    def x_Identifier(self, node: n.Identifier) -> ir.Expr:
        symbol = self.names.of(node)
        if symbol.kind == "library":
            if symbol.name == "__testing":
                return ir.Builtin(node.span, "meta", "testing", ())
            return ir.LibraryValue(node.span, symbol.name)
        if symbol.kind not in ("global", "configure"):
            return ir.Local(node.span, symbol.python)
        return self.global_value(node, symbol)

    def global_value(self, node: n.Identifier, symbol: Symbol) -> ir.Expr:
        if symbol.name in self.slots:
            self.effects.calls(symbol.python)
            return ir.GlobalValue(node.span, symbol.name, self.slots[symbol.name])
        if isinstance(symbol.value, n.Function):
            self.effects.calls(symbol.python)
            return ir.FunctionValue(node.span, symbol.python)
        if isinstance(symbol.value, n.DefAction):
            self.effects.note("reads")  # it is bound to the context of this ruleset
            return ir.ActionValue(node.span, symbol.python)
        return ir.GlobalConst(node.span, symbol.python)

    def x_DomainIdentifier(self, node: n.DomainIdentifier) -> ir.Expr:
        if node.domain == "ent":
            self.effects.note("reads")
            return ir.EntityGet(node.span, node.name)
        if node.domain in self.aliases:
            self.effects.note("reads")
            return ir.ModuleValue(node.span, node.domain, node.name)
        member = MODULES[node.domain][node.name]
        if member.kind == "property":
            return self.builtin(node, ())
        # Naming it does nothing yet, but whoever gets it may call or perform it.
        self.effects.note(member.effect)
        if node.domain == "stdlib":
            return ir.LibraryValue(node.span, node.name)
        return ir.BuiltinValue(node.span, node.domain, node.name, member.kind, member.params)

    def builtin(
        self, node: n.DomainIdentifier, arguments: tuple[n.Argument, ...], *first: ir.Expr
    ) -> ir.Expr:
        member = MODULES[node.domain][node.name]
        self.effects.note(member.effect)
        if node.domain == "stdlib":
            given = self.arranged(arguments, member.params, first)
            return self.library_call(node.span, node.name, given)
        lowered = self.arranged(arguments, member.params, first)
        return ir.Builtin(node.span, node.domain, node.name, lowered)

    # --- Calls ------------------------------------------------------------------------------------

    def x_Call(self, node: n.Call) -> ir.Expr:
        callee = node.callee
        first: tuple[ir.Expr, ...] = ()
        if isinstance(callee, n.Member):
            if isinstance(callee.member, n.DomainIdentifier) and callee.member.domain == "ent":
                first = (self.expr(callee.object),)
                positional, names, named = self.split(node.arguments)
                function = self.expr(callee.member)
                return ir.CallValue(node.span, function, first + positional, names, named)
            first = (self.expr(callee.object),)
            callee = callee.member
        if isinstance(callee, n.DomainIdentifier) and callee.domain in self.aliases:
            self.effects.note("reads")
            positional, names, named = self.split(node.arguments)
            return ir.ModuleCall(
                node.span, callee.domain, callee.name, first + positional, names, named
            )
        if isinstance(callee, n.DomainIdentifier) and callee.domain != "ent":
            return self.builtin(callee, node.arguments, *first)
        if isinstance(callee, n.Identifier):
            return self.call_name(node, callee, first)
        positional, names, named = self.split(node.arguments)
        return ir.CallValue(node.span, self.expr(callee), first + positional, names, named)

    def call_name(self, node: n.Call, callee: n.Identifier, first: tuple[ir.Expr, ...]) -> ir.Expr:
        symbol = self.names.of(callee)
        if symbol.kind == "library":
            arguments = self.arranged(node.arguments, OPERATORS[symbol.name].params, first)
            self.effects.note(OPERATORS[symbol.name].effect)
            return self.library_call(node.span, symbol.name, arguments)
        if isinstance(symbol.value, n.Function):
            params = tuple(p.name.name for p in symbol.value.parameters)
            arguments = self.arranged(node.arguments, params, first)
            if symbol.kind == "global":
                self.effects.calls(symbol.python)
                return ir.CallGlobal(node.span, symbol.python, arguments)
            return ir.CallLocal(node.span, symbol.python, arguments)
        positional, names, named = self.split(node.arguments)
        return ir.CallValue(node.span, self.expr(callee), first + positional, names, named)

    def library_call(self, span: Span, name: str, given: tuple[ir.Expr, ...]) -> ir.Expr:
        """Call an operator; `like` and `cmp` are also infix, so their code wants both operands."""
        required = OPERATORS[name].required
        if required == 2:
            given += (ir.Const(span, None),) * (required - len(given))
        return ir.CallLibrary(span, name, given)

    def split(
        self, arguments: tuple[n.Argument, ...]
    ) -> tuple[tuple[ir.Expr, ...], tuple[str, ...], tuple[ir.Expr, ...]]:
        """Positional values, then names and values of the named ones."""
        positional = tuple(self.expr(a.value) for a in arguments if a.name is None)
        named = [(a.name.name, self.expr(a.value)) for a in arguments if a.name is not None]
        return positional, tuple(k for k, _ in named), tuple(v for _, v in named)

    def arranged(
        self,
        arguments: tuple[n.Argument, ...],
        params: tuple[str, ...],
        first: tuple[ir.Expr, ...],
    ) -> tuple[ir.Expr, ...]:
        """Arguments in parameter order; a gap before a given one is null, unknown names go.

        Source: language reference 9.1: a named argument beats the positional one of the same
        parameter.
        """
        positional, names, named = self.split(arguments)
        positional = first + positional
        if not names:
            return positional if params == VARIADIC_PARAMS else positional[: len(params)]
        by_name = dict(zip(names, named, strict=True))
        placed: list[ir.Expr | None] = list(positional[: len(params)])
        for index, param in enumerate(params):
            if param in by_name:
                placed.extend([None] * (index + 1 - len(placed)))
                placed[index] = by_name[param]
        span = arguments[0].span if arguments else Span(0, 0)
        return tuple(ir.Const(span, None) if item is None else item for item in placed)

    # --- Functions --------------------------------------------------------------------------------

    def parameters(
        self, parameters: tuple[n.Parameter, ...]
    ) -> tuple[tuple[str, str, ir.Expr | None], ...]:
        return tuple(
            (
                self.names.of(p.name).python,
                p.name.name,
                None if p.default is None else self.expr(p.default),
            )
            for p in parameters
        )

    def x_Function(self, node: n.Function) -> ir.Expr:
        return self.closure(node)

    def closure(self, node: n.Function) -> ir.Closure:
        parameters = self.parameters(node.parameters)
        body = tuple(self.let(d) for d in node.body)
        return ir.Closure(node.span, parameters, body, self.expr(node.result))

    def x_DefAction(self, node: n.DefAction) -> ir.Expr:
        # What the literal does, it does when it is performed, not where it is made; but it is
        # bound to the context it is made in.
        self.effects.note("reads")
        with self.effects.inside(f"defaction at {node.span.start}"):
            return self.action_closure(node)

    def action_closure(self, node: n.DefAction) -> ir.ActionClosure:
        parameters = self.parameters(node.parameters)
        body = tuple(self.let(d) for d in node.body)
        actions: list[ir.Stmt] = []
        if node.action_block is not None:
            actions = self.actions(node.action_block)
            if node.action_block.condition is not None:
                test = self.expr(node.action_block.condition)
                actions = [ir.Branch(node.action_block.span, test, tuple(actions), ())]
        result = None if node.result is None else self.expr(node.result)
        return ir.ActionClosure(node.span, parameters, body, tuple(actions), result)


def is_literal(node: n.Expression) -> bool:
    """True for values that are known without running anything."""
    pending: list[n.Node] = [node]
    while pending:
        current = pending.pop()
        if isinstance(current, (n.Array, n.Map, n.MapEntry)):
            pending.extend(n.children(current))
        elif isinstance(current, n.Chevron):
            if not all(isinstance(part, n.String) for part in current.parts):
                return False
        elif not isinstance(current, (n.Null, n.Boolean, n.Number, n.String, n.Regexp)):
            return False
    return True
