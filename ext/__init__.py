"""The hot core, compiled where it can be: the only name of this package that others import.

In order of an event's path: `border` (frames cut, small plain values and names checked and copied),
`ids` (new identifiers), `records` (what an event meets on its way, and the loop that offers it to
rules), `salience` (which rules an event concerns), `automaton` (whether an event expression is
complete), `work` (counts what code does, so that no rule runs for ever). Each of them has a pure
twin, `*_py`, with the same behaviour; KRL_PURE=1 chooses the twins, and so does an extension that
was not built or does not load. `explain`, which tells how a step was decided and what still has to
come, is never hot: pure only.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ext.automaton import Machine, State
    from ext.border import are_names, cut, is_plain, own_plain
    from ext.ids import IdsBase
    from ext.records import (
        LAST,
        NOTHING_SCHEDULED,
        NOTHING_SENT,
        NOTHING_TIMED,
        ContextBase,
        Director,
        EntitiesBase,
        Event,
        Item,
        RuleBase,
        TurnBase,
        View,
    )
    from ext.salience import Salience
    from ext.work import allow, begin, counted, current, spend, tick

    is_compiled: bool
else:
    is_compiled = os.environ.get("KRL_PURE", "") in ("", "0")
    if is_compiled:
        try:
            from ext.automaton import Machine, State
            from ext.border import are_names, cut, is_plain, own_plain
            from ext.ids import IdsBase
            from ext.records import (
                LAST,
                NOTHING_SCHEDULED,
                NOTHING_SENT,
                NOTHING_TIMED,
                ContextBase,
                Director,
                EntitiesBase,
                Event,
                Item,
                RuleBase,
                TurnBase,
                View,
            )
            from ext.salience import Salience
            from ext.work import allow, begin, counted, current, spend, tick
        except (ImportError, TypeError, ValueError):
            # The last two are of extensions that were built from different versions.
            is_compiled = False
    if not is_compiled:
        from ext.automaton_py import Machine, State
        from ext.border_py import are_names, cut, is_plain, own_plain
        from ext.ids_py import IdsBase
        from ext.records_py import (
            LAST,
            NOTHING_SCHEDULED,
            NOTHING_SENT,
            NOTHING_TIMED,
            ContextBase,
            Director,
            EntitiesBase,
            Event,
            Item,
            RuleBase,
            TurnBase,
            View,
        )
        from ext.salience_py import Salience
        from ext.work_py import allow, begin, counted, current, spend, tick

__all__ = [
    "LAST",
    "NOTHING_SCHEDULED",
    "NOTHING_SENT",
    "NOTHING_TIMED",
    "ContextBase",
    "Director",
    "EntitiesBase",
    "Event",
    "IdsBase",
    "Item",
    "Machine",
    "RuleBase",
    "Salience",
    "State",
    "TurnBase",
    "View",
    "allow",
    "are_names",
    "begin",
    "counted",
    "current",
    "cut",
    "is_compiled",
    "is_plain",
    "own_plain",
    "spend",
    "tick",
]
