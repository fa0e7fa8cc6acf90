ruleset my.first. {
}
