ruleset a {
  rule r {
    select when * b
    noop()
  }
}
