ruleset bench.lap {
  meta {
    name "Passes an event on round a ring, and counts the laps that have ended here"
    shares ended
  }
  global {
    ended = function() { ent:ended.defaultsTo(0) }
  }
  rule link {
    select when lap link
    fired {
      ent:next := event:attrs{"next"}
    }
  }
  rule hop {
    select when lap hop
    pre {
      left = event:attrs{"left"}
    }
    if left > 1 then
      event:send({"eci": ent:next, "domain": "lap", "type": "hop", "attrs": {"left": left - 1}})
    notfired {
      ent:ended := ent:ended.defaultsTo(0) + 1
    }
  }
}
