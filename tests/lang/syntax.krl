// Chunks are separated by `---`. A line that must be complained about says so at its end:
// `// expect CODE` with as many codes as there are. Nothing else may be reported.
ruleset lang.words {
  meta {
    shares name, if, count
  }
  global {
    name = "words with a meaning elsewhere are names here"
    if = 1
    count = [1, 2].filter(function(x) { x > if })
    select = function(when, rule) { when + rule }
    where = select(when = 1, rule = if)
    repeat = where  // expect K0305
  }
}
---
ruleset lang.reserved {
  global {
    return = 1                      // expect K0205
  }
}
---
ruleset lang.operator {
  meta { shares x }
  global {
    any = 1                         // expect K0305
    x = any + 1                     // expect K0226
  }
}
---
ruleset lang.results {
  meta { shares f, g, h }
  global {
    f = function(m) { a = m; [a] }
    g = function(m) { a = m return [a] }
    h = function(m) {
      a = m
      [a]
    }                               // expect K0203
  }
}
---
ruleset lang.postlude {
  rule r {
    select when a b
    noop()
    fired {
      raise = 1                     // expect K0201
    }
  }
  rule s {
    select when a c
    noop()
    fired {
      last = 2                      // expect K0205
    }
  }
  rule t {
    select when a d
    noop()
    fired {
      ent:x[0] := 1                 // expect K0201
    }
  }
  rule u {
    select when a e
    noop()
    fired {
      ent:x{"a"}{"b"} := 1          // expect K0201
    }
  }
}
---
ruleset lang.domains {
  rule r {
    select when return report or setting x or event or
    noop()
  }
  rule s {
    select when like x              // expect K0212
    noop()
  }
  rule t {
    select when null x              // expect K0212
    noop()
  }
  rule u {
    select when any x               // expect K0209
    noop()
  }
}
---
ruleset lang.matches {
  rule r {
    select when a b where re#(.+)# setting(x)
    send_directive(x)
  }
}
---
ruleset lang.chevrons {
  meta { shares x }
  global {
    x = function(a) {
      <<one " // two #{a + <<three #{a}>>} >\> \#{ four>>
    }
  }
}
---
ruleset lang.regexps {
  meta { shares x }
  global {
    x = [
      re#(?<name>a)\#b#gi,
      re#[#,                        // expect K0106
      re#a#gg                       // expect K0107
    ]
  }
}
---
ruleset lang.choose {
  rule r {
    select when a b
    choose event:attrs{"k"} {       // expect K0201
      a => noop()
    }
  }
  rule s {
    select when a c
    choose (event:attrs{"k"}) {
      a => noop()
    }
  }
}
---
ruleset lang.two {
}
ruleset lang.three {                // expect K0225
}
