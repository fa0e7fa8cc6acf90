// A community of sensors: makes sensor picos, and knows on which channel each takes readings.
// It gives its children its own copy of the sensor ruleset, so both are deployed to its pico.
ruleset example.community {
  meta {
    name "Sensor community"
    description <<Makes sensors, and tells where to send their readings.>>
    shares sensors, sensor
  }

  global {
    // Name -> ECI of the channel that takes the sensor's readings.
    sensors = function() { ent:sensors.defaultsTo({}) }

    // That ECI; null for a name that is unknown, or whose sensor is not ready.
    sensor = function(name) { sensors(){name} }
  }

  // community:new_sensor name="…" threshold=70: a name is given once.
  rule new_sensor {
    select when community new_sensor name re#(.+)# setting(name)
    pre {
      ruleset = ctx:rulesets.filter(function(r) { r{"rid"} == "example.sensor" }).head()
      config = {"threshold": event:attrs{"threshold"}}
      is_new = not (ent:names.defaultsTo([]) >< name)
    }
    if is_new && ruleset then every {
      ctx:newPico([{"url": ruleset{"url"}, "config": config}]) setting(child)
      event:send({"eci": child, "domain": "sensor", "name": "created", "attrs": {"name": name}})
      send_directive("sensor_created", {"name": name})
    }
    fired {
      ent:names := ent:names.defaultsTo([]).append(name)
    }
  }

  // The child's answer, which comes over the family channel.
  rule sensor_ready {
    select when community sensor_ready
    fired {
      ent:sensors{event:attrs{"name"}} := event:attrs{"eci"}
    }
  }
}
