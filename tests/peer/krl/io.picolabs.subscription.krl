// Relationships as the Node engine keeps them, in as few lines as the six sequences of engine
// reference 6.8 need: the other side for ours, which does more. Lists of bundles; whatever comes is
// believed; no sign of anything that the reference does not know.
ruleset io.picolabs.subscription {
  meta {
    shares established, inbound, outbound, wellKnown_Rx, told
  }

  global {
    open = {"allow": [{"domain": "*", "name": "*"}], "deny": []}
    open_queries = {"allow": [{"rid": "*", "name": "*"}], "deny": []}
    wellKnown_events = {
      "allow": [
        {"domain": "wrangler", "name": "subscription"},
        {"domain": "wrangler", "name": "new_subscription_request"},
        {"domain": "wrangler", "name": "inbound_removal"}
      ],
      "deny": []
    }
    wellKnown_queries = {
      "allow": [{"rid": "io.picolabs.subscription", "name": "wellKnown_Rx"}],
      "deny": []
    }

    established = function() { ent:established.defaultsTo([]) }
    inbound = function() { ent:inbound.defaultsTo([]) }
    outbound = function() { ent:outbound.defaultsTo([]) }
    told = function() { ent:told.defaultsTo([]) }

    wellKnown_Rx = function() {
      ctx:channels.filter(function(c) { c{"tags"} == ["wellknown_rx", "tx_rx"] }).head()
    }

    find = function(buses) {
      id = event:attrs{"Id"}
      rx = event:attrs{"Rx"}
      tx = event:attrs{"Tx"}
      id => buses.filter(function(bus) { bus{"Id"} == id }).head()
        | rx => buses.filter(function(bus) { bus{"Rx"} == rx }).head()
        | tx => buses.filter(function(bus) { bus{"Tx"} == tx }).head()
        | buses.filter(function(bus) { bus{"Rx"} == event:eci }).head()
    }

    without = function(buses, bus) {
      buses.filter(function(other) { other{"Id"} != bus{"Id"} })
    }

    pending = function() {
      attrs = event:attrs
      host = attrs{"Tx_host"}
      roles = attrs{"Rx_role"} => {"Rx_role": attrs{"Rx_role"}, "Tx_role": attrs{"Tx_role"}} | {}
      placed = host && host != meta:host => roles.put("Tx_host", host) | roles
      placed.put("Id", attrs{"Id"}.defaultsTo(random:uuid()))
    }
  }

  rule well_known {
    select when wrangler need_wellKnown_Rx
    if wellKnown_Rx().isnull() then
      ctx:newChannel(["wellKnown_Rx", "Tx_Rx"], wellKnown_events, wellKnown_queries)
  }

  rule tell {
    select when wrangler subscription_added
      or wrangler subscription_removed
      or wrangler inbound_pending_subscription_added
      or wrangler outbound_pending_subscription_added
      or wrangler inbound_subscription_cancelled
      or wrangler outbound_subscription_cancelled
    always {
      ent:told := told().append(event:name)
    }
  }

  // --- Propose ---

  rule propose {
    select when wrangler subscription
    pre {
      name = event:attrs{"name"}.defaultsTo("unnamed")
      type = event:attrs{"channel_type"}.defaultsTo("Tx_Rx")
      bus = pending().put("wellKnown_Tx", event:attrs{"wellKnown_Tx"})
    }
    ctx:newChannel([name, type], open, open_queries) setting(channel)
    always {
      made = bus.put("Rx", channel{"id"})
      ent:outbound := outbound().append([made])
      all = event:attrs.put(made).put({"channel_name": name, "channel_type": type})
      raise wrangler event "subscription_request_needed" attributes all
      raise wrangler event "outbound_pending_subscription_added" attributes all
    }
  }

  rule request {
    select when wrangler subscription_request_needed
    event:send(
      {
        "eci": event:attrs{"wellKnown_Tx"},
        "domain": "wrangler",
        "type": "new_subscription_request",
        "attrs": event:attrs.put({
          "Rx_role": event:attrs{"Tx_role"},
          "Tx_role": event:attrs{"Rx_role"},
          "Tx": event:attrs{"Rx"},
          "Tx_host": meta:host
        })
      },
      event:attrs{"Tx_host"}
    )
  }

  rule receive {
    select when wrangler new_subscription_request
    pre {
      tags = [event:attrs{"channel_name"}, event:attrs{"channel_type"}]
      bus = pending().put("Tx", event:attrs{"Tx"})
    }
    ctx:newChannel(tags, open, open_queries) setting(channel)
    always {
      ent:inbound := inbound().append([bus.put("Rx", channel{"id"})])
      raise wrangler event "inbound_pending_subscription_added"
        attributes event:attrs.put("Rx", channel{"id"})
    }
  }

  // --- Accept ---

  rule accept {
    select when wrangler pending_subscription_approval
    pre {
      bus = find(inbound())
    }
    event:send(
      {
        "eci": bus{"Tx"},
        "domain": "wrangler",
        "type": "outbound_pending_subscription_approved",
        "attrs": event:attrs.put({"Id": bus{"Id"}, "Tx": bus{"Rx"}})
      },
      bus{"Tx_host"}
    )
    always {
      ent:inbound := without(inbound(), bus)
      ent:established := established().append([bus])
      raise wrangler event "subscription_added" attributes event:attrs.put("Id", bus{"Id"})
    }
  }

  rule accepted {
    select when wrangler outbound_pending_subscription_approved
    pre {
      bus = outbound().filter(function(one) { one{"Id"} == event:attrs{"Id"} }).head()
      full = bus.put("Tx", event:attrs{"Tx"}).delete("wellKnown_Tx")
    }
    if bus then
      noop()
    fired {
      ent:outbound := without(outbound(), bus)
      ent:established := established().append([full])
      raise wrangler event "subscription_added" attributes event:attrs.put("bus", full)
    }
  }

  // --- Decline, withdraw, remove ---

  rule decline {
    select when wrangler inbound_rejection
    pre {
      bus = find(inbound())
      attrs = event:attrs.put("Id", bus{"Id"})
    }
    event:send(
      {"eci": bus{"Tx"}, "domain": "wrangler", "type": "outbound_removal", "attrs": attrs},
      bus{"Tx_host"}
    )
    always {
      raise wrangler event "inbound_removal" attributes attrs
    }
  }

  rule withdraw {
    select when wrangler outbound_cancellation
    pre {
      bus = find(outbound())
      attrs = event:attrs.put("Id", bus{"Id"})
    }
    event:send(
      {
        "eci": bus{"wellKnown_Tx"},
        "domain": "wrangler",
        "type": "inbound_removal",
        "attrs": attrs.put("Tx", bus{"Rx"})
      },
      bus{"Tx_host"}
    )
    always {
      raise wrangler event "outbound_removal" attributes attrs
    }
  }

  rule remove {
    select when wrangler subscription_cancellation
    pre {
      bus = find(established())
    }
    event:send(
      {
        "eci": bus{"Tx"},
        "domain": "wrangler",
        "type": "established_removal",
        "attrs": event:attrs.put({"Rx": bus{"Tx"}, "Tx": bus{"Rx"}, "Id": bus{"Id"}})
      },
      bus{"Tx_host"}
    )
    always {
      raise wrangler event "established_removal" attributes event:attrs.put("Id", bus{"Id"})
    }
  }

  rule inbound_gone {
    select when wrangler inbound_removal
    pre {
      bus = find(inbound())
    }
    if bus then
      ctx:delChannel(bus{"Rx"})
    fired {
      ent:inbound := without(inbound(), bus)
      raise wrangler event "inbound_subscription_cancelled" attributes {"bus": bus}
    }
  }

  rule outbound_gone {
    select when wrangler outbound_removal
    pre {
      bus = find(outbound())
    }
    if bus then
      ctx:delChannel(bus{"Rx"})
    fired {
      ent:outbound := without(outbound(), bus)
      raise wrangler event "outbound_subscription_cancelled" attributes {"bus": bus}
    }
  }

  rule established_gone {
    select when wrangler established_removal
    pre {
      bus = find(established())
    }
    if bus then
      ctx:delChannel(bus{"Rx"})
    fired {
      ent:established := without(established(), bus)
      raise wrangler event "subscription_removed" attributes {"bus": bus}
    }
  }

  // --- Accept by itself ---

  rule auto_accept_config {
    select when wrangler autoAcceptConfigUpdate
    always {
      ent:entries := event:attrs{["config", "entries"]}
    }
  }

  rule auto_accept {
    select when wrangler inbound_pending_subscription_added
    pre {
      fits = ent:entries.defaultsTo({}).filter(function(patterns, key) {
        patterns.any(function(p) { event:attrs{key}.as("String").match(p.as("RegExp")) })
      })
    }
    if fits.keys().length() > 0 then
      noop()
    fired {
      raise wrangler event "pending_subscription_approval" attributes event:attrs
    }
  }
}
