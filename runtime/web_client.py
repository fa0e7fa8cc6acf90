"""Requests to HTTP servers, on an asyncio loop: what `runtime.web.Web` is in production.

In: requests with callbacks, a policy. Out: responses or faults, each through its callback, soon and
once, unless it was given up. Invariants: a request with all its redirects ends within its time;
every address is checked before it is connected to, at each redirect anew; no body larger than its
bound is ever held. The library that speaks HTTP is loaded by the first request, in a thread, since
most engines make none. Not here: connections (web_session.py), the policy (web_policy.py).
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runtime import limits
from runtime.errors import Fault
from runtime.module import to_fault
from runtime.web import Cancel, Done, Request, Response, failed, redirected, shown_url
from runtime.web_policy import Policy

if TYPE_CHECKING:
    from runtime.web_session import Session

# Gives the addresses of a host, such as ["93.184.216.34"]; raises OSError when there are none.
Lookup = Callable[[str], Awaitable[list[str]]]


@dataclass(frozen=True)
class Bounds:
    """What one request may take. Units: seconds, bytes."""

    connect_seconds: float = limits.web_connect_seconds_max
    request_seconds: float = limits.web_request_seconds_max
    body_bytes: int = limits.web_body_bytes_max
    redirects: int = limits.web_redirects_max


class WebClient:
    """Carries requests, over connections that are kept for the next one."""

    def __init__(
        self,
        policy: Policy | None = None,
        *,
        bounds: Bounds | None = None,
        lookup: Lookup | None = None,
    ) -> None:
        self._policy = policy or Policy()
        self._bounds = bounds or Bounds()
        self._lookup = lookup
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: asyncio.Future[Session] | None = None

    def fetch(self, request: Request, done: Done) -> Cancel:
        """Ask once; see `Web`."""
        task = self._loop.create_task(self._run(request, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task.cancel

    async def close(self) -> None:
        """Give up what is under way and close all connections."""
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._session is not None:
            await asyncio.wait([self._session])
            if self._session.exception() is None:
                await self._session.result().close()

    async def _run(self, request: Request, done: Done) -> None:
        answer: Any
        try:
            async with asyncio.timeout(self._bounds.request_seconds):
                answer = await self._answer(request)
        except TimeoutError:
            seconds = self._bounds.request_seconds
            answer = failed(request.url, f"no answer within {seconds:g} s", "R5003")
        except Fault as fault:
            answer = fault
        except Exception as error:  # whoever waits must be told whatever it is
            answer = to_fault(error)
        done(answer)

    async def _answer(self, request: Request) -> Response:
        """The last response, after all redirects."""
        session = await self._opened()
        asked = request
        for _ in range(self._bounds.redirects + 1):
            response = await session.exchange(asked)
            following = redirected(asked, response)
            if following is None:
                return response
            asked = following
        raise failed(
            request.url,
            f"more than {self._bounds.redirects} redirects, the last one to {shown_url(asked.url)}",
            "R5008",
        )

    async def _opened(self) -> Session:
        """The connections, with the library loaded."""
        if self._session is None:
            # Not cancelled with the request that happens to be the first.
            self._session = asyncio.ensure_future(self._open())
        return await asyncio.shield(self._session)

    async def _open(self) -> Session:
        module = await self._loop.run_in_executor(
            None, importlib.import_module, "runtime.web_session"
        )
        session: Session = module.Session(self._policy, self._bounds, self._lookup)
        return session
