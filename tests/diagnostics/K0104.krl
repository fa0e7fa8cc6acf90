ruleset a {
  global {
    greeting = <<hello #{name}>
  }
}
