// What a pico remembers for its rulesets: a profile, general data by namespace and key, settings.
// A request that cannot be met ends in an event of the same name with `_failed` behind it, with the
// request's attributes, `reason`, and `code` where the engine has one.
ruleset io.picolabs.pds {
  meta {
    name "Personal data store"
    description <<Keeps a profile, general data and settings for the rulesets of a pico.>>
    author "picos"
    use module io.picolabs.wrangler alias wrangler
    provides items, get_keys, profile, settings, settings_names, get_setting_data_value,
      config_value, get_config_value, getChannelEci
    shares items, get_keys, profile, settings, settings_names, get_setting_data_value, config_value,
      get_config_value, getChannelEci
  }

  global {
    channel_tags = ["pds"]
    event_policy = {"allow": [{"domain": "pds", "name": "*"}], "deny": []}
    query_policy = {"allow": [{"rid": "io.picolabs.pds", "name": "*"}], "deny": []}

    // What a profile says of a pico that has not said it yet: a circle on a square.
    default_photo = "data:image/svg+xml;base64,"
      + math:base64encode(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'>"
          + "<path fill='#87cefa' d='M0 0h8v8H0z'/><circle fill='#fff' cx='4' cy='4' r='2'/></svg>"
      )
    profile_defaults = {"name": "", "description": "", "photo": default_photo}
    profile_kept = ["name", "description", "photo", "email", "phone"]

    general = function() { ent:general.defaultsTo({}) }

    items = function(namespace, key) {
      value = key => general(){[namespace, key]} | namespace => general(){namespace} | general();
      {"status": namespace => "success" | "failed", "general": value}
    }

    get_keys = function(namespace) { general(){namespace}.defaultsTo({}).keys() }

    profile = function(key) {
      {"status": "success", "profile": key => ent:profile{key} | ent:profile}
    }

    all_settings = function() { ent:settings.defaultsTo({}) }

    settings = function(Rid, Key, detail) {
      value = not Rid => all_settings()
        | detail => all_settings(){[Rid, "data", detail]}
        | Key => all_settings(){[Rid, Key]}
        | all_settings(){Rid};
      {"status": "success", "settings": value}
    }

    settings_names = function() {
      all_settings().values().map(function(one) { {"setRID": one{"rid"}, "setName": one{"name"}} })
    }

    get_setting_data_value = function(setRID, setKey) { all_settings(){[setRID, "data", setKey]} }

    // For the ruleset that uses this one as a module.
    config_value = function(setKey) { get_setting_data_value(meta:callingRID(), setKey) }

    get_config_value = function(setKey) { config_value(setKey) }

    getChannelEci = function() { ent:pds_channel_eci }

    // What a client said in its headers is not for keeping.
    attrs = function() { event:attrs.delete("_headers") }

    now_text = function() { time:strftime(time:now(), "%Y%m%dT%H%M%S%z") }

    failure = function(reason) { attrs().put({"reason": reason}) }

    no_namespace = "the attribute `namespace` is missing"
    no_key = "the attributes `namespace` and `key` are both needed"
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

  // --- Beginning ---

  rule make_channel {
    select when wrangler ruleset_installed
    if event:attrs{"rids"}.defaultsTo([]) >< meta:rid
      && not wrangler:channels(channel_tags).length() then
      wrangler:createChannel(channel_tags, event_policy, query_policy) setting(channel)
    fired {
      ent:pds_channel_eci := channel{"id"}
    }
  }

  rule begin_profile {
    select when wrangler ruleset_installed
    pre {
      name = wrangler:name()
    }
    if event:attrs{"rids"}.defaultsTo([]) >< meta:rid && name && not ent:profile{"name"} then
      noop()
    fired {
      raise pds event "updated_profile" attributes {"name": name}
    }
  }

  // --- General data ---

  rule add_data {
    select when pds new_data_available
    pre {
      namespace = event:attrs{"namespace"}
      key = event:attrs{"key"}
      value = event:attrs{"value"}.defaultsTo("")
    }
    if namespace && key then
      noop()
    fired {
      ent:general{[namespace, key]} := value
      raise pds event "data_added" attributes {
          "namespace": namespace,
          "keyvalue": {}.put([key], value)
        }
    } else {
      raise pds event "new_data_available_failed" attributes failure(no_key)
    }
  }

  rule merge_data {
    select when pds updated_data_available
    pre {
      namespace = event:attrs{"namespace"}
      key = event:attrs{"key"}
      value = event:attrs{"value"}
      old = general(){[namespace, key]}
      old_map = old.typeof() == "Map" => old | {}
    }
    if namespace && key && value.typeof() == "Map" then
      noop()
    fired {
      ent:general{[namespace, key]} := old_map.put(value)
      raise pds event "members_updated" attributes {"namespace": namespace, "value": value}
    } else {
      raise pds event "updated_data_available_failed"
        attributes failure(no_key + ", and `value` must be a map")
    }
  }

  rule tell_members {
    select when pds members_updated
    foreach event:attrs{"value"} setting(value, key)
    fired {
      raise pds event "data_updated" attributes {
          "namespace": event:attrs{"namespace"},
          "keyvalue": {}.put([key], value)
        }
    }
  }

  rule remove_data {
    select when pds remove_old_data
    pre {
      namespace = event:attrs{"namespace"}
      key = event:attrs{"key"}
    }
    if namespace && key then
      noop()
    fired {
      raise pds event "data_deleted" attributes {
          "namespace": namespace,
          "keyvalue": {}.put([key], general(){[namespace, key]})
        }
      clear ent:general{[namespace, key]}
    } else {
      raise pds event "remove_old_data_failed" attributes failure(no_key)
    }
  }

  rule remove_namespace {
    select when pds remove_namespace
    pre {
      namespace = event:attrs{"namespace"}
    }
    if namespace then
      noop()
    fired {
      clear ent:general{[namespace]}
      raise pds event "namespace_deleted" attributes {"namespace": namespace}
    } else {
      raise pds event "remove_namespace_failed" attributes failure(no_namespace)
    }
  }

  rule replace_namespace {
    select when pds map_item
    pre {
      namespace = event:attrs{"namespace"}
      given = event:attrs{"mapvalues"}
      values = given.typeof() == "String" => given.decode() | given
    }
    if namespace && values.typeof() == "Map" then
      noop()
    fired {
      ent:general{[namespace]} := values
      raise pds event "new_map_added" attributes {"namespace": namespace, "mapvalues": values}
    } else {
      raise pds event "map_item_failed"
        attributes failure(no_namespace + ", or `mapvalues` is no map")
    }
  }

  // --- Profile ---

  rule update_profile {
    select when pds updated_profile
    pre {
      given = attrs()
      old = ent:profile.defaultsTo(profile_defaults)
      now = now_text()
      kept = profile_kept.reduce(function(so_far, key) { so_far.put([key], old{key}) }, {
        "_created": old{"_created"}.defaultsTo(now),
        "_modified": now
      })
    }
    if given.keys().length() then
      noop()
    fired {
      ent:profile := kept.put(given)
      raise pds event "profile_updated" attributes given.put({"_status": "success"})
    } else {
      raise pds event "profile_updated" attributes {"_status": "failure"}
      raise pds event "updated_profile_failed" attributes failure("no attribute was given")
    }
  }

  // --- Settings ---

  rule add_settings {
    select when pds add_settings
    pre {
      rid = event:attrs{"keyed_rid"}
      name = event:attrs{"name"}
      schema = event:attrs{"schema"}
      data_key = event:attrs{"data_key"}
      old = all_settings(){rid}.defaultsTo({"data": {}})
    }
    if rid then
      noop()
    fired {
      ent:settings{[rid]} := old.put({"rid": rid, "name": name.defaultsTo(old{"name"})})
      ent:settings{[rid, "schema"]} := schema if schema
      ent:settings{[rid, "data", data_key]} := event:attrs{"value"} if data_key
      raise pds event "settings_added" attributes attrs()
    } else {
      raise pds event "add_settings_failed" attributes failure("`keyed_rid` is missing")
    }
  }

  rule clear_all_data {
    select when pds clear_all_data
    fired {
      clear ent:general
      clear ent:profile
      clear ent:settings
    }
  }
}
