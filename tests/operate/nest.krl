ruleset nest {
  meta {
    configure using colour = "grey"
    shares door, values, fired
  }
  global {
    door = function(name) {
      ent:doors{name}
    }
    values = function() {
      {"large": ent:large, "list": ent:list, "odd": ent:odd, "colour": colour}
    }
    fired = function() {
      ent:fired
    }
    tags = ["door"]
    policy = {"allow": [{"domain": "nest", "name": "*"}], "deny": []}
    questions = {"allow": [{"rid": "*", "name": "*"}], "deny": []}
  }
  rule grow {
    select when nest grow name re#(.+)# setting(name)
    pre {
      rulesets = [{"url": "test:nest", "config": {"colour": name}}]
    }
    every {
      ctx:newPico(rulesets) setting(eci)
      event:send({"eci": eci, "domain": "nest", "type": "open", "attrs": {"name": name}})
    }
    fired {
      ent:grown := ent:grown.defaultsTo([]).append(name)
    }
  }
  rule open {
    select when nest open
    every {
      ctx:newChannel(tags, policy, questions) setting(channel)
      event:send({"eci": ctx:parent, "domain": "nest", "type": "told",
        "attrs": {"name": event:attrs{"name"}, "eci": channel{"id"}}})
    }
  }
  rule told {
    select when nest told
    noop()
    fired {
      ent:doors{event:attrs{"name"}} := event:attrs{"eci"}
    }
  }
  rule fill {
    select when nest fill
    foreach 0.range(event:attrs{"count"} - 1) setting(n)
    noop()
    fired {
      ent:large{"key " + n} := {"n": n, "half": n / 2}
      ent:list := ent:list.defaultsTo([]).append("item " + n)
      ent:odd := {"null": null, "deep": [[1], {"a": -0.5}], "text": "zoë"} on final
    }
  }
  rule plan {
    select when nest plan
    noop()
    fired {
      schedule nest event "ring" at time:add(time:now(), {"seconds": event:attrs{"after_s"}})
        attributes {"after": event:attrs{"after_s"}}
      schedule nest event "tick" repeat "*/5 * * * *"
    }
  }
  rule ring {
    select when nest ring
    noop()
    fired {
      ent:fired := ent:fired.defaultsTo([]).append(event:attrs{"after"})
    }
  }
  rule pair {
    select when nest half then nest whole
    noop()
    fired {
      ent:fired := ent:fired.defaultsTo([]).append("pair")
    }
  }
}
