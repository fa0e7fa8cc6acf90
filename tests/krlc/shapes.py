"""A tree as one short line: what operator applies to what, and nothing else."""

from krlc import nodes as n


def shape(node: n.Node) -> str:
    """Print an expression or event expression with every grouping visible."""
    match node:
        case n.Infix(operator=op, left=a, right=b):
            return f"({shape(a)} {op} {shape(b)})"
        case n.Unary(operator=op, operand=a):
            return f"({op} {shape(a)})"
        case n.Conditional(test=a, consequent=b, alternate=c):
            return f"({shape(a)} => {shape(b)} | {shape(c)})"
        case n.Path(object=a, path=b):
            return f"{shape(a)}{{{shape(b)}}}"
        case n.Index(object=a, index=b):
            return f"{shape(a)}[{shape(b)}]"
        case n.Member(object=a, member=b):
            return f"{shape(a)}.{shape(b)}"
        case n.Call(callee=a, arguments=arguments):
            return f"{shape(a)}({', '.join(map(shape, arguments))})"
        case n.Argument(name=name, value=a):
            return shape(a) if name is None else f"{name.name}={shape(a)}"
        case n.Parameter(name=name, default=a):
            return name.name if a is None else f"{name.name}={shape(a)}"
        case n.Declaration(name=name, value=a):
            return f"{name.name} = {shape(a)}"
        case n.Array(items=items):
            return f"[{', '.join(map(shape, items))}]"
        case n.Map(entries=entries):
            return f"{{{', '.join(f'{e.key.value}: {shape(e.value)}' for e in entries)}}}"
        case n.Function(parameters=p, body=body, result=a):
            inside = "; ".join([*map(shape, body), shape(a)])
            return f"fn({', '.join(map(shape, p))}) {{{inside}}}"
        case n.Chevron(parts=parts):
            return f"<<{'|'.join(map(shape, parts))}>>"
        case n.Identifier(name=name):
            return name
        case n.DomainIdentifier(domain=domain, name=name):
            return f"{domain}:{name}"
        case n.String(value=value):
            return repr(value)
        case n.Number(value=value):
            return repr(value)
        case n.Boolean(value=value):
            return str(value).lower()
        case n.Null():
            return "null"
        case n.Regexp(pattern=pattern, flags=flags):
            return f"/{pattern}/{flags}"
        case n.EventOperator(operator=op, operands=operands, count=count, prefix=prefix):
            if prefix:
                return f"{op}{'' if count is None else count}({', '.join(map(shape, operands))})"
            return f"({f' {op} '.join(map(shape, operands))})"
        case n.EventGroup(operator=op, count=count, event=event):
            return f"{op}{count}({shape(event)})"
        case n.BaseEvent(domain=domain, name=name, matches=matches, setting=setting, where=where):
            parts = [f"{domain.name}:{name.name}"]
            parts += [f"{m.key.name}~{shape(m.value)}" for m in matches]
            parts += [f"set {' '.join(s.name for s in setting)}"] if setting else []
            parts += [f"where {shape(where)}"] if where is not None else []
            if node.aggregator is not None:
                names = " ".join(s.name for s in node.aggregator.names)
                parts.append(f"{node.aggregator.operator} {names}")
            return " ".join(parts)
    raise TypeError(f"no shape for {type(node).__name__}")
