"""The process of `pico serve`: sockets, the loop, signals, and the order of start and stop.

In: `ServeSettings`. Out: an engine that answers HTTP and channels until it is told to stop.

Start: bind the ports (so that a port in use is told before anything is touched), hold the data
folder, open the engine, listen, write down the address. Stop, on SIGTERM or SIGINT: take no new
connections, let open requests finish, close the engine (which syncs), let the folder go; a second
signal cuts the waiting short.
Not here: what requests mean (http_api.py, channel_server.py), the engine itself (library.py).
"""

import asyncio
import errno
import gc
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import quote

from runtime import limits, observe
from runtime.admin_api import Metrics
from runtime.channel_live import Listen
from runtime.channel_server import Channels
from runtime.compiler import COMPILER_VERSION
from runtime.errors import Fault
from runtime.home import Home
from runtime.http_api import Api, EngineFace
from runtime.http_wire import Connections
from runtime.ports import Hosted
from runtime.system import announce_start

if TYPE_CHECKING:
    from runtime.engine import Core

_log = logging.getLogger("pico.server")

_BACKLOG = 1024
# Lets the flusher thread back in after 0.5 ms instead of 5, so that a sync is not seen late.
_SWITCH_SECONDS = 0.0005


class ServeSettings(NamedTuple):
    """What `pico serve` was asked for. `base_url` "" means the address it listens at.

    Channels are served at `channel_port` unless it is None, and at `channel_socket` unless it is
    ""; with `trust_time` every client may say when its events happened. `allow_hosts` are servers
    that rulesets may reach although they are not public, `rulesets_from` places from which rules
    may have rulesets fetched.
    """

    home: str
    host: str = "127.0.0.1"
    port: int = 3000
    durability: str = "fsync"
    memory_bytes: int = 256 << 20
    compat_status: bool = False
    base_url: str = ""
    history: str = "full"
    channel_port: int | None = None
    channel_socket: str = ""
    trust_time: bool = False
    allow_hosts: tuple[str, ...] = ()
    rulesets_from: tuple[str, ...] = ()


class Running(NamedTuple):
    """A started engine, as `on_ready` gets it."""

    url: str
    home: Home
    root_eci: str
    channels: tuple[str, ...] = ()


def engine_version() -> str:
    """The version of this package, which is that of its compiler."""
    return COMPILER_VERSION


def bind(host: str, port: int, option: str = "--port") -> socket.socket:
    """A bound socket; port 0 takes any free one. `option` is what chooses it, for messages.

    Raises: R5006 when the address is in use, not ours, or not permitted.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _not_bound(host, port, error, option) from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise _not_bound(host, port, error, option) from error
    return bound


def bind_unix(path: str) -> socket.socket:
    """A bound Unix socket that only this user can use; what a killed engine left is replaced.

    Raises: R5006 when another process listens there, or the path cannot be used.
    """
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if Path(path).is_socket() and not _is_listening(path):
            Path(path).unlink()
        bound.bind(path)
        os.chmod(path, 0o600)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            hint = "another engine listens there; choose another path with --channel-socket"
            raise Fault("R5006", f"the socket {path} is in use", hint) from error
        hint = "choose a path of at most 100 characters in a folder of yours with --channel-socket"
        reason = error.strerror or error
        raise Fault("R5006", f"the socket {path} cannot be used: {reason}", hint) from error
    return bound


def _is_listening(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
        except OSError:
            return True
    return True


def _not_bound(host: str, port: int, error: OSError, option: str) -> Fault:
    where = f"port {port} of {host}"
    if error.errno == errno.EADDRINUSE:
        hint = f"another program listens there; stop it, or choose another port with {option}"
        return Fault("R5006", f"{where} is in use", hint)
    if error.errno == errno.EACCES:
        hint = f"choose a port above 1023 with {option}"
        return Fault("R5006", f"{where} is not permitted to this user", hint)
    hint = f"choose an address of this machine with --host, and a port with {option}"
    return Fault("R5006", f"{where} cannot be used: {error.strerror or error}", hint)


def shown_url(bound: socket.socket, host: str, scheme: str = "http") -> str:
    """The address to reach a bound socket at, from this machine."""
    port = bound.getsockname()[1]
    if host in ("0.0.0.0", "::", ""):
        host = "localhost"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _channel_url(bound: socket.socket, host: str) -> str:
    if bound.family == socket.AF_UNIX:
        return f"pico+unix:{quote(bound.getsockname())}"
    return shown_url(bound, host, "pico")


class HttpServer:
    """The HTTP side of one engine."""

    def __init__(self, server: asyncio.Server, connections: Connections, url: str) -> None:
        self._api = connections.api
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
        channel: str = "",
    ) -> "HttpServer":
        """Listen on a bound socket, and answer for the engine.

        `channel` is what other engines are told: the port that takes frames, and the engine's id.
        """
        api = Api(
            engine,
            token=token,
            version=engine_version(),
            compat_status=compat_status,
            channel=channel,
        )
        loop = asyncio.get_running_loop()
        connections = Connections(api, loop)
        url = shown_url(bound, host)
        server = await loop.create_server(connections.make, sock=bound, backlog=_BACKLOG)
        return cls(server, connections, url)

    async def stop(self, seconds: float = limits.http_stop_seconds_max) -> None:
        """Take no new connections, let open requests finish, close all in the given time."""
        self._server.close()
        await self._connections.stop(seconds)

    def serve_metrics(self, core: "Core", token: str, channels: "ChannelServer") -> None:
        """Answer /metrics for who has this token, or the admin token."""
        from runtime.metrics import exposition

        def text() -> str:
            return exposition(
                core,
                engine_version(),
                {"http": len(self._connections.open), "channel": channels.connections_open},
            )

        self._api.metrics = Metrics(token, text)

    def hurry(self) -> None:
        """Cut off what a `stop` under way still waits for."""
        for connection in list(self._connections.open):
            connection.abort()


class ChannelFace(Hosted, Protocol):
    """What channels need of an engine."""

    @property
    def listen(self) -> Listen: ...


class ChannelServer:
    """The channel side of one engine, at any number of sockets."""

    def __init__(self, channels: Channels, urls: tuple[str, ...]) -> None:
        self._channels = channels
        self.urls = urls

    @classmethod
    async def start(
        cls,
        engine: ChannelFace,
        sockets: list[socket.socket],
        host: str,
        *,
        token: str,
        trust_time: bool = False,
        ident: str = "",
    ) -> "ChannelServer":
        """Listen on bound sockets, and answer for the engine."""
        loop = asyncio.get_running_loop()
        version = f"picos {engine_version()}"
        channels = Channels(
            *(engine.core, loop),
            token=token,
            version=version,
            trusts_time=trust_time,
            ident=ident,
            listen=engine.listen,
        )
        urls = tuple(_channel_url(bound, host) for bound in sockets)
        for bound in sockets:
            if bound.family == socket.AF_UNIX:
                channels.listens(
                    await loop.create_unix_server(channels.make, sock=bound, backlog=_BACKLOG)
                )
            else:
                channels.listens(
                    await loop.create_server(channels.make, sock=bound, backlog=_BACKLOG)
                )
        return cls(channels, urls)

    @property
    def connections_open(self) -> int:
        """How many clients are connected."""
        return len(self._channels.open)

    async def stop(self, seconds: float = limits.channel_stop_seconds_max) -> None:
        """Take no new requests, let open ones finish, close all in the given time."""
        await self._channels.stop(seconds)

    def hurry(self) -> None:
        """Cut off what a `stop` under way still waits for."""
        self._channels.hurry()


async def serve(settings: ServeSettings, on_ready: Callable[[Running], object]) -> None:
    """Run an engine until a signal says stop.

    Raises: R5006 for the port, R3001 to R3006 for the data folder.
    """
    from runtime.library import Engine

    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    servers: list[HttpServer | ChannelServer] = []

    def stop() -> None:
        if stopping.is_set():
            for server in servers:
                server.hurry()
        stopping.set()

    with ExitStack() as held:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
            held.callback(loop.remove_signal_handler, number)
        bound = bind(settings.host, settings.port)
        held.callback(bound.close)
        channel_sockets = _bind_channels(settings, held)
        base_url = settings.base_url or shown_url(bound, settings.host)
        home = Home.open(settings.home)
        held.callback(home.close)
        home.sweep()
        async with Engine.open(
            home.path,
            durability=settings.durability,
            memory_bytes=settings.memory_bytes,
            host=base_url,
            history=settings.history,
            allow_hosts=settings.allow_hosts,
            rulesets_from=settings.rulesets_from,
        ) as engine:
            engine.core.on_failure = _log_failure
            try:
                # Frames first: HTTP says where they are taken, and by which engine.
                ident = secrets.token_hex(8)
                channels = await ChannelServer.start(
                    *(engine, channel_sockets, settings.host),
                    token=home.token,
                    trust_time=settings.trust_time,
                    ident=ident,
                )
                servers.append(channels)
                server = await HttpServer.start(
                    *(engine, bound, settings.host),
                    token=home.token,
                    compat_status=settings.compat_status,
                    channel=_told_channel(channel_sockets, ident),
                )
                servers.append(server)
                server.serve_metrics(engine.core, home.metrics_token, channels)
                home.announce(server.url, channels.urls)
                announce_start(engine.core)
                _settle_memory()
                on_ready(Running(server.url, home, engine.root_eci, channels.urls))
                await stopping.wait()
            finally:
                await asyncio.gather(*(each.stop() for each in servers))
        failure = engine.core.committer.failure
        if failure is not None:
            raise failure
        observe.ended()


def _settle_memory() -> None:
    """Have the collector look rarely, and never at what is there now.

    Events leave no cycles behind, and its looks take 15 to 30 % of the CPU of small ones.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _bind_channels(settings: ServeSettings, held: ExitStack) -> list[socket.socket]:
    """The sockets that channels are served at."""
    sockets = []
    if settings.channel_port is not None:
        sockets.append(bind(settings.host, settings.channel_port, "--channel-port"))
        held.callback(sockets[-1].close)
    if settings.channel_socket:
        path = Path(settings.channel_socket).expanduser().absolute()
        sockets.append(bind_unix(str(path)))
        held.callback(sockets[-1].close)
        held.callback(path.unlink, missing_ok=True)
    return sockets


def _told_channel(sockets: list[socket.socket], ident: str) -> str:
    """What other engines are told over HTTP: the port that takes frames, and who is there."""
    ports = [one.getsockname()[1] for one in sockets if one.family != socket.AF_UNIX]
    return f"{ports[0]} {ident}" if ports else ""


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
