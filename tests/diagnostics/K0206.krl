ruleset a {
  rule null {
    select when a b
    noop()
  }
}
