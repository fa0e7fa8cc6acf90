"""The admin routes for operating: still copies of the store, imports; and the metrics.

In: a request whose token was checked (http_api.py does, for /metrics `Metrics` does). Out: one
answer. Invariants: paths are of this machine, so only its owner can use these routes; no engine
logic; nothing here waits. Not here: the other admin routes (http_admin.py, which lists these too).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from runtime.errors import Fault

if TYPE_CHECKING:
    from runtime.http_admin import Admin, Asked, Exchange
    from runtime.http_head import Request

_EXPOSITION = b"text/plain; version=0.0.4; charset=utf-8"


class OperateFace(Protocol):
    """What these routes need of an engine."""

    @property
    def root_eci(self) -> str: ...

    async def checkpoint(self) -> str: ...

    async def import_archive(self, path: Path, parent: str) -> dict[str, Any]: ...


class ImportFields(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /api/import`: a file on the engine's machine, and the new parent."""

    path: str
    parent: str = "root"


def _checkpoint(admin: Admin, asked: Asked) -> None:
    """Make a still copy of the store, and say where it lies."""
    admin.later(_made(admin.engine.checkpoint), asked)


async def _made(checkpoint: Callable[[], Any]) -> dict[str, str]:
    return {"path": await checkpoint()}


def _import(admin: Admin, asked: Asked) -> None:
    """Import an archive."""
    try:
        fields = msgspec.json.decode(asked.body(), type=ImportFields)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        message = f"the body of an import cannot be used: {error}"
        raise Fault("R1013", message, 'send {"path": FILE, "parent": ECI}') from None
    if not Path(fields.path).is_absolute():
        raise Fault("R1013", f"the path {fields.path[:80]!r} does not begin with a slash")
    parent = admin.engine.root_eci if fields.parent == "root" else fields.parent
    admin.later(admin.engine.import_archive(Path(fields.path), parent), asked)


# Method and name under /api/, as in http_admin.py.
ROUTES: dict[tuple[str, str], Callable[[Admin, Asked], None]] = {
    ("POST", "checkpoint"): _checkpoint,
    ("POST", "import"): _import,
}


class Metrics:
    """GET /metrics, for who has the admin token or the one for metrics.

    Also from this machine a token is needed: behind a proxy everybody comes from there.
    """

    def __init__(self, token: str, text: Callable[[], str]) -> None:
        self._bearer = b"Bearer " + token.encode() if token else b""
        self._text = text

    def answer(self, request: Request, exchange: Exchange) -> None:
        """Answer one request.

        Raises: R1010 without one of the tokens, R1009 for a method that is not GET.
        """
        if not (request.head.is_admin or self._is_known(request.head.attribute)):
            hint = "send `Authorization: Bearer <token>`; metrics.token in the data folder has it"
            raise Fault("R1010", "the metrics need a token", hint)
        if request.method not in (b"GET", b"HEAD"):
            raise Fault("R1009", f"Cannot {request.method.decode('latin-1')} /metrics")
        exchange.send(200, self._text().encode(), _EXPOSITION)

    def _is_known(self, headers: Mapping[str, Any]) -> bool:
        given = headers.get("authorization")
        if not self._bearer or type(given) is not str:
            return False
        return hmac.compare_digest(given.encode("latin-1", "replace"), self._bearer)
