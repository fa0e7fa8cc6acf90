// Comes and goes while picos run: its variables and its automaton's progress go with it.
ruleset sim.extra {
  meta {
    name "Simulated extra"
    shares state
  }

  global {
    state = function() { {"ticks": ent:ticks.defaultsTo(0), "twos": ent:twos.defaultsTo(0)} }
  }

  rule tick {
    select when sim note
    fired {
      ent:ticks := ent:ticks.defaultsTo(0) + 1
    }
  }

  rule two {
    select when count 2 (sim note)
    fired {
      ent:twos := ent:twos.defaultsTo(0) + 1
    }
  }
}
