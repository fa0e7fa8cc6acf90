"""Expressions: IR expressions become Python documents; the ground that code generation stands on.

In: `ir` expressions, the `Source` they came from. Out: `Doc` values, and lines written before the
current one where an expression needs a `def` of its own. Invariants: every document that can fail
when it runs carries its KRL line; nothing is looked up. Not here: statements, rules and tables
(codegen.py).
"""

from __future__ import annotations

import keyword

from krlc import ir
from krlc.diagnostics import Diagnostic
from krlc.names import DOLLAR
from krlc.source import Source, Span
from krlc.writer import Doc, Line, cat, group, words

BOOLEAN = frozenset({"eq", "ne", "lt", "le", "gt", "ge", "member", "like"})
EVENT_FIELDS = {
    "attrs": "attrs",
    "domain": "domain",
    "name": "name",
    "eci": "eci",
    "eid": "eid",
    "time": "time_ms",
}
# Python's tokenizer refuses 200 nested brackets; each IR level opens at most two.
DEPTH_MAX = 90
# It also refuses 100 steps of indentation, and its compiler 20 loops inside each other.
INDENT_MAX = 90
LOOPS_MAX = 20
TEXT_MAX = 72


def quoted(value: str) -> str:
    """A Python string literal in double quotes, as people write it."""
    text = repr(value)
    if text[0] == "'" and '"' not in text:
        return f'"{text[1:-1]}"'
    return text


def abi_name(name: str) -> str:
    """The attribute of the ABI that stands for a library operator."""
    return name + "_" if keyword.iskeyword(name) else name


class Emitter:
    """Lines under construction, and everything about expressions.

    `has_event` tells that the code stands where the variable `event` is in scope; `has_calls` that
    the function being written calls one of KRL by its name.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.out: list[Line] = []
        self.indent = 0
        self.temps = 0
        self.depth = 0
        self.loops = 0
        self.has_event = False
        self.has_calls = False
        self.patterns: dict[tuple[str, str], str] = {}
        self.diagnostics: list[Diagnostic] = []

    # --- Lines ------------------------------------------------------------------------------------

    def line_of(self, span: Span) -> int:
        return self.source.point(span.start).line

    def emit(self, doc: Doc | str, span: Span | None = None) -> None:
        line = 0 if span is None else self.line_of(span)
        if self.indent > INDENT_MAX and span is not None:
            self.too_deep(span)
        self.out.append(Line(self.indent, doc if isinstance(doc, Doc) else cat(doc), line))

    def blank(self, count: int = 1) -> None:
        self.out.extend(Line(0, cat()) for _ in range(count))

    def place(self, span: Span) -> str:
        point = self.source.point(span.start)
        return f"{point.line}:{point.column}"

    def temp(self) -> str:
        self.temps += 1
        return f"_{self.temps}"

    def statement(self, node: ir.Stmt) -> None:
        """Write one statement; code generation proper knows how."""
        raise AssertionError("statements are codegen.py's")

    def unset(self, body: tuple[ir.Stmt, ...]) -> None:
        """Action results that may not be set in every round start as null."""
        for name in sorted(_conditional_binds(body)):
            self.emit(f"{name} = None")

    # --- Functions --------------------------------------------------------------------------------

    def define(
        self,
        name: str,
        closure: ir.Closure | ir.ActionClosure,
        span: Span,
        *,
        cx: str = "",
    ) -> None:
        """Write `def name(parameters): …` at the current place; `cx` comes before them."""
        params: list[str | Doc] = [cx] if cx else []
        params.extend(f"{python}=None" for python, _, _ in closure.parameters)
        self.emit(cat(group(f"def {name}(", [*params, "*_"], ")"), ":"), span)
        had_calls, self.has_calls = self.has_calls, False
        start = len(self.out)
        self.indent += 1
        self.function_body(closure)
        if self.has_calls:
            # Whatever runs long comes by here, or through an operator that counts its rounds: a
            # function that calls none by name does no more than its text, and is not counted.
            self.out.insert(start, Line(self.indent, cat("krl.tick()"), self.line_of(span)))
        self.indent -= 1
        self.has_calls = had_calls

    def function_body(self, closure: ir.Closure | ir.ActionClosure) -> None:
        start = len(self.out)
        for python, _, default in closure.parameters:
            if default is None:
                continue
            self.emit(f"if {python} is None:", default.span)
            self.indent += 1
            self.emit(cat(f"{python} = ", self.expr(default)), default.span)
            self.indent -= 1
        for let in closure.body:
            self.statement(let)
        if isinstance(closure, ir.Closure):
            self.emit(cat("return ", self.expr(closure.result)), closure.result.span)
            return
        self.unset(closure.actions)
        for statement in closure.actions:
            self.statement(statement)
        if closure.result is not None:
            self.emit(cat("return ", self.expr(closure.result)), closure.result.span)
        elif len(self.out) == start:
            self.emit("return None", closure.span)

    def parameter_names(self, name: str, node: ir.Closure) -> None:
        """Keep KRL's parameter names with a function whose Python ones differ: named calls ask."""
        if any(python != krl for python, krl, _ in node.parameters):
            names = tuple_of([quoted(krl) for _, krl, _ in node.parameters])
            self.emit(cat(f"{name}.params = ", names), node.span)

    def closure(self, node: ir.Closure, *, is_callback: bool = False) -> Doc:
        """A function literal: a lambda where it is one expression, else a `def` written before.

        A callback of a library operator is called by position only, so its names do not matter.
        """
        outer, self.out = self.out, []
        # Who calls a function that is a value counts the call.
        had_calls = self.has_calls
        self.indent += 1
        self.function_body(node)
        self.indent -= 1
        self.has_calls = had_calls
        inner, self.out = self.out, outer
        params = ", ".join([f"{python}=None" for python, _, _ in node.parameters] + ["*_"])
        is_plain = is_callback or all(python == krl for python, krl, _ in node.parameters)
        if len(inner) == 1 and is_plain:
            result = Doc(inner[0].doc.parts[1:], inner[0].line)
            return words([f"lambda {params}:", result], self.line_of(node.span))
        name = f"f{self.temp()}"
        self.emit(f"def {name}({params}):", node.span)
        self.out.extend(inner)
        if not is_plain:
            self.parameter_names(name, node)
        return cat(name)

    def action_closure(self, node: ir.ActionClosure, name: str) -> Doc:
        # It acts in the context it was made in, not in that of whoever performs it.
        self.define(name, node, node.span, cx="_cx")
        params = tuple_of([quoted(k) for _, k, _ in node.parameters])
        return group(
            "krl.action_value(", [quoted(name), name, params], ")", self.line_of(node.span)
        )

    # --- Expressions ------------------------------------------------------------------------------

    def expr(self, node: ir.Expr) -> Doc:
        """The Python expression for an IR expression."""
        self.depth += 1
        if self.depth > DEPTH_MAX:
            self.too_deep(node.span)
            self.depth -= 1
            return cat("None")
        doc: Doc = getattr(self, "x_" + type(node).__name__)(node)
        self.depth -= 1
        return doc

    def too_deep(
        self,
        span: Span,
        what: str = "expression",
        label: str = f"more than {DEPTH_MAX} levels",
        hint: str = "give inner parts names of their own",
    ) -> None:
        if not any(d.code == "K0710" for d in self.diagnostics):
            self.diagnostics.append(
                Diagnostic("K0710", f"{what} nested too deeply", span, label, (hint,))
            )

    def test(self, node: ir.Expr) -> Doc:
        """An expression for Python's `if`: truthy exactly when the KRL value is."""
        self.depth += 1
        if self.depth > DEPTH_MAX:
            self.too_deep(node.span)
            self.depth -= 1
            return cat("None")
        doc = self.condition(node)
        self.depth -= 1
        return doc

    def condition(self, node: ir.Expr) -> Doc:
        if isinstance(node, (ir.And, ir.Or)):
            word = "and" if isinstance(node, ir.And) else "or"
            parts: list[str | Doc] = []
            for index, operand in enumerate(node.operands):
                inner = wrapped(self.test(operand))
                parts.append(inner if index == 0 else cat(f"{word} ", inner))
            return words(parts)
        if isinstance(node, ir.Not):
            return cat("not ", wrapped(self.test(node.operand)))
        if isinstance(node, ir.Operation) and node.name in BOOLEAN:
            return self.expr(node)
        if isinstance(node, ir.Const):
            return cat(repr(bool(node.value)))
        return group("krl.truth(", [self.expr(node)], ")", self.line_of(node.span))

    def text(self, value: str) -> Doc:
        """A string literal, in pieces when it is long."""
        if len(value) <= TEXT_MAX:
            return cat(quoted(value))
        pieces: list[str | Doc] = []
        start = 0
        while start < len(value):
            end = value.find("\n", start, start + TEXT_MAX) + 1
            end = end if end > 0 else min(start + TEXT_MAX, len(value))
            pieces.append(quoted(value[start:end]))
            start = end
        return words(pieces)

    def literal(self, value: object) -> Doc:
        """Nested tuples of an automaton table."""
        if isinstance(value, tuple):
            return tuple_of([self.literal(item) for item in value])
        return cat(quoted(value) if isinstance(value, str) else repr(value))

    def x_Const(self, node: ir.Const) -> Doc:
        if isinstance(node.value, str):
            return self.text(node.value)
        if isinstance(node.value, (int, float)) and node.value < 0:
            return cat(f"({node.value!r})")
        return cat(repr(node.value))

    def x_PatternConst(self, node: ir.PatternConst) -> Doc:
        key = (node.source, node.flags)
        name = self.patterns.setdefault(key, f"PATTERN_{len(self.patterns) + 1}")
        return cat(name)

    def x_ArrayOf(self, node: ir.ArrayOf) -> Doc:
        return group("[", [self.expr(item) for item in node.items], "]")

    def x_MapOf(self, node: ir.MapOf) -> Doc:
        entries: list[str | Doc] = [
            cat(self.text(key), ": ", self.expr(value))
            for key, value in zip(node.keys, node.values, strict=True)
        ]
        return group("{", entries, "}")

    def x_Concat(self, node: ir.Concat) -> Doc:
        return group(
            "krl.chevron(", [self.expr(p) for p in node.parts], ")", self.line_of(node.span)
        )

    def x_Local(self, node: ir.Local) -> Doc:
        return cat(node.python)

    def x_GlobalConst(self, node: ir.GlobalConst) -> Doc:
        return cat(node.python)

    def x_GlobalValue(self, node: ir.GlobalValue) -> Doc:
        return group("krl.global_value(", ["cx", str(node.slot)], ")", self.line_of(node.span))

    def x_FunctionValue(self, node: ir.FunctionValue) -> Doc:
        return cat(f"krl.bound(cx, {node.python})")

    def x_ActionValue(self, node: ir.ActionValue) -> Doc:
        return cat(f"krl.bound_action(cx, {node.python})")

    def x_LibraryValue(self, node: ir.LibraryValue) -> Doc:
        if node.name == "klog":
            return cat("krl.bound(cx, krl.klog)")
        return cat(f"krl.operator({quoted(node.name)})")

    def x_Operation(self, node: ir.Operation) -> Doc:
        operands: list[str | Doc] = [self.expr(operand) for operand in node.operands]
        return group(f"krl.{node.name}(", operands, ")", self.line_of(node.span))

    def x_And(self, node: ir.And) -> Doc:
        return self.first_of(node.operands, "if not ")

    def x_Or(self, node: ir.Or) -> Doc:
        return self.first_of(node.operands, "if ")

    def first_of(self, operands: tuple[ir.Expr, ...], word: str) -> Doc:
        """The first operand that decides, else the last one."""
        parts: list[str | Doc] = []
        for operand in operands[:-1]:
            if isinstance(operand, ir.Operation) and operand.name in BOOLEAN:
                name = self.temp()
                check = words([cat(f"{name} := ", self.expr(operand))])
            else:
                name = self.temp()
                check = group("krl.truth(", [cat(f"{name} := ", self.expr(operand))], ")")
            parts.append(cat(name, " ", word, check))
            parts.append("else")
        parts.append(self.expr(operands[-1]))
        return words(parts)

    def x_Not(self, node: ir.Not) -> Doc:
        return words([cat("not ", wrapped(self.test(node.operand)))])

    def x_Pick(self, node: ir.Pick) -> Doc:
        return words(
            [
                self.expr(node.then),
                cat("if ", self.test(node.test)),
                cat("else ", self.expr(node.otherwise)),
            ]
        )

    def x_GetPath(self, node: ir.GetPath) -> Doc:
        line = self.line_of(node.span)
        is_attrs = isinstance(node.object, ir.Builtin) and (
            (node.object.domain, node.object.name) == ("event", "attrs")
        )
        if is_attrs and self.has_event and _is_text(node.path):
            return group("event.attrs.get(", [self.expr(node.path)], ")", line)
        return group("krl.get(", [self.expr(node.object), self.expr(node.path)], ")", line)

    def x_GetIndex(self, node: ir.GetIndex) -> Doc:
        parts: list[str | Doc] = [self.expr(node.object), self.expr(node.index)]
        return group("krl.item(", parts, ")", self.line_of(node.span))

    def x_GetMember(self, node: ir.GetMember) -> Doc:
        parts: list[str | Doc] = [self.expr(node.object), self.expr(node.key)]
        return group("krl.attribute(", parts, ")", self.line_of(node.span))

    def x_CallLibrary(self, node: ir.CallLibrary) -> Doc:
        parts: list[str | Doc] = [
            self.closure(a, is_callback=True) if isinstance(a, ir.Closure) else self.expr(a)
            for a in node.arguments
        ]
        if node.name == "klog":
            parts.insert(0, "cx")
        return group(f"krl.{abi_name(node.name)}(", parts, ")", self.line_of(node.span))

    def x_CallGlobal(self, node: ir.CallGlobal) -> Doc:
        self.has_calls = True
        parts: list[str | Doc] = ["cx", *(self.expr(a) for a in node.arguments)]
        return group(f"{node.python}(", parts, ")", self.line_of(node.span))

    def x_CallLocal(self, node: ir.CallLocal) -> Doc:
        self.has_calls = True
        return group(
            f"{node.python}(", [self.expr(a) for a in node.arguments], ")", self.line_of(node.span)
        )

    def x_CallValue(self, node: ir.CallValue) -> Doc:
        function = self.expr(node.function)
        arguments = [self.expr(a) for a in node.arguments]
        line = self.line_of(node.span)
        if not node.names:
            return group("krl.call(", [function, *arguments], ")", line)
        positional = tuple_of(list(arguments))
        named = self.named(node.names, node.named)
        return group("krl.call_named(", [function, positional, named], ")", line)

    def named(self, names: tuple[str, ...], values: tuple[ir.Expr, ...]) -> Doc:
        entries: list[str | Doc] = [
            cat(f"{quoted(name)}: ", self.expr(value))
            for name, value in zip(names, values, strict=True)
        ]
        return group("{", entries, "}")

    def x_Builtin(self, node: ir.Builtin) -> Doc:
        line = self.line_of(node.span)
        if node.domain == "event" and self.has_event:
            if node.name in EVENT_FIELDS:
                return cat(f"event.{EVENT_FIELDS[node.name]}", line=line)
            if node.name == "attr" and len(node.arguments) == 1 and _is_text(node.arguments[0]):
                return group("event.attrs.get(", [self.expr(node.arguments[0])], ")", line)
        parts: list[str | Doc] = ["cx", *(self.expr(a) for a in node.arguments)]
        return group(f"krl.{node.domain}_{node.name}(", parts, ")", line)

    def x_ModuleValue(self, node: ir.ModuleValue) -> Doc:
        parts: list[str | Doc] = ["cx", quoted(node.alias), quoted(node.name)]
        return group("krl.module_value(", parts, ")", self.line_of(node.span))

    def x_ModuleCall(self, node: ir.ModuleCall) -> Doc:
        arguments = [self.expr(a) for a in node.arguments]
        line = self.line_of(node.span)
        return self.module_call(
            "call", node.alias, node.name, arguments, node.names, node.named, line
        )

    def module_call(
        self,
        verb: str,
        alias: str,
        name: str,
        arguments: list[Doc],
        names: tuple[str, ...],
        named: tuple[ir.Expr, ...],
        line: int,
    ) -> Doc:
        """A call of, or an action by, what a used module provides."""
        self.has_calls = True
        head: list[str | Doc] = ["cx", quoted(alias), quoted(name)]
        if not names:
            return group(f"krl.module_{verb}(", [*head, *arguments], ")", line)
        positional = tuple_of(list(arguments))
        return group(
            f"krl.module_{verb}_named(", [*head, positional, self.named(names, named)], ")", line
        )

    def x_BuiltinValue(self, node: ir.BuiltinValue) -> Doc:
        member = f"krl.{node.domain}_{node.name}"
        if node.kind == "function":
            return cat(f"krl.bound(cx, {member})")
        name = quoted(f"{node.domain}:{node.name}")
        params = tuple_of([quoted(param) for param in node.params])
        return group(f"krl.built_in_{node.kind}(", ["cx", name, member, params], ")")

    def x_EntityGet(self, node: ir.EntityGet) -> Doc:
        return cat(f"cx.ent[{quoted(node.name)}]", line=self.line_of(node.span))

    def x_EntityAt(self, node: ir.EntityAt) -> Doc:
        return group(
            "cx.ent.at(", [quoted(node.name), self.expr(node.path)], ")", self.line_of(node.span)
        )

    def x_Closure(self, node: ir.Closure) -> Doc:
        return self.closure(node)

    def x_ActionClosure(self, node: ir.ActionClosure) -> Doc:
        return self.action_closure(node, f"act{self.temp()}")


def _is_text(node: ir.Expr) -> bool:
    return isinstance(node, ir.Const) and isinstance(node.value, str)


def safe(name: str) -> str:
    return name.replace("$", DOLLAR)


def tuple_of(parts: list[str | Doc]) -> Doc:
    """A tuple display; one element keeps its comma."""
    if len(parts) == 1:
        return group("(", [cat(parts[0])], ",)")
    return group("(", list(parts), ")")


def wrapped(doc: Doc) -> Doc:
    """Parenthesise a test that starts with a word, so that `not` and `and` bind as meant."""
    if doc.parts and doc.parts[0] == "not ":
        return words([doc])
    return doc


def _conditional_binds(body: tuple[ir.Stmt, ...]) -> set[str]:
    """Names bound by actions that may not run, or that a later round must not forget."""
    found: set[str] = set()
    pending: list[tuple[ir.Stmt, bool]] = [(s, False) for s in body]
    while pending:
        statement, is_inner = pending.pop()
        if isinstance(statement, (ir.Perform, ir.ScheduleEvent)):
            if statement.bind is not None and is_inner:
                found.add(statement.bind)
        elif isinstance(statement, ir.Branch):
            pending.extend((s, True) for s in statement.then + statement.otherwise)
        elif isinstance(statement, (ir.Choose, ir.Sample)):
            pending.extend((s, True) for s in statement.cases)
        elif isinstance(statement, (ir.Loop, ir.OnFinal)):
            pending.extend((s, True) for s in statement.body)
    return found
