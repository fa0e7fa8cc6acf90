// A child: what it can reach is what it was given. Nothing else of the engine exists for it.
ruleset example.member {
  meta {
    name "Member"
    description <<Knows its parent, what it was endowed with, and whom it was introduced to.>>
    shares friend_eci, heard
  }

  global {
    // The channel for friends; its policy is in member.picotype.json.
    friend_eci = function() {
      ctx:channels.filter(function(channel) { channel{"tags"} == ["friends"] }).head(){"id"}
    }

    heard = function() { ent:heard.defaultsTo([]) }
  }

  rule born {
    select when family born
    every {
      // Childhood: every child has a channel to its parent from the beginning.
      event:send({
        "eci": ctx:parent,
        "domain": "family",
        "name": "news",
        "attrs": {"text": <<#{event:attrs{"name"}} is born>>}
      })
      // Endowment: this one the parent gave it. It can be passed on; the family channel cannot.
      event:send({
        "eci": event:attrs{"news"},
        "domain": "family",
        "name": "news",
        "attrs": {"text": <<#{event:attrs{"name"}} is well>>}
      })
    }
    fired {
      ent:name := event:attrs{"name"}
    }
  }

  rule meet {
    select when family introduced
    fired {
      ent:friends{[event:attrs{"name"}]} := event:attrs{"eci"}
    }
  }

  // Only to whom it was introduced can it talk.
  rule talk {
    select when family talk
    pre {
      friend = ent:friends{[event:attrs{"to"}]}
    }
    if friend then
      event:send({
        "eci": friend,
        "domain": "family",
        "name": "hello",
        "attrs": {"text": <<#{ent:name}: #{event:attrs{"text"}}>>}
      })
  }

  rule hear {
    select when family hello
    fired {
      ent:heard := heard().append(event:attrs{"text"})
    }
  }
}
