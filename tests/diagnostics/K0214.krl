ruleset a {
  rule r {
    select say hello
    noop()
  }
}
