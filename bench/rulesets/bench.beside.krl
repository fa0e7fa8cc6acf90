// What must not be felt by other picos: rules that wait, and rules that mean no good.
ruleset bench.beside {
  meta {
    name "Waits and hostile rules"
  }

  global {
    fib = function(n) { n < 2 => n | fib(n - 1) + fib(n - 2) }

    deep = function(n) { 1 + deep(n + 1) }

    doubled = function(text) { doubled(text + text) }
  }

  rule ask {
    select when beside ask
    http:get(event:attrs{"url"}) setting(answer)
    fired {
      raise beside event "asked" attributes {"status": answer{"status_code"}}
    }
  }

  rule asked {
    select when beside asked
    send_directive("asked", {"status": event:attrs{"status"}})
  }

  rule spin {
    select when beside spin
    send_directive("never", {"n": fib(60)})
  }

  rule range {
    select when beside range
    send_directive("never", {"n": 1.range(1000000000).length()})
  }

  rule double {
    select when beside double
    send_directive("never", {"n": doubled("ab").length()})
  }

  rule recurse {
    select when beside recurse
    send_directive("never", {"n": deep(0)})
  }

  rule storm {
    select when beside storm
    fired {
      raise beside event "storm"
      raise beside event "storm"
    }
  }

  rule fan_out {
    select when beside fan_out
    foreach 1.range(20000) setting(n)
    event:send({"eci": meta:eci, "domain": "beside", "name": "nothing", "attrs": {"n": n}})
  }
}
