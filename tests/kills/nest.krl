// Makes cells, and knows their channels.
ruleset kills.nest {
  meta {
    name "Nest"
    shares cells
  }

  global {
    cells = function() { ent:cells.defaultsTo({}) }
  }

  rule make {
    select when kills make
    foreach event:attrs{"numbers"} setting(number)
    every {
      ctx:newPico([{"url": "kills:cell"}]) setting(cell)
      event:send({"eci": cell, "domain": "kills", "name": "made", "attrs": {"number": number}})
    }
  }

  rule ready {
    select when kills ready
    fired {
      ent:cells{event:attrs{"number"}} := event:attrs{"eci"}
    }
  }
}
