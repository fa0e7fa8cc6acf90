"""Rulesets known to the engine: URL -> source -> compiled module, kept in the store by hash.

In: URLs, texts and bundles. Out: loaded `Module` objects. Invariants: the engine runs only code
that its own compiler made from source that it holds; what is compiled is kept under hash, compiler
and Python version, and made again when either differs. A version that does not compile is never
adopted. Compiling happens in a helper process (compiler.py); nothing here imports the compiler.
"""

from __future__ import annotations

import marshal
import sys
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

from runtime.bundle import Bundle, BundledRuleset, read_bundle
from runtime.commit import Committer
from runtime.errors import Fault
from runtime.module import Module
from runtime.pico import Install
from runtime.picotypes import own_rids, with_urls
from runtime.source_policy import Guard, SourcePolicy, folder_of
from runtime.store import decode_record, encode_record, registry_key
from runtime.turn import NeedRuleset

Loaded = Callable[["Module | Fault"], object]
# Kinds of rows: compiled source by hash, hash by URL, hash of the last version by ruleset id, pico
# types by name.
SOURCE = "s"
URL = "u"
RID = "r"
TYPE = "t"
# Folders from which the owner had rulesets fetched.
FOLDER = "f"


class Deployed(NamedTuple):
    """What a bundle brought: rulesets to install, those that only its pico types have, the types.

    Shapes: rulesets are (module, URL); types are names.
    """

    rulesets: tuple[tuple[Module, str], ...]
    owned: tuple[tuple[Module, str], ...]
    types: tuple[str, ...]


class Compiler(Protocol):
    """Compiles elsewhere, and says so on the driving loop."""

    version: str

    def compile(
        self, text: str, url: str, done: Callable[[dict[str, Any] | Fault], object]
    ) -> None:
        """Compile one ruleset; `done` gets {rid, manifest, module, code} or a Fault (R2007)."""


class Fetcher(Protocol):
    """Reads the source behind a URL."""

    def fetch(
        self, url: str, done: Callable[[str | Fault], object], guard: Guard | None = None
    ) -> None:
        """Read one text; `done` gets it or a Fault (R2012, R5005), on the driving loop.

        A guard says where redirects may lead; the URL itself has been checked.
        """


def source_hash(text: str) -> str:
    """Lower-case hex SHA-256 of a source text."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def modules_first(rulesets: Iterable[BundledRuleset]) -> list[BundledRuleset]:
    """Rulesets in an order in which each comes after those it uses; a circle keeps its order."""
    left = list(rulesets)
    ordered: list[BundledRuleset] = []
    while left:
        waiting = {item.rid for item in left}
        ready = [
            item
            for item in left
            if not any(use["rid"] in waiting - {item.rid} for use in item.manifest["uses"])
        ]
        ordered.extend(ready or left)
        left = [item for item in left if ready and item not in ready]
    return ordered


class Registry:
    """All ruleset versions of one engine."""

    def __init__(
        self,
        committer: Committer,
        compiler: Compiler,
        fetcher: Fetcher,
        sources: SourcePolicy | None = None,
    ) -> None:
        """Make a registry; without `sources` rules may have rulesets fetched from anywhere."""
        self._sources = sources
        self._get = committer.get
        self._put = committer.put
        self._compiler = compiler
        self._fetcher = fetcher
        self._tag = f"{sys.implementation.cache_tag}/{compiler.version}"
        self._modules: dict[str, Module] = {}
        self._urls: dict[str, str] = {}
        self._pending: dict[str, list[Loaded]] = {}
        # Grows whenever a URL gets another version; picos look for theirs when it has grown.
        self.generation = 0

    # --- What turns ask ---------------------------------------------------------------------------

    def module_of(self, install: Install) -> Module:
        """The module of an installed ruleset.

        Raises: NeedRuleset when it has to be compiled again first; R3006 when its source is lost.
        """
        return self._by_hash(install.hash, install.url)

    def current(self, install: Install) -> Install:
        """An installed ruleset in the last version of its URL; the same object when it has that.

        A URL that now holds another ruleset, or one that is not loaded, changes nothing.
        """
        known = self._known_hash(install.url)
        if known is None or known == install.hash:
            return install
        try:
            module = self._by_hash(known, install.url)
        except NeedRuleset:
            return install
        if module.rid != install.rid:
            return install
        return Install(install.rid, known, install.url, install.config)

    def by_url(self, url: str) -> Module:
        """The version of a URL that the engine knows.

        Raises: NeedRuleset when it knows none.
        """
        known = self._known_hash(url)
        if known is None:
            raise NeedRuleset(url)
        return self._by_hash(known, url)

    def _known_hash(self, url: str) -> str | None:
        known = self._urls.get(url)
        if known is None:
            row = self._get("registry", registry_key(URL, url))
            if row is None:
                return None
            known = self._urls[url] = decode_record(row, "registry entry")
        return known

    def _by_hash(self, hash_: str, url: str) -> Module:
        module = self._modules.get(hash_)
        if module is not None:
            return module
        row = self._get("registry", registry_key(SOURCE, hash_))
        if row is None:
            raise Fault("R3006", f"the source of {url} is not in the store")
        record = decode_record(row, "ruleset")
        if record["tag"] != self._tag:
            raise NeedRuleset(f"hash:{hash_}")
        return self._load(record)

    def _load(self, record: dict[str, Any]) -> Module:
        code = marshal.loads(record["code"])  # written by this engine, into its own store
        module = Module(code, record)
        self._modules[module.hash] = module
        return module

    # --- Loading ----------------------------------------------------------------------------------

    def need(self, url: str, done: Loaded) -> None:
        """Load what a turn needed: a URL, or `hash:…` for a source that must be compiled again."""
        if url.startswith("hash:"):
            row = self._get("registry", registry_key(SOURCE, url[5:]))
            if row is None:
                done(Fault("R3006", f"the source of {url} is not in the store"))
                return
            record = decode_record(row, "ruleset")
            self.add_source(record["source"], record["url"], done)
            return
        self._fetch(url, done)

    def load(self, url: str, done: Loaded) -> None:
        """The module of a URL: the known version, else fetched."""
        try:
            done(self.by_url(url))
        except NeedRuleset as need:
            self.need(need.url, done)
        except Fault as fault:
            done(fault)

    def add_own(self, ruleset: BundledRuleset, url: str) -> None:
        """Keep a ruleset that came with this program, as its build step compiled it.

        With another Python than that of the build it is compiled again when it is first needed.
        """
        tag = f"{sys.implementation.cache_tag}/{ruleset.manifest['compiler']}"
        code = ruleset.bytecode.get(sys.implementation.cache_tag)
        record = {
            "source": ruleset.source,
            "url": url,
            "manifest": ruleset.manifest,
            "module": ruleset.module,
            "code": code or b"",
            "tag": tag if code else "",
        }
        hash_ = ruleset.manifest["source_hash"]
        self._put("registry", registry_key(SOURCE, hash_), encode_record(record))
        self._put("registry", registry_key(RID, ruleset.rid), encode_record(hash_))
        self._remember(url, hash_)

    def flush(self, url: str, done: Loaded) -> None:
        """The module of a URL as it is there now."""
        self._fetch(url, done)

    # --- For the owner, and for rules -------------------------------------------------------------

    def trust(self, url: str) -> None:
        """The owner has a ruleset from this URL: rules may have others beside it fetched."""
        folder = folder_of(url)
        if folder and self._get("registry", registry_key(FOLDER, folder)) is None:
            self._put("registry", registry_key(FOLDER, folder), encode_record(url))

    def need_for_rule(self, url: str, done: Loaded) -> None:
        """As `need`, for a rule: R5005 for a URL that the owner has not allowed."""
        if url.startswith("hash:"):
            self.need(url, done)
        else:
            self.flush_for_rule(url, done)

    def flush_for_rule(self, url: str, done: Loaded) -> None:
        """As `flush`, for a rule: R5005 for a URL that the owner has not allowed."""
        guard: Guard | None = None
        if self._sources is not None and not url.startswith("system:"):
            folder = folder_of(url)
            is_beside = bool(folder) and (
                self._get("registry", registry_key(FOLDER, folder)) is not None
            )
            try:
                guard = self._sources.guard(url, is_beside=is_beside)
            except Fault as fault:
                done(fault)
                return
        self._fetch(url, done, guard)

    def _fetch(self, url: str, done: Loaded, guard: Guard | None = None) -> None:
        if url.startswith("system:") and self._known_hash(url) is not None:
            # What came with this program changes only with it.
            self.load(url, done)
            return

        def fetched(text: str | Fault) -> None:
            if isinstance(text, Fault):
                done(text)
            else:
                self.add_source(text, url, done)

        if guard is None:
            self._fetcher.fetch(url, fetched)
        else:
            self._fetcher.fetch(url, fetched, guard)

    def add_source(self, text: str, url: str, done: Loaded) -> None:
        """Compile a source and keep it under its URL; one source is compiled once at a time."""
        hash_ = source_hash(text)
        row = self._get("registry", registry_key(SOURCE, hash_))
        if row is not None:
            record = decode_record(row, "ruleset")
            if record["tag"] == self._tag:
                self._remember(url, hash_)
                done(self._modules.get(hash_) or self._load(record))
                return
        waiting = self._pending.get(hash_)
        if waiting is not None:
            waiting.append(lambda got: self._also(url, got, done))
            return
        self._pending[hash_] = [done]

        def compiled(result: dict[str, Any] | Fault) -> None:
            waiting = self._pending.pop(hash_)
            got: Module | Fault = (
                result if isinstance(result, Fault) else self._keep(result, text, url, hash_)
            )
            for each in waiting:
                each(got)

        self._compiler.compile(text, url, compiled)

    def keep(self, text: str, url: str, done: Loaded) -> None:
        """Compile a source and keep it under its hash; under its URL where that is not known.

        A version that the engine knows under the URL stays the one that picos adopt.
        """
        hash_ = source_hash(text)
        known = self._known_hash(url)
        self.add_source(text, url if known in (None, hash_) else f"archive:{hash_}", done)

    def _also(self, url: str, got: Module | Fault, done: Loaded) -> None:
        if isinstance(got, Module):
            self._remember(url, got.hash)
        done(got)

    def _keep(self, result: dict[str, Any], text: str, url: str, hash_: str) -> Module | Fault:
        record = {
            "source": text,
            "url": url,
            "manifest": result["manifest"],
            "module": result["module"],
            "code": result["code"],
            "tag": self._tag,
        }
        refusal = self._refuse_uses(result["manifest"])
        if refusal is not None:
            return refusal
        try:
            module = self._load(record)
        except Exception as error:
            return Fault("R9001", f"{url} compiled, but does not load: {error}")
        self._put("registry", registry_key(SOURCE, hash_), encode_record(record))
        self._put("registry", registry_key(RID, module.rid), encode_record(hash_))
        self._remember(url, hash_)
        return module

    def _refuse_uses(self, manifest: dict[str, Any]) -> Fault | None:
        """Why a ruleset's modules keep it from being known, if they do.

        Source: engine reference 4.3: each used ruleset must be known, and none may lead back here.
        """
        rid: str = manifest["rid"]
        for use in manifest["uses"]:
            if use["rid"] != rid and self._manifest(use["rid"]) is None:
                return Fault(
                    "R2009",
                    f"Dependant module not loaded: {use['rid']}",
                    f"deploy {use['rid']} first",
                    rid=rid,
                )
        pending = [(rid, use["rid"]) for use in manifest["uses"]]
        seen: set[str] = set()
        while pending:
            *path, last = pending.pop()
            if last == rid:
                shown = " -> ".join([*path, last])
                return Fault("R2014", f"Dependency Cycle Found: {shown}", rid=rid)
            if last not in seen:
                seen.add(last)
                used = (self._manifest(last) or {"uses": []})["uses"]
                pending.extend((*path, last, use["rid"]) for use in used)
        return None

    def _manifest(self, rid: str) -> dict[str, Any] | None:
        """The manifest of the last version of a ruleset that is known, whatever its URL."""
        row = self._get("registry", registry_key(RID, rid))
        if row is None:
            return None
        hash_ = decode_record(row, "registry entry")
        module = self._modules.get(hash_)
        if module is not None:
            loaded: dict[str, Any] = module.manifest
            return loaded
        row = self._get("registry", registry_key(SOURCE, hash_))
        if row is None:
            return None
        manifest: dict[str, Any] = decode_record(row, "ruleset")["manifest"]
        return manifest

    def _remember(self, url: str, hash_: str) -> None:
        if self._known_hash(url) != hash_:
            self._urls[url] = hash_
            self.generation += 1
            self._put("registry", registry_key(URL, url), encode_record(hash_))

    # --- Bundles ----------------------------------------------------------------------------------

    def add_bundle(self, data: bytes, done: Callable[[Deployed | Fault], object]) -> None:
        """Check a bundle, compile its sources here, and compare with what it claims.

        When all of it is as it should be, its pico types are known.
        Raises: nothing; R2008 comes through `done`, naming the first difference.
        """
        try:
            bundle = read_bundle(data)
        except Fault as fault:
            done(fault)
            return
        found: list[tuple[Module, str]] = []
        entries = modules_first(bundle.rulesets)

        def next_one() -> None:
            if not entries:
                done(self._declare(found, bundle))
                return
            entry = entries.pop(0)

            def loaded(got: Module | Fault) -> None:
                if isinstance(got, Fault):
                    done(got)
                    return
                refusal = self._difference(entry, got)
                if refusal is not None:
                    done(refusal)
                    return
                found.append((got, entry.url))
                next_one()

            self.add_source(entry.source, entry.url, loaded)

        next_one()

    def _declare(self, found: list[tuple[Module, str]], bundle: Bundle) -> Deployed | Fault:
        """Keep the pico types of a bundle whose rulesets are all known."""
        urls = {module.rid: url for module, url in found}
        try:
            types = [with_urls(entry, urls) for entry in bundle.types]
        except Fault as fault:
            return fault
        for entry in types:
            self._put("registry", registry_key(TYPE, entry["name"]), encode_record(entry))
        owned = own_rids(bundle.types)
        return Deployed(
            tuple(one for one in found if one[0].rid not in owned),
            tuple(one for one in found if one[0].rid in owned),
            tuple(entry["name"] for entry in types),
        )

    def pico_type(self, name: str) -> dict[str, Any]:
        """A pico type, in the last version that a bundle declared.

        Raises: R2020 when none has.
        """
        row = self._get("registry", registry_key(TYPE, name))
        if row is None:
            raise Fault("R2020", f"no pico type is called {name[:200]}")
        found: dict[str, Any] = decode_record(row, "pico type")
        return found

    def _difference(self, entry: Any, module: Module) -> Fault | None:
        """Why what a bundle holds is not what its source compiles to here, if it is not."""
        if entry.manifest.get("compiler") == self._compiler.version:
            own = module.text.splitlines()
            theirs = entry.module.splitlines()
            for number, (a, b) in enumerate(zip(own, theirs, strict=False), 1):
                if a != b:
                    return Fault(
                        "R2008",
                        f"the bundle's module of {module.rid} is not what its source compiles to: "
                        f"line {number} is {b.strip()[:60]!r}, and should be {a.strip()[:60]!r}",
                    )
            if len(own) != len(theirs):
                return Fault(
                    "R2008",
                    f"the bundle's module of {module.rid} has {len(theirs)} lines, "
                    f"and its source compiles to {len(own)}",
                )
            return None
        for name in ("rid", "shares", "provides", "rules", "uses"):
            if entry.manifest.get(name) != module.manifest.get(name):
                return Fault(
                    "R2008",
                    f"the bundle was made by compiler {entry.manifest.get('compiler')}, and "
                    f"{name!r} of {module.rid} differs from what this engine's compiler makes",
                    "build the bundle again with the compiler that belongs to this engine",
                )
        return None
