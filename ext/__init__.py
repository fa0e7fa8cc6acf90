"""The hot core, compiled where it can be: the only name of this package that others import.

In order of an event's path: `salience` (which rules an event concerns), `automaton` (whether an
event expression is complete). Each of them has a pure twin, `*_py`, with the same behaviour;
KRL_PURE=1 chooses the twins, and so does an extension that was not built or does not load.
`explain`, which tells how a step was decided and what still has to come, is never hot: pure only.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ext.automaton import Machine, State
    from ext.salience import Salience

    is_compiled: bool
else:
    is_compiled = os.environ.get("KRL_PURE", "") in ("", "0")
    if is_compiled:
        try:
            from ext.automaton import Machine, State
            from ext.salience import Salience
        except ImportError:
            is_compiled = False
    if not is_compiled:
        from ext.automaton_py import Machine, State
        from ext.salience_py import Salience

__all__ = ["Machine", "Salience", "State", "is_compiled"]
