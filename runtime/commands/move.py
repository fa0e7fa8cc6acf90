"""`pico export` and `pico import`: take a pico, or all below it, from one engine to another.

In: a channel of a pico and a file, or a file and the new parent. Out: an archive, or picos that go
on where they were. Invariant: an export reads a still store, so the engine may run; it must run for
an import. Not here: how it is done (export.py, imports.py).
"""

import argparse
from pathlib import Path
from typing import Any

from runtime.commands.arguments import EXIT_OK, Session, add_client, add_command, print_json
from runtime.commands.progress import counted, progress
from runtime.commands.still import EXIT_CODES, opened, refusals, still_store


def add(commands: Any) -> None:
    """Put the two commands under `pico`."""
    says = "write a pico and all below it to a file"
    example = "pico export ECI sensor.pico"
    parser = add_command(commands, "export", says, example)
    parser.epilog = f"example:  {example}\n\n{EXIT_CODES}"
    parser.add_argument("eci", metavar="ECI", help="a channel of the pico, or the word root")
    parser.add_argument("file", metavar="FILE", help="the file to write, for you alone to read")
    parser.add_argument("--alone", action="store_true", help="without the picos below it")
    parser.set_defaults(run=_export)

    says = "bring picos of a file to life, as they were"
    example = "pico import sensor.pico"
    parser = add_client(commands, "import", says, example, _import, timeout_s=3600.0)
    parser.add_argument("file", metavar="FILE", help="what `pico export` wrote")
    parser.add_argument("--parent", metavar="ECI", default="root", help="below this pico (root)")


def _export(options: argparse.Namespace) -> int:
    from runtime.export import export, find_pico
    from runtime.server import engine_version

    path = Path(options.file).expanduser().absolute()
    with refusals(), still_store(options) as still, opened(still.database) as store:
        pico_id = find_pico(store, options.eci)
        with progress("export", None, " picos") as tell:
            done = export(
                *(store, pico_id, path),
                engine=engine_version(),
                is_alone=options.alone,
                tell=tell,
            )
    picos = len(done.manifest.picos)
    if options.json:
        found = {"file": str(path), "id": pico_id, "picos": picos, "archive": done.identity}
        print_json(found | {"rulesets": len(done.manifest.rulesets)})
        return EXIT_OK
    rulesets = counted(len(done.manifest.rulesets), "ruleset")
    print(f"exported pico {pico_id} to {path}\n  {counted(picos, 'pico')}, {rulesets}")
    print(f"  archive  {done.identity}\n  It holds channels, which let others in: keep it private.")
    return EXIT_OK


def _import(options: argparse.Namespace) -> int:
    path = Path(options.file).expanduser().absolute()
    fields = {"path": str(path), "parent": options.parent}
    answer = Session(options).ask("/api/import", fields, needs_token=True)
    if options.json:
        print_json(answer)
        return EXIT_OK
    print(f"imported pico {answer['id']}")
    shown = [counted(answer["picos"], "pico"), counted(answer["timers"], "timer")]
    print(f"  {', '.join(shown)}, {counted(answer['waiting'], 'waiting event')}")
    print(f"  archive  {answer['archive']}")
    if answer["eci"]:
        print(f"  channel  {answer['eci']}")
    return EXIT_OK
