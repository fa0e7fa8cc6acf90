ruleset a {
}
}
