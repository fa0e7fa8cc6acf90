"""The routes under /api/: looking into an engine, and deploying to it.

In: a request whose token was checked (http_api.py does), an `AdminFace`. Out: one answer, now or
from a coroutine, or a stream that goes on. Invariants: no engine logic; nothing here waits.
Not here: events and queries (http_api.py).
"""

import asyncio
import logging
from base64 import b64decode
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import msgspec

from runtime.admin_api import ROUTES as OPERATING
from runtime.admin_api import OperateFace
from runtime.errors import Fault
from runtime.http_answers import EVENTS, JSON, cannot, encode_json
from runtime.http_follow import Follower, Stream
from runtime.http_head import Request
from runtime.http_params import decompress, parse_query
from runtime.live import Listener

_log = logging.getLogger("pico.http")


class AdminFace(OperateFace, Protocol):
    """What administration needs of an engine."""

    async def install(
        self,
        eci: str,
        *,
        url: str | None = None,
        source: str | None = None,
        bundle: bytes | None = None,
        config: dict[str, Any] | None = None,
    ) -> dict[str, Any]: ...

    async def flush(self, url: str) -> dict[str, Any]: ...

    def describe(self, eci: str | None = None) -> dict[str, Any]: ...

    async def salience(self, eci: str) -> dict[str, Any]: ...

    async def authority(self, eci: str | None = None) -> dict[str, Any]: ...

    def log(
        self,
        eci: str | None = None,
        *,
        eid: str | None = None,
        rule: str | None = None,
        limit: int = 50,
        whole: bool = False,
    ) -> list[dict[str, Any]]: ...

    async def why(self, eci: str, eid: str, rule: str | None = None) -> dict[str, Any]: ...

    def listen(
        self,
        tell: Callable[[], object],
        eci: str | None = None,
        /,
        *,
        event: str | None = None,
        rule: str | None = None,
        level: str | None = None,
        whole: bool = False,
    ) -> Listener: ...


class Exchange(Protocol):
    """Where the answer of one request goes."""

    def send(self, status: int, body: bytes, kind: bytes = JSON, extra: bytes = b"") -> None:
        """Answer; `extra` is whole header lines, each with its line end."""

    def stream(self, kind: bytes) -> Stream:
        """Begin an answer that goes on, instead."""


class Asked:
    """One admin request, its parameters read."""

    __slots__ = ("body_bytes_max", "exchange", "params", "request")

    def __init__(
        self, request: Request, query: bytes, exchange: Exchange, body_bytes_max: int
    ) -> None:
        self.request = request
        self.params = parse_query(query)
        self.exchange = exchange
        self.body_bytes_max = body_bytes_max

    def one(self, name: str) -> str | None:
        """A parameter that is given once, or not at all, or empty.

        Raises: R1013.
        """
        value = self.params.get(name) or None
        if value is not None and not isinstance(value, str):
            raise Fault("R1013", f"the parameter {name} is given more than once")
        return value

    def needed(self, name: str) -> str:
        """A parameter that has to be there.

        Raises: R1013.
        """
        value = self.one(name)
        if value is None:
            raise Fault("R1013", f"the parameter {name} is missing", f"add `{name}=…`")
        return value

    def number(self, name: str, default: int) -> int:
        """A parameter that is a number.

        Raises: R1013.
        """
        text = self.one(name)
        if text is None:
            return default
        if not text.isdecimal() or len(text) > 9:
            raise Fault("R1013", f"the parameter {name} is a whole number, not {text[:40]!r}")
        return int(text)

    def body(self) -> bytes:
        """The body as it was before its content encoding."""
        return decompress(self.request.head.encoding, self.request.body, self.body_bytes_max)


class Admin:
    """The admin routes of one engine. `fail` answers with a fault."""

    def __init__(
        self, engine: AdminFace, *, version: str, fail: Callable[[Exchange, Fault], None]
    ) -> None:
        self.engine = engine
        self._version = version
        self._fail = fail
        self._tasks: set[asyncio.Task[None]] = set()

    def route(self, name: str, asked: Asked) -> None:
        """Answer one request to /api/<name>.

        Raises: R1009 for an unknown name or method, R1013 for parameters; what the engine raises.
        """
        method = asked.request.method.decode("latin-1")
        if method == "HEAD":
            method = "GET"
        handle = _ROUTES.get((method, name)) or _ROUTES.get(("*", name))
        if handle is None:
            raise Fault("R1009", cannot(asked.request.method, f"/api/{name}"))
        handle(self, asked)

    # ------------------------------------------------------------------------------- looking

    def _ui_context(self, asked: Asked) -> None:
        about = {"version": self._version, "eci": self.engine.root_eci}
        asked.exchange.send(200, encode_json(about))

    def _show(self, asked: Asked) -> None:
        eci = self._eci(asked)
        if "salience" in asked.params:
            self.later(self.engine.salience(eci or self.engine.root_eci), asked)
        elif "authority" in asked.params:
            self.later(self.engine.authority(eci), asked)
        else:
            asked.exchange.send(200, encode_json(self.engine.describe(eci)))

    def _history(self, asked: Asked) -> None:
        if "follow" in asked.params:
            self._follow(asked)
            return
        entries = self.engine.log(
            self._eci(asked),
            eid=asked.one("eid"),
            rule=asked.one("rule"),
            limit=asked.number("limit", 50),
            whole="whole" in asked.params,
        )
        asked.exchange.send(200, encode_json(entries))

    def _follow(self, asked: Asked) -> None:
        """Show what happens from now on, as a stream."""
        follower = Follower(asyncio.get_running_loop())
        listener = self.engine.listen(
            follower.tell,
            self._eci(asked),
            event=asked.one("event"),
            rule=asked.one("rule"),
            level=asked.one("level"),
            whole="whole" in asked.params,
        )
        follower.begin(listener, asked.exchange.stream(EVENTS))

    def _why(self, asked: Asked) -> None:
        eid = asked.needed("eid")
        eci = self._eci(asked) or self.engine.root_eci
        self.later(self.engine.why(eci, eid, asked.one("rule")), asked)

    # ----------------------------------------------------------------------------- deploying

    def _install(self, asked: Asked) -> None:
        fields = _install_fields(asked.body())
        eci = self.engine.root_eci if fields.eci in ("", "root") else fields.eci
        install = self.engine.install(
            eci,
            url=fields.url,
            source=fields.source,
            bundle=None if fields.bundle is None else _bundle_bytes(fields.bundle),
            config=fields.config,
        )
        self.later(install, asked)

    def _flush(self, asked: Asked) -> None:
        url = asked.one("url")
        if url is None:
            raise Fault("R1013", "Expected `url`", "add `?url=` with the address of a ruleset")
        self.later(self.engine.flush(url), asked)

    # ------------------------------------------------------------------------------- answers

    def _eci(self, asked: Asked) -> str | None:
        """The parameter `eci`; the word root stands for the root pico's."""
        eci = asked.one("eci")
        return self.engine.root_eci if eci == "root" else eci

    def later(self, answer: Coroutine[Any, Any, Any], asked: Asked) -> None:
        """Answer with what a coroutine gives."""
        task = asyncio.get_running_loop().create_task(self._finish(answer, asked.exchange))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish(self, answer: Coroutine[Any, Any, Any], exchange: Exchange) -> None:
        try:
            exchange.send(200, encode_json(await answer))
        except Fault as fault:
            self._fail(exchange, fault)
        except asyncio.CancelledError:
            self._fail(exchange, Fault("R3007", "the engine is stopping"))
            raise
        except Exception:
            _log.exception("an admin request met a bug of the engine")
            self._fail(exchange, Fault("R9001", "the engine could not handle this request"))


# Method and name; `*` is any method, as the Node engine has it for its own routes.
_ROUTES: dict[tuple[str, str], Callable[[Admin, Asked], None]] = {
    ("GET", "ui-context"): Admin._ui_context,
    ("GET", "show"): Admin._show,
    ("GET", "log"): Admin._history,
    ("GET", "why"): Admin._why,
    ("POST", "install"): Admin._install,
    ("*", "flush"): Admin._flush,
    **OPERATING,
}


class InstallFields(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /api/install`: one of `url`, `source` and `bundle` (base64).

    With `source`, `url` may say what the source is to be known by.
    """

    eci: str = ""
    url: str | None = None
    source: str | None = None
    bundle: str | None = None
    config: dict[str, Any] | None = None


_decode_install = msgspec.json.Decoder(InstallFields).decode


def _install_fields(body: bytes) -> InstallFields:
    try:
        fields = _decode_install(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Fault("R1013", f"the body of an install cannot be used: {error}") from None
    given = [name for name in ("url", "source", "bundle") if getattr(fields, name) is not None]
    if len(given) != 1 and given != ["url", "source"]:
        found = " and ".join(given) or "none of them"
        hint = "send a JSON object with just one of the three, and config and eci if need be"
        raise Fault("R1013", f"an install needs url, source or bundle, and got {found}", hint)
    return fields


def _bundle_bytes(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError as error:
        raise Fault("R1013", f"the field bundle is not base64: {error}") from None
