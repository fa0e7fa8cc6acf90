"""io.picolabs.pico-engine-ui: what a user interface sees, and does."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.errors import Fault
from runtime.system import announce_start
from tests.harness.engine import TestEngine, TextFetcher
from tests.system.spy import heard, put_spy
from tests.system.stage import PDS, UI, WRANGLER, Family

FAILED = tuple(
    f"engine_ui:{name}_failed"
    for name in ("box", "new", "del", "install", "uninstall", "flush", "new_channel", "del_channel")
)
POLICIES = {"eventPolicy": {"allow": [], "deny": []}, "queryPolicy": {"allow": [], "deny": []}}


def over_ui(
    family: Family, name: str, event: str, attrs: dict[str, Any] | None = None
) -> dict[str, Any]:
    """An event that comes from outside, over the channel of user interfaces."""
    eci = family.eci(name, "engine", "ui")
    return family.engine.event("engine_ui", event, attrs, eci)


@pytest.mark.parametrize(
    ("attrs", "changed"),
    [
        ({}, {}),
        ({"x": 0, "y": "12.5"}, {"x": 0, "y": 12.5}),
        ({"width": 50, "height": "60", "name": "N"}, {"width": 50, "height": 60, "name": "N"}),
        ({"backgroundColor": "#AbCdEf"}, {"backgroundColor": "#AbCdEf"}),
        ({"backgroundColor": "red"}, {}),
        ({"x": "left", "y": None, "name": ""}, {}),
        ({"parentUiEci": "e"}, {"parent": "e"}),
    ],
)
def test_a_box_is_where_it_was_put(attrs: dict[str, Any], changed: dict[str, Any]) -> None:
    family = Family()
    fresh = {
        "eci": family.eci("root", "engine", "ui"),
        "parent": None,
        "children": [],
        "name": "Pico",
        "backgroundColor": "#87cefa",
        **dict.fromkeys(("x", "y", "width", "height"), 100),
    }
    assert family.query("root", UI, "box") == fresh
    over_ui(family, "root", "box", attrs)
    assert family.query("root", UI, "box") == fresh | changed


def test_a_pico_is_shown_with_channels_and_rulesets() -> None:
    shown = Family().query("root", UI, "pico")
    assert len(shown["channels"]) == 5
    assert [one["rid"] for one in shown["rulesets"]][:2] == [UI, WRANGLER]
    pds = next(one for one in shown["rulesets"] if one["rid"] == PDS)
    assert pds["url"] == f"system:/rulesets/{PDS}.krl"
    assert pds["config"] == {}
    assert pds["meta"]["krl"].startswith("// What a pico remembers")
    assert set(pds["meta"]) >= {"krlMeta", "hash", "compiler"}
    assert set(pds["meta"]["compiler"]) == {"version", "warnings"}


def test_children_come_and_go_over_the_ui_channel() -> None:
    family = Family()
    over_ui(family, "root", "box", {"backgroundColor": "#123456"})
    over_ui(family, "root", "new", {"name": "bob"})
    assert family.query("bob", UI, "box")["backgroundColor"] == "#123456"
    ui = family.eci("bob", "engine", "ui")
    assert family.query("root", UI, "box")["children"] == [ui]
    over_ui(family, "bob", "new", {"name": "carl"})
    family.tell("bob", "wrangler", "ruleset_needs_cleanup_period", {"domain": "slow"})
    over_ui(family, "root", "del", {"eci": ui})
    # It is out of the picture while it cleans up.
    assert len(list(family.picos())) > 1
    assert family.query("root", UI, "box")["children"] == []
    family.tell("bob", "wrangler", "cleanup_finished", {"domain": "slow"})
    assert [family.name(pico) for pico in family.picos()] == ["root"]


def test_a_ui_learns_of_children_made_otherwise() -> None:
    family = Family()
    family.engine.install(
        "ruleset maker { rule make { select when maker make every {"
        f' ctx:newPico([{{"url": "system:/rulesets/{UI}.krl"}}]) setting(eci)'
        ' event:send({"eci": eci, "domain": "engine_ui", "name": "setup"})'
        " ctx:newPico([]) } } }"
    )
    family.tell("root", "maker", "make")
    assert family.query("root", UI, "box")["children"] == []
    announce_start(family.engine.core)
    family.engine.run()
    (child,) = family.query("root", UI, "box")["children"]
    assert family.engine.query(UI, "box", eci=child)["parent"] == family.eci("root", "engine", "ui")
    assert family.engine.core.letters.recent() == []


def test_a_lost_ui_channel_is_made_again_at_the_next_start() -> None:
    family = Family()
    lost = family.eci("root", "engine", "ui")
    family.tell("root", "wrangler", "channel_deletion_request", {"eci": lost})
    announce_start(family.engine.core)
    family.engine.run()
    found = family.eci("root", "engine", "ui")
    assert found != lost
    assert family.engine.query(UI, "box", eci=found)["eci"] == found


def test_rulesets_are_installed_flushed_and_uninstalled() -> None:
    fetcher = TextFetcher()
    fetcher.texts["mem:/app.krl"] = "ruleset app { meta { shares v } global { v = 1 } }"
    family = Family(TestEngine(system=True, fetcher=fetcher))
    put_spy(family, *FAILED, "wrangler:ruleset_installed")
    over_ui(family, "root", "install", {"url": "mem:/app.krl", "config": {"k": 1}})
    assert heard(family)[-1]["rids"] == ["app"]
    assert family.query("root", WRANGLER, "rulesetConfig", rid="app") == {"k": 1}
    fetcher.texts["mem:/app.krl"] = "ruleset app { meta { shares v } global { v = 2 } }"
    over_ui(family, "root", "flush", {"url": "mem:/app.krl"})
    assert family.query("root", "app", "v") == 2
    over_ui(family, "root", "uninstall", {"rid": "app"})
    assert "app" not in family.query("root", WRANGLER, "installedRIDs")


def test_channels_come_and_go_but_not_its_own() -> None:
    family = Family()
    put_spy(family, *FAILED)
    over_ui(family, "root", "new_channel", {"tags": ["mine"], **POLICIES})
    over_ui(family, "root", "del_channel", {"eci": family.eci("root", "mine")})
    assert family.query("root", WRANGLER, "channels", tags="mine") == []
    own = family.eci("root", "engine", "ui")
    over_ui(family, "root", "del_channel", {"eci": own})
    assert heard(family)[-1]["reason"] == "this is the channel of user interfaces, which they need"
    assert family.query("root", UI, "uiECI") == own


def test_its_channel_allows_what_user_interfaces_do_and_nothing_else() -> None:
    family = Family()
    engine, eci = family.engine, family.eci("root", "engine", "ui")
    for domain, name in (("foo", "bar"), ("wrangler", "new_child_request")):
        with pytest.raises(Fault, match="Not allowed by channel policy"):
            engine.event(domain, name, {}, eci)
    with pytest.raises(Fault, match="Not allowed by channel policy"):
        engine.query(WRANGLER, "name", {}, eci)
    assert engine.query(UI, "name", {}, eci) == "Pico"
    assert set(engine.query(PDS, "__testing", {}, eci)) == {"queries", "events"}
    assert engine.query("io.picolabs.subscription", "established", {}, eci) == []
    over_ui(family, "root", "testing_eci", {"eci": "e"})
    assert engine.query(UI, "testingECI", {}, eci) == "e"


@pytest.mark.parametrize(
    ("event", "attrs", "reason"),
    [
        ("box", {"backgroundColor": "red"}, "a colour is # and six hexadecimal digits"),
        ("new", {}, "the attribute `name` is missing"),
        ("del", {"eci": "e"}, "no child has this UI channel"),
        ("del", {}, "no child has this UI channel"),
        ("install", {}, "the attribute `url` is missing"),
        ("uninstall", {}, "Expected string for rid but got Null"),
        ("flush", {"url": "mem:/none"}, "mem:/none cannot be fetched: not there"),
        ("new_channel", {}, "`tags`, `eventPolicy` and `queryPolicy` are all needed"),
        ("del_channel", {"eci": "e"}, "ECI not found e"),
    ],
)
def test_a_request_that_fails_says_why(event: str, attrs: dict[str, Any], reason: str) -> None:
    family = Family()
    put_spy(family, *FAILED)
    over_ui(family, "root", event, attrs)
    (failure,) = heard(family)
    assert failure["event"] == f"engine_ui:{event}_failed"
    assert failure["reason"] == reason


def test_logs_tell_what_a_pico_did_newest_first() -> None:
    family = Family()
    family.engine.install(
        """ruleset app {
          rule one { select when a b
            always { log info {"n": 1}; raise a event "c" } }
          rule two { select when a c if false then noop() }
          rule three { select when a c always { ent:x := "y".klog("said"); ent:z := 1 - "x" } }
        }"""
    )
    family.tell("root", "a", "b", {"q": 1, "_headers": {"cookie": "secret"}})
    family.tell("root", "x", "y")
    first, second = family.query("root", UI, "logs")[:2]
    own = family["root"].id[:6] + "…"
    assert first["header"] == f"EVENT {own} x:y {{}}"
    assert first["entries"] == []
    assert second["header"] == f'EVENT {own} a:b {{"q":1}}'
    assert second["time"] == "1970-01-01T00:16:40.000Z"
    event = f'{{"eci":"{own}","domain":"a","name":"c","data":{{"attrs":{{}}}}}}'
    assert second["entries"] == [
        "00:16:40.000Z [DEBUG] rule selected app : one",
        '00:16:40.000Z [INFO] {"n":1}',
        "00:16:40.000Z [DEBUG] fired",
        f"00:16:40.000Z [DEBUG] event added to schedule {event}",
        "00:16:40.000Z [DEBUG] rule selected app : two",
        "00:16:40.000Z [DEBUG] not fired",
        "00:16:40.000Z [DEBUG] rule selected app : three",
        '00:16:40.000Z [KLOG] said "y"',
        "00:16:40.000Z [ERROR] x cannot be subtracted from 1",
    ]
