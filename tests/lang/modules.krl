// Domains and members of modules.
ruleset lang.domains {
  meta { shares x }
  global {
    x = [
      mathh:abs(1),                 // expect K0412
      math:abz(1),                  // expect K0412
      app:x,                        // expect K0412
      dido:routes(),                // expect K0412
      ursa:generateDID()            // expect K0412
    ]
  }
}
---
ruleset lang.itself {
  meta {
    use module lang.itself alias me // expect K0410
    use module a alias b
    use module c alias b            // expect K0411
    shares x
  }
  global {
    x = b:anything(me:thing)
  }
}
---
ruleset lang.open {
  rule r {
    select when a b
    ctx:newChannel(["x"])           // expect K0709
  }
}
