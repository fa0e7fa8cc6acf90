"""Channels: who may send what to a pico, and how channels are defined.

In: tags and policies as rulesets give them. Out: normalised `Channel` values and their checks.
Invariants: deny wins over allow; a family channel serves only the pico it was made for, from
inside; `*` is the only wildcard. An ECI is a capability: the channel is found by it alone.
Source: engine reference 1.2-1.4.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from runtime.errors import Fault, denied, family_channel, not_allowed

Pairs = tuple[tuple[str, str], ...]
ALLOW_ALL: Pairs = (("*", "*"),)
_OUTSIDE = re.compile(r"[^A-Za-z0-9_-]+")


class Policy:
    """Allow and deny rules over pairs: (domain, name) of events or (rid, name) of queries."""

    __slots__ = ("allow", "deny", "is_open")

    def __init__(self, allow: Pairs = ALLOW_ALL, deny: Pairs = ()) -> None:
        self.allow = allow
        self.deny = deny
        self.is_open = not deny and ("*", "*") in allow

    def check(self, first: str, second: str) -> None:
        """Pass or raise.

        Raises: R1003 when a deny rule matches, R1002 when no allow rule does.
        """
        if self.is_open:
            return
        if _matches(self.deny, first, second):
            raise denied()
        if not _matches(self.allow, first, second):
            raise not_allowed()

    def within(self, ceiling: Policy) -> Policy:
        """This policy, cut down to what a ceiling allows as well."""
        if ceiling.is_open:
            return self
        if self.is_open:
            return ceiling
        both = dict.fromkeys(
            pair for own in self.allow for top in ceiling.allow if (pair := _meet(own, top))
        )
        return Policy(tuple(both), tuple(dict.fromkeys(self.deny + ceiling.deny)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Policy) and self.allow == other.allow and self.deny == other.deny

    def __hash__(self) -> int:
        return hash((self.allow, self.deny))


def _matches(pairs: Pairs, first: str, second: str) -> bool:
    return any(a in ("*", first) and b in ("*", second) for a, b in pairs)


def _meet(one: tuple[str, str], other: tuple[str, str]) -> tuple[str, str] | None:
    """The pairs that both patterns match, as a pattern; None when there are none."""
    parts = []
    for a, b in zip(one, other, strict=True):
        if "*" not in (a, b) and a != b:
            return None
        parts.append(b if a == "*" else a)
    return parts[0], parts[1]


OPEN = Policy()


class Channel:
    """One channel: its ECI, the pico that receives on it, tags, policies, and for family channels
    the id of the only pico that may use it.
    """

    __slots__ = ("eci", "event_policy", "family", "pico_id", "query_policy", "tags")

    def __init__(
        self,
        eci: str,
        pico_id: str,
        tags: tuple[str, ...] = (),
        event_policy: Policy = OPEN,
        query_policy: Policy = OPEN,
        family: str | None = None,
    ) -> None:
        self.eci = eci
        self.pico_id = pico_id
        self.tags = tags
        self.event_policy = event_policy
        self.query_policy = query_policy
        self.family = family

    def check_event(self, domain: str, name: str, sender: str | None) -> None:
        """Whether `sender` (a pico id, None from outside) may send this event.

        Raises: R1004, R1003, R1002.
        """
        if self.family is not None:
            if sender != self.family:
                raise family_channel()
        elif not self.event_policy.is_open:
            self.event_policy.check(domain, name)

    def check_query(self, rid: str, name: str, sender: str | None) -> None:
        """Whether `sender` (a pico id, None from outside) may ask this query.

        Raises: R1004, R1003, R1002.
        """
        if self.family is not None:
            if sender != self.family:
                raise family_channel()
        elif not self.query_policy.is_open:
            self.query_policy.check(rid, name)

    def to_map(self) -> dict[str, Any]:
        """The channel as rulesets and tools see it."""
        return {
            "id": self.eci,
            "tags": list(self.tags),
            "eventPolicy": _policy_map(self.event_policy.allow, self.event_policy.deny, "domain"),
            "queryPolicy": _policy_map(self.query_policy.allow, self.query_policy.deny, "rid"),
            "familyChannelPicoID": self.family,
        }

    def to_record(self) -> list[Any]:
        """The channel as it is stored; its ECI and pico are in the key."""
        event, query = self.event_policy, self.query_policy
        return [list(self.tags), event.allow, event.deny, query.allow, query.deny, self.family]


def channel_from_record(eci: str, pico_id: str, record: list[Any]) -> Channel:
    """The channel that `to_record` made a record of."""
    tags, event_allow, event_deny, query_allow, query_deny, family = record
    return Channel(
        eci,
        pico_id,
        tuple(tags),
        Policy(_pairs(event_allow), _pairs(event_deny)),
        Policy(_pairs(query_allow), _pairs(query_deny)),
        family,
    )


def _pairs(rows: list[list[str]]) -> Pairs:
    return tuple((a, b) for a, b in rows)


@lru_cache(maxsize=1024)
def _policy_map(allow: Pairs, deny: Pairs, first: str) -> dict[str, Any]:
    """A policy as a map; the many channels of one kind share theirs."""
    return {
        "allow": [{first: a, "name": b} for a, b in allow],
        "deny": [{first: a, "name": b} for a, b in deny],
    }


def make_tags(value: Any) -> tuple[str, ...]:
    """Normalise tags.

    Raises: R1006 for anything but an array of texts that say something, and for the tag `system`.
    """
    if not value:
        return ()
    if type(value) is not list:
        raise Fault("R1006", "Channel `tags` must be an array of non-empty strings.")
    return tuple(_tag(tag) for tag in value)


def _tag(tag: Any) -> str:
    if type(tag) is not str:
        raise Fault("R1006", "Channel `tags` must be an array of non-empty strings.")
    text = _OUTSIDE.sub("-", " ".join(tag.split()))
    text = re.sub("-+", "-", text).removeprefix("-").removesuffix("-").lower()
    if not text:
        raise Fault("R1006", "Channel tag cannot be a blank string.")
    if text == "system":
        raise Fault("R1006", 'Cannot tag channel as "system".')
    return text


def make_policy(value: Any, kind: str) -> Policy:
    """A policy from its map; `kind` is Event or Query. A missing one is open.

    Raises: R1006 unless it has exactly `allow` and `deny`, arrays of pairs of non-blank texts.
    """
    if not value:
        return OPEN
    if (
        type(value) is not dict
        or set(value) != {"allow", "deny"}
        or type(value["allow"]) is not list
        or type(value["deny"]) is not list
    ):
        raise Fault(
            "R1006",
            f"{kind}Policy expects {{allow: {kind}PolicyRule[], deny: {kind}PolicyRule[]}}",
        )
    return Policy(
        tuple(_rule(rule, kind) for rule in value["allow"]),
        tuple(_rule(rule, kind) for rule in value["deny"]),
    )


def _rule(rule: Any, kind: str) -> tuple[str, str]:
    first = "domain" if kind == "Event" else "rid"
    if type(rule) is dict and set(rule) == {first, "name"}:
        a, b = rule[first], rule["name"]
        if type(a) is str and type(b) is str and a.strip() and b.strip():
            return a.strip(), b.strip()
    raise Fault("R1006", f"{kind}PolicyRule expects {{{first}: string, name: string}}")
