"""`pico backup`, `pico restore`, `pico doctor`: keep what an engine holds, and look after it.

In: a data folder, and where a backup lies. Out: a backup, a folder that begins anew from one, a
report. Invariant: the engine may run, except for `restore` and `doctor --repair`. Not here: how it
is done (backup.py, doctor.py).
"""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.commands.arguments import EXIT_OK, EXIT_REFUSED, add_command, print_json
from runtime.commands.progress import counted, progress, shown_bytes
from runtime.commands.still import EXIT_CODES, home_of, opened, refusals, still_store
from runtime.errors import Fault
from runtime.home import Home, default_home, read_address

if TYPE_CHECKING:
    from runtime.doctor import Report

_DOCTOR_CODES = (
    "exit codes: 0 nothing is wrong; 1 something is wrong, or refused; 2 the command line is not "
    "right; 3 the data folder cannot be used"
)


def add(commands: Any) -> None:
    """Put the three commands under `pico`."""
    says = "copy all that an engine holds, while it runs or not"
    parser = add_command(commands, "backup", says, "pico backup ./monday")
    parser.epilog = f"example:  pico backup ./monday\n\n{EXIT_CODES}"
    parser.add_argument("dest", metavar="DEST", help="a folder that does not exist yet")
    parser.set_defaults(run=_backup)

    says = "have a data folder begin anew from a backup"
    example = "pico restore ./monday --home ./picos"
    parser = add_command(commands, "restore", says, example)
    parser.epilog = f"example:  {example}\n\n{EXIT_CODES}"
    parser.add_argument("backup", metavar="BACKUP", help="a folder that `pico backup` made")
    parser.add_argument(
        "--replace",
        action="store_true",
        help="also when the data folder holds something; that is kept under another name",
    )
    parser.set_defaults(run=_restore)

    says = "look whether what an engine holds is sound"
    parser = add_command(commands, "doctor", says, "pico doctor --home ./picos")
    parser.epilog = f"example:  pico doctor --home ./picos\n\n{_DOCTOR_CODES}"
    parser.add_argument(
        "--repair",
        action="store_true",
        help="put right what can be without losing anything; the engine must not run",
    )
    parser.add_argument("--limits", action="store_true", help="print the engine's bounds instead")
    parser.set_defaults(run=_doctor)


# --- Backups --------------------------------------------------------------------------------------


def _backup(options: argparse.Namespace) -> int:
    from runtime.backup import database_files, write_backup
    from runtime.server import engine_version

    dest = Path(options.dest).expanduser().absolute()
    with refusals(), still_store(options) as still:
        # A database that does not open is no use in a backup either.
        with opened(still.database):
            pass
        size = sum(file.stat().st_size for file in database_files(still.database))
        with progress("backup", size, "B") as tell:
            now_ms = time.time_ns() // 1_000_000
            index = write_backup(
                still.database, dest, engine=engine_version(), made_ms=now_ms, tell=tell
            )
    if options.json:
        print_json({"backup": str(dest), "bytes": index.bytes, "files": len(index.files)})
    else:
        files = counted(len(index.files), "file")
        print(f"backup of {still.home} in {dest}\n  {shown_bytes(index.bytes)} in {files}")
        print(f"  restore it with  pico restore {dest} --home DIR")
    return EXIT_OK


def _restore(options: argparse.Namespace) -> int:
    from runtime.backup import read_index, restore
    from runtime.dates import iso_text

    backup = Path(options.backup).expanduser().absolute()
    folder = Path(options.home).expanduser() if options.home else default_home()
    with refusals():
        index = read_index(backup)
        with progress("restore", 3 * index.bytes, "B") as tell:
            now_ms = time.time_ns() // 1_000_000
            done = restore(backup, folder, replace=options.replace, now_ms=now_ms, tell=tell)
    if options.json:
        replaced = None if done.replaced is None else str(done.replaced)
        print_json({"home": str(done.home), "made_ms": index.made_ms, "replaced": replaced})
        return EXIT_OK
    print(f"{done.home} holds what the backup of {iso_text(index.made_ms)} held")
    if done.replaced is not None:
        print(f"  what was there is in  {done.replaced}")
    print(f"  start it with  pico serve --home {done.home}")
    return EXIT_OK


# --- The doctor -----------------------------------------------------------------------------------


def _doctor(options: argparse.Namespace) -> int:
    if options.limits:
        return _limits(options)
    with refusals():
        report = _repaired(options) if options.repair else _examined(options)
    if options.json:
        print_json(report.to_map())
    else:
        _print_report(report)
    return EXIT_OK if report.is_sound else EXIT_REFUSED


def _examined(options: argparse.Namespace) -> "Report":
    from runtime.doctor import Report, examine, look_at_folder, versions
    from runtime.doctor_checks import Finding

    with still_store(options) as still:
        try:
            with opened(still.database) as store, progress("doctor", None, " rows") as tell:
                return examine(still.home, store, tell)
        except Fault as fault:
            if fault.code != "R3006":
                raise
            advice = "restore a backup; the message is RocksDB's own"
            found = [*look_at_folder(still.home), Finding("error", "store", fault.message, advice)]
            return Report(str(still.home), found, {}, versions())


def _repaired(options: argparse.Namespace) -> "Report":
    from runtime.doctor import examine, repair

    folder = home_of(options)
    if read_address(folder) is not None:
        hint = "stop the engine first; without --repair the doctor looks while it runs"
        raise Fault("R3001", f"an engine runs with the data folder {folder}", hint)
    home = Home.open(folder)
    try:
        with opened(home.db_path) as store, progress("doctor", None, " rows") as tell:
            report = examine(folder, store, tell)
            is_repaired = False
            # What was put right may show what lay behind it, once.
            for _ in range(2):
                if not repair(store, report):
                    break
                is_repaired = True
                report = examine(folder, store, tell)
            report.is_repaired = is_repaired
            return report
    finally:
        home.close()


def _print_report(report: "Report") -> None:
    shown = ", ".join(f"{count:,} {what}" for what, count in sorted(report.counts.items()))
    print(f"{report.home}: {shown or 'nothing could be counted'}")
    for finding in report.findings:
        print(f"{finding.level}: {finding.check}: {finding.message}")
        print(f"   = hint: {finding.advice}")
    if report.is_repaired:
        print("what could be put right was put right")
    errors = sum(finding.level == "error" for finding in report.findings)
    print(f"{counted(errors, 'error')} found" if errors else "sound: nothing is wrong")


def _limits(options: argparse.Namespace) -> int:
    from runtime.limits import LIMITS

    if options.json:
        print_json({name: limit._asdict() for name, limit in LIMITS.items()})
        return EXIT_OK
    for name, limit in LIMITS.items():
        print(f"{name} = {limit.value:,}\n    {limit.unit}\n    because {limit.reason}")
    return EXIT_OK
