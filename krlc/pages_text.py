"""Pages of the codes about text (K01): what the lexer cannot read.

The form is described in `pages.py`.
"""

PAGES = r"""
# K0101 error: character has no meaning here
KRL is written with letters of the English alphabet, digits and a few signs. Any other
character may stand only inside strings, chevrons, regular expressions and comments.
## Refused
ruleset a {
  global {
    greeting = 'hello'
  }
}
## Accepted
ruleset a {
  global {
    greeting = "hello"
  }
}
## Fix
Strings stand between double quotes, comments start with `//`, conditions are joined with
`&&` and `||`.

# K0102 error: string is not closed
A string runs to the next double quote, over line ends too. This one has no end.
## Refused
ruleset a {
  global {
    greeting = "hello
  }
}
## Accepted
ruleset a {
  global {
    greeting = "hello"
  }
}
## Fix
Close the string. A quote inside it is written `\"`; a text with many of them is easier to
write as a chevron, `<<…>>`.

# K0103 error: regular expression is not closed
A regular expression runs from `re#` to the next `#`. This one has no end.
## Refused
ruleset a {
  global {
    digits = re#^[0-9]+$
  }
}
## Accepted
ruleset a {
  global {
    digits = re#^[0-9]+$#
  }
}
## Fix
Close it with `#`. A `#` inside the pattern is written `\#`.

# K0104 error: chevron is not closed
A chevron runs from `<<` to `>>`, which may stand on a later line. This one has no end.
## Refused
ruleset a {
  global {
    greeting = <<hello #{name}>
  }
}
## Accepted
ruleset a {
  global {
    name = "Ann"
    greeting = <<hello #{name}>>
  }
}
## Fix
Close it with `>>`. To have `>>` inside the text write `>\>`.

# K0105 error: comment is not closed
A comment that starts with `/*` runs to the next `*/`. This one has no end.
## Refused
ruleset a {
  /* what it does
}
## Accepted
ruleset a {
  /* what it does */
}
## Fix
Close it with `*/`. Comments do not nest: the first `*/` ends all of it.

# K0106 error: regular expression is malformed
Between `re#` and `#` stands a regular expression as ECMAScript knows it. This pattern is
none: often a parenthesis or bracket has no partner, or there is nothing to repeat.
## Refused
ruleset a {
  global {
    pattern = re#(ab#
  }
}
## Accepted
ruleset a {
  global {
    pattern = re#(ab)#
  }
}
## Fix
Put a backslash before a sign that shall stand for itself.

# K0107 error: flag `…` is given twice
After the closing `#` of a regular expression each of the flags g, i and m may stand once.
## Refused
ruleset a {
  global {
    pattern = re#ab#gig
  }
}
## Accepted
ruleset a {
  global {
    pattern = re#ab#gi
  }
}
## Fix
Remove the second one.

# K0108 error: number is too large
Numbers are IEEE doubles; the largest is about 1.8 with 308 zeros behind it. The numbers of
`any`, `count` and `repeat` go to 999,999,999.
## Refused
ruleset a {
  rule r {
    select when count 99999999999 (a b)
    noop()
  }
}
## Accepted
ruleset a {
  rule r {
    select when count 3 (a b)
    noop()
  }
}
## Fix
Use a smaller number, or a string if it is a name made of digits.

# K0109 error: regular expression is too long
A pattern has at most 10,000 characters.
## Accepted
ruleset a {
  global {
    words = ["one", "two", "three"]
  }
}
## Fix
Search in an array or a map; a pattern is no place for a long list of alternatives.
"""
