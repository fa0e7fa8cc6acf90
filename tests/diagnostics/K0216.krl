ruleset a {
  rule r {
    select when a b
    always {
      schedule a event "c"
    }
  }
}
