ruleset a {
  global {
    double = function(x { x * 2 }
  }
}
