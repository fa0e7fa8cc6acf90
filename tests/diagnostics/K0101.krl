ruleset a {
  global {
    greeting = 'hello'
  }
}
