"""Connections to HTTP servers: one request and its response at a time, through aiohttp.

In: requests, a policy, bounds. Out: responses, read whole, or faults. Invariants: aiohttp connects
only to addresses that the policy has seen: a host that is an address is checked here, a name by the
resolver that aiohttp asks; connections are kept by host and port, so what was checked stays so;
bodies are read and decompressed in pieces, and refused when they grow beyond their bound; nothing
follows redirects, keeps cookies or reads the environment here, and what is not idempotent is sent
once.
Imported by the first request (web_client.py), since loading aiohttp takes a quarter of a second.
"""

from __future__ import annotations

import asyncio
import errno
import io
import os
import socket
import zlib
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from runtime.errors import Fault
from runtime.limits import web_connections_max, web_host_connections_max
from runtime.web import Request, Response, failed, leads_on, origin
from runtime.web_policy import Policy

if TYPE_CHECKING:
    from runtime.web_client import Bounds, Lookup

_READ_BYTES = 1 << 16
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


class CheckedResolver(AbstractResolver):
    """Looks names up, and gives back only addresses that may be reached."""

    def __init__(self, policy: Policy, lookup: Lookup) -> None:
        self._policy = policy
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host.

        Raises: OSError when it has none, R5005 when it has none that is allowed.
        """
        try:
            addresses = await self._lookup(host)
        except UnicodeError:
            # An empty label, or one too long for any name server.
            raise socket.gaierror(socket.EAI_NONAME, "no name can be like this") from None
        found = self._policy.allowed(host, port, addresses)
        if not found:
            raise OSError(errno.EADDRNOTAVAIL, "it has no address")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in found
        ]

    async def close(self) -> None:
        """Nothing is kept."""


async def system_lookup(host: str) -> list[str]:
    """What the operating system says, in a thread."""
    loop = asyncio.get_running_loop()
    rows = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(row[4][0]) for row in rows))


class Session:
    """All connections of one engine."""

    def __init__(self, policy: Policy, bounds: Bounds, lookup: Lookup | None) -> None:
        self._policy = policy
        self._bounds = bounds
        connector = aiohttp.TCPConnector(
            resolver=CheckedResolver(policy, lookup or system_lookup),
            limit=web_connections_max,
            limit_per_host=web_host_connections_max,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("accept", "accept-encoding", "content-type", "user-agent"),
            # The whole has its time from the client.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=bounds.connect_seconds),
            trust_env=False,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def exchange(self, request: Request) -> Response:
        """Make one request and read its response whole.

        Raises: R5003, R5004, R5005, R5008, R4030.
        """
        _, host, port = origin(request.url)
        self._policy.check_address(host, port)
        url = URL(request.url, encoded=True)
        # What was checked must be what is connected to, whoever reads the URL.
        if ((url.host or "").lower(), url.port) != (host, port):
            raise failed(request.url, "its host can be read in two ways", "R2018")
        try:
            return await self._exchange(request, url)
        except aiohttp.InvalidURL:
            raise failed(request.url, "this is no URL", "R2018") from None
        except aiohttp.ConnectionTimeoutError:
            seconds = self._bounds.connect_seconds
            raise failed(request.url, f"no connection within {seconds:g} s", "R5003") from None
        except aiohttp.ClientOSError as error:
            raise failed(request.url, _reason(error)) from None
        except aiohttp.ServerDisconnectedError:
            raise failed(request.url, "the server hung up without an answer") from None
        except aiohttp.ClientError as error:
            why = f"the server's answer is broken ({type(error).__name__})"
            raise failed(request.url, why, "R5008") from None

    async def _exchange(self, request: Request, url: URL) -> Response:
        # Large bodies go out in pieces, so that the loop turns meanwhile.
        sent = None if request.body is None else io.BytesIO(request.body)
        async with self._session.request(
            request.method,
            url,
            headers=list(request.headers),
            data=sent,
            allow_redirects=False,
        ) as got:
            headers = tuple((name.lower(), value) for name, value in got.headers.items())
            response = Response(got.status, got.reason or "", headers, b"", request.url)
            if leads_on(request, response) and not _is_short(got):
                # Its connection is closed: that is cheaper than reading on.
                return response
            return response._replace(body=await self._read(request, got))

    async def _read(self, request: Request, got: aiohttp.ClientResponse) -> bytes:
        bound = self._bounds.body_bytes
        unpacker = _Unpacker(got.headers.get("content-encoding", ""), bound)
        length = got.content_length or 0
        if request.method != "HEAD" and length > bound:
            raise _too_large(request, bound)
        received = 0
        async for piece in got.content.iter_chunked(_READ_BYTES):
            received += len(piece)
            try:
                unpacker.feed(piece)
            except zlib.error:
                raise failed(request.url, "its compression is broken", "R5008") from None
            if unpacker.size > bound or received > bound:
                raise _too_large(request, bound)
        if not unpacker.is_whole(received):
            raise failed(request.url, "its compressed body ends too early", "R5008")
        return b"".join(unpacker.pieces)


class _Unpacker:
    """A body as it comes, decompressed; never more than one byte beyond the bound."""

    def __init__(self, encoding: str, bound: int) -> None:
        self._encoding = encoding.strip().lower()
        self._bound = bound
        self._inflate: Any = None
        self._is_packed = self._encoding in ("gzip", "x-gzip", "deflate")
        self.pieces: list[bytes] = []
        self.size = 0

    def feed(self, piece: bytes) -> None:
        """Take a piece.

        Raises: zlib.error for what is not compressed as it should be.
        """
        if self._is_packed:
            if self._inflate is None:
                self._inflate = zlib.decompressobj(self._window(piece))
            piece = self._inflate.decompress(piece, self._bound + 1 - self.size)
        self.size += len(piece)
        self.pieces.append(piece)

    def _window(self, piece: bytes) -> int:
        """Servers that say deflate mean it with or without zlib's frame."""
        is_framed = piece[0] & 0x0F == 8 and piece[0] >> 4 <= 7
        return _GZIP_OR_ZLIB if self._encoding != "deflate" or is_framed else -zlib.MAX_WBITS

    def is_whole(self, received: int) -> bool:
        """Whether nothing is missing at the end; a body of nothing (of HEAD, 304) is whole."""
        return not self._is_packed or not received or bool(self._inflate.eof)


def _is_short(got: aiohttp.ClientResponse) -> bool:
    return got.content_length is not None and got.content_length <= _READ_BYTES


def _too_large(request: Request, bound: int) -> Fault:
    return failed(request.url, f"the response is larger than {bound} bytes", "R4030")


def _reason(error: OSError) -> str:
    """Why a connection failed, without addresses and host texts of the library."""
    inner = getattr(error, "os_error", error)
    if isinstance(inner, socket.gaierror):
        return "its name is not known"
    if isinstance(error, aiohttp.ClientSSLError):
        return f"its certificate is not trusted, or it speaks no TLS ({type(inner).__name__})"
    if inner.errno is not None and inner.errno > 0:
        return os.strerror(inner.errno).lower()
    return str(inner)[:200] or type(inner).__name__
