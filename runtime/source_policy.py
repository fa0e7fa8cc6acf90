"""From where rules may have rulesets fetched: what the owner listed, and beside what they deployed.

In: the owner's list, the folders of what the owner had fetched, the URL that a rule wants. Out: a
`Guard` for the one who fetches, or a fault. Invariants: the owner, with the token, may fetch from
anywhere, a rule only from a place that the owner has named; a redirect counts like the URL itself,
and a host counts by the address that is connected to (web_policy.py). A place is a folder or a
file, never a prefix of a name: `/srv/krl` allows `/srv/krl/a.krl`, not `/srv/krl2/a.krl`. What the
engine already has is not fetched, so not asked about. Not here: the fetching (compiler.py).
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from runtime.errors import Fault
from runtime.web_policy import Policy

_PORTS = {"http": 80, "https": 443}
_SOURCE = ".krl"


class Place(NamedTuple):
    """Where a ruleset is: `host` is "" for files and "*" for every public host."""

    scheme: str
    host: str
    port: int
    path: str


class Guard:
    """What one fetch may touch: places, and the hosts among them that need not be public."""

    def __init__(self, places: Iterable[Place]) -> None:
        self._places = tuple(places)
        self.hosts = Policy(
            f"[{place.host}]:{place.port}" if ":" in place.host else f"{place.host}:{place.port}"
            for place in self._places
            if place.host not in ("", "*")
        )

    def allows(self, url: str) -> bool:
        """Whether a ruleset may come from a URL."""
        try:
            wanted = place_of(url)
        except ValueError:
            return False
        return any(_holds(place, wanted) for place in self._places)

    def check(self, url: str) -> None:
        """Refuse a URL that a rule may not have fetched.

        Raises: R5005.
        """
        if not self.allows(url):
            raise refusal(url)


class SourcePolicy:
    """The owner's list.

    Entries: a folder, with `/` at its end, or a file, as `file:/srv/krl/` or
    `https://example.com/krl/`; `https:` or `http:` alone allows every public host.
    Raises: ValueError for an entry that is none of these.
    """

    def __init__(self, entries: Iterable[str] = ()) -> None:
        self._places = tuple(_listed(entry) for entry in entries)

    def guard(self, url: str, *, is_beside: bool) -> Guard:
        """What a rule that wants a URL may have touched for it.

        `is_beside` tells that the owner had a ruleset fetched from the same folder: other rulesets
        beside it are allowed then.
        Raises: R5005 when the URL is not allowed.
        """
        beside: tuple[Place, ...] = ()
        if is_beside and url.endswith(_SOURCE):
            place = place_of(url)
            beside = (place._replace(path=posixpath.dirname(place.path).rstrip("/") + "/"),)
        guard = Guard((*self._places, *beside))
        guard.check(url)
        return guard


def refusal(url: str) -> Fault:
    """The fault of a rule that wants what it may not have."""
    return Fault(
        "R5005",
        f"rules of this engine may not have rulesets fetched from {url[:200]}",
        "deploy it yourself: pico deploy URL; or allow the place: pico serve --rulesets-from PLACE",
    )


def folder_of(url: str) -> str:
    """A name for the folder that a URL is in, the same for all spellings; "" if it is in none."""
    try:
        place = place_of(url)
    except ValueError:
        return ""
    folder = posixpath.dirname(place.path).rstrip("/") + "/"
    if not place.host:
        return f"file:{folder}"
    return f"{place.scheme}://{place.host}:{place.port}{folder}"


def place_of(url: str) -> Place:
    """Where a URL leads to; links and `..` in paths are followed.

    Raises: ValueError for what is no URL of a file or a server.
    """
    parts = urlsplit(url)
    path = unquote(parts.path)
    if "\0" in path:
        raise ValueError(f"{url!r} holds a zero byte")
    if parts.scheme == "file":
        real = os.path.realpath(unquote(parts.netloc) + path)
        return Place("file", "", 0, real + "/" if path.endswith("/") and real != "/" else real)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError(f"{url!r} is no file:, http: or https: URL")
    if parts.username is not None:
        raise ValueError(f"{url!r} holds a user name")
    shown = posixpath.normpath("/" + path.lstrip("/"))
    if path.endswith("/") and shown != "/":
        shown += "/"
    port = parts.port or _PORTS[parts.scheme]
    return Place(parts.scheme, parts.hostname.rstrip("."), port, shown)


def _listed(entry: str) -> Place:
    scheme, _, rest = entry.strip().partition(":")
    if scheme.lower() in _PORTS and not rest:
        return Place(scheme.lower(), "*", 0, "/")
    try:
        place = place_of(entry.strip())
    except ValueError:
        place = None
    if place is None or (place.scheme == "file" and not rest.lstrip("/").strip() and rest != "/"):
        raise ValueError(
            f"{entry!r} names no place: give a folder or file such as file:/srv/krl/ or "
            "https://example.com/krl/, or https: for every public server"
        )
    if place.scheme == "file" and not place.path.endswith("/") and os.path.isdir(place.path):
        return place._replace(path=place.path + "/")
    return place


def _holds(place: Place, wanted: Place) -> bool:
    if place.scheme != wanted.scheme:
        return False
    if place.host == "*":
        return True
    if (place.host, place.port) != (wanted.host, wanted.port):
        return False
    if place.path.endswith("/"):
        return wanted.path.startswith(place.path)
    return wanted.path == place.path
