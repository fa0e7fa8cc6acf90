"""Built-in modules of KRL: one Python module a domain, functions named `domain_member(cx, …)`."""
