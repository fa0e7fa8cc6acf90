"""Write exchanges.json anew: `python -m tests.peer.record`, with the Node engine at hand.

In: the sequences of sequences.py, run with the Node engine in both roles. Out: what went over the
wire, and what ours was asked and knew, with names instead of ids.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

from tests.channels.stage import run
from tests.peer.exchanges import FILE, WELL_KNOWN, named
from tests.peer.node import NodeEngine
from tests.peer.sequences import SEQUENCES, have_nothing
from tests.peer.sides import NodeSide, OurSide
from tests.peer.stage import town


class _Noted(OurSide):
    """Keeps what it is asked to do, and what it knew at the end of each wait."""

    noted: list[dict[str, Any]]

    async def do(self, name: str, attrs: dict[str, Any]) -> None:
        self.noted.append({"at": self.now(), "do": name, "attrs": attrs})
        await super().do(name, attrs)

    def note(self, found: dict[str, list[dict[str, Any]]]) -> None:
        if not self.noted or self.noted[-1].get("bundles") != found:
            self.noted.append({"at": self.now(), "bundles": found})


async def record(folder: Path) -> list[dict[str, Any]]:
    """All sequences in both roles."""
    found = []
    with NodeEngine(folder / "node") as engine:
        await asyncio.to_thread(engine.start)
        async with town(system=True) as place:
            ours, theirs = _Noted(place), NodeSide(engine)
            await theirs.do("need_wellKnown_Rx", {})
            well_known = (await ours.ask("wellKnown_Rx"))["id"]
            known = {ours.host: "<ours>", theirs.host: "<theirs>", well_known: WELL_KNOWN}
            known |= {ours.host[7:]: "<at ours>", theirs.host[7:]: "<at theirs>"}
            for proposer in ("ours", "theirs"):
                for name, sequence in SEQUENCES.items():
                    ours.came.clear()
                    ours.noted = []
                    engine.requests()
                    await sequence(*((ours, theirs) if proposer == "ours" else (theirs, ours)))
                    await have_nothing(ours, theirs)
                    await place.until_quiet()
                    steps = [_step("came", one) for one in ours.came]
                    steps += [_sent(one) for one in engine.requests() if _is_sent(one)]
                    steps = sorted(steps + ours.noted, key=lambda step: step.pop("at"))
                    steps = named(steps, known)
                    found.append({"sequence": name, "proposer": proposer, "steps": steps})
    return found


def _is_sent(request: dict[str, Any]) -> bool:
    return str(request["url"]).startswith("/sky/event/")


def _step(kind: str, one: dict[str, Any]) -> dict[str, Any]:
    return {"at": one["at"], kind: one["url"], "attrs": one["attrs"], "status": one["status"]}


def _sent(one: dict[str, Any]) -> dict[str, Any]:
    return _step("sent", one) | {"answer": one["body"]}


def main() -> None:
    """Write the file."""

    async def go() -> None:
        with tempfile.TemporaryDirectory() as folder:
            found = await record(Path(folder))
        text = json.dumps(found, indent=1, ensure_ascii=False)
        FILE.write_text(text + "\n", encoding="utf-8")

    run(go, 120)


if __name__ == "__main__":
    main()
