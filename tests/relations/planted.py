"""Mistakes planted in the subscription ruleset: the simulation has to find every one.

In: the name of a mistake. Out: the ruleset's text with it. Each is what a hurried change would do.
"""

from __future__ import annotations

import re

from tests.relations.stage import OWN_TEXT

# Name -> (what stands in the ruleset once, however it is broken into lines, and what the mistake
# makes of it).
MISTAKES = {
    "nobody_looks": (
        "rule ask_other_side { select when wrangler relationship_check",
        "rule ask_other_side { select when wrangler relationship_never",
    ),
    "looks_only_once": (
        "if state_of(id) then noop()",
        "if false then noop()",
    ),
    "lost_proposals_stay_lost": (
        '"relationship_digest", answer) fired',
        '"relationship_forgotten", answer) fired',
    ),
    "lost_acceptances_stay_lost": (
        'change = mine == "outbound" && its == "established" => "accept"',
        'change = mine == "outbound" && its == "accepted" => "accept"',
    ),
    "old_answers_count": (
        'is_seen = event:attrs{"seen"} == mine is_lost = is_seen',
        "is_seen = true is_lost = is_seen",
    ),
    "accepted_stays_outbound": (
        "ent:established{id} := bus clear ent:outbound{id}",
        "ent:established{id} := bus",
    ),
    "accepted_stays_inbound": (
        "ent:established{id} := bus clear ent:inbound{id}",
        "ent:established{id} := bus",
    ),
    "channel_is_left_open": (
        'close_channel(found{"Rx"})',
        'close_channel(found{"Tx"})',
    ),
    "dead_are_kept": (
        "if state then noop()",
        "if false then noop()",
    ),
    "lost_channel_is_not_noticed": (
        'if state && not has_channel(bus{"Rx"}) then',
        "if false then",
    ),
    "ended_are_forgotten": (
        'ent:ended{id} := found{"Tx"} if found{"Tx"}',
        "ent:ended := {}",
    ),
    "timer_on_a_mortal_channel": (
        '"eci": ctx:picoId, "domain": "wrangler", "name": "relationship_watch"',
        '"eci": wellKnown_Rx(){"id"}, "domain": "wrangler", "name": "relationship_watch"',
    ),
}


def with_mistake(name: str) -> str:
    """The ruleset with one mistake in it."""
    right, wrong = MISTAKES[name]
    pattern = r"\s+".join(re.escape(word) for word in right.split())
    text, count = re.subn(pattern, lambda match: wrong, OWN_TEXT)
    assert count == 1, f"{name} fits {count} places of the ruleset"
    return text


# Where the rarer ones showed last; the others show within the first few seeds.
FOUND_AT = {
    "nobody_looks": 3,
    "lost_proposals_stay_lost": 4,
    "lost_acceptances_stay_lost": 5,
    "old_answers_count": 21,
    "dead_are_kept": 3,
    "lost_channel_is_not_noticed": 2,
    "ended_are_forgotten": 16,
}
