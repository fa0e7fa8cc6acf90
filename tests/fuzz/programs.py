"""Random rulesets that mostly compile: names are declared before they are used.

In: a source of chance (`random.Random`, or hypothesis' own, which can shrink what it drew).
Out: the text of one ruleset, of bounded size, that uses every construct of the language. Names are
chosen to be awkward: library names, words of the grammar, Python's keywords and what generated code
calls itself.
Not here: texts that are no KRL (`mutations.py`), what is checked (`test_programs.py`).
"""

from __future__ import annotations

from random import Random

from krlc.lexer import words
from krlc.library import MODULES, OPERATORS

NAMES = words(
    "a b x y list if when event cx krl f_1 final_1 $ $a a$b _ __ _1 None print self lambda map "
    "length settings captures saved fired last raise rule_a g_a fn_a RULES select count x_2 class"
)
ATTRS = ("k", "x", "the name", "n")
NUMBERS = ("0", "1", "2", "-1", "0.5", "3", "1000000", "123456789012345678901234567890", "0.1")
TEXTS = ("a", "b", "1", "", "0", "abc", "null", "a.b", "é", "\\n", "0xff", "e:z", "2020-01-01")
PATTERNS = ("re#a#", "re#(.*)#", "re#(\\d+)#gi", "re##", "re#^(a)?(b|c)+$#", "re#\\##")
INFIX = words("+ - * / % == != < <= > >= <=> >< && || like cmp")
EVENTS = ("e a", "e:b", "e c", "f a")
PROPERTIES = [
    f"{domain}:{name}"
    for domain, members in MODULES.items()
    for name, member in members.items()
    if member.kind == "property"
]
PURE = [
    f"{domain}:{name}"
    for domain, members in MODULES.items()
    for name, member in members.items()
    if member.kind == "function" and member.effect in ("pure", "reads")
]
METHODS = [name for name, operator in OPERATORS.items() if operator.kind == "Function"]
BLOCK_WORDS = ("fired", "if", "every", "select")  # they cannot name an action
CALLBACKS = words("map filter reduce sort all any none notall collect pairwise")
DEPTH = 3
LEAVES = (
    ("null", "true", "false"),
    NUMBERS,
    [f'"{text}"' for text in TEXTS],
    PATTERNS,
    ("ent:v", "ent:w", "event:attrs"),
    [f'event:attrs{{"{name}"}}' for name in ATTRS],
    PROPERTIES,
)


class ProgramWriter:
    """Writes one ruleset. `names` are those in scope, with what is known of each."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.scopes: list[dict[str, str]] = [{}]
        self.depth = 0

    # --- Chance and names -------------------------------------------------------------------------

    def one(self, *ways: str) -> str:
        return self.chance.choice(ways)

    def is_often(self, percent: int) -> bool:
        return self.chance.randrange(100) < percent

    def some(self, most: int) -> range:
        return range(self.chance.randrange(most + 1))

    def fresh(self) -> str:
        """A name that this block does not have yet, among awkward ones first."""
        name = self.chance.choice(NAMES)
        while name in self.scopes[-1] or (name in OPERATORS and self.is_often(70)):
            name = f"{self.chance.choice('abxv')}{self.chance.randrange(1000)}"
        return name

    def declared(self, kind: str = "value") -> str:
        name = self.fresh()
        self.scopes[-1][name] = kind
        return name

    def known(self, *kinds: str) -> str | None:
        """A name in scope of one of these kinds."""
        seen: dict[str, str] = {}
        for scope in self.scopes:
            seen.update(scope)
        fitting = [name for name, kind in seen.items() if kind in kinds and name != "count"]
        return self.chance.choice(fitting) if fitting else None

    # --- Expressions ------------------------------------------------------------------------------

    def expression(self) -> str:
        if self.depth >= DEPTH:
            return self.leaf()
        self.depth += 1
        way = self.chance.choice(WAYS)
        text: str = getattr(self, way)()
        self.depth -= 1
        return text

    def leaf(self) -> str:
        name = self.known("value", "function", "param", "text")
        if name is not None and self.is_often(50):
            return name
        return self.chance.choice(self.chance.choice(LEAVES))

    def array(self) -> str:
        return "[" + ", ".join(self.expression() for _ in self.some(3)) + "]"

    def map_(self) -> str:
        pairs = (f'"{self.chance.choice(TEXTS)}": {self.expression()}' for _ in self.some(3))
        return "{" + ", ".join(pairs) + "}"

    def chevron(self) -> str:
        parts = (
            self.one("t ", "a\nb", "\\>") if self.is_often(40) else f"#{{{self.expression()}}}"
            for _ in self.some(4)
        )
        return "<<" + "".join(parts) + ">>"

    def infix(self) -> str:
        chain = [self.expression()]
        for _ in range(1 + self.chance.randrange(2)):
            chain += [self.chance.choice(INFIX), self.expression()]
        return "(" + " ".join(chain) + ")"

    def unary(self) -> str:
        return "(" + self.one("not ", "-", "+ ") + self.expression() + ")"

    def conditional(self) -> str:
        return f"({self.expression()} => {self.expression()} | {self.expression()})"

    def path(self) -> str:
        opening, closing = self.one("{}", "[]")
        return f"({self.expression()}){opening}{self.expression()}{closing}"

    def arguments(self, params: tuple[str, ...], most: int) -> str:
        given = [self.expression() for _ in self.some(most)]
        if params and self.is_often(15):
            given.append(f"{self.chance.choice(params)} = {self.expression()}")
        return "(" + ", ".join(given) + ")"

    def method(self) -> str:
        name = self.chance.choice(METHODS)
        return f"({self.expression()}).{name}" + self.arguments(OPERATORS[name].params[1:], 3)

    def callback(self) -> str:
        function = self.known("function") if self.is_often(30) else self.function()
        last = f", {self.expression()}" if self.is_often(20) else ""
        receiver = self.array() if self.is_often(70) else self.map_()
        return f"{receiver}.{self.chance.choice(CALLBACKS)}({function or 'uc'}{last})"

    def call(self) -> str:
        name = self.known("function")
        if name is None or self.is_often(20):
            return f"({self.function()})" + self.arguments(("a", "x"), 2)
        return name + self.arguments(("a", "x"), 2)

    def member(self) -> str:
        return self.chance.choice(PURE) + self.arguments((), 2)

    def function(self) -> str:
        """A function literal with parameters, declarations and a result."""
        self.scopes.append({})
        params = self.parameters()
        body = self.declarations(2)
        result = self.one("", "return ") + self.expression()
        self.scopes.pop()
        return f"function({params}) {{ {body}{result} }}"

    def parameters(self) -> str:
        params = [self.declared("param") for _ in self.some(3)]
        shown = list(params)
        if params and self.is_often(30):
            default = params[0] if len(params) > 1 and params[0] != "count" else "[2]"
            shown[-1] += " = " + self.one("1", "null", default)
        return ", ".join(shown)

    def defaction(self) -> str:
        self.scopes.append({})
        params = self.parameters()
        body = self.declarations(1)
        block = self.action_block() if self.is_often(80) else ""
        result = f" return {self.expression()}" if block and self.is_often(50) else ""
        self.scopes.pop()
        return f"defaction({params}) {{ {body}{block}{result} }}"

    # --- Blocks -----------------------------------------------------------------------------------

    def declarations(self, most: int) -> str:
        text = ""
        for _ in self.some(most):
            text += self.declaration() + self.one("; ", ";\n    ")
        return text

    def declaration(self) -> str:
        if self.is_often(25):
            name = self.fresh()
            value = self.function()
            self.scopes[-1][name] = "function"
        elif self.is_often(15):
            value = self.defaction()
            name = self.declared("action")
        else:
            value = self.expression()
            name = self.declared("text" if value[0] not in "([{<" else "value")
        return f"{name} = {value}"

    def action(self, label: str = "") -> str:
        name = self.known("action", "param")
        if name in (None, *BLOCK_WORDS) or self.is_often(60):
            name = self.one("noop", "send_directive", "send_directive")
        text = '("d"' if name == "send_directive" else "("
        more = ", ".join(self.expression() for _ in self.some(2))
        text += (", " if more and text != "(" else "") + more + ")"
        setting = f" setting({self.declared()})" if self.is_often(20) else ""
        return f"{label}{name}{text}{setting}"

    def action_block(self) -> str:
        # After an event, `if re#…#` would be a match of the attribute `if`.
        test = f"if ({self.expression()}) then " if self.is_often(30) else ""
        if self.is_often(50):
            return test + self.action()
        kind = self.one("every", "sample", "choose")
        label = "x => "
        if kind == "choose":
            kind = f"choose ({self.expression()})"
        else:
            label = self.one("", label)
        actions = " ".join(self.action(label) for _ in self.some(3))
        return f"{test}{kind} {{ {actions} }}"

    def event(self, depth: int = 0) -> str:
        """An event expression."""
        if depth > 2 or self.is_often(40):
            return self.base()
        form = self.one(
            "(E W E)",
            "W(E, E, E)",
            "(E between (E, B))",
            "(E not between (B, B))",
            "any 1 (E, B)",
            "count 2 (e a x re#(.*)#) max(S)",
            "repeat 2 (e b x re#(.)#) push(S)",
            "repeat 2 (B)",
        )
        word = self.one("or", "and", "before", "then", "after")
        text = ""
        for mark in form:
            if mark in "EBSW":
                mark = {
                    "E": lambda: self.event(depth + 1),
                    "B": self.base,
                    "S": self.setting,
                    "W": lambda: word,
                }[mark]()
            text += mark
        return text

    def setting(self) -> str:
        name = self.fresh()
        self.scopes[-1][name] = "text"
        return name

    def base(self) -> str:
        text = self.chance.choice(EVENTS)
        if self.is_often(30):
            text += f" x {self.chance.choice(PATTERNS)}"
            if self.is_often(50):
                text += f" setting({self.setting()})"
        if self.is_often(15):
            text += f" where ({self.expression()})"
        return text

    def postlude(self) -> str:
        if self.is_often(40):
            return "always { " + self.statements() + "}"
        text = self.one("fired", "notfired") + " { " + self.statements() + "}"
        if self.is_often(40):
            text += " else { " + self.statements() + "}"
        if self.is_often(30):
            text += " finally { " + self.statements() + "}"
        return text

    def statements(self) -> str:
        self.scopes.append({})
        text = "".join(self.statement() + ";\n      " for _ in self.some(3))
        self.scopes.pop()
        return text

    def statement(self) -> str:
        variable = self.one("ent:v", "ent:w")
        if self.is_often(10):
            taken = set().union(*self.scopes[1:])
            name = f"p{len(taken)}"
            value = self.expression()
            self.scopes[-1][name] = "value"
            return f"{name} = {value}"
        form = self.one(
            "V := E",
            "V{E} := E",
            "V := V.append(E)",
            "V := V.delete(E)",
            "V := V.put(E, E)",
            "clear V",
            "clear V{E}",
            'raise f event "b" attributes M',
            'raise event "e:c" for E',
            'raise e event E attributes {"k": E}',
            "log info E",
            "log error E",
            "error warn E",
            "error error E",
            "last",
            'schedule e event "b" at E attributes M',
        )
        form += self.one("", "", " on final", " if E")
        makers = {"V": lambda: variable, "E": self.expression, "M": self.map_}
        return "".join(makers[mark]() if mark in makers else mark for mark in form)

    # --- The ruleset ------------------------------------------------------------------------------

    def rule(self, number: int) -> str:
        self.scopes.append({})
        select = f"when {self.event()}" if self.is_often(90) else f"where {self.expression()}"
        if select.startswith("when") and self.is_often(10):
            select += " within " + self.one("1", "(1 + 1)") + " seconds"
        parts = [f"select {select}"]
        for _ in self.some(2):
            header = self.expression()
            names = ", ".join(self.declared() for _ in range(1 + self.chance.randrange(2)))
            parts.append(f"foreach {header} setting({names})")
        if self.is_often(50):
            parts.append("pre { " + self.declarations(3) + "}")
        if self.is_often(80):
            parts.append(self.action_block())
        if self.is_often(60):
            parts.append(self.postlude())
        self.scopes.pop()
        name = self.one("r", "rule$", "when") + str(number)
        return f"  rule {name} {{\n    " + "\n    ".join(parts) + "\n  }\n"

    def ruleset(self) -> str:
        """The text of a whole ruleset, `fuzz`, which shares all it may share."""
        configured = ""
        if self.is_often(20):
            value = self.expression()
            configured = f"configure using {self.declared()} = {value}"
        body = self.declarations(5)
        shared = [name for name, kind in self.scopes[0].items() if kind != "action"]
        shares = "shares " + ", ".join(shared) if shared else ""
        rules = "".join(self.rule(number) for number in range(1 + self.chance.randrange(3)))
        return (
            f"ruleset fuzz {{\n  meta {{ {shares} {configured} }}\n"
            f"  global {{ {body} }}\n{rules}}}\n"
        )


WAYS = words(
    "leaf leaf leaf array map_ chevron infix infix unary conditional path method method callback "
    "call member function"
)
