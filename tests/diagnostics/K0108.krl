ruleset a {
  rule r {
    select when count 99999999999 (a b)
    noop()
  }
}
