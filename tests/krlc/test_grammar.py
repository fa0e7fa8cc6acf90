"""The parse table: current, deterministic, and made from a grammar with the conflicts we mean."""

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from krlc import grammar
from krlc.parse_table import TABLE

ROOT = Path(__file__).resolve().parents[2]


def test_grammar_table_is_current() -> None:
    text = grammar.GRAMMAR_PATH.read_text("utf-8")
    assert TABLE.grammar_hash == sha256(text.encode()).hexdigest()
    assert grammar.make_table(text) == grammar.TABLE_PATH.read_text("utf-8")


@pytest.mark.parametrize("seed", ["1", "2"])
def test_grammar_table_ignores_hash_seed(seed: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    command = [sys.executable, "-m", "krlc.grammar", "--check"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_grammar_counts_conflicts() -> None:
    text = grammar.GRAMMAR_PATH.read_text("utf-8")
    one_more = text.replace(
        "?unary: postfix\n", '?unary: postfix\n    | unary "%" unary -> infix\n'
    )
    assert one_more != text
    with pytest.raises(grammar.GrammarError, match="conflicts, expected 11"):
        grammar.make_table(one_more)


def test_grammar_refuses_ambiguity() -> None:
    text = grammar.GRAMMAR_PATH.read_text("utf-8")
    doubled = text.replace(
        "?fragment_item: declaration | expr", "?fragment_item: declaration | expr | id"
    )
    assert doubled != text
    with pytest.raises(grammar.GrammarError):
        grammar.make_table(doubled)


def test_parser_needs_no_lark() -> None:
    program = "import sys, krlc.parser; print('lark' in sys.modules, 'regress' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False False\n"
