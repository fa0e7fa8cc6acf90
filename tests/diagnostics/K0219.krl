ruleset a {
  rule r is off {
    select when a b
    noop()
  }
}
