"""Pages of the codes about names, meta and modules (K03, K04).

The form is described in `pages.py`.
"""

PAGES = r"""
# K0301 error: unknown name `…`
A name stands for a parameter, a declaration of this block or one around it, or something of
the standard library. Only the bodies of functions see names declared later.
## Refused
ruleset a {
  meta {
    shares x
  }
  global {
    greeting = "Hi"
    x = function() { greting }
  }
}
## Accepted
ruleset a {
  meta {
    shares x
  }
  global {
    greeting = "Hi"
    x = function() { greeting }
  }
}
## Fix
Correct the name, or declare it before it is used.

# K0302 error: name `…` declared twice
Each name is declared once in a block.
## Refused
ruleset a {
  meta {
    shares x
  }
  global {
    limit = 1
    limit = 2
    x = function() { limit }
  }
}
## Accepted
ruleset a {
  meta {
    shares x
  }
  global {
    limit = 2
    x = function() { limit }
  }
}
## Fix
Remove one of the two, or rename it.

# K0303 error: name `…` names two parameters
The parameters of a function or action have different names.
## Refused
ruleset a {
  meta {
    shares x
  }
  global {
    x = function(n, n) { n }
  }
}
## Accepted
ruleset a {
  meta {
    shares x
  }
  global {
    x = function(n, m) { n + m }
  }
}
## Fix
Rename one of them.

# K0304 error: name `…` is already taken here
All names of a rule share one scope: those of `setting`, foreach, `pre`, the actions and the
postlude. So do the parameters and the declarations of a function.
## Refused
ruleset a {
  rule r {
    select when a b who re#(.+)# setting(who)
    pre {
      who = "Ann"
    }
    send_directive(who)
  }
}
## Accepted
ruleset a {
  rule r {
    select when a b who re#(.+)# setting(who)
    pre {
      name = who || "Ann"
    }
    send_directive(name)
  }
}
## Fix
Rename the second one.

# K0305 warning: name `…` is never used
Nothing reads this declaration. It may be left over, or another name may be misspelt.
## Warned of
ruleset a {
  rule r {
    select when a b
    pre {
      spare = 1
    }
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
Remove it.

# K0306 error: name `…` has no value here
A name that a block of the postlude declares belongs to that block. In the next block it has no
value, since the block that declares it may not have run.
## Refused
ruleset a {
  rule r {
    select when a b
    noop()
    fired {
      n = 1
      ent:n := n
    } finally {
      ent:last := n
    }
  }
}
## Accepted
ruleset a {
  rule r {
    select when a b
    pre {
      n = 1
    }
    noop()
    fired {
      ent:n := n
    } finally {
      ent:last := n
    }
  }
}
## Fix
Declare it in `pre`, which every block of the rule sees, or again in this block.

# K0401 error: rule `…` is declared twice
Each rule of a ruleset has its own name; inactive rules count.
## Refused
ruleset a {
  rule r {
    select when a b
    noop()
  }
  rule r {
    select when a c
    noop()
  }
}
## Accepted
ruleset a {
  rule r {
    select when a b
    noop()
  }
  rule s {
    select when a c
    noop()
  }
}
## Fix
Rename one of them.

# K0402 error: `…` is given twice
In `meta`, each of name, description, author, version and logging occurs at most once.
## Refused
ruleset a {
  meta {
    name "one"
    name "two"
  }
}
## Accepted
ruleset a {
  meta {
    name "two"
  }
}
## Fix
Remove one of them.

# K0403 error: `…` with keys is not supported
Keys once were kept in rulesets. They are secrets, and rulesets are public.
## Refused
ruleset a {
  meta {
    key service "secret"
  }
}
## Accepted
ruleset a {
  meta {
    configure using token = ""
  }
}
## Fix
Take them from the configuration: `configure using`, or `meta:rulesetConfig`.

# K0404 error: `…` of an unknown name `…`
`shares` and `provides` list names that `global` or `configure using` declares.
## Refused
ruleset a {
  meta {
    shares hello
  }
}
## Accepted
ruleset a {
  meta {
    shares hello
  }
  global {
    hello = function() { "Hi" }
  }
}
## Fix
Declare it, or take it out of the list.

# K0405 error: `shares` of an action `…`
What is shared answers queries, and a query can change nothing; actions act.
## Refused
ruleset a {
  meta {
    shares act
  }
  global {
    act = defaction() { noop() }
  }
}
## Accepted
ruleset a {
  meta {
    provides act
  }
  global {
    act = defaction() { noop() }
  }
}
## Fix
Provide it to other rulesets, or share a function instead.

# K0406 warning: `version` before `meta` is deprecated
The version belongs to the other facts about the ruleset.
## Warned of
ruleset a {
  version "1.0"
  meta { }
}
## Accepted
ruleset a {
  meta {
    version "1.0"
  }
}
## Fix
Move it into `meta`.

# K0407 warning: `logging` has no effect any more
The engine keeps a history of each pico, whatever rulesets say.
## Warned of
ruleset a {
  meta {
    logging on
  }
}
## Accepted
ruleset a {
  meta {
    name "a"
  }
}
## Fix
Remove the line.

# K0408 error: `…` of a library name `…`
The names of the standard library belong to every ruleset already.
## Refused
ruleset a {
  meta {
    provides noop
  }
}
## Accepted
ruleset a {
  meta {
    provides nothing
  }
  global {
    nothing = defaction() { noop() }
  }
}
## Fix
Take it out of the list, or wrap it in a declaration of your own.

# K0410 error: ruleset `…` uses itself
A module is loaded before the ruleset that uses it, so no ruleset can use itself, alone or
through others.
## Refused
ruleset a {
  meta {
    use module a
  }
}
## Accepted
ruleset a {
  meta {
    use module b
  }
}
## Fix
Move what both need into a third ruleset.

# K0411 error: two modules under one alias `…`
An alias stands for one module.
## Refused
ruleset a {
  meta {
    use module b alias m
    use module c alias m
  }
}
## Accepted
ruleset a {
  meta {
    use module b alias m
    use module c alias n
  }
}
## Fix
Choose another alias for one of them.

# K0412 error: unknown domain or member
Before the colon stands `ent`, `event`, a module of the language (ctx, http, math, meta,
random, schedule, time …) or the alias of a used module; after it a member of that module.
## Refused
ruleset a {
  meta {
    shares x
  }
  global {
    x = function() { maths:abs(1) }
  }
}
## Accepted
ruleset a {
  meta {
    shares x
  }
  global {
    x = function() { math:abs(1) }
  }
}
## Fix
Correct the name, or add `use module … alias …` to `meta`.

# K0414 error: shared function `…` acts
A query can change nothing, so a shared function may not run what changes something, nor hand it
on to what runs it.
## Refused
ruleset a {
  meta {
    shares tell
  }
  global {
    tell = function(urls) { urls.map(http:post) }
  }
}
## Accepted
ruleset a {
  meta {
    shares hello
  }
  global {
    hello = function() { "Hi" }
  }
}
## Fix
Let a rule do it, and raise an event instead of asking a query.

# K0415 error: no ruleset in this text
The text is KRL, but only declarations and expressions; an engine runs rulesets.
## Refused
x = 1
## Accepted
ruleset a {
  global {
    x = 1
  }
}
## Fix
Put it into a ruleset: `ruleset name { global { … } }`.
"""
