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
---
// Servers: what acts is performed, what waits is asked; members and arguments are known.
ruleset lang.http {
  meta {
    shares f
  }
  global {
    f = function(url) {
      a = http:head(url, timeout=5);        // expect K0703
      b = http:patch(url);                  // expect K0606
      c = http:options(url);                // expect K0412
      [a, b, c, http:get]
    }
  }
  rule r {
    select when a b where http:get("x")     // expect K0509
    every {
      http:get("http://x", {}, {}, "", {}, {}, {}, true, "", {}, true, 12) // expect K0703
      http:post("http://x", jsn={})         // expect K0703
      send_directive("x", {}, 3)            // expect K0703
    }
  }
}
---
ruleset lang.quiet {
  meta {
    shares f                                // expect K0414
  }
  global {
    f = function(url) { [url].map(http:post) }
  }
}
