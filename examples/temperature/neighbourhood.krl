// A community of sensors: asks its parent for sensors, which are its siblings so that they outlive
// it, and introduces them to each other. Of what the sensors measure it learns nothing.
ruleset example.neighbourhood {
  meta {
    name "Neighbourhood of sensors"
    description <<Makes sensors, and introduces them to each other and to those of others.>>
    use module io.picolabs.subscription alias relationships
    shares sensors, door
  }

  global {
    // To how many of those that came before it a sensor is introduced.
    introductions = 2

    // What sensors and other communities may tell.
    told_events = {
      "allow": [
        {"domain": "community", "name": "joined"},
        {"domain": "community", "name": "members"}
      ],
      "deny": []
    }
    no_queries = {"allow": [], "deny": []}

    members = function() { ent:members.defaultsTo({}) }

    // Name -> ECI of the channel that takes the sensor's readings.
    sensors = function() { members().map(function(member) { member{"eci"} }) }

    // Where this pico takes proposals.
    door = function() { relationships:wellKnown_Rx(){"id"} }

    doors = function() { members().values().map(function(member) { member{"door"} }) }

    // Where the last ones that joined take proposals.
    last_doors = function() {
      doors().reverse().filter(function(door, place) { place < introductions })
    }

    member_on = function(eci) {
      relationships:established("Rx", eci)
        .filter(function(bus) { bus{"Tx_role"} == "sensor" })
        .head()
    }

    introduce = defaction(bus, door, host) {
      event:send({
        "sub": bus,
        "domain": "gossip",
        "name": "introduced",
        "attrs": {"door": door, "host": host}
      })
    }
  }

  // community:new_sensor name="…" threshold=70
  rule ask_for_sensor {
    select when community new_sensor
      name re#(.+)#
      threshold re#^(-?\d+(?:\.\d+)?)$#
      setting(name, threshold)
    if not (members() >< name) then
      event:send({
        "eci": ctx:parent,
        "domain": "wrangler",
        "name": "new_child_request",
        "attrs": {
          "name": name,
          "pico_type": "example.gossip",
          "threshold": threshold.as("Number"),
          "community": door()
        }
      })
  }

  // Sensors of this engine, and other communities, are welcome.
  rule accept {
    select when wrangler inbound_pending_subscription_added
      where event:attrs{"Rx_role"} == "community"
    fired {
      raise wrangler event "pending_subscription_approval" attributes {
          "Id": event:attrs{"Id"},
          "eventPolicy": told_events,
          "queryPolicy": no_queries
        }
    }
  }

  rule introduce_newcomer {
    select when community joined name re#(.+)# setting(name) where member_on(event:eci)
    foreach last_doors() setting(door)
    introduce(member_on(event:eci), door)
  }

  rule remember_newcomer {
    select when community joined name re#(.+)# setting(name) where member_on(event:eci)
    pre {
      member = {
        "eci": event:attrs{"eci"},
        "door": event:attrs{"door"},
        "Id": member_on(event:eci){"Id"}
      }
    }
    fired {
      ent:members{[name]} := member
    }
  }

  // --- Another community: community:meet door="…" host="…" ---

  rule propose {
    select when community meet door re#(.+)# setting(door)
    fired {
      raise wrangler event "subscription" attributes {
          "wellKnown_Tx": door,
          "Tx_host": event:attrs{"host"},
          "Rx_role": "community",
          "Tx_role": "community",
          "name": "communities",
          "eventPolicy": told_events,
          "queryPolicy": no_queries
        }
    }
  }

  // The one that was proposed to tells the other where its members take proposals.
  rule tell_members {
    select when wrangler inbound_pending_subscription_approved
      where event:attrs{["bus", "Tx_role"]} == "community"
    event:send({
      "sub": event:attrs{"bus"},
      "domain": "community",
      "name": "members",
      "attrs": {"doors": doors(), "host": meta:host}
    })
  }

  // Each member here is introduced to one over there.
  rule introduce_across {
    select when community members where event:attrs{"doors"}.length() > 0
    foreach members().values() setting(member, place)
    pre {
      doors = event:attrs{"doors"}
      bus = relationships:established("Id", member{"Id"}).head()
    }
    introduce(bus, doors[place % doors.length()], event:attrs{"host"})
  }
}
