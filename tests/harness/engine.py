"""An engine in one thread of virtual time: what most tests of the runtime use.

In: rulesets as text, events, queries. Out: answers, at once. Nothing sleeps; ids and chance repeat.
The compiler runs inside this process, since tests may import both sides.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable
from typing import Any

import krlc
from runtime.clock import SeededIds, SeededRandom, VirtualClock
from runtime.engine import Core
from runtime.errors import Fault
from runtime.inbox import Answer
from runtime.memory import MemoryStore
from runtime.store import Store
from runtime.system import adopt
from runtime.web import Web
from tests.harness.rulesets import source_rulesets

_CACHE: dict[tuple[str, str], dict[str, Any] | Fault] = {}


def compile_for_engine(text: str, url: str) -> dict[str, Any] | Fault:
    """What the compiler's helper process would answer; the same text is compiled once a run."""
    found = _CACHE.get((text, url))
    if found is None:
        compiled = krlc.compile_source(text, url)
        if compiled.ok:
            found = {
                "rid": compiled.rid,
                "manifest": compiled.manifest,
                "module": compiled.module,
                "code": marshal.dumps(krlc.code_object(compiled)),
            }
        else:
            errors = [d for d in compiled.diagnostics if d.severity == "error"]
            found = Fault("R2007", f"{errors[0].code}: {errors[0].title}")
        _CACHE[text, url] = found
    return found


class InlineCompiler:
    """Compiles at once, in this process."""

    version = krlc.VERSION

    def compile(self, text: str, url: str, done: Callable[[Any], object]) -> None:
        done(compile_for_engine(text, url))


class TextFetcher:
    """Serves sources from a dictionary of URLs."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def fetch(self, url: str, done: Callable[[Any], object]) -> None:
        text = self.texts.get(url)
        done(Fault("R2012", f"{url} cannot be fetched: not there") if text is None else text)


class TestEngine:
    """A core over a memory store and a virtual clock, driven to the end of every call."""

    __test__ = False

    def __init__(
        self,
        store: Store | None = None,
        *,
        seed: int = 1,
        start_ms: int = 1_000_000,
        clock: VirtualClock | None = None,
        fetcher: TextFetcher | None = None,
        web: Web | None = None,
        system: bool = False,
    ) -> None:
        self.clock = clock or VirtualClock(start_ms)
        self.store = store if store is not None else MemoryStore(self.clock.call_soon)
        self.fetcher = fetcher or TextFetcher()
        self.core = Core(
            self.store,
            self.clock,
            SeededIds(seed),
            SeededRandom(seed),
            InlineCompiler(),
            self.fetcher,
            host="http://here",
            web=web,
        )
        self.core.start()
        if system:
            adopt(self.core, source_rulesets())
        self.run()

    @property
    def root(self) -> str:
        return self.core.root_eci

    def run(self) -> None:
        """Work everything off: turns, writes, syncs."""
        self.core.committer.flush()
        self.clock.run()

    def wait(self, start: Callable[[Callable[[Any], object]], object]) -> Any:
        """Start something and return its answer; a Fault is raised."""
        answers: list[Any] = []
        start(answers.append)
        self.run()
        assert len(answers) == 1, "answered exactly once"
        answer = answers[0]
        if isinstance(answer, Fault):
            raise answer
        return answer.value if isinstance(answer, Answer) else answer

    def install(
        self, source: str, eci: str | None = None, *, config: dict[str, Any] | None = None
    ) -> str:
        """Install a ruleset from its text."""
        url = "source:" + source.split(None, 2)[1].rstrip("{")
        core = self.core
        module = self.wait(lambda done: core.registry.add_source(source, url, done))
        rid: str = self.wait(
            lambda done: core.install(eci or self.root, module, url, config or {}, done)
        )
        return rid

    def event(
        self,
        domain: str,
        name: str,
        attrs: dict[str, Any] | None = None,
        eci: str | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Send an event and wait for {eid, directives, errors?}."""
        answer: dict[str, Any] = self.wait(
            lambda done: self.core.post(eci or self.root, domain, name, attrs, done, **more)
        )
        return answer

    def directives(self, domain: str, name: str, attrs: dict[str, Any] | None = None) -> list[Any]:
        """The (name, options) of the directives of an event."""
        answer = self.event(domain, name, attrs)
        assert "errors" not in answer, answer["errors"]
        return [(d["name"], d["options"]) for d in answer["directives"]]

    def query(
        self, rid: str, name: str, args: dict[str, Any] | None = None, eci: str | None = None
    ) -> Any:
        """Ask a shared function."""
        return self.wait(lambda done: self.core.post_query(eci or self.root, rid, name, args, done))
