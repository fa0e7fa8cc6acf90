ruleset talk {
  meta { shares heard, given_back, last }
  global {
    heard = function() { ent:heard.defaultsTo([]) }
    given_back = function() { ent:back.defaultsTo([]) }
    last = function() { ent:last }
  }
  rule say {
    select when talk say
    foreach event:attrs{"notes"} setting(note)
    event:send({
      "eci": event:attrs{"eci"}, "domain": event:attrs{"domain"}.defaultsTo("talk"),
      "name": "hear", "attrs": {"note": note}.put(event:attrs{"more"}.defaultsTo({}))
    }, event:attrs{"host"})
  }
  rule hear {
    select when talk hear
    always {
      ent:heard := heard().append(event:attrs{"note"})
      ent:last := event:attrs
    }
  }
  rule fail {
    select when broken hear
    pre {
      never = event:attrs{"note"}.range("no number")
    }
    send_directive("never", {"never": never})
  }
  rule narrow {
    select when talk narrow
    every {
    ctx:newChannel(["narrow"], {"allow": [{"domain": "talk", "name": "hear"}], "deny": []},
      {"allow": [], "deny": []}) setting(made)
    send_directive("made", {"eci": made{"id"}})
    }
  }
  rule came_back {
    select when system undeliverable
    always { ent:back := given_back().append(event:attrs) }
  }
}
