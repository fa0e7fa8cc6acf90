"""The conformance scenarios 22 to 47 of the engine reference 9: channels, picos, rulesets, state.

In: rows of steps: what a rule does with `ctx:`, or a query, and what comes of it. Out: one test a
row. In arguments and results `@NAME` stands for an ECI that an earlier step put there; a result
that begins with `!` is the message of the fault.
"""

from __future__ import annotations

from typing import Any

import pytest

from runtime.errors import Fault
from tests.harness.engine import TestEngine, TextFetcher

ACTIONS = {
    "newPico": "ctx:newPico(a[0], a[1])",
    "delPico": "ctx:delPico(a[0])",
    "newChannel": "ctx:newChannel(a[0], a[1], a[2])",
    "putChannel": "ctx:putChannel(a[0], a[1], a[2], a[3])",
    "delChannel": "ctx:delChannel(a[0])",
    "install": "ctx:install(a[0], a[1])",
    "uninstall": "ctx:uninstall(a[0])",
    "flush": "ctx:flush(a[0])",
}
LAB = """ruleset lab {
  meta { shares channels, children, parent, rids, value }
  global {
    channels = function(eci) {
      ctx:channels.filter(function(c) { eci.isnull() || c{"id"} == eci })
    }
    children = function() { ctx:children }
    parent = function() { ctx:parent }
    rids = function() { ctx:rulesets.map(function(r) { r{"rid"} }) }
    value = function() { ent:value }
  }
  rule set { select when lab set send_directive("r", {"r": null})
    fired { ent:value := event:attrs{["a", 0]} } }
  rule drop { select when lab clear send_directive("r", {"r": null}) fired { clear ent:value } }
RULES
}""".replace(
    "RULES",
    "\n".join(
        f"""  rule do_{name} {{ select when lab {name}
    pre {{ a = event:attrs{{"a"}} }}
    every {{ {action} setting(r) send_directive("r", {{"r": r}}) }} }}"""
        for name, action in ACTIONS.items()
    ),
)
APP = """ruleset app {
  meta { shares version, config, value, loop, fixed, __testing }
  global {
    version = function() { %d }
    config = function() { ctx:rid_config }
    value = function() { ent:value }
    loop = function(n) { loop(n + 1) + 1 }
    fixed = {"a": 1}
    hidden = function() { 1 }
    act = defaction() { noop() }
    __testing = "mine"
  }
  rule set { select when app set fired { ent:value := event:attrs{"to"} } }
  rule leave { select when app leave ctx:uninstall("app")
    always { raise app event "left" } }
}"""
LAB_ALONE = [{"url": "source:lab"}]
ANY: Any = object()
CLOSED = {"allow": [], "deny": []}

Step = tuple[Any, ...]
SCENARIOS: dict[str, list[Step]] = {
    "22 family channels stay as they are": [
        ("newPico", [[]], "@child"),
        ("putChannel", ["@parent", ["x"], {"allow": 7}], ANY),
        ("?channels", {"eci": "@parent"}, [ANY]),
        ("?tags", "@parent", ["system", "parent"]),
        ("putChannel", ["@self", ["x"]], "!Cannot edit the self channel."),
    ],
    "23 a child's channels are not the parent's": [
        ("newPico", [[]], "@child"),
        ("putChannel", ["@child", ["x"]], "!ECI not found @child"),
        ("delChannel", ["@child"], "!ECI not found @child"),
    ],
    "24 family channels cannot be deleted, others once": [
        ("newPico", [[]], "@child"),
        ("delChannel", ["@self"], "!Cannot delete family channels."),
        ("delChannel", ["@parent"], "!Cannot delete family channels."),
        ("newChannel", [["mine"]], "@mine"),
        ("delChannel", ["@mine"], None),
        ("delChannel", ["@mine"], "!ECI not found @mine"),
    ],
    "25 and 26 family channels do not work from outside": [
        ("newPico", [LAB_ALONE], "@child"),
        (
            *("!", "@child", "lab", "value"),
            "!This is a family channel and only the owner can use it.",
        ),
        (
            *("!", "@self", "lab", "value"),
            "!This is a family channel and only the owner can use it.",
        ),
        ("!as parent", "@child", "lab", "value", None),
    ],
    "27 and 28 what a child brings with it": [
        ("?parent", {}, None),
        ("newPico", [[]], "@child"),
        ("?children", {}, ["@child"]),
        ("?tags", "@self", ["system", "self"]),
        ("?tags", "@parent", ["system", "parent"]),
        ("?picos", 2),
    ],
    "29 only a child's family channel deletes it": [
        ("newPico", [[], {"channels": [{"tags": ["more"]}]}], "@child"),
        ("delPico", [], "!delPico(undefined) - not found in children ECIs"),
        ("delPico", ["@self"], "!delPico(@self) - not found in children ECIs"),
        ("delPico", ["@more"], "!delPico(@more) - not found in children ECIs"),
        ("delPico", ["@child"], None),
        ("delPico", ["@child"], "!delPico(@child) - not found in children ECIs"),
    ],
    "30 a deleted child takes its children with it": [
        ("newPico", [LAB_ALONE], "@child"),
        ("as child newPico", [[]], "@one"),
        ("as child newPico", [[]], "@two"),
        ("?picos", 4),
        ("delPico", ["@child"], None),
        ("?picos", 1),
        ("!", "@one", "lab", "value", "!The pico of ECI @one was deleted"),
    ],
    "31 all of it survives a restart": [
        ("newPico", [[{"url": "mem:app", "config": {"k": 1}}]], "@child"),
        ("newChannel", [["mine"]], "@mine"),
        ("putChannel", ["@mine", ["other"], CLOSED], ANY),
        ("restart", None),
        ("?children", {}, ["@child"]),
        ("?tags", "@mine", ["other"]),
        ("!as parent", "@child", "app", "config", {"k": 1}),
    ],
    "32 what is deleted leaves nothing behind": [
        ("install", ["mem:app"], "app"),
        ("newPico", [[{"url": "mem:app"}]], "@child"),
        ("uninstall", ["app"], None),
        ("delPico", ["@child"], None),
        ("?rows", ["eci", "pico", "mark", "timer"]),
    ],
    "34 and 35 a variable is null, set, null": [
        ("?value", {}, None),
        ("set", [{"a": 1}], None),
        ("?value", {}, {"a": 1}),
        ("clear", [], None),
        ("clear", [], None),
        ("?value", {}, None),
        ("set", [1], None),
        ("set", [None], None),
        ("?value", {}, None),
    ],
    "36 variables of rulesets and picos do not mix": [
        ("install", ["mem:app"], "app"),
        ("newPico", [[{"url": "mem:app"}]], "@child"),
        ("event", "app", "set", {"to": 1}),
        ("set", [2], None),
        ("?", "app", "value", 1),
        ("?value", {}, 2),
        ("!as parent", "@child", "app", "value", None),
    ],
    "38 configuration is given at installation": [
        ("install", ["mem:app"], "app"),
        ("?", "app", "config", {}),
        ("event", "app", "set", {"to": 1}),
        ("install", ["mem:app", {"k": 1}], "app"),
        ("?", "app", "config", {"k": 1}),
        ("?", "app", "value", 1),
        ("?rids", {}, ["lab", "app"]),
    ],
    "39 and 40 a changed ruleset comes with a flush": [
        ("install", ["mem:app"], "app"),
        ("source", "mem:app", APP % 2),
        ("install", ["mem:app"], "app"),
        ("?", "app", "version", 1),
        ("flush", ["mem:app"], None),
        ("?", "app", "version", 2),
    ],
    "41 and 42 what is uninstalled is gone with its variables": [
        ("uninstall", ["none"], None),
        ("install", ["mem:app"], "app"),
        ("event", "app", "set", {"to": 1}),
        ("uninstall", ["app"], None),
        ("?", "app", "value", "!Pico doesn't have app installed."),
        ("install", ["mem:app"], "app"),
        ("?", "app", "value", None),
    ],
    "44 a ruleset may uninstall itself": [
        ("install", ["mem:app"], "app"),
        ("event", "app", "leave", {}),
        ("?rids", {}, ["lab"]),
    ],
    "45 to 47 what may be asked": [
        ("install", ["mem:app"], "app"),
        ("?", "app", "hidden", '!Ruleset app does not have query function "hidden"'),
        ("?", "app", "act", '!Ruleset app does not have query function "act"'),
        ("?", "app", "fixed", {"a": 1}),
        ("?", "app", "loop", "!Maximum call depth exceeded"),
        ("?", "app", "__testing", "mine"),
        ("?", "lab", "value", None),
    ],
}


class Lab:
    """An engine whose root does what steps say."""

    def __init__(self) -> None:
        self.fetcher = TextFetcher()
        self.fetcher.texts |= {"mem:app": APP % 1, "source:lab": LAB}
        self.engine = TestEngine(fetcher=self.fetcher)
        self.engine.install(LAB)
        self.names = {"@self": self.engine.core.root_id}

    def take(self, step: Step) -> None:
        """Take a step, and check what comes of it."""
        verb, *rest = step
        if verb == "restart":
            engine = self.engine
            self.engine = TestEngine(engine.store, clock=engine.clock, fetcher=self.fetcher, seed=2)
        elif verb == "source":
            self.fetcher.texts[rest[0]] = rest[1]
        elif verb == "event":
            assert "errors" not in self.engine.event(*rest)
        elif verb == "?picos":
            assert len(self._picos()) == rest[0]
        elif verb == "?rows":
            self._check_rows(rest[0])
        elif verb == "?tags":
            channel = self.engine.core.shelf.channel(self._filled(rest[0]))
            assert channel is not None
            assert list(channel.tags) == rest[1]
        else:
            self._check(self._result(verb, rest), rest[-1])

    def _result(self, verb: str, rest: list[Any]) -> Any:
        engine = self.engine
        if verb.startswith("!"):
            eci, rid, name = self._filled(rest[:3])
            sender = engine.core.root_id if verb == "!as parent" else None
            return self._asked(eci, rid, name, sender)
        if verb == "?":
            return self._asked(engine.root, *rest[:2], None)
        if verb.startswith("?"):
            return engine.query("lab", verb[1:], self._filled(rest[0]))
        eci, sender = engine.root, None
        if verb.startswith("as child "):
            eci, sender = self.names["@child"], engine.core.root_id
        name = verb.rpartition(" ")[2]
        attrs = {"a": self._filled(rest[0])}
        answer = engine.event("lab", name, attrs, eci, sender=sender)
        if "errors" in answer:
            return "!" + answer["errors"][0]["error"].partition(": ")[2]
        self._note_channels()
        return answer["directives"][0]["options"]["r"]

    def _asked(self, eci: str, rid: str, name: str, sender: str | None) -> Any:
        core = self.engine.core
        args = {"n": 1, "eci": eci}
        try:
            return self.engine.wait(
                lambda done: core.post_query(eci, rid, name, args, done, sender=sender)
            )
        except Fault as fault:
            return "!" + fault.message

    def _check(self, got: Any, expected: Any) -> None:
        if expected is ANY:
            return
        if type(expected) is str and expected.startswith("@"):
            if type(got) is dict:
                got = got["id"]
            self.names[expected] = got
            assert self.engine.core.shelf.channel(got) is not None
            return
        if type(expected) is list and expected == [ANY]:
            assert len(got) == 1
            return
        assert got == self._filled(expected)

    def _filled(self, value: Any) -> Any:
        if type(value) is list:
            return [self._filled(one) for one in value]
        if type(value) is dict:
            return {key: self._filled(one) for key, one in value.items()}
        if type(value) is str:
            for name, eci in self.names.items():
                value = value.replace(name, eci)
        return value

    def _picos(self) -> list[str]:
        shelf = self.engine.core.shelf
        found = [self.engine.core.root_id]
        for pico_id in found:
            pico = shelf.pico(pico_id)
            assert pico is not None
            found.extend((shelf.full(pico).children or {}).values())
        return found

    def _note_channels(self) -> None:
        """The parent's side of the last child, and a channel that it was endowed with."""
        shelf = self.engine.core.shelf
        for pico_id in self._picos():
            pico = shelf.pico(pico_id)
            assert pico is not None
            for channel in (shelf.full(pico).channels or {}).values():
                if channel.tags in (("system", "parent"), ("more",)):
                    self.names["@" + channel.tags[-1]] = channel.eci

    def _check_rows(self, families: list[str]) -> None:
        """Nothing is stored but what belongs to the root."""
        root_id = self.engine.core.root_id.encode()
        for family in families:
            for key, value in self.engine.store.scan(family, b""):  # type: ignore[arg-type]
                buried = family == "eci" and root_id not in value
                assert buried or root_id in key or root_id in value, (family, key)


@pytest.mark.parametrize("title", SCENARIOS)
def test_scenario(title: str) -> None:
    lab = Lab()
    for step in SCENARIOS[title]:
        lab.take(step)
