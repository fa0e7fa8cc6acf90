// A pico that keeps a number. What a rule writes to `ent:` is still there after a restart.
ruleset example.counter {
  meta {
    name "Counter"
    description <<Counts, and says when it passes a multiple of ten.>>
    shares value
  }

  global {
    value = function() { ent:count.defaultsTo(0) }

    tens = function(n) { (n - n % 10) / 10 }
  }

  // counter:bump adds its attribute `by`, or 1; what is no whole number is no bump.
  rule bump {
    select when counter bump by re#^(-?\d+)?$# setting(by)
    pre {
      old = value()
      new = old + (by => by.as("Number") | 1)
    }
    send_directive("count", {"value": new})
    fired {
      ent:count := new
      raise counter event "ten_passed" attributes {"value": new} if tens(new) > tens(old)
    }
  }

  // Raised by `bump`: runs in the same turn, after it.
  rule celebrate {
    select when counter ten_passed
    send_directive("celebrate", {"value": event:attrs{"value"}})
  }

  // A reset must be asked for twice within a minute.
  rule reset {
    select when count 2 (counter reset) within 1 minute
    send_directive("reset")
    fired {
      clear ent:count
    }
  }
}
