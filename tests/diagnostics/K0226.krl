ruleset a {
  global {
    count = 1
    next = count + 1
  }
}
