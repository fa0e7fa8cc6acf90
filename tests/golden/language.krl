ruleset golden.language {
  meta {
    name "Everything the code generator makes"
    shares greeting, total, scores, describe
    provides greeting
    configure using limit = 3
  }
  global {
    words = ["one", "two", "three"]
    table = words.map(function(w, i) { w + i })
    greeting = function(name, mark = "!") {
      who = name || "world";
      <<Hello #{who}#{mark}>>
    }
    total = function(list) {
      list.reduce(function(sum, n) { sum + n }, 0)
    }
    scores = function(key) {
      key => ent:scores{key} | ent:scores.keys().sort()
    }
    factorial = function(n) { n <= 1 => 1 | n * factorial(n - 1) }
    describe = function(value) {
      kinds = {"Number": "a number", "String": "text"};
      (kinds{value.typeof()} || "something").uc() + " " + greeting(mark = "?")
    }
    shout = defaction(what, times = 1) {
      text = what.uc()
      if times > 0 then
        send_directive("shout", {"text": text, "times": times}) setting(said)
      return said{["options", "text"]}
    }
  }
  rule keep {
    select when game score player re#^(\w+)$# points re#^(\d+)$# setting(player, points)
      where points.as("Number") > 0
    pre {
      old = ent:scores{player}.defaultsTo(0)
      new = old + points.as("Number")
    }
    if new > limit && not (player == "nobody") then
      send_directive("score", {"player": player, "points": new, "table": table})
    fired {
      ent:scores{player} := new;
      ent:log := ent:log.append(player);
      raise game event "high" attributes {"player": player} if new >= 100
    } else {
      raise game event "low" attributes event:attrs
    } finally {
      ent:count := ent:count.defaultsTo(0) + 1
    }
  }
  rule pairs {
    select when game start then game stop
    foreach ent:scores setting(points, player)
    foreach [1, 2] setting(n)
    every {
      shout(player, n) setting(text)
      send_directive("pair", {"text": text, "n": n})
    }
    always {
      ent:last := player on final;
      ent:facts{[player, "n"]} := factorial(n)
    }
  }
  rule pick {
    select when game pick
    choose event:attr("what") {
      clear => send_directive("clearing")
      nothing => noop()
    }
    fired {
      clear ent:scores if event:attrs{"what"} == "clear";
      last
    } else {
      error warn "nothing picked"
    }
  }
  rule anything {
    select where event:domain == "odd"
    sample {
      send_directive("a")
      send_directive("b")
    }
  }
}
