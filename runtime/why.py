"""Why a rule fired on an event, or why not.

In: an entry of the history, and the pico with its rulesets as they are now. Out: one explanation
for each rule and event of the turn, as data, with sentences for people in `text`. Nothing of this
was kept when the event ran but where each automaton stood: patterns and conditions are tried again
on the attributes that were kept. Patterns always give the same; a `where` that reads variables may
give something else now, and then the explanation says so. Not here: reading records (history.py),
walking tables (ext/explain.py).
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from ext.automaton_py import SELECT
from ext.explain import (
    Outlook,
    Position,
    Step,
    decide,
    outlook,
    position_of,
    symbol_of,
    target,
)
from runtime.context import Context
from runtime.errors import Fault
from runtime.event import Event
from runtime.kinds import text
from runtime.module import Rule, to_fault
from runtime.patterns import compile_pattern
from runtime.turn import Turn

Map = dict[str, Any]
_SHOWN = 80
_EVENTS_MAX = 8


def explain(turn: Turn, entries: list[Map], asked: str | None) -> Map:
    """Explain what one rule, or each salient one, did with an event of this turn's pico.

    `entries` are all that the history has of the event; `asked` is a rule, or `rid:rule`.
    Shapes: {eid, pico, time_ms, domain, name, rules: [explanation], text: [sentence]}.
    Raises: R1013 when no installed ruleset has a rule of that name, and none was asked then.
    """
    rid, rule_name = _split(asked)
    entry = next((e for e in entries if _rows(e, rid, rule_name)), entries[0])
    said = {name: entry[name] for name in ("eid", "pico", "time_ms", "domain", "name")}
    rows = _rows(entry, rid, rule_name)
    if rows:
        rules = [_salient(turn, entry, happening, row) for happening, row in rows]
        sentences = [line for one in rules for line in one["text"]]
    elif rule_name is None:
        rules = []
        sentences = [_nobody(turn, entry, rid)]
    else:
        rules = [_not_asked(turn, entry, rid, rule_name)]
        sentences = rules[0]["text"]
    return {**said, "rules": rules, "text": sentences}


def _split(asked: str | None) -> tuple[str | None, str | None]:
    """(rid, rule) of `rid:rule`, `rid:` or `rule`."""
    if asked is None:
        return None, None
    rid, colon, rule = asked.rpartition(":")
    return (rid if colon else None), (rule or None)


def _rows(entry: Map, rid: str | None, rule: str | None) -> list[tuple[Map, Map]]:
    """What was noted of these rules: (event of the turn, rule entry)."""
    return [
        (happening, row)
        for happening in (entry, *entry["raised"])
        for row in happening["rules"]
        if (rule is None or row["rule"] == rule) and (rid is None or row["rid"] == rid)
    ]


def _installed(turn: Turn, rid: str | None, name: str) -> list[tuple[Context, Rule]]:
    return [
        (cx, rule)
        for cx in turn.view.contexts
        if rid is None or cx.rid == rid
        for rule in cx.module.rules
        if rule.name == name
    ]


def _named(happening: Map) -> str:
    return f"{happening['domain']}:{happening['name']}"


def _listens(rule: Rule) -> list[str]:
    pairs = rule.salience
    return ["every event"] if pairs is None else [f"{domain}:{name}" for domain, name in pairs]


# --- Rules that were not asked --------------------------------------------------------------------


def _nobody(turn: Turn, entry: Map, rid: str | None) -> str:
    """Why no rule at all was asked."""
    event = _named(entry)
    heard = {
        pair
        for cx in turn.view.contexts
        if rid is None or cx.rid == rid
        for rule in cx.module.rules
        for pair in _listens(rule)
    }
    whose = f"of {rid} " if rid else ""
    if event in heard:
        return (
            f"No rule {whose}was asked about {event} then; since, one that listens was installed."
        )
    return f"No rule {whose}listens for {event}." + _nearest(event, sorted(heard))


def _nearest(event: str, heard: list[str]) -> str:
    near = get_close_matches(event, heard, 1, 0.75)
    return f" There are rules for {near[0]}: was that meant?" if near else ""


def _not_asked(turn: Turn, entry: Map, rid: str | None, name: str) -> Map:
    """Why one rule was not asked at all.

    Raises: R1013 when there is no such rule.
    """
    found = _installed(turn, rid, name)
    if not found:
        names = [rule.name for cx in turn.view.contexts for rule in cx.module.rules]
        near = get_close_matches(name, names, 1)
        hint = f"did you mean {near[0]}?" if near else "`pico show ECI --salience` lists them"
        where = f"ruleset {rid}" if rid else "no ruleset of this pico"
        verb = "has no" if rid else "has a"
        raise Fault("R1013", f"{where} {verb} rule {name}", hint)
    cx, rule = found[0]
    listens = _listens(rule)
    events = [entry, *entry["raised"]]
    heard = next((one for one in events if rule.salience is None or _named(one) in listens), None)
    happening = heard or entry
    event = _named(happening)
    said = {
        "rid": cx.rid,
        "rule": name,
        "line": rule.at[0],
        "event": event,
        "salient": heard is not None,
        "listens": listens,
        "outcome": "not asked",
    }
    who = f"{cx.rid} : {name} (line {rule.at[0]})"
    if heard is None:
        shown = ", ".join(listens[:_EVENTS_MAX]) + (", …" if len(listens) > _EVENTS_MAX else "")
        sentence = f"{who} does not listen for {event}, only for {shown or 'nothing'}."
        near = get_close_matches(event, listens, 1, 0.75)
        if near:
            said["nearest"] = near[0]
            sentence += f" Was {near[0]} meant?"
        return {**said, "text": [sentence]}
    ender = next(
        (row for row in happening["rules"] if row["rid"] == cx.rid and "ended" in row), None
    )
    cleared = next(
        (row for one in events for row in one["rules"] if row.get("ended") == "error"), None
    )
    if ender is not None or cleared is not None:
        row = ender or cleared
        assert row is not None
        word = "`last`" if row["ended"] == "last" else "`error error`"
        sentence = (
            f"{who} listens for {event} but was not asked: rule {row['rule']} of {row['rid']} "
            f"came before it and ended with {word}."
        )
    elif happening is not entry:
        sentence = (
            f"{who} listens for {event} but was not asked: the event was raised for another "
            "ruleset, or this ruleset was installed or changed since."
        )
    else:
        sentence = (
            f"{who} listens for {event} but was not asked: its ruleset was installed or changed "
            "since."
        )
    return {**said, "text": [sentence]}


# --- Rules that were asked ------------------------------------------------------------------------


def _salient(turn: Turn, entry: Map, happening: Map, row: Map) -> Map:
    """Explain what a rule did that was asked."""
    event = _named(happening)
    said: Map = {
        "rid": row["rid"],
        "rule": row["rule"],
        "line": None,
        "event": event,
        "salient": True,
        "version": row["version"],
        "outcome": row["outcome"],
    }
    for name in ("fault", "ended", "rounds_not_fired", "directives", "sends", "unheard"):
        if name in row:
            said[name] = row[name]
    found = _installed(turn, row["rid"], row["rule"])
    lines: list[str] = []
    who = f"{row['rid']} : {row['rule']}"
    manifest: Map = {}
    if not found:
        lines.append(f"The ruleset or rule {who} is no longer installed.")
    else:
        cx, rule = found[0]
        said["line"] = rule.at[0]
        said["listens"] = _listens(rule)
        said["installed"] = cx.module.hash[:12]
        who += f" (line {rule.at[0]})"
        if said["installed"] == row["version"]:
            manifest = _manifest(cx, rule)
        else:
            is_same = rule.hash.startswith(row["expression"])
            lines.append(
                f"Version {row['version']} of {row['rid']} ran then; {said['installed']} is "
                f"installed now, {'with the same' if is_same else 'with another'} event expression."
            )
        if "before" in row and rule.hash.startswith(row["expression"]):
            lines += _expression(turn, cx, rule, entry, happening, row, said)
    said["text"] = [_verdict(who, event, row, manifest, said), *lines]
    return said


def _manifest(cx: Context, rule: Rule) -> Map:
    """What the manifest says of a rule's expression; nothing when an older compiler made it."""
    found: Map = cx.module.manifest.get("expressions", {}).get(rule.name, {})
    return found


def _verdict(who: str, event: str, row: Map, manifest: Map, said: Map) -> str:
    """The first sentence: what became of it."""
    outcome = row["outcome"]
    condition = manifest.get("condition")
    if condition is not None:
        said["condition"] = condition
    place = "" if condition is None else f" `{condition['text']}` (line {condition['line']})"
    if outcome == "fault":
        fault = row["fault"]
        when = "deciding about" if "before" in row and row["before"] is None else "handling"
        return (
            f"{who} failed {when} {event}, and what it did was taken back: {fault['code']} in line "
            f"{fault['line']}: {fault['message']}"
        )
    if outcome == "not fired":
        return f"{who} was selected by {event} but did not fire: its condition{place} was false."
    if outcome == "not selected":
        return f"{who} was not selected by {event}."
    sentence = f"{who} was selected by {event} and ran."
    if row.get("rounds_not_fired"):
        times = row["rounds_not_fired"]
        rounds = "round" if times == 1 else "rounds"
        sentence += f" In {times} {rounds} of its loop the condition{place} was false."
    return sentence


def _expression(
    turn: Turn, cx: Context, rule: Rule, entry: Map, happening: Map, row: Map, said: Map
) -> list[str]:
    """Explain the step of an event expression: positions, what failed, what is still needed."""
    machine, table = rule.machine, rule.table
    assert machine is not None
    assert table is not None
    if row["before"] is None:
        return []
    words = _Words(rule, _manifest(cx, rule))
    try:
        before, after = (
            position_of(machine.unpack(row[when]).pack()) for when in ("before", "after")
        )
    except ValueError as error:
        return [f"The positions that were kept cannot be read: {error}."]
    is_selected = row["outcome"] != "not selected"
    ahead = outlook(table, after.control)
    said["before"] = words.position(before, outlook(table, before.control))
    said["after"] = words.position(after, ahead)
    said["next"] = words.needs(ahead)
    lines = []
    tried = _Trial(turn, cx, rule, entry, happening, before, words)
    if not is_selected:
        if len(said["before"]["needs"]) > 1 or said["before"] != said["after"]:
            lines.append(f"Before it, it waited for {_then(said['before']['needs'])}.")
        lines += tried.explain(after, said)
        still = "still " if said["after"]["needs"] == said["before"]["needs"] else "now "
        lines.append(f"It {still}fires after {_then(said['next'])}.")
        if after.registers is not None:
            kept = ", ".join(f"{k} = {_short(v)}" for k, v in said["after"]["settings"].items())
            lines.append(f"So far it has set {kept}.")
        if len(ahead.first) > 1:
            options = list(dict.fromkeys(words.step(step) for step in ahead.first))
            said["options"] = options
            if len(options) > 1:
                lines.append(f"The next event may be {' or '.join(options[:_EVENTS_MAX])}.")
    return lines


def _then(needs: list[str]) -> str:
    return ", then ".join(needs) if needs else "nothing: no sequence of events selects it"


def _short(value: Any) -> str:
    shown = repr(value) if type(value) is str else text(value)
    return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"


class _Words:
    """The parts of one rule's table in the words of its source."""

    def __init__(self, rule: Rule, manifest: Map) -> None:
        self._rule = rule
        self.matchers: list[Map] = manifest.get("matchers", [])
        self._settings: list[str] = manifest.get("settings", [])

    def matcher(self, number: int) -> str:
        """What an event must hold for a matcher; "" when it asks for nothing."""
        if number >= len(self.matchers):
            return f"condition {number + 1}"
        base = self.matchers[number]
        parts = [
            f"{a['name']} re#{a['pattern']}#{a['flags']}"
            if "pattern" in a
            else f"{a['name']} {a['expression']}"
            for a in base["attributes"]
        ]
        if base["where"] is not None:
            parts.append(f"where {base['where']['text']}")
        return " ".join(parts)

    def step(self, step: Step) -> str:
        """One event that leads on."""
        symbols = self._rule.salience
        name = "any event" if symbols is None else ":".join(symbols[step.symbol])
        held = [said for said in map(self.matcher, step.held) if said]
        failed = [said for said in map(self.matcher, step.failed) if said]
        shown = " and ".join(held)
        if failed and not held:
            shown = "that does not match " + " or ".join(failed)
        return f"{name} {shown}".rstrip()

    def needs(self, ahead: Outlook) -> list[str]:
        """The events that are still needed; the same one several times over is said once."""
        needs: list[list[Any]] = []
        for step in ahead.path:
            said = self.step(step)
            if needs and needs[-1][0] == said:
                needs[-1][1] += 1
            else:
                needs.append([said, 1])
        return [said if times == 1 else f"{times} × {said}" for said, times in needs]

    def position(self, state: Position, ahead: Outlook) -> Map:
        """Where an automaton stands."""
        found: Map = {"state": state.control, "needs": self.needs(ahead)}
        if state.registers is not None:
            names = self._settings or [str(at) for at in range(len(state.registers))]
            found["settings"] = {
                name: value
                for name, value in zip(names, state.registers, strict=False)
                if value is not None
            }
        if state.started_ms is not None:
            found["started_ms"] = state.started_ms
        return found


class _Trial:
    """The step of an automaton, taken again on what was kept of the event."""

    def __init__(
        self,
        turn: Turn,
        cx: Context,
        rule: Rule,
        entry: Map,
        happening: Map,
        before: Position,
        words: _Words,
    ) -> None:
        self._rule = rule
        self._words = words
        self._before = before
        self._attrs = happening["attrs"]
        attrs = self._attrs if type(self._attrs) is dict else {}
        # A raised event's own time was not kept; it is the turn's, or a little later.
        time_ms: int = entry["time_ms"]
        self._event = Event(
            entry["eci"], happening["domain"], happening["name"], attrs, time_ms, entry["eid"]
        )
        # A context of its own: the pico's may belong to a turn that waits.
        self._cx = Context(cx.pico, cx.module, cx.install, cx.ent)
        self._cx.turn = turn
        self._cx.event = self._event
        self._faults: dict[int, Fault] = {}

    def explain(self, after: Position, said: Map) -> list[str]:
        """Say why the step did not select the rule: what failed, whether the time limit passed."""
        table = self._rule.table
        assert table is not None
        lines = []
        control = self._before.control
        registers = self._before.registers
        late = self._late()
        if late is not None:
            control, registers = table[7], None
            said["timeout"] = late
            lines.append(
                f"The time limit of {late['limit_ms']} ms had passed: it was {late['elapsed_ms']} "
                "ms since the first event. So it began anew."
            )
        if type(self._attrs) is int:
            return [*lines, "The attributes were too large to be kept, so what failed is unknown."]
        symbol = symbol_of(table, self._event.domain, self._event.name)
        if symbol is None:
            return lines
        saved = (None,) * table[2] if registers is None else tuple(registers)
        decision = decide(table, control, symbol, lambda number: self._holds(number, saved))
        failed = [self._failure(number, saved) for number in decision.failed]
        said["failed"] = [part for parts in failed for part in parts]
        lines += [line for parts in said["failed"] for line in [_failed_line(parts)]]
        if decision.move == SELECT or target(table, control, decision.move) != after.control:
            said["differs"] = True
            lines.append("Tried again now it goes another way: what it reads has changed since.")
        elif late is None and not decision.tried and control == after.control:
            lines.append("This event changes nothing where it stood.")
        return lines

    def _late(self) -> Map | None:
        rule, started = self._rule, self._before.started_ms
        if started is None or not (rule.table or (0, 0))[1]:
            return None
        limit: Any = rule.within_ms
        if rule.within is not None:
            try:
                limit = rule.within(self._cx)
            except Exception:
                return None
        elapsed = self._event.time_ms - started
        if limit is None or elapsed <= limit:
            return None
        return {"limit_ms": limit, "elapsed_ms": elapsed}

    def _holds(self, number: int, saved: tuple[Any, ...]) -> bool:
        try:
            return self._rule.matchers[number](self._cx, self._event, saved) is not None
        except Exception as error:
            self._faults[number] = to_fault(error)
            return False

    def _failure(self, number: int, saved: tuple[Any, ...]) -> list[Map]:
        """What of a matcher failed: its first pattern that did, else its `where`."""
        if number >= len(self._words.matchers):
            return [{"matcher": number}]
        base = self._words.matchers[number]
        place = {"event": base["event"], "line": base["line"]}
        for attribute in base["attributes"]:
            name = attribute["name"]
            value = self._event.attrs.get(name, "")
            if "pattern" not in attribute:
                return [{**place, "attribute": name, "expression": attribute["expression"]}]
            pattern = compile_pattern(attribute["pattern"], attribute["flags"])
            subject = value if type(value) is str else text(value)
            if pattern.search(subject) is None:
                found = {**place, "attribute": name, "value": value}
                found["pattern"] = f"re#{attribute['pattern']}#{attribute['flags']}"
                if name not in self._event.attrs:
                    found["missing"] = True
                return [found]
        where = base["where"]
        if where is None:
            return [place]
        found = {**place, "line": where["line"], "where": where["text"], "as_of_now": True}
        if number in self._faults:
            fault = self._faults[number]
            found["fault"] = {"code": fault.code, "message": fault.message}
        return [found]


def _failed_line(failed: Map) -> str:
    if "pattern" in failed:
        if failed.get("missing"):
            saw = "the event has no such attribute"
        else:
            saw = f"it was {_short(failed['value'])}"
        return (
            f"Attribute {failed['attribute']} does not match {failed['pattern']} "
            f"(line {failed['line']}): {saw}."
        )
    if "expression" in failed:
        return (
            f"Its patterns or condition do not hold (line {failed['line']}); one of the patterns "
            f"is computed: {failed['attribute']} {failed['expression']}."
        )
    if "fault" in failed:
        return (
            f"The condition `{failed['where']}` (line {failed['line']}) fails as of now: "
            f"{failed['fault']['message']}."
        )
    if "where" in failed:
        return f"The condition `{failed['where']}` (line {failed['line']}) is false, as of now."
    return "One of its conditions does not hold; compile the ruleset again to see which."
