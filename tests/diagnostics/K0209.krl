ruleset a {
  rule r {
    select when any (a b, a c)
    noop()
  }
}
