// The ruleset of every simulated pico. What it does is in the event's attributes, and the last rule
// logs them: all other variables can be worked out from the log alone, which the model does.
ruleset sim.node {
  meta {
    name "Simulated node"
    shares state, calls, handled
  }

  global {
    zero = function(value) { value.defaultsTo(0) }

    state = function() {
      {
        "name": ent:name,
        "door": ent:door,
        "log": ent:log.defaultsTo([]),
        "left": zero(ent:left),
        "right": zero(ent:right),
        "chained": zero(ent:chained),
        "errors": zero(ent:errors),
        "pairs": zero(ent:pairs),
        "boths": zero(ent:boths),
        "threes": zero(ent:threes),
        "bad": ent:bad,
        "big": ent:big.defaultsTo({}),
        "items": ent:items.defaultsTo([]),
        "out": ent:out.defaultsTo({}),
        "far": ent:far.defaultsTo({}),
        "kids": ent:kids.defaultsTo({}),
        "doors": ent:doors.defaultsTo({}),
        "lost": ent:lost.defaultsTo([]),
        "begun": zero(ent:begun),
        "calls": ent:calls.defaultsTo([]),
        "asked": ent:asked.defaultsTo([]),
        "rulesets": ctx:rulesets.map(function(r) { r{"rid"} }),
        "children": ctx:children
      }
    }

    // How many events the pico at the end of a path of channels has handled.
    handled = function(path = []) {
      next = path.head()
      path.length() == 0 => ent:log.length()
        | ctx:query(next, "sim.node", "handled", {"path": path.tail()})
    }

    // The calls of one pico that came here.
    calls = function(from) {
      ent:log
        .filter(function(entry) { entry{"kind"} == "called" && entry{["attrs", "from"]} == from })
        .map(function(entry) { entry{["attrs", "n"]} })
    }

    // Events from outside, from other picos and about other picos; not those that rules raise.
    is_logged = function(domain, name) {
      domain == "sim" => name != "bad" && name != "link" | name == "undeliverable"
    }

    // One event to another pico, numbered for this sender and receiver.
    hop = defaction(eci, n, path) {
      attrs = {"from": ent:name, "seq": zero(ent:out{eci}) + 1, "n": n, "path": path}
      event:send({"eci": eci, "domain": "sim", "name": "hop", "attrs": attrs})
    }

    // The same through the network: this engine is its own neighbour there.
    far_hop = defaction(eci, n) {
      attrs = {"from": ent:name, "seq": zero(ent:far{eci}) + 1, "n": n, "path": []}
      far = {"eci": eci, "domain": "sim", "name": "far", "attrs": attrs}
      event:send(far, "http://there")
    }
  }

  rule born {
    select when sim init
    ctx:newChannel(["door"]) setting(door)
    fired {
      ent:name := event:attrs{"name"}
      ent:door := door{"id"}
      ent:log := []
      ent:items := []
      ent:lost := []
      ent:calls := []
      ent:asked := []
    }
  }

  rule report {
    select when sim init
    if ctx:parent then
      event:send({
        "eci": ctx:parent,
        "domain": "sim",
        "name": "door",
        "attrs": {"name": ent:name, "door": ent:door}
      })
  }

  rule door {
    select when sim door
    fired {
      ent:doors{event:attrs{"name"}} := event:attrs{"door"}
    }
  }

  // Two rules, so that half a turn shows.
  rule left {
    select when sim note
    fired {
      ent:left := zero(ent:left) + 1
    }
  }

  rule right {
    select when sim note
    fired {
      ent:right := zero(ent:right) + 1
    }
  }

  rule send {
    select when sim send
    foreach event:attrs{"to"} setting(eci)
    hop(eci, event:attrs{"n"}, event:attrs{"path"})
    fired {
      ent:out{eci} := zero(ent:out{eci}) + 1
    }
  }

  rule send_far {
    select when sim far_send
    foreach event:attrs{"to"} setting(eci)
    far_hop(eci, event:attrs{"n"})
    fired {
      ent:far{eci} := zero(ent:far{eci}) + 1
    }
  }

  rule pass_on {
    select when sim hop
    pre {
      path = event:attrs{"path"}
      next = path.head()
    }
    if path.length() > 0 then
      hop(next, event:attrs{"n"}, path.tail())
    fired {
      ent:out{next} := zero(ent:out{next}) + 1
    }
  }

  rule spawn {
    select when sim spawn
    foreach event:attrs{"names"} setting(name)
    every {
      ctx:newPico([{"url": "sim:node"}]) setting(child)
      event:send({"eci": child, "domain": "sim", "name": "init", "attrs": {"name": name}})
    }
    fired {
      ent:kids{name} := child
    }
  }

  rule prune {
    select when sim prune
    pre {
      name = event:attrs{"name"}
      child = ent:kids{name}
    }
    if child then
      ctx:delPico(child)
    fired {
      clear ent:kids{name}
      clear ent:doors{name}
    }
  }

  rule grow {
    select when sim grow
    foreach event:attrs{"keys"} setting(key)
    fired {
      ent:big{key} := event:attrs{"n"}
    }
  }

  rule lengthen {
    select when sim grow
    foreach event:attrs{"keys"} setting(key)
    fired {
      ent:items := ent:items.append(key)
    }
  }

  rule shrink {
    select when sim shrink
    foreach event:attrs{"keys"} setting(key)
    fired {
      clear ent:big{key}
    }
  }

  rule wipe {
    select when sim wipe
    fired {
      clear ent:big
      ent:items := []
    }
  }

  // Does some of everything, and then fails: nothing of it may be left.
  rule fail {
    select when sim fail
    every {
      hop(event:attrs{"to"}, event:attrs{"n"}, [])
      far_hop(event:attrs{"to"}, event:attrs{"n"})
      ctx:newPico([{"url": "sim:node"}]) setting(child)
      event:send({"eci": child, "domain": "sim", "name": "init", "attrs": {"name": "bad"}})
      ctx:newChannel(["bad"])
      send_directive("bad")
    }
    fired {
      ent:bad := event:attrs{"n"}
      ent:left := 1000
      ent:big{"k0"} := "bad"
      ent:items := ent:items.append("bad")
      ent:out{event:attrs{"to"}} := 1000
      raise sim event "bad"
      schedule sim event "timed" at 0 attributes {"n": event:attrs{"n"}}
      ent:kids{"bad"} := child - 1
    }
  }

  rule bad {
    select when sim bad
    fired {
      ent:bad := "raised"
    }
  }

  rule chain {
    select when sim chain or sim link
    pre {
      depth = event:attrs{"depth"}
    }
    if depth > 0 then
      noop()
    fired {
      ent:chained := zero(ent:chained) + 1
      raise sim event "link" attributes {"depth": depth - 1}
    }
  }

  // What comes later is logged when it comes, as `timed`.
  rule later {
    select when sim later
    fired {
      schedule sim event "timed" at event:attrs{"at"} attributes {"n": event:attrs{"n"}}
    }
  }

  rule pair {
    select when sim alpha before sim beta
    fired {
      ent:pairs := zero(ent:pairs) + 1
    }
  }

  rule both {
    select when sim alpha and sim gamma
    fired {
      ent:boths := zero(ent:boths) + 1
    }
  }

  rule three {
    select when count 3 (sim alpha)
    fired {
      ent:threes := zero(ent:threes) + 1
    }
  }

  // Its automaton advances although it fails every time.
  rule clumsy {
    select when sim beta before sim gamma
    fired {
      ent:bad := "clumsy"
      ent:pairs := "x" - 1
    }
  }

  rule equip {
    select when sim equip
    ctx:install(event:attrs{"url"}, {})
  }

  rule strip {
    select when sim strip
    ctx:uninstall("sim.extra")
  }

  rule lost {
    select when system undeliverable
    fired {
      ent:lost := ent:lost.append({
        "eci": event:attrs{"eci"},
        "name": event:attrs{"name"},
        "seq": event:attrs{["attrs", "seq"]}
      })
    }
  }

  // What a turn has written before it waits, nobody may see while it waits.
  rule begin {
    select when sim call or sim ask
    fired {
      ent:begun := zero(ent:begun) + 1
    }
  }

  rule call {
    select when sim call
    pre {
      attrs = {"n": event:attrs{"n"}, "from": ent:name}
      to = event:attrs{"to"}
    }
    ctx:eventQuery(to, "sim", "called", attrs, "sim.node", "calls", {"from": ent:name}) setting(got)
    fired {
      ent:calls := ent:calls.append({"to": to, "n": event:attrs{"n"}, "got": got})
    }
  }

  rule ask {
    select when sim ask
    pre {
      path = event:attrs{"path"}
      got = handled(path)
    }
    fired {
      ent:asked := ent:asked.append({"to": path[path.length() - 1], "got": got})
    }
  }

  // Whether those two fail depends on what others do meanwhile.
  rule on_error {
    select when system error
    if event:attrs{"rule_name"} != "call" && event:attrs{"rule_name"} != "ask" then
      noop()
    fired {
      ent:errors := zero(ent:errors) + 1
    }
  }

  rule log {
    select where is_logged(event:domain, event:name)
    pre {
      entry = {"kind": event:name, "attrs": event:attrs}
    }
    send_directive("logged", {"name": ent:name, "length": ent:log.length() + 1})
    fired {
      ent:log := ent:log.append(entry)
    }
  }
}
