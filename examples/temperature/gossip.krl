// A sensor that no other pico stands above: it knows whether it is too hot where it is, tells some
// peers, hears from them what they know, and so comes to know how many sensors are too hot now.
// Nothing has to arrive, and nothing has to arrive once or in order: see README.md.
ruleset example.gossip {
  meta {
    name "Gossiping sensor"
    description <<Counts the current violations of all sensors together with its peers.>>
    use module io.picolabs.subscription alias relationships
    shares summary, known, merge
  }

  global {
    // When it talks to one of its peers: every second. Fields are those of cron, seconds first.
    talking_times = "* * * * * *"

    // Peers may tell what they know, and the community who is there: nothing else.
    peer_events = {"allow": [{"domain": "gossip", "name": "state"}], "deny": []}
    community_events = {"allow": [{"domain": "gossip", "name": "introduced"}], "deny": []}
    no_queries = {"allow": [], "deny": []}

    // --- What is known: sensor -> its last reading, as {time, is_hot}. Keys are ids of picos ---

    // The same value for all sensors, as soon as the news has gone round.
    known = function() { ent:known.defaultsTo({}) }

    // Of two entries of one sensor the later one counts. Times such as "2010/07/14 15:00" compare
    // as texts; of two readings of one time the hot one counts, whichever came first.
    is_later = function(one, other) {
      order = one{"time"} cmp other{"time"}
      other.isnull() || order > 0 || order == 0 && one{"is_hot"} && not other{"is_hot"}
    }

    // What is in `some` that `others` does not know yet.
    news = function(some, others) {
      some.filter(function(entry, sensor) { is_later(entry, others{[sensor]}) })
    }

    // Whatever the order, and however often: the later entry of each sensor remains.
    merge = function(some, others) { some.put(news(others, some)) }

    is_entry = function(entry) {
      entry.typeof() == "Map"
        && entry{"time"}.typeof() == "String"
        && entry{"is_hot"}.typeof() == "Boolean"
    }

    is_state = function(state) { state.typeof() == "Map" && state.values().all(is_entry) }

    // --- What is asked ---

    violations = function() {
      known().values().filter(function(entry) { entry{"is_hot"} }).length()
    }

    summary = function() {
      {
        "sensor": ent:name,
        "threshold": ent:threshold,
        "sensors": known().length(),
        "violations": violations(),
        "peers": peers().length(),
        "lost": ent:lost.defaultsTo(0)
      }
    }

    // --- Other picos ---

    peers = function() { relationships:established("Tx_role", "peer") }

    peer_on = function(eci) { peers().filter(function(bus) { bus{"Rx"} == eci }).head() }

    channel_tagged = function(tag) {
      ctx:channels.filter(function(channel) { channel{"tags"} == [tag] }).head(){"id"}
    }

    tell = defaction(bus, state, is_question) {
      event:send({
        "sub": bus,
        "domain": "gossip",
        "name": "state",
        "attrs": {"state": state, "is_question": is_question}
      })
    }
  }

  // --- Joining ---

  // `community` is the channel on which the community takes proposals.
  rule be_born {
    select when wrangler pico_initialized
    fired {
      ent:name := event:attrs{"name"}
      ent:threshold := event:attrs{"threshold"}
      ent:community := event:attrs{"community"}
      schedule gossip event "time_to_talk" repeat talking_times
    }
  }

  // Relationships can be made from now on.
  rule join {
    select when wrangler wellKnown_Rx_created
    fired {
      raise wrangler event "subscription" attributes {
          "wellKnown_Tx": ent:community,
          "Rx_role": "sensor",
          "Tx_role": "community",
          "name": ent:name,
          "eventPolicy": community_events,
          "queryPolicy": no_queries
        }
    }
  }

  rule tell_community {
    select when wrangler subscription_added where event:attrs{["bus", "Tx_role"]} == "community"
    event:send({
      "sub": event:attrs{"bus"},
      "domain": "community",
      "name": "joined",
      "attrs": {
        "name": ent:name,
        "door": relationships:wellKnown_Rx(){"id"},
        "eci": channel_tagged("readings")
      }
    })
  }

  // The community knows somebody: one introduction, and it is needed no more.
  rule meet {
    select when gossip introduced door re#(.+)# setting(door)
    fired {
      raise wrangler event "subscription" attributes {
          "wellKnown_Tx": door,
          "Tx_host": event:attrs{"host"},
          "Rx_role": "peer",
          "Tx_role": "peer",
          "name": ent:name,
          "eventPolicy": peer_events,
          "queryPolicy": no_queries
        }
    }
  }

  rule accept_peer {
    select when wrangler inbound_pending_subscription_added where event:attrs{"Rx_role"} == "peer"
    fired {
      raise wrangler event "pending_subscription_approval" attributes {
          "Id": event:attrs{"Id"},
          "eventPolicy": peer_events,
          "queryPolicy": no_queries
        }
    }
  }

  // --- Readings ---

  // Only this sensor makes entries of its own; a reading that comes late or twice changes nothing.
  rule take_reading {
    select when sensor reading
      time re#(.+)#
      temperature re#^(-?\d+(?:\.\d+)?)$#
      setting(time, temperature)
    pre {
      entry = {"time": time, "is_hot": temperature.as("Number") > ent:threshold}
    }
    fired {
      ent:known := merge(known(), {}.put([ctx:picoId], entry))
    }
  }

  // --- Gossip ---

  rule talk {
    select when gossip time_to_talk
    pre {
      all = peers()
      bus = all[random:integer(all.length() - 1)]
    }
    if bus then
      tell(bus, known(), true)
  }

  // To try what loss does: so much of what is said to this sensor it does not hear.
  rule be_hard_of_hearing {
    select when gossip loss
    fired {
      ent:loss := event:attrs{"part"}
    }
  }

  rule hear {
    select when gossip state where is_state(event:attrs{"state"})
    if random:number(1) >= ent:loss.defaultsTo(0) then
      noop()
    fired {
      raise gossip event "heard" attributes event:attrs
    } else {
      ent:lost := ent:lost.defaultsTo(0) + 1
    }
  }

  rule learn {
    select when gossip heard
    fired {
      ent:known := merge(known(), event:attrs{"state"})
    }
  }

  // Who asks is told what it does not know, if there is anything.
  rule answer {
    select when gossip heard where event:attrs{"is_question"}
    pre {
      bus = peer_on(event:eci)
      answer = news(known(), event:attrs{"state"})
    }
    if bus && answer.length() > 0 then
      tell(bus, answer, false)
  }
}
