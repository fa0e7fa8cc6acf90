ruleset bench.entries {
  meta {
    name "entries: one entry of a stored map is changed by each event"
    shares n, one
  }
  global {
    n = function() { ent:n }
    one = function(key) { ent:map{key} }
  }
  rule fill {
    select when entries fill
    fired {
      ent:map := event:attrs{"map"}
    }
  }
  rule set {
    select when entries set
    fired {
      ent:n := ent:n.defaultsTo(0) + 1;
      ent:map{event:attrs{"key"}} := {"id": ent:n, "name": "changed", "on": false}
    }
  }
}
