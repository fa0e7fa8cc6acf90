"""The canonical layout of each kind of node.

In: nodes, and the margin of their source. Out: documents for `layout.py`.
Invariants: documents are made in the order of the source, since comments are handed out in order;
every block takes the comments up to its closing bracket. What the form looks like is said in
`printer.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from krlc import nodes as n
from krlc.comments import Margin
from krlc.layout import (
    BLANK,
    HARD,
    LINE,
    SOFT,
    Doc,
    Group,
    Join,
    Nest,
    first_text,
    flat_width,
    is_hard,
    join,
    separated,
)
from krlc.literals import chevron_text, number_text, string_text
from krlc.source import Span

_CONDITIONAL, _UNARY, _POSTFIX, _PRIMARY = 10, 70, 80, 100
_POWERS = {"||": 20, "&&": 30, "+": 50, "-": 50, "*": 60, "/": 60, "%": 60}
_COMPARISON = 40
_EVENT_POWERS = {"or": 20, "and": 30, "before": 40, "then": 40, "after": 40}
_BETWEEN, _EVENT_PRIMARY = 50, 60
_CONTINUES = frozenset("([{+-")
_HUGGED_WIDTH_MAX = 60
"""The arguments before one that opens on the line of its call take no more columns than this."""


def _power(node: n.Node) -> int:
    if isinstance(node, n.Conditional):
        return _CONDITIONAL
    if isinstance(node, n.Infix):
        return _POWERS.get(node.operator, _COMPARISON)
    if isinstance(node, n.Unary):
        return _UNARY
    if isinstance(node, n.Path | n.Index | n.Member | n.Call):
        return _POSTFIX
    return _PRIMARY


def _is_tight(node: n.Node) -> bool:
    """Say whether `choose` can take an expression without parentheses."""
    while isinstance(node, n.Call):
        node = node.callee
    return _power(node) == _PRIMARY


def _event_power(node: n.Node) -> int:
    if isinstance(node, n.EventOperator) and not node.prefix:
        return _EVENT_POWERS.get(node.operator, _BETWEEN)
    return _EVENT_PRIMARY


def _names(names: Sequence[n.Identifier]) -> Doc:
    """A list of names that fills its lines."""
    parts: list[Doc] = []
    for name in names:
        parts.append(Group(",", LINE, name.name) if parts else name.name)
    return Nest(Join(parts))


def _setting(names: Sequence[n.Identifier]) -> str:
    return f"setting({', '.join(name.name for name in names)})"


def merged_parts(chevron: n.Chevron) -> tuple[n.Expression, ...]:
    """Give the parts of a chevron with neighbouring texts in one piece, and none empty.

    A beesting that holds a string literal is such a text: both print what they are.
    """
    parts: list[n.Expression] = []
    for part in chevron.parts:
        if isinstance(part, n.String) and parts and isinstance(parts[-1], n.String):
            parts[-1] = n.String(parts[-1].span, parts[-1].value + part.value)
        else:
            parts.append(part)
    return tuple(part for part in parts if not isinstance(part, n.String) or part.value)


class _Stretch(NamedTuple):
    """Something that has a place in the source but no node, such as a `pre` block."""

    span: Span
    make: Callable[[], Doc]


class _Line:
    """One thing on lines of its own: its document, what comments follow on its last line."""

    __slots__ = ("before", "doc", "is_item", "trail")

    def __init__(self, before: Doc, doc: Doc, is_item: bool) -> None:
        self.before = before
        self.doc = doc
        self.is_item = is_item
        self.trail = ""


class NodeLayout:
    """Makes the document of each kind of node; a method bears the name of its kind."""

    def __init__(self, margin: Margin) -> None:
        self.margin = margin

    def top(self, node: n.Node) -> Doc:
        """A whole source, with the comments before and behind it."""
        end = len(self.margin.text) + 1
        if isinstance(node, n.Fragment):
            return self._lines(node.items, self.doc, end, is_code=True)
        return self._lines((node,), self.doc, end)

    def doc(self, node: n.Node | _Stretch) -> Doc:
        """The document of any node."""
        if isinstance(node, _Stretch):
            return node.make()
        made: Doc = getattr(self, type(node).__name__)(node)
        return made

    # --- Blocks and comments ----------------------------------------------------------------------

    def _lines(
        self,
        items: Sequence[Any],
        make: Callable[[Any], Doc],
        close: int,
        is_spaced: bool = False,
        is_code: bool = False,
        comma: str = "",
    ) -> Doc:
        """Things one below the other, with their comments, up to the bracket at `close`.

        `is_spaced` puts a blank line between them; `is_code` adds the `;` that keeps two apart.
        """
        margin = self.margin
        lines: list[_Line] = []
        last_end = 0

        def add(doc: Doc, start: int, end: int, is_item: bool, opens: bool) -> None:
            nonlocal last_end
            before: Doc = ""
            if lines:
                is_blank = margin.line_ends(last_end, start) > 1 or (is_spaced and opens)
                before = BLANK if is_blank else HARD
            lines.append(_Line(before, doc, is_item))
            last_end = end

        for i, item in enumerate(items):
            comments = margin.take_before(item.span.start)
            for k, comment in enumerate(comments):
                add(comment.text, comment.start, comment.end, False, k == 0)
            doc = make(item)
            if is_code and first_text(doc)[:1] in _CONTINUES:
                earlier = next((line for line in reversed(lines) if line.is_item), None)
                if earlier is not None:
                    earlier.doc = Join((earlier.doc, ";"))
            is_last = i + 1 == len(items)
            add(doc if is_last else join(doc, comma), *_place(item), True, not comments)
            limit = close if is_last else items[i + 1].span.start
            for comment in margin.take_after(item.span.end, limit):
                lines[-1].trail += " " + comment.text
                last_end = max(comment.end, last_end)
        for comment in margin.take_before(close):
            add(comment.text, comment.start, comment.end, False, False)
        return Join(Join((line.before, line.doc, line.trail)) for line in lines)

    def _block(
        self, items: Sequence[Any], close: int, is_spaced: bool = False, is_code: bool = False
    ) -> Doc:
        """A block in braces, its contents on lines of their own."""
        inside = self._lines(items, self.doc, close, is_spaced, is_code)
        return Join(("{", Nest(Join((HARD, inside))), HARD, "}")) if _holds(inside) else "{ }"

    def _close_after(self, items: Sequence[n.Node], opened: int) -> int:
        """Where the brace stands that closes the block which was opened at a place."""
        return self.margin.find("}", items[-1].span.end if items else opened + 1)

    def _list(self, opened: str, items: Sequence[n.Node], closed: str, span: Span) -> Doc:
        """A list between brackets, on one line or one item a line."""
        if not items and not self.margin.is_between(span.start, span.end):
            return opened + closed
        if self.margin.is_between(span.start, span.end):
            inside = self._lines(items, self.doc, span.end - 1, comma=",")
            return Join((opened, Nest(Join((HARD, inside))), HARD, closed))
        inside = separated([self.doc(item) for item in items], join(",", LINE))
        return Group(opened, Nest(Join((SOFT, inside))), SOFT, closed)

    # --- Expressions ------------------------------------------------------------------------------

    def _operand(self, node: n.Node, power: int) -> Doc:
        """An operand that needs parentheses when it binds less than `power`."""
        doc = self.doc(node)
        return Join(("(", Nest(doc), ")")) if _power(node) < power else doc

    def _after_word(self, node: n.Node) -> Doc:
        """An expression behind a word that may follow an event.

        Before `re#…#` any word there is the name of an attribute, so such an expression must not
        start with a regular expression.
        """
        doc = self.doc(node)
        return Join(("(", Nest(doc), ")")) if first_text(doc).startswith("re#") else doc

    def Null(self, node: n.Null) -> Doc:
        return "null"

    def Boolean(self, node: n.Boolean) -> Doc:
        return "true" if node.value else "false"

    def Number(self, node: n.Number) -> Doc:
        return number_text(node.value)

    def String(self, node: n.String) -> Doc:
        return string_text(node.value)

    def Regexp(self, node: n.Regexp) -> Doc:
        return "re#" + node.pattern.replace("#", "\\#") + "#" + node.flags

    def Chevron(self, node: n.Chevron) -> Doc:
        parts: list[Doc] = ["<<"]
        for part in merged_parts(node):
            if isinstance(part, n.String):
                parts.append(chevron_text(part.value))
            else:
                parts += ["#{", self.doc(part), "}"]
        return Join((*parts, ">>"))

    def Identifier(self, node: n.Identifier) -> Doc:
        return node.name

    def DomainIdentifier(self, node: n.DomainIdentifier) -> Doc:
        return f"{node.domain}:{node.name}"

    def Array(self, node: n.Array) -> Doc:
        return self._list("[", node.items, "]", node.span)

    def Map(self, node: n.Map) -> Doc:
        return self._list("{", node.entries, "}", node.span)

    def MapEntry(self, node: n.MapEntry) -> Doc:
        return Join((string_text(node.key.value), ": ", self.doc(node.value)))

    def Unary(self, node: n.Unary) -> Doc:
        operand = self._operand(node.operand, _UNARY)
        gap = " " if node.operator == "not" or first_text(operand)[:1] in ("+", "-") else ""
        return Join((node.operator, gap, operand))

    def Infix(self, node: n.Infix) -> Doc:
        power = _power(node)
        chain: list[n.Infix] = []
        first: n.Node = node
        while isinstance(first, n.Infix) and _power(first) == power:
            chain.append(first)
            first = first.left
        docs = [self._operand(first, power)]
        for part in reversed(chain):
            docs += [LINE, part.operator + " ", self._operand(part.right, power + 1)]
        return Group(docs[0], Nest(Join(docs[1:])))

    def Conditional(self, node: n.Conditional) -> Doc:
        docs = [self._choice(node)]
        rest: n.Node = node.alternate
        while isinstance(rest, n.Conditional):
            docs += [LINE, "| ", self._choice(rest)]
            rest = rest.alternate
        docs += [LINE, "| ", self.doc(rest)]
        return Group(docs[0], Nest(Join(docs[1:])))

    def _choice(self, node: n.Conditional) -> Doc:
        test = self._operand(node.test, _CONDITIONAL + 1)
        return Join((test, " => ", self._operand(node.consequent, _CONDITIONAL + 1)))

    def _postfix(self, node: n.Node) -> Doc:
        """A chain of calls, members, paths and indexes on one base."""
        chain: list[n.Node] = []
        base = node
        while isinstance(base, n.Call | n.Member | n.Path | n.Index):
            chain.append(base)
            base = base.callee if isinstance(base, n.Call) else base.object
        calls = [
            part
            for part, outer in zip(chain[1:], chain, strict=False)
            if isinstance(part, n.Member) and isinstance(outer, n.Call)
        ]
        dot = join(SOFT, ".") if len(calls) > 1 else "."
        docs: list[Doc] = []
        first = self._operand(base, _POSTFIX)
        for part in reversed(chain):
            if isinstance(part, n.Member):
                docs += [dot, self.doc(part.member)]
            elif isinstance(part, n.Call):
                docs.append(self._arguments(part.arguments, part.arguments_span))
            elif isinstance(part, n.Path):
                docs += ["{", self.doc(part.path), "}"]
            elif isinstance(part, n.Index):
                docs += ["[", self.doc(part.index), "]"]
        return Group(first, Nest(Join(docs))) if len(calls) > 1 else Join((first, *docs))

    Call = Member = Path = Index = _postfix

    def _arguments(self, arguments: Sequence[n.Argument], span: Span) -> Doc:
        has_comment = self.margin.is_between(span.start, span.end)
        last = arguments[-1].value if arguments else None
        if has_comment or not isinstance(last, n.Map | n.Array | n.Function | n.DefAction):
            return self._list("(", arguments, ")", span)
        # Comments from further up may have come down into an argument; the next time they will
        # stand there from the start, and the list must look the same.
        waiting = self.margin.waiting
        docs = [self.doc(argument) for argument in arguments]
        before = separated(docs[:-1], ", ")
        is_wide = is_hard(before) or flat_width(before) > _HUGGED_WIDTH_MAX
        if is_wide or waiting != self.margin.waiting:
            inside = separated(docs, join(",", LINE))
            return Group("(", Nest(Join((SOFT, inside))), SOFT, ")")
        return Join(("(", before, ", " if len(docs) > 1 else "", docs[-1], ")"))

    def Argument(self, node: n.Argument) -> Doc:
        if node.name is None:
            return self.doc(node.value)
        return Join((f"{node.name.name} = ", self.doc(node.value)))

    def Parameter(self, node: n.Parameter) -> Doc:
        if node.default is None:
            return node.name.name
        return Join((f"{node.name.name} = ", self.doc(node.default)))

    def Declaration(self, node: n.Declaration) -> Doc:
        return Join((f"{node.name.name} = ", self.doc(node.value)))

    def _parameters(self, node: n.Function | n.DefAction) -> Doc:
        opened = self.margin.find("(", node.span.start)
        last = node.parameters[-1].span.end if node.parameters else opened + 1
        closed = self.margin.find(")", last)
        return self._list("(", node.parameters, ")", Span(opened, closed + 1))

    def Function(self, node: n.Function) -> Doc:
        head = Join(("function", self._parameters(node), " "))
        if node.body or self.margin.is_between(node.span.start, node.span.end):
            items = (*node.body, node.result)
            return Join((head, self._block(items, node.span.end - 1, is_code=True)))
        return Group(head, "{", Nest(Join((LINE, self.doc(node.result)))), LINE, "}")

    def DefAction(self, node: n.DefAction) -> Doc:
        head = Join(("defaction", self._parameters(node), " "))
        close = node.span.end - 1
        block, result = node.action_block, node.result
        if block is None or result is not None or node.body or block.braces or block.condition:
            items: list[Any] = [*node.body]
            if block is not None:
                items.append(block)
            if result is not None:
                made = result
                items.append(_Stretch(made.span, lambda: Join(("return ", self.doc(made)))))
            return Join((head, self._block(items, close)))
        if self.margin.is_between(node.span.start, node.span.end):
            return Join((head, self._block([block], close)))
        return Group(head, "{", Nest(Join((LINE, self.doc(block)))), LINE, "}")

    # --- Event expressions ------------------------------------------------------------------------

    def _event(self, node: n.Node, power: int) -> Doc:
        doc = self.doc(node)
        return Join(("(", Nest(doc), ")")) if _event_power(node) < power else doc

    def EventOperator(self, node: n.EventOperator) -> Doc:
        if node.prefix:
            count = "" if node.count is None else f" {node.count} "
            return self._event_list(node.operator + count, node.operands)
        power = _event_power(node)
        if power == _BETWEEN:
            what = self._event(node.operands[0], power)
            return Join((what, " ", self._event_list(node.operator, node.operands[1:])))
        chain: list[n.EventOperator] = []
        first: n.Node = node
        while isinstance(first, n.EventOperator) and _event_power(first) == power:
            chain.append(first)
            first = first.operands[0]
        docs = [self._event(first, power)]
        for part in reversed(chain):
            docs += [LINE, part.operator + " ", self._event(part.operands[1], power + 1)]
        return Group(docs[0], Nest(Join(docs[1:])))

    def _event_list(self, operator: str, operands: Sequence[n.Node]) -> Doc:
        inside = separated([self.doc(operand) for operand in operands], join(",", LINE))
        return Group(operator, "(", Nest(Join((SOFT, inside))), SOFT, ")")

    def EventGroup(self, node: n.EventGroup) -> Doc:
        docs: list[Doc] = [f"{node.operator} {node.count} (", self.doc(node.event), ")"]
        aggregator = node.event.aggregator
        if aggregator is not None:
            names = ", ".join(name.name for name in aggregator.names)
            docs.append(f" {aggregator.operator}({names})")
        return Join(docs)

    def BaseEvent(self, node: n.BaseEvent) -> Doc:
        docs: list[Doc] = []
        for match in node.matches:
            docs += [LINE, match.key.name + " ", self.doc(match.value)]
        tail: list[Doc] = []
        if node.setting:
            tail.append(join(LINE, _setting(node.setting)))
        if node.where is not None:
            where = join(LINE, "where ", self._after_word(node.where))
            tail.insert(0 if node.where_before_setting else len(tail), where)
        head = f"{node.domain.name} {node.name.name}"
        return Group(head, Nest(Join((*docs, *tail)))) if docs or tail else head

    def SelectWhen(self, node: n.SelectWhen) -> Doc:
        docs: list[Doc] = ["select when ", self.doc(node.event)]
        if node.within is not None:
            limit = self._after_word(node.within.limit)
            is_one = isinstance(node.within.limit, n.Number) and node.within.limit.value == 1
            unit = node.within.unit + ("" if is_one else "s")
            docs.append(Nest(Join((LINE, "within ", limit, " " + unit))))
        return Group(*docs)

    def SelectWhere(self, node: n.SelectWhere) -> Doc:
        return Join(("select where ", self.doc(node.condition)))

    # --- Rules ------------------------------------------------------------------------------------

    def ForEach(self, node: n.ForEach) -> Doc:
        return Join(("foreach ", self._after_word(node.expression), " " + _setting(node.names)))

    def Action(self, node: n.Action) -> Doc:
        label = "" if node.label is None else f"{node.label.name} => "
        arguments = self._arguments(node.arguments, node.arguments_span)
        setting = " " + _setting(node.setting) if node.setting else ""
        return Join((label, self.doc(node.name), arguments, setting))

    def ActionBlock(self, node: n.ActionBlock) -> Doc:
        docs: list[Doc] = []
        if node.condition is not None:
            docs += ["if ", self._after_word(node.condition), " then"]
        if not node.braces:
            action = self.doc(node.actions[0])
            return Join((*docs, Nest(Join((HARD, action))))) if docs else action
        docs.append(f" {node.kind} " if docs else f"{node.kind} ")
        if node.discriminant is not None:
            value = node.discriminant
            tight = self._after_word(value) if _is_tight(value) else join("(", self.doc(value), ")")
            docs += [tight, " "]
        return Join((*docs, self._block(node.actions, node.span.end - 1)))

    def _pre(self, node: n.Rule, after: int) -> list[_Stretch]:
        if not node.pre:
            return []
        start = self.margin.skip_blank(after)
        close = self._close_after(node.pre, start)
        return [
            _Stretch(Span(start, close + 1), lambda: Join(("pre ", self._block(node.pre, close))))
        ]

    def Rule(self, node: n.Rule) -> Doc:
        opened = self.margin.find("{", node.name.span.end)
        parts: list[Any] = [] if node.select is None else [node.select]
        parts += node.foreach
        parts += self._pre(node, parts[-1].span.end if parts else opened + 1)
        parts += [part for part in (node.action_block, node.postlude) if part is not None]
        state = f" is {node.state}" if node.state else ""
        return Join((f"rule {node.name.name}{state} ", self._block(parts, node.span.end - 1)))

    def Postlude(self, node: n.Postlude) -> Doc:
        if node.form == "always":
            blocks = [("always", node.always)]
        else:
            first, other = node.fired, node.notfired
            if node.form == "notfired":
                first, other = other, first
            blocks = [(node.form, first), ("else", other), ("finally", node.always)]
        docs: list[Doc] = []
        place = node.span.start
        for word, statements in blocks:
            if statements is None:
                continue
            opened = self.margin.find("{", place)
            close = self._close_after(statements, opened)
            docs += [" " if docs else "", f"{word} ", self._block(statements, close)]
            place = close + 1
        return Join(docs)

    def _target(self, target: n.DomainIdentifier, path: n.Node | None) -> Doc:
        name = f"{target.domain}:{target.name}"
        return name if path is None else Join((name, "{", self.doc(path), "}"))

    def Assign(self, node: n.Assign) -> Doc:
        target = self._target(node.target, node.path)
        return Join((target, " := ", self.doc(node.value)))

    def Clear(self, node: n.Clear) -> Doc:
        return Join(("clear ", self._target(node.target, node.path)))

    def EventSpec(self, node: n.EventSpec) -> Doc:
        domain = "" if node.domain is None else f"{node.domain.name} "
        return Join((f"{domain}event ", self.doc(node.expression)))

    def _clause(self, word: str, value: n.Node | None) -> list[Doc]:
        """A clause such as `attributes {…}`; a map or array opens on the line it is on."""
        if value is None:
            return []
        gap = " " if isinstance(value, n.Map | n.Array) else LINE
        return [gap, word + " ", self.doc(value)]

    def Raise(self, node: n.Raise) -> Doc:
        docs = [self.doc(node.event), *self._clause("for", node.for_rid)]
        return Group("raise ", Nest(Join((*docs, *self._clause("attributes", node.attributes)))))

    def Schedule(self, node: n.Schedule) -> Doc:
        docs = [self.doc(node.event)]
        clauses = (("at", node.at), ("repeat", node.repeat), ("attributes", node.attributes))
        for word, value in clauses:
            if value is not None:
                docs += [LINE, word + " ", self.doc(value)]
        if node.setting is not None:
            docs += [LINE, f"setting({node.setting.name})"]
        return Group("schedule ", Nest(Join(docs)))

    def Log(self, node: n.Log) -> Doc:
        return Join((f"log {node.level} ", self.doc(node.expression)))

    def Error(self, node: n.Error) -> Doc:
        return Join((f"error {node.level} ", self.doc(node.expression)))

    def Last(self, node: n.Last) -> Doc:
        return "last"

    def Guarded(self, node: n.Guarded) -> Doc:
        statement = self.doc(node.statement)
        if node.condition is None:
            return Join((statement, " on final"))
        return Join((statement, " if ", self.doc(node.condition)))

    # --- Rulesets ---------------------------------------------------------------------------------

    def MetaText(self, node: n.MetaText) -> Doc:
        return Join((f"{node.key.name} ", self.doc(node.value)))

    def MetaLogging(self, node: n.MetaLogging) -> Doc:
        return f"logging {'on' if node.is_on else 'off'}"

    def MetaKey(self, node: n.MetaKey) -> Doc:
        return Join((f"{node.key.name} {node.name.name} ", self.doc(node.value)))

    def MetaUse(self, node: n.MetaUse) -> Doc:
        alias = "" if node.alias is None else f" alias {node.alias.name}"
        head = f"use module {node.rid.value}{alias}"
        if not node.configuration:
            return head
        docs: list[Doc] = []
        for declaration in node.configuration:
            docs += [LINE, "and " if docs else "with ", self.doc(declaration)]
        return Group(head, Nest(Join(docs)))

    def MetaErrors(self, node: n.MetaErrors) -> Doc:
        return f"errors to {node.rid.value}"

    def MetaConfigure(self, node: n.MetaConfigure) -> Doc:
        docs: list[Doc] = []
        for declaration in node.declarations:
            docs += [HARD if len(node.declarations) > 1 else LINE, self.doc(declaration)]
        return Group("configure using", Nest(Join(docs)))

    def MetaNames(self, node: n.MetaNames) -> Doc:
        return Join((f"{node.kind} ", _names(node.names)))

    def MetaProvidesKeys(self, node: n.MetaProvidesKeys) -> Doc:
        rids = ", ".join(rid.value for rid in node.rids)
        return Join(("provides keys ", _names(node.names), f" to {rids}"))

    def Meta(self, node: n.Meta) -> Doc:
        return Join(("meta ", self._block(node.properties, node.span.end - 1)))

    def _global(self, node: n.Ruleset, after: int) -> list[_Stretch]:
        if not node.has_global:
            return []
        start = self.margin.skip_blank(after)
        opened = self.margin.find("{", start)
        close = self._close_after(node.globals, opened)

        def make() -> Doc:
            return Join(("global ", self._block(node.globals, close, is_code=True)))

        return [_Stretch(Span(start, close + 1), make)]

    def Ruleset(self, node: n.Ruleset) -> Doc:
        opened = self.margin.find("{", node.rid.span.end)
        parts: list[Any] = []
        if node.version is not None:
            start = self.margin.skip_blank(opened + 1)
            text = f"version {string_text(node.version.value)}"
            parts.append(_Stretch(Span(start, node.version.span.end), lambda: text))
        if node.meta is not None:
            parts.append(node.meta)
        parts += self._global(node, parts[-1].span.end if parts else opened + 1)
        parts += node.rules
        block = self._block(parts, node.span.end - 1, is_spaced=True)
        return Join((f"ruleset {node.rid.value} ", block))


def _place(item: Any) -> tuple[int, int]:
    return item.span.start, item.span.end


def _holds(doc: Doc) -> bool:
    return not isinstance(doc, Join) or bool(doc.parts)
