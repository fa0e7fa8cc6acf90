ruleset bench.salience10 {
  rule r0 {
    select when d0 e0
    send_directive("r", {"i": 0})
  }
  rule r1 {
    select when d1 e0
    send_directive("r", {"i": 1})
  }
  rule r2 {
    select when d2 e0
    send_directive("r", {"i": 2})
  }
  rule r3 {
    select when d3 e0
    send_directive("r", {"i": 3})
  }
  rule r4 {
    select when d4 e0
    send_directive("r", {"i": 4})
  }
  rule r5 {
    select when d5 e0
    send_directive("r", {"i": 5})
  }
  rule r6 {
    select when d6 e0
    send_directive("r", {"i": 6})
  }
  rule r7 {
    select when d7 e0
    send_directive("r", {"i": 7})
  }
  rule r8 {
    select when d8 e0
    send_directive("r", {"i": 8})
  }
  rule r9 {
    select when d9 e0
    send_directive("r", {"i": 9})
  }
}
