ruleset a {
  rule r {
    select when hello
    {
    }
  }
}
