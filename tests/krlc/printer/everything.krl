// header comment

/* licence
   two */
ruleset io.x.y {
  meta { name "x" // the name
    use module a.b alias ab with x = 1 and y = {"a":1}
    description <<
       hello #{1+2} "there" \n
    >>
    share a, b, ccccccccccccccccccccccccccccccc, dddddddddddddddddddddddddddddddddddd, eeeeeeeeeeeeeeeeeeeeeeeeee, fffffffff
    configure using a = 1 b = 2
  }
  global {
    // leading
    x = 1; y = .5 + 2 * (3 + 4) - (5 - 6);


    f = function(a, b = 1, /* why */ c) { k = a; // trailing k
      [k] }
    g = function(a){a+1}
    m = {"a": 1, "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb": [1,2,3], "ccccccccccccccccccccccccccc": "dddddddddddddddddd"}
    arr = [1, // one
      2 /* two */, 3
      // end
    ]
    act = defaction(x) { noop() }
    act2 = defaction(x) { y = x  every { a => noop() send_directive("x", {"a":1}) } return [y] }
    z = a => b | c => d | (e => f | g)
    zz = items.filter(function(x){ x > 1 }).map(function(y){ y{"a"}[0] }).join(", ").klog("this is a long thing to do")
    s = "a\n \" \\ b" + <<a > b >\> c \#{ #{x} >\>>> + re#a\#b\\#gi
    neg = -(-3).abs() + not (a && b) || - -1
    w = x like re#a# cmp 3
    // dangling in global
  }
  rule a is active { select when (a b x re#(.*)# y re#b#.klog("m") setting(q) where q > 1 or any 2 (a b, c d, e f)) and count 3 (a:b) max(m) between(c d, e f) within 5 minutes
    foreach x.keys() setting(k, v)
    // before pre
    pre { 
      a = 1 // one
      b = event:attrs{"x"} }
    if a && b then choose (event:attrs{"x"}) { a => noop(); b => send_directive("say", {"somethingxxxxxxxxxxxxxxxxx": "something", "another thing": somewhat}) setting(r) }
    fired { ent:x{["a","b"]} := 1; clear ent:y; raise a event "b" for "x.y" attributes {"a":1} if x; last; log info "x"; 
      schedule a event "b" at time:add(time:now(), {"seconds": 5}) attributes {"aaaaaaaaaaaaaaaaaa": "bbbbbbbbbbbbbbbbbbbbbbbbb"} setting(id) }
    else { error warn "x" on final } // c1
    finally { /* nothing */ }
  } // end a
  rule b { select where true } 
  // last
}
// after
