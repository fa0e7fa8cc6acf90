"""Code generation: IR becomes the Python text of one module.

In: an `ir.Module`, its `Source`. Out: `Written` (text, line table, marks). Invariants: plain
synchronous functions; the ABI is the only import; one function a rule and a KRL function; same
input, same bytes. Names and calls are decided already: nothing is looked up here. A construct that
nests too deeply for Python's own parser is refused with K0710.
"""

from __future__ import annotations

from krlc import ir
from krlc.diagnostics import Diagnostic
from krlc.emit import LOOPS_MAX, Emitter, abi_name, quoted, safe, tuple_of, wrapped
from krlc.source import Source
from krlc.version import VERSION
from krlc.writer import Doc, Written, cat, group, words, write

# Python nests each `elif` in the one before it, so a chain begins anew after so many.
CHAIN_MAX = 100


def generate(module: ir.Module, source: Source) -> tuple[Written, list[Diagnostic]]:
    """Generate the module of one ruleset."""
    generator = _Generator(source)
    generator.module(module)
    return write(generator.out), generator.diagnostics


class _Generator(Emitter):
    # --- The module -------------------------------------------------------------------------------

    def module(self, module: ir.Module) -> None:
        body, self.out = self.out, []
        functions = [g for g in module.globals if not _is_constant(g)]
        constants = [g for g in module.globals if _is_constant(g)]
        for constant in constants:
            assert isinstance(constant, ir.Value)
            self.emit(cat(f"{constant.python} = ", self.expr(constant.value)), constant.span)
        constant_lines, self.out = self.out, []
        for use in module.uses:
            self.use(use)
        for item in functions:
            self.global_(item)
        for rule in module.rules:
            self.rule(rule)
        unit_lines, self.out = self.out, body
        short = self.source.hash[:16]
        self.emit(f"# krlc {VERSION} from {self.source.name} (sha256 {short}…). Do not edit.")
        self.emit("from runtime.abi import v1 as krl")
        self.blank()
        for (pattern, flags), name in self.patterns.items():
            self.emit(group(f"{name} = krl.pattern(", [self.text(pattern), quoted(flags)], ")"))
        self.out.extend(constant_lines)
        if self.patterns or constant_lines:
            self.blank()
        self.out.extend(unit_lines)
        self.tables(module)

    def tables(self, module: ir.Module) -> None:
        rows: list[str | Doc] = []
        uses = [
            group(
                "krl.use(",
                [
                    quoted(use.rid),
                    quoted(use.alias),
                    tuple_of([f"({quoted(name)}, {fn})" for name, fn, _ in use.configured]),
                ],
                ")",
            )
            for use in module.uses
        ]
        for item in module.globals:
            if isinstance(item, (ir.Function, ir.Action)):
                kind = "function" if isinstance(item, ir.Function) else "action"
                params = group("(", [quoted(k) for _, k, _ in item.closure.parameters], _end(item))
                rows.append(
                    group(
                        f"krl.{kind}(",
                        [quoted(item.name), item.python, params, quoted(item.effect)],
                        ")",
                    )
                )
            elif item.slot is None:
                rows.append(f"krl.constant({quoted(item.name)}, {item.python})")
            else:
                rows.append(
                    f"krl.{'configured' if item.is_configured else 'computed'}("
                    f"{quoted(item.name)}, global_{item.slot + 1}, {item.slot}, "
                    f"{quoted(item.effect)})"
                )
        self.emit(f"RID = {quoted(module.rid)}")
        errors_to = "None" if module.errors_to is None else quoted(module.errors_to)
        self.emit(f"ERRORS_TO = {errors_to}")
        self.emit(cat("SHARES = ", tuple_of([quoted(s) for s in module.shares])))
        self.emit(cat("PROVIDES = ", tuple_of([quoted(s) for s in module.provides])))
        self.emit(cat("USES = ", tuple_of(list(uses))))
        self.emit(cat("GLOBALS = ", tuple_of(rows)))
        self.emit(cat("RULES = ", tuple_of([self.rule_row(rule) for rule in module.rules])))

    def rule_row(self, rule: ir.Rule) -> Doc:
        point = self.source.point(rule.span.start)
        salience: str | Doc = "None"
        if rule.salience is not None:
            salience = tuple_of([f"({quoted(d)}, {quoted(e)})" for d, e in rule.salience])
        parts: list[str | Doc] = [
            quoted(rule.name),
            f"rule_{safe(rule.name)}",
            salience,
            f"at=({point.line}, {point.column})",
            f"hash={quoted(rule.hash)}",
        ]
        if not rule.is_trivial:
            parts.append(f"table=EVENT_{safe(rule.name)}")
        if rule.matchers:
            matchers = tuple_of([safe(m.name) for m in rule.matchers])
            parts.append(cat("matchers=", matchers))
        if rule.within_ms is not None:
            parts.append(f"within_ms={rule.within_ms!r}")
        if rule.within is not None:
            parts.append(f"within=within_{safe(rule.name)}")
        return group("krl.rule(", parts, ")")

    def use(self, use: ir.Use) -> None:
        """The functions that compute what a used module is configured with."""
        for name, python, value in use.configured:
            self.emit(f"# {self.place(use.span)} {name} of module {use.alias}")
            self.emit(f"def {python}(cx):", value.span)
            self.indent += 1
            self.emit(cat("return ", self.expr(value)), value.span)
            self.indent -= 1
            self.blank()

    def global_(self, item: ir.Function | ir.Action | ir.Value) -> None:
        kind = type(item).__name__.lower()
        self.emit(f"# {self.place(item.span)} {kind} {item.name}")
        if isinstance(item, (ir.Function, ir.Action)):
            self.define(item.python, item.closure, item.span, cx="cx")
        else:
            assert item.slot is not None
            self.emit(f"def global_{item.slot + 1}(cx):", item.span)
            self.indent += 1
            value = self.expr(item.value)
            self.emit(cat("return ", value), item.value.span)
            self.indent -= 1
        self.blank()

    # --- Rules ------------------------------------------------------------------------------------

    def rule(self, rule: ir.Rule) -> None:
        name = safe(rule.name)
        if not rule.is_trivial:
            self.emit(f"# {self.place(rule.span)} event expression of rule {rule.name}")
            self.emit(cat(f"EVENT_{name} = ", self.literal(rule.table)))
        for matcher in rule.matchers:
            self.matcher(matcher)
        if rule.within is not None:
            self.emit(f"def within_{name}(cx):", rule.within.span)
            self.indent += 1
            self.emit(cat("return ", self.expr(rule.within)), rule.within.span)
            self.indent -= 1
            self.blank()
        self.emit(f"# {self.place(rule.span)} rule {rule.name}")
        self.has_event = True
        self.emit(f"def rule_{name}(cx, event, settings):", rule.span)
        self.indent += 1
        start = len(self.out)
        if rule.settings:
            comma = "," if len(rule.settings) == 1 else ""
            self.emit(f"{', '.join(rule.settings)}{comma} = settings", rule.span)
        self.unset(rule.body)
        for statement in rule.body:
            self.statement(statement)
        if len(self.out) == start:
            self.emit("return", rule.span)
        self.indent -= 1
        self.has_event = False
        self.blank()

    def matcher(self, matcher: ir.Matcher) -> None:
        self.emit(f"# {self.place(matcher.span)} what this event must hold")
        self.has_event = True
        attrs = safe(matcher.name).replace("match_", "ATTRS_", 1)
        is_constant = all(isinstance(p, ir.PatternConst) for _, p in matcher.patterns)
        if matcher.patterns and is_constant:
            pairs = [
                group("(", [quoted(key), self.expr(p)], ")", self.line_of(p.span))
                for key, p in matcher.patterns
            ]
            self.emit(cat(f"{attrs} = ", tuple_of(list(pairs))))
        self.emit(f"def {safe(matcher.name)}(cx, event, saved):", matcher.span)
        self.indent += 1
        count = max(len(matcher.setting), matcher.captures)
        if matcher.patterns:
            pairs_doc: str | Doc = attrs
            if not is_constant:
                pairs_doc = tuple_of(
                    [group("(", [quoted(k), self.expr(p)], ")") for k, p in matcher.patterns]
                )
            call = group("krl.captures(", ["event.attrs", pairs_doc, str(count)], ")")
            self.emit(cat("captures = ", call), matcher.span)
            self.emit("if captures is None:", matcher.span)
            self.emit("    return None")
        elif count:
            self.emit(f"captures = (None,) * {count}", matcher.span)
        if matcher.where is not None:
            for index, python in enumerate(matcher.setting):
                self.emit(f"{python} = captures[{index}]", matcher.span)
            for index, python in matcher.saved:
                self.emit(f"{python} = saved[{index}]", matcher.span)
            if matcher.is_exact and isinstance(matcher.where, ir.Const):
                # Python warns of `is` with a literal.
                self.emit(f"if {matcher.where.value is not True}:", matcher.where.span)
            elif matcher.is_exact:
                value = self.expr(matcher.where)
                self.emit(cat("if ", words([value, "is not True"]), ":"), matcher.where.span)
            else:
                test = self.test(matcher.where)
                self.emit(cat("if not ", wrapped(test), ":"), matcher.where.span)
            self.emit("    return None")
        own, also = len(matcher.setting), matcher.captures
        if not count:
            self.emit("return ()", matcher.span)
        elif own and also:
            self.emit(f"return captures[:{own}] + captures[:{also}]", matcher.span)
        else:
            self.emit("return captures", matcher.span)
        self.indent -= 1
        self.has_event = False
        self.blank()

    # --- Statements -------------------------------------------------------------------------------

    def statement(self, node: ir.Stmt) -> None:
        getattr(self, "s_" + type(node).__name__)(node)

    def block(self, statements: tuple[ir.Stmt, ...]) -> None:
        self.indent += 1
        start = len(self.out)
        for statement in statements:
            self.statement(statement)
        if len(self.out) == start:
            self.emit("pass")
        self.indent -= 1

    def s_Let(self, node: ir.Let) -> None:
        if isinstance(node.value, ir.Closure):
            self.define(node.python, node.value, node.span)
            self.parameter_names(node.python, node.value)
            return
        if isinstance(node.value, ir.ActionClosure):
            value = self.action_closure(node.value, node.python)
        else:
            value = self.expr(node.value)
        self.emit(cat(f"{node.python} = ", value), node.span)

    def s_Perform(self, node: ir.Perform) -> None:
        call = self.perform(node)
        self.emit(call if node.bind is None else cat(f"{node.bind} = ", call), node.span)

    def perform(self, node: ir.Perform) -> Doc:
        arguments = [self.expr(a) for a in node.arguments]
        line = self.line_of(node.span)
        if node.how == "library":
            if node.target == "noop":
                return group("krl.noop(", list(arguments), ")", line)
            return group(f"krl.{abi_name(node.target)}(", ["cx", *arguments], ")", line)
        if node.how == "builtin":
            target = node.target.replace(":", "_")
            return group(f"krl.{target}(", ["cx", *arguments], ")", line)
        self.has_calls = True
        if node.how == "module":
            alias, _, name = node.target.partition(":")
            return self.module_call("perform", alias, name, arguments, node.names, node.named, line)
        if node.how == "global":
            return group(f"{node.target}(", ["cx", *arguments], ")", line)
        if node.how == "local":
            return group(f"{node.target}.run(", ["cx", *arguments], ")", line)
        assert node.value is not None
        value = self.expr(node.value)
        if not node.names:
            return group("krl.perform(", ["cx", value, *arguments], ")", line)
        positional = tuple_of(list(arguments))
        named = self.named(node.names, node.named)
        return group("krl.perform_named(", ["cx", value, positional, named], ")", line)

    def s_Branch(self, node: ir.Branch) -> None:
        test = self.test(node.test)
        self.emit(cat("if ", test, ":"), node.test.span)
        self.block(node.then)
        if node.otherwise:
            self.emit("else:")
            self.block(node.otherwise)

    def s_Choose(self, node: ir.Choose) -> None:
        choice = self.temp()
        self.emit(cat(f"{choice} = ", self.expr(node.discriminant)), node.span)
        seen: set[str] = set()
        for label, case in zip(node.labels, node.cases, strict=True):
            if label in seen:
                continue
            word = "elif" if len(seen) % CHAIN_MAX else "if"
            self.emit(f"{word} {choice} == {quoted(label)}:", case.span)
            seen.add(label)
            self.block((case,))

    def s_Sample(self, node: ir.Sample) -> None:
        if not node.cases:
            return
        choice = self.temp()
        self.emit(f"{choice} = krl.sample(cx, {len(node.cases)})", node.span)
        for index, case in enumerate(node.cases):
            word = "elif" if index % CHAIN_MAX else "if"
            self.emit(f"{word} {choice} == {index}:", case.span)
            self.block((case,))

    def s_Loop(self, node: ir.Loop) -> None:
        self.loops += 1
        if self.loops > LOOPS_MAX:
            self.too_deep(
                node.span,
                "`foreach`",
                f"more than {LOOPS_MAX} loops inside each other",
                "go over the combinations that a function makes",
            )
            self.loops -= 1
            return
        over = self.expr(node.over)
        names = list(node.names[:2])
        for extra in node.names[2:]:
            self.emit(f"{extra} = None", node.span)
        if node.final is not None:
            names.extend(["_"] * (2 - len(names)))
            names.append(node.final)
            kind = "rounds"
        else:
            kind = "elements" if len(names) == 1 else "pairs"
        call = group(f"krl.{kind}(", [over], ")")
        self.emit(cat(f"for {', '.join(names)} in ", call, ":"), node.span)
        self.block(node.body)
        self.loops -= 1

    def s_OnFinal(self, node: ir.OnFinal) -> None:
        if not node.flags:
            for statement in node.body:
                self.statement(statement)
            return
        self.emit(f"if {' and '.join(node.flags)}:", node.span)
        self.block(node.body)

    def s_SetEntity(self, node: ir.SetEntity) -> None:
        value = self.expr(node.value)
        self.emit(cat(f"cx.ent[{quoted(node.name)}] = ", value), node.span)

    def s_SetEntityAt(self, node: ir.SetEntityAt) -> None:
        path, value = self.expr(node.path), self.expr(node.value)
        parts: list[str | Doc] = [quoted(node.name), path, value]
        self.emit(group("cx.ent.set_at(", parts, ")"), node.span)

    def s_ChangeEntity(self, node: ir.ChangeEntity) -> None:
        parts: list[str | Doc] = [quoted(node.name), *(self.expr(a) for a in node.arguments)]
        if node.default is not None:
            parts.append(cat("default=", self.expr(node.default)))
        self.emit(group(f"cx.ent.{node.operator}(", parts, ")"), node.span)

    def s_ClearEntity(self, node: ir.ClearEntity) -> None:
        if node.path is None:
            self.emit(f"del cx.ent[{quoted(node.name)}]", node.span)
            return
        self.emit(
            group("cx.ent.clear_at(", [quoted(node.name), self.expr(node.path)], ")"), node.span
        )

    def s_RaiseEvent(self, node: ir.RaiseEvent) -> None:
        parts: list[str | Doc] = [
            "cx",
            "None" if node.domain is None else quoted(node.domain),
            self.expr(node.event),
        ]
        if node.attributes is not None:
            parts.append(self.expr(node.attributes))
        if node.for_rid is not None:
            parts.append(cat("rid=", self.expr(node.for_rid)))
        self.emit(group("krl.raise_event(", parts, ")"), node.span)

    def s_ScheduleEvent(self, node: ir.ScheduleEvent) -> None:
        parts: list[str | Doc] = [
            "cx",
            "None" if node.domain is None else quoted(node.domain),
            self.expr(node.event),
            self.expr(node.when),
        ]
        if node.attributes is not None:
            parts.append(self.expr(node.attributes))
        call = group(f"krl.schedule_{node.how}(", parts, ")", self.line_of(node.span))
        self.emit(call if node.bind is None else cat(f"{node.bind} = ", call), node.span)

    def s_LogValue(self, node: ir.LogValue) -> None:
        self.emit(
            group("krl.log(", ["cx", quoted(node.level), self.expr(node.value)], ")"), node.span
        )

    def s_RaiseError(self, node: ir.RaiseError) -> None:
        call = group("krl.error(", ["cx", quoted(node.level), self.expr(node.value)], ")")
        self.emit(cat("return ", call) if node.level == "error" else call, node.span)

    def s_Unfired(self, node: ir.Unfired) -> None:
        self.emit("krl.unfired(cx, True)" if node.is_round else "krl.unfired(cx)", node.span)

    def s_Last(self, node: ir.Last) -> None:
        self.emit("return krl.LAST", node.span)


def _is_constant(item: ir.Function | ir.Action | ir.Value) -> bool:
    return isinstance(item, ir.Value) and item.slot is None


def _end(item: ir.Function | ir.Action) -> str:
    return ",)" if len(item.closure.parameters) == 1 else ")"
