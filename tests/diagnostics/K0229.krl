ruleset a {
  rule r {
    select when a b
    noop()
    noop()
  }
}
