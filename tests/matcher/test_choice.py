"""Which of the twins `ext` exports."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SHOW = "import ext; print(ext.is_compiled, ext.Machine.__module__, ext.Salience.__module__)"
COMPILED = "True ext.automaton ext.salience"
PURE = "False ext.automaton_py ext.salience_py"
MISSING = "import sys; sys.modules['ext.{}'] = None; " + SHOW


@pytest.mark.parametrize(
    ("code", "pure", "shown"),
    [
        (SHOW, "", COMPILED),
        (SHOW, "0", COMPILED),
        (SHOW, "1", PURE),
        (MISSING.format("automaton"), "", PURE),
        (MISSING.format("salience"), "", PURE),
        (MISSING.format("records"), "", PURE),
        (MISSING.format("border"), "", PURE),
    ],
)
def test_choice(code: str, pure: str, shown: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"KRL_PURE": pure, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == shown
