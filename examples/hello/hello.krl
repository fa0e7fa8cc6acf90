// The smallest ruleset: a question it can answer, and an event it reacts to.
ruleset example.hello {
  meta {
    name "Hello"
    description <<Greets whoever says hello.>>
    shares greeting
  }

  global {
    greeting = function(name) { "Hello, " + name.defaultsTo("world") + "!" }
  }

  // say:hello, with or without an attribute `name`.
  rule say_hello {
    select when say hello
    send_directive("say", {"something": greeting(event:attrs{"name"})})
  }
}
