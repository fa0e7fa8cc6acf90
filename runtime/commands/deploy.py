"""`pico deploy`: install a ruleset on a pico, from a file or a URL.

In: a `.krl` file, a bundle or a URL. Out: what the engine installed. Not here: compiling, which the
engine has done (registry.py).
"""

import argparse
from base64 import b64encode
from pathlib import Path
from typing import Any

from runtime.commands.arguments import (
    EXIT_OK,
    Session,
    UsageError,
    add_client,
    json_map,
    print_json,
)


def add(commands: Any) -> None:
    says = "install a ruleset, or a new version of it"
    parser = add_client(commands, "deploy", says, "pico deploy counter.krl", _deploy)
    parser.add_argument("file", metavar="FILE|URL", help="a .krl file, a .krlb bundle, or a URL")
    parser.add_argument("--pico", metavar="ECI", default="root", help="on this pico (root)")
    parser.add_argument("--config", metavar="JSON", help="its configuration, a map (what it has)")


def _deploy(options: argparse.Namespace) -> int:
    fields: dict[str, Any] = {"eci": options.pico}
    if options.config is not None:
        fields["config"] = json_map(options.config, "--config")
    fields |= _to_install(options.file)
    answer = Session(options).ask("/api/install", fields, needs_token=True)
    if options.json:
        print_json(answer)
    else:
        if answer["rid"] is not None:
            print(f"installed {answer['rid']}\n  url      {answer['url']}")
            print(f"  hash     {answer['hash']}\n  channel  {answer['eci']}")
        for name in answer.get("types", ()):
            print(f"children can be made of the type {name}")
    return EXIT_OK


def _to_install(given: str) -> dict[str, Any]:
    """What to send for a file or URL.

    Raises: UsageError when the file cannot be read.
    """
    if "://" in given or given.startswith("file:"):
        return {"url": given}
    file = Path(given)
    try:
        content = file.read_bytes()
        if file.suffix == ".krlb":
            return {"bundle": b64encode(content).decode("ascii")}
        return {"source": content.decode(), "url": file.resolve().as_uri()}
    except OSError as error:
        raise UsageError(f"{given} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{given} is not UTF-8 text: {error.reason} at {error.start}") from None
