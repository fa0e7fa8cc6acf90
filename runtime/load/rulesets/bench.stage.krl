ruleset bench.stage {
  meta {
    name "The stage of `pico bench`"
    description <<
Makes picos for a workload, each with an open channel, and takes them away again.
    >>
    shares ecis
  }
  global {
    ecis = function() { ent:ecis.defaultsTo([]) }
  }
  rule build {
    select when stage build
    foreach 1.range(event:attrs{"picos"}) setting(number)
      ctx:newPico(rulesets = event:attrs{"rulesets"}) setting(family)
      fired {
        ent:families := ent:families.defaultsTo([]).append(family);
        raise stage event "built" attributes {"family": family}
      }
  }
  rule ask {
    select when stage built
    event:send({"eci": event:attrs{"family"}, "domain": "stage", "type": "open"})
  }
  rule open {
    select when stage open
    ctx:newChannel(["bench"], {"allow": [{"domain": "*", "name": "*"}], "deny": []},
      {"allow": [{"rid": "*", "name": "*"}], "deny": []}) setting(channel)
    fired {
      raise stage event "opened" attributes {"eci": channel{"id"}}
    }
  }
  rule tell {
    select when stage opened
    event:send({"eci": ctx:parent, "domain": "stage", "type": "ready",
      "attrs": {"eci": event:attrs{"eci"}}})
  }
  rule ready {
    select when stage ready
    fired {
      ent:ecis := ent:ecis.defaultsTo([]).append(event:attrs{"eci"})
    }
  }
  rule clear {
    select when stage clear
    foreach ent:families.defaultsTo([]) setting(family)
      ctx:delPico(family)
  }
  rule leave {
    select when stage clear
    ctx:uninstall(ctx:rid)
  }
}
