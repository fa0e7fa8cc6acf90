"""io.picolabs.wrangler: what its functions give, what its events carry, why a request failed."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.errors import Fault
from tests.harness.engine import TestEngine, TextFetcher
from tests.harness.web import ScriptedWeb, reply
from tests.system.spy import heard, put_spy
from tests.system.stage import PDS, UI, WRANGLER, Family

SUBSCRIPTION = "io.picolabs.subscription"
HEADERS = {"_headers": {"cookie": "secret"}}
OPEN_POLICIES = {
    "eventPolicy": {"allow": [{"domain": "*", "name": "*"}], "deny": []},
    "queryPolicy": {"allow": [{"rid": "*", "name": "*"}], "deny": []},
}


def tags_of(family: Family, name: str) -> list[list[str]]:
    return sorted(sorted(channel["tags"]) for channel in family.query(name, WRANGLER, "channels"))


# --- Functions ------------------------------------------------------------------------------------


def test_a_child_has_five_channels_and_the_system_rulesets() -> None:
    family = Family()
    family.child("bob")
    assert family.query("bob", WRANGLER, "installedRIDs") == [UI, WRANGLER, PDS, SUBSCRIPTION]
    assert tags_of(family, "bob") == [
        ["child", "system"],
        ["engine", "ui"],
        ["pds"],
        ["self", "system"],
        ["tx_rx", "wellknown_rx"],
    ]


def test_a_root_has_what_a_child_has() -> None:
    family = Family()
    assert family.query("root", WRANGLER, "installedRIDs") == [UI, WRANGLER, SUBSCRIPTION, PDS]
    assert tags_of(family, "root") == [
        ["engine", "ui"],
        ["pds"],
        ["root"],
        ["self", "system"],
        ["tx_rx", "wellknown_rx"],
    ]
    root_id = family["root"].id
    assert family.query("root", WRANGLER, "myself") == {
        "name": "Pico",
        "id": root_id,
        "eci": root_id,
    }
    assert family.query("root", WRANGLER, "parent_eci") is None


def test_parent_and_child_know_each_other() -> None:
    family = Family()
    eci = family.child("bob")
    bob = family["bob"]
    parent_eci = family.eci("root", "system", "parent")
    assert family.query("root", WRANGLER, "children") == [
        {"eci": eci, "name": "bob", "parent_eci": parent_eci}
    ]
    assert family.query("bob", WRANGLER, "myself") == {"name": "bob", "id": bob.id, "eci": eci}
    assert family.query("bob", WRANGLER, "id") == bob.id
    assert family.query("bob", WRANGLER, "parent_eci") == parent_eci


@pytest.mark.parametrize(
    ("tags", "count"),
    [
        (None, 5),
        (["engine", "ui"], 1),
        (["UI", "Engine"], 1),
        ("ui,engine", 1),
        (" ui , engine ", 1),
        ("engine", 0),
        (["engine", "ui", "more"], 0),
        ([], 0),
    ],
)
def test_channels_are_found_by_all_of_their_tags(tags: Any, count: int) -> None:
    assert len(Family().query("root", WRANGLER, "channels", tags=tags)) == count


def test_config_and_meta_of_rulesets() -> None:
    family = Family()
    family.engine.install(
        'ruleset app { meta { name "App" shares x configure using a = 1 }'
        " global { x = function() { a } } }",
        config={"k": [1]},
    )
    assert family.query("root", WRANGLER, "rulesetConfig", rid="app") == {"k": [1]}
    meta = family.query("root", WRANGLER, "rulesetMeta", rid="app")
    assert (meta["name"], meta["shares"], meta["configure"]) == ("App", ["x"], ["a"])
    meta = family.query("root", WRANGLER, "rulesetMeta", rid=PDS)
    assert meta["use"] == [{"kind": "module", "rid": WRANGLER, "alias": "wrangler"}]
    assert "profile" in meta["provides"]
    for query in ("rulesetConfig", "rulesetMeta"):
        assert family.query("root", WRANGLER, query, rid="none") is None


# --- Queries to other picos -----------------------------------------------------------------------

SELF = {
    "status_code": 400,
    "status_line": "HTTP/1.1 400 Pico should not query itself",
    "content": '{"error":"Pico should not query itself"}',
}


def unsuccessful(code: int, message: str, error: Any, value: Any, text: Any = 0) -> dict[str, Any]:
    return {
        "error": "sky query request was unsuccesful.",
        "httpStatus": {"code": code, "message": message},
        "picoQueryError": error,
        "picoQueryErrorMsg": text,
        "picoQueryReturnValue": value,
    }


def test_a_pico_does_not_ask_itself() -> None:
    family = Family()
    own = family.eci("root", "root")
    asked = {"eci": own, "mod": WRANGLER, "func": "name"}
    assert family.query("root", WRANGLER, "picoQuery", **asked) == SELF
    error = "Pico should not query itself"
    assert family.query("root", WRANGLER, "skyQuery", **asked) == unsuccessful(
        400, SELF["status_line"], error, {"error": error}
    )


@pytest.mark.parametrize("host", [None, "", "http://here"])
def test_picos_here_are_asked_over_their_channels(host: str | None) -> None:
    family = Family()
    eci = family.child("bob")
    asked = {"mod": WRANGLER, "func": "channels", "params": {"tags": "pds"}, "_host": host}
    (found,) = family.query("root", WRANGLER, "picoQuery", eci=eci, **asked)
    assert found["tags"] == ["pds"]
    with pytest.raises(Fault, match="ECI not found nowhere"):
        family.query("root", WRANGLER, "picoQuery", eci="nowhere", **asked)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (reply('{"a": 1}', content_type="application/json"), {"a": 1}),
        (reply('"x"', content_type="application/json"), "x"),
        (reply("null"), unsuccessful(200, "200 OK", 0, None)),
        (
            reply('{"error": "Error: ECI not found e"}'),
            unsuccessful(
                200, "200 OK", "Error: ECI not found e", {"error": "Error: ECI not found e"}
            ),
        ),
        (
            reply('{"error_str": "why"}'),
            unsuccessful(200, "200 OK", 0, {"error_str": "why"}, "why"),
        ),
    ],
)
def test_picos_elsewhere_are_asked_over_http(answer: Any, expected: Any) -> None:
    engine = TestEngine(system=True)
    web = engine.core.web = ScriptedWeb(engine.clock, {"http://there/sky/cloud/e/rid/name": answer})
    asked = {"eci": "e", "mod": "rid", "func": "name", "params": {"a": "b"}}
    family = Family(engine)
    got = family.query("root", WRANGLER, "picoQuery", _host="http://there", **asked)
    if type(got) is dict and "httpStatus" in got:
        # The words of a status line are the server's.
        got["httpStatus"]["message"] = "200 OK"
    assert got == expected
    assert [one.url for one in web.asked] == ["http://there/sky/cloud/e/rid/name?a=b"]


def test_another_path_or_root_url_is_asked() -> None:
    engine = TestEngine(system=True)
    engine.core.web = ScriptedWeb(
        engine.clock,
        {
            "http://there/c/e/r/f": reply("1"),
            "http://else/e/r/f": reply("2"),
            "http://here/sky/cloud/e/r/f": reply("3"),
        },
    )
    family = Family(engine)
    asked = {"eci": "e", "mod": "r", "func": "f"}
    assert (
        family.query("root", WRANGLER, "skyQuery", _host="http://there", _path="/c/", **asked) == 1
    )
    assert family.query("root", WRANGLER, "skyQuery", _root_url="http://else/", **asked) == 2
    assert family.query("root", WRANGLER, "skyQuery", **asked) == 3


# --- What events carry ----------------------------------------------------------------------------


def test_attributes_of_the_request_go_with_a_child() -> None:
    family = Family()
    put_spy(family, "wrangler:new_child_created", "wrangler:child_initialized")
    eci = family.child("bob", color="red", **HEADERS)
    ui = family.eci("bob", "engine", "ui")
    assert heard(family) == [
        {
            "event": "wrangler:new_child_created",
            "name": "bob",
            "color": "red",
            "eci": eci,
            "uiEci": ui,
        },
        {"event": "wrangler:child_initialized", "name": "bob", "color": "red", "eci": eci},
    ]
    box = family.query("bob", UI, "box")
    assert (box["name"], box["backgroundColor"], box["parent"]) == (
        "bob",
        "#87CEFA",
        family.eci("root", "engine", "ui"),
    )
    assert family.query("root", UI, "box")["children"] == [ui]


def test_attributes_of_the_request_come_back_with_a_deletion() -> None:
    family = Family()
    put_spy(family, "wrangler:child_deleted")
    eci = family.child("bob")
    family.tell("root", "wrangler", "child_deletion_request", {"eci": eci, "why": 1, **HEADERS})
    assert heard(family) == [{"event": "wrangler:child_deleted", "eci": eci, "why": 1}]
    assert family.query("root", WRANGLER, "children") == []
    with pytest.raises(Fault) as caught:
        family.engine.event("a", "b", eci=eci)
    assert caught.value.code == "R1005"


def test_a_child_that_took_too_long_is_told_of_as_such() -> None:
    family = Family()
    eci = family.child("bob")
    put_spy(family, "wrangler:child_deleted")
    family.tell("bob", "wrangler", "ruleset_needs_cleanup_period", {"domain": "never"})
    family.tell("root", "wrangler", "child_deletion_request", {"eci": eci})
    assert heard(family) == []
    family.pass_seconds(301)
    assert heard(family) == [{"event": "wrangler:child_deleted", "eci": eci, "timed_out": True}]


@pytest.mark.parametrize("finishes", [True, False])
def test_a_deletion_that_a_restart_interrupts_goes_on(finishes: bool) -> None:
    family = Family()
    eci = family.child("bob")
    family.child("carl", "bob")
    put_spy(family, "wrangler:child_deleted")
    family.tell("carl", "wrangler", "ruleset_needs_cleanup_period", {"domain": "slow"})
    family.tell("root", "wrangler", "child_deletion_request", {"eci": eci})
    assert [family.name(pico) for pico in family.picos()] == ["root", "bob", "carl"]
    engine = family.engine
    engine.core.is_closing = True
    family = Family(TestEngine(engine.store, clock=engine.clock, seed=2))
    if finishes:
        family.tell("carl", "wrangler", "cleanup_finished", {"domain": "slow"})
        family.engine.run()
    else:
        family.pass_seconds(301)
    assert [family.name(pico) for pico in family.picos()] == ["root"]
    (told,) = heard(family)
    assert told["eci"] == eci
    assert ("timed_out" in told) is not finishes


def test_channel_and_ruleset_events_carry_what_was_made() -> None:
    fetcher = TextFetcher()
    fetcher.texts["mem:/app.krl"] = "ruleset app {}"
    family = Family(TestEngine(system=True, fetcher=fetcher))
    put_spy(family, "wrangler:channel_created", "wrangler:ruleset_installed")
    family.tell("root", "wrangler", "new_channel_request", {"tags": ["A b"], **OPEN_POLICIES})
    family.tell("root", "wrangler", "install_ruleset_request", {"url": "mem:/app.krl", "n": 1})
    own, made, installed = heard(family)
    assert own == {"event": "wrangler:ruleset_installed", "rids": ["spy"]}
    assert made["channel"]["id"] == family.eci("root", "a-b")
    assert made["tags"] == ["A b"]
    assert installed == {
        "event": "wrangler:ruleset_installed",
        "url": "mem:/app.krl",
        "n": 1,
        "rids": ["app"],
    }


def test_a_name_changes() -> None:
    family = Family()
    family.tell("root", "wrangler", "name_changed", {"name": "Rudi"})
    assert family.query("root", WRANGLER, "name") == "Rudi"


def test_one_ruleset_that_cannot_be_read_does_not_keep_back_the_others() -> None:
    fetcher = TextFetcher()
    app = "ruleset %s { meta { shares v } global { v = %d } }"
    names = ("one", "two", "three")
    for name in names:
        fetcher.texts[f"mem:/{name}.krl"] = app % (name, 1)
    family = Family(TestEngine(system=True, fetcher=fetcher))
    for name in names:
        family.tell("root", "wrangler", "install_ruleset_request", {"url": f"mem:/{name}.krl"})
        fetcher.texts[f"mem:/{name}.krl"] = app % (name, 2)
    del fetcher.texts["mem:/two.krl"]
    family.tell("root", "wrangler", "rulesets_need_flushing")
    assert [family.query("root", name, "v") for name in names] == [2, 1, 2]


def test_a_ruleset_that_came_as_a_text_is_installed_as_it_is() -> None:
    family = Family()
    family.engine.install("ruleset app { meta { shares v } global { v = 1 } }")
    family.child("bob")
    family.tell("bob", "wrangler", "install_ruleset_request", {"url": "source:app"})
    assert family.query("bob", "app", "v") == 1
    put_spy(family, "wrangler:rulesets_flushed")
    family.tell("root", "wrangler", "rulesets_need_flushing")
    assert len(heard(family)) == 1


def test_a_deleted_child_takes_its_relationships_with_it() -> None:
    family = Family()
    eci = family.child("bob")
    family.child("carl")
    well_known = family.eci("bob", "tx_rx", "wellknown_rx")
    family.tell("carl", "wrangler", "subscription", {"wellKnown_Tx": well_known})
    (bus,) = family.query("bob", SUBSCRIPTION, "inbound")
    family.tell("bob", "wrangler", "pending_subscription_approval", {"Id": bus["Id"]})
    assert len(family.query("carl", SUBSCRIPTION, "established")) == 1
    before = len(family.query("carl", WRANGLER, "channels"))
    family.tell("root", "wrangler", "child_deletion_request", {"eci": eci})
    assert [family.name(pico) for pico in family.picos()] == ["root", "carl"]
    assert family.query("carl", SUBSCRIPTION, "established") == []
    assert len(family.query("carl", WRANGLER, "channels")) == before - 1


# --- Failures -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "attrs", "reason"),
    [
        ("new_child_request", {"x": 1}, "the attribute `name` is missing"),
        ("new_child_request", {"name": ""}, "the attribute `name` is missing"),
        ("child_deletion_request", {}, "delPico(undefined) - not found in children ECIs"),
        ("child_deletion_request", {"eci": "e"}, "delPico(e) - not found in children ECIs"),
        ("ready_for_deletion", {}, "a root pico has no parent that could delete it"),
        (
            "new_channel_request",
            {"tags": ["a"]},
            "`tags`, `eventPolicy` and `queryPolicy` are all needed",
        ),
        (
            "new_channel_request",
            {"tags": ["system"], **OPEN_POLICIES},
            'Cannot tag channel as "system".',
        ),
        ("channel_deletion_request", {"eci": "e"}, "ECI not found e"),
        ("install_ruleset_request", {}, "`url` is needed, or `absoluteURL` and `rid`"),
        ("install_ruleset_request", {"url": "mem:/x"}, "mem:/x cannot be fetched: not there"),
        ("uninstall_ruleset_request", {}, "the attribute `rid` is missing"),
        (
            "uninstall_ruleset_request",
            {"rid": WRANGLER},
            f"Cannot uninstall {WRANGLER} because {PDS} depends on it",
        ),
        ("name_changed", {}, "the attribute `name` is missing"),
    ],
)
def test_a_request_that_fails_says_why(request_: str, attrs: dict[str, Any], reason: str) -> None:
    family = Family()
    put_spy(family, f"wrangler:{request_}_failed")
    family.tell("root", "wrangler", request_, {**attrs, "mark": 7, **HEADERS})
    (failure,) = heard(family)
    assert failure["reason"] == reason
    assert failure["mark"] == 7
    assert "_headers" not in failure
    assert {key: failure[key] for key in attrs} == attrs


def test_a_flush_that_fails_says_why() -> None:
    fetcher = TextFetcher()
    fetcher.texts["http://a.example/app.krl"] = "ruleset app {}"
    family = Family(TestEngine(system=True, fetcher=fetcher))
    put_spy(family, "wrangler:rulesets_flushed", "wrangler:rulesets_need_flushing_failed")
    family.tell("root", "wrangler", "install_ruleset_request", {"url": "http://a.example/app.krl"})
    family.tell("root", "wrangler", "rulesets_need_flushing")
    fetcher.texts.clear()
    family.tell("root", "wrangler", "rulesets_need_flushing")
    good, bad = heard(family)
    assert good["event"] == "wrangler:rulesets_flushed"
    assert bad["reason"] == "http://a.example/app.krl cannot be fetched: not there"
    assert bad["urls"] == ["http://a.example/app.krl"]
