"""The process of `pico serve`: sockets, the loop, signals, and the order of start and stop.

In: `ServeSettings`. Out: an engine that answers HTTP until it is told to stop.

Start: bind the port (so that a port in use is told before anything is touched), hold the data
folder, open the engine, listen, write down the address. Stop, on SIGTERM or SIGINT: take no new
connections, let open requests finish, close the engine (which syncs), let the folder go; a second
signal cuts the waiting short.
Not here: what requests mean (http_api.py), the engine itself (library.py).
"""

import asyncio
import errno
import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

from runtime import limits
from runtime.errors import Fault
from runtime.home import Home
from runtime.http_api import Api, EngineFace
from runtime.http_wire import Connections

_log = logging.getLogger("pico.server")

_BACKLOG = 1024
# Lets the flusher thread back in after 0.5 ms instead of 5, so that a sync is not seen late.
_SWITCH_SECONDS = 0.0005


class ServeSettings(NamedTuple):
    """What `pico serve` was asked for. `base_url` "" means the address it listens at."""

    home: str
    host: str = "127.0.0.1"
    port: int = 3000
    durability: str = "fsync"
    memory_bytes: int = 256 << 20
    compat_status: bool = False
    base_url: str = ""
    history: str = "full"


class Running(NamedTuple):
    """A started engine, as `on_ready` gets it."""

    url: str
    home: Home
    root_eci: str


def engine_version() -> str:
    """The version of this package."""
    try:
        return version("picos")
    except PackageNotFoundError:
        return "0"


def bind(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 takes any free one.

    Raises: R5006 when the address is in use, not ours, or not permitted.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _not_bound(host, port, error) from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise _not_bound(host, port, error) from error
    return bound


def _not_bound(host: str, port: int, error: OSError) -> Fault:
    where = f"port {port} of {host}"
    if error.errno == errno.EADDRINUSE:
        hint = "another program listens there; stop it, or choose another port with --port"
        return Fault("R5006", f"{where} is in use", hint)
    if error.errno == errno.EACCES:
        hint = "choose a port above 1023 with --port"
        return Fault("R5006", f"{where} is not permitted to this user", hint)
    hint = "choose an address of this machine with --host, and a port with --port"
    return Fault("R5006", f"{where} cannot be used: {error.strerror or error}", hint)


def shown_url(bound: socket.socket, host: str) -> str:
    """The address to reach a bound socket at, from this machine."""
    port = bound.getsockname()[1]
    if host in ("0.0.0.0", "::", ""):
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class HttpServer:
    """The HTTP side of one engine."""

    def __init__(self, server: asyncio.Server, connections: Connections, url: str) -> None:
        self._server = server
        self._connections = connections
        self.url = url

    @classmethod
    async def start(
        cls,
        engine: EngineFace,
        bound: socket.socket,
        host: str,
        *,
        token: str,
        compat_status: bool = False,
    ) -> "HttpServer":
        """Listen on a bound socket, and answer for the engine."""
        api = Api(engine, token=token, version=engine_version(), compat_status=compat_status)
        loop = asyncio.get_running_loop()
        connections = Connections(api, loop)
        url = shown_url(bound, host)
        server = await loop.create_server(connections.make, sock=bound, backlog=_BACKLOG)
        return cls(server, connections, url)

    async def stop(self, seconds: float = limits.http_stop_seconds_max) -> None:
        """Take no new connections, let open requests finish, close all in the given time."""
        self._server.close()
        await self._connections.stop(seconds)

    def hurry(self) -> None:
        """Cut off what a `stop` under way still waits for."""
        for connection in list(self._connections.open):
            connection.abort()


async def serve(settings: ServeSettings, on_ready: Callable[[Running], object]) -> None:
    """Run an engine until a signal says stop.

    Raises: R5006 for the port, R3001 to R3006 for the data folder.
    """
    from runtime.library import Engine

    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    server: HttpServer | None = None

    def stop() -> None:
        if stopping.is_set() and server is not None:
            server.hurry()
        stopping.set()

    with ExitStack() as held:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
            held.callback(loop.remove_signal_handler, number)
        bound = bind(settings.host, settings.port)
        held.callback(bound.close)
        base_url = settings.base_url or shown_url(bound, settings.host)
        home = Home.open(settings.home)
        held.callback(home.close)
        async with Engine.open(
            home.path,
            durability=settings.durability,
            memory_bytes=settings.memory_bytes,
            host=base_url,
            history=settings.history,
        ) as engine:
            engine.core.on_failure = _log_failure
            server = await HttpServer.start(
                engine,
                bound,
                settings.host,
                token=home.token,
                compat_status=settings.compat_status,
            )
            try:
                home.announce(server.url)
                # What is there now stays; the collector need not look at it again.
                gc.collect()
                gc.freeze()
                on_ready(Running(server.url, home, engine.root_eci))
                await stopping.wait()
            finally:
                await server.stop()


def _log_failure(fault: Fault) -> None:
    _log.critical("%s: %s (%s)", fault.code, fault.message, fault.hint)


def run(settings: ServeSettings, on_ready: Callable[[Running], object]) -> None:
    """Run `serve` on uvloop in this thread.

    Raises: as `serve`.
    """
    import uvloop

    sys.setswitchinterval(_SWITCH_SECONDS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings, on_ready))
