"""krlc: KRL rulesets to Python modules, ahead of time.

The passes, in order; each is a function from value to value, and `dump` prints what it returns:

    source.py       text, spans, points
    lexer.py        words typed with the help of the parser's state (parse_table.py)
    parser.py       text -> nodes.py, through builder.py and literals.py; recovery.py goes on after
                    an error that faults.py words; grammar.py makes krl.table of krl.lark;
                    regexps.py judges patterns with `ecma`
    names.py        scopes; every name becomes a symbol
    modules.py      domains, built-in members, used modules
    checks.py       structure: arity, actions, postlude, meta, deprecated forms
    automata.py     event expressions -> tables, through machine.py and determinise.py
    lower.py        nodes, names, automata -> ir.py (lower_expr.py: expressions); effects.py
    codegen.py      IR -> Python text (emit.py: expressions), laid out by writer.py
    manifest.py     what a compiled ruleset offers, for engines and tools

compilation.py runs them; soundness.py says what they still may in a text with syntax errors.
Around them: diagnostics.py, codes.py with its pages.py (pages_text.py, pages_syntax.py,
pages_names.py, pages_rules.py, pages_values.py) and spell.py: what people see; printer.py with
node_layout.py, layout.py and comments.py: `krlc fmt`; node_dump.py; library.py: the names of the
standard library; recursion.py; bundle.py with picotypes.py; version.py; cli.py; worker.py for
engines.

Nothing here imports `runtime` or `ext` (`ecma` is shared with the engine); only cli.py and
grammar.py read files.
"""

from __future__ import annotations

import types
from typing import Any

import msgspec

from krlc.diagnostics import Diagnostic
from krlc.source import Source, Span
from krlc.version import VERSION

__all__ = ["VERSION", "Compiled", "code_object", "compile_source", "dump"]


class Compiled(msgspec.Struct, frozen=True):
    """One compiled ruleset, or the reasons why there is none.

    Shapes: `lines` pairs are (generated line, KRL line). `module`, `manifest` and `lines` are empty
    when `ok` is false. `diagnostics` are sorted by place, errors and warnings together.
    """

    source: Source
    diagnostics: tuple[Diagnostic, ...]
    rid: str = ""
    module: str = ""
    lines: tuple[tuple[int, int], ...] = ()
    manifest: dict[str, Any] = msgspec.field(default_factory=dict)
    marks: dict[tuple[int, int], int] = msgspec.field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """True when the ruleset compiled."""
        return not any(d.severity == "error" for d in self.diagnostics)


def compile_source(text: str, url: str = "ruleset.krl") -> Compiled:
    """Compile one ruleset; every problem is a diagnostic, none is raised.

    Source: the passes of this module's docstring, in their order.
    """
    from krlc.compilation import Compilation

    return Compilation(Source(text, url)).finish()


def code_object(compiled: Compiled) -> types.CodeType:
    """The module's code object, whose instructions carry KRL file and line numbers."""
    from krlc.writer import code_object as make

    if not compiled.ok:
        raise ValueError("a ruleset with errors has no code")
    return make(compiled.module, compiled.source.name, compiled.marks, compiled.lines)


def dump(stage: str, source: Source) -> str:
    """What one pass made of a source: nodes, names, automata (dot: drawn), ir or py.

    Raises: ValueError for an unknown stage. A source with errors gives what the passes before the
    failing one made, and an empty text after it.
    """
    from krlc.compilation import Compilation

    return Compilation(source).dump(stage)


def internal_error(error: BaseException) -> Diagnostic:
    """The diagnostic for a failure of our own: what to do, and no traceback."""
    return Diagnostic(
        "K0901",
        f"the compiler failed on this text ({type(error).__name__})",
        Span(0, 0),
        "a fault of krlc, not of the ruleset",
        ("report it with the ruleset that causes it",),
    )
