"""`pico serve`: run an engine until it is told to stop.

In: options. Out: an engine that listens, and where it does. Not here: the engine and its sockets
(server.py).
"""

import argparse
import json
from typing import Any

from runtime.commands.arguments import EXIT_OK, add_command, port


def add(commands: Any) -> None:
    example = "pico serve --home ./picos --port 3000"
    parser = add_command(commands, "serve", "run an engine until it is told to stop", example)
    parser.add_argument("--port", type=port, default=3000, help="listen here (3000); 0: any free")
    parser.add_argument("--host", default="127.0.0.1", help="listen at this address (127.0.0.1)")
    parser.add_argument(
        "--channel-port",
        type=_channel_port,
        default=-1,
        metavar="PORT",
        help="listen for channels here (the port above --port); 0: any free; none: nowhere",
    )
    parser.add_argument("--channel-socket", metavar="PATH", help="and at this Unix socket")
    parser.add_argument(
        "--trust-time", action="store_true", help="channel clients may set the time of events"
    )
    parser.add_argument(
        "--durability",
        choices=("fsync", "os", "none"),
        default="fsync",
        help="what an answer survives: fsync everything, os a killed process, none nothing",
    )
    parser.add_argument(
        "--memory",
        type=size_bytes,
        default=256 << 20,
        metavar="SIZE",
        help="cache of the store (256M)",
    )
    parser.add_argument(
        "--history",
        choices=("full", "off"),
        default="full",
        help="keep what happened for `pico log` and `pico why`, or do not",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        type=_allowed_host,
        default=[],
        metavar="HOST",
        help="rulesets may reach this name, address (also HOST:PORT) or network (10.0.0.0/8), "
        "though it is not public; may be repeated",
    )
    parser.add_argument(
        "--rulesets-from",
        action="append",
        type=_allowed_place,
        default=[],
        metavar="PLACE",
        help="rules may have rulesets fetched from this folder or file (file:/srv/krl/, "
        "https://example.com/krl/; https: for all public servers), not only from beside "
        "what you deployed; may be repeated",
    )
    parser.add_argument(
        "--base-url",
        type=_base_url,
        metavar="URL",
        help="the public address, behind a proxy",
    )
    parser.add_argument(
        "--compat-status", action="store_true", help="status 200 also for errors, as Node does"
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but warnings")
    _add_log_options(parser)
    parser.set_defaults(run=_serve)


def _add_log_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--log-format",
        choices=("text", "json"),
        default="text",
        help="the lines on stderr: for people, or one JSON object each",
    )
    parser.add_argument(
        "--log-level",
        choices=("debug", "info", "klog", "warn", "error"),
        help="log from this level on (info; warn with --quiet)",
    )
    parser.add_argument(
        "--log-values",
        action="store_true",
        help="show whole ECIs and attribute values in the log, which are secrets of others",
    )


def _channel_port(text: str) -> int | None:
    return None if text == "none" else port(text)


def _allowed_host(text: str) -> str:
    from runtime.web_policy import Policy

    try:
        Policy([text])
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _allowed_place(text: str) -> str:
    from runtime.source_policy import SourcePolicy

    try:
        SourcePolicy([text])
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _base_url(text: str) -> str:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
        is_whole = parts.port != 0 and not parts.query and not parts.fragment
    except ValueError:
        is_address = is_whole = False
    if not is_address or not is_whole:
        message = f"an address such as https://picos.example.com, not {text!r}"
        raise argparse.ArgumentTypeError(message)
    return text


def size_bytes(text: str) -> int:
    """A size such as 256M, in bytes."""
    number, unit = text[:-1], text[-1:].upper()
    if unit.isdecimal():
        number, unit = text, ""
    factors = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    if not number.isdecimal() or unit not in factors or int(number) * factors[unit] < 8 << 20:
        message = f"a size is a number with K, M or G, at least 8M, not {text!r}"
        raise argparse.ArgumentTypeError(message)
    return int(number) * factors[unit]


def _serve(options: argparse.Namespace) -> int:
    from runtime import logs, observe
    from runtime.home import default_home
    from runtime.server import Running, ServeSettings, engine_version, run

    level = options.log_level or ("warn" if options.quiet else "info")
    logs.set_up(level, options.log_format, shows_values=options.log_values)

    def tell(running: Running) -> None:
        home = running.home.path
        if options.json or options.quiet or options.log_format == "json":
            # Who reads the lines below needs no other one.
            observe.started(engine_version(), running.url, str(home), options.durability)
        channels = "".join(f"  channels     {url}\n" for url in running.channels)
        if options.json:
            found = {"url": running.url, "home": str(home), "channels": running.channels}
            print(json.dumps(found), flush=True)
        elif not options.quiet:
            print(
                f"pico {engine_version()} listens at {running.url}\n{channels}"
                f"  data folder  {home} (durability: {options.durability})\n"
                "  root pico    the word root, wherever a command wants an ECI\n"
                f"  try          pico show --home {home}\n"
                f"               pico deploy FILE.krl --home {home}\n"
                "Stop it with Ctrl-C.",
                flush=True,
            )

    channel_port = options.channel_port
    if channel_port == -1:
        channel_port = (options.port + 1) % 65536 if options.port else 0
    settings = ServeSettings(
        home=options.home or str(default_home()),
        host=options.host,
        port=options.port,
        durability=options.durability,
        memory_bytes=options.memory,
        compat_status=options.compat_status,
        base_url=(options.base_url or "").rstrip("/"),
        history=options.history,
        channel_port=channel_port,
        channel_socket=options.channel_socket or "",
        trust_time=options.trust_time,
        allow_hosts=tuple(options.allow_host),
        rulesets_from=tuple(options.rulesets_from),
    )
    run(settings, tell)
    return EXIT_OK
