ruleset 7days {
}
