"""Pages of the codes about syntax (K02): what the parser reports.

The form is described in `pages.py`.
"""

PAGES = r"""
# K0201 error: expected `…`
The construct needs this sign or word here.
## Refused
ruleset a {
  global {
    double = function(x { x * 2 }
  }
}
## Accepted
ruleset a {
  global {
    double = function(x) { x * 2 }
  }
}
## Fix
Add it. If something stands between, the mistake may be a little earlier.

# K0202 error: expected an expression
A value must stand here: a literal, a name, a call, or something in parentheses.
## Refused
ruleset a {
  global {
    items = [1,, 2]
  }
}
## Accepted
ruleset a {
  global {
    items = [1, 2]
  }
}
## Fix
Write a value, or remove the operator or comma that waits for one.

# K0203 error: function has no result
The last thing in a function's body is its result, an expression. A `[`, `{` or `(` on a new
line goes on with the expression before, so it may have been swallowed.
## Refused
ruleset a {
  global {
    area = function(r) {
      pi = 3.14
    }
  }
}
## Accepted
ruleset a {
  global {
    area = function(r) {
      pi = 3.14
      r * r * pi
    }
  }
}
## Fix
End the body with an expression. Put `;` after the declaration before, or `return` before
the result, if the result starts with a bracket.

# K0204 error: `…` is a reserved word
`return` and `setting` belong to the language and cannot be read as names.
## Refused
ruleset a {
  global {
    x = setting
  }
}
## Accepted
ruleset a {
  global {
    x = 1
  }
}
## Fix
Choose another name.

# K0205 error: expected a declaration
In `global`, `pre` and the bodies of functions each line is `name = value`. In a postlude
there are also assignments (`ent:name := value`), raise, schedule, clear, log, error and
last.
## Refused
ruleset a {
  rule r {
    select when a b
    fired {
      done
    }
  }
}
## Accepted
ruleset a {
  rule r {
    select when a b
    fired {
      ent:done := true
    }
  }
}
## Fix
Give the value a name, or move an action out of the block.

# K0206 error: expected a name
A name must stand here. The words defaction, function, return, not, setting, null, true and
false are no names.
## Refused
ruleset a {
  rule null {
    select when a b
    noop()
  }
}
## Accepted
ruleset a {
  rule nothing {
    select when a b
    noop()
  }
}
## Fix
Write a name of letters, digits, `_` and `$` that does not start with a digit.

# K0207 error: expected a string
The version before `meta` is a string literal.
## Refused
ruleset a {
  version 1.0
  meta { }
}
## Accepted
ruleset a {
  meta {
    version "1.0"
  }
}
## Fix
Put it between double quotes, and better inside `meta`.

# K0208 error: expected a string as map key
The keys of a map literal are strings between double quotes.
## Refused
ruleset a {
  global {
    point = {x: 1, y: 2}
  }
}
## Accepted
ruleset a {
  global {
    point = {"x": 1, "y": 2}
  }
}
## Fix
Put the key between double quotes. For a key that is computed write `{}.put(key, value)`.

# K0209 error: expected a whole number
After `any`, `count` and `repeat` stands how many events there must be, as digits.
## Refused
ruleset a {
  rule r {
    select when any (a b, a c)
    noop()
  }
}
## Accepted
ruleset a {
  rule r {
    select when any 1 (a b, a c)
    noop()
  }
}
## Fix
Write the number.

# K0210 error: expected a ruleset id
A ruleset id is words joined by dots or dashes, without blanks: `my.first-ruleset`.
## Refused
ruleset 7days {
}
## Accepted
ruleset seven.days {
}
## Fix
Start each part of the id with a letter.

# K0211 error: ruleset id ends too early
After a dot or dash in a ruleset id the next word must follow at once.
## Refused
ruleset my.first. {
}
## Accepted
ruleset my.first {
}
## Fix
Remove the last sign, or the blank behind it.

# K0212 error: expected an event expression
After `select when`, and inside event operators, stands an event (`domain name`), an
operator with its events in parentheses, or an expression in parentheses.
## Refused
ruleset a {
  rule r {
    select when * b
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
Write the event. There are no wildcards; `select where` sees every event.

# K0213 error: event has no name
An event is chosen by its domain and its name.
## Refused
ruleset a {
  rule r {
    select when hello
    {
    }
  }
}
## Accepted
ruleset a {
  rule r {
    select when say hello
    noop()
  }
}
## Fix
Write both: `select when say hello`.

# K0214 error: expected `when` or `where`
`select` goes on with `when` and an event expression, or with `where` and a condition.
## Refused
ruleset a {
  rule r {
    select say hello
    noop()
  }
}
## Accepted
ruleset a {
  rule r {
    select when say hello
    noop()
  }
}
## Fix
Add the word.

# K0215 error: expected a unit of time
`within` takes a number and a unit: second, minute, hour, day, week, month or year, with or
without an s.
## Refused
ruleset a {
  rule r {
    select when a b before a c within 5 fortnights
    noop()
  }
}
## Accepted
ruleset a {
  rule r {
    select when a b before a c within 10 weeks
    noop()
  }
}
## Fix
Use one of these units.

# K0216 error: expected `at` or `repeat`
`schedule` needs to know when: `at` with a time, or `repeat` with a timespec.
## Refused
ruleset a {
  rule r {
    select when a b
    always {
      schedule a event "c"
    }
  }
}
## Accepted
ruleset a {
  rule r {
    select when a b
    always {
      schedule a event "c" at time:add(time:now(), {"minutes": 5})
    }
  }
}
## Fix
Add the time after the event.

# K0217 error: expected a log level
`log` and `error` are followed by one of error, warn, info and debug. There is no default.
## Refused
ruleset a {
  rule r {
    select when a b
    always {
      log "seen"
    }
  }
}
## Accepted
ruleset a {
  rule r {
    select when a b
    always {
      log info "seen"
    }
  }
}
## Fix
Add the level.

# K0218 error: expected `on` or `off`
`logging` in `meta` is followed by `on` or `off`.
## Refused
ruleset a {
  meta {
    logging true
  }
}
## Accepted
ruleset a {
  meta {
    name "a"
  }
}
## Fix
Logging has no effect any more; the line can go.

# K0219 error: expected `active` or `inactive`
After `rule name is` stands `active` or `inactive`.
## Refused
ruleset a {
  rule r is off {
    select when a b
    noop()
  }
}
## Accepted
ruleset a {
  rule r is active {
    select when a b
    noop()
  }
}
## Fix
Use one of the two words.

# K0220 error: expected an action
After `if … then` and before a defaction's `return` there must be an action.
## Refused
ruleset a {
  rule r {
    select when a b
    if true then
    fired {
      ent:seen := true
    }
  }
}
## Accepted
ruleset a {
  rule r {
    select when a b
    if true then
      noop()
    fired {
      ent:seen := true
    }
  }
}
## Fix
`noop()` is the action that does nothing.

# K0221 error: expected `every`, `sample` or `choose`
Several actions in braces need a word that says which of them run.
## Refused
ruleset a {
  rule r {
    select when a b
    if true then {
      noop()
    }
  }
}
## Accepted
ruleset a {
  rule r {
    select when a b
    if true then every {
      noop()
    }
  }
}
## Fix
Write `every {` to run all of them.

# K0222 error: unknown meta property `…`
`meta` holds name, description, author, version, use, shares, provides, configure and
errors.
## Refused
ruleset a {
  meta {
    title "My ruleset"
  }
}
## Accepted
ruleset a {
  meta {
    name "My ruleset"
  }
}
## Fix
Use one of these words.

# K0223 error: nothing is configured after `with`
`use module … with` is followed by at least one `name = value`.
## Refused
ruleset a {
  meta {
    use module b with
  }
}
## Accepted
ruleset a {
  meta {
    use module b with limit = 3
  }
}
## Fix
Add what is configured, or remove `with`.

# K0224 error: an action returns only one value
A defaction gives back one value, after `return`.
## Refused
ruleset a {
  global {
    act = defaction() {
      noop()
      return 1, 2
    }
  }
}
## Accepted
ruleset a {
  global {
    act = defaction() {
      noop()
      return [1, 2]
    }
  }
}
## Fix
Put the values into an array or a map.

# K0225 error: text after the end of the ruleset
A file holds one ruleset, and nothing follows its closing brace.
## Refused
ruleset a {
}
}
## Accepted
ruleset a {
}
## Fix
Remove what follows. Often a brace too many has ended the ruleset early.

# K0226 error: `…` is an operator and cannot be read as a name
The words like, cmp, and, or, before, then, after, between, any, count and repeat can be
declared as names, but an expression cannot start with them.
## Refused
ruleset a {
  global {
    count = 1
    next = count + 1
  }
}
## Accepted
ruleset a {
  global {
    total = 1
    next = total + 1
  }
}
## Fix
Rename the variable. The operator of this name is called on a value: `items.any(f)`.

# K0227 error: expression is nested too deeply
Brackets inside brackets, chains of operators and chains of calls are bounded, so that no
ruleset can exhaust the compiler.
## Refused
x = [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[
      [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[
      [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[
      [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[
      [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[
      [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[
      [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]
      ]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]
      ]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]
      ]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]
      ]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]
      ]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]
      ]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]
      ]]]]]]]]]]]]]]]]]]]]]]
## Accepted
x = [[]]
## Fix
Give a part of the expression a name and use the name; join many strings with `[…].join()`.

# K0228 error: source holds no ruleset
There is nothing in this source but blanks.
## Refused

## Accepted
ruleset a {
}
## Fix
Write a ruleset: `ruleset my.ruleset { … }`.

# K0229 error: a rule has one action block
Without `every`, `sample` or `choose` a rule has exactly one action.
## Refused
ruleset a {
  rule r {
    select when a b
    noop()
    noop()
  }
}
## Accepted
ruleset a {
  rule r {
    select when a b
    every {
      noop()
      noop()
    }
  }
}
## Fix
Put the actions into `every { … }`.
"""
