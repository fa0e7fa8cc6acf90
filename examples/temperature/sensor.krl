// One temperature sensor: a pico that keeps every reading it was told, and notices heat.
// Its parent makes it (community.krl); readings come from outside, over the sensor's own channel.
ruleset example.sensor {
  meta {
    name "Temperature sensor"
    description <<Keeps readings, counts violations of a threshold, and finds hot stretches.>>
    shares summary, hottest_day, heat_days, arrivals
  }

  global {
    // The parent may have chosen another threshold, in degrees Fahrenheit.
    threshold = ctx:rid_config{"threshold"}.defaultsTo(70)

    // From outside a sensor takes readings and answers questions, and nothing else.
    event_policy = {"allow": [{"domain": "sensor", "name": "reading"}], "deny": []}
    query_policy = {"allow": [{"rid": "example.sensor", "name": "*"}], "deny": []}

    is_hot = function(temperature) { temperature > threshold }

    // "2010/07/14 15:00" is an hour of the day "2010/07/14".
    day_of = function(time) { time.substr(0, 10) }

    summary = function() {
      {
        "readings": ent:readings.defaultsTo({}).length(),
        "threshold": threshold,
        "violations": ent:violations.defaultsTo(0)
      }
    }

    // The day with the highest mean temperature; null before the first reading.
    hottest_day = function() {
      readings = ent:readings.defaultsTo({})
      mean = function(times) {
        times.map(function(time) { readings{time} }).reduce(plus) / times.length()
      }
      means = readings.keys().collect(day_of).map(mean)
      day = means.keys().sort(function(a, b) { means{b} <=> means{a} }).head()
      day => {"day": day, "mean": means{day}} | null
    }

    plus = function(a, b) { a + b }

    // Day -> how many of its hours ended six hot hours in a row.
    heat_days = function() { ent:heat_days.defaultsTo({}) }

    // Time -> how often the reading of that time arrived.
    arrivals = function() { ent:arrivals.defaultsTo({}) }
  }

  // The parent's first word to a new sensor: make a channel for the outside, and tell the parent.
  rule open_channel {
    select when sensor created
    pre {
      name = event:attrs{"name"}
    }
    every {
      ctx:newChannel(["readings"], event_policy, query_policy) setting(channel)
      event:send({
        "eci": ctx:parent,
        "domain": "community",
        "name": "sensor_ready",
        "attrs": {"name": name, "eci": channel{"id"}}
      })
    }
  }

  // A reading may come twice when a sender was not sure; it is kept once, and counted.
  rule keep_reading {
    select when sensor reading
    pre {
      time = event:attrs{"time"}
    }
    fired {
      ent:readings{time} := event:attrs{"temperature"}
      ent:arrivals{time} := ent:arrivals{time}.defaultsTo(0) + 1
    }
  }

  rule find_violation {
    select when sensor reading where is_hot(event:attrs{"temperature"})
    fired {
      raise sensor event "threshold_violation" attributes event:attrs
    }
  }

  // Raised by find_violation; other rulesets on this pico may listen for it, too.
  rule count_violation {
    select when sensor threshold_violation
    fired {
      ent:violations := ent:violations.defaultsTo(0) + 1
    }
  }

  // A pattern over events: a reading that is not hot starts the count anew.
  rule find_heat {
    select when repeat 6 (sensor reading where is_hot(event:attrs{"temperature"}))
    pre {
      day = day_of(event:attrs{"time"})
    }
    fired {
      ent:heat_days{day} := ent:heat_days{day}.defaultsTo(0) + 1
    }
  }
}
