ruleset a {
  meta {
    logging true
  }
}
