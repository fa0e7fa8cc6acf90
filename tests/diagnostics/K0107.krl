ruleset a {
  global {
    pattern = re#ab#gig
  }
}
