// Life-cycle of a pico: its children, channels and rulesets, and queries to other picos.
// A request that cannot be met ends in an event of the same name with `_failed` behind it, with the
// request's attributes, `reason`, and `code` where the engine has one.
ruleset io.picolabs.wrangler {
  meta {
    name "Wrangler"
    description <<Makes and deletes children, channels and installations; asks other picos.>>
    author "picos"
    provides skyQuery, picoQuery, channels, rulesetConfig, rulesetMeta, installedRIDs, children,
      parent_eci, name, myself, createChannel, deleteChannel
    shares skyQuery, picoQuery, channels, rulesetConfig, rulesetMeta, installedRIDs, children,
      parent_eci, name, myself, id
  }

  global {
    // How long a child that is to be deleted may take to clean up, in seconds.
    cleanup_seconds = 300

    // What every child gets at once, as far as this pico has it; and what it installs itself.
    first_rids = ["io.picolabs.pico-engine-ui", "io.picolabs.wrangler"]
    later_rids = ["io.picolabs.pds", "io.picolabs.subscription"]
    ui_rid = "io.picolabs.pico-engine-ui"
    // A child's channel for user interfaces, until the child's own rules widen it.
    ui_channel = {
      "tags": ["engine", "ui"],
      "eventPolicy": {
        "allow": [{"domain": "engine_ui", "name": "setup"}, {"domain": "engine_ui", "name": "box"}],
        "deny": []
      },
      "queryPolicy": {"allow": [{"rid": ui_rid, "name": "*"}], "deny": []}
    }

    // --- The pico itself ---

    id = function() { ctx:picoId }

    name = function() { ent:name }

    parent_eci = function() { ctx:parent }

    myself = function() { {"name": name(), "id": id(), "eci": own_eci()} }

    // By which a pico is known to its family: the parent's channel to it, or a root's self channel.
    own_eci = function() {
      family = tagged(["child", "system"])
      family.length() > 0 => family.head(){"id"} | ctx:picoId
    }

    // What may be told to others: what a client said in its headers may not.
    attrs = function() { event:attrs.delete("_headers") }

    // --- Channels ---

    tagged = function(wanted) {
      ctx:channels.filter(function(channel) { channel{"tags"}.sort() == wanted })
    }

    channels = function(tags) {
      listed = tags.typeof() == "String" => tags.split(re#,#) | tags
      clean = function(tag) { tag.as("String").lc().replace(re#^\s+|\s+$#g, "") }
      listed.typeof() == "Array" => tagged(listed.map(clean).sort()) | ctx:channels
    }

    createChannel = defaction(tags, eventPolicy, queryPolicy) {
      ctx:newChannel(tags, eventPolicy, queryPolicy) setting(channel)
      return channel
    }

    deleteChannel = defaction(eci) { ctx:delChannel(eci) }

    is_own = function(eci) { ctx:channels.any(function(channel) { channel{"id"} == eci }) }

    // --- Rulesets ---

    installed = function(rid) { ctx:rulesets.filter(function(r) { r{"rid"} == rid }).head() }

    installedRIDs = function() { ctx:rulesets.map(function(r) { r{"rid"} }) }

    rulesetConfig = function(rid) { installed(rid){"config"} }

    rulesetMeta = function(rid) { installed(rid){["meta", "krlMeta"]} }

    // The URL of a ruleset that is kept beside another one.
    beside = function(url, rid) { url.replace(re#[^/]*$#, rid + ".krl") }

    // Where a ruleset can be read again: not one that came as a text, or in a bundle.
    is_readable = function(url) {
      url.match(re#^[a-z][a-z0-9+.-]*:#i) && not url.match(re#^source:#)
    }

    reread = defaction(url) {
      if is_readable(url) then
        ctx:flush(url)
    }

    // --- Children ---

    children = function() {
      ctx:children.map(function(eci) {
        {
          "eci": eci,
          "name": ctx:query(eci, "io.picolabs.wrangler", "name"),
          "parent_eci": ctx:query(eci, "io.picolabs.wrangler", "parent_eci")
        }
      })
    }

    // Only a child that has this ruleset can be asked to clean up.
    can_clean_up = function(eci) { not ent:children{[eci]}.isnull() }

    is_leaving = function(eci) { not ent:leaving{[eci]}.isnull() }

    is_child = function(eci) { ctx:children.any(function(child) { child == eci }) }

    // The rulesets of a new child.
    child_rulesets = function() {
      first_rids
        .map(installed)
        .filter(function(r) { r })
        .map(function(r) { {"url": r{"url"}, "config": {}} })
    }

    // A child, and its channels for this pico and for user interfaces. A type was declared by a
    // bundle; a ceiling says what no channel of the child may exceed.
    new_child = defaction(type, ceiling) {
      has_ui = installed(ui_rid)
      endowment = {"channels": has_ui => [ui_channel] | [], "type": type, "ceiling": ceiling}
      ctx:newPico(child_rulesets(), endowment) setting(eci)
      return {"eci": eci, "uiEci": has_ui => ctx:query(eci, ui_rid, "uiECI") | null}
    }

    is_from_parent = function() {
      tagged(["child", "system"]).any(function(channel) { channel{"id"} == event:eci })
    }

    // --- Other picos ---

    self_query = {
      "status_code": 400,
      "status_line": "HTTP/1.1 400 Pico should not query itself",
      "content": {"error": "Pico should not query itself"}.encode()
    }

    picoQuery = function(eci, mod, func, params, _host, _path, _root_url) {
      is_here = _host.isnull() || _host == "" || _host == meta:host
      is_own(eci) => self_query
        | is_here && _root_url.isnull() => ctx:query(eci, mod, func, params.defaultsTo({}))
        | skyQuery(eci, mod, func, params, _host, _path, _root_url)
    }

    skyQuery = function(eci, mod, func, params, _host, _path, _root_url) {
      root = _root_url.defaultsTo(_host.defaultsTo(meta:host) + _path.defaultsTo("/sky/cloud/"))
      url = <<#{root}#{eci}/#{mod}/#{func}>>
      answer = is_own(eci) => self_query | http:get(url, params.defaultsTo({}))
      content = answer{"content"}.decode()
      is_map = content.typeof() == "Map"
      error = is_map => content{"error"} | null
      error_text = is_map => content{"error_str"} | null
      is_good = answer{"status_code"} == 200
        && not content.isnull()
        && error.isnull()
        && error_text.isnull()
      is_good => content
        | {
          "error": "sky query request was unsuccesful.",
          "httpStatus": {"code": answer{"status_code"}, "message": answer{"status_line"}},
          "picoQueryError": error.defaultsTo(0),
          "picoQueryErrorMsg": error_text.defaultsTo(0),
          "picoQueryReturnValue": content
        }
    }
  }

  // --- Failures ---

  // The engine took back what the request's rule had done, and says why.
  rule tell_failure {
    select when system error
    pre {
      request = event:attrs{"event"}
    }
    if request then
      noop()
    fired {
      raise event request{"domain"} + ":" + request{"name"} + "_failed"
        attributes request{"attrs"}
          .delete("_headers")
          .put({"reason": event:attrs{"msg"}, "code": event:attrs{"species"}})
    }
  }

  // --- Who am I ---

  // A root learns it here; a child's provisional name is replaced by what its parent says.
  rule set_up {
    select when engine_ui setup
    if ent:id.isnull() && ent:parent_eci.isnull() then
      noop()
    fired {
      ent:id := ctx:picoId
      ent:eci := ctx:picoId
      ent:name := "Pico"
    }
  }

  // What stands beside wrangler's own URL, in the order of the list.
  rule install_siblings {
    select when wrangler pico_created
    foreach later_rids setting(rid)
    fired {
      raise wrangler event "install_ruleset_request" attributes {"url": beside(ctx:rid_url, rid)}
    }
  }

  // What the parent gave it beside the first ones has not been told that it is there.
  rule tell_first_rulesets {
    select when wrangler pico_created
    pre {
      brought = installedRIDs().difference(first_rids)
    }
    if brought.length() > 0 then
      noop()
    fired {
      raise wrangler event "ruleset_installed" attributes attrs().put({"rids": brought})
    }
  }

  rule pico_created {
    select when wrangler pico_created
    fired {
      ent:parent_eci := ctx:parent
      ent:name := event:attrs{"name"}
      ent:id := ctx:picoId
      ent:eci := event:eci
      raise wrangler event "pico_initialized" attributes attrs().put({"eci": event:eci})
    }
  }

  rule tell_parent {
    select when wrangler pico_initialized
    if ctx:parent then
      event:send({
        "eci": ctx:parent,
        "domain": "wrangler",
        "name": "child_initialized",
        "attrs": attrs()
      })
  }

  rule change_name {
    select when wrangler name_changed
    if event:attrs{"name"} then
      noop()
    fired {
      ent:name := event:attrs{"name"}
    } else {
      raise wrangler event "name_changed_failed"
        attributes attrs().put({"reason": "the attribute `name` is missing"})
    }
  }

  rule pass_on_online {
    select when system online
    foreach ctx:children setting(child)
    event:send({"eci": child, "domain": "system", "name": "online", "attrs": attrs()})
  }

  // --- Children ---

  // All of it is one turn: a ruleset that cannot be had leaves no child.
  rule create_child {
    select when wrangler new_child_request
    pre {
      name = event:attrs{"name"}
    }
    if name then every {
      new_child(event:attrs{"pico_type"}, event:attrs{"pico_ceiling"}) setting(child)
      event:send({"eci": child{"eci"}, "domain": "engine_ui", "name": "setup"})
      event:send({
        "eci": child{"eci"},
        "domain": "wrangler",
        "name": "pico_created",
        "attrs": attrs()
      })
    }
    fired {
      ent:children{[child{"eci"}]} := name
      raise wrangler event "new_child_created" attributes attrs().put(child)
    } else {
      raise wrangler event "new_child_request_failed"
        attributes attrs().put({"reason": "the attribute `name` is missing"})
    }
  }

  // --- Deletion: asked to clean up, given time, then gone ---

  // A child that is ready, one that cannot clean up, or one that `force` gives no time, goes now.
  rule delete_child {
    select when wrangler child_deletion_request
    pre {
      eci = event:attrs{"eci"}
      asked = is_leaving(eci) => ent:leaving{[eci]} | {"attrs": attrs()}
      is_now = event:attrs{"ready"} || event:attrs{"force"} || not can_clean_up(eci)
    }
    if is_now then every {
      ctx:delPico(eci)
      schedule:remove(asked{"job"})
    }
    fired {
      clear ent:children{[eci]}
      clear ent:leaving{[eci]}
      raise wrangler event "child_deleted" attributes asked{"attrs"}
    }
  }

  rule ask_child_to_clean_up {
    select when wrangler child_deletion_request
    pre {
      eci = event:attrs{"eci"}
      is_asked = can_clean_up(eci) && not is_leaving(eci) && is_child(eci)
      seconds = event:attrs{"cleanup_seconds"}.defaultsTo(cleanup_seconds).as("Number")
    }
    if is_asked then
      event:send({"eci": eci, "domain": "wrangler", "name": "intent_to_delete_pico"})
    fired {
      schedule wrangler event "child_cleanup_timed_out"
        at time:add(time:now(), {"seconds": seconds})
        attributes {"eci": eci}
        setting(job)
      ent:leaving{[eci]} := {"attrs": attrs(), "job": job{"id"}}
    }
  }

  rule child_took_too_long {
    select when wrangler child_cleanup_timed_out
    pre {
      eci = event:attrs{"eci"}
      asked = ent:leaving{[eci]}
    }
    if is_leaving(eci) && is_child(eci) then
      ctx:delPico(eci)
    fired {
      clear ent:children{[eci]}
      clear ent:leaving{[eci]}
      raise wrangler event "child_deleted" attributes asked{"attrs"}.put({"timed_out": true})
    }
  }

  // In the child: its rulesets are told, and its own children asked in turn. This ruleset counts as
  // one that needs time, until each of the others has had the chance to say that it does.
  rule begin_to_leave {
    select when wrangler intent_to_delete_pico
    if is_from_parent() && not ent:is_leaving then
      event:send({
        "eci": ctx:picoId,
        "domain": "wrangler",
        "name": "cleanup_finished",
        "attrs": {"domain": meta:rid}
      })
    fired {
      ent:is_leaving := true
      ent:cleaning{[meta:rid]} := true
      raise wrangler event "rulesets_need_to_cleanup"
    }
  }

  rule ask_grandchildren {
    select when wrangler rulesets_need_to_cleanup
    foreach ctx:children setting(eci)
    if ent:is_leaving then
      noop()
    fired {
      raise wrangler event "child_deletion_request" attributes {"eci": eci}
    }
  }

  rule wait_for_ruleset {
    select when wrangler ruleset_needs_cleanup_period
    fired {
      ent:cleaning{[event:attrs{"domain"}]} := true
    }
  }

  rule ruleset_is_clean {
    select when wrangler cleanup_finished
    fired {
      clear ent:cleaning{[event:attrs{"domain"}]}
    }
  }

  rule look_at_cleanup {
    select when wrangler cleanup_finished or wrangler child_deleted
    if ent:is_leaving
      && not ent:is_ready
      && ent:cleaning.defaultsTo({}).keys().length() == 0
      && ctx:children.length() == 0 then
      noop()
    fired {
      ent:is_ready := true
      raise wrangler event "ready_for_deletion"
    }
  }

  rule ask_parent_to_delete {
    select when wrangler ready_for_deletion
    pre {
      family = tagged(["child", "system"]).head()
    }
    if family then
      event:send({
        "eci": ctx:parent,
        "domain": "wrangler",
        "name": "child_deletion_request",
        "attrs": {"eci": family{"id"}, "ready": ent:is_leaving.defaultsTo(false)}
      })
    notfired {
      raise wrangler event "ready_for_deletion_failed"
        attributes attrs().put({"reason": "a root pico has no parent that could delete it"})
    }
  }

  // --- Channels ---

  rule create_channel {
    select when wrangler new_channel_request
    pre {
      tags = event:attrs{"tags"}
      events = event:attrs{"eventPolicy"}
      queries = event:attrs{"queryPolicy"}
    }
    if tags && events && queries then
      createChannel(tags, events, queries) setting(channel)
    fired {
      raise wrangler event "channel_created" attributes attrs().put({"channel": channel})
    } else {
      raise wrangler event "new_channel_request_failed"
        attributes attrs().put({"reason": "`tags`, `eventPolicy` and `queryPolicy` are all needed"})
    }
  }

  rule delete_channel {
    select when wrangler channel_deletion_request
    deleteChannel(event:attrs{"eci"})
    fired {
      raise wrangler event "channel_deleted" attributes attrs()
    }
  }

  // --- Rulesets ---

  rule install_ruleset {
    select when wrangler install_ruleset_request
    pre {
      url = event:attrs{"url"}
    }
    if url then every {
      reread(url)
      ctx:install(url, event:attrs{"config"}.defaultsTo({})) setting(rid)
    }
    fired {
      raise wrangler event "ruleset_installed" attributes attrs().put({"rids": [rid]})
    }
  }

  rule install_ruleset_beside {
    select when wrangler install_ruleset_request
    pre {
      rid = event:attrs{"rid"}
      absolute = event:attrs{"absoluteURL"}
    }
    if absolute && rid && not event:attrs{"url"} then
      noop()
    fired {
      raise wrangler event "install_ruleset_request"
        attributes attrs().delete("absoluteURL").put({"url": beside(absolute, rid)})
    }
  }

  rule install_ruleset_from_nowhere {
    select when wrangler install_ruleset_request
    if not event:attrs{"url"} && not (event:attrs{"absoluteURL"} && event:attrs{"rid"}) then
      noop()
    fired {
      raise wrangler event "install_ruleset_request_failed"
        attributes attrs().put({"reason": "`url` is needed, or `absoluteURL` and `rid`"})
    }
  }

  rule uninstall_ruleset {
    select when wrangler uninstall_ruleset_request
    if event:attrs{"rid"} then
      ctx:uninstall(event:attrs{"rid"})
    fired {
      raise wrangler event "ruleset_uninstalled" attributes attrs()
    } else {
      raise wrangler event "uninstall_ruleset_request_failed"
        attributes attrs().put({"reason": "the attribute `rid` is missing"})
    }
  }

  // Each in its own rule round, so that one that cannot be read does not keep back the others.
  rule flush_rulesets {
    select when wrangler rulesets_need_flushing
    foreach ctx:rulesets.map(function(r) { r{"url"} }).filter(is_readable) setting(url)
    fired {
      raise wrangler event "ruleset_flush_request" attributes {"url": url}
    }
  }

  // The end of it is a turn of its own: by then every failure has been told.
  rule end_flushing {
    select when wrangler rulesets_need_flushing
    event:send({
      "eci": ctx:picoId,
      "domain": "wrangler",
      "name": "rulesets_flush_ended",
      "attrs": attrs()
    })
    fired {
      clear ent:unflushed
    }
  }

  rule flush_ruleset {
    select when wrangler ruleset_flush_request
    ctx:flush(event:attrs{"url"})
  }

  rule note_unflushed {
    select when wrangler ruleset_flush_request_failed
    fired {
      ent:unflushed{[event:attrs{"url"}]} := event:attrs{"reason"}
    }
  }

  rule tell_of_flushing {
    select when wrangler rulesets_flush_ended
    if ent:unflushed.isnull() then
      noop()
    fired {
      raise wrangler event "rulesets_flushed" attributes attrs()
    } else {
      raise wrangler event "rulesets_need_flushing_failed"
        attributes attrs().put({
          "reason": ent:unflushed.values().join("; "),
          "urls": ent:unflushed.keys()
        })
    }
  }
}
