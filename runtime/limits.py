"""Every bound of the engine, as a table: value, unit, reason, and the code raised at it.

In: nothing. Out: one module-level integer for each row (what code compares with, at no cost), and
`LIMITS`, the same as data for `pico doctor`, the manual and the test that each row is tested.

Invariant: no module compares with a bound that is not a row here.
"""

from typing import NamedTuple


class Limit(NamedTuple):
    """One bound: its value and unit, why it has this value, and the code raised at it."""

    value: int
    unit: str
    reason: str
    code: str


LIMITS: dict[str, Limit] = {}


def _limit(name: str, value: int, unit: str, reason: str, code: str) -> int:
    LIMITS[name] = Limit(value, unit, reason, code)
    return value


# --- Values ---------------------------------------------------------------------------------------

value_bytes_max = _limit(
    "value_bytes_max",
    16 << 20,
    "bytes, estimated: characters of a string, 8 for each element of an array or map",
    "one value must fit into memory many times over; an ent: variable is bounded further",
    "R4004",
)
value_depth_max = _limit(
    "value_depth_max",
    256,
    "containers inside each other",
    "stored records are decoded by nested calls; msgpack itself stops at 511",
    "R4004",
)
compare_steps_max = _limit(
    "compare_steps_max",
    2_500_000,
    "elements walked by one == or one key",
    "more than the largest value has, since arrays that share parts can be exponentially larger",
    "R4004",
)

# --- Patterns -------------------------------------------------------------------------------------

pattern_memory_bytes_max = _limit(
    "pattern_memory_bytes_max",
    1 << 20,
    "bytes of one pattern in the linear engine",
    "so that all cached patterns together stay within some hundred megabytes",
    "none: a pattern that needs more runs slower, or in the helper process",
)
pattern_source_max = _limit(
    "pattern_source_max",
    10_000,
    "characters",
    "a pattern is analysed before it runs; longer ones are data, not patterns",
    "R2017",
)
pattern_nesting_max = _limit(
    "pattern_nesting_max",
    100,
    "groups inside each other",
    "the parser and every pattern engine recurse over groups",
    "R2017",
)
patterns_cached_max = _limit(
    "patterns_cached_max",
    256,
    "compiled patterns",
    "patterns built from attributes must not fill memory; the least recently used one goes",
    "none: the pattern is compiled again",
)
pattern_quadratic_characters_max = _limit(
    "pattern_quadratic_characters_max",
    256,
    "characters",
    "below it a pattern of quadratic cost takes less than a millisecond, so the fast engine serves",
    "none: a linear engine runs the pattern",
)
pattern_helper_characters_max = _limit(
    "pattern_helper_characters_max",
    100_000,
    "characters",
    "a pattern that only the helper process can run must not be handed unbounded text",
    "R4004",
)
pattern_deadline_ms = _limit(
    "pattern_deadline_ms",
    250,
    "milliseconds",
    "far beyond any sane match, short enough that a stranger cannot hold a pico",
    "R4016",
)
pattern_steps_max = _limit(
    "pattern_steps_max",
    2_000_000_000,
    "characters times pattern size",
    "a linear engine still takes a second for a large pattern on a large text",
    "R4016",
)

# --- HTTP -----------------------------------------------------------------------------------------

http_url_bytes_max = _limit(
    "http_url_bytes_max",
    32 << 10,
    "bytes",
    "attributes in the query string are for people and links; larger ones go into the body",
    "R4007",
)
http_head_bytes_max = _limit(
    "http_head_bytes_max",
    64 << 10,
    "bytes of one request's header fields",
    "headers become the attribute _headers of every event",
    "R4006",
)
http_body_bytes_max = _limit(
    "http_body_bytes_max",
    1 << 20,
    "bytes, also after decompression",
    "ten times what the Node engine takes as JSON; an event is a message, not a file",
    "R4003",
)
http_admin_body_bytes_max = _limit(
    "http_admin_body_bytes_max",
    32 << 20,
    "bytes, on /api/ routes with the admin token",
    "a bundle with its sources, in base64",
    "R4003",
)
http_parameters_max = _limit(
    "http_parameters_max",
    1_000,
    "names in a query string or form",
    "as in the Node engine",
    "R1011",
)
http_parameter_depth_max = _limit(
    "http_parameter_depth_max",
    5,
    "brackets after a name in a query string",
    "as in the Node engine; what follows stays part of the last key",
    "none: the rest is taken literally",
)
http_parameter_index_max = _limit(
    "http_parameter_index_max",
    20,
    "position in brackets",
    "as in the Node engine; a greater one makes a map, so a link cannot ask for a huge array",
    "none: a map is made",
)
http_pipelined_max = _limit(
    "http_pipelined_max",
    128,
    "requests of one connection that wait for their answer",
    "beyond it the engine reads no more from the connection until answers have left",
    "none: the client waits",
)
http_connections_max = _limit(
    "http_connections_max",
    10_000,
    "open connections",
    "each costs some kilobytes and a file descriptor",
    "R4008",
)
http_request_seconds_max = _limit(
    "http_request_seconds_max",
    20,
    "seconds from a request's first byte to its last, and for a client to take its answer",
    "a slow client must not hold a connection for nothing",
    "R4009",
)
http_idle_seconds_max = _limit(
    "http_idle_seconds_max",
    75,
    "seconds between the requests of one connection",
    "longer than the keep-alive of common proxies, so that they close first",
    "none: the connection is closed",
)
http_stop_seconds_max = _limit(
    "http_stop_seconds_max",
    10,
    "seconds that open requests get when the engine stops",
    "service managers kill after 30 to 90 seconds; the store still has to be closed",
    "none: the connection is closed",
)

# --- Channel connections --------------------------------------------------------------------------

frame_bytes_max = _limit(
    "frame_bytes_max",
    (1 << 20) + (4 << 10),
    "bytes of one frame to the engine",
    "as a body in HTTP, and room for the names around the attributes",
    "R4018",
)
hello_bytes_max = _limit(
    "hello_bytes_max",
    4 << 10,
    "bytes of the first frame of a connection",
    "nobody is known yet, and a greeting is short",
    "R4018",
)
answer_bytes_max = _limit(
    "answer_bytes_max",
    64 << 20,
    "bytes of one frame from the engine",
    "four bytes for each character of the largest value",
    "R4018",
)
channel_credit_max = _limit(
    "channel_credit_max",
    1_024,
    "requests of one connection that wait for their answer",
    "fills many commit groups at once; more would only wait in the inboxes",
    "R4019",
)
channel_held_bytes_max = _limit(
    "channel_held_bytes_max",
    4 << 20,
    "bytes of unanswered requests of one connection",
    "beyond it the engine reads no more from the connection until answers have left",
    "none: the client waits",
)
channel_unread_bytes_max = _limit(
    "channel_unread_bytes_max",
    128 << 20,
    "bytes of answers that a client has not taken",
    "two of the largest answers; who asks on without reading must not fill memory",
    "none: the connection is closed",
)
channel_connections_max = _limit(
    "channel_connections_max",
    10_000,
    "open connections",
    "each costs some kilobytes and a file descriptor",
    "R4008",
)
channel_hello_seconds_max = _limit(
    "channel_hello_seconds_max",
    10,
    "seconds from the connection to its hello",
    "a stranger who says nothing must not hold a connection",
    "R4020",
)
channel_frame_seconds_max = _limit(
    "channel_frame_seconds_max",
    30,
    "seconds from a frame's first byte to its last, and for a client to take its answers",
    "a megabyte over a slow radio link; whoever needs longer holds memory for nothing",
    "R4020",
)
channel_idle_seconds_max = _limit(
    "channel_idle_seconds_max",
    300,
    "seconds without a byte from a connection that waits for nothing",
    "clients ping far more often; what is silent so long is gone",
    "R4020",
)
channel_stop_seconds_max = _limit(
    "channel_stop_seconds_max",
    10,
    "seconds that unanswered requests get when the engine stops",
    "as in HTTP; a client sends what was not answered again under the same key",
    "none: the connection is closed",
)

# --- Events and turns -----------------------------------------------------------------------------

attrs_bytes_max = _limit(
    "attrs_bytes_max",
    1 << 20,
    "bytes, estimated: characters of keys and strings, 8 for each entry",
    "an event is stored, copied and sent on; larger content belongs behind a URL",
    "R4001",
)
inbox_events_max = _limit(
    "inbox_events_max",
    10_000,
    "events and queries waiting in one pico",
    "one slow pico must not fill the engine's memory; the sender is told to come back",
    "R4002",
)
raises_per_turn_max = _limit(
    "raises_per_turn_max",
    10_000,
    "events raised in one turn",
    "rules that raise each other without end must stop by themselves",
    "R4011",
)
sends_per_turn_max = _limit(
    "sends_per_turn_max",
    10_000,
    "events sent in one turn",
    "one turn is one batch of the store, and a batch must stay small",
    "R4012",
)
call_depth_max = _limit(
    "call_depth_max",
    1_000,
    "KRL calls inside each other, at three Python frames each",
    "recursion without end must be a fault of its rule, not of the process",
    "R4010",
)

# --- Waiting --------------------------------------------------------------------------------------

turns_suspended_max = _limit(
    "turns_suspended_max",
    2_000,
    "turns that wait at the same time",
    "each keeps a stack of its own, some tens of kilobytes",
    "R4022",
)
turn_wait_ms = _limit(
    "turn_wait_ms",
    60_000,
    "milliseconds that one call may wait for another pico or a ruleset",
    "twice what people wait for a page; a pico that waits runs nothing else",
    "R4021",
)
workers_idle_max = _limit(
    "workers_idle_max",
    64,
    "greenlets kept for further turns",
    "making one costs some microseconds, keeping one some kilobytes",
    "none: the greenlet ends",
)
turns_stop_ms = _limit(
    "turns_stop_ms",
    10_000,
    "milliseconds that waiting turns get when the engine stops",
    "as open requests get; accepted events run again after the next start",
    "R3007",
)

# --- Running --------------------------------------------------------------------------------------

work_between_looks = _limit(
    "work_between_looks",
    256,
    "calls, rounds of loops, or pieces of 4 kB, before a turn looks at the clock",
    "most turns never look; a count takes some microseconds at most, so the others do in time",
    "none: the turn looks at the clock",
)
work_piece_bytes = _limit(
    "work_piece_bytes",
    4_096,
    "bytes of a large value that count like one call",
    "making or reading them takes about as long as a call of a function",
    "none: the turn looks at the clock sooner",
)
work_large_bytes = _limit(
    "work_large_bytes",
    65_536,
    "bytes from which on a value counts as work",
    "smaller ones take less time than counting them is worth",
    "none: the turn looks at the clock sooner",
)
turn_yield_ms = _limit(
    "turn_yield_ms",
    2,
    "milliseconds of running after which a turn lets others run",
    "some hundred ordinary turns fit between, so one long turn does not show in their waiting",
    "none: the turn goes on in the next round",
)
rule_time_ms = _limit(
    "rule_time_ms",
    1_000,
    "milliseconds of running of one rule with all its rounds, or of one query",
    "a thousand times what a rule takes; its caller waits for it, and so do the pico's events",
    "R4024",
)
turn_time_ms = _limit(
    "turn_time_ms",
    10_000,
    "milliseconds of running of all rules of one turn",
    "ten rules at their own bound; longer work belongs into several events",
    "R4024",
)
rule_memory_bytes_max = _limit(
    "rule_memory_bytes_max",
    256 << 20,
    "bytes by which the process grows while one rule runs",
    "sixteen of the largest values; what a rule holds lives beside everything else of the engine",
    "R4025",
)

# --- Timers ---------------------------------------------------------------------------------------

timers_per_turn_max = _limit(
    "timers_per_turn_max",
    10_000,
    "jobs scheduled or removed in one turn",
    "one turn is one batch of the store, and a batch must stay small",
    "R4017",
)
timer_batch_max = _limit(
    "timer_batch_max",
    256,
    "due timers fired together",
    "each wakes a pico; turns and sockets must get their time between two batches",
    "none: the next batch goes on",
)
timer_numbers_reserved = _limit(
    "timer_numbers_reserved",
    1_000,
    "numbers of timers set aside by one row",
    "a start goes on behind them without looking at timers; a row now and then costs nothing",
    "none: the next ones are set aside",
)
timer_mark_every = _limit(
    "timer_mark_every",
    1_000,
    "fired timers between two stored marks",
    "a start reads past at most so many consumed rows; a mark is one more key in a batch",
    "none: the mark is stored",
)
timer_retry_ms = _limit(
    "timer_retry_ms",
    1_000,
    "milliseconds until a timer tries again whose pico has a full inbox",
    "long enough to work off much of a full inbox; the timers of other picos go on meanwhile",
    "none: it tries again",
)
timer_late_ms = _limit(
    "timer_late_ms",
    60_000,
    "milliseconds by which a repeated event with CATCHUP=skip may come late",
    "a busy engine or a quick restart is not a missed moment; a minute is cron's own grain",
    "none: the moment is skipped",
)
timer_catch_up_ms = _limit(
    "timer_catch_up_ms",
    7 * 86_400_000,
    "milliseconds that CATCHUP=all reaches back",
    "a job of every second makes 600,000 events of a week; more would stop all other timers",
    "none: older moments are skipped",
)
cron_characters_max = _limit(
    "cron_characters_max",
    200,
    "characters of a timespec",
    "the longest sensible ones have 80; it is stored with every job",
    "R2001",
)
cron_specs_cached_max = _limit(
    "cron_specs_cached_max",
    256,
    "timespecs kept as read",
    "rulesets have a handful of them; ones built at run time must not fill memory",
    "none: the timespec is read again",
)

# --- Answers under keys ---------------------------------------------------------------------------

answer_bucket_ms = _limit(
    "answer_bucket_ms",
    6 * 3_600_000,
    "milliseconds",
    "answers are dropped by whole buckets; few buckets make few look-ups",
    "none: what is older is dropped",
)
answer_buckets_kept = _limit(
    "answer_buckets_kept",
    5,
    "buckets, so a day at least",
    "a sender that comes back after a day is not repeating, it begins anew",
    "none: what is older is dropped",
)
key_characters_max = _limit(
    "key_characters_max",
    200,
    "characters",
    "a key is an identifier, not content",
    "R1007",
)

# --- History --------------------------------------------------------------------------------------

history_wait_ms = _limit(
    "history_wait_ms",
    100,
    "milliseconds that what happened waits for a batch to go with",
    "people look after a moment; a write of its own for each turn would cost more than the turn",
    "none: it is written alone",
)
history_bucket_ms = _limit(
    "history_bucket_ms",
    6 * 3_600_000,
    "milliseconds",
    "history is dropped by whole buckets; few buckets make few look-ups",
    "none: the next bucket begins",
)
history_bucket_bytes = _limit(
    "history_bucket_bytes",
    16 << 20,
    "bytes of records",
    "a look at all picos reads one bucket, in a fraction of a second",
    "none: the next bucket begins",
)
history_buckets_kept = _limit(
    "history_buckets_kept",
    64,
    "buckets, so at most a gigabyte",
    "a busy engine would fill its disk with what people seldom read",
    "none: the oldest bucket is dropped",
)
history_memory_buckets_kept = _limit(
    "history_memory_buckets_kept",
    2,
    "buckets of an engine without a folder",
    "it keeps everything in memory, and that is for more than history",
    "none: the oldest bucket is dropped",
)
history_kept_ms = _limit(
    "history_kept_ms",
    7 * 86_400_000,
    "milliseconds",
    "a week covers holidays; what is older is no longer asked about",
    "none: what is older is dropped",
)
history_turn_bytes_max = _limit(
    "history_turn_bytes_max",
    16 << 10,
    "bytes of one turn's record",
    "large attributes are content, not history; a group of small turns never comes near",
    "none: only the size of the attributes is kept, and the first notes",
)
history_notes_max = _limit(
    "history_notes_max",
    100,
    "notes of a turn that is too large to be kept whole",
    "the beginning of an endless chain of raised events shows where it comes from",
    "none: later ones are dropped",
)
history_logs_ms = _limit(
    "history_logs_ms",
    12 * 3_600_000,
    "milliseconds that ctx:logs reaches back",
    "as in the Node engine",
    "none: older ones are for `pico log`",
)
history_shown_max = _limit(
    "history_shown_max",
    10_000,
    "entries in one answer",
    "an answer is one piece of JSON in memory",
    "R1013",
)
history_said_characters_max = _limit(
    "history_said_characters_max",
    1_000,
    "characters of what a log statement said",
    "a line for people; the value itself is where the rule got it from",
    "none: the rest is cut off",
)
live_entries_max = _limit(
    "live_entries_max",
    1_000,
    "entries that wait for one who listens to what happens",
    "a second of a busy engine; who is slower sees how many were left out",
    "none: the oldest are dropped, and counted",
)
live_bytes_max = _limit(
    "live_bytes_max",
    4 << 20,
    "bytes of entries that wait for one who listens to what happens",
    "many listeners must not fill memory",
    "none: the oldest are dropped, and counted",
)
live_listeners_max = _limit(
    "live_listeners_max",
    64,
    "listeners of one engine",
    "each turn is shown to each of them; more than people have windows",
    "R4026",
)

# --- Rulesets -------------------------------------------------------------------------------------

source_bytes_max = _limit(
    "source_bytes_max",
    4 << 20,
    "bytes",
    "the longest rulesets known have some hundred kB",
    "R2012",
)
source_fetch_s = _limit(
    "source_fetch_s",
    20,
    "seconds",
    "a web server that says nothing for so long will not",
    "R2012",
)

# --- Picos in memory, and picos that are no more --------------------------------------------------

awake_pico_bytes = _limit(
    "awake_pico_bytes",
    8 << 10,
    "bytes, estimated for one pico in memory",
    "measured with three rulesets and a few variables; the bound on memory divides by it",
    "none: the least recently used pico goes to sleep",
)
reap_rows_max = _limit(
    "reap_rows_max",
    1_000,
    "rows deleted in one batch",
    "a batch must stay small beside the turns of living picos",
    "none: the next batch goes on",
)
tombstone_kept_ms = _limit(
    "tombstone_kept_ms",
    30 * 86_400_000,
    "milliseconds",
    "who comes back with the ECI of a deleted pico should learn that it is gone",
    "none: what is older is forgotten",
)
dead_letters_max = _limit(
    "dead_letters_max",
    100_000,
    "letters",
    "they are for people to look at; the oldest are dropped",
    "none: the oldest letter is dropped",
)
pico_types_max = _limit(
    "pico_types_max",
    1_000,
    "types in one bundle",
    "far more than an application has",
    "R2008",
)
inbox_mark_every = _limit(
    "inbox_mark_every",
    1_000,
    "inbox rows between two stored marks",
    "a start reads past at most so many consumed rows; a mark is one more key in a batch",
    "none: the mark is stored",
)

# --- Sends to other engines ----------------------------------------------------------------------

outbox_sends_max = _limit(
    "outbox_sends_max",
    10_000,
    "events of one pico that wait for one channel of another engine",
    "a receiver that is away must not fill the disk; the rule that sends on is told",
    "R5002",
)
outbox_kept_ms = _limit(
    "outbox_kept_ms",
    7 * 86_400_000,
    "milliseconds an event waits for another engine to answer",
    "a week covers holidays and repairs; who is away longer has to be told anew",
    "R5003",
)
outbox_window_max = _limit(
    "outbox_window_max",
    64,
    "events of one pair under way",
    "fills a round trip of some milliseconds; the receiver keeps as many refusals for each pair",
    "none: the next one waits for an answer",
)
outbox_host_flying_max = _limit(
    "outbox_host_flying_max",
    1_000,
    "events under way to one host",
    "they are in memory; a host that does not answer must not take all of it",
    "none: the next one waits for an answer",
)
outbox_host_asked_max = _limit(
    "outbox_host_asked_max",
    16,
    "events under way to one host that takes one of a pair at a time",
    "each is a request over HTTP; connections must be left to rules that ask for something",
    "none: the next one waits for an answer",
)
outbox_host_bytes_max = _limit(
    "outbox_host_bytes_max",
    16 << 20,
    "bytes of stored events under way to one host",
    "a thousand events of a megabyte each would be a gigabyte",
    "none: the next one waits for an answer",
)
outbox_answer_ms = _limit(
    "outbox_answer_ms",
    30_000,
    "milliseconds without any answer of a pair",
    "the other side answers after one sync of its disk; beyond this something was lost",
    "none: the event is sent again",
)
outbox_retry_ms = _limit(
    "outbox_retry_ms",
    500,
    "milliseconds before the second try, doubled for each further one",
    "long enough for a process to start again, short enough that nobody notices",
    "none: the event is sent again",
)
outbox_retry_ms_max = _limit(
    "outbox_retry_ms_max",
    600_000,
    "milliseconds between two tries, without the random part of up to a half",
    "a host that was away for days is found again within a quarter of an hour",
    "none: the event is sent again",
)
outbox_expired_max = _limit(
    "outbox_expired_max",
    500,
    "events of one pair given up in one batch",
    "each becomes a dead letter and an event for its sender, and a batch must stay small",
    "none: the next batch goes on",
)
outbox_pairs_idle_max = _limit(
    "outbox_pairs_idle_max",
    1_000,
    "pairs in memory that have nothing to send",
    "a pair that sends again soon costs no read; a start looks at each of them",
    "none: the pair's record is put away",
)
address_characters_max = _limit(
    "address_characters_max",
    1_000,
    "characters of a host and an ECI on it",
    "together they are part of a key",
    "R5001",
)

# --- Requests to HTTP servers ---------------------------------------------------------------------

web_connect_seconds_max = _limit(
    "web_connect_seconds_max",
    10,
    "seconds to find a server's address and connect to it",
    "a server that is up answers within one",
    "R5003",
)
web_request_seconds_max = _limit(
    "web_request_seconds_max",
    30,
    "seconds for a whole request, redirects included",
    "the pico of a rule that waits runs nothing else; below what any turn may wait",
    "R5003",
)
web_body_bytes_max = _limit(
    "web_body_bytes_max",
    4 << 20,
    "bytes of a response's body, decompressed",
    "what an entity variable can hold in one row; many requests are under way at once",
    "R4030",
)
web_redirects_max = _limit(
    "web_redirects_max",
    20,
    "redirects that one request follows",
    "what browsers and the reference follow",
    "R5008",
)
web_connections_max = _limit(
    "web_connections_max",
    200,
    "connections to HTTP servers",
    "each may be reading a response of the largest size",
    "none: the request waits for another to end, within its own time",
)
web_host_connections_max = _limit(
    "web_host_connections_max",
    32,
    "connections to one HTTP server",
    "a server that is slow must not take all of them; more would look like an attack",
    "none: as above",
)
errands_flying_max = _limit(
    "errands_flying_max",
    64,
    "requests with `autosend` under way at the same time",
    "they must leave connections to rules that wait for their answers",
    "none: the others wait in the store",
)
errands_waiting_max = _limit(
    "errands_waiting_max",
    10_000,
    "requests with `autosend` that have not ended",
    "as many as events may wait for one channel of another engine",
    "R5002",
)

# --- Connections to other engines -----------------------------------------------------------------

peer_connect_seconds_max = _limit(
    "peer_connect_seconds_max",
    10,
    "seconds for a connection to another engine and its welcome",
    "a host that drops packets must not hold up what else could be tried",
    "R5004",
)
peer_silence_seconds_max = _limit(
    "peer_silence_seconds_max",
    20,
    "seconds without a byte from another engine, which is asked to show itself after the half",
    "what was cut off without a word is noticed before events count as unanswered",
    "R5004",
)
peer_idle_seconds_max = _limit(
    "peer_idle_seconds_max",
    60,
    "seconds that a connection to another engine is kept without an event",
    "the next event opens one again; the other side keeps silent ones for five minutes",
    "none: the connection is closed",
)
peer_frames_retry_seconds = _limit(
    "peer_frames_retry_seconds",
    300,
    "seconds of HTTP to an engine whose channel port could not be reached",
    "a wall between does not go away soon, and HTTP does the same work meanwhile",
    "none: events go over HTTP",
)
peers_known_max = _limit(
    "peers_known_max",
    1_000,
    "other engines that something is known about",
    "all of it can be found out again with one event",
    "none: the one that was used longest ago is forgotten",
)

# --- Entity variables -----------------------------------------------------------------------------

entity_bytes_max = _limit(
    "entity_bytes_max",
    16 << 20,
    "bytes, estimated: 8 for each element, characters of strings and of a map's own keys",
    "a variable can always be read whole, so it is bounded like any value",
    "R4015",
)
entity_row_bytes_max = _limit(
    "entity_row_bytes_max",
    4 << 20,
    "bytes, estimated, of one entry, element, or variable that is no collection",
    "a row is written whole whenever anything in it changes, and a batch must stay small",
    "R4015",
)
entity_record_elements_max = _limit(
    "entity_record_elements_max",
    32,
    "entries of a map or elements of an array",
    "measured: up to here copying all of them costs no more than keeping them apart",
    "none: a larger one is stored in parts",
)
entity_record_bytes_max = _limit(
    "entity_record_bytes_max",
    1 << 10,
    "bytes, estimated, of a map or array",
    "measured as the bound on elements, for larger ones",
    "none: a larger one is stored in parts",
)
entity_chunk_elements_max = _limit(
    "entity_chunk_elements_max",
    32,
    "elements of an array in one row",
    "appending writes one chunk; reading the whole reads all of them",
    "none: the next chunk begins",
)
entity_chunk_bytes = _limit(
    "entity_chunk_bytes",
    1 << 10,
    "bytes, estimated; what a chunk should have at most, unless one element is larger",
    "large elements make small chunks, so that appending writes little",
    "none: chunks have fewer elements",
)

# --- Operating ------------------------------------------------------------------------------------

doctor_findings_max = _limit(
    "doctor_findings_max",
    100,
    "findings of one check that are listed",
    "one lost file damages thousands of records in the same way; nobody reads more",
    "none: the others are counted",
)
archive_blob_bytes_max = _limit(
    "archive_blob_bytes_max",
    80 << 20,
    "bytes of one part of an archive, unpacked",
    "four bytes for each character of the largest value, and room for what is around it",
    "R3009",
)
archive_manifest_bytes_max = _limit(
    "archive_manifest_bytes_max",
    64 << 20,
    "bytes of an archive's list of contents",
    "a hundred thousand picos; it is held in memory",
    "R3009",
)
archive_part_bytes = _limit(
    "archive_part_bytes",
    1 << 20,
    "bytes of variables, timers or events that make one part of an archive",
    "large enough to be few, small enough to be read and written in one step of the loop",
    "none: the next part begins",
)
import_rows_max = _limit(
    "import_rows_max",
    1_000_000,
    "channels, timers and waiting events of one import",
    "they become visible in one batch, which is in memory",
    "R4023",
)
log_faults_told_max = _limit(
    "log_faults_told_max",
    1_000,
    "kinds of faults (ruleset, rule, line, code) of which the first is logged",
    "a rule that fails on every event must not fill the log; `pico log` and the metrics have all",
    "none: further kinds are only in the history",
)
