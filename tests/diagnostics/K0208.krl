ruleset a {
  global {
    point = {x: 1, y: 2}
  }
}
