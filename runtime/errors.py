"""What can go wrong, as values: R-codes, their table, and the one exception that carries them.

In: any part of the engine raises `Fault(code, message, …)`. Out: the message for people, the map
that answers a caller (`to_map`), what `system:error` says (`species`), the HTTP status.

Invariants: a code is for ever; R1 channel, policy and what is asked, R2 evaluation, R3 store,
R4 limits, R5 delivery, R9 our bug. Texts that programs written for the Node engine look at are made
here and nowhere else. An ECI is a capability: `shown_eci` is the only form that goes into a log.
Not here: compile-time diagnostics (K-codes live in krlc).
"""

import re
from typing import NamedTuple


class Code(NamedTuple):
    """One row of the table: what a code means, its HTTP status, and the way out.

    `error_class` is the class name that older clients see before the colon; `species`
    is what `system:error` tells rules.
    """

    title: str
    status: int
    meaning: str
    fix: str
    species: str
    error_class: str = "Error"


CODES: dict[str, Code] = {
    # R1: the channel, its policy, and the shape of what is asked.
    "R1001": Code(
        "unknown channel",
        404,
        "No pico of this engine has a channel with this ECI.",
        "check the ECI (`pico show` lists the channels), or whether the channel was deleted",
        "unknown_eci",
    ),
    "R1002": Code(
        "not allowed by the channel's policy",
        403,
        "No `allow` rule of the channel matches this event or query.",
        "use a channel whose policy allows it, or widen this one with ctx:putChannel",
        "not_allowed",
    ),
    "R1003": Code(
        "denied by the channel's policy",
        403,
        "A `deny` rule of the channel matches; deny wins over allow.",
        "use another channel, or remove the deny rule with ctx:putChannel",
        "denied",
    ),
    "R1004": Code(
        "family channel",
        403,
        "Self, parent and child channels work only for the pico they were made for, from inside.",
        "make an ordinary channel with ctx:newChannel and use its ECI",
        "family_channel",
    ),
    "R1005": Code(
        "the pico is gone",
        410,
        "The pico was deleted while this was waiting, or its channel outlived it.",
        "drop the ECI; nothing more can be sent there",
        "pico_deleted",
    ),
    "R1006": Code(
        "channel definition not usable",
        400,
        "Tags, an event policy or a query policy do not have the form they must have.",
        "tags are an array of strings; a policy is {allow: […], deny: […]} with exact keys",
        "channel_definition",
        "TypeError",
    ),
    "R1007": Code(
        "event or query not complete",
        400,
        "The ECI, the domain or ruleset, or the name is missing or blank, or the map is no map.",
        "give every part a non-blank text, and the attributes as a JSON map",
        "malformed",
    ),
    "R1008": Code(
        "key already used for something else",
        409,
        "The same idempotency key came before on this channel with another event or other content.",
        "use a new key for a new event; repeat an event only unchanged",
        "key_conflict",
    ),
    "R1009": Code(
        "no such address",
        404,
        "No route of the engine has this form.",
        "the routes begin with /c/, /sky/ and /api/; see the list in the manual",
        "no_route",
    ),
    "R1010": Code(
        "administration needs the token",
        401,
        "Deploying and looking into an engine need its admin token; none or a wrong one came.",
        "send `Authorization: Bearer <token>`, or set PICO_TOKEN for `pico`; the token is in "
        "admin.token in the data folder",
        "no_token",
    ),
    "R1011": Code(
        "request cannot be read",
        400,
        "The HTTP request, its query string or its body is malformed.",
        "correct what the message names; a JSON body needs an object or array at the top",
        "malformed_request",
        "SyntaxError",
    ),
    "R1012": Code(
        "family channels cannot be edited",
        403,
        "The engine itself keeps the self, parent and child channels.",
        "make an ordinary channel with ctx:newChannel and edit or delete that one",
        "family_channel_edit",
    ),
    "R1013": Code(
        "admin request not usable",
        400,
        "A field of an admin request is missing, unknown or of the wrong kind.",
        "send a JSON object with the fields that the message names",
        "admin_request",
    ),
    "R1014": Code(
        "frame cannot be read",
        400,
        "A frame of a channel connection is not a msgpack array of a known form and kind.",
        "see docs/channel.md for the form of every frame; values are those that JSON has",
        "malformed_frame",
        "SyntaxError",
    ),
    "R1015": Code(
        "no version in common",
        426,
        "The two ends of a channel connection speak no version of the protocol in common.",
        "use a client and an engine of about the same age",
        "version",
    ),
    "R1016": Code(
        "event time not trusted",
        403,
        "The connection may not say when its events happened.",
        "send the admin token in the hello, or leave the time to the engine",
        "time_not_trusted",
    ),
    "R1017": Code(
        "not offered",
        501,
        "The frame is of a kind that is reserved, but not offered by this engine.",
        "look at the kinds in docs/channel.md; `pico log` follows what happens in a pico",
        "not_offered",
    ),
    "R1018": Code(
        "not in the history",
        404,
        "The history of this pico has no event of this id.",
        "take an id from `pico log`; a crash may lose the last tenth of a second, and old ones go",
        "no_history",
    ),
    # R2: evaluation of KRL.
    "R2001": Code(
        "wrong kind of value",
        500,
        "An operator or function got a value of a kind it has no meaning for.",
        "convert the value with `.as(…)`, or test it with typeof() first",
        "type",
        "TypeError",
    ),
    "R2002": Code(
        "value out of range",
        500,
        "A number, length or depth is outside what the operator can do.",
        "bound the value before the call",
        "range",
        "RangeError",
    ),
    "R2003": Code(
        "not a function",
        500,
        "Something that is no function was called.",
        "check the name, and that the module provides it",
        "not_a_function",
        "TypeError",
    ),
    "R2004": Code(
        "no value yet",
        500,
        "A global was used before its own declaration had given it a value.",
        "declare the name before its first use",
        "reference",
        "ReferenceError",
    ),
    "R2005": Code(
        "ruleset not installed",
        404,
        "The pico behind this channel does not have the ruleset.",
        "install it with `pico deploy`, or check the RID",
        "not_installed",
    ),
    "R2006": Code(
        "function not shared",
        404,
        "The ruleset has no function of this name in its `shares` list.",
        "add the name to `shares`, or check its spelling",
        "not_shared",
    ),
    "R2007": Code(
        "ruleset does not compile",
        422,
        "The compiler found errors; the version that runs, if any, stays.",
        "run `krlc check` on the file and correct what it reports",
        "compile",
    ),
    "R2008": Code(
        "bundle refused",
        422,
        "The bundle does not say what its own source says.",
        "build it again with `krlc build`",
        "bundle",
    ),
    "R2009": Code(
        "module not there",
        422,
        "A ruleset uses a module that this pico does not have installed.",
        "install the module first, in the same pico",
        "module",
    ),
    "R2010": Code(
        "global failed",
        422,
        "A global of the ruleset faulted when it was evaluated at install; nothing was installed.",
        "correct the global that the message names",
        "global",
    ),
    "R2011": Code(
        "read-only",
        500,
        "A query, a function or a global tried to change something.",
        "move the change into a rule",
        "read_only",
    ),
    "R2012": Code(
        "ruleset cannot be fetched",
        422,
        "The URL of the ruleset gave no source.",
        "check the URL, and that the engine may reach it",
        "fetch",
    ),
    "R2013": Code(
        "ruleset in use",
        409,
        "Another installed ruleset uses this one as a module.",
        "uninstall the rulesets that use it first",
        "in_use",
    ),
    "R2014": Code(
        "modules use each other in a circle",
        422,
        "A ruleset would use itself by way of its modules.",
        "break the circle that the message names",
        "cycle",
    ),
    "R2015": Code(
        "rule asked for an error",
        500,
        "Code in the ruleset refused to go on.",
        "see the message; it is the ruleset's own",
        "user",
    ),
    "R2016": Code(
        "pico operation refused",
        500,
        "A ctx: action named something that this pico does not have.",
        "check the ECI or RID against `pico show`",
        "refused",
    ),
    "R2017": Code(
        "pattern not understood",
        500,
        "A text that should be a regular expression is not one.",
        "correct the pattern; put a backslash before characters that it should mean literally",
        "syntax",
        "SyntaxError",
    ),
    "R2018": Code(
        "argument not usable",
        500,
        "A library function got an argument that it cannot work with.",
        "see the message for the argument and what it should be",
        "argument",
    ),
    "R2019": Code(
        "no event before the pico is there",
        500,
        "A rule wants an event evaluated by a pico that comes into being when its own turn ends.",
        "send the event with event:send: it arrives right behind",
        "pico_not_there_yet",
    ),
    "R2020": Code(
        "no such pico type",
        404,
        "A child was to be made of a type that no deployed bundle declares.",
        "deploy the bundle that declares it (`krlc build … NAME.picotype.json`), or name another",
        "no_type",
    ),
    # R3: the store.
    "R3001": Code(
        "data folder in use",
        503,
        "Another engine has this data folder open; one process owns a store at a time.",
        "stop the other engine, or choose another folder with --home",
        "in_use",
    ),
    "R3002": Code(
        "data of a newer version",
        503,
        "A newer engine wrote this data folder.",
        "use that newer version, or another folder with --home",
        "newer_format",
    ),
    "R3003": Code(
        "the store could not be written",
        503,
        "Writing or syncing failed, so the engine stopped accepting: memory must match the disk.",
        "correct the cause (see the message), then start again; acknowledged work is safe",
        "write_failed",
    ),
    "R3004": Code(
        "disk full",
        503,
        "The file system of the data folder has no space left; the engine stopped accepting.",
        "free some space, then start the engine again; acknowledged work is safe",
        "disk_full",
    ),
    "R3005": Code(
        "data folder not usable",
        503,
        "The data folder cannot be made, read or written.",
        "check that the path is a folder and belongs to you, or choose another with --home",
        "not_writable",
    ),
    "R3006": Code(
        "damaged record",
        500,
        "A stored record cannot be read back.",
        "run `pico doctor` on the folder, or restore a backup",
        "damaged",
    ),
    "R3007": Code(
        "the engine is stopping",
        503,
        "The engine was told to stop and accepts nothing new.",
        "send again when it is back; what was acknowledged will be done",
        "stopping",
    ),
    "R3008": Code(
        "it is there already",
        409,
        "A pico, a channel or a folder that is to be made exists already, so nothing was done.",
        "see the message for what is in the way, and choose another place or remove that",
        "exists",
    ),
    "R3009": Code(
        "backup or archive refused",
        422,
        "A file is no backup or archive, or not what it was when it was made.",
        "take another copy of it; what the message names was changed or cut off",
        "archive",
    ),
    "R3010": Code(
        "the system rulesets are missing",
        500,
        "This installation has no bundle of system rulesets, which its build step makes.",
        "install it again; in a source tree, `make rulesets` makes the bundle",
        "incomplete",
    ),
    # R4: limits.
    "R4001": Code(
        "attributes too large",
        413,
        "The attributes of an event or the arguments of a query exceed their bound.",
        "send less at once, or keep large content elsewhere and send its address",
        "attributes_size",
        "PayloadTooLargeError",
    ),
    "R4002": Code(
        "inbox full",
        429,
        "The pico has too much waiting already.",
        "send again later (Retry-After says when), or spread the work over more picos",
        "inbox_full",
    ),
    "R4003": Code(
        "body too large",
        413,
        "The body of the request exceeds its bound.",
        "send less at once",
        "body_size",
        "PayloadTooLargeError",
    ),
    "R4004": Code(
        "value too large",
        500,
        "A value would grow beyond its bound, in size or in depth.",
        "keep large collections in entity variables by key, or split the work over several events",
        "value_size",
        "RangeError",
    ),
    "R4005": Code(
        "turn took too long",
        500,
        "A rule or query used up the time of its turn.",
        "do less per event; raise or schedule events for the rest",
        "turn_time",
    ),
    "R4006": Code(
        "headers too large",
        431,
        "The header fields of the request exceed their bound.",
        "send fewer or shorter headers",
        "header_size",
    ),
    "R4007": Code(
        "address too long",
        414,
        "The request's URL exceeds its bound.",
        "send the attributes in the body instead of the query string",
        "url_size",
    ),
    "R4008": Code(
        "too many connections",
        503,
        "The engine has as many connections as it accepts.",
        "close idle connections, or send again later",
        "connections",
    ),
    "R4009": Code(
        "request took too long",
        408,
        "The request did not arrive in time.",
        "send the request at once",
        "request_time",
    ),
    "R4010": Code(
        "calls nested too deep",
        500,
        "Functions called each other deeper than the bound.",
        "use a loop operator (map, reduce) instead of deep recursion",
        "call_depth",
        "RangeError",
    ),
    "R4011": Code(
        "too many events raised",
        500,
        "One turn raised more events than the bound, most likely in a circle.",
        "check which rules raise the events they select on",
        "raises",
    ),
    "R4012": Code(
        "too many sends",
        500,
        "One turn sent more events than the bound.",
        "send from several turns, or let children pass the event on",
        "sends",
    ),
    "R4013": Code(
        "too many turns waiting",
        503,
        "As many turns wait for something outside as the engine allows.",
        "send again later; check what the waiting turns are waiting for with `pico show`",
        "turns_suspended",
    ),
    "R4014": Code(
        "event expression holds too much",
        500,
        "The state of an event expression grew beyond its bound.",
        "bound the expression with `within`, or count in an entity variable",
        "automaton_size",
    ),
    "R4015": Code(
        "entity variable too large",
        500,
        "An entity variable would grow beyond its bound.",
        "spread the data over several variables or picos",
        "variable_size",
    ),
    "R4016": Code(
        "pattern took too long",
        500,
        "Matching a regular expression ran out of its time.",
        "simplify the pattern; avoid nested repetition such as (a+)+",
        "pattern_time",
    ),
    "R4017": Code(
        "too many jobs scheduled",
        500,
        "One turn scheduled or removed more timed events than the bound.",
        "schedule from several turns, or let one event do the work of many",
        "jobs",
    ),
    "R4018": Code(
        "frame too large",
        413,
        "A frame of a channel connection exceeds its bound.",
        "send less at once, or keep large content elsewhere and send its address",
        "frame_size",
        "PayloadTooLargeError",
    ),
    "R4019": Code(
        "more requests than credit",
        429,
        "A channel connection has more unanswered requests than it was allowed.",
        "count the credit of the welcome down, and wait for answers or a credit frame",
        "credit",
    ),
    "R4020": Code(
        "connection too slow",
        408,
        "A channel connection did not say in time what it had to say.",
        "greet at once, send frames whole, take the answers, and ping when there is nothing to say",
        "connection_time",
    ),
    "R4021": Code(
        "waited too long",
        504,
        "A rule or function waited for something longer than the bound.",
        "see why the other side is slow; what was asked may still happen there",
        "wait_time",
    ),
    "R4022": Code(
        "too many turns waiting",
        503,
        "So many turns wait for other picos or servers that no further one may.",
        "come back later; give slow servers a shorter time",
        "waiting_turns",
    ),
    "R4023": Code(
        "import too large",
        413,
        "An archive holds more channels, timers and waiting events than become visible at once.",
        "export its subtrees one by one, and import them under their parent in the same way",
        "import_size",
    ),
    "R4024": Code(
        "ran for too long",
        500,
        "A rule, a query or all rules of a turn together used up their running time.",
        "do less in one event or query; a rule can raise or schedule an event for the rest",
        "running_time",
    ),
    "R4025": Code(
        "too much memory",
        500,
        "The process grew by more than its bound while one rule or query ran.",
        "keep less at once: work through large collections piece by piece",
        "running_memory",
    ),
    "R4030": Code(
        "answer of a server too large",
        500,
        "The response to an http: request exceeds its bound.",
        "ask for less at once, for example page by page",
        "response_size",
    ),
    "R4026": Code(
        "too many listeners",
        429,
        "As many clients follow what happens in this engine as it allows.",
        "end another `pico log --follow`, or look with `pico log` now and then",
        "listeners",
    ),
    # R5: delivery.
    "R5001": Code(
        "not delivered",
        502,
        "The receiver refused the event for good.",
        "see the reason in the message",
        "undeliverable",
    ),
    "R5002": Code(
        "outbox full",
        500,
        "Too many events wait for the same receiver.",
        "wait until the receiver is back; handle system:undeliverable",
        "outbox_full",
    ),
    "R5003": Code(
        "no answer in time",
        504,
        "Something outside did not answer before its deadline.",
        "try again; check that the other side is up",
        "deadline",
    ),
    "R5004": Code(
        "other side not reachable",
        502,
        "The connection to another engine or server failed.",
        "check the address and that the other side is up",
        "unreachable",
    ),
    "R5005": Code(
        "address not allowed",
        403,
        "The engine's settings forbid calls to this address.",
        "ask whoever runs the engine to allow it",
        "address_refused",
    ),
    "R5006": Code(
        "cannot listen",
        503,
        "The address and port that the engine should listen at cannot be had.",
        "choose another port with --port, or another address with --host",
        "listen",
    ),
    "R5007": Code(
        "no way to HTTP servers",
        500,
        "This engine was started without anything that could carry http: requests.",
        "run the ruleset in `pico serve`, or give the engine a `web`",
        "no_web",
    ),
    "R5008": Code(
        "answer of a server not usable",
        502,
        "What came back for an http: request is no HTTP response, or redirects without end.",
        "check the address, and what its server says to `curl -v`",
        "broken_response",
    ),
    # R9: ours.
    "R9001": Code(
        "internal error",
        500,
        "This is a bug of the engine, not of the ruleset.",
        "please report it with the text above; `pico why` shows what led to it",
        "internal",
    ),
}


class Fault(Exception):  # noqa: N818 - a fault is what KRL calls it; R-codes name the error
    """Something that went wrong, with its code, what it is about, and the way out.

    `message` says what is wrong about *this* (no class name, no full stop); `hint` defaults to the
    table's. Place fields are filled in by whoever knows them; `None` means it has none.
    """

    def __init__(
        self,
        code: str,
        message: str,
        hint: str | None = None,
        *,
        species: str = "",
        rid: str | None = None,
        rule_name: str | None = None,
        line: int | None = None,
        eid: str | None = None,
    ) -> None:
        super().__init__(message)
        row = CODES[code]
        self.code = code
        self.message = message
        self.hint = row.fix if hint is None else hint
        self.species = species or row.species
        self.rid = rid
        self.rule_name = rule_name
        self.line = line
        self.eid = eid

    @property
    def status(self) -> int:
        """The HTTP status that goes with the code."""
        return CODES[self.code].status

    @property
    def text(self) -> str:
        """The message as clients of the Node engine know it: class name, colon, message."""
        return f"{CODES[self.code].error_class}: {self.message}"

    def to_map(self) -> dict[str, object]:
        """The fault as the JSON map that answers a caller; places it does not have are left out."""
        answer: dict[str, object] = {"error": self.text, "code": self.code, "hint": self.hint}
        if self.rid is not None:
            answer["rid"] = self.rid
        if self.rule_name is not None:
            answer["rule"] = self.rule_name
        if self.line is not None:
            answer["line"] = self.line
        if self.eid is not None:
            answer["eid"] = self.eid
        return answer

    def __repr__(self) -> str:
        return f"Fault({self.code!r}, {self.message!r})"


def shown_eci(eci: str) -> str:
    """An ECI as a log may show it: enough to tell two apart, too little to use."""
    return eci[:6] + "…"


# What is made as our ECIs are; pico ids and event ids look the same, and are shortened with them.
_LIKE_ECI = re.compile(r"\bc[0-9a-z]{27}\b")


def without_ecis(text: str) -> str:
    """A text in which whatever may be an ECI is shortened, for logs."""
    return _LIKE_ECI.sub(lambda found: shown_eci(found[0]), text)


def unknown_eci(eci: str) -> Fault:
    """The fault for an ECI that no channel has; the text names it in full, to its sender only."""
    return Fault("R1001", f"ECI not found {eci}")


def not_allowed() -> Fault:
    """The fault for an event or query that no allow rule matches."""
    return Fault("R1002", "Not allowed by channel policy")


def denied() -> Fault:
    """The fault for an event or query that a deny rule matches."""
    return Fault("R1003", "Denied by channel policy")


def family_channel() -> Fault:
    """The fault for using a self, parent or child channel without being its pico."""
    return Fault("R1004", "This is a family channel and only the owner can use it.")


def gone(eci: str) -> Fault:
    """The fault for a pico deleted while something waited for it, or not long ago."""
    return Fault("R1005", f"The pico of ECI {eci} was deleted")


def missing_part(what: str) -> Fault:
    """The fault for a blank or missing part; `what` is a path such as `event.domain`."""
    return Fault("R1007", f"missing {what}")


def no_map(what: str) -> Fault:
    """The fault for attributes or arguments that are no map; `what` as in `event.data.attrs`."""
    return Fault("R1007", f"Expected a JSON map for {what}")


def not_installed(rid: str) -> Fault:
    """The fault for a query to a ruleset that the pico does not have."""
    return Fault("R2005", f"Pico doesn't have {rid} installed.", rid=rid)


def not_shared(rid: str, name: str) -> Fault:
    """The fault for a query to a name that the ruleset does not share."""
    return Fault("R2006", f'Ruleset {rid} does not have query function "{name}"', rid=rid)
