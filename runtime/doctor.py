"""The doctor: is what a data folder holds sound, and if it is not, what can be done.

In: a data folder, and a still store from it. Out: a `Report`: findings with what is wrong, how to
repair it and (where that loses nothing) the rows that do, and counts of what there is. Invariants:
nothing is changed by looking; a repair only restores what other records say, or drops what nothing
can reach and nothing needs; whatever else is wrong is told, with the way out. Not here: the checks
of single families (doctor_checks.py), and the command (commands/keep.py).
"""

from __future__ import annotations

import os
import platform
import shutil
import stat
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from runtime.doctor_checks import Examination, Finding
from runtime.errors import Fault
from runtime.home import RESTORED
from runtime.limits import LIMITS
from runtime.store import STORE_FORMAT, Batch, Store

_PRIVATE = ("admin.token", "metrics.token")
_FREE_BYTES_NEEDED = 64 << 20
_FREE_BYTES_WISHED = 1 << 30
_REPAIR_ROWS_MAX = 1_000


class Report(msgspec.Struct):
    """What the doctor found. `counts` tells how many there are of what, and of findings not shown.

    `is_repaired` means that the rows of the findings were written.
    """

    home: str
    findings: list[Finding]
    counts: dict[str, int]
    versions: dict[str, str]
    is_repaired: bool = False

    @property
    def is_sound(self) -> bool:
        """True when nothing is wrong; warnings and notes are not."""
        return not any(finding.level == "error" for finding in self.findings)

    def to_map(self) -> dict[str, Any]:
        """The report as JSON-able data, with the table of limits."""
        return {
            "home": self.home,
            "sound": self.is_sound,
            "repaired": self.is_repaired,
            "findings": [finding.to_map() for finding in self.findings],
            "counts": self.counts,
            "versions": self.versions,
            "limits": {
                name: {"value": limit.value, "unit": limit.unit, "reason": limit.reason}
                for name, limit in LIMITS.items()
            },
        }


def examine(home: Path, store: Store, tell: Any = None) -> Report:
    """Look at a data folder and a still store of it; `tell(n)` hears of rows that were looked at.

    Raises: what the store raises when it cannot be read at all.
    Cost: reads every record once.
    """
    examination = Examination(store, tell or (lambda count: None))
    examination.run()
    findings = [*look_at_folder(home), *examination.findings]
    return Report(str(home), findings, examination.counts, versions())


def repair(store: Store, report: Report) -> int:
    """Write the rows that repair what a report found; return how many findings that was.

    Raises: what the store raises when it cannot be written.
    """
    repaired = [finding for finding in report.findings if finding.rows]
    rows: Batch = [row for finding in repaired for row in finding.rows]
    for start in range(0, len(rows), _REPAIR_ROWS_MAX):
        store.write(rows[start : start + _REPAIR_ROWS_MAX])
    return len(repaired)


def versions() -> dict[str, str]:
    """The versions of what takes part."""
    found = {"python": platform.python_version(), "store format": str(STORE_FORMAT)}
    for name in ("picos", "rocksdict", "msgpack", "msgspec", "uvloop", "httptools"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed as a package"
    return found


# --- The folder -----------------------------------------------------------------------------------


def look_at_folder(home: Path) -> list[Finding]:
    """What is noteworthy about a data folder beside its store."""
    found = [*_about_privacy(home), *_about_leavings(home)]
    try:
        free = shutil.disk_usage(home).free
    except OSError as error:
        raise Fault("R3005", f"the data folder {home} cannot be read: {error.strerror}") from error
    size = folder_bytes(home / "db")
    if free < _FREE_BYTES_NEEDED:
        message = f"only {free >> 20} MiB are free on the disk of the data folder"
        found.append(Finding("error", "disk", message, "free some space before anything else"))
    elif free < max(_FREE_BYTES_WISHED, size):
        message = f"{free >> 20} MiB are free on the disk, and the store has {size >> 20} MiB"
        advice = "free some space, or move the folder: a backup or a merge of files may need it"
        found.append(Finding("warning", "disk", message, advice))
    return found


def folder_bytes(folder: Path) -> int:
    """The size of the files in a folder."""
    try:
        return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    except OSError:
        return 0


def _about_privacy(home: Path) -> list[Finding]:
    found = []
    for name in (".", *_PRIVATE):
        try:
            mode = stat.S_IMODE(os.stat(home / name).st_mode)
        except OSError:
            continue
        is_open = mode & 0o077 if name != "." else mode & 0o022
        if is_open:
            what = "the data folder" if name == "." else name
            others = "read" if name != "." else "write to"
            wanted = "600" if name != "." else "700"
            message = f"others than the owner may {others} {what}"
            advice = f"chmod {wanted} {home / name}"
            found.append(Finding("warning", "privacy", message, advice))
    return found


def _about_leavings(home: Path) -> list[Finding]:
    found = []
    if (home / RESTORED).exists():
        message = "a restore was interrupted after it had happened"
        found.append(Finding("note", "leavings", message, "the next start of the engine ends it"))
    for folder in sorted(home.glob("db.re*")):
        if folder.name == RESTORED:
            continue
        size = folder_bytes(folder) >> 20
        what = "was replaced by a restore" if "replaced" in folder.name else "is half a restore"
        message = f"{folder.name} {what}, and takes {size} MiB"
        found.append(Finding("note", "leavings", message, f"when all is well: rm -r {folder}"))
    return found
