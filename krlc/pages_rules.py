"""Pages of the codes about event expressions, actions and postludes (K05, K06).

The form is described in `pages.py`.
"""

PAGES = r"""
# K0501 error: rule `…` has no `select`
An active rule says which events it is for.
## Refused
ruleset a {
  rule r {
    noop()
  }
}
## Accepted
ruleset a {
  rule r {
    select when a b
    noop()
  }
}
## Fix
Add `select when domain name`, or make the rule inactive.

# K0502 warning: rule `…` is inactive
An inactive rule never fires and is not compiled.
## Warned of
ruleset a {
  rule r is inactive {
    select when a b
    noop()
  }
}
## Accepted
ruleset a {
  rule r {
    select when a b
    noop()
  }
}
## Fix
Remove `is inactive`, or the rule.

# K0503 warning: `setting` without an attribute match
`setting` gives names to what the groups of attribute matches captured. Without a match
there is nothing to capture and the names are null.
## Warned of
ruleset a {
  rule r {
    select when a b setting(who)
    send_directive(who)
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
Add a match such as `who re#(.+)#`, or read `event:attrs{"who"}`.

# K0504 warning: `where` before `setting` is deprecated
The condition sees the names of `setting`, so it reads better behind it.
## Warned of
ruleset a {
  rule r {
    select when a b n re#(.+)# where n > 1 setting(n)
    send_directive(n)
  }
}
## Accepted
ruleset a {
  rule r {
    select when a b n re#(.+)# setting(n) where n > 1
    send_directive(n)
  }
}
## Fix
Change the order.

# K0505 error: `any …` needs more events to choose from
`any n (…)` waits for n of more than n different events. For all of them there is `and`.
## Refused
ruleset a {
  rule r {
    select when any 2 (a b, a c)
    noop()
  }
}
## Accepted
ruleset a {
  rule r {
    select when and(a b, a c)
    noop()
  }
}
## Fix
Lower the number, add events, or use `and(…)`.

# K0506 error: `repeat 0` never completes
`count` and `repeat` wait for at least one event.
## Refused
ruleset a {
  rule r {
    select when repeat 0 (a b)
    noop()
  }
}
## Accepted
ruleset a {
  rule r {
    select when repeat 2 (a b)
    noop()
  }
}
## Fix
Write 1 or more.

# K0507 error: the `within` limit is not a number
`within` takes a number of units.
## Refused
ruleset a {
  rule r {
    select when a b before a c within "soon" minutes
    noop()
  }
}
## Accepted
ruleset a {
  rule r {
    select when a b before a c within 5 minutes
    noop()
  }
}
## Fix
Write a number.

# K0508 error: event expression is too large
The expression has too many combinations of events seen and not yet seen for a table.
## Refused
ruleset a {
  rule r {
        select when and(a e0, a e1, a e2, a e3, a e4, a e5, a e6, a e7, a e8, a
      e9, a e10, a e11, a e12, a e13, a e14, a e15, a e16, a e17, a e18, a e19,
      a e20, a e21, a e22, a e23)
    noop()
  }
}
## Accepted
ruleset a {
  rule r {
    select when and(a b, a c, a d)
    noop()
  }
}
## Fix
Split it: let rules raise events of your own for its parts.

# K0509 error: `where` may not use `…`
The condition decides whether an event matches; it may neither wait nor act.
## Refused
ruleset a {
  rule r {
    select when a b where http:get("http://x"){"status_code"} == 200
    noop()
  }
}
## Accepted
ruleset a {
  rule r {
    select when a b where event:attrs{"n"} == 200
    noop()
  }
}
## Fix
Decide in the rule: `if … then`.

# K0510 warning: rule can never fire
No sequence of events completes this expression.
## Accepted
ruleset a {
  rule r {
    select when a b
    noop()
  }
}
## Fix
Check the operators and the numbers of `any`, `count` and `repeat`.

# K0601 error: only entity variables can be changed
A postlude assigns and clears variables of the pico: `ent:name`.
## Refused
ruleset a {
  rule r {
    select when a b
    always {
      app:total := 1
    }
  }
}
## Accepted
ruleset a {
  rule r {
    select when a b
    always {
      ent:total := 1
    }
  }
}
## Fix
Write `ent:`.

# K0602 error: a declaration cannot be guarded
A name in a postlude always has a value, so `if` and `on final` cannot follow its
declaration.
## Refused
ruleset a {
  rule r {
    select when a b
    always {
      n = 1 if true;
      ent:n := n
    }
  }
}
## Accepted
ruleset a {
  rule r {
    select when a b
    always {
      n = true => 1 | null;
      ent:n := n
    }
  }
}
## Fix
Put the condition into the value: `condition => value | null`.

# K0603 error: action without a label inside `choose`
`choose` runs the action whose label equals its value. One without a label is never chosen.
## Refused
ruleset a {
  rule r {
    select when a b
    choose "one" {
      noop()
    }
  }
}
## Accepted
ruleset a {
  rule r {
    select when a b
    choose "one" {
      one => noop()
    }
  }
}
## Fix
Give it a label: `name => action()`.

# K0604 error: more than one name in an action's `setting`
An action gives one value back.
## Refused
ruleset a {
  rule r {
    select when a b
    http:get("http://x") setting(answer, more)
  }
}
## Accepted
ruleset a {
  rule r {
    select when a b
    http:get("http://x") setting(answer)
  }
}
## Fix
Keep one name, and read the parts from it.

# K0605 error: `…` is not an action
Where an action stands, only actions may be called: those of the library and what
`defaction` makes.
## Refused
ruleset a {
  global {
    double = function(n) { n * 2 }
  }
  rule r {
    select when a b
    double(2)
  }
}
## Accepted
ruleset a {
  global {
    double = function(n) { n * 2 }
  }
  rule r {
    select when a b
    send_directive("double", {"is": double(2)})
  }
}
## Fix
Call the function in an expression, or make it a defaction.

# K0606 error: `…` is not a function
An action can be called where actions stand only; an expression computes.
## Refused
ruleset a {
  meta {
    shares x
  }
  global {
    x = function() { noop() }
  }
}
## Accepted
ruleset a {
  meta {
    shares x
  }
  global {
    x = function() { null }
  }
}
## Fix
Call it in a rule or a defaction.

# K0607 warning: `ent:… := ent:….put(…)` can be said shorter
Assigning to a path sets one entry without reading the others.
## Warned of
ruleset a {
  rule r {
    select when a b
    always {
      ent:m := ent:m.put("k", 1)
    }
  }
}
## Accepted
ruleset a {
  rule r {
    select when a b
    always {
      ent:m{"k"} := 1
    }
  }
}
## Fix
Write `ent:name{key} := value`.
"""
