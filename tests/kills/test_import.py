"""`pico serve` killed while it imports: all of the archive is there afterwards, or nothing."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from runtime.client_http import Refused, ask
from tests.harness.process import Served, wait_for
from tests.kills.test_kills import SEED
from tests.operate.stage import archived, nest

PICOS = 300
TRIES = 2


def is_sound(home: Path) -> bool:
    """Whether the doctor finds nothing wrong."""
    command = [sys.executable, "-m", "runtime", "doctor", "--home", str(home)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def answers(served: Served, door: str) -> Any:
    """What an imported pico says; None when it is not there."""
    try:
        return served.query(door, "nest", "fired")
    except Refused as refused:
        if refused.status != 404:
            raise
        return None


def test_killed_import_leaves_all_or_nothing(tmp_path: Path) -> None:
    engine = nest()
    engine.event("nest", "grow", {"name": "child"})
    door = engine.query("nest", "door", {"name": "child"})
    for number in range(PICOS):
        engine.event("nest", "grow", {"name": f"n{number}"}, eci=door)
    engine.event("nest", "ring", {"after": 7}, eci=door)
    path = tmp_path / "a.pico"
    archived(engine, door, path)
    chance = random.Random(SEED)
    with Served(tmp_path / "home") as served:
        served.start()
        for _ in range(TRIES):
            command = [sys.executable, "-m", "runtime", "import", str(path), "--json"]
            with subprocess.Popen(
                [*command, "--home", str(served.home)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            ) as importing:
                # The command has asked once its engine has a store that grows.
                log = max((served.home / "db").glob("*.log"))
                grown = log.stat().st_size + chance.randint(1, 150_000)
                wait_for(
                    "rows of the import",
                    lambda log=log, grown=grown, importing=importing: (
                        log.stat().st_size >= grown or importing.poll() is not None
                    ),
                )
                served.kill()
                importing.communicate()
            served.start()
            assert is_sound(served.home)
            if answers(served, door) is not None:
                break
        else:
            found = ask(served.target, "/api/import", {"path": str(path)}, needs_token=True)
            assert found["picos"] == PICOS + 1
        assert answers(served, door) == [7]
        assert (
            len(ask(served.target, f"/api/show?eci={door}", needs_token=True)["children"]) == PICOS
        )
