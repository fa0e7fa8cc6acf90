ruleset a {
  global {
    x = setting
  }
}
