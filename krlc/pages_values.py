"""Pages of the codes about values and calls, and our own limits (K07, K08, K09).

The form is described in `pages.py`.
"""

PAGES = r"""
# K0701 error: parameter without a default after one with a default
Arguments fill parameters from the left, so those that may be left out come last.
## Refused
ruleset a {
  meta {
    shares x
  }
  global {
    x = function(a = 1, b) { a + b }
  }
}
## Accepted
ruleset a {
  meta {
    shares x
  }
  global {
    x = function(b, a = 1) { a + b }
  }
}
## Fix
Change the order, or give it a default.

# K0702 error: positional argument after a named one
After `name = value` every argument needs its name.
## Refused
ruleset a {
  meta {
    shares x
  }
  global {
    f = function(a, b) { a + b }
    x = function() { f(a = 1, 2) }
  }
}
## Accepted
ruleset a {
  meta {
    shares x
  }
  global {
    f = function(a, b) { a + b }
    x = function() { f(a = 1, b = 2) }
  }
}
## Fix
Name it, or move it to the front.

# K0703 warning: wrong arguments for `…`
More arguments than parameters, or a name that is no parameter: they are ignored.
## Warned of
ruleset a {
  meta {
    shares x
  }
  global {
    f = function(a) { a }
    x = function() { f(1, 2) }
  }
}
## Accepted
ruleset a {
  meta {
    shares x
  }
  global {
    f = function(a) { a }
    x = function() { f(1) }
  }
}
## Fix
Remove the argument, or correct its name.

# K0704 warning: member access by dot is deprecated
A dot calls an operator; entries of maps are read with braces.
## Warned of
ruleset a {
  meta {
    shares x
  }
  global {
    point = {"left": 1}
    x = function() { point.left }
  }
}
## Accepted
ruleset a {
  meta {
    shares x
  }
  global {
    point = {"left": 1}
    x = function() { point{"left"} }
  }
}
## Fix
Write `map{"key"}`.

# K0705 warning: `event:attr` is deprecated
`event:attrs` holds all attributes of the event.
## Warned of
ruleset a {
  rule r {
    select when a b
    send_directive(event:attr("name"))
  }
}
## Accepted
ruleset a {
  rule r {
    select when a b
    send_directive(event:attrs{"name"})
  }
}
## Fix
Write `event:attrs{"name"}`.

# K0706 error: `…` is not a function
This is a property: it is read without parentheses.
## Refused
ruleset a {
  rule r {
    select when a b
    send_directive(event:attrs(){"name"})
  }
}
## Accepted
ruleset a {
  rule r {
    select when a b
    send_directive(event:attrs{"name"})
  }
}
## Fix
Remove the parentheses.

# K0707 error: `…` is not a function
Only functions can be called. The names of `setting` hold strings.
## Refused
ruleset a {
  rule r {
    select when a b who re#(.+)# setting(who)
    send_directive(who())
  }
}
## Accepted
ruleset a {
  rule r {
    select when a b who re#(.+)# setting(who)
    send_directive(who)
  }
}
## Fix
Remove the parentheses, or call a function.

# K0708 warning: regular expression may be slow
Attributes come from strangers, so a pattern must not take more time than a text is worth. Most
patterns run in an engine whose time is bounded; this one cannot, because of a back-reference,
a look-around, or a group repeated so that a text can match in many ways. It runs in a process
of its own, with a deadline: slower, on texts up to 100,000 characters, and it may fail.
## Warned of
ruleset a {
  rule r {
    select when a b who re#^(['"])(.*)\1$# setting(quote, who)
    send_directive(who)
  }
}
## Accepted
ruleset a {
  rule r {
    select when a b who re#^"(.*)"$# setting(who)
    send_directive(who)
  }
}
## Fix
Do without back-references and look-around, and do not repeat what repeats itself: `(a+)+` is
`a+`. Say the rest in the rule's condition.

# K0709 warning: channel without policies
A channel allows everything unless its policies say otherwise, and its ECI is all that anybody
needs to use it.
## Refused
ruleset a {
  rule r {
    select when a b
    ctx:newChannel(["shop"])
  }
}
## Accepted
ruleset a {
  rule r {
    select when a b
    ctx:newChannel(
      ["shop"],
      {"allow": [{"domain": "shop", "name": "*"}], "deny": []},
      {"allow": [], "deny": [{"rid": "*", "name": "*"}]}
    )
  }
}
## Fix
Give an event policy and a query policy with just what the channel's users need.

# K0710 error: expression nested too deeply
Nested brackets and calls become nested Python, which is bounded.
## Refused
ruleset a {
  meta {
    shares x
  }
  global {
    x = function() { [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[
      [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[
      ]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]
      ]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]
       }
  }
}
## Accepted
ruleset a {
  meta {
    shares x
  }
  global {
    x = function() { [[]] }
  }
}
## Fix
Give a part of the expression a name and use the name.

# K0901 error: the compiler failed on this text (…)
This is a fault of the compiler, not of the ruleset.
## Accepted
ruleset a {
  rule r {
    select when a b
    noop()
  }
}
## Fix
Report it together with the ruleset that causes it.
"""
