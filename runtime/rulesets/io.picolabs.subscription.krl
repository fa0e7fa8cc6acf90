// Relationships between two picos, on one engine or on two: each side keeps a bundle ("bus") with
// the same `Id`, its own channel `Rx`, and the other's channel `Tx`.
// A request that cannot be met ends in an event of the same name with `_failed` behind it, with the
// request's attributes and `reason`. Requests and news whose names say `subscription` have twins
// that say `relationship`: asked for by either name, told by both.
ruleset io.picolabs.subscription {
  meta {
    name "Subscriptions"
    description <<Proposes, accepts, declines, withdraws and ends relationships with other picos.>>
    author "picos"
    provides established, inbound, outbound, wellKnown_Rx, autoAcceptConfig, relationshipSettings
    shares established, inbound, outbound, wellKnown_Rx, autoAcceptConfig, relationshipSettings
  }

  global {
    default_settings = {
      // A new state is compared with the other side's after so long, then ever more rarely.
      "check_seconds": 60,
      "check_seconds_max": 86400,
      // What strangers may ask for, and how many proposals may wait for an answer.
      "proposals_per_minute": 60,
      "inbound_max": 1000
    }
    // Each check waits so many times longer than the one before it.
    check_growth = 8
    // After so many questions without an answer an other side that used to answer is given up: more
    // days than a message waits for an engine that is down.
    unanswered_max = 16
    // How many ended relationships are remembered, so that a late proposal does not revive one.
    ended_max = 200
    // How many relationships one turn ends; the rest follows in the next one.
    cancelled_per_turn = 500
    id_characters_max = 200

    // Which request ends a relationship in a state, which event does it, and which tells of it.
    leave = {
      "established": "subscription_cancellation",
      "inbound": "inbound_rejection",
      "outbound": "outbound_cancellation"
    }
    removal = {
      "established": "established_removal",
      "inbound": "inbound_removal",
      "outbound": "outbound_removal"
    }
    ended_as = {
      "established": "subscription_removed",
      "inbound": "inbound_subscription_cancelled",
      "outbound": "outbound_subscription_cancelled"
    }

    // --- Bundles ---

    buses = function(state) {
      state == "established" => ent:established.defaultsTo({})
        | state == "inbound" => ent:inbound.defaultsTo({})
        | ent:outbound.defaultsTo({})
    }

    listed = function(state, key, value) {
      found = buses(state).values()
      key && value => found.filter(function(bus) { bus{key} == value }) | found
    }

    established = function(key, value) { listed("established", key, value) }

    inbound = function(key, value) { listed("inbound", key, value) }

    outbound = function(key, value) { listed("outbound", key, value) }

    // The bundle an event is about.
    find = function(state) {
      id = event:attrs{"Id"}
      rx = event:attrs{"Rx"}
      tx = event:attrs{"Tx"}
      id => (is_text(id) => buses(state){id} | null)
        | rx => listed(state, "Rx", rx).head()
        | tx => listed(state, "Tx", tx).head()
        | listed(state, "Rx", event:eci).head()
    }

    state_of = function(id) {
      not is_text(id) => null
        | buses("established") >< id => "established"
        | buses("inbound") >< id => "inbound"
        | buses("outbound") >< id => "outbound"
        | null
    }

    is_text = function(value) { value.typeof() == "String" && value != "" }

    is_text_or_null = function(value) { value.isnull() || value.typeof() == "String" }

    // What both sides keep while a proposal is not answered.
    pending = function(attrs, id) {
      {
        "Rx_role": attrs{"Rx_role"},
        "Tx_role": attrs{"Rx_role"} => attrs{"Tx_role"} | null,
        "Tx_host": far(attrs{"Tx_host"}),
        "Id": id
      }
    }

    given = function(map) { map.filter(function(value) { not value.isnull() }) }

    // A host, unless it is this engine.
    far = function(host) {
      is_here = host.isnull() || host == "" || bare(host) == bare(meta:host)
      is_here => null | host
    }

    bare = function(host) { host.as("String").replace(re#/+$#, "") }

    // Only the two sides know each other's channels, so whoever names one, or comes on one, is a
    // side; and so is what came on no channel for other picos.
    is_from_a_side = function(bus) {
      rx = event:attrs{"Rx"}
      tx = event:attrs{"Tx"}
      event:eci == bus{"Rx"}
        || rx && rx == bus{"Rx"}
        || tx && tx == bus{"Tx"}
        || not is_for_others(event:eci)
    }

    is_for_others = function(eci) {
      eci == ent:wellKnown
        || leave.keys().any(function(state) { listed(state, "Rx", eci).length() > 0 })
    }

    // What may be told on: not what a client said in its headers, nor secrets, nor who may do what.
    told = function() { private.reduce(function(map, key) { map.delete(key) }, event:attrs) }

    private = ["_headers", "password", "eventPolicy", "queryPolicy"]

    because = function(reason) { told().put({"reason": reason}) }

    relationshipSettings = function() { default_settings.put(ent:settings.defaultsTo({})) }

    // --- Channels ---

    has_channel = function(eci) { ctx:channels.any(function(channel) { channel{"id"} == eci }) }

    wellKnown_Rx = function() {
      tagged = ctx:channels.filter(function(channel) {
        channel{"tags"} == ["wellknown_rx", "tx_rx"]
      })
      // A stranger chooses the tags of the channel that a proposal makes.
      ent:wellKnown => tagged.filter(function(channel) { channel{"id"} == ent:wellKnown }).head()
        | tagged.head()
    }

    wrangler_events = function(names) {
      names.map(function(name) { {"domain": "wrangler", "name": name} })
    }

    wellKnown_events = {
      "allow": wrangler_events([
        "subscription",
        "new_subscription_request",
        "inbound_removal",
        "relationship_digest"
      ]),
      "deny": []
    }
    wellKnown_queries = {
      "allow": [{"rid": "io.picolabs.subscription", "name": "wellKnown_Rx"}],
      "deny": []
    }

    // What the other side sends about the relationship itself.
    side_events = wrangler_events([
      "outbound_pending_subscription_approved",
      "outbound_removal",
      "inbound_removal",
      "established_removal",
      "relationship_digest"
    ])

    // What no other pico is ever given by default: what rules tell each other about this pico.
    own_domains = ["wrangler", "system", "engine", "engine_ui", "pds", "dido", "*"]
    system_rids = [
      "io.picolabs.pico-engine-ui",
      "io.picolabs.wrangler",
      "io.picolabs.pds",
      "io.picolabs.subscription",
      "io.picolabs.did-o"
    ]

    // What the installed rulesets select (`kind` "events") and offer ("queries").
    offered = function(kind) {
      ctx:rulesets
        .filter(function(r) { not (system_rids >< r{"rid"}) })
        .map(function(r) { r{["meta", "offers", kind]} })
        .reduce(function(pairs, more) { pairs.append(more) }, [])
        .filter(function(pair) { not (own_domains >< pair{"domain"}) })
        .unique()
    }

    covers = function(pair, other) {
      pair.all(function(value, key) { value == "*" || value == other{key} })
    }

    // What two lists of pairs both allow.
    common = function(some, others) {
      some
        .filter(function(pair) { others.any(function(other) { covers(other, pair) }) })
        .append(others.filter(function(other) { some.any(function(pair) { covers(pair, other) }) }))
        .unique()
    }

    // A policy as this pico's own rules gave it, else what is offered; strangers may only narrow.
    // What is no map fails here: an empty value would make a channel that allows everything.
    policy = function(kind, asked, is_trusted) {
      offer = offered(kind)
      wanted = asked.decode()
      is_map = wanted.typeof() == "Map"
      is_absent = wanted.isnull() || wanted == "" || is_map && wanted.length() == 0
      is_absent => {"allow": offer, "deny": []}
        | is_map && is_trusted => wanted
        | {"allow": common(wanted{"allow"}, offer), "deny": wanted{"deny"}}
    }

    event_policy = function(wanted, is_trusted) {
      found = policy("events", wanted, is_trusted)
      found.put({"allow": found{"allow"}.append(side_events)})
    }

    query_policy = function(wanted, is_trusted) { policy("queries", wanted, is_trusted) }

    open_channel = defaction(name, type, is_trusted) {
      ctx:newChannel(
        [name, type],
        event_policy(event:attrs{"eventPolicy"}, is_trusted),
        query_policy(event:attrs{"queryPolicy"}, is_trusted)
      ) setting(channel)
      return channel{"id"}
    }

    // At acceptance this pico's rules may say what the other side gets.
    grant = defaction(eci, events, queries) {
      has_new = events || queries
      if has_new then
        ctx:putChannel(eci, null, event_policy(events, true), query_policy(queries, true))
    }

    // The channels whose policies were left to this ruleset.
    followers = function() {
      own = ctx:channels.map(function(channel) { channel{"id"} })
      leave
        .keys()
        .map(function(state) { listed(state) })
        .reduce(function(found, some) { found.append(some) }, [])
        .filter(function(bus) { not ent:notes{[bus{"Id"}, "has_policy"]} })
        .map(function(bus) { bus{"Rx"} })
        .intersection(own)
    }

    close_channel = defaction(eci) {
      if has_channel(eci) then
        ctx:delChannel(eci)
    }

    // --- The other side ---

    tell = defaction(eci, host, name, attrs) {
      event:send({"eci": eci, "domain": "wrangler", "name": name, "attrs": attrs}, host)
    }

    // Timers live as long as the channel of the event that set them: this one always does.
    watch = defaction(id) {
      event:send({
        "eci": ctx:picoId,
        "domain": "wrangler",
        "name": "relationship_watch",
        "attrs": {"Id": id}
      })
    }

    // Timers of many picos that were set at once do not come at once.
    in_seconds = function(seconds) {
      time:add(time:now(), {"milliseconds": seconds * random:integer(750, 1000)})
    }

    // How one side sees the relationship, in the words of the other.
    digest = function(bus, state, to) {
      own_host = ent:notes{[bus{"Id"}, "proposal", "Rx_host"]}.defaultsTo(meta:host);
      {"Id": bus{"Id"}, "state": state, "Rx": to, "Tx": bus{"Rx"}, "Tx_host": own_host}
    }

    // A side that hears that it was accepted is established from this turn on.
    next_state = function(mine, its) {
      mine == "outbound" && its == "established" => "established" | mine
    }

    // --- Proposals ---

    is_ended = function(id, tx) { ent:ended.defaultsTo({}){id} == tx }

    // What is asked for from outside is counted by the minute.
    is_new_minute = function() { event:time - ent:minute{"start"}.defaultsTo(0) >= 60000 }

    is_too_much = function() {
      not is_new_minute() && ent:minute{"count"} >= relationshipSettings(){"proposals_per_minute"}
    }

    counted = function() {
      is_new_minute() => {"start": event:time, "count": 1}
        | ent:minute.put({"count": ent:minute{"count"} + 1})
    }

    proposal_problem = function(id) {
      tx = event:attrs{"wellKnown_Tx"}
      name = event:attrs{"name"}
      is_same = function(bus) {
        bus{"Rx_role"} == event:attrs{"Rx_role"}
          && bus{"Tx_role"} == event:attrs{"Tx_role"}
          && bus{"Tx_host"} == far(event:attrs{"Tx_host"})
          && ent:notes{[bus{"Id"}, "proposal", "name"]} == name
      }
      not is_text(tx) => "`wellKnown_Tx` has to be the ECI of a channel that takes proposals"
        | not is_text(id) || id.length() > id_characters_max => "`Id` has to be a short text"
        | not state_of(id).isnull() => "there is a relationship with this `Id` already"
        | listed("outbound", "wellKnown_Tx", tx).any(is_same) => "this is proposed already"
        | tx == ent:wellKnown => "a pico has no relationship with itself"
        | event:eci == ent:wellKnown && is_too_much() => "too many proposals in a minute"
        | null
    }

    // Whether this proposal is one that is known: then it was sent again, or came twice.
    is_known = function() {
      id = event:attrs{"Id"}
      tx = event:attrs{"Tx"}
      is_text(id)
        && is_text(tx)
        && (is_ended(id, tx)
            || buses("established"){[id, "Tx"]} == tx
            || buses("inbound"){[id, "Tx"]} == tx)
    }

    request_problem = function() {
      id = event:attrs{"Id"}
      texts = [id, event:attrs{"Rx_role"}, event:attrs{"Tx_role"}, event:attrs{"Tx_host"}]
      is_full = buses("inbound").length() >= relationshipSettings(){"inbound_max"}
      not is_text(event:attrs{"Tx"}) => "`Tx` has to be the ECI of the proposer's channel"
        | not texts.all(is_text_or_null) => "`Id`, roles and `Tx_host` have to be texts"
        | id && id.length() > id_characters_max => "`Id` has to be a short text"
        | not state_of(id).isnull() => "there is another relationship with this `Id`"
        | is_too_much() => "too many proposals in a minute"
        | is_full => "too many proposals wait for an answer"
        | null
    }

    // --- Accepting without asking ---

    // Configurations without their secrets.
    autoAcceptConfig = function() {
      ent:autoAccept
        .defaultsTo({})
        .map(function(config) {
          {
            "configName": config{"configName"},
            "entries": config{"entries"},
            "hasPassword": not config{"secret"}.isnull()
          }
        })
    }

    secret = function(salt, password) { math:hash("sha256", salt + password.as("String")) }

    // Every listed attribute has to be there and match one of its patterns.
    accepts = function(config) {
      password = event:attrs{"password"}
      fits = function(patterns, key) {
        value = event:attrs{[key]}
        not value.isnull() && patterns.any(function(pattern) { value.as("String").match(pattern) })
      }
      is_secret_known = config{"secret"}.isnull()
        || not password.isnull() && secret(config{"salt"}, password) == config{"secret"}
      is_secret_known && config{"entries"}.all(fits)
    }

    is_accepted = function() { ent:autoAccept.defaultsTo({}).values().any(accepts) }

    // The configuration that an update asks for: a map, or flat attributes.
    wanted_config = function() {
      config = event:attrs{"config"}.decode()
      entries = event:attrs{"regexMap"}.decode()
      config.typeof() == "Map" => config.put({"entries": config{"entries"}.defaultsTo({})})
        | {
          "configName": event:attrs{"configName"},
          "password": event:attrs{"password"},
          "entries": entries.defaultsTo({})
        }
    }

    config_problem = function(config) {
      entries = config{"entries"}
      is_list = function(patterns) {
        patterns.typeof() == "Array"
          && patterns.length() > 0
          && patterns.all(function(pattern) { is_text(pattern) })
      }
      has_lists = entries.typeof() == "Map" && entries.all(is_list)
      is_open = entries.length() == 0 && not config{"password"}
      not is_text(config{"configName"}) => "`configName` is missing"
        | event:attrs{"delete"} => null
        | not has_lists => "`entries` has to be a map from attributes to lists of patterns"
        | is_open => "without entries and password every proposal would be accepted"
        | null
    }
  }

  // --- Failures, and other names ---

  // The engine took back what the request's rule had done, and says why.
  rule tell_failure {
    select when system error
    pre {
      request = event:attrs{"event"}
    }
    if request{"domain"} == "wrangler" then
      noop()
    fired {
      raise wrangler event request{"name"} + "_failed"
        attributes private
          .reduce(function(map, key) { map.delete(key) }, request{"attrs"})
          .put({"reason": event:attrs{"msg"}, "code": event:attrs{"species"}})
    }
  }

  rule ask_by_other_name {
    select when wrangler relationship
      or wrangler pending_relationship_approval
      or wrangler relationship_cancellation
      or wrangler cancel_relationships where not (event:attrs >< "establishedIDs")
    fired {
      raise wrangler event event:name.replace("relationship", "subscription") attributes event:attrs
    }
  }

  rule tell_by_other_name {
    select when wrangler subscription_added
      or wrangler subscription_removed
      or wrangler inbound_pending_subscription_added
      or wrangler outbound_pending_subscription_added
      or wrangler inbound_pending_subscription_approved
      or wrangler outbound_pending_subscription_approved
      or wrangler inbound_subscription_cancelled
      or wrangler outbound_subscription_cancelled
      or wrangler auto_accepted_subscription_request
      or wrangler subscription_failed
      or wrangler pending_subscription_approval_failed
      or wrangler subscription_cancellation_failed
      or wrangler new_subscription_request_failed
    fired {
      raise wrangler event event:name.replace("subscription", "relationship") attributes event:attrs
    }
  }

  // --- The well-known channel ---

  rule need_wellKnown_Rx {
    select when wrangler ruleset_installed where event:attrs{"rids"} >< ctx:rid or engine started
    if not wellKnown_Rx() then
      noop()
    fired {
      raise wrangler event "need_wellKnown_Rx" attributes event:attrs
    }
  }

  rule make_wellKnown_Rx {
    select when wrangler need_wellKnown_Rx
    if not wellKnown_Rx() then
      ctx:newChannel(
        ["wellKnown_Rx", "Tx_Rx"],
        wellKnown_events,
        wellKnown_queries
      ) setting(channel)
    fired {
      ent:wellKnown := channel{"id"}
      raise wrangler event "wellKnown_Rx_created" attributes event:attrs
    }
  }

  // --- Proposing ---

  rule propose {
    select when wrangler subscription
    pre {
      id = event:attrs{"Id"}.defaultsTo(random:uuid())
      name = event:attrs{"name"}.defaultsTo(random:word())
      type = event:attrs{"channel_type"}.defaultsTo("Tx_Rx")
      tx = event:attrs{"wellKnown_Tx"}
      // Anybody may ask for a proposal on the well-known channel.
      is_trusted = event:eci != ent:wellKnown
      problem = proposal_problem(id)
    }
    if problem.isnull() then every {
      open_channel(name, type, is_trusted) setting(rx)
      watch(id)
    }
    fired {
      bus = given(pending(event:attrs, id).put({"wellKnown_Tx": tx, "Rx": rx}))
      names = {"channel_name": name, "channel_type": type}
      ent:minute := counted() if not is_trusted
      ent:outbound{id} := bus
      ent:notes{id} := given({
        "proposal": told(),
        "names": names,
        "has_policy": event:attrs{"eventPolicy"} || event:attrs{"queryPolicy"}
      })
      raise wrangler event "subscription_request_needed"
        attributes event:attrs.delete("_headers").put(bus).put(names)
      raise wrangler event "outbound_pending_subscription_added"
        attributes told().put(bus).put(names)
    } else {
      raise wrangler event is_text(tx) => "subscription_failed" | "wellKnown_Tx_format_failure"
        attributes because(problem)
    }
  }

  rule send_proposal {
    select when wrangler subscription_request_needed
    pre {
      attrs = event:attrs
      host = attrs{"Rx_host"}.defaultsTo(meta:host)
      theirs = given(
        attrs.put({
          "Rx_role": attrs{"Tx_role"},
          "Tx_role": attrs{"Rx_role"},
          "Tx": attrs{"Rx"},
          "Tx_host": host == "localhost" => null | host,
          "eventPolicy": attrs{"Tx_eventPolicy"},
          "queryPolicy": attrs{"Tx_queryPolicy"},
          "Tx_eventPolicy": null,
          "Tx_queryPolicy": null
        })
      )
    }
    tell(attrs{"wellKnown_Tx"}, far(attrs{"Tx_host"}), "new_subscription_request", theirs)
  }

  // There is no way to such a host. Where only too much waits, the next look proposes again.
  rule drop_proposal {
    select when wrangler subscription_request_needed_failed
      where event:attrs{"code"} != "outbox_full"
    pre {
      id = event:attrs{"Id"}
      attrs = {"Id": id, "reason": event:attrs{"reason"}, "code": event:attrs{"code"}}
    }
    if state_of(id) == "outbound" then
      noop()
    fired {
      raise wrangler event "outbound_removal"
        attributes attrs.put({"Rx": buses("outbound"){[id, "Rx"]}})
      raise wrangler event "subscription_failed" attributes attrs
    }
  }

  // --- Being proposed to ---

  // Sent again, or come twice: what was answered is answered again.
  rule answer_known_proposal {
    select when wrangler new_subscription_request where is_known()
    pre {
      id = event:attrs{"Id"}
      tx = event:attrs{"Tx"}
      answer = is_ended(id, tx) => "ended" | state_of(id)
      host = answer == "ended" => far(event:attrs{"Tx_host"}) | buses(answer){[id, "Tx_host"]}
    }
    choose answer {
      established => tell(tx, host, "outbound_pending_subscription_approved", {
        "Id": id,
        "Tx": buses("established"){[id, "Rx"]}
      })
      ended => tell(tx, host, "outbound_removal", {"Id": id})
    }
  }

  rule take_proposal {
    select when wrangler new_subscription_request where not is_known()
    pre {
      id = event:attrs{"Id"}.defaultsTo(random:uuid())
      tx = event:attrs{"Tx"}
      name = event:attrs{"channel_name"}.defaultsTo(random:word())
      type = event:attrs{"channel_type"}.defaultsTo("Tx_Rx")
      problem = request_problem()
    }
    if problem.isnull() then every {
      open_channel(name, type, false) setting(rx)
      watch(id)
    }
    fired {
      attrs = told().put({"Id": id, "Rx": rx})
      ent:minute := counted()
      ent:inbound{id} := given(pending(event:attrs, id).put({"Tx": tx, "Rx": rx}))
      ent:notes{id} := given({
        "has_policy": event:attrs{"eventPolicy"} || event:attrs{"queryPolicy"}
      })
      raise wrangler event "inbound_pending_subscription_added" attributes attrs
      raise wrangler event "pending_subscription_approval" attributes attrs if is_accepted()
      raise wrangler event "auto_accepted_subscription_request" attributes attrs if is_accepted()
    } else {
      raise wrangler event is_text(tx) => "new_subscription_request_failed" | "no_Tx_failure"
        attributes because(problem)
    }
  }

  // Another relationship has this Id; what is too much today may be proposed again.
  rule decline_taken_id {
    select when wrangler new_subscription_request where not is_known()
    pre {
      id = event:attrs{"Id"}
      tx = event:attrs{"Tx"}
      is_taken = [buses("established"), buses("inbound"), buses("outbound")].any(function(some) {
        is_text(id) && some >< id && some{[id, "Tx"]} != tx
      })
    }
    if is_text(tx) && is_taken && not is_too_much() then
      tell(tx, far(event:attrs{"Tx_host"}), "outbound_removal", {
        "Id": id,
        "reason": "there is another relationship with this `Id`"
      })
    fired {
      ent:minute := counted()
    }
  }

  // --- Accepting ---

  rule accept {
    select when wrangler pending_subscription_approval
    pre {
      bus = find("inbound")
      events = event:attrs{"eventPolicy"}
      queries = event:attrs{"queryPolicy"}
      attrs = told().put({"Id": bus{"Id"}})
      answer = attrs.put({"Tx": bus{"Rx"}})
    }
    if bus then every {
      tell(bus{"Tx"}, bus{"Tx_host"}, "outbound_pending_subscription_approved", answer)
      grant(bus{"Rx"}, events, queries)
    }
    fired {
      ent:notes{[bus{"Id"}, "has_policy"]} := true if events || queries
      raise wrangler event "inbound_pending_subscription_approved"
        attributes attrs.put({"bus": bus})
    } else {
      raise wrangler event "pending_subscription_approval_failed"
        attributes because("no such proposal waits for an answer")
    }
  }

  rule inbound_accepted {
    select when wrangler inbound_pending_subscription_approved
    pre {
      id = event:attrs{"Id"}
      bus = is_text(id) => buses("inbound"){id} | null
    }
    if bus then
      watch(id)
    fired {
      ent:established{id} := bus
      clear ent:inbound{id}
      raise wrangler event "subscription_added" attributes event:attrs
    }
  }

  // The other side's answer, over the channel that only it was told of.
  rule outbound_accepted {
    select when wrangler outbound_pending_subscription_approved
    pre {
      found = find("outbound")
      tx = event:attrs{"Tx"}
      id = found{"Id"}
      bus = found.put({"Tx": tx}).delete("wellKnown_Tx")
    }
    if found && is_from_a_side(found) && is_text(tx) then
      watch(id)
    fired {
      ent:established{id} := bus
      clear ent:outbound{id}
      clear ent:notes{[id, "proposal"]}
      raise wrangler event "subscription_added" attributes told().put({"Id": id, "bus": bus})
    }
  }

  // --- Ending: declined, withdrawn, removed ---

  rule decline {
    select when wrangler inbound_rejection
    pre {
      bus = find("inbound")
      id = bus{"Id"}
      attrs = told().put({"Id": id})
    }
    if bus then
      tell(bus{"Tx"}, bus{"Tx_host"}, "outbound_removal", attrs)
    fired {
      raise wrangler event "inbound_removal" attributes attrs.put({"Rx": bus{"Rx"}})
    } else {
      raise wrangler event "inbound_rejection_failed"
        attributes because("no such proposal waits for an answer")
    }
  }

  rule withdraw {
    select when wrangler outbound_cancellation
    pre {
      bus = find("outbound")
      attrs = told().put({"Id": bus{"Id"}})
      theirs = attrs.put({"Tx": bus{"Rx"}})
    }
    if bus then
      tell(bus{"wellKnown_Tx"}, bus{"Tx_host"}, "inbound_removal", theirs)
    fired {
      raise wrangler event "outbound_removal" attributes attrs.put({"Rx": bus{"Rx"}})
    } else {
      raise wrangler event "outbound_cancellation_failed"
        attributes because("no such proposal of this pico waits for an answer")
    }
  }

  rule remove {
    select when wrangler subscription_cancellation
    pre {
      bus = find("established")
      attrs = told().put({"Id": bus{"Id"}})
      theirs = attrs.put({"Rx": bus{"Tx"}, "Tx": bus{"Rx"}})
    }
    if bus then
      tell(bus{"Tx"}, bus{"Tx_host"}, "established_removal", theirs)
    fired {
      raise wrangler event "established_removal"
        attributes attrs.put({"Rx": bus{"Rx"}, "Tx": bus{"Tx"}})
    } else {
      raise wrangler event "subscription_cancellation_failed"
        attributes because("there is no such established relationship")
    }
  }

  // Either side's word ends the relationship in whatever state it is here: an acceptance may have
  // crossed a withdrawal.
  rule end {
    select when wrangler established_removal
      or wrangler inbound_removal
      or wrangler outbound_removal
    pre {
      found = find("established").defaultsTo(find("inbound")).defaultsTo(find("outbound"))
      id = found{"Id"}
      state = state_of(id)
      rest = ent:ended.defaultsTo({}).keys()
    }
    if found && is_from_a_side(found) then every {
      close_channel(found{"Rx"})
      schedule:remove(ent:notes{[id, "check"]})
    }
    fired {
      clear ent:established{id} if state == "established"
      clear ent:inbound{id} if state == "inbound"
      clear ent:outbound{id} if state == "outbound"
      clear ent:notes{id}
      clear ent:ended{rest.head()} if rest.length() >= ended_max
      ent:ended{id} := found{"Tx"} if found{"Tx"}
      raise wrangler event ended_as{state} attributes told().put({"Id": id, "bus": found})
    }
  }

  rule cancel_all {
    select when wrangler cancel_subscriptions or wrangler rulesets_need_to_cleanup
    pre {
      first = function(state) {
        buses(state).keys().filter(function(id, place) { place < cancelled_per_turn })
      }
      is_more = leave.keys().any(function(state) { buses(state).length() > cancelled_per_turn })
    }
    if is_more then
      event:send({"eci": ctx:picoId, "domain": "wrangler", "name": "cancel_subscriptions"})
    always {
      ent:is_leaving := true if event:name == "rulesets_need_to_cleanup"
      raise wrangler event "ruleset_needs_cleanup_period" attributes {
          "domain": ctx:rid
        } if event:name == "rulesets_need_to_cleanup"
      raise wrangler event "cancel_relationships"
        attributes told().put({
          "establishedIDs": first("established"),
          "inboundIDs": first("inbound"),
          "outboundIDs": first("outbound")
        })
      raise wrangler event "relationships_cancelled"
    }
  }

  rule cancel_established {
    select when wrangler cancel_relationships
    foreach event:attrs{"establishedIDs"} setting(id)
    fired {
      raise wrangler event "subscription_cancellation" attributes {"Id": id}
    }
  }

  rule cancel_inbound {
    select when wrangler cancel_relationships
    foreach event:attrs{"inboundIDs"} setting(id)
    fired {
      raise wrangler event "inbound_rejection" attributes {"Id": id}
    }
  }

  rule cancel_outbound {
    select when wrangler cancel_relationships
    foreach event:attrs{"outboundIDs"} setting(id)
    fired {
      raise wrangler event "outbound_cancellation" attributes {"Id": id}
    }
  }

  rule need_time_to_clean_up {
    select when wrangler ruleset_added where event:attrs{"rids"} >< ctx:rid
    fired {
      raise wrangler event "ruleset_needs_cleanup_period" attributes {"domain": ctx:rid}
    }
  }

  rule finish_cleanup {
    select when wrangler subscription_removed
      or wrangler inbound_subscription_cancelled
      or wrangler outbound_subscription_cancelled
      or wrangler relationships_cancelled
    pre {
      is_done = leave.keys().all(function(state) { buses(state).length() == 0 })
    }
    if ent:is_leaving && is_done then
      noop()
    fired {
      clear ent:is_leaving
      raise wrangler event "cleanup_finished" attributes {"domain": ctx:rid}
    }
  }

  rule leave_relationship_and_life {
    select when wrangler intent_to_delete
    pre {
      bus = find("established")
    }
    if event:attrs{"Id"} && bus then
      noop()
    fired {
      raise wrangler event "subscription_cancellation" attributes told()
      raise wrangler event "ready_for_deletion"
    } else {
      raise wrangler event "intent_to_delete_failed"
        attributes because("there is no established relationship with this `Id`")
    }
  }

  // --- Using relationships ---

  rule choose_receivers {
    select when wrangler send_event_on_subs
    pre {
      attrs = event:attrs
      is_meant = function(bus) {
        id = attrs{"subID"}
        tx_role = attrs{"Tx_role"}
        rx_role = attrs{"Rx_role"}
        id && bus{"Id"} == id
          || tx_role && bus{"Tx_role"} == tx_role
          || rx_role && bus{"Rx_role"} == rx_role
      }
      subs = established().filter(is_meant)
      has_event = is_text(attrs{"domain"}) && is_text(attrs{"type"})
    }
    if has_event && subs.length() > 0 then
      noop()
    fired {
      raise wrangler event "send_event_to_subs" attributes told().put({"subs": subs})
    } else {
      raise wrangler event "failed_to_send_event_to_sub"
        attributes because("`domain`, `type`, and an established relationship are needed").put({
          "foundSubsToSendTo": subs.length() > 0,
          "domainGiven": is_text(attrs{"domain"}),
          "typeGiven": is_text(attrs{"type"})
        })
    }
  }

  rule send_event_to_subs {
    select when wrangler send_event_to_subs
    foreach event:attrs{"subs"} setting(bus)
    event:send(
      {
        "eci": bus{"Tx"},
        "domain": event:attrs{"domain"},
        "name": event:attrs{"type"},
        "attrs": event:attrs{"attrs"}
      },
      bus{"Tx_host"}
    )
  }

  // --- Settings ---

  rule set_auto_accept {
    select when wrangler autoAcceptConfigUpdate
    pre {
      config = wanted_config()
      name = config{"configName"}
      password = config{"password"}
      salt = random:uuid()
      problem = config_problem(config)
      is_gone = problem.isnull() && event:attrs{"delete"}
      is_new = problem.isnull() && not event:attrs{"delete"}
      // A pattern that cannot be read is found now.
      _tried = is_new => config{"entries"}.map(function(patterns) {
        patterns.map(function(pattern) { "".match(pattern) })
      })
        | null
    }
    if problem.isnull() then
      noop()
    fired {
      clear ent:autoAccept{name} if is_gone
      ent:autoAccept{name} := given({
        "configName": name,
        "entries": config{"entries"},
        "salt": password => salt | null,
        "secret": password => secret(salt, password) | null
      }) if is_new
      raise wrangler event "auto_accept_config_updated" attributes told().delete("config")
    } else {
      raise wrangler event "autoAcceptConfigUpdate_failure" attributes because(problem)
    }
  }

  rule set_settings {
    select when wrangler relationship_settings
    pre {
      wanted = event:attrs
        .filter(function(value, key) { default_settings >< key })
        .map(function(value) { value.as("Number") })
      is_good = wanted.length() > 0
        && wanted.all(function(value) { value.typeof() == "Number" && value > 0 })
    }
    if is_good then
      noop()
    fired {
      ent:settings := ent:settings.defaultsTo({}).put(wanted)
      raise wrangler event "relationship_settings_changed" attributes relationshipSettings()
    } else {
      raise wrangler event "relationship_settings_failed"
        attributes because("settings are numbers above 0: " + default_settings.keys().join(", "))
    }
  }

  // What other picos may do follows the rulesets, where nothing else was agreed.
  rule follow_rulesets {
    select when wrangler ruleset_installed
      or wrangler ruleset_uninstalled
      or wrangler rulesets_flushed
    foreach followers() setting(rx)
    ctx:putChannel(rx, null, event_policy(), query_policy())
  }

  // Also those that were installed without an event.
  rule follow_rulesets_late {
    select when wrangler relationship_check
    pre {
      id = event:attrs{"Id"}
      rx = buses(state_of(id)){[id, "Rx"]}
      channel = ctx:channels.filter(function(one) { one{"id"} == rx }).head()
      events = event_policy()
      queries = query_policy()
      is_old = channel{"eventPolicy"} != events || channel{"queryPolicy"} != queries
    }
    if channel && is_old && not ent:notes{[id, "has_policy"]} then
      ctx:putChannel(rx, null, events, queries)
  }

  // --- The digest: both sides compare what they have, soon after each change, then rarely ---

  rule begin_to_watch {
    select when wrangler relationship_watch
    pre {
      id = event:attrs{"Id"}
      seconds = relationshipSettings(){"check_seconds"}
    }
    if state_of(id) then
      schedule:remove(ent:notes{[id, "check"]})
    fired {
      schedule wrangler event "relationship_check"
        at in_seconds(seconds)
        attributes {"Id": id, "seconds": seconds}
        setting(job)
      ent:notes{[id, "check"]} := job{"id"}
    }
  }

  // Alone in its rule, so that no failure below ends the watch.
  rule keep_watch {
    select when wrangler relationship_check
    pre {
      id = event:attrs{"Id"}
      grown = event:attrs{"seconds"} * check_growth
      bound = relationshipSettings(){"check_seconds_max"}
      seconds = grown < bound => grown | bound
    }
    if state_of(id) then
      noop()
    fired {
      schedule wrangler event "relationship_check"
        at in_seconds(seconds)
        attributes {"Id": id, "seconds": seconds}
        setting(job)
      ent:notes{[id, "check"]} := job{"id"}
    }
  }

  rule check_own_channel {
    select when wrangler relationship_check or wrangler channel_deleted
    pre {
      rx = event:attrs{"eci"}
      id = event:attrs{"Id"}
      state = id => state_of(id)
        | leave.keys().filter(function(state) { rx && listed(state, "Rx", rx).length() > 0 }).head()
      bus = id => buses(state){id} | listed(state, "Rx", rx).head()
    }
    if state && not has_channel(bus{"Rx"}) then
      noop()
    fired {
      raise wrangler event leave{state} attributes {
          "Id": bus{"Id"},
          "reason": "the channel of this side was deleted"
        }
    }
  }

  rule ask_other_side {
    select when wrangler relationship_check
    pre {
      id = event:attrs{"Id"}
      state = state_of(id)
      bus = buses(state){id}
      to = state == "outbound" => bus{"wellKnown_Tx"} | bus{"Tx"}
      unanswered = ent:notes{[id, "unanswered"]}
    }
    if state then
      tell(
        to,
        bus{"Tx_host"},
        "relationship_digest",
        given(digest(bus, state, bus{"Tx"}).put({"is_question": true}))
      )
    fired {
      // Engines of other makers never answer, and are not counted.
      ent:notes{[id, "unanswered"]} := unanswered + 1 if not unanswered.isnull()
      raise wrangler event leave{state} attributes {
          "Id": id,
          "reason": "the other side does not answer any more"
        } if unanswered >= unanswered_max
    }
  }

  rule hear_other_side {
    select when wrangler relationship_digest
    pre {
      id = event:attrs{"Id"}
      bus = buses(state_of(id)){id}
    }
    if bus && is_from_a_side(bus) then
      noop()
    fired {
      ent:notes{[id, "unanswered"]} := 0
    }
  }

  rule answer_digest {
    select when wrangler relationship_digest where event:attrs{"is_question"}
    pre {
      its = event:attrs{"state"}
      tx = event:attrs{"Tx"}
      mine = state_of(event:attrs{"Id"})
      bus = buses(mine){event:attrs{"Id"}}
      answer = digest(bus, next_state(mine, its), tx).put({"seen": its})
    }
    if mine && is_text(tx) && is_from_a_side(bus) then
      tell(bus{"Tx"}.defaultsTo(tx), bus{"Tx_host"}, "relationship_digest", answer)
  }

  // The proposal was lost, or what ended it.
  rule answer_digest_of_unknown {
    select when wrangler relationship_digest where event:attrs{"is_question"}
    pre {
      id = event:attrs{"Id"}
      tx = event:attrs{"Tx"}
      host = event:attrs{"Tx_host"}
      state = is_ended(id, tx) => "ended" | "none"
      answer = {"Id": id, "state": state, "Rx": tx, "seen": event:attrs{"state"}}
      is_asked = is_text(id) && is_text(tx) && is_text_or_null(host)
    }
    if is_asked && state_of(id).isnull() && not is_too_much() then
      tell(tx, far(host), "relationship_digest", answer)
    fired {
      ent:minute := counted()
    }
  }

  // What the other side answered holds only for the state that it had seen.
  rule repair {
    select when wrangler relationship_digest
    pre {
      id = event:attrs{"Id"}
      its = event:attrs{"state"}
      mine = state_of(id)
      bus = buses(mine){id}
      is_seen = event:attrs{"seen"} == mine
      is_lost = is_seen && (its == "none" || its == "ended")
      again = ent:notes{[id, "proposal"]}
      change = mine == "outbound" && its == "established" => "accept"
        | mine == "outbound" && is_lost && its == "none" && again => "propose"
        | mine == "established" && is_seen && its == "inbound" => "leave"
        | is_lost => "end"
        | null
    }
    if mine && change && is_from_a_side(bus) then
      noop()
    fired {
      raise wrangler event "outbound_pending_subscription_approved" attributes {
          "Id": id,
          "Rx": bus{"Rx"},
          "Tx": event:attrs{"Tx"}
        } if change == "accept"
      raise wrangler event "subscription_request_needed"
        attributes again.put(bus).put(ent:notes{[id, "names"]}) if change == "propose"
      raise wrangler event "relationship_repaired" attributes {
          "Id": id,
          "bus": bus,
          "reason": "the " + change + " was lost"
        } if change == "accept" || change == "propose"
      raise wrangler event leave{mine} attributes {
          "Id": id,
          "reason": "the other side has not accepted it"
        } if change == "leave"
      raise wrangler event removal{mine} attributes {
          "Id": id,
          "Rx": bus{"Rx"},
          "reason": "the other side has ended it"
        } if change == "end"
    }
  }

  // Who is no more, or was not reached for days, is no other side any more.
  rule lose_other_side {
    select when system undeliverable where event:attrs{"code"}.match(re#^(R1001|R1005|R5003)$#)
    pre {
      eci = event:attrs{"eci"}
      state = ["established", "inbound"]
        .filter(function(state) { listed(state, "Tx", eci).length() > 0 })
        .head()
      bus = listed(state, "Tx", eci).head()
    }
    if state then
      noop()
    fired {
      raise wrangler event removal{state} attributes {
          "Id": bus{"Id"},
          "Rx": bus{"Rx"},
          "reason": event:attrs{"msg"}
        }
    }
  }

  rule lose_proposal {
    select when system undeliverable where event:attrs{"domain"} == "wrangler"
    pre {
      is_gone = event:attrs{"code"}.match(re#^(R1001|R1005|R5003)$#)
      is_proposal = event:attrs{"name"} == "new_subscription_request"
      id = event:attrs{["attrs", "Id"]}
      bus = is_text(id) => buses("outbound"){id} | null
      is_meant = bus && bus{"wellKnown_Tx"} == event:attrs{"eci"}
      reason = {"reason": event:attrs{"msg"}, "code": event:attrs{"code"}}
    }
    if is_meant && (is_proposal || is_gone) then
      noop()
    fired {
      raise wrangler event "outbound_removal" attributes {"Id": id, "Rx": bus{"Rx"}}.put(reason)
      raise wrangler event "subscription_failed" attributes {"Id": id, "bus": bus}.put(reason)
    }
  }
}
