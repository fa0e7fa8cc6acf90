ruleset a {
  version 1.0
  meta { }
}
