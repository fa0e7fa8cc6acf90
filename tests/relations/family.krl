// On the root of every engine of a stage: makes the picos that relate, and kills them.
ruleset test.family {
  meta {
    shares members
  }

  global {
    members = function() { ent:members.defaultsTo({}) }

    of_child = ["io.picolabs.subscription", "test.witness"]

    rulesets = function() {
      ctx:rulesets
        .filter(function(r) { of_child >< r{"rid"} })
        .map(function(r) { {"url": r{"url"}} })
    }
  }

  rule make {
    select when family new
    pre {
      name = event:attrs{"name"}
      installed = {"rids": of_child}
    }
    every {
      ctx:newPico(rulesets()) setting(child)
      event:send({"eci": child, "domain": "family", "name": "born", "attrs": {"name": name}})
      event:send({
        "eci": child,
        "domain": "wrangler",
        "name": "ruleset_installed",
        "attrs": installed
      })
    }
    fired {
      ent:children{name} := child
    }
  }

  rule ready {
    select when family ready
    fired {
      ent:members{event:attrs{"name"}} := event:attrs{"eci"}
    }
  }

  rule kill {
    select when family kill
    ctx:delPico(ent:children{event:attrs{"name"}})
    fired {
      clear ent:children{event:attrs{"name"}}
      clear ent:members{event:attrs{"name"}}
    }
  }
}
