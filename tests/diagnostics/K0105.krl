ruleset a {
  /* what it does
}
