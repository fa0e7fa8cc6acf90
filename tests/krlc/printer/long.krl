ruleset a.long {
  meta { use module some.long.module.name alias short with first_setting = "the first value" and second_setting = "the second" }
  global { total = first_quantity * price_of_one_unit + second_quantity * price_of_another_unit - discount_of_today
    kind = temperature > 100 => "far too hot to touch" | temperature > 60 => "hot" | temperature > 20 => "warm" | "cold"
    both = is_first_condition_true && is_second_condition_true || is_third_condition_true && not is_fourth_true
    nested = {"one": {"two": [1, 2, 3], "three": function(x) { y = x * 2 y + 1 }}, "another key that is long": "text"}
    call = some_function(first_argument, {"key": "value that is rather long", "another": "value that is long too"}, 3)
    path = ent:things{["first", "second"]}[0].map(function(v, k) { v{"name"} })
  }
  rule long { select when first_domain first_event name re#^(.+)$# age re#^([0-9]+)$# setting(name, age) where age > 17
    send_directive("a directive with a long name", {"key": name, "value": age, "comment": "something longer"})
    always { raise other_domain event "something_happened" attributes event:attrs.put("name", name).put("age", age_as_number)
      ent:people{name} := {"age": age} if name.length() > 0 } }
}
