ruleset a {
  rule r {
    select when a b
    fired {
      done
    }
  }
}
