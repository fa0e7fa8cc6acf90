ruleset a {
  global {
    act = defaction() {
      noop()
      return 1, 2
    }
  }
}
