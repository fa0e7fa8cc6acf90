"""Records on an event's way, and the loop that offers it to rules: both twins, no engine."""

import gc
import weakref
from types import ModuleType
from typing import Any

import pytest

import ext
from ext import ids, ids_py


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("Event", "EVENT_FIELDS"),
        ("Item", "ITEM_FIELDS"),
        ("View", "VIEW_FIELDS"),
        ("RuleBase", "RULE_FIELDS"),
        ("ContextBase", "CONTEXT_FIELDS"),
        ("EntitiesBase", "ENTITIES_FIELDS"),
        ("TurnBase", "TURN_FIELDS"),
    ],
)
def test_records_keep_each_field_apart(records: ModuleType, name: str, fields: str) -> None:
    made = getattr(records, name)
    record = made.__new__(made)
    names = getattr(records, fields)
    for number, field in enumerate(names):
        setattr(record, field, [number])
    assert [getattr(record, field) for field in names] == [[n] for n in range(len(names))]
    # No field but these.
    assert not hasattr(record, "__dict__")


def test_records_are_made_with_what_they_are_given(records: ModuleType) -> None:
    event = records.Event("eci", "d", "n", {"a": 1}, 7, "eid", "me")
    found = [getattr(event, field) for field in records.EVENT_FIELDS]
    assert found == ["eci", "d", "n", {"a": 1}, 7, "eid", "me"]
    assert records.Event("eci", "d", "n", {}, 7, "eid").sender is None
    item = records.Item(event, None, print)
    assert (item.event, item.query, item.done, item.number) == (event, None, print, -1)
    assert (item.key, item.task, item.is_inner) == (None, None, False)
    assert records.Item(None, None, None, number=3).number == 3
    with pytest.raises(TypeError):
        records.Event("eci")


def test_records_in_a_circle_are_let_go(records: ModuleType) -> None:
    class Done:
        """Something to hold."""

    done: Any = Done()
    done.item = records.Item(None, None, done)
    kept = weakref.ref(done)
    del done
    gc.collect()
    assert kept() is None


class Structure:
    """A structure from which one ruleset was removed."""

    def __init__(self, gone: str) -> None:
        self.gone = gone

    def install(self, rid: str) -> object:
        return None if rid == self.gone else self


class Pico:
    """A pico whose automata are all where they start."""

    states: dict[str, Any] = {}  # noqa: RUF012 - nobody writes it


class Stage:
    """Contexts of rulesets, rules by what they listen to, and a turn over them."""

    def __init__(self, records: ModuleType, *rulesets: tuple[str, list[Any]]) -> None:
        self.records = records
        contexts = []
        listed = []
        for rid, rules in rulesets:
            cx = records.ContextBase()
            cx.rid = rid
            cx.host = cx
            cx.ent = make_entities(records)
            contexts.append(cx)
            made = []
            for name, body in rules:
                rule = records.RuleBase()
                rule.name = rule.key = rule.label = name
                rule.body = body
                rule.machine = rule.within = rule.within_ms = None
                made.append((rule, [("d", "n")]))
            listed.append(made)
        view = records.View(tuple(contexts), ext.Salience(listed), 0)
        self.contexts = contexts
        self.faults: list[str] = []
        faults = self.faults

        class Turn(records.TurnBase):  # type: ignore[name-defined,misc]
            __slots__ = ()

            def roll_back(self, marks: Any, before: Any) -> None:
                faults.append(f"back to {marks[0]} directives")
                del self.directives[marks[0] :]
                for entities in self.changed:
                    entities.roll_back()

            def fault(self, cx: Any, rule: Any, error: Exception, event: Any) -> None:
                faults.append(f"{cx.rid} {rule.name} {type(error).__name__}")

        self.turn = Turn(None, Pico(), view, "t1")

    def run(self) -> Any:
        self.turn.run(self.records.Event("eci", "d", "n", {}, 7, "t1"))
        return self.turn


def make_entities(records: ModuleType) -> Any:
    """Entity variables in memory that take back what the last savepoint did."""

    class Entities(records.EntitiesBase):  # type: ignore[name-defined,misc]
        __slots__ = ()

        def _load(self, name: str) -> Any:
            self._now[name] = None
            return None

        def _storable(self, name: str, value: Any, old: Any) -> Any:
            return value

        def _whole(self, value: Any) -> Any:
            return ("whole", value)

        def _settle_parts(self, name: str, old: Any, new: Any) -> bool:
            return name == "parts"

        def roll_back(self) -> None:
            for name, value in reversed(self._undo):
                self._now[name] = value
            self._undo.clear()

    found = Entities()
    found._now, found._before, found._undo = {}, {}, []
    found.changed = []
    return found


def say(text: str, result: Any = None) -> Any:
    """A body that leaves a directive."""

    def body(cx: Any, event: Any, settings: Any) -> Any:
        cx.turn.directives.append(f"{cx.rid} {cx.rule_name} {text} {event.name} {settings}")
        return result

    return body


def fail(cx: Any, event: Any, settings: Any) -> None:
    cx.turn.directives.append("half of it")
    cx.ent["v"] = "half"
    raise ValueError


def test_turns_go_through_the_rules_in_order(records: ModuleType) -> None:
    stage = Stage(records, ("a", [("one", say("x")), ("two", say("y"))]), ("b", [("r", say("z"))]))
    turn = stage.run()
    assert turn.directives == ["a one x n ()", "a two y n ()", "b r z n ()"]
    assert turn.notes == ["one", "two", "r"]
    assert turn.is_unchanged
    assert [(cx.turn, cx.event, cx.rule_name) for cx in stage.contexts] == [(None, None, None)] * 2


def test_turns_go_on_after_a_rule_that_fails(records: ModuleType) -> None:
    stage = Stage(records, ("a", [("one", say("x")), ("bad", fail), ("two", say("y"))]))
    turn = stage.run()
    assert turn.directives == ["a one x n ()", "a two y n ()"]
    assert stage.faults == ["back to 1 directives", "a bad ValueError"]
    assert stage.contexts[0].ent["v"] is None


def test_turns_end_a_ruleset_at_last(records: ModuleType) -> None:
    rules = [("one", say("x", records.LAST)), ("two", say("y"))]
    turn = Stage(records, ("a", rules), ("b", [("r", say("z"))])).run()
    assert turn.directives == ["a one x n ()", "b r z n ()"]
    assert turn.notes == ["one", records.ENDED, "r"]


def test_turns_skip_rulesets_that_were_removed(records: ModuleType) -> None:
    def remove(cx: Any, event: Any, settings: Any) -> None:
        cx.turn.structure = Structure("b")

    turn = Stage(records, ("a", [("one", remove)]), ("b", [("r", say("z"))])).run()
    assert turn.directives == []
    assert not turn.is_unchanged


def test_turns_stop_when_their_schedule_is_cleared(records: ModuleType) -> None:
    def clear(cx: Any, event: Any, settings: Any) -> None:
        cx.turn.is_cleared = True

    turn = Stage(records, ("a", [("one", clear), ("two", say("y"))]), ("b", [("r", fail)])).run()
    assert turn.directives == ["a two y n ()"]
    assert turn.is_cleared is False


def test_turns_let_what_is_no_fault_through(records: ModuleType) -> None:
    def leave(cx: Any, event: Any, settings: Any) -> None:
        raise KeyboardInterrupt

    stage = Stage(records, ("a", [("one", leave)]))
    with pytest.raises(KeyboardInterrupt):
        stage.run()
    assert stage.contexts[0].turn is None
    assert ext.current() is None


def test_turns_keep_no_headers_in_their_record(records: ModuleType) -> None:
    turn = Stage(records).turn
    attrs = {"a": 1, "_headers": {"cookie": "secret"}}
    turn.run(records.Event("eci", "d", "n", attrs, 7, "t1"))
    assert turn.record() == ("t1", 7, "eci", "d", "n", {"a": 1}, [])
    assert "_headers" in attrs


def test_entities_note_once_that_they_changed(records: ModuleType) -> None:
    ent = make_entities(records)
    ent["n"] = 1
    ent["n"] = 2
    ent["text"] = "x"
    assert ent.changed == [ent]
    assert (ent["n"], ent["text"], ent["none"]) == (2, "x", None)
    assert ent._undo == [("n", None), ("n", 1), ("text", None)]
    ent.keep()
    assert ent._undo == []
    del ent["text"]
    assert ent["text"] is None
    # What was nothing, and is nothing again, has not changed.
    assert ent.settle() == ["n"]
    assert (ent._before, ent._undo) == ({}, [])


def test_entities_leave_parts_to_the_subclass(records: ModuleType) -> None:
    ent = make_entities(records)
    parts = object()
    ent._now.update(parts=parts, same=parts)
    assert ent["parts"] == ("whole", parts)
    ent["parts"] = ent["same"] = 5
    ent["n"] = 5
    assert ent.settle() == ["parts", "n"]


def test_directives_name_the_rule_of_the_host(records: ModuleType) -> None:
    stage = Stage(records, ("a", []))
    host = stage.contexts[0]
    host.turn, host.rule_name = stage.turn, "r"
    cx = records.ContextBase()
    cx.host = host
    send = records.Director(lambda value: f"text of {value}", lambda value: {"json": True}).send
    meta = {"rid": "a", "rule_name": "r", "txnId": "t1"}
    plain = {"type": "directive", "name": "x", "options": {"n": 1}, "meta": meta}
    assert send(cx, "x", {"n": 1}, "surplus") == plain
    assert send(cx) == {**plain, "name": "text of None", "options": {}}
    assert send(cx, 5, {"f": print}) == {**plain, "name": "text of 5", "options": {"json": True}}
    assert stage.turn.notes == [("x",), ("text of None",), ("text of 5",)]
    assert len(stage.turn.directives) == 3


@pytest.mark.parametrize("twin", [ids, ids_py])
def test_ids_are_new_and_of_one_form(twin: ModuleType) -> None:
    made = twin.IdsBase("cab")
    # More than the operating system is asked for at once.
    found = [made.eid() for _ in range(1000)]
    assert len(set(found)) == 1000
    characters = set("".join(text[3:] for text in found))
    assert characters == set("0123456789abcdefghijklmnopqrstuvwxyz")
    assert {(text[:3], len(text)) for text in found} == {("cab", 28)}
