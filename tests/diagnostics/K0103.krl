ruleset a {
  global {
    digits = re#^[0-9]+$
  }
}
