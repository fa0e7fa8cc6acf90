"""The subscription ruleset: what it tells, asks, sends and refuses."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.structure import uninstall
from tests.harness.engine import TestEngine
from tests.relations.pairs import A, B, make_pair, propose, record, relate
from tests.relations.stage import SUBSCRIPTION, LooseNetwork, check_sides

# --- What both sides send and keep ----------------------------------------------------------------


def test_proposal_and_acceptance_as_the_reference_sends_them() -> None:
    stage, ann, bob = make_pair(A, B)
    sent = record(stage)
    bond = propose(stage, ann, bob, color="red")
    ra, rb = ann.buses()[bond][1]["Rx"], bob.buses()[bond][1]["Rx"]
    ours = {"Rx_role": "ann", "Tx_role": "bob", "Id": bond, "Rx": ra, "Tx_host": B}
    assert ann.buses()[bond] == ("outbound", {**ours, "wellKnown_Tx": bob.door})
    theirs = {"Rx_role": "bob", "Tx_role": "ann", "Id": bond, "Rx": rb, "Tx": ra, "Tx_host": A}
    assert bob.buses()[bond] == ("inbound", theirs)
    names = {"name": "pair", "channel_name": "pair", "channel_type": "Tx_Rx", "color": "red"}
    told = {**theirs, **names, "Rx": ra, "wellKnown_Tx": bob.door}
    assert sent == [(bob.door, "new_subscription_request", told)]
    assert bob.news_of("inbound_pending_subscription_added") == [{**told, "Rx": rb}]
    assert [one["tags"] for one in bob.sides()] == [["pair", "tx_rx"]]
    sent.clear()
    bob.do("pending_subscription_approval", Id=bond)
    stage.settle()
    assert sent == [(ra, "outbound_pending_subscription_approved", {"Id": bond, "Tx": rb})]
    assert ann.buses()[bond] == ("established", {**ours, "Tx": rb})
    assert bob.buses()[bond] == ("established", theirs)
    assert ann.news_of("subscription_added") == [{"Id": bond, "Tx": rb, "bus": {**ours, "Tx": rb}}]
    assert bob.news_of("subscription_added") == [{"Id": bond, "bus": theirs}]


@pytest.mark.parametrize("way", ["decline", "withdraw", "remove", "removed"])
def test_ends_as_the_reference_sends_them(way: str) -> None:
    stage, ann, bob = make_pair(A, B)
    bond = relate(stage, ann, bob) if way.startswith("remove") else propose(stage, ann, bob)
    ra, rb = ann.buses()[bond][1]["Rx"], bob.buses()[bond][1]["Rx"]
    sent = record(stage)
    if way == "decline":
        bob.do("inbound_rejection", Id=bond)
        wanted = (ra, "outbound_removal", {"Id": bond})
    elif way == "withdraw":
        ann.do("outbound_cancellation", Id=bond)
        wanted = (bob.door, "inbound_removal", {"Id": bond, "Tx": ra})
    elif way == "remove":
        ann.do("subscription_cancellation", Id=bond)
        wanted = (rb, "established_removal", {"Id": bond, "Rx": rb, "Tx": ra})
    else:
        bob.do("subscription_cancellation", Rx=rb)
        wanted = (ra, "established_removal", {"Id": bond, "Rx": ra, "Tx": rb})
    stage.settle()
    assert sent == [wanted]
    assert ann.buses() == bob.buses() == {}
    assert ann.sides() == bob.sides() == []


def test_one_engine_keeps_no_host() -> None:
    stage, ann, bob = make_pair()
    bond = relate(stage, ann, bob, Tx_host=A + "/")
    assert "Tx_host" not in ann.buses()[bond][1]
    assert "Tx_host" not in bob.buses()[bond][1]


def test_without_roles_there_are_none() -> None:
    stage, ann, bob = make_pair()
    ann.do("subscription", wellKnown_Tx=bob.door)
    stage.settle()
    ((bond, (_, bus)),) = ann.buses().items()
    assert set(bus) == {"Id", "Rx", "wellKnown_Tx"}
    assert set(bob.buses()[bond][1]) == {"Id", "Rx", "Tx"}


def test_own_host_can_be_given_or_kept_back() -> None:
    stage, ann, bob = make_pair(A, B)
    sent = record(stage)
    propose(stage, ann, bob, Rx_host="http://a.example")
    propose(stage, ann, bob, Rx_host="localhost", name="other")
    first, second = (attrs for _, name, attrs in sent if name == "new_subscription_request")
    assert first["Tx_host"] == "http://a.example"
    assert "Tx_host" not in second


def test_lists_are_filtered_oldest_first() -> None:
    stage, ann, bob = make_pair()
    ids = [relate(stage, ann, bob, Rx_role=role, name=role) for role in ("x", "y", "x")]
    assert [bus["Id"] for bus in ann.ask("established")] == ids
    found = ann.ask("established", key="Rx_role", value="x")
    assert [bus["Id"] for bus in found] == [ids[0], ids[2]]
    assert ann.ask("established", key="Rx_role") == ann.ask("established")
    assert bob.ask("inbound") == bob.ask("outbound") == []


def test_bundle_is_found_by_channel_too() -> None:
    stage, ann, bob = make_pair()
    bond = propose(stage, ann, bob)
    bus = bob.buses()[bond][1]
    bob.do("pending_subscription_approval", Tx=bus["Tx"])
    stage.settle()
    ann.do("subscription_cancellation", Rx=ann.buses()[bond][1]["Rx"])
    stage.settle()
    assert ann.buses() == bob.buses() == {}


def test_asked_for_as_relationship() -> None:
    stage, ann, bob = make_pair()
    ann.do("relationship", **ann.propose(bob))
    stage.settle()
    bob.do("pending_relationship_approval", Id=next(iter(bob.buses())))
    stage.settle()
    assert len(ann.ask("established")) == len(bob.ask("established")) == 1
    ann.do("relationship_cancellation", Id=next(iter(ann.buses())))
    stage.settle()
    assert ann.buses() == bob.buses() == {}
    relate(stage, ann, bob)
    bob.do("cancel_relationships")
    stage.settle()
    assert ann.buses() == bob.buses() == {}


# --- The well-known channel -----------------------------------------------------------------------


def test_well_known_channel_is_made_once() -> None:
    _, ann, _ = make_pair()
    channel = ann.ask("wellKnown_Rx")
    assert channel["tags"] == ["wellknown_rx", "tx_rx"]
    allowed = [rule["name"] for rule in channel["eventPolicy"]["allow"]]
    assert {"subscription", "new_subscription_request", "inbound_removal"} < set(allowed)
    assert channel["queryPolicy"]["allow"] == [{"rid": SUBSCRIPTION, "name": "wellKnown_Rx"}]
    ann.do("need_wellKnown_Rx")
    ann.do("engine:started")
    ann.do("ruleset_installed", rids=[SUBSCRIPTION])
    assert ann.ask("wellKnown_Rx") == channel
    assert len(ann.sides()) == 0
    ann.do("witness:delete_channel", eci=channel["id"])
    ann.do("engine:started")
    assert ann.ask("wellKnown_Rx")["id"] != channel["id"]


def test_stranger_cannot_pose_as_the_well_known_channel() -> None:
    stage, ann, bob = make_pair()
    propose(stage, ann, bob, name="wellKnown_Rx")
    assert bob.ask("wellKnown_Rx")["id"] == bob.door


def test_root_of_a_whole_engine_has_one() -> None:
    engine = TestEngine(system=True)
    assert engine.query(SUBSCRIPTION, "wellKnown_Rx")["tags"] == ["wellknown_rx", "tx_rx"]


# --- Requests of this pico's own rules that cannot be met -----------------------------------------

BAD_PROPOSALS = [
    ({"wellKnown_Tx": None}, "wellKnown_Tx_format_failure"),
    ({"wellKnown_Tx": 7}, "wellKnown_Tx_format_failure"),
    ({"Id": 7}, "subscription_failed"),
    ({"name": "system"}, "subscription_failed"),
    ({"eventPolicy": {"allow": []}}, "subscription_failed"),
    ({"Tx_host": "http://nowhere at all"}, "subscription_failed"),
]


@pytest.mark.parametrize(("attrs", "failure"), BAD_PROPOSALS)
def test_bad_proposal_fails_with_a_reason(attrs: dict[str, Any], failure: str) -> None:
    stage, ann, bob = make_pair()
    ann.do("subscription", **ann.propose(bob, password="secret", **attrs))
    stage.settle()
    (told,) = ann.news_of(failure)
    assert told["reason"]
    assert "password" not in told
    assert bob.buses() == {}
    assert ann.buses() == {}
    assert ann.sides() == []


def test_pico_does_not_relate_to_itself() -> None:
    _, ann, _ = make_pair()
    ann.do("subscription", **ann.propose(ann))
    assert ann.news_of("subscription_failed")[0]["reason"].startswith("a pico has no relationship")
    assert ann.buses() == {}


@pytest.mark.parametrize(
    "request_", ["pending_subscription_approval", "inbound_rejection", "outbound_cancellation"]
)
def test_request_about_nothing_fails(request_: str) -> None:
    _, ann, _ = make_pair()
    ann.do(request_, Id="unknown")
    (told,) = ann.news_of(request_ + "_failed")
    assert told["Id"] == "unknown"
    assert told["reason"]


# --- Accepting without asking ---------------------------------------------------------------------

AUTO = [
    ({"Rx_role": ["^b"]}, None, {}, True),
    ({"Rx_role": ["^x", "b$"]}, None, {}, True),
    ({"Rx_role": ["^b"], "Tx_role": ["^x"]}, None, {}, False),
    ({"Rx_role": ["^b"], "Tx_role": ["^a"]}, None, {}, True),
    ({"Rx_role": ["^b"], "color": ["."]}, None, {}, False),
    ({"color": ["^re"]}, None, {"color": "red"}, True),
    ({"number": ["^7$"]}, None, {"number": 7}, True),
    ({"Rx_role": ["^b"]}, "sesame", {}, False),
    ({"Rx_role": ["^b"]}, "sesame", {"password": "sesam"}, False),
    ({"Rx_role": ["^b"]}, "sesame", {"password": "sesame"}, True),
    ({"Rx_role": ["^x"]}, "sesame", {"password": "sesame"}, False),
    ({}, "sesame", {"password": "sesame"}, True),
]


@pytest.mark.parametrize(("entries", "password", "attrs", "is_accepted"), AUTO)
def test_auto_accept(
    entries: dict[str, Any], password: str | None, attrs: dict[str, Any], is_accepted: bool
) -> None:
    stage, ann, bob = make_pair(A, B)
    config = {"configName": "friends", "entries": entries, "password": password}
    bob.do("autoAcceptConfigUpdate", config=config)
    assert len(bob.news_of("auto_accept_config_updated")) == 1
    shown = {"configName": "friends", "entries": entries, "hasPassword": password is not None}
    assert bob.ask("autoAcceptConfig") == {"friends": shown}
    sent = record(stage)
    bond = propose(stage, ann, bob, **attrs)
    assert ann.buses()[bond][0] == ("established" if is_accepted else "outbound")
    news = bob.news()
    told = [one for one in news if one["name"] == "auto_accepted_subscription_request"]
    assert len(told) == is_accepted
    # The secret goes nowhere but into the proposal itself.
    rest = [attrs for _, name, attrs in sent if name != "new_subscription_request"]
    rest += [one["attrs"] for one in news if one["name"] != "new_subscription_request"]
    rest += [one["attrs"] for one in ann.news() if one["name"] != "subscription"]
    assert all("password" not in attrs for attrs in rest)
    check_sides(ann, bob)


def test_auto_accept_by_flat_attributes_and_deletion() -> None:
    stage, ann, bob = make_pair()
    attrs = {"configName": "flat", "regexMap": '{"Tx_role": ["ann"]}', "password": ""}
    bob.do("autoAcceptConfigUpdate", **attrs)
    assert bob.ask("autoAcceptConfig")["flat"]["entries"] == {"Tx_role": ["ann"]}
    relate_id = propose(stage, ann, bob)
    assert ann.buses()[relate_id][0] == "established"
    bob.do("autoAcceptConfigUpdate", configName="flat", delete="true")
    assert bob.ask("autoAcceptConfig") == {}


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"configName": 7},
        {"configName": "x"},
        {"configName": "x", "entries": {}},
        {"configName": "x", "entries": []},
        {"configName": "x", "entries": {"name": "text"}},
        {"configName": "x", "entries": {"name": []}},
        {"configName": "x", "entries": {"name": [7]}},
    ],
)
def test_bad_auto_accept_is_refused(config: dict[str, Any]) -> None:
    _, _, bob = make_pair()
    bob.do("autoAcceptConfigUpdate", config=config)
    assert bob.news_of("autoAcceptConfigUpdate_failure")[0]["reason"]
    assert bob.ask("autoAcceptConfig") == {}


def test_pattern_that_cannot_be_read_is_refused() -> None:
    _, _, bob = make_pair()
    answer = bob.do("autoAcceptConfigUpdate", config={"configName": "x", "entries": {"a": ["("]}})
    assert answer["errors"]
    assert bob.news_of("autoAcceptConfigUpdate_failed")[0]["reason"]
    assert bob.ask("autoAcceptConfig") == {}


# --- Using and leaving ----------------------------------------------------------------------------


def test_events_for_several_relationships() -> None:
    stage, ann, bob = make_pair()
    eve = stage.member("eve", stage.sites[0])
    bond = relate(stage, ann, bob)
    relate(stage, ann, eve, Rx_role="host")
    send = {"domain": "chat", "type": "hello"}
    ann.do("send_event_on_subs", **send, attrs={"text": "all"}, subID=bond, Tx_role="bob")
    ann.do("send_event_on_subs", **send, attrs={"text": "eve"}, Rx_role="host")
    stage.settle()
    assert bob.ask("hellos", "test.witness") == ["all"], "once, though it was meant twice"
    assert eve.ask("hellos", "test.witness") == ["eve"]
    ann.news()
    ann.do("send_event_on_subs", **send, Tx_role="nobody")
    ann.do("send_event_on_subs", Tx_role="bob", domain="chat")
    failures = ann.news_of("failed_to_send_event_to_sub")
    keys = ("foundSubsToSendTo", "domainGiven", "typeGiven")
    assert [[one[key] for key in keys] for one in failures] == [
        [False, True, True],
        [True, True, False],
    ]


def test_intent_to_delete_needs_a_relationship() -> None:
    stage, ann, bob = make_pair()
    bond = relate(stage, ann, bob)
    ann.news()
    for attrs in ({"Id": "unknown"}, {}):
        ann.do("intent_to_delete", **attrs)
        told = [one["name"] for one in ann.news()]
        assert "intent_to_delete_failed" in told
        assert "ready_for_deletion" not in told
    ann.do("intent_to_delete", Id=bond)
    assert "ready_for_deletion" in [one["name"] for one in ann.news()]
    stage.settle()
    assert bob.buses() == {}


def test_cleanup_before_deletion_tells_the_other_sides() -> None:
    stage, ann, bob = make_pair(A, B)
    relate(stage, ann, bob)
    propose(stage, bob, ann)
    ann.news()
    ann.do("rulesets_need_to_cleanup")
    told = [one["name"] for one in ann.news()]
    assert told.index("ruleset_needs_cleanup_period") < told.index("subscription_removed")
    assert told.index("inbound_subscription_cancelled") < told.index("cleanup_finished")
    assert told.count("cleanup_finished") == 1
    ann.die()
    stage.settle()
    assert bob.buses() == {}, "the word was on its way before the pico went"
    bob.do("rulesets_need_to_cleanup")
    assert "cleanup_finished" in [one["name"] for one in bob.news()]


def test_settings_are_checked() -> None:
    _, ann, _ = make_pair()
    before = ann.ask("relationshipSettings")
    for attrs in ({}, {"other": 1}, {"inbound_max": 0}, {"inbound_max": "many"}):
        ann.do("relationship_settings", **attrs)
        assert ann.news_of("relationship_settings_failed")[0]["reason"]
    assert ann.ask("relationshipSettings") == before
    ann.do("relationship_settings", check_seconds="5", inbound_max=7)
    (told,) = ann.news_of("relationship_settings_changed")
    assert told == {**before, "check_seconds": 5, "inbound_max": 7}
    assert ann.ask("relationshipSettings") == told


# --- Far away and out of reach --------------------------------------------------------------------


def test_out_of_reach_for_a_week_ends_it_on_both_sides() -> None:
    stage, ann, bob = make_pair(A, B)
    relate(stage, ann, bob)
    propose(stage, ann, bob, name="second")
    stage.network.cut(A, B)
    day = 86_400
    stage.settle(6 * day)
    check_sides(ann, bob)
    assert sorted(state for state, _ in ann.buses().values()) == ["established", "outbound"]
    stage.settle(3 * day)
    assert ann.buses() == bob.buses() == {}
    assert "no word from" in ann.news_of("subscription_removed")[0]["reason"]
    assert ann.sides() == bob.sides() == []


def test_short_silence_is_nothing() -> None:
    stage, ann, bob = make_pair(A, B)
    bond = relate(stage, ann, bob)
    stage.network.cut(A, B)
    stage.settle(6 * 86_400)
    stage.network.heal()
    stage.settle(3 * 86_400)
    assert ann.buses()[bond][0] == bob.buses()[bond][0] == "established"
    check_sides(ann, bob)


def test_peer_that_knows_no_digests_is_kept() -> None:
    stage, ann, _ = make_pair(A, B, loose=True)
    assert isinstance(stage.network, LooseNetwork)
    stage.network.silent.add("http://node")
    core, wait = stage.sites[0].living, stage.sites[0].wait
    attrs = {"Id": "n1", "Tx": "cnode", "Tx_host": "http://node", "Rx_role": "r", "Tx_role": "t"}
    post = ("wrangler", "new_subscription_request", attrs)
    wait(lambda done: core.post(ann.door, *post, done))
    sent = record(stage)
    ann.do("pending_subscription_approval", Id="n1")
    stage.settle(30 * 86_400)
    state, bus = ann.buses()["n1"]
    assert state == "established"
    assert bus.items() >= {"Tx": "cnode", "Tx_host": "http://node", "Rx_role": "r"}.items()
    assert sent[0] == (
        "cnode",
        "outbound_pending_subscription_approved",
        {"Id": "n1", "Tx": bus["Rx"]},
    )
    assert 25 <= len(sent) < 50, "about one look a day"
    attrs = {"Id": "n1", "Rx": bus["Rx"], "Tx": "cnode"}
    wait(lambda done: core.post(bus["Rx"], "wrangler", "established_removal", attrs, done))
    assert ann.buses() == {}


def test_side_that_answers_no_more_is_given_up() -> None:
    stage, ann, bob = make_pair(A, B)
    bond = relate(stage, ann, bob)
    stage.settle(3600)
    core, wait = stage.sites[1].living, stage.sites[1].wait
    wait(lambda done: core.post_task(bob.eci, lambda turn: uninstall(turn, SUBSCRIPTION), done))
    stage.settle(11 * 86_400)
    assert ann.buses()[bond][0] == "established"
    stage.settle(8 * 86_400)
    assert ann.buses() == {}
    assert "does not answer" in ann.news_of("subscription_removed")[0]["reason"]


def test_looks_become_rare() -> None:
    stage, ann, bob = make_pair(A, B)
    relate(stage, ann, bob)
    sent = record(stage)
    stage.settle(86_400)
    questions = [attrs for _, name, attrs in sent if attrs.get("is_question")]
    assert len(questions) <= 10
    assert {name for _, name, _ in sent} == {"relationship_digest"}
