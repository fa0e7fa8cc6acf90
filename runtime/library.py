"""The engine as a library: `async with runtime.Engine.open(home) as engine`.

In: calls from asyncio code. Out: awaitables over the core's callbacks. This is where the core is
bound to a loop: the clock gets its `call_soon`, the store and the compiler deliver through
`call_soon_threadsafe`. Not here: any decision about events (engine.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

from runtime import observe
from runtime.archive import Archive
from runtime.authority import authority
from runtime.clock import Clock, Ids, Random, RealClock, RealIds, SeededRandom
from runtime.compiler import HelperCompiler, UrlFetcher
from runtime.describe import describe, salience
from runtime.engine import Core
from runtime.errors import Fault, unknown_eci
from runtime.history import shortened
from runtime.home import Home
from runtime.inbox import Answer, Done
from runtime.limits import history_buckets_kept, history_memory_buckets_kept, history_shown_max
from runtime.live import Listener, Live, wanted
from runtime.memory import MemoryStore
from runtime.module import Module
from runtime.network import Network
from runtime.network_peers import Peers
from runtime.registry import Compiler, Deployed, Fetcher
from runtime.rocks import RocksStore
from runtime.source_policy import SourcePolicy
from runtime.store import Store
from runtime.system import adopt, packed_rulesets
from runtime.web import shown_url
from runtime.web_client import WebClient
from runtime.web_policy import Policy
from runtime.why import explain


class Engine:
    """A running engine, to be used from the loop that opened it.

    `root_eci` is a channel of the root pico that allows everything; keep it to yourself.
    """

    def __init__(self, core: Core, clock: Clock, home: Home | None = None) -> None:
        self.core = core
        self.clock = clock
        self._home = home
        self._live = Live(core.history, core.committer, clock)
        self._loop = asyncio.get_running_loop()

    @staticmethod
    @asynccontextmanager
    async def open(
        home: str | Path | None = None,
        *,
        durability: str = "fsync",
        memory_bytes: int = 256 << 20,
        clock: Clock | None = None,
        ids: Ids | None = None,
        random: Random | None = None,
        compiler: Compiler | None = None,
        fetcher: Fetcher | None = None,
        host: str = "",
        history: str = "full",
        allow_hosts: Iterable[str] = (),
        rulesets_from: Iterable[str] = (),
        network: Network | Literal["default"] | None = "default",
        system: bool | None = None,
    ) -> AsyncIterator[Engine]:
        """Open an engine over a data folder, or in memory when `home` is None.

        `allow_hosts` says which servers and engines rules may reach beyond the public ones (see
        `web_policy.Policy`), `rulesets_from` from where they may have rulesets fetched beyond the
        folders of what was installed here (`source_policy.SourcePolicy`); without a `network` no
        events go to other engines. `history` is "full", or "off": then `log` and `why` know nothing
        of this run.
        `system` says whether the root gets the system rulesets (wrangler and its like): by default
        over a folder, not in memory.
        Units: half of `memory_bytes` is for the store's caches, a quarter for picos that are awake.

        Raises: R3001 when the folder is in use, R3002 when a newer engine wrote it, R3005 when it
        cannot be used, R3010 when this installation is not whole.
        """
        loop = asyncio.get_running_loop()
        deliver = loop.call_soon_threadsafe
        clock = clock or RealClock(loop.call_soon, loop.call_later, deliver)
        buckets = _history_buckets(home is None, history)
        # What was opened last is closed first, also when opening the next thing fails.
        async with AsyncExitStack() as stack:
            held, store = _kept(stack, home, durability, memory_bytes // 2)
            if compiler is None:
                compiler = helper = HelperCompiler(deliver)
                stack.push_async_callback(loop.run_in_executor, None, helper.close)
            if fetcher is None:
                fetcher = reader = UrlFetcher(deliver)
                stack.push_async_callback(loop.run_in_executor, None, reader.close)
            web, peers = _ways_out(stack, allow_hosts)
            core = Core(
                *(store, clock, ids or RealIds(), random or SeededRandom(), compiler, fetcher),
                host=host,
                awake_bytes_max=memory_bytes // 4,
                history_buckets=buckets,
                network=peers if network == "default" else network,
                web=web,
                sources=SourcePolicy(rulesets_from),
            )
            core.start()
            if system or (system is None and home is not None):
                adopt(core, packed_rulesets())
            engine = Engine(core, clock, held)
            try:
                yield engine
            finally:
                await engine._quiet()

    async def _quiet(self) -> None:
        """Accept nothing more, and let what was accepted end; what waits too long is given up."""
        self.core.close()
        if self.core.committer.failure is None:
            await self.idle()
        self.core.history.close()

    # --- The hot form -----------------------------------------------------------------------------

    @property
    def root_eci(self) -> str:
        """An allow-all channel of the root pico."""
        return self.core.root_eci

    def post(
        self,
        eci: str,
        domain: str,
        name: str,
        attrs: dict[str, Any] | None,
        done: Done,
        *,
        time_ms: int | None = None,
        key: str | None = None,
    ) -> None:
        """Have an event evaluated: no coroutine, `done(answer or Fault)` after the commit."""
        self.core.post(eci, domain, name, attrs, done, time_ms=time_ms, key=key)

    def post_signal(
        self,
        eci: str,
        domain: str,
        name: str,
        attrs: dict[str, Any] | None,
        done: Done,
        *,
        time_ms: int | None = None,
        key: str | None = None,
    ) -> None:
        """Accept an event durably: `done(eid or Fault)`."""
        self.core.post_signal(eci, domain, name, attrs, done, time_ms=time_ms, key=key)

    def post_query(
        self, eci: str, rid: str, name: str, args: dict[str, Any] | None, done: Done
    ) -> None:
        """Have a query answered: `done(value or Fault)`."""
        self.core.post_query(eci, rid, name, args, _unwrapped(done))

    def post_event_query(
        self,
        eci: str,
        domain: str,
        name: str,
        attrs: dict[str, Any] | None,
        rid: str,
        query_name: str,
        args: dict[str, Any] | None,
        done: Done,
    ) -> None:
        """An event and right behind it a query: `done(value or Fault)`."""
        self.core.post_event_query(
            eci, domain, name, attrs, rid, query_name, args, _unwrapped(done)
        )

    # --- Awaitable forms --------------------------------------------------------------------------

    async def event(
        self,
        eci: str,
        domain: str,
        name: str,
        attrs: dict[str, Any] | None = None,
        *,
        time_ms: int | None = None,
        key: str | None = None,
    ) -> dict[str, Any]:
        """Have an event evaluated; {eid, directives, errors?} once all of it is durable.

        Raises: Fault when it was refused; faults of single rules are in `errors`.
        """
        post = partial(self.core.post, eci, domain, name, attrs, time_ms=time_ms, key=key)
        answer: dict[str, Any] = await self._await(lambda done: post(done=done))
        return answer

    async def signal(
        self,
        eci: str,
        domain: str,
        name: str,
        attrs: dict[str, Any] | None = None,
        *,
        time_ms: int | None = None,
        key: str | None = None,
    ) -> str:
        """Accept an event durably; its eid, perhaps before it was evaluated.

        Raises: Fault when it was refused.
        """
        post = partial(self.core.post_signal, eci, domain, name, attrs, time_ms=time_ms, key=key)
        eid: str = await self._await(lambda done: post(done=done))
        return eid

    async def query(self, eci: str, rid: str, name: str, args: dict[str, Any] | None = None) -> Any:
        """Ask a shared function or value.

        Raises: Fault when there is none to ask, or it failed.
        """
        return await self._await(lambda done: self.post_query(eci, rid, name, args, done))

    async def install(
        self,
        eci: str,
        *,
        url: str | None = None,
        source: str | None = None,
        bundle: bytes | None = None,
        config: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Install a ruleset on the pico of a channel, from a URL, a text or a bundle.

        Without a configuration one that is installed already keeps its own.
        Shapes: {rid, url, hash, eci}; for a bundle of several rulesets those of the last one, with
        all of them under `rulesets`. With pico types their names under `types`: rulesets that only
        their children have are made known, not installed; the four are null if none is left.
        Raises: Fault R2012, R2007, R2008, R2009, R2010; nothing is installed then.
        """
        found = await self._load(url, source, bundle)
        core = self.core
        done_list = []
        for module, where in found.rulesets:
            rid = await self._await(partial(core.install, eci, module, where, config))
            done_list.append({"rid": rid, "url": where, "hash": module.hash, "eci": eci})
            observe.installed(rid, shown_url(where), module.hash)
        await self._durable()
        last: dict[str, Any] = dict.fromkeys(("rid", "url", "hash", "eci"))
        if done_list:
            last.update(done_list[-1])
        if len(done_list) > 1:
            last["rulesets"] = done_list
        if found.types:
            last["types"] = list(found.types)
        return last

    async def _load(self, url: str | None, source: str | None, bundle: bytes | None) -> Deployed:
        registry = self.core.registry
        if bundle is not None:
            found: Deployed = await self._await(lambda done: registry.add_bundle(bundle, done))
            return found
        if source is not None:
            where = url or "source:" + _source_name(source)
            module = await self._await(lambda done: registry.add_source(source, where, done))
            registry.trust(where)
            return Deployed(((module, where),), (), ())
        if url is None:
            raise Fault("R1013", "nothing to install: give a url, a source or a bundle")
        module = await self._await(lambda done: registry.flush(url, done))
        registry.trust(url)
        return Deployed(((module, url),), (), ())

    async def flush(self, url: str) -> dict[str, Any]:
        """Fetch a ruleset again; picos that have it adopt a new version at their next turn.

        Shapes: {url, rid, hash, compiler: {version, warnings}}.
        Raises: Fault R2012, R2007, R2009, R2014; the old version stays then.
        """
        registry = self.core.registry
        module: Module = await self._await(lambda done: registry.flush(url, done))
        await self._durable()
        manifest = module.manifest
        compiler = {"version": manifest["compiler"], "warnings": manifest["warnings"]}
        return {"url": url, "rid": module.rid, "hash": module.hash, "compiler": compiler}

    async def _durable(self) -> None:
        """Wait until all that was completed is durable: what the registry has learned is no turn.

        Raises: R3003, R3004 when it never will be.
        """
        committer = self.core.committer
        await self._await(lambda done: committer.when_durable(committer.newest, done))

    async def checkpoint(self) -> str:
        """Make a still copy of the store in the data folder; who asks removes it again.

        Raises: R1013 for an engine in memory, R3005 when it cannot be made.
        """
        store, home = self.core.store, self._home
        if home is None or not isinstance(store, RocksStore):
            raise Fault("R1013", "this engine is in memory", "open an engine over a data folder")
        self.core.history.write_out()
        path = home.checkpoint_path()
        await self._loop.run_in_executor(None, store.checkpoint, path)
        return str(path)

    async def import_archive(self, path: str | Path, parent: str) -> dict[str, Any]:
        """Import what `pico export` wrote, as a child of a channel's pico.

        Shapes: {id, eci, picos, timers, waiting, archive}.
        Raises: R3009 for what is no archive, or was changed, R3008 when any of it is here already,
        R4023 when it is too large, R1001 for the parent; nothing is imported then.
        """
        archive = await self._loop.run_in_executor(None, _verified, Path(path))
        try:
            found: dict[str, Any] = await self._await(
                lambda done: self.core.imports.begin(archive, parent, done)
            )
        finally:
            archive.close()
        observe.imported(found["id"], found["picos"], found["archive"])
        return found

    async def idle(self) -> None:
        """Wait until no pico has anything queued or running, and all is durable."""
        future: asyncio.Future[None] = self._loop.create_future()

        def tell() -> None:
            if not future.done():
                future.set_result(None)

        self.core.when_idle(tell)
        await future

    def describe(self, eci: str | None = None) -> dict[str, Any]:
        """What the engine holds: all picos as a tree, or one in detail; for `pico show`.

        Raises: R1001 for an unknown ECI.
        """
        return describe(self.core, eci)

    async def authority(self, eci: str | None = None) -> dict[str, Any]:
        """Who can reach whom: all picos, or those at and below a channel's; see authority.py.

        Raises: R1001, R1005 for the ECI.
        """
        committer = self.core.committer
        written: asyncio.Future[None] = self._loop.create_future()

        def release(failure: Fault | None) -> None:
            if failure is not None:
                written.set_exception(failure)
            else:
                written.set_result(None)

        committer.when_durable(committer.newest, release)
        committer.flush()
        await written
        return authority(self.core, eci)

    def log(
        self,
        eci: str | None = None,
        *,
        eid: str | None = None,
        rule: str | None = None,
        limit: int = 50,
        whole: bool = False,
    ) -> list[dict[str, Any]]:
        """What happened, newest first: on the pico of a channel, or on all.

        `rule` is a rule's name, or `rid:rule`; ECIs are shortened unless `whole`. After a crash the
        last tenth of a second may be missing.
        Shapes: see `History.entries`.
        Raises: R1001, R1005 for the ECI; R1013 for a limit that is not from 1 to
        `history_shown_max`.
        """
        if not 1 <= limit <= history_shown_max:
            raise Fault("R1013", f"limit is a number from 1 to {history_shown_max}, not {limit}")
        pico_id = None if eci is None else self._pico_id(eci)
        rid, _, name = (rule or "").rpartition(":")
        entries = self.core.history.entries(
            pico_id, eid=eid, rid=rid or None, rule=name or None, limit=limit
        )
        return entries if whole else [shortened(entry) for entry in entries]

    async def why(self, eci: str, eid: str, rule: str | None = None) -> dict[str, Any]:
        """Why a rule (or each that was asked) fired on an event of a channel's pico, or why not.

        `rule` is a rule's name, or `rid:rule`.
        Shapes: {eid, pico, time_ms, domain, name, rules: […], text: [sentence]}; see why.py.
        Raises: R1001, R1005 for the ECI; R1018 when the history has no such event; R1013 when there
        is no such rule.
        """
        pico_id = self._pico_id(eci)
        entries = self.core.history.entries(pico_id, eid=eid, limit=history_shown_max)
        if not entries:
            raise Fault("R1018", f"no event {eid[:40]} is in the history of this pico")
        # As a turn, it sees what the pico is like after all that was accepted before.
        answer: dict[str, Any] = await self._await(
            lambda done: self.core.post_task(eci, lambda turn: explain(turn, entries, rule), done)
        )
        return answer

    def listen(
        self,
        tell: Callable[[], object],
        eci: str | None = None,
        *,
        event: str | None = None,
        rule: str | None = None,
        level: str | None = None,
        whole: bool = False,
    ) -> Listener:
        """Hear from now on what happens, on the pico of a channel or on all; see `live.wanted`.

        `tell()` says that entries wait: `take` them, and `close` the listener in the end.
        Raises: R1001, R1005 for the ECI; R1013 for what is wanted; R1017, R4026.
        """
        pico_id = None if eci is None else self._pico_id(eci)
        what = wanted(pico_id, event=event, rule=rule, level=level, whole=whole)
        return self._live.listen(what, tell)

    async def salience(self, eci: str) -> dict[str, Any]:
        """Which rules of a channel's pico listen for which events, in order; see describe.py.

        Raises: R1001, R1005 for the ECI.
        """
        answer: dict[str, Any] = await self._await(
            lambda done: self.core.post_task(eci, salience, done)
        )
        return answer

    def _pico_id(self, eci: str) -> str:
        channel = self.core.shelf.channel(eci)
        if channel is None:
            raise unknown_eci(eci)
        return channel.pico_id

    async def _await(self, start: Callable[[Done], object]) -> Any:
        future: asyncio.Future[Any] = self._loop.create_future()

        def done(answer: Any) -> None:
            if future.done():
                return
            if isinstance(answer, Fault):
                future.set_exception(answer)
            else:
                future.set_result(answer.value if isinstance(answer, Answer) else answer)

        start(done)
        self.core.committer.flush()
        return await future


def _kept(
    stack: AsyncExitStack, home: str | Path | None, durability: str, memory_bytes: int
) -> tuple[Home | None, Store]:
    """The data folder, and the store in it or in memory."""
    loop = asyncio.get_running_loop()
    held: Home | None = None
    store: Store
    if home is None:
        store = MemoryStore(loop.call_soon)
    else:
        held = Home.open(home)
        stack.callback(held.close)
        store = RocksStore(
            held.db_path,
            loop.call_soon_threadsafe,
            durability=durability,
            memory_bytes=memory_bytes,
        )
    stack.callback(store.close)
    return held, store


def _ways_out(stack: AsyncExitStack, allow_hosts: Iterable[str]) -> tuple[WebClient, Peers]:
    """What carries requests to servers, and events to other engines; both are idle until asked."""
    policy = Policy(allow_hosts)
    web = WebClient(policy)
    stack.push_async_callback(web.close)
    peers = Peers(web, policy)
    stack.push_async_callback(peers.close)
    return web, peers


def _history_buckets(is_in_memory: bool, history: str) -> int:
    if history not in ("full", "off"):
        raise ValueError(f'history is "full" or "off", not {history!r}')
    if history == "off":
        return 0
    return history_memory_buckets_kept if is_in_memory else history_buckets_kept


def _verified(path: Path) -> Archive:
    """An open archive whose every part was read and found as it was."""
    archive = Archive(path)
    try:
        archive.verify()
    except BaseException:
        archive.close()
        raise
    return archive


def _unwrapped(done: Done) -> Done:
    return lambda answer: done(answer.value if isinstance(answer, Answer) else answer)


def _source_name(source: str) -> str:
    """The ruleset id that a text seems to have, for a URL that people recognise."""
    words = source.split(None, 2)
    return words[1].rstrip("{") if len(words) > 1 and words[0] == "ruleset" else "unnamed"
