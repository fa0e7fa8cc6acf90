// A parent: makes members, gives them what they need to know, and makes them known to each other.
// Who has an ECI may use the channel, nobody else; this file and member.krl show the four ways in
// which a pico can come to have one.
ruleset example.family {
  meta {
    name "Family"
    description <<Makes members, and introduces them to each other.>>
    shares news, members
  }

  global {
    news = function() { ent:news.defaultsTo([]) }

    members = function() { ent:members.defaultsTo({}).keys() }

    only_news = {"allow": [{"domain": "family", "name": "news"}], "deny": []}
    no_queries = {"allow": [], "deny": []}
  }

  // Parenthood: who makes a pico gets a channel to it, which works for nobody else.
  rule make_member {
    select when family new_member name re#(.+)# setting(name)
    if not (ent:members.defaultsTo({}) >< name) then every {
      ctx:newPico([], {"type": "example.member"}) setting(member)
      ctx:upsertChannel(["news"], only_news, no_queries) setting(channel)
      event:send(
        {
          "eci": member,
          "domain": "family",
          "name": "born",
          // Endowment: the parent gives the child, at its birth, a channel that it has itself.
          "attrs": {"name": name, "news": channel{"id"}}
        }
      )
    }
    fired {
      ent:members{[name]} := member
    }
  }

  // Introduction: who has channels to two picos can tell the one how to reach the other.
  rule introduce {
    select when family introduce one re#(.+)# other re#(.+)# setting(one, other)
    pre {
      friend = ctx:query(ent:members{[other]}, "example.member", "friend_eci")
    }
    event:send({
      "eci": ent:members{[one]},
      "domain": "family",
      "name": "introduced",
      "attrs": {"name": other, "eci": friend}
    })
  }

  // What a child says over the channel that its childhood gave it, or its endowment.
  rule hear_news {
    select when family news
    fired {
      ent:news := news().append(event:attrs{"text"})
    }
  }

  // For trying it out: have a member say something to another one.
  rule have_member_talk {
    select when family talk one re#(.+)# other re#(.+)# setting(one, other)
    event:send({
      "eci": ent:members{[one]},
      "domain": "family",
      "name": "talk",
      "attrs": {"to": other, "text": event:attrs{"text"}}
    })
  }
}
