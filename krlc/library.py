"""The names of KRL's library, as data: operators, and the members of the built-in modules.

In: nothing. Out: `OPERATORS` by name and `MODULES` by domain and name: what `names`, `modules`,
`checks` and `lower` need to know without running anything. The engine has its own table; a test
holds the two together.
Invariant: parameters are KRL's names in KRL's order.
"""

from __future__ import annotations

from typing import NamedTuple


class Operator(NamedTuple):
    """One operator. `kind`: Function, Action or ActionFunction; `required`: arguments needed."""

    name: str
    params: tuple[str, ...]
    kind: str = "Function"
    required: int = 1
    effect: str = "pure"


class Member(NamedTuple):
    """One member of a built-in module. `kind` is property, function, action or actionfunction.

    `effect` is pure, reads, waits or acts.
    """

    kind: str
    params: tuple[str, ...]
    effect: str


# One line each; in brackets the parameters, first the receiver.
_OPERATORS = """
as(val, type)
isnull(val)
typeof(val)
sprintf(val, template)
defaultsTo(val, defaultVal, message)
like(val, regex)
cmp(left, right)
chr(val)
range(val, end)
band(left, right)
bor(left, right)
bxor(left, right)
bnot(left)
shiftLeft(left, right)
shiftRight(left, right)
capitalize(val)
lc(val)
uc(val)
trim(val)
trimLeading(val)
trimTrailing(val)
startsWith(val, target)
endsWith(val, target)
contains(val, target)
ord(val)
decode(val)
encode(val, indent)
extract(val, regex)
match(val, regex)
split(val, splitOn)
substr(val, start, len)
replace(val, regex, replacement)
length(val)
join(val, str)
map(val, iter)
filter(val, iter)
collect(val, iter)
all(val, iter)
notall(val, iter)
any(val, iter)
none(val, iter)
reduce(val, iter, dflt)
pairwise(val, iter)
append(val, a, b, c, d, e)
head(val)
tail(val)
index(val, elm)
isEmpty(val)
reverse(val)
slice(val, start, end)
splice(val, start, nElements, value)
sort(val, sortBy)
intersection(a, b)
union(a, b)
difference(a, b)
has(val, other)
once(val)
duplicates(val)
unique(val)
get(obj, path)
set(obj, path, val)
put(val, path, toSet)
delete(val, path)
keys(val, path)
values(val, path)
"""
# What needs another number of arguments than its receiver.
_REQUIRED = {"isnull": 0, "typeof": 0, "like": 2, "cmp": 2}
# Any number of arguments: what stands in brackets is only what they are called.
VARIADIC = frozenset({"append"})

_HTTP = (
    "(url, qs, headers, body, auth, json, form, parseJSON, autoraise, autosend, dontFollowRedirect)"
)
# One line each: kind, effect, name, parameters.
_MODULES = {
    "event": """
property reads eci
property reads domain
property reads name
property reads attrs
property reads eid
property reads time
function reads attr(name)
action acts send(options, host)
""",
    "meta": """
property reads eci
property reads host
property reads inEvent
property reads inQuery
property reads picoId
property reads rid
property reads ruleName
property reads rid_url
property reads rulesetURI
property reads rulesetConfig
property reads txnId
function reads callingRID
""",
    "ctx": """
property reads picoId
property reads rid
property reads rid_url
property reads rid_config
property reads rid_name
property reads rid_version
property reads rid_description
property reads rid_author
property reads parent
property reads children
property reads channels
property reads rulesets
function waits query(eci, rid, name, args)
function reads logs(traced)
action acts event(eci, domain, name, attrs, host)
action acts eventQuery(eci, domain, name, attrs, rid, queryName, args)
action acts newPico(rulesets, endowment)
action acts delPico(eci)
action acts newChannel(tags, eventPolicy, queryPolicy)
action acts putChannel(eci, tags, eventPolicy, queryPolicy)
action acts upsertChannel(tags, eventPolicy, queryPolicy)
action acts delChannel(eci)
action acts install(url, config)
action acts uninstall(rid)
action acts flush(url)
""",
    "math": """
property pure hashAlgorithms
function pure hashFunctions
function pure base64encode(str, encoding)
function pure base64decode(str, encoding)
function pure hash(algorithm, str, encoding)
function pure hmac(algorithm, key, message, encoding)
function pure abs(number)
function pure ceiling(number, precision)
function pure floor(number, precision)
function pure round(number, precision)
function pure int(number)
""",
    "random": """
function reads uuid
function reads word
function reads integer(upper, lower)
function reads number(upper, lower)
""",
    "time": """
function reads now(opts)
function reads new(date)
function reads add(date, spec)
function reads strftime(date, fmt)
""",
    "schedule": """
function reads list
function reads get(id)
action acts remove(id)
action acts clear
""",
    "http": f"""
actionfunction waits get{_HTTP}
actionfunction waits head{_HTTP}
action acts post{_HTTP}
action acts put{_HTTP}
action acts patch{_HTTP}
action acts delete{_HTTP}
""",
}


def _read(signature: str) -> tuple[str, tuple[str, ...]]:
    name, _, listed = signature.partition("(")
    return name, tuple(listed.rstrip(")").split(", ")) if listed else ()


def _operators() -> dict[str, Operator]:
    table = {}
    for line in _OPERATORS.split("\n")[1:-1]:
        name, params = _read(line)
        table[name] = Operator(name, params, required=_REQUIRED.get(name, 1))
    # These need a context, so they are the engine's own.
    table["klog"] = Operator("klog", ("val", "message"), effect="reads")
    table["noop"] = Operator("noop", (), "ActionFunction", 0)
    table["send_directive"] = Operator("send_directive", ("name", "options"), "Action", 1, "acts")
    return table


def _modules() -> dict[str, dict[str, Member]]:
    table: dict[str, dict[str, Member]] = {}
    for domain, lines in _MODULES.items():
        members = table[domain] = {}
        for line in lines.split("\n")[1:-1]:
            kind, effect, signature = line.split(" ", 2)
            name, params = _read(signature)
            members[name] = Member(kind, params, effect)
    table["stdlib"] = {
        name: Member(operator.kind.lower(), operator.params, operator.effect)
        for name, operator in OPERATORS.items()
    }
    return table


OPERATORS: dict[str, Operator] = _operators()
MODULES: dict[str, dict[str, Member]] = _modules()
