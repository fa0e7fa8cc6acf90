ruleset a {
  global {
    items = [1,, 2]
  }
}
