"""The compiler as a process of its own: an engine that never imports lark asks it over a pipe.

In: on standard input, frames of a 4-byte big-endian length and a msgpack map {text, url}. Out: on
standard output, one frame a request: {ok, rid, manifest, module, code} or {ok, message, text}.
`code` is a marshalled code object for this Python. Ends when its input ends.
"""

from __future__ import annotations

import marshal
import sys
from typing import Any

import msgspec

from krlc import code_object, compile_source
from krlc.diagnostics import render


def answer(text: str, url: str) -> dict[str, Any]:
    """Compile one source for an engine."""
    compiled = compile_source(text, url)
    if not compiled.ok:
        errors = [d for d in compiled.diagnostics if d.severity == "error"]
        first = min(errors, key=lambda d: d.span.start)
        point = compiled.source.point(first.span.start)
        return {
            "ok": False,
            "message": f"{compiled.source.name}:{point.line}:{point.column}: "
            f"{first.code}: {first.title}",
            "text": render(list(compiled.diagnostics), compiled.source),
        }
    return {
        "ok": True,
        "rid": compiled.rid,
        "manifest": compiled.manifest,
        "module": compiled.module,
        "code": marshal.dumps(code_object(compiled)),
    }


def main() -> None:
    """Serve requests until the other side closes the pipe."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    # What generated or library code might print must not mix with frames.
    sys.stdout = sys.stderr
    while len(head := source.read(4)) == 4:
        request = msgspec.msgpack.decode(source.read(int.from_bytes(head, "big")))
        reply = msgspec.msgpack.encode(answer(request["text"], request["url"]))
        sink.write(len(reply).to_bytes(4, "big") + reply)
        sink.flush()


if __name__ == "__main__":
    main()
