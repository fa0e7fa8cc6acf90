"""A store that nobody writes to, for commands that read all of it.

In: a data folder. Out: the path of a database: a still copy that the running engine makes, or the
folder's own, held so that no engine starts meanwhile. Invariant: a copy is removed when the command
ends, however it does; what a killed command leaves goes at the engine's next start.
"""

import argparse
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from runtime.client_http import Refused, Target, Unreachable, ask
from runtime.errors import Fault
from runtime.home import Home, default_home, read_address

if TYPE_CHECKING:
    from runtime.rocks import RocksStore

_COPY_SECONDS_MAX = 600.0
# What is wrong with what was asked for, not with the engine or its folder.
_ASKED_WRONGLY = ("R1001", "R3008", "R3009", "R3002")
EXIT_CODES = (
    "exit codes: 0 done; 1 refused, see the message; 2 the command line is not right; "
    "3 the data folder or the engine cannot be used"
)


class Still(NamedTuple):
    """A still database, the data folder that it is of, and whether an engine runs there."""

    database: Path
    home: Path
    is_running: bool


def home_of(options: argparse.Namespace) -> Path:
    """The data folder that a command is about.

    Raises: Unreachable when there is none.
    """
    folder = Path(options.home).expanduser() if options.home else default_home()
    if not (folder / "FORMAT").exists():
        hint = "name the folder of an engine with --home, or in PICO_HOME"
        raise Unreachable(f"{folder} is no data folder", hint)
    return folder.resolve()


@contextmanager
def still_store(options: argparse.Namespace) -> Iterator[Still]:
    """Have a still database for as long as the block lasts.

    Raises: Unreachable when there is no data folder, R3001 when something else holds it, R3005.
    """
    folder = home_of(options)
    address = read_address(folder)
    if address is None:
        home = Home.open(folder)
        try:
            yield Still(home.db_path, folder, False)
        finally:
            home.close()
        return
    target = Target(address.url, address.token)
    made = ask(target, "/api/checkpoint", {}, needs_token=True, timeout_s=_COPY_SECONDS_MAX)
    copy = Path(made["path"])
    try:
        yield Still(copy, folder, True)
    finally:
        shutil.rmtree(copy, ignore_errors=True)


@contextmanager
def opened(database: Path) -> Iterator["RocksStore"]:
    """Open a still database.

    Raises: R3001, R3002, R3005, R3006.
    """
    from runtime.rocks import RocksStore

    store = RocksStore(database, lambda call: call(), durability="os", memory_bytes=64 << 20)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def refusals() -> Iterator[None]:
    """Tell what was asked wrongly from what cannot be reached: their exit codes differ."""
    try:
        yield
    except Fault as fault:
        if fault.code not in _ASKED_WRONGLY:
            raise
        raise Refused(fault.status, fault.to_map() | {"error": fault.message}) from fault
