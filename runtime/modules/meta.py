"""The `meta:` module: where the running code stands. Source: stdlib reference 15."""

from __future__ import annotations

from typing import Any

from runtime.context import Context

__all__ = [
    "meta_callingRID",
    "meta_eci",
    "meta_host",
    "meta_inEvent",
    "meta_inQuery",
    "meta_picoId",
    "meta_rid",
    "meta_rid_url",
    "meta_ruleName",
    "meta_rulesetConfig",
    "meta_rulesetURI",
    "meta_testing",
    "meta_txnId",
]


def meta_eci(cx: Context) -> Any:
    """`meta:eci`: the channel that the event or query came on."""
    if cx.event is not None:
        return cx.event.eci
    return None if cx.turn is None or cx.turn.asked is None else cx.turn.asked.eci


def meta_host(cx: Context) -> Any:
    """`meta:host`: the engine's base URL."""
    return (cx.turn.world.host or None) if cx.turn is not None else None


def meta_inEvent(cx: Context) -> bool:
    """`meta:inEvent`."""
    return cx.event is not None


def meta_inQuery(cx: Context) -> bool:
    """`meta:inQuery`."""
    return cx.host is cx and cx.turn is not None and cx.turn.asked is not None


def meta_picoId(cx: Context) -> str:
    """`meta:picoId`."""
    return cx.pico.id


def meta_rid(cx: Context) -> str:
    """`meta:rid`."""
    return cx.rid


def meta_ruleName(cx: Context) -> Any:
    """`meta:ruleName`."""
    return cx.rule_name


def meta_rid_url(cx: Context) -> str:
    """`meta:rid_url`."""
    return cx.install.url


def meta_rulesetURI(cx: Context) -> str:
    """`meta:rulesetURI`."""
    return cx.install.url


def meta_rulesetConfig(cx: Context) -> Any:
    """`meta:rulesetConfig`: what was given at installation."""
    return cx.install.config


def meta_txnId(cx: Context) -> Any:
    """`meta:txnId`: the id of the running event or query."""
    return None if cx.turn is None else cx.turn.id


def meta_callingRID(cx: Context, *_: Any) -> Any:
    """`meta:callingRID()`: in a module, the ruleset that uses it; null elsewhere."""
    return None if cx.host is cx else cx.host.rid


def meta_testing(cx: Context) -> Any:
    """`__testing` as the compiler computed it."""
    return cx.module.manifest["testing"]
