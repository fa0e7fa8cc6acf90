// Data for user interfaces: where a pico is drawn, what it has, what it did. Nothing depends on it.
// A request that cannot be met ends in an event of the same name with `_failed` behind it, with the
// request's attributes, `reason`, and `code` where the engine has one.
ruleset io.picolabs.pico-engine-ui {
  meta {
    name "User interface data"
    description <<Tells user interfaces about a pico, and does what they ask for.>>
    author "picos"
    version "0.0.0"
    shares uiECI, box, pico, name, testingECI, logs
  }

  global {
    ui_tags = ["engine", "ui"]
    ui_events = [
      "setup",
      "box",
      "new",
      "del",
      "install",
      "uninstall",
      "flush",
      "new_channel",
      "del_channel",
      "testing_eci"
    ]
    relation_events = [
      "subscription",
      "pending_subscription_approval",
      "inbound_rejection",
      "outbound_cancellation",
      "subscription_cancellation"
    ]
    ui_queries = ["uiECI", "box", "pico", "logs", "testingECI", "name"]
    relation_queries = ["established", "inbound", "outbound", "wellKnown_Rx"]

    pairs = function(first, names) { names.map(function(name) { {"domain": first, "name": name} }) }
    offers = function(rid, names) { names.map(function(name) { {"rid": rid, "name": name} }) }

    event_policy = {
      "allow": pairs("engine_ui", ui_events)
        .append(pairs("engine", ["started"]))
        .append(pairs("wrangler", relation_events)),
      "deny": []
    }
    query_policy = {
      "allow": [{"rid": "*", "name": "__testing"}]
        .append(offers("io.picolabs.pico-engine-ui", ui_queries))
        .append(offers("io.picolabs.subscription", relation_queries)),
      "deny": []
    }

    is_ui = function(channel) { channel{"tags"}.sort() == ui_tags }

    uiECI = function() { ent:uiECI => ent:uiECI | ctx:channels.filter(is_ui).head(){"id"} }

    name = function() { ent:name.defaultsTo("Pico") }

    color = function() { ent:backgroundColor.defaultsTo("#87cefa") }

    children = function() {
      ctx:children.map(function(eci) { ent:child_ui_ecis{[eci]} }).filter(function(eci) { eci })
    }

    box = function() {
      {
        "eci": uiECI(),
        "parent": ent:parent_ui_eci,
        "children": children(),
        "name": name(),
        "backgroundColor": color(),
        "x": ent:x.defaultsTo(100),
        "y": ent:y.defaultsTo(100),
        "width": ent:width.defaultsTo(100),
        "height": ent:height.defaultsTo(100)
      }
    }

    pico = function() {
      {
        "eci": uiECI(),
        "parent": ent:parent_ui_eci,
        "children": children(),
        "channels": ctx:channels,
        "rulesets": ctx:rulesets
      }
    }

    // Newest first, each with what its rules did and said.
    logs = function() {
      turns = ctx:logs(true).collect(function(record) { record{"txnId"} })
      turns
        .keys()
        .reverse()
        .map(function(id) {
          records = turns{[id]};
          {
            "txnId": id,
            "time": records.head(){"time"},
            "header": log_header(records.head(){["txn", "event"]}),
            "entries": records.tail().map(log_line)
          }
        })
    }

    log_header = function(event) {
      attrs = event{["data", "attrs"]}.encode()
      <<EVENT #{event{"eci"}} #{event{"domain"}}:#{event{"name"}} #{attrs}>>
    }

    log_line = function(record) {
      said = record{"msg"}.typeof() == "String" => record{"msg"} | record{"msg"}.encode()
      detail = record{"event"} => " " + record{"event"}.encode()
        | said == "rule selected" => << #{record{"rid"}} : #{record{"rule_name"}}>>
        | ""
      <<#{record{"time"}.substr(11)} [#{record{"level"}.uc()}] #{said}#{detail}>>
    }

    testingECI = function() { ent:testingECI }

    // What a client said in its headers is not for keeping.
    attrs = function() { event:attrs.delete("_headers") }

    failure = function(reason) { attrs().put({"reason": reason}) }
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

  // --- The box ---

  rule set_up {
    select when engine_ui setup
    ctx:upsertChannel(ui_tags, event_policy, query_policy) setting(channel)
    fired {
      ent:uiECI := channel{"id"}
    }
  }

  rule change_box {
    select when engine_ui box
    pre {
      given = function(key) { event:attrs{key} }
      wanted_color = given("backgroundColor")
      is_color = wanted_color.typeof() == "String" && wanted_color.match(re#^\#[0-9a-f]{6}$#i)
      number = function(key, old) {
        is_given = not given(key).isnull() && given(key) != ""
        value = is_given => given(key).as("Number") | null
        value.isnull() => old | value
      }
    }
    always {
      ent:x := number("x", ent:x)
      ent:y := number("y", ent:y)
      ent:width := number("width", ent:width)
      ent:height := number("height", ent:height)
      ent:name := given("name") if given("name")
      ent:backgroundColor := wanted_color if is_color
      ent:parent_ui_eci := given("parentUiEci") if given("parentUiEci")
      raise engine_ui event "box_failed"
        attributes failure("a colour is # and six hexadecimal digits") if wanted_color
        && not is_color
    }
  }

  rule remember_testing_channel {
    select when engine_ui testing_eci
    always {
      ent:testingECI := event:attrs{"eci"}
    }
  }

  // --- Children ---

  rule ask_for_child {
    select when engine_ui new
    pre {
      asked = {
        "name": event:attrs{"name"},
        "backgroundColor": event:attrs{"backgroundColor"}.defaultsTo(color())
      }
    }
    if asked{"name"} then
      noop()
    fired {
      raise wrangler event "new_child_request" attributes attrs().put(asked)
    } else {
      raise engine_ui event "new_failed" attributes failure("the attribute `name` is missing")
    }
  }

  // The new one learns what it looks like; over the family channel, if a ceiling may keep user
  // interfaces out.
  rule remember_child {
    select when wrangler new_child_created
    pre {
      eci = event:attrs{"eci"}
      ui_eci = event:attrs{"uiEci"}
      is_limited = event:attrs{"pico_type"} || event:attrs{"pico_ceiling"}
    }
    if eci && ui_eci then
      event:send({
        "eci": is_limited => eci | ui_eci,
        "domain": "engine_ui",
        "name": "box",
        "attrs": {
          "name": event:attrs{"name"},
          "backgroundColor": event:attrs{"backgroundColor"}.defaultsTo("#87CEFA"),
          "parentUiEci": uiECI()
        }
      })
    fired {
      ent:child_ui_ecis{[eci]} := ui_eci
    }
  }

  // It leaves the picture at once; what it has to clean up may take a moment.
  rule ask_to_delete_child {
    select when engine_ui del
    pre {
      ui_eci = event:attrs{"eci"}
      eci = ui_eci => ctx:children
        .filter(function(child) { ent:child_ui_ecis{[child]} == ui_eci })
        .head()
        | null
    }
    if eci then
      noop()
    fired {
      clear ent:child_ui_ecis{[eci]}
      raise wrangler event "child_deletion_request" attributes {"eci": eci}
    } else {
      raise engine_ui event "del_failed" attributes failure("no child has this UI channel")
    }
  }

  rule forget_child {
    select when wrangler child_deleted
    always {
      clear ent:child_ui_ecis{[event:attrs{"eci"}]}
    }
  }

  // Children that were made in another way are asked for their channel; who has none, says nothing.
  rule ask_strangers {
    select when engine started
    foreach ctx:children setting(child)
    if not ent:child_ui_ecis{[child]} then
      event:send({
        "eci": child,
        "domain": "engine_ui",
        "name": "ui_eci_needed",
        "attrs": {"eci": child, "parentUiEci": uiECI()}
      })
  }

  rule tell_parent {
    select when engine_ui ui_eci_needed
    if ctx:parent && uiECI() then
      event:send({
        "eci": ctx:parent,
        "domain": "engine_ui",
        "name": "ui_eci_told",
        "attrs": {"eci": event:attrs{"eci"}, "uiEci": uiECI()}
      })
    fired {
      ent:parent_ui_eci := event:attrs{"parentUiEci"}
    }
  }

  rule remember_stranger {
    select when engine_ui ui_eci_told
    if ctx:children.any(function(child) { child == event:attrs{"eci"} }) then
      noop()
    fired {
      ent:child_ui_ecis{[event:attrs{"eci"}]} := event:attrs{"uiEci"}
    }
  }

  // --- Rulesets and channels ---

  rule ask_to_install {
    select when engine_ui install
    if event:attrs{"url"} then
      noop()
    fired {
      raise wrangler event "install_ruleset_request" attributes attrs()
    } else {
      raise engine_ui event "install_failed" attributes failure("the attribute `url` is missing")
    }
  }

  rule uninstall_ruleset {
    select when engine_ui uninstall
    ctx:uninstall(event:attrs{"rid"})
  }

  rule flush_ruleset {
    select when engine_ui flush
    ctx:flush(event:attrs{"url"})
  }

  rule create_channel {
    select when engine_ui new_channel
    pre {
      tags = event:attrs{"tags"}
      events = event:attrs{"eventPolicy"}
      queries = event:attrs{"queryPolicy"}
    }
    if tags && events && queries then
      ctx:newChannel(tags, events, queries)
    notfired {
      raise engine_ui event "new_channel_failed"
        attributes failure("`tags`, `eventPolicy` and `queryPolicy` are all needed")
    }
  }

  // Without its own channel a user interface would be lost, so this one stays.
  rule delete_channel {
    select when engine_ui del_channel
    if event:attrs{"eci"} != uiECI() then
      ctx:delChannel(event:attrs{"eci"})
    notfired {
      raise engine_ui event "del_channel_failed"
        attributes failure("this is the channel of user interfaces, which they need")
    }
  }
}
