"""io.picolabs.pds: what is kept, what is told, and why a request failed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.system.spy import heard, put_spy
from tests.system.stage import PDS, Family

TOLD = (
    *("pds:data_added", "pds:data_updated", "pds:data_deleted", "pds:namespace_deleted"),
    *("pds:new_map_added", "pds:profile_updated", "pds:settings_added"),
)
FAILED = tuple(
    f"pds:{name}_failed"
    for name in (
        *("new_data_available", "updated_data_available", "remove_old_data", "remove_namespace"),
        *("map_item", "updated_profile", "add_settings"),
    )
)
Step = tuple[str, dict[str, Any]]
AB: Step = ("new_data_available", {"namespace": "a", "key": "b", "value": 1})


@pytest.mark.parametrize(
    ("steps", "told", "general"),
    [
        (
            [AB],
            {"event": "pds:data_added", "namespace": "a", "keyvalue": {"b": 1}},
            {"a": {"b": 1}},
        ),
        (
            [("new_data_available", {"namespace": "a", "key": "b"})],
            {"event": "pds:data_added", "namespace": "a", "keyvalue": {"b": ""}},
            {"a": {"b": ""}},
        ),
        (
            [
                ("new_data_available", {"namespace": "a", "key": "b", "value": {"x": 1, "y": 2}}),
                ("updated_data_available", {"namespace": "a", "key": "b", "value": {"y": 3}}),
            ],
            {"event": "pds:data_updated", "namespace": "a", "keyvalue": {"y": 3}},
            {"a": {"b": {"x": 1, "y": 3}}},
        ),
        (
            [AB, ("remove_old_data", {"namespace": "a", "key": "b"})],
            {"event": "pds:data_deleted", "namespace": "a", "keyvalue": {"b": 1}},
            {"a": {}},
        ),
        (
            [AB, ("remove_namespace", {"namespace": "a"})],
            {"event": "pds:namespace_deleted", "namespace": "a"},
            {},
        ),
        (
            [AB, ("map_item", {"namespace": "a", "mapvalues": {"c": 2}})],
            {"event": "pds:new_map_added", "namespace": "a", "mapvalues": {"c": 2}},
            {"a": {"c": 2}},
        ),
        (
            [("map_item", {"namespace": "a", "mapvalues": '{"c": 2}'})],
            {"event": "pds:new_map_added", "namespace": "a", "mapvalues": {"c": 2}},
            {"a": {"c": 2}},
        ),
        (
            [("new_data_available", {"namespace": "a.b", "key": "c.d", "value": 1})],
            {"event": "pds:data_added", "namespace": "a.b", "keyvalue": {"c.d": 1}},
            {"a.b": {"c.d": 1}},
        ),
    ],
)
def test_general_data(steps: list[Step], told: dict[str, Any], general: dict[str, Any]) -> None:
    family = Family()
    put_spy(family, *TOLD)
    for event, attrs in steps:
        family.tell("root", "pds", event, attrs)
    assert heard(family)[-1] == told
    assert family.query("root", PDS, "items") == {"status": "failed", "general": general}


@pytest.mark.parametrize(
    ("query", "args", "expected"),
    [
        ("items", {"namespace": "a", "key": "b"}, {"status": "success", "general": 1}),
        ("items", {"namespace": "a"}, {"status": "success", "general": {"b": 1}}),
        ("items", {"namespace": "none"}, {"status": "success", "general": None}),
        ("get_keys", {"namespace": "a"}, ["b"]),
        ("get_keys", {"namespace": "none"}, []),
        (
            "settings",
            {},
            {
                "status": "success",
                "settings": {"r": {"data": {"k": 5}, "rid": "r", "name": "N", "schema": ["s"]}},
            },
        ),
        ("settings", {"Rid": "r", "Key": "name"}, {"status": "success", "settings": "N"}),
        (
            "settings",
            {"Rid": "r", "Key": "data", "detail": "k"},
            {"status": "success", "settings": 5},
        ),
        ("settings", {"Rid": "none"}, {"status": "success", "settings": None}),
        ("settings_names", {}, [{"setRID": "r", "setName": "N"}]),
        ("get_setting_data_value", {"setRID": "r", "setKey": "k"}, 5),
        ("config_value", {"setKey": "k"}, None),
    ],
)
def test_what_is_kept_can_be_asked_for(query: str, args: dict[str, Any], expected: Any) -> None:
    family = Family()
    family.tell("root", "pds", *AB)
    settings = {"keyed_rid": "r", "name": "N", "schema": ["s"], "data_key": "k", "value": 5}
    family.tell("root", "pds", "add_settings", settings)
    assert family.query("root", PDS, query, **args) == expected
    family.tell("root", "pds", "clear_all_data")
    assert family.query("root", PDS, "items", namespace="a")["general"] is None
    assert family.query("root", PDS, "settings_names") == []
    assert family.query("root", PDS, "profile")["profile"] is None


def test_a_ruleset_reads_its_own_settings() -> None:
    family = Family()
    family.engine.install(
        "ruleset app { meta { use module io.picolabs.pds alias pds shares both }"
        ' global { both = function() { [pds:config_value("k"), pds:get_config_value("k")] } } }'
    )
    for rid, value in (("app", 5), ("other", 6)):
        family.tell(
            "root", "pds", "add_settings", {"keyed_rid": rid, "data_key": "k", "value": value}
        )
    assert family.query("root", "app", "both") == [5, 5]


def test_settings_are_added_to() -> None:
    family = Family()
    put_spy(family, *TOLD)
    steps: list[dict[str, Any]] = [
        {"keyed_rid": "r", "name": "N", "data_key": "a", "value": 1},
        {"keyed_rid": "r", "data_key": "b", "value": 2},
    ]
    for attrs in steps:
        family.tell("root", "pds", "add_settings", attrs)
    assert family.query("root", PDS, "settings", Rid="r")["settings"] == {
        "rid": "r",
        "name": "N",
        "data": {"a": 1, "b": 2},
    }
    assert heard(family) == [{"event": "pds:settings_added", **attrs} for attrs in steps]


def test_a_profile_keeps_what_is_not_given() -> None:
    family = Family()
    profile = family.query("root", PDS, "profile")["profile"]
    assert profile["name"] == "Pico"
    assert profile["photo"].startswith("data:image/svg+xml;base64,")
    put_spy(family, *TOLD)
    family.pass_seconds(60)
    headers = {"_headers": {"cookie": "secret"}}
    family.tell("root", "pds", "updated_profile", {"email": "a@b", "extra": 1, **headers})
    assert heard(family)[-1] == {
        "event": "pds:profile_updated",
        "email": "a@b",
        "extra": 1,
        "_status": "success",
    }
    assert family.query("root", PDS, "profile")["profile"] == {
        **profile,
        "email": "a@b",
        "extra": 1,
        "_modified": "19700101T001740+0000",
    }
    family.tell("root", "pds", "updated_profile", {"name": "Rudi"})
    assert "extra" not in family.query("root", PDS, "profile")["profile"]
    assert family.query("root", PDS, "profile", key="name") == {
        "status": "success",
        "profile": "Rudi",
    }


def test_a_childs_profile_has_its_name() -> None:
    family = Family()
    family.child("bob")
    assert family.query("bob", PDS, "profile", key="name")["profile"] == "bob"


def test_its_channel_lets_in_nothing_else() -> None:
    family = Family()
    eci = family.eci("root", "pds")
    assert family.query("root", PDS, "getChannelEci") == eci
    family.engine.event("pds", *AB, eci)
    assert family.engine.query(PDS, "get_keys", {"namespace": "a"}, eci) == ["b"]
    with pytest.raises(Exception, match="Not allowed by channel policy"):
        family.engine.event("wrangler", "new_child_request", {"name": "x"}, eci)
    family.tell("root", "wrangler", "ruleset_installed", {"rids": [PDS]})
    assert family.eci("root", "pds") == eci


@pytest.mark.parametrize(
    ("event", "attrs", "reason"),
    [
        ("new_data_available", {"key": "b"}, "`namespace` and `key` are both needed"),
        ("updated_data_available", {"namespace": "a", "key": "b"}, "`value` must be a map"),
        ("remove_old_data", {"namespace": "a"}, "`namespace` and `key` are both needed"),
        ("remove_namespace", {}, "`namespace` is missing"),
        ("map_item", {"namespace": "a", "mapvalues": 7}, "`mapvalues` is no map"),
        ("map_item", {"namespace": "a", "mapvalues": "no json"}, "`mapvalues` is no map"),
        ("updated_profile", {}, "no attribute was given"),
        ("add_settings", {"name": "N"}, "`keyed_rid` is missing"),
    ],
)
def test_a_request_that_fails_says_why(event: str, attrs: dict[str, Any], reason: str) -> None:
    family = Family()
    put_spy(family, *FAILED)
    family.tell("root", "pds", event, attrs)
    (failure,) = heard(family)
    assert failure["event"] == f"pds:{event}_failed"
    assert reason in failure["reason"]
