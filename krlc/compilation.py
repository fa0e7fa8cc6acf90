"""One compilation: runs the passes in order and stops where errors make the next one pointless.

In: a `Source`. Out: `Compiled`, or the text of one stage. Invariants: with syntax errors there is
no tree, and later passes say only what these cannot have caused (soundness.py); names, modules and
checks all run before anything stops; nothing after the checks runs when there is an error. Our own
failures become a K0901 diagnostic.
"""

from __future__ import annotations

from krlc import Compiled, internal_error
from krlc import nodes as n
from krlc.automata import Automaton, build
from krlc.automata import dot as draw
from krlc.automata import dump as dump_automaton
from krlc.checks import check
from krlc.codegen import generate
from krlc.diagnostics import Diagnostic
from krlc.ir import Module, show
from krlc.lower import lower
from krlc.manifest import manifest
from krlc.modules import check_modules
from krlc.names import Names, resolve
from krlc.names import dump as dump_names
from krlc.parser import parse_partly
from krlc.recursion import deep_recursion
from krlc.soundness import sound_errors
from krlc.source import Source
from krlc.writer import Written

STAGES = ("nodes", "names", "automata", "ir", "py")


class Compilation:
    """The state between passes."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.diagnostics: list[Diagnostic] = []
        self.tree: n.Ruleset | n.Fragment | None = None
        self.names: Names | None = None
        self.automata: dict[str, Automaton] = {}
        self.ir: Module | None = None
        self.written: Written | None = None

    def has_errors(self) -> bool:
        return any(d.severity == "error" for d in self.diagnostics)

    def finish(self) -> Compiled:
        """Run all passes."""
        try:
            with deep_recursion():
                self.run("py")
        except Exception as error:
            self.diagnostics.append(internal_error(error))
        self.diagnostics.sort(key=lambda d: (d.span.start, d.span.end, d.code))
        found = tuple(dict.fromkeys(self.diagnostics))
        if self.has_errors() or self.written is None or self.ir is None:
            return Compiled(self.source, found)
        assert isinstance(self.tree, n.Ruleset)
        lines = self.written.lines
        return Compiled(
            self.source,
            found,
            self.ir.rid,
            self.written.text + _line_table(lines),
            lines,
            manifest(self.source, self.tree, self.ir, found),
            self.written.marks,
        )

    def run(self, last: str) -> None:
        """Run the passes up to the one named."""
        self.tree, found, lost = parse_partly(self.source)
        self.diagnostics.extend(found)
        if found:
            tree, self.tree = self.tree, None
            if isinstance(tree, n.Ruleset):
                self.diagnostics.extend(sound_errors(self.source, tree, found, lost))
            return
        if last == "nodes" or not isinstance(self.tree, n.Ruleset):
            if isinstance(self.tree, n.Fragment):
                self.diagnostics.append(_no_ruleset(self.tree))
            return
        self.names = resolve(self.tree)
        self.diagnostics.extend(self.names.diagnostics)
        self.diagnostics.extend(check_modules(self.tree))
        self.diagnostics.extend(check(self.tree, self.names))
        if last == "names":
            return
        for rule in self.tree.rules:
            if rule.is_active and rule.select is not None:
                automaton, found = build(rule.select)
                self.diagnostics.extend(found)
                if automaton is not None:
                    self.automata[rule.name.name] = automaton
        if last == "automata" or self.has_errors():
            return
        self.ir, found = lower(self.tree, self.names, self.automata)
        self.diagnostics.extend(found)
        if last == "ir" or self.has_errors():
            return
        self.written, found = generate(self.ir, self.source)
        self.diagnostics.extend(found)

    def dump(self, stage: str) -> str:
        """The text of one stage."""
        if stage not in (*STAGES, "dot"):
            raise ValueError(f"no stage `{stage}`; there are {', '.join(STAGES)} and dot")
        if stage == "py":
            return self.finish().module
        with deep_recursion():
            self.run("automata" if stage == "dot" else stage)
            return self.text(stage)

    def text(self, stage: str) -> str:
        """What the passes made, in the form of one stage; `dot` draws the automata."""
        if stage == "nodes":
            from krlc.node_dump import dump_nodes

            return "" if self.tree is None else dump_nodes(self.tree)
        if stage == "names":
            return "" if self.names is None else dump_names(self.names)
        if stage == "automata":
            return "\n".join(
                f"rule {name}\n{dump_automaton(automaton)}"
                for name, automaton in self.automata.items()
            )
        if stage == "dot":
            return "".join(draw(automaton, name) for name, automaton in self.automata.items())
        return "" if self.ir is None else show(self.ir)


def _line_table(lines: tuple[tuple[int, int], ...]) -> str:
    """The `LINES` table at the end of a module, six pairs a row."""
    if not lines:
        return "LINES = ()\n"
    rows = [
        "    " + " ".join(f"({a}, {b})," for a, b in lines[i : i + 6])
        for i in range(0, len(lines), 6)
    ]
    return "LINES = (\n" + "\n".join(rows) + "\n)\n"


def _no_ruleset(tree: n.Fragment) -> Diagnostic:
    return Diagnostic(
        "K0415",
        "no ruleset in this text",
        tree.span,
        "only declarations and expressions",
        ("begin with `ruleset name { … }`",),
    )
