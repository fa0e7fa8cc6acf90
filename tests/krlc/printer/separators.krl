// Where a `;` stays, because the next line would go on with the one before.
f = function(m) { a = m; [a] };
g = function(m) { a = m; (a) }
h = function(m) { a = m return -a }
k = function(m) { a = m; b = {}; {"a": a, "b": b} }
x;
[1]; (2); -3; + 4; "five"; {"six": 6}; <<seven>>
