"""`why`: what is made of the history when somebody asks about an event and a rule."""

from __future__ import annotations

from typing import Any

import pytest

from runtime import limits
from runtime.errors import Fault
from runtime.why import explain
from tests.engine.test_history import DEMO, entries
from tests.harness.engine import TestEngine


@pytest.fixture
def engine() -> TestEngine:
    made = TestEngine()
    made.install(DEMO)
    return made


def why(engine: TestEngine, eid: str, rule: str | None = None) -> dict[str, Any]:
    found = entries(engine, eid=eid)
    answer: dict[str, Any] = engine.wait(
        lambda done: engine.core.post_task(
            engine.root, lambda turn: explain(turn, found, rule), done
        )
    )
    return answer


def asked(
    engine: TestEngine, event: str, attrs: dict[str, Any] | None = None, rule: str | None = None
) -> dict[str, Any]:
    """Send an event, `domain:name` or `domain:name@ms`, and ask about it."""
    words, _, at = event.partition("@")
    domain, _, name = words.partition(":")
    answer = engine.event(domain, name, attrs, time_ms=int(at) if at else None)
    return why(engine, answer["eid"], rule)


# --- Why ------------------------------------------------------------------------------------------

# Events before, the event asked about, the rule; then what the text says.
QUESTIONS: list[tuple[list[Any], tuple[str, dict[str, Any]], str | None, list[str]]] = [
    (
        [],
        ("say:hello", {"name": "Ann"}),
        "greet",
        [
            "demo : greet (line 4) was not selected by say:hello.",
            "Attribute name does not match re#^B(.*)$# (line 5): it was 'Ann'.",
            "It still fires after say:hello name re#^B(.*)$# where rest.length() > ent:limit.",
        ],
    ),
    (
        [],
        ("say:hello", {}),
        "demo:greet",
        [
            "demo : greet (line 4) was not selected by say:hello.",
            "Attribute name does not match re#^B(.*)$# (line 5): the event has no such attribute.",
            "It still fires after say:hello name re#^B(.*)$# where rest.length() > ent:limit.",
        ],
    ),
    (
        [("set:limit", {"to": 9})],
        ("say:hello", {"name": "Bobby"}),
        "greet",
        [
            "demo : greet (line 4) was not selected by say:hello.",
            "The condition `rest.length() > ent:limit` (line 5) is false, as of now.",
            "It still fires after say:hello name re#^B(.*)$# where rest.length() > ent:limit.",
        ],
    ),
    (
        [("set:limit", {"to": 1})],
        ("say:hello", {"name": "Bob"}),
        "greet",
        [
            "demo : greet (line 4) was selected by say:hello but did not fire: its condition "
            '`rest != "ob"` (line 6) was false.'
        ],
    ),
    (
        [],
        ("c:d", {"x": "5"}),
        "pair",
        [
            "demo : pair (line 9) was not selected by c:d.",
            r"Before it, it waited for a:b, then c:d x re#(\d+)#.",
            "This event changes nothing where it stood.",
            r"It still fires after a:b, then c:d x re#(\d+)#.",
        ],
    ),
    (
        [],
        ("a:b", {}),
        "pair",
        [
            "demo : pair (line 9) was not selected by a:b.",
            r"Before it, it waited for a:b, then c:d x re#(\d+)#.",
            r"It now fires after c:d x re#(\d+)#.",
        ],
    ),
    (
        [("a:b@0", {})],
        ("c:d@10", {"x": "abc"}),
        "pair",
        [
            "demo : pair (line 9) was not selected by c:d.",
            r"Before it, it waited for c:d x re#(\d+)#.",
            r"Attribute x does not match re#(\d+)# (line 10): it was 'abc'.",
            r"It now fires after a:b, then c:d x re#(\d+)#.",
        ],
    ),
    (
        [("a:b@0", {})],
        ("c:d@300001", {"x": "5"}),
        "pair",
        [
            "demo : pair (line 9) was not selected by c:d.",
            r"Before it, it waited for c:d x re#(\d+)#.",
            "The time limit of 300000 ms had passed: it was 300001 ms since the first event. So it "
            "began anew.",
            r"It now fires after a:b, then c:d x re#(\d+)#.",
        ],
    ),
    (
        [("a:b@0", {})],
        ("c:d@300000", {"x": "5"}),
        "pair",
        ["demo : pair (line 9) was selected by c:d and ran."],
    ),
    (
        [("temp:reading", {"level": "5"})],
        ("temp:reading", {"level": "7"}),
        "three",
        [
            "demo : three (line 13) was not selected by temp:reading.",
            r"Before it, it waited for 2 × temp:reading level re#(\d+)#.",
            r"It now fires after temp:reading level re#(\d+)#.",
            "So far it has set m = 7.",
        ],
    ),
    (
        [("temp:reading", {"level": "5"})] * 2,
        ("temp:reading", {"level": "7"}),
        "three",
        [
            "demo : three (line 13) was selected by temp:reading and ran. In 1 round of its loop "
            'the condition `each == "x"` (line 16) was false.'
        ],
    ),
    (
        [],
        ("say:helo", {}),
        "greet",
        [
            "demo : greet (line 4) does not listen for say:helo, only for say:hello. Was say:hello "
            "meant?"
        ],
    ),
    (
        [],
        ("other:thing", {}),
        "pair",
        ["demo : pair (line 9) does not listen for other:thing, only for a:b, c:d."],
    ),
    (
        [],
        ("say:helo", {}),
        None,
        ["No rule listens for say:helo. There are rules for say:hello: was that meant?"],
    ),
    (
        [("set:limit", {"to": 1})],
        ("say:hello", {"name": "Bobby"}),
        "unheard",
        [
            "demo : unheard (line 19) listens for heard:greeting but was not asked: rule heard of "
            "demo came before it and ended with `last`."
        ],
    ),
    (
        [],
        ("go:stop", {}),
        "after",
        [
            "demo : after (line 23) listens for go:stop but was not asked: rule stop of demo came "
            "before it and ended with `error error`."
        ],
    ),
    (
        [],
        ("go:worse", {"n": "a"}),
        None,
        ["demo : worse (line 21) failed deciding about go:worse, and what it did was taken back: "],
    ),
    (
        [],
        ("go:bad", {}),
        None,
        ["demo : bad (line 20) failed handling go:bad, and what it did was taken back: "],
    ),
]


@pytest.mark.parametrize(("before", "event", "rule", "text"), QUESTIONS)
def test_why_in_words(
    engine: TestEngine,
    before: list[Any],
    event: tuple[str, dict[str, Any]],
    rule: str | None,
    text: list[str],
) -> None:
    for earlier in before:
        asked(engine, *earlier)
    found = asked(engine, *event, rule)["text"]
    if text[-1].endswith(": "):
        found = [line[: len(text[-1])] for line in found]
    assert found == text


def test_why_as_data(engine: TestEngine) -> None:
    asked(engine, "a:b@0")
    found = asked(engine, "c:d@10", {"x": "abc"}, "pair")["rules"][0]
    needs = [r"c:d x re#(\d+)#"]
    assert found["before"]["needs"] == needs
    assert found["before"]["started_ms"] == 0
    assert found["after"] == {"state": 0, "needs": ["a:b", *needs]}
    assert found["next"] == ["a:b", *needs]
    assert found["failed"] == [
        {"event": "c:d", "line": 10, "attribute": "x", "value": "abc", "pattern": r"re#(\d+)#"}
    ]
    assert found["listens"] == ["a:b", "c:d"]
    assert found["salient"]
    late = asked(engine, "a:b@0"), asked(engine, "c:d@400000", {"x": "1"}, "pair")
    assert late[1]["rules"][0]["timeout"] == {"limit_ms": 300_000, "elapsed_ms": 400_000}


def test_without_a_rule_all_that_were_asked_are_explained(engine: TestEngine) -> None:
    engine.event("set", "limit", {"to": 1})
    found = asked(engine, "say:hello", {"name": "Bobby"})
    assert [(one["rule"], one["event"]) for one in found["rules"]] == [
        ("greet", "say:hello"),
        ("heard", "heard:greeting"),
    ]


def test_a_where_that_would_hold_by_now_says_so(engine: TestEngine) -> None:
    engine.event("set", "limit", {"to": 9})
    eid = engine.event("say", "hello", {"name": "Bobby"})["eid"]
    engine.event("set", "limit", {"to": 1})
    found = why(engine, eid, "greet")
    assert found["rules"][0]["differs"]
    assert found["rules"][0]["failed"] == []
    assert found["text"][1] == (
        "Tried again now it goes another way: what it reads has changed since."
    )
    assert engine.query("demo", "limit") == 1


def test_several_ways_on_are_all_named() -> None:
    engine = TestEngine()
    engine.install("ruleset o { rule r { select when any 2 (e p, e q, e r) } }")
    found = asked(engine, "e:q", rule="r")
    assert found["rules"][0]["options"] == ["e:p", "e:r"]
    assert found["text"][-1] == "The next event may be e:p or e:r."


def test_a_newer_version_is_told(engine: TestEngine) -> None:
    eid = engine.event("say", "hello", {"name": "Ann"})["eid"]
    engine.install(DEMO.replace("send_directive", "\n      send_directive"))
    text = why(engine, eid, "greet")["text"]
    assert "is installed now, with the same event expression." in text[1]
    assert "Attribute name does not match" in text[2]
    engine.install(DEMO.replace("re#^B(.*)$#", "re#^C(.*)$#"))
    text = why(engine, eid, "greet")["text"]
    assert len(text) == 2
    assert text[1].endswith("with another event expression.")


def test_large_attributes_leave_what_failed_unknown(engine: TestEngine) -> None:
    attrs = {"name": "A" * 2 * limits.history_turn_bytes_max}
    text = asked(engine, "say:hello", attrs, "greet")["text"]
    assert "The attributes were too large to be kept, so what failed is unknown." in text


def test_an_unknown_rule_is_refused_with_the_nearest(engine: TestEngine) -> None:
    eid = engine.event("a", "b")["eid"]
    with pytest.raises(Fault) as raised:
        why(engine, eid, "greeet")
    assert (raised.value.code, raised.value.hint) == ("R1013", "did you mean greet?")


@pytest.mark.parametrize("twin", ["automaton", "automaton_py"])
def test_both_twins_explain_alike(twin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = pytest.importorskip(f"ext.{twin}")
    monkeypatch.setattr("runtime.module.Machine", module.Machine)
    monkeypatch.setattr("runtime.history.State", module.State)
    engine = TestEngine()
    engine.install(DEMO)
    engine.event("temp", "reading", {"level": "5"})
    row = entries(engine)[0]["rules"][0]
    assert row["after"] == [2, [5], [["5"]], None]
    found = asked(engine, "temp:reading", {"level": "x"}, "three")["rules"][0]
    assert found["before"]["settings"] == {"m": 5}
    assert found["failed"][0]["value"] == "x"
