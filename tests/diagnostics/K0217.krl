ruleset a {
  rule r {
    select when a b
    always {
      log "seen"
    }
  }
}
