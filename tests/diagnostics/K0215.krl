ruleset a {
  rule r {
    select when a b before a c within 5 fortnights
    noop()
  }
}
