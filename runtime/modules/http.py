"""The `http:` module: requests to HTTP servers.

In: a context and what a rule says of a request. Out: the response as a map; with `autoraise` also
an event of this turn, with `autosend` an event of a later one. Invariants: a request leaves only
when the event that caused it, and all that its turn has seen, are durable; an error status is a
response, while no response at all faults the rule; what is not safe to repeat carries a key that
stays the same when the turn runs again after a crash. Not here: connections (web_client.py), which
hosts may be reached (web_policy.py), requests in the background (errands.py).

Source: stdlib reference 16 and oddities Q27, Q28; engine reference A.3.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from runtime.border import encode, to_json
from runtime.context import Context
from runtime.errands import Errand
from runtime.errors import Fault, missing_part, no_map
from runtime.event import part
from runtime.kinds import text, truth
from runtime.operators.strings import decode
from runtime.turn import Turn
from runtime.web import (
    USER_AGENT,
    Request,
    basic,
    checked_headers,
    checked_url,
    encoded,
    response_map,
    shown_url,
    with_query,
    without_credentials,
)

__all__ = ["http_delete", "http_get", "http_head", "http_patch", "http_post", "http_put"]

_SAFE = frozenset(("GET", "HEAD"))
_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
_TEXT = "text/plain;charset=UTF-8"


class _Asked(NamedTuple):
    """The arguments of every member of the module, in KRL's order."""

    url: Any = None
    qs: Any = None
    headers: Any = None
    body: Any = None
    auth: Any = None
    json: Any = None
    form: Any = None
    parse_json: Any = None
    autoraise: Any = None
    autosend: Any = None
    dont_follow_redirect: Any = None


_COUNT = len(_Asked._fields)


def http_get(cx: Context, *args: Any) -> Any:
    """`http:get(url, qs, headers, …)`."""
    return _ask(cx, "GET", _Asked(*args[:_COUNT]))


def http_head(cx: Context, *args: Any) -> Any:
    """`http:head(url, qs, headers, …)`."""
    return _ask(cx, "HEAD", _Asked(*args[:_COUNT]))


def http_post(cx: Context, *args: Any) -> Any:
    """`http:post(url, qs, headers, body, auth, json, form, …)`."""
    return _ask(cx, "POST", _Asked(*args[:_COUNT]))


def http_put(cx: Context, *args: Any) -> Any:
    """`http:put(url, qs, headers, body, auth, json, form, …)`."""
    return _ask(cx, "PUT", _Asked(*args[:_COUNT]))


def http_patch(cx: Context, *args: Any) -> Any:
    """`http:patch(url, qs, headers, body, auth, json, form, …)`."""
    return _ask(cx, "PATCH", _Asked(*args[:_COUNT]))


def http_delete(cx: Context, *args: Any) -> Any:
    """`http:delete(url, qs, headers, body, auth, json, form, …)`."""
    return _ask(cx, "DELETE", _Asked(*args[:_COUNT]))


def _ask(cx: Context, method: str, asked: _Asked) -> Any:
    """Make one request and give its response; null with `autosend`.

    Raises: R2018 and R2001 for arguments that make no request, R1007 for an `autosend` that is no
    event, R2011 for an event that a query asks for, R5007 without a web, R5001 to R5008, R4021 and
    R4030 when no response came of it.
    """
    turn = cx.turn
    assert turn is not None
    request = _request(method, asked)
    if truth(asked.autosend):
        _run_errand(cx, turn, request, asked)
        return None
    if truth(asked.autoraise):
        _check_may_act(turn, f"http:{method.lower()} with autoraise")
    web = turn.world.web
    if web is None:
        raise Fault("R5007", f"http:{method.lower()} cannot leave this engine")
    if method not in _SAFE:
        request = _keyed(request, turn.call_id())
    what = f"{method} {shown_url(request.url)}"
    response = turn.call_outside(partial(web.fetch, request), what)
    found = response_map(request, response)
    if asked.parse_json is True:
        found["content"] = decode(found["content"])
    if truth(asked.autoraise):
        attrs = {**found, "label": text(asked.autoraise)}
        turn.raise_event("http", method.lower(), attrs, None)
    return found


# --- The request ----------------------------------------------------------------------------------


def _request(method: str, asked: _Asked) -> Request:
    url = _url(method, asked)
    headers = {
        "accept": "*/*",
        "accept-encoding": "gzip,deflate",
        "user-agent": USER_AGENT,
        **checked_headers(asked.headers),
    }
    url, credentials = without_credentials(url)
    auth = asked.auth
    if type(auth) is dict and type(auth.get("username")) is str:
        password = auth.get("password")
        headers["authorization"] = basic(
            auth["username"], password if type(password) is str else ""
        )
    elif credentials is not None:
        headers.setdefault("authorization", credentials)
    body, content_type = _body(asked)
    if body is not None:
        if method in _SAFE:
            raise Fault("R2001", "Request with GET/HEAD method cannot have body")
        headers.setdefault("content-type", content_type)
    follows = not truth(asked.dont_follow_redirect)
    return Request(method, url, tuple(headers.items()), body, follows)


def _url(method: str, asked: _Asked) -> str:
    url = asked.url
    if not truth(url):
        raise Fault("R2018", f"http:{method.lower()} needs a url string")
    if type(url) is not str:
        raise Fault("R2001", f"http:{method.lower()} was given {text(url)} instead of a url string")
    query = encoded(asked.qs) if type(asked.qs) is dict else ""
    return checked_url(with_query(url.strip(), query))


def _body(asked: _Asked) -> tuple[bytes | None, str]:
    """What is sent, and its content type unless a header says another: the first that is given."""
    if truth(asked.body):
        return text(asked.body).encode("utf-8", "replace"), _TEXT
    if truth(asked.json):
        return encode(asked.json).encode("utf-8", "replace"), _JSON
    if truth(asked.form):
        return encoded(asked.form).encode("ascii"), _FORM
    return None, ""


def _keyed(request: Request, key: str) -> Request:
    """The request with an idempotency key, unless the rule gave one."""
    if any(name == "idempotency-key" for name, _ in request.headers):
        return request
    return request._replace(headers=(*request.headers, ("idempotency-key", key)))


# --- What follows a response ----------------------------------------------------------------------


def _check_may_act(turn: Turn, what: str) -> None:
    if turn.event is None:
        raise Fault("R2011", f"{what} changes something, and this is no event")


def _run_errand(cx: Context, turn: Turn, request: Request, asked: _Asked) -> None:
    """Have the request made after the commit, and its response sent as an event."""
    _check_may_act(turn, f"http:{request.method.lower()} with autosend")
    event = asked.autosend
    if type(event) is not dict:
        raise missing_part("event.eci")
    eci = part(event.get("eci"), "event.eci")
    domain = part(event.get("domain"), "event.domain")
    name = part(event.get("name", event.get("type")), "event.name")
    data = event.get("data")
    attrs = data.get("attrs") if type(data) is dict else None
    if attrs is None:
        attrs = event.get("attrs")
    if attrs is not None and type(attrs) is not dict:
        raise no_map("event.data.attrs")
    world = turn.world
    world.errands.check(turn.sends)
    eid = world.ids.eid()
    if request.method not in _SAFE:
        request = _keyed(request, eid)
    is_json = asked.parse_json is True
    turn.send(Errand(eci, domain, name, to_json(attrs or {}), eid, request, is_json))
