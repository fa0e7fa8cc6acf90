// On every pico of a stage: writes down what it is told about relationships, and chats.
ruleset test.witness {
  meta {
    shares seen, hellos, lost, channels, greeting
  }

  global {
    silent = [
      "relationship_watch",
      "relationship_check",
      "relationship_digest",
      "subscription_request_needed",
      "relationships_cancelled"
    ]

    is_seen = function(domain, name) { domain == "wrangler" && not (silent >< name) }

    seen = function(from) {
      all = ent:seen.defaultsTo([])
      all.filter(function(one, place) { place >= from.defaultsTo(0) })
    }

    hellos = function() { ent:hellos.defaultsTo([]) }

    lost = function() { ent:lost.defaultsTo([]) }

    channels = function() { ctx:channels }

    greeting = function() { "hello" }
  }

  rule born {
    select when family born
    every {
      ctx:newChannel(["open"]) setting(open)
      event:send({
        "eci": ctx:parent,
        "domain": "family",
        "name": "ready",
        "attrs": {"name": event:attrs{"name"}, "eci": open{"id"}}
      })
    }
  }

  rule see {
    select where is_seen(event:domain, event:name)
    fired {
      ent:seen := ent:seen.defaultsTo([]).append({"name": event:name, "attrs": event:attrs})
    }
  }

  rule hear {
    select when chat hello
    fired {
      ent:hellos := ent:hellos.defaultsTo([]).append(event:attrs{"text"})
    }
  }

  rule say {
    select when witness say
    event:send({"sub": event:attrs{"bus"}, "domain": "chat", "name": event:attrs{"name"}})
  }

  rule lose {
    select when system undeliverable
    fired {
      ent:lost := ent:lost.defaultsTo([]).append(event:attrs{"name"})
    }
  }

  // By the name that the proposal gave it.
  rule lose_side {
    select when witness lose_side
    foreach ctx:channels.filter(function(one) { one{"tags"} >< event:attrs{"name"} })
      setting(channel)
    ctx:delChannel(channel{"id"})
  }

  rule delete_channel {
    select when witness delete_channel
    ctx:delChannel(event:attrs{"eci"})
  }
}
