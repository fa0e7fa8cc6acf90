ruleset a {
  global {
    area = function(r) {
      pi = 3.14
    }
  }
}
