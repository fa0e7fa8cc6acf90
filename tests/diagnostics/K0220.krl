ruleset a {
  rule r {
    select when a b
    if true then
    fired {
      ent:seen := true
    }
  }
}
