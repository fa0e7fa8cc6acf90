"""Name resolution: every name becomes a symbol, and all bad names are reported at once.

In: a `Ruleset` node. Out: a `Names` value: the symbol of each identifier node (by identity), the
scopes as a tree (for `krlc dump names`), and diagnostics. Invariants: after this pass no later one
looks a name up; a symbol's `python` name is unique among everything visible where it stands, and
differs from the KRL name only on a real clash. Kinds and visibility follow the language: in a
block, right sides that are function literals see the whole block, all others only what stands
earlier. Not here: anything about domains (`modules.py`) and structure (`checks.py`).
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable

import msgspec

from krlc import nodes as n
from krlc.diagnostics import Diagnostic
from krlc.library import OPERATORS
from krlc.source import Span
from krlc.spell import nearest

# Names that generated code itself uses; a KRL name that equals one gets a suffix.
TAKEN = frozenset(
    ("krl", "cx", "event", "settings", "saved", "captures", "fired", "RULES", "GLOBALS", "LINES")
)
PREFIXES = (
    *("_", "fn_", "g_", "act_", "rule_", "global_", "match_", "within_", "where_"),
    *("PATTERN_", "EVENT_", "ATTRS_"),
)
is_generated = re.compile(r"(?:f|final)_[0-9]+").fullmatch
# Stands for `$` in Python names. KRL names are ASCII, so no two of them become one.
DOLLAR = "\u00b7"

SUGGESTIONS_MAX = 20


class Symbol(msgspec.Struct, eq=False):
    """One declared name. `kind`: library, configure, global, select, foreach, pre, setting,
    postlude, parameter or local. `static` is what is known of its value: Function, Action,
    ActionFunction, String, Map or Unknown.
    """

    name: str
    kind: str
    static: str
    span: Span
    python: str
    value: n.Expression | None = None
    is_used: bool = False


class Scope(msgspec.Struct, eq=False):
    """Names of one block. `taken` maps Python names in use in this function and those around it."""

    kind: str
    parent: Scope | None
    taken: set[str]
    title: str = ""
    symbols: dict[str, Symbol] = msgspec.field(default_factory=dict)
    scopes: list[Scope] = msgspec.field(default_factory=list)

    def find(self, name: str) -> Symbol | None:
        """The symbol a name means here and now."""
        scope: Scope | None = self
        while scope is not None:
            symbol = scope.symbols.get(name)
            if symbol is not None:
                return symbol
            scope = scope.parent
        return None

    def visible(self) -> list[str]:
        """All names visible here, for the nearest one in a hint."""
        names: list[str] = []
        scope: Scope | None = self
        while scope is not None:
            names.extend(scope.symbols)
            scope = scope.parent
        return names


class Names(msgspec.Struct, eq=False):
    """What `resolve` found: symbols by identifier node, and the scope tree."""

    root: Scope
    ruleset: Scope
    symbols: dict[int, Symbol] = msgspec.field(default_factory=dict)
    declared: dict[int, Symbol] = msgspec.field(default_factory=dict)
    diagnostics: list[Diagnostic] = msgspec.field(default_factory=list)

    def of(self, identifier: n.Identifier) -> Symbol:
        """The symbol of a used or declared identifier node."""
        symbol = self.symbols.get(id(identifier)) or self.declared.get(id(identifier))
        assert symbol is not None, identifier
        return symbol


def mangle(name: str) -> str:
    """A valid Python identifier for a KRL name, the name itself where possible."""
    text = name.replace("$", DOLLAR)
    if keyword.iskeyword(text) or text in TAKEN or hasattr(builtins, text):
        return text + "_"
    if text.startswith(DOLLAR) or is_generated(text):
        return "v_" + text
    if text.startswith(PREFIXES):
        return "v_" + text.lstrip("_") if text.strip("_") else "v_" + str(len(text))
    return text


def resolve(ruleset: n.Ruleset) -> Names:
    """Resolve all names of a ruleset."""
    return _Resolver(ruleset).run()


def _static_kind(value: n.Expression, scope: Scope) -> str:
    if isinstance(value, n.Function):
        return "Function"
    if isinstance(value, n.DefAction):
        return "Action"
    if isinstance(value, n.Identifier):
        symbol = scope.find(value.name)
        return symbol.static if symbol is not None else "Unknown"
    return "Unknown"


class _Resolver:
    def __init__(self, ruleset: n.Ruleset) -> None:
        self.tree = ruleset
        root = Scope("root", None, set())
        for name, operator in OPERATORS.items():
            root.symbols[name] = Symbol(name, "library", operator.kind, Span(0, 0), name)
        root.symbols["__testing"] = Symbol("__testing", "library", "Map", Span(0, 0), "__testing")
        self.scope = Scope("ruleset", root, set(), ruleset.rid.value)
        root.scopes.append(self.scope)
        self.names = Names(root, self.scope)
        self.suggestions = 0

    # --- Reports ----------------------------------------------------------------------------------

    def report(
        self, code: str, title: str, span: Span, label: str, *hints: str, severity: str = "error"
    ) -> None:
        self.names.diagnostics.append(Diagnostic(code, title, span, label, hints, severity))

    # --- Scopes and symbols -----------------------------------------------------------------------

    def push(self, kind: str, title: str = "", *, is_function: bool) -> Scope:
        """Open a scope; a function's own names must differ from all around it."""
        taken = set(self.scope.taken)
        scope = Scope(kind, self.scope, taken, title)
        self.scope.scopes.append(scope)
        self.scope = scope
        if not is_function:
            scope.taken = taken
        return scope

    def pop(self) -> None:
        assert self.scope.parent is not None
        self.scope = self.scope.parent

    def declare(
        self,
        identifier: n.Identifier,
        kind: str,
        static: str = "Unknown",
        value: n.Expression | None = None,
        *,
        code: str = "K0302",
        title: str = "declared twice",
    ) -> Symbol:
        name = identifier.name
        earlier = self.scope.symbols.get(name)
        if earlier is not None:
            # The block it is in decides: two parts of a rule clash differently from one block.
            same = earlier.kind == kind
            self.report(
                code if same else "K0304",
                f"name `{name}` {title}" if same else f"name `{name}` is already taken here",
                identifier.span,
                f"already {_ARTICLES[earlier.kind]}",
                "give one of the two another name",
            )
        python = mangle(name)
        if kind in ("global", "configure"):
            prefix = {"Function": "fn_", "Action": "act_"}.get(
                static if isinstance(value, (n.Function, n.DefAction)) else "", "g_"
            )
            python = prefix + name.replace("$", DOLLAR)
        else:
            base, count = python, 1
            while python in self.scope.taken:
                count += 1
                python = f"{base}_{count}"
            self.scope.taken.add(python)
        symbol = Symbol(name, kind, static, identifier.span, python, value)
        self.scope.symbols[name] = symbol
        self.names.declared[id(identifier)] = symbol
        return symbol

    def use(self, identifier: n.Identifier) -> Symbol | None:
        """Resolve one use of a name."""
        symbol = self.scope.find(identifier.name)
        if symbol is None:
            self.unknown(identifier)
            return None
        symbol.is_used = True
        self.names.symbols[id(identifier)] = symbol
        return symbol

    def unknown(self, identifier: n.Identifier) -> None:
        """Report a name that means nothing here."""
        name = identifier.name
        parent = self.scope.parent
        if self.scope.kind == "postlude" and parent is not None:
            block = next((s for s in parent.scopes if name in s.symbols), None)
            if block is not None:
                self.report(
                    "K0306",
                    f"name `{name}` has no value here",
                    identifier.span,
                    f"declared in the `{block.title}` block, which is over",
                    "declare it in `pre`, or in this block",
                )
                return
        near = self.suggestion(name, self.scope.visible())
        meant = None if near is None else self.scope.find(near)
        if meant is not None:
            # Probably meant, so "never used" would only be a consequence of this error.
            meant.is_used = True
        self.report(
            "K0301",
            f"unknown name `{name}`",
            identifier.span,
            self.unknown_label(name),
            *([f"did you mean `{near}`?"] if near else []),
        )

    def suggestion(self, name: str, names: Iterable[str]) -> str | None:
        """The nearest name, for as many bad names as anybody reads: looking costs O(names)."""
        self.suggestions += 1
        return nearest(name, names) if self.suggestions <= SUGGESTIONS_MAX else None

    def unknown_label(self, name: str) -> str:
        for declaration in self.tree.globals:
            if declaration.name.name == name and self.scope is not self.names.ruleset:
                return "declared later in `global`, and only functions see later names"
            if declaration.name.name == name:
                return "not declared yet at this place; only functions see later names"
        return "not defined in this ruleset"

    # --- The ruleset ------------------------------------------------------------------------------

    def run(self) -> Names:
        for item in self.tree.meta.properties if self.tree.meta else ():
            if isinstance(item, n.MetaConfigure):
                for declaration in item.declarations:
                    self.expression(declaration.value)
                    self.declare(
                        declaration.name,
                        "configure",
                        _static_kind(declaration.value, self.scope),
                        declaration.value,
                    )
            elif isinstance(item, n.MetaUse):
                for declaration in item.configuration:
                    self.expression(declaration.value)
            elif isinstance(item, (n.MetaText, n.MetaKey)):
                self.expression(item.value)
        self.block(self.tree.globals, "global")
        self.offered()
        for rule in self.tree.rules:
            if rule.is_active:
                self.rule(rule)
        self.unused()
        self.names.diagnostics.sort(key=lambda d: (d.span.start, d.code))
        return self.names

    def offered(self) -> None:
        """Check the names in `shares` and `provides`."""
        for item in self.tree.meta.properties if self.tree.meta else ():
            if not isinstance(item, n.MetaNames):
                continue
            for identifier in item.names:
                symbol = self.scope.find(identifier.name)
                if symbol is None:
                    near = self.suggestion(identifier.name, self.scope.symbols)
                    if near is not None:
                        self.scope.symbols[near].is_used = True
                    self.report(
                        "K0404",
                        f"`{item.kind}` of an unknown name `{identifier.name}`",
                        identifier.span,
                        "not declared in `global`",
                        *([f"did you mean `{near}`?"] if near else []),
                    )
                    continue
                if symbol.kind == "library" and symbol.name != "__testing":
                    self.report(
                        "K0408",
                        f"`{item.kind}` of a library name `{identifier.name}`",
                        identifier.span,
                        "belongs to every ruleset already",
                        "declare a function of your own in `global` and offer that",
                    )
                elif item.kind == "shares" and symbol.static == "Action":
                    self.report(
                        "K0405",
                        f"`shares` of an action `{identifier.name}`",
                        identifier.span,
                        "an action cannot answer a query",
                        "use `provides` to offer it to other rulesets",
                    )
                symbol.is_used = True
                self.names.symbols[id(identifier)] = symbol

    def block(self, declarations: tuple[n.Declaration, ...], kind: str) -> None:
        """Declare a block: function literals see all of it, everything else what stands earlier."""
        later: list[n.Function] = []
        for declaration in declarations:
            value = declaration.value
            if isinstance(value, n.Function):
                self.declare(declaration.name, kind, "Function", value)
                later.append(value)
            else:
                self.expression(value)
                self.declare(declaration.name, kind, _static_kind(value, self.scope), value)
        for function in later:
            self.function(function)

    def rule(self, rule: n.Rule) -> None:
        self.push("rule", rule.name.name, is_function=True)
        if isinstance(rule.select, n.SelectWhen):
            self.select_names(rule.select.event)
            self.matchers(rule.select.event)
            if rule.select.within is not None:
                inner, self.scope = self.scope, self.names.ruleset
                self.expression(rule.select.within.limit)
                self.scope = inner
        elif isinstance(rule.select, n.SelectWhere):
            self.expression(rule.select.condition)
        for loop in rule.foreach:
            self.expression(loop.expression)
            for name in loop.names:
                self.declare(name, "foreach", title="is set twice by one foreach")
        self.block(rule.pre, "pre")
        if rule.action_block is not None:
            self.actions(rule.action_block)
        if rule.postlude is not None:
            self.postlude(rule.postlude)
        self.pop()

    def select_names(self, event: n.EventExpression) -> None:
        """Declare setting and aggregator names; several base events may set the same one."""
        for base in base_events(event):
            names = base.setting + (base.aggregator.names if base.aggregator else ())
            for name in names:
                known = self.scope.symbols.get(name.name)
                if known is not None:
                    self.names.declared[id(name)] = known
                else:
                    self.declare(name, "select", "String")

    def matchers(self, event: n.EventExpression) -> None:
        for base in base_events(event):
            for match in base.matches:
                self.expression(match.value)
            if base.where is not None:
                self.expression(base.where)

    def actions(self, block: n.ActionBlock) -> None:
        if block.condition is not None:
            self.expression(block.condition)
        if block.discriminant is not None:
            self.expression(block.discriminant)
        for action in block.actions:
            if isinstance(action.name, n.Identifier):
                self.use(action.name)
            for argument in action.arguments:
                self.expression(argument.value)
            for name in action.setting[:1]:
                known = self.scope.symbols.get(name.name)
                if known is not None and known.kind == "setting":
                    # Labelled alternatives of one block may set the same name.
                    self.names.declared[id(name)] = known
                else:
                    self.declare(name, "setting")

    def postlude(self, postlude: n.Postlude) -> None:
        """Each block is a scope of its own: what one declares another cannot read."""
        for title, statements in (
            ("fired", postlude.fired),
            ("notfired", postlude.notfired),
            ("always", postlude.always),
        ):
            if statements is None:
                continue
            self.push("postlude", title, is_function=False)
            for statement in statements:
                self.statement(statement)
            self.pop()

    def statement(self, statement: n.Statement) -> None:
        if isinstance(statement, n.Guarded):
            if statement.condition is not None:
                self.expression(statement.condition)
            self.statement(statement.statement)
        elif isinstance(statement, n.Declaration):
            self.expression(statement.value)
            self.postlude_name(statement.name, _static_kind(statement.value, self.scope))
        elif isinstance(statement, n.Schedule):
            for child in n.children(statement):
                if child is not statement.setting:
                    self.parts(child)
            if statement.setting is not None:
                self.postlude_name(statement.setting, "Unknown")
        else:
            for child in n.children(statement):
                self.parts(child)

    def postlude_name(self, name: n.Identifier, static: str) -> None:
        """Declare a name in a postlude, where it must not hide one of the rule."""
        outer = self.scope.parent.symbols.get(name.name) if self.scope.parent else None
        if outer is not None and self.scope.parent is not self.names.ruleset:
            self.report(
                "K0304",
                f"name `{name.name}` is already taken here",
                name.span,
                f"already {_ARTICLES[outer.kind]}",
                "give one of the two another name",
            )
        self.declare(name, "postlude", static)

    def parts(self, node: n.Node) -> None:
        if isinstance(node, n.EventSpec):
            self.expression(node.expression)
        elif not isinstance(node, n.DomainIdentifier) or node.domain not in ("ent", "app"):
            self.expression(node)  # type: ignore[arg-type]

    # --- Expressions ------------------------------------------------------------------------------

    def expression(self, node: n.Expression) -> None:
        if isinstance(node, n.Identifier):
            self.use(node)
        elif isinstance(node, n.Function):
            self.function(node)
        elif isinstance(node, n.DefAction):
            self.defaction(node)
        elif isinstance(node, n.Call) and isinstance(node.callee, n.Member):
            # v.f(a): f is an ordinary name, never a key of v.
            self.expression(node.callee.object)
            self.expression(node.callee.member)
            for argument in node.arguments:
                self.expression(argument.value)
        elif isinstance(node, n.Call):
            self.expression(node.callee)
            for argument in node.arguments:
                self.expression(argument.value)
        elif isinstance(node, n.Member):
            # v.name without a call reads the key `name` of v, so the name is no reference.
            self.expression(node.object)
        elif isinstance(node, n.Map):
            for entry in node.entries:
                self.expression(entry.value)
        else:
            for child in n.children(node):
                self.expression(child)  # type: ignore[arg-type]

    def parameters(self, parameters: tuple[n.Parameter, ...]) -> None:
        for parameter in parameters:
            if parameter.default is not None:
                self.expression(parameter.default)
            self.declare(parameter.name, "parameter", code="K0303", title="names two parameters")

    def function(self, node: n.Function) -> None:
        self.push("function", is_function=True)
        self.parameters(node.parameters)
        self.block(node.body, "local")
        self.expression(node.result)
        self.pop()

    def defaction(self, node: n.DefAction) -> None:
        self.push("defaction", is_function=True)
        self.parameters(node.parameters)
        self.block(node.body, "local")
        if node.action_block is not None:
            self.actions(node.action_block)
        if node.result is not None:
            self.expression(node.result)
        self.pop()

    # --- Unused names -----------------------------------------------------------------------------

    def unused(self) -> None:
        """Warn of declarations that nothing reads; parameters and loop variables may be ignored."""
        if self.suggestions > SUGGESTIONS_MAX:
            return  # what the bad names meant is not known, so neither is what nothing reads
        provided = any(
            isinstance(item, n.MetaNames) and item.kind == "provides"
            for item in (self.tree.meta.properties if self.tree.meta else ())
        )
        pending = [self.names.ruleset]
        while pending:
            scope = pending.pop()
            pending.extend(scope.scopes)
            for symbol in scope.symbols.values():
                if symbol.is_used or symbol.name.startswith("_"):
                    continue
                if symbol.kind in ("pre", "local") or (symbol.kind == "global" and not provided):
                    self.report(
                        "K0305",
                        f"name `{symbol.name}` is never used",
                        symbol.span,
                        "declared here and read nowhere",
                        "remove it, or start its name with `_`",
                        severity="warning",
                    )


_ARTICLES = {
    "library": "a library operator",
    "configure": "a configured name",
    "global": "declared in `global`",
    "select": "set by the event expression",
    "foreach": "a foreach variable",
    "pre": "declared in `pre`",
    "setting": "set by an action",
    "postlude": "declared in the postlude",
    "parameter": "a parameter",
    "local": "declared in this function",
}


def base_events(event: n.EventExpression) -> list[n.BaseEvent]:
    """All base events of an event expression, in source order."""
    if isinstance(event, n.BaseEvent):
        return [event]
    if isinstance(event, n.EventGroup):
        return [event.event]
    found: list[n.BaseEvent] = []
    for operand in event.operands:
        found.extend(base_events(operand))
    return found


def dump(names: Names) -> str:
    """The scope tree as text: kind, name, what is known of it, Python name."""
    lines: list[str] = []
    pending = [(names.ruleset, 0)]
    while pending:
        scope, depth = pending.pop()
        lines.append("  " * depth + f"{scope.kind} {scope.title}".rstrip())
        for symbol in scope.symbols.values():
            rename = "" if symbol.python == symbol.name else f" as {symbol.python}"
            lines.append(
                "  " * (depth + 1) + f"{symbol.kind} {symbol.name}: {symbol.static}{rename}"
            )
        pending.extend((inner, depth + 1) for inner in reversed(scope.scopes))
    return "\n".join(lines) + "\n"
