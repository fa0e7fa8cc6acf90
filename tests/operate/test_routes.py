"""The admin routes for operating: what they ask of the engine, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.fake import ROOT, TOKEN, Served, run

BEARER = f"Authorization: Bearer {TOKEN}\r\n"
IMPORTED = {"id": "cP", "eci": "cE", "archive": "00", "picos": 2, "timers": 1, "waiting": 0}

CASES: list[tuple[str, bytes, int, Any]] = [
    ("/api/checkpoint", b"{}", 200, {"path": "/home/checkpoints/1"}),
    ("/api/import", b'{"path": "/a/b.pico"}', 200, IMPORTED),
    ("/api/import", b'{"path": "/a/b.pico", "parent": "cX"}', 200, IMPORTED),
    ("/api/import", b'{"path": "/a/bad.pico"}', 422, "bad.pico is no archive"),
    ("/api/import", b'{"path": "b.pico"}', 400, "does not begin with a slash"),
    ("/api/import", b'{"file": "b.pico"}', 400, "cannot be used"),
    ("/api/import", b"[", 400, "cannot be used"),
    ("/api/import", b'{"path": "\xff"}', 400, "cannot be used"),
]


@pytest.mark.parametrize(("path", "body", "status", "answer"), CASES)
def test_routes_answer(path: str, body: bytes, status: int, answer: Any) -> None:
    async def test(served: Served) -> None:
        client = await served.client()
        client.ask(path, body, headers=BEARER)
        reply = await client.reply()
        assert reply.status == status
        if status == 200:
            assert reply.json() == answer
        else:
            assert answer in reply.json()["error"]
        client.ask(path, body)
        assert (await client.reply()).status == 401

    run(test)


def test_import_goes_below_the_root_unless_told() -> None:
    async def test(served: Served) -> None:
        client = await served.client()
        for body in (b'{"path": "/a"}', b'{"path": "/a", "parent": "cX"}'):
            client.ask("/api/import", body, headers=BEARER)
            await client.reply()
        assert served.engine.calls == [("import", "/a", ROOT), ("import", "/a", "cX")]

    run(test)
