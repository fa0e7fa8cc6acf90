ruleset a {
  meta {
    title "My ruleset"
  }
}
