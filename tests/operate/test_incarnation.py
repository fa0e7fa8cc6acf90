"""A store that went back in time is a new sender to other engines, so that nothing is lost."""

from __future__ import annotations

import pytest

from runtime.memory import MemoryStore
from runtime.store import INCARNATION_KEY, encode_record
from tests.harness.network import Site
from tests.harness.talk import pass_time, sites, to
from tests.operate.stage import rows


def go_back(site: Site, then: dict[tuple[str, bytes], bytes], word: str | None) -> None:
    """Stop a site, and start it over what its store was before, as a restore does."""
    site.stop()
    store = MemoryStore(site._deliver, site._pass)
    store.write([(family, key, value) for (family, key), value in then.items()])
    if word is not None:
        store.write([("meta", INCARNATION_KEY, encode_record(word))])
    site.store = store
    site.start()


@pytest.mark.parametrize("word", [None, "one"])
def test_events_after_a_restore_arrive(word: str | None) -> None:
    a, b = sites()
    a.event("t", "say", {"to": [to(b)]})
    pass_time(a)
    backup = rows(a.store)
    a.event("t", "say", {"to": [to(b), to(b)]})
    pass_time(a)
    assert b.query("talk", "log") == {"x": [1, 2, 3]}
    go_back(a, backup, word)
    a.event("t", "say", {"to": [to(b), to(b)]})
    pass_time(a, 3)
    # Without another name they would pass for those that came after the backup.
    expected = [1, 2, 3] if word is None else [1, 2, 3, 2, 3]
    assert b.query("talk", "log") == {"x": expected}
    assert a.rows("outbox") == 0
    # Each restore is another one, and between two starts of the same nothing changes.
    if word is not None:
        go_back(a, rows(a.store), None)
        a.event("t", "say", {"to": [to(b)]})
        pass_time(a, 3)
        assert b.query("talk", "log") == {"x": [*expected, 4]}
