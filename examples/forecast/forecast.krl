ruleset example.forecast {
  meta {
    name "forecast"
    description <<
Asks a weather service, and tells it what this pico measures. Its address is configuration:
pico deploy forecast.krl --config '{"service": "https://weather.example/v1"}'
>>
    shares forecast, last, reported
  }

  global {
    service = meta:rulesetConfig{"service"}.defaultsTo("https://weather.example/v1")
    // A query may ask a server; the pico goes on with other queries meanwhile.
    forecast = function(place) {
      answer = http:get(service + "/forecast", qs = {"place": place}, parseJSON = true)
      answer{"status_code"} == 200 => answer{"content"} | null
    }
    last = function() { ent:last.defaultsTo({}) }
    reported = function() { ent:reported.defaultsTo(0) }
  }

  // A rule waits for the answer. If the server cannot be reached the rule faults: nothing of it
  // stays, and the rules on system:error hear of it. A status such as 404 is an answer.
  rule remember {
    select when forecast wanted place re#(.+)# setting(place)
    http:get(service + "/forecast", qs = {"place": place}, parseJSON = true) setting(answer)
    fired {
      ent:last{place} := answer{"content"} if answer{"status_code"} == 200
      raise forecast event "known" attributes {"place": place, "status": answer{"status_code"}}
    }
  }

  // Nobody waits for this one: the request leaves when the turn is durable, carries a key by which
  // the server can tell a repetition, and its answer comes back as an event.
  rule report {
    select when sensor reading
    http:post(service + "/readings", json = event:attrs, autosend = {
      "eci": meta:eci,
      "domain": "forecast",
      "name": "reported"
    })
  }

  rule reported {
    select when forecast reported
    if event:attrs{"status_code"} < 300 then
      noop()
    fired {
      ent:reported := reported() + 1
    } else {
      log warn event:attrs{"status_line"}
    }
  }
}
