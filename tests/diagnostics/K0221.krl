ruleset a {
  rule r {
    select when a b
    if true then {
      noop()
    }
  }
}
