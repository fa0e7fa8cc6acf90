// Counts every number it is told, and passes each on to a neighbour in the same turn.
ruleset kills.cell {
  meta {
    name "Cell"
    shares counts
  }

  global {
    counts = function() { {"seen": ent:seen.defaultsTo({}), "passed": ent:passed.defaultsTo({})} }

    events = {"allow": [{"domain": "kills", "name": "*"}], "deny": []}
    queries = {"allow": [{"rid": "kills.cell", "name": "counts"}], "deny": []}
  }

  rule made {
    select when kills made
    every {
      ctx:newChannel(["cell"], events, queries) setting(door)
      event:send({
        "eci": ctx:parent,
        "domain": "kills",
        "name": "ready",
        "attrs": {"number": event:attrs{"number"}, "eci": door{"id"}}
      })
    }
  }

  rule count {
    select when kills count
    pre {
      n = event:attrs{"n"}
    }
    event:send({"eci": event:attrs{"next"}, "domain": "kills", "name": "passed", "attrs": {"n": n}})
    fired {
      ent:seen{n} := ent:seen{n}.defaultsTo(0) + 1
    }
  }

  rule passed {
    select when kills passed
    pre {
      n = event:attrs{"n"}
    }
    fired {
      ent:passed{n} := ent:passed{n}.defaultsTo(0) + 1
    }
  }
}
