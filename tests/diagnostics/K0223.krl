ruleset a {
  meta {
    use module b with
  }
}
